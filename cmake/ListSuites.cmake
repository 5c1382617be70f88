# Run behind the build of a test program: writes its ctest entries, one a suite.
#   cmake -DMODULE=ir -DPROGRAM=PATH [-DEMULATOR=LIST] [-DCOST=n] -DENTRIES=FILE -P ListSuites.cmake
execute_process(COMMAND ${EMULATOR} ${PROGRAM} --gtest_list_tests
  OUTPUT_VARIABLE listed RESULT_VARIABLE result TIMEOUT 60)
if(NOT result EQUAL 0)
  message(FATAL_ERROR "${PROGRAM} does not list its tests: ${result}\n${listed}")
endif()
string(REGEX MATCHALL "(^|\n)[^ \n][^ \n]*\\." suites "${listed}")
if(NOT suites)
  message(FATAL_ERROR "${PROGRAM} has no tests:\n${listed}")
endif()
set(body "")
set(cost "")
if(COST)
  set(cost "  COST ${COST}\n")
endif()
foreach(suite ${suites})
  string(REGEX REPLACE "^\n|\\.$" "" suite "${suite}")
  # A test that skips itself stands last in a report without failures.
  string(APPEND body
    "add_test([=[${MODULE}.${suite}]=] ${EMULATOR} [=[${PROGRAM}]=] [=[--gtest_filter=${suite}.*]=])\n"
    "set_tests_properties([=[${MODULE}.${suite}]=] PROPERTIES\n${cost}"
    "  SKIP_REGULAR_EXPRESSION [=[\\[  SKIPPED \\] [^\n]*\n$]=])\n")
endforeach()
file(WRITE ${ENTRIES} "${body}")
