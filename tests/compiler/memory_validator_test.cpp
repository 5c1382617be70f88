#include "espalier/compiler/memory_validator.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstddef>
#include <limits>
#include <map>
#include <stdexcept>
#include <utility>

#include "espalier/compiler/chrome_trace.hpp"
#include "espalier/support/json.hpp"

namespace espalier::compiler {
namespace {

using ::testing::AllOf;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

constexpr std::int64_t kLargest = std::numeric_limits<std::int64_t>::max();

// Bytes in use with alignment 4: 12, 20, 16, 8.
MemoryProblem sample_problem() {
  return {.buffers = {{10, 0, 1}, {8, 1, 2}, {6, 2, 3}}, .steps = 4};
}

MemoryPlan sample_plan() { return {.offsets = {0, 12, 0}, .peak = 20, .lower_bound = 20}; }

std::vector<std::string> findings(const Status& status) {
  return status.ok() ? std::vector<std::string>{} : status.error().diagnostics;
}

std::vector<std::string> findings(const MemoryPlan& plan) {
  const Status status = validate(sample_problem(), plan);
  if (!status.ok()) {
    EXPECT_EQ(status.error().kind, ErrorKind::kMismatch);
  }
  return findings(status);
}

TEST(MemoryProblemCheck, AcceptsWhatIsSound) {
  EXPECT_THAT(findings(check(sample_problem())), IsEmpty());
  EXPECT_THAT(findings(check({})), IsEmpty());
}

TEST(MemoryProblemCheck, ListsEveryViolation) {
  const MemoryProblem problem{.buffers = {{0, 0, 0}, {4, 2, 1}, {4, -1, 0}, {4, 0, 4}, {4, 0, 3}},
                              .steps = 4};
  const Status status = check(problem);
  ASSERT_FALSE(status.ok());
  EXPECT_EQ(status.error().kind, ErrorKind::kBadInput);
  EXPECT_THAT(findings(status), ElementsAre("buffer 0: 0 bytes; a buffer must hold at least 1",
                                            "buffer 1: its last step 1 is before its first step 2",
                                            "buffer 2: steps -1 to 0, but the problem has 4 steps",
                                            "buffer 3: steps 0 to 4, but the problem has 4 steps"));
}

TEST(MemoryProblemCheck, AlignmentIsAPowerOfTwo) {
  for (const int alignment : {0, -4, 3, 12}) {
    MemoryProblem problem = sample_problem();
    problem.alignment = alignment;
    EXPECT_THAT(findings(check(problem)), ElementsAre(HasSubstr("is not a power of two")));
  }
}

TEST(MemoryProblemCheck, StepsAreBounded) {
  for (const int steps : {-1, kMaxSteps + 1}) {
    EXPECT_THAT(findings(check({.steps = steps})), ElementsAre(HasSubstr("steps; there must be")));
  }
}

TEST(MemoryProblemCheck, SumsDoNotOverflow) {
  MemoryProblem problem = sample_problem();
  problem.buffers[1].bytes = kLargest;
  EXPECT_THAT(findings(check(problem)),
              ElementsAre(AllOf(HasSubstr("buffer 1"), HasSubstr("would overflow"))));
  problem.buffers = {{kLargest / 6, 0, 0}, {kLargest / 6, 0, 0}};
  EXPECT_THAT(findings(check(problem)), ElementsAre(HasSubstr("buffer 1")));
}

TEST(MemoryProblem, BytesInUseAndLowerBound) {
  EXPECT_THAT(bytes_in_use(sample_problem()), ElementsAre(12, 20, 16, 8));
  EXPECT_EQ(lower_bound(sample_problem()), 20);
  EXPECT_EQ(lower_bound({}), 0);
  EXPECT_THROW(lower_bound({.buffers = {{4, 0, 7}}, .steps = 4}), std::invalid_argument);
}

TEST(MemoryValidator, AcceptsASoundPlan) {
  EXPECT_THAT(findings(sample_plan()), IsEmpty());
  EXPECT_TRUE(validate({}, {}).ok());
}

TEST(MemoryValidator, RefusesAnUnsoundProblemFirst) {
  const Status status = validate({.buffers = {{0, 0, 0}}, .steps = 1}, {.offsets = {0}});
  ASSERT_FALSE(status.ok());
  EXPECT_EQ(status.error().kind, ErrorKind::kBadInput);
}

TEST(MemoryValidator, NamesAWrongCount) {
  MemoryPlan plan = sample_plan();
  plan.offsets.pop_back();
  EXPECT_THAT(findings(plan), ElementsAre("the plan has 2 offsets for 3 buffers"));
}

TEST(MemoryValidator, NamesAnOverlap) {
  MemoryPlan plan = sample_plan();
  plan.offsets[1] = 8;
  plan.peak = 16;
  EXPECT_THAT(findings(plan),
              ElementsAre("buffers 0 and 1 overlap in step 1: [0, 10) and [8, 16)"));
}

TEST(MemoryValidator, NamesEveryOverlap) {
  MemoryPlan plan = sample_plan();
  plan.offsets = {0, 0, 0};
  plan.peak = 12;
  EXPECT_THAT(findings(plan), ElementsAre("buffers 0 and 1 overlap in step 1: [0, 10) and [0, 8)",
                                          "buffers 1 and 2 overlap in step 2: [0, 8) and [0, 6)"));
}

TEST(MemoryValidator, PaddingOfAnotherBufferIsNobodys) {
  // Buffer 0 ends at byte 10; what follows up to 12 is padding, but 10 is no aligned offset.
  MemoryPlan plan = sample_plan();
  plan.offsets[1] = 10;
  EXPECT_THAT(findings(plan),
              ElementsAre("buffer 1: offset 10 is not a multiple of the alignment 4"));
}

TEST(MemoryValidator, NamesANegativeOffset) {
  MemoryPlan plan = sample_plan();
  plan.offsets[2] = -4;
  EXPECT_THAT(findings(plan), ElementsAre("buffer 2: offset -4 is negative"));
}

TEST(MemoryValidator, NamesBuffersBeyondThePeak) {
  MemoryPlan plan = sample_plan();
  plan.peak = 16;
  EXPECT_THAT(findings(plan),
              ElementsAre("buffer 1: its addresses [12, 20) end beyond the peak of 16 bytes",
                          "the plan claims a peak of 16 bytes, its buffers end at 20"));
}

TEST(MemoryValidator, NamesAPeakThatIsTooHigh) {
  MemoryPlan plan = sample_plan();
  plan.peak = 24;
  EXPECT_THAT(findings(plan),
              ElementsAre("the plan claims a peak of 24 bytes, its buffers end at 20"));
}

TEST(MemoryValidator, ThePeakIsRoundedUpToTheAlignment) {
  const MemoryProblem problem{.buffers = {{5, 0, 0}}, .steps = 1};
  EXPECT_TRUE(validate(problem, {.offsets = {0}, .peak = 8, .lower_bound = 8}).ok());
  EXPECT_FALSE(validate(problem, {.offsets = {0}, .peak = 5, .lower_bound = 8}).ok());
}

TEST(MemoryValidator, NamesAWrongLowerBound) {
  MemoryPlan plan = sample_plan();
  plan.lower_bound = 16;
  EXPECT_THAT(findings(plan), ElementsAre("the plan claims a lower bound of 16 bytes, it is 20"));
}

TEST(MemoryValidator, SurvivesAbsurdOffsets) {
  MemoryPlan plan = sample_plan();
  plan.offsets = {kLargest, std::numeric_limits<std::int64_t>::min(), kLargest - 1};
  EXPECT_THAT(findings(plan), Contains(HasSubstr("end beyond the peak")));
}

TEST(MemoryCsv, WritesTheLayoutOfThePublicBenchmarks) {
  MemoryProblem problem = sample_problem();
  problem.alignment = 1;
  EXPECT_EQ(to_csv(problem, {"x", "y", "z"}), "id,lower,upper,size\nx,0,2,10\ny,1,3,8\nz,2,4,6\n");
  const MemoryPlan plan = sample_plan();
  EXPECT_EQ(to_csv(problem, {"x", "y", "z"}, &plan),
            "id,lower,upper,size,offset\nx,0,2,10,0\ny,1,3,8,12\nz,2,4,6,0\n");
}

TEST(MemoryCsv, WritesTheAlignmentUnlessItIsOne) {
  const MemoryPlan plan = sample_plan();
  EXPECT_THAT(to_csv(sample_problem(), {}, &plan),
              HasSubstr("id,lower,upper,size,alignment,offset\n0,0,2,10,4,0\n"));
}

TEST(MemoryCsv, NamesCannotBreakTheLayout) {
  EXPECT_THAT(to_csv(sample_problem(), {"a,b\n\"c\"", ""}),
              AllOf(HasSubstr("\na_b__c_,0,2"), HasSubstr("\n1,1,3"), HasSubstr("\n2,2,4")));
}

TEST(MemoryCsv, RefusesAPlanOfAnotherProblem) {
  const MemoryPlan plan{.offsets = {0}};
  EXPECT_THROW(to_csv(sample_problem(), {}, &plan), std::invalid_argument);
}

TEST(MemoryCsv, ReadsWhatItWrites) {
  const MemoryPlan plan = sample_plan();
  for (const int alignment : {1, 4, 64}) {
    MemoryProblem problem = sample_problem();
    problem.alignment = alignment;
    for (const MemoryPlan* written : {static_cast<const MemoryPlan*>(nullptr), &plan}) {
      const Result<MemoryProblem> read = problem_from_csv(to_csv(problem, {}, written), "x.csv");
      ASSERT_TRUE(read.ok()) << read.error().message();
      EXPECT_EQ(*read, problem);
    }
  }
}

TEST(MemoryCsv, ReadsColumnsInAnyOrderAndOtherLineEnds) {
  const Result<MemoryProblem> read =
      problem_from_csv("\xEF\xBB\xBFsize,note,upper,lower\r\n10,hi,2,0\r\n\r\n8,,3,1", "x.csv");
  ASSERT_TRUE(read.ok()) << read.error().message();
  EXPECT_EQ(*read, (MemoryProblem{.buffers = {{10, 0, 1}, {8, 1, 2}}, .steps = 3, .alignment = 1}));
}

TEST(MemoryCsv, ReadsAProblemWithoutBuffers) {
  const Result<MemoryProblem> read = problem_from_csv("id,lower,upper,size\n", "x.csv");
  ASSERT_TRUE(read.ok());
  EXPECT_EQ(*read, MemoryProblem{.alignment = 1});
}

TEST(MemoryCsv, ListsEveryFaultyLine) {
  const Result<MemoryProblem> read = problem_from_csv(
      "id,lower,upper,size\na,0,2,4\nb,0,2\nc,-1,2,4\nd,0,x,4\ne,2,2,4\nf,0,1,0\ng,0,1,4.5\n"
      "h,0,99999999999999999999,4\n",
      "x.csv");
  ASSERT_FALSE(read.ok());
  EXPECT_EQ(read.error().kind, ErrorKind::kBadInput);
  EXPECT_THAT(read.error().diagnostics,
              ElementsAre("x.csv:3: 3 fields, but the header has 4 columns",
                          HasSubstr("x.csv:4: lower '-1' is not a step"),
                          HasSubstr("x.csv:5: upper 'x' is not a step"),
                          HasSubstr("x.csv:6: upper 2 must be above lower 2"),
                          "x.csv:7: size '0' is not a number of bytes above 0",
                          "x.csv:8: size '4.5' is not a number of bytes above 0",
                          HasSubstr("x.csv:9: upper '99999999999999999999' is not a step")));
}

TEST(MemoryCsv, RefusesHeadersItCannotRead) {
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"", "x.csv: no header; begin with 'id,lower,upper,size'"},
      {"id,lower,size\n", "x.csv:1: no column 'upper'; the header must name it"},
      {"buffer,lower,end,size\n", "x.csv:1: no column 'upper'; the header must name it"},
      {"id,lower,upper,size,size\n", "x.csv:1: two columns 'size'; keep one of them"},
  };
  for (const auto& [text, expected] : cases) {
    const Result<MemoryProblem> read = problem_from_csv(text, "x.csv");
    ASSERT_FALSE(read.ok()) << text;
    EXPECT_THAT(read.error().diagnostics, ElementsAre(expected));
  }
}

