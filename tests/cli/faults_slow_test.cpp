// Writes that fail, at every call.
#include "fault_workspace.hpp"

namespace espalier::testing {
namespace {

class FaultySweepSlow : public FaultySweep {};
class FaultyCommandsSlow : public FaultyCommands {};

TEST_F(FaultySweepSlow, LosesNothingAndGoesOn) {
  fail_at(every, {"full", "readonly", "once", "short"});
}

TEST_F(FaultyCommandsSlow, SayWhatCannotBeWrittenAndLeaveNoHalfFiles) {
  fail_at(every, [](std::size_t, std::size_t) { return true; });
}

}  // namespace
}  // namespace espalier::testing
