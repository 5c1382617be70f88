// The command line in the process of the test, its streams kept.
#include "program.hpp"
#include "workspace.hpp"

namespace espalier::testing {

Finished Workspace::run_here(const Arguments& arguments) const {
  const std::filesystem::path before = std::filesystem::current_path();
  std::filesystem::current_path(folder_.path());
  ::testing::internal::CaptureStdout();
  ::testing::internal::CaptureStderr();
  Finished finished;
  finished.exit_code = cli::run_program(arguments);
  finished.err = ::testing::internal::GetCapturedStderr();
  finished.out = ::testing::internal::GetCapturedStdout();
  std::filesystem::current_path(before);
  EXPECT_NE(finished.exit_code, 70) << finished.err;
  return finished;
}

}  // namespace espalier::testing