TEST(MemoryCsv, RefusesWhatAProblemCannotHold) {
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"lower,upper,size,alignment\n0,1,4,4\n0,1,4,8\n", "x.csv:3: alignment 8 after 4"},
      {"lower,upper,size,alignment\n0,1,4,6\n", "x.csv:2: alignment '6' is not a power of two"},
      {"lower,upper,size,gaps\n0,9,4,2-3\n", "x.csv:2: a buffer with gaps"},
      {"lower,upper,size\n0,1,9223372036854775807\n", "x.csv: buffer 0: 9223372036854775807"},
  };
  for (const auto& [text, expected] : cases) {
    const Result<MemoryProblem> read = problem_from_csv(text, "x.csv");
    ASSERT_FALSE(read.ok()) << text;
    EXPECT_THAT(read.error().diagnostics, ElementsAre(HasSubstr(expected)));
  }
  EXPECT_TRUE(problem_from_csv("lower,upper,size,gaps\n0,9,4,\n", "x.csv").ok());
}

std::vector<Json> events(const std::string& trace, const std::string& phase) {
  std::vector<Json> found;
  const Result<Json> document = parse_json(trace, "trace");
  EXPECT_TRUE(document.ok());
  if (!document.ok()) return found;
  for (const Json& event : (*document)["traceEvents"]) {
    if (event["ph"] == phase) found.push_back(event);
  }
  return found;
}

