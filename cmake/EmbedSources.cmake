# espalier_embed_sources(OUTPUT HEADER NAMESPACE FUNCTION file...): a C++ source that holds text files
# as string literals, by file name or path in the module, so that they can be written out from any
# working directory.
function(espalier_embed_sources output header namespace function)
  set(body "// Generated from the files it names; do not edit.\n")
  string(APPEND body "#include \"${header}\"\n\nnamespace ${namespace} {\n\n")
  string(APPEND body "const std::map<std::string_view, std::string_view>& ${function}() {\n")
  string(APPEND body "  static const std::map<std::string_view, std::string_view> sources{\n")
  foreach(file ${ARGN})
    get_filename_component(name ${file} NAME)
    file(RELATIVE_PATH inside ${CMAKE_CURRENT_SOURCE_DIR} ${file})
    if(NOT inside MATCHES "^\\.\\.")  # files of a folder of the module keep the folder's name
      set(name ${inside})
    endif()
    file(READ ${file} text)
    string(APPEND body "      {\"${name}\", R\"ESPALIER(${text})ESPALIER\"},\n")
    set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${file})
  endforeach()
  string(APPEND body "  };\n  return sources;\n}\n\n}  // namespace ${namespace}\n")
  file(GENERATE OUTPUT ${output} CONTENT "${body}")
endfunction()
