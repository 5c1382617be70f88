#include "espalier/support/json.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <limits>
#include <string>

#include "espalier/support/file.hpp"
#include "support/temp_folder.hpp"

namespace espalier {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;
using testing::TempFolder;

TEST(ParseJson, GivesLineAndColumnOfAnError) {
  const std::pair<const char*, const char*> cases[] = {
      {"{\"a\": 1,\n \"b\": }", "plan.json:2:7: "},
      {"nonsense", "plan.json:1:2: "},
      {"", "plan.json:1:1: "},
      {"{\n\n  \"a\" 1\n}", "plan.json:3:7: "},
      {"[1, 2] x", "plan.json:1:8: "},
  };
  for (const auto& [text, prefix] : cases) {
    const Result<Json> json = parse_json(text, "plan.json");
    ASSERT_FALSE(json.ok()) << text;
    EXPECT_EQ(json.error().kind, ErrorKind::kBadInput);
    EXPECT_THAT(json.error().message(), StartsWith(prefix)) << text;
  }
}

TEST(ParseJson, RefusesNumbersThatNoDoubleHolds) {
  EXPECT_EQ(parse_json("{\n  \"a\": 1e999\n}", "plan.json").error().message(),
            "plan.json:2:12: the number 1e999 is out of range");
  EXPECT_EQ(parse_json("-1e999", "x").error().kind, ErrorKind::kBadInput);
  EXPECT_TRUE(parse_json("1e308", "x").ok());
  EXPECT_TRUE(parse_json("1e-999", "x").ok());
  EXPECT_TRUE(parse_json("99999999999999999999999", "x").ok());
}

TEST(ParseJson, RefusesNestingThatWouldExhaustTheStack) {
  for (const char* open : {"[", "{\"a\":"}) {
    std::string text;
    for (int i = 0; i < 500000; ++i) text += open;
    EXPECT_THAT(parse_json(text, "plan.json").error().message(),
                HasSubstr("plan.json: nested deeper than 100 levels"));
  }
  EXPECT_TRUE(parse_json(std::string(100, '[') + std::string(100, ']'), "x").ok());
}

TEST(JsonText, IsReadableWhateverTheBytes) {
  for (int byte = 0; byte < 256; ++byte) {
    const std::string name = std::string("a") + static_cast<char>(byte) + "b";
    const std::string text = json_text({{"name", name}});
    const Result<Json> back = parse_json(text, "x");
    ASSERT_TRUE(back.ok()) << byte;
    EXPECT_EQ((*back)["name"], byte < 128 ? name
                                          : "a\xef\xbf\xbd"
                                            "b");
  }
}

TEST(ParseJson, RefusesInvalidUtf8) { EXPECT_FALSE(parse_json("\"\xff\xfe\"", "x").ok()); }

TEST(ParseJson, KeepsTheOrderOfKeys) {
  EXPECT_EQ(parse_json(R"({"b":1,"a":2})", "x")->dump(), R"({"b":1,"a":2})");
}

TEST(JsonField, ReadsEachType) {
  const Json json = *parse_json(R"({"s":"t","i":-5,"d":0.5,"b":true,"list":[1]})", "x");
  EXPECT_EQ(*json_field<std::string>(json, "s", "x"), "t");
  EXPECT_EQ(*json_field<int>(json, "i", "x"), -5);
  EXPECT_EQ(*json_field<std::int64_t>(json, "i", "x"), -5);
  EXPECT_EQ(*json_field<double>(json, "d", "x"), 0.5);
  EXPECT_EQ(*json_field<double>(json, "i", "x"), -5.0);
  EXPECT_TRUE(*json_field<bool>(json, "b", "x"));
  EXPECT_EQ(json_field<Json>(json, "list", "x")->size(), 1U);
}

TEST(JsonField, NamesPlaceAndKeyOfWhatIsMissingOrOfAnotherType) {
  const Json json = *parse_json(R"({"s":"t","d":0.5})", "x");
  const std::string wrong_type = json_field<int>(json, "d", "plan.json").error().message();
  EXPECT_THAT(wrong_type, StartsWith("plan.json: 'd'"));
  const Result<std::string> missing = json_field<std::string>(json, "none", "plan.json");
  ASSERT_FALSE(missing.ok());
  EXPECT_EQ(missing.error().kind, ErrorKind::kBadInput);
  EXPECT_THAT(missing.error().message(), StartsWith("plan.json: 'none'"));
  EXPECT_FALSE(json_field<bool>(json, "s", "x").ok());
  EXPECT_FALSE(json_field<double>(json, "s", "x").ok());
  EXPECT_FALSE(json_field<std::string>(Json(5), "s", "x").ok()) << "not an object at all";
}

TEST(JsonField, RefusesIntegersThatDoNotFit) {
  const Json json = *parse_json(R"({"max":9223372036854775807,"above":9223372036854775808,)"
                                R"("int":2147483648,"min":-2147483648})",
                                "x");
  EXPECT_EQ(*json_field<std::int64_t>(json, "max", "x"), std::numeric_limits<std::int64_t>::max());
  EXPECT_FALSE(json_field<std::int64_t>(json, "above", "x").ok());
  EXPECT_FALSE(json_field<int>(json, "int", "x").ok());
  EXPECT_EQ(*json_field<int>(json, "min", "x"), std::numeric_limits<int>::min());
}

TEST(ReadJson, ChecksTheSchema) {
  const TempFolder folder;
  const std::string path = folder.write("a.json", R"({"schema":"espalier.plan/1"})");
  EXPECT_TRUE(read_json(path, "espalier.plan/1").ok());
  const Result<Json> other = read_json(path, "espalier.contributions/1");
  ASSERT_FALSE(other.ok());
  EXPECT_THAT(other.error().message(), HasSubstr("espalier.plan/1"));
  EXPECT_THAT(other.error().message(), HasSubstr("espalier.contributions/1"));
  EXPECT_FALSE(read_json(folder.write("b.json", "{}"), "espalier.plan/1").ok());
  EXPECT_FALSE(read_json(folder.write("c.json", "[]"), "espalier.plan/1").ok());
  EXPECT_EQ(read_json(folder.path() / "none", "x").error().kind, ErrorKind::kMissingInput);
}

TEST(WriteJson, WritesIndentedWithAFinalNewline) {
  const TempFolder folder;
  const std::string path = (folder.path() / "a.json").string();
  ASSERT_TRUE(write_json(path, Json{{"schema", "s"}, {"n", 1}}).ok());
  EXPECT_EQ(*read_file(path), "{\n  \"schema\": \"s\",\n  \"n\": 1\n}\n");
  EXPECT_EQ(write_json(folder.path() / "none" / "a.json", Json{}).error().kind,
            ErrorKind::kCannotWrite);
}

}  // namespace
}  // namespace espalier