TEST(ChromeTrace, HasABarForEveryBufferAndStep) {
  const std::string trace =
      chrome_trace(sample_problem(), sample_plan(), {"x", "y", "z"}, {"s0", "s1", "s2", "s3"});
  std::map<std::string, Json> bars;
  for (const Json& event : events(trace, "X")) bars[event["name"]] = event;
  ASSERT_THAT(bars, SizeIs(7));
  EXPECT_EQ(bars["y"]["ts"], 1);
  EXPECT_EQ(bars["y"]["dur"], 2);
  EXPECT_EQ(bars["y"]["args"]["offset"], 12);
  EXPECT_EQ(bars["y"]["args"]["bytes"], 8);
  EXPECT_EQ(bars["s2"]["ts"], 2);
  EXPECT_EQ(bars["s2"]["dur"], 1);
  // Addresses from low to high; x and z never meet and share the lowest row.
  EXPECT_EQ(bars["x"]["tid"], bars["z"]["tid"]);
  EXPECT_LT(bars["x"]["tid"], bars["y"]["tid"]);
  EXPECT_NE(bars["s0"]["tid"], bars["x"]["tid"]);
}

TEST(ChromeTrace, CountsTheBytesInUseOfEveryStep) {
  std::vector<int> bytes;
  const std::string trace = chrome_trace(sample_problem(), sample_plan(), {}, {});
  for (const Json& event : events(trace, "C")) {
    EXPECT_EQ(event["ts"], bytes.size());
    bytes.push_back(event["args"]["bytes"]);
  }
  EXPECT_THAT(bytes, ElementsAre(12, 20, 16, 8, 0));
}

