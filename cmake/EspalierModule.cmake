# espalier_module(NAME SOURCES file... [DEPS module-or-library...])
#
# One static library per module, named espalier_NAME and aliased espalier::NAME. DEPS are public:
# they are the module's row in the dependency table of docs/architecture.md.
add_library(espalier_options INTERFACE)
target_include_directories(espalier_options INTERFACE ${PROJECT_SOURCE_DIR}/include)
target_compile_options(espalier_options INTERFACE
  -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wno-sign-conversion -Werror
  # GCC 12 sees overlapping copies in std::string's operator+ that are not there.
  $<$<CXX_COMPILER_ID:GNU>:-Wno-restrict>
  # Option structs are filled field by field; what is not named keeps its default.
  -Wno-missing-field-initializers
  # One meaning for every float expression on every target: fused only where the source says so.
  -ffp-contract=off)
if(ESPALIER_SANITIZE)
  target_compile_options(espalier_options INTERFACE
    -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer)
  target_link_options(espalier_options INTERFACE -fsanitize=address,undefined)
endif()
if(ESPALIER_FUZZ)
  target_compile_options(espalier_options INTERFACE -fsanitize=fuzzer-no-link -Wno-error)
endif()
if(ESPALIER_SANITIZE_THREAD)
  target_compile_options(espalier_options INTERFACE -fsanitize=thread)
  target_link_options(espalier_options INTERFACE -fsanitize=thread)
endif()

function(espalier_module name)
  cmake_parse_arguments(ARG "" "" "SOURCES;DEPS" ${ARGN})
  add_library(espalier_${name} STATIC ${ARG_SOURCES})
  add_library(espalier::${name} ALIAS espalier_${name})
  target_link_libraries(espalier_${name} PUBLIC espalier_options ${ARG_DEPS})
endfunction()

# espalier_test(NAME SOURCES file... [DEPS ...] [LABELS ...] [COST n] [EACH]
#               [TOGETHER instantiation... [SHARDS n]])
#
# One test program per module. Its suites run in one process each, NAME.Suite in ctest: of short tests
# starting the process is most of the time. With EACH, and in the slow tier, tests are registered one
# by one, so that those that take seconds run side by side; the cases of the instantiations that
# TOGETHER names share a process, or as many as SHARDS says, if none of them ever skips itself. What
# has a higher COST begins first, in a tree where ctest does not know yet how long each takes: short
# ones then fill the end.
function(espalier_test name)
  cmake_parse_arguments(ARG "EACH" "COST;SHARDS" "SOURCES;DEPS;LABELS;TOGETHER" ${ARGN})
  add_executable(${name}_test ${ARG_SOURCES})
  target_link_libraries(${name}_test PRIVATE ${ARG_DEPS} espalier_testing GTest::gmock GTest::gtest_main)
  # Tests take longer to optimise than to run.
  target_compile_options(${name}_test PRIVATE $<$<CONFIG:Release>:-O1>)
  if(NOT ARG_LABELS AND NOT ARG_EACH)
    espalier_list_suites(${name} ${ARG_COST})
    return()
  endif()
  set(properties "")
  if(ARG_LABELS)
    list(APPEND properties LABELS "${ARG_LABELS}")
  endif()
  if(ARG_COST)
    list(APPEND properties COST ${ARG_COST})
  endif()
  set(apart "")
  foreach(instantiation ${ARG_TOGETHER})
    string(APPEND apart ":${instantiation}/*")
    espalier_list_shards(${name} ${instantiation} "${ARG_SHARDS}" ${properties})
  endforeach()
  if(apart)
    set(apart TEST_FILTER "-${apart}")
  endif()
  if(properties)
    list(PREPEND properties PROPERTIES)
  endif()
  gtest_discover_tests(${name}_test
    TEST_PREFIX ${name}. DISCOVERY_TIMEOUT 60 ${apart} ${properties})
endfunction()

# One entry for all tests of an instantiation, or as many as there are shards. The rest are properties.
function(espalier_list_shards name instantiation shards)
  if(NOT shards)
    set(shards 1)
  endif()
  foreach(shard RANGE 1 ${shards})
    set(entry ${name}.${instantiation})
    if(shards GREATER 1)
      string(APPEND entry .${shard})
    endif()
    add_test(NAME ${entry} COMMAND ${name}_test --gtest_filter=${instantiation}/*)
    math(EXPR index "${shard} - 1")
    set_tests_properties(${entry} PROPERTIES
      ENVIRONMENT "GTEST_TOTAL_SHARDS=${shards};GTEST_SHARD_INDEX=${index}" ${ARGN})
  endforeach()
endfunction()

# The optional argument is the cost of each.
function(espalier_list_suites name)
  set(entries ${CMAKE_CURRENT_BINARY_DIR}/${name}_suites.cmake)
  add_custom_command(TARGET ${name}_test POST_BUILD
    COMMAND ${CMAKE_COMMAND} -DMODULE=${name} "-DCOST=${ARGN}" -DPROGRAM=$<TARGET_FILE:${name}_test>
      "-DEMULATOR=$<TARGET_PROPERTY:${name}_test,CROSSCOMPILING_EMULATOR>"
      -DENTRIES=${entries} -P ${PROJECT_SOURCE_DIR}/cmake/ListSuites.cmake
    BYPRODUCTS ${entries}
    VERBATIM)
  # A program that was not built shows, as one that cannot be run.
  set(included ${CMAKE_CURRENT_BINARY_DIR}/${name}_include.cmake)
  file(WRITE ${included} "if(EXISTS \"${entries}\")\n  include(\"${entries}\")\nelse()\n  \
add_test(${name}_NOT_BUILT ${name}_NOT_BUILT)\nendif()\n")
  set_property(DIRECTORY APPEND PROPERTY TEST_INCLUDE_FILES ${included})
endfunction()
