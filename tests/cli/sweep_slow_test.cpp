// The same as sweep_test.cpp has it, many times over.
#include "sweep_workspace.hpp"

namespace espalier::testing {
namespace {

class SweepSlowTest : public SweepWorkspace {};

TEST_F(SweepSlowTest, KilledTwoHundredTimes) { kill_often(200); }

}  // namespace
}  // namespace espalier::testing