TEST(ChromeTrace, BarsOfOneRowNeverOverlap) {
  MemoryProblem problem{.steps = 40};
  MemoryPlan plan;
  for (int i = 0; i < 100; ++i) {
    const int first = i * 7 % 40;
    problem.buffers.push_back({4, first, std::min(39, first + i % 9)});
    plan.offsets.push_back(4 * (i * 13 % 20));
  }
  std::map<int, std::vector<bool>> taken;
  const std::vector<Json> bars = events(chrome_trace(problem, plan, {}, {"s"}), "X");
  EXPECT_THAT(bars, SizeIs(101));
  for (const Json& bar : bars) {
    std::vector<bool>& row = taken[bar["tid"]];
    row.resize(40);
    for (int step = bar["ts"]; step < bar["ts"].get<int>() + bar["dur"].get<int>(); ++step) {
      EXPECT_FALSE(row[static_cast<std::size_t>(step)]) << bar;
      row[static_cast<std::size_t>(step)] = true;
    }
  }
}

TEST(ChromeTrace, AnyNameMakesValidJson) {
  const std::string trace =
      chrome_trace(sample_problem(), sample_plan(), {"a\"b", "\xFF\n", ""}, {"\\"});
  EXPECT_THAT(events(trace, "X"), SizeIs(4));
}

TEST(ChromeTrace, RefusesAPlanOfAnotherProblem) {
  EXPECT_THROW(chrome_trace(sample_problem(), {}, {}, {}), std::invalid_argument);
}

}  // namespace
}  // namespace espalier::compiler
