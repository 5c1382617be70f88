// Writes that fail, at some calls; faults_slow_test.cpp has them all.
#include "fault_workspace.hpp"

namespace espalier::testing {
namespace {

TEST_F(FaultySweep, LosesNothingAndGoesOn) { fail_at(some, {"full"}); }

TEST_F(FaultyCommands, SayWhatCannotBeWrittenAndLeaveNoHalfFiles) {
  fail_at(some, [](std::size_t command, std::size_t way) { return command % 4 == way; });
}

}  // namespace
}  // namespace espalier::testing
