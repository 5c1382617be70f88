#include "espalier/report/documents.hpp"

#include <gmock/gmock.h>

#include "example_documents.hpp"

namespace espalier::testing {
namespace {

using report::Documents;
using report::read_documents;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::SizeIs;

TEST(ReportDocuments, AreToldApartBySchema) {
  const ExampleFolder folder;
  const Documents documents = folder.read();
  EXPECT_THAT(documents.read, SizeIs(13));
  EXPECT_THAT(documents.profiles, SizeIs(1));
  EXPECT_THAT(documents.plans, SizeIs(1));
  EXPECT_THAT(documents.trainings, SizeIs(8));
  EXPECT_THAT(documents.compiled, SizeIs(1));
  EXPECT_THAT(documents.checks, SizeIs(1));
  EXPECT_THAT(documents.warnings, SizeIs(0));
  std::vector<std::string> kinds;
  for (const auto& conv : documents.networks.at(0).convs) kinds.push_back(conv.kind);
  EXPECT_THAT(kinds, ElementsAre("full", "pw1", "depthwise", "pw2"));
}

TEST(ReportDocuments, CountOnceWhenGivenTwice) {
  const ExampleFolder folder;
  const auto documents = read_documents({folder.path(), folder.path() / "head.0.json"});
  ASSERT_TRUE(documents.ok());
  EXPECT_THAT(documents->trainings, SizeIs(8));
}

TEST(ReportDocuments, PlansOfAFrontAreToldApartByBudget) {
  const ExampleFolder folder;
  Json front = Json::array();
  for (const int k : {1, 2}) {
    front.push_back({{"budget_bytes", 1024 * k}, {"plan", plan_document({{3, 0.5 * k}}, 1)}});
  }
  folder.write("search.json", {{"schema", "espalier.search/1"}, {"front", front}});
  const auto documents = read_documents({folder.path() / "search.json"});
  ASSERT_TRUE(documents.ok());
  ASSERT_THAT(documents->plans, SizeIs(2));
  EXPECT_EQ(documents->plans[1].budget_bytes, 2048);
  EXPECT_TRUE(documents->plans[1].of_front);
}

TEST(ReportDocuments, RacesAreReadByBudget) {
  const TempFolder folder;
  Json search = search_document();
  const auto documents = read_documents({folder.write("search.json", search.dump())});
  ASSERT_TRUE(documents.ok()) << documents.error().message();
  EXPECT_THAT(documents->plans, SizeIs(3));
  ASSERT_THAT(documents->searches, SizeIs(1));
  const report::MeasuredSearch& all = documents->searches[0];
  EXPECT_EQ(all.trainings, 40);
  EXPECT_EQ(all.rank_after, 0.75);
  ASSERT_THAT(all.races, SizeIs(3));  // the last one, which the document says again, once
  EXPECT_EQ(all.races[0].above_runner_up, std::nullopt);
  EXPECT_EQ(all.races[0].above_additive, std::nullopt);
  EXPECT_EQ(all.races[1].above_runner_up, 0.75);
  EXPECT_EQ(all.races[1].above_additive, 0.875);
  EXPECT_NEAR(all.races[1].gained.mean, 0.08, 1e-12);
  EXPECT_NEAR(all.races[1].additive.value().mean, 0.04, 1e-12);
  EXPECT_EQ(all.races[1].rate, 0.2);
  EXPECT_NEAR(all.races[1].at_rate.value().mean, 0.10, 1e-12);
  EXPECT_EQ(all.races[2].budget_bytes, 16384);
  EXPECT_EQ(all.races[2].memory_bytes, 12100);

  // A search of one budget says it without a front; one seed has no error.
  search.erase("front");
  search["planned_bytes"] = nullptr;
  search["race"]["finalists"][0]["gains"] = Json::array({0.08});
  search["race"]["finalists"][0]["standard_error"] = 0.0;
  const auto alone = read_documents({folder.write("alone.json", search.dump())});
  ASSERT_TRUE(alone.ok()) << alone.error().message();
  ASSERT_THAT(alone->searches.at(0).races, SizeIs(1));
  const auto& race = alone->searches[0].races[0];
  EXPECT_EQ(race.planned_bytes, std::nullopt);
  EXPECT_EQ(race.gained.standard_error, std::nullopt);
}

TEST(ReportDocuments, FaultsOfARaceAreNamed) {
  const TempFolder folder;
  const auto says = [&](const char* pointer, const Json& value) {
    Json search = search_document();
    search[Json::json_pointer(pointer)] = value;
    const auto documents = read_documents({folder.write("search.json", search.dump())});
    return documents.ok() ? std::string() : documents.error().message();
  };
  EXPECT_THAT(says("/front/1/race/finalists", Json::array()),
              HasSubstr("front[1]: race: 'finalists' is empty"));
  EXPECT_THAT(says("/front/1/race/learning_rate", 0.3), HasSubstr("none of its rates"));
  EXPECT_THAT(says("/front/1/race/above_additive", 1.5), HasSubstr("must be in [0, 1]"));
  EXPECT_THAT(says("/front/1/memory_bytes", -1), HasSubstr("below 0"));
}

TEST(ReportDocuments, TrainingsWhoseSamplesCameOtherwiseAreOfOtherSettings) {
  const auto setting = [](const Json& more) {
    Json document = training_document(plan_document({}, 1), 0, 0.5, 1.0);
    document.update(more);
    const TempFolder folder;
    const auto read = read_documents({folder.write("t.json", document.dump())});
    EXPECT_TRUE(read.ok());
    return read->trainings.at(0).setting;
  };
  const std::string plain = setting(Json::object());
  const std::string replay = setting({{"replay", {{"bytes", 4096}, {"steps", 2}}}});
  const std::string in_turn = setting({{"classes_in_turn", 2}});
  EXPECT_THAT(replay, HasSubstr("2 steps from 4096 bytes of replay memory"));
  EXPECT_THAT(in_turn, HasSubstr("2 classes in turn"));
  EXPECT_THAT(replay, ::testing::StartsWith(plain));
  EXPECT_THAT(in_turn, ::testing::StartsWith(plain));
}

TEST(ReportDocuments, OfOtherKindsAreNamedAndPassedOver) {
  const ExampleFolder folder;
  const TempFolder more;
  static_cast<void>(more.write("a.json", R"({"schema": "espalier.estimate/1"})"));
  static_cast<void>(more.write("b.json", "{"));
  static_cast<void>(more.write("c.json", "[1]"));
  static_cast<void>(more.write("notes.txt", "{"));
  static_cast<void>(more.write("deeper/d.json", "{"));
  const auto documents = read_documents({folder.path(), more.path()});
  ASSERT_TRUE(documents.ok());
  EXPECT_THAT(documents->read, SizeIs(13));
  EXPECT_THAT(documents->warnings, ElementsAre(HasSubstr("a.json: a report shows nothing of schema "
                                                         "'espalier.estimate/1'"),
                                               HasSubstr("b.json:1:2: not valid JSON"),
                                               HasSubstr("c.json: has no schema")));
  // Named by the user, it is an error.
  const auto broken = read_documents({folder.path(), more.path() / "b.json"});
  ASSERT_FALSE(broken.ok());
  EXPECT_EQ(broken.error().kind, ErrorKind::kBadInput);
}

TEST(ReportDocuments, NoneOfAKnownKindIsBadInput) {
  const TempFolder empty;
  const auto documents = read_documents({empty.path()});
  ASSERT_FALSE(documents.ok());
  EXPECT_EQ(documents.error().kind, ErrorKind::kBadInput);
  EXPECT_THAT(documents.error().message(), HasSubstr("give some of espalier.contributions/1"));
  EXPECT_EQ(read_documents({empty.path() / "none.json"}).error().kind, ErrorKind::kMissingInput);
}

// Every member of every document, replaced by values of other types: an error that names the file,
// or a document in which the member does not matter; never a crash.
TEST(ReportDocuments, MembersThatAreWrongAreNamed) {
  const Json plan = plan_document({{2, 0.5}}, 3);
  const TempFolder folder;
  int refused = 0;
  for (const Json& whole :
       {profile_document(), plan, training_document(plan, 0, 0.5, 1.0), inspect_document(),
        compile_document(plan), check_document(), search_document()}) {
    const Json flat = whole.flatten();
    for (const auto& [pointer, value] : flat.items()) {
      if (pointer == "/schema") continue;
      for (const Json& wrong : {Json("text"), Json(-7.5), Json(1e300), Json::object()}) {
        Json changed = whole;
        changed[Json::json_pointer(pointer)] = wrong;
        const auto documents = read_documents({folder.write("it.json", json_text(changed))});
        if (documents.ok()) continue;
        ++refused;
        EXPECT_EQ(documents.error().kind, ErrorKind::kBadInput) << pointer;
        EXPECT_THAT(documents.error().message(), HasSubstr("it.json: ")) << pointer;
      }
    }
  }
  EXPECT_GT(refused, 200);
}

TEST(ReportDocuments, AllFaultyOnesAreNamedInOneRun) {
  const ExampleFolder folder;
  folder.write("bad1.json", {{"schema", "espalier.plan/1"}});
  folder.write("bad2.json", {{"schema", "espalier.train/1"}});
  const auto documents = read_documents({folder.path()});
  ASSERT_FALSE(documents.ok());
  EXPECT_THAT(documents.error().message(), AllOf(HasSubstr("bad1.json"), HasSubstr("bad2.json")));
}

}  // namespace
}  // namespace espalier::testing
