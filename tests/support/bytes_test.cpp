#include "espalier/support/bytes.hpp"

#include <gtest/gtest.h>

namespace espalier {
namespace {

TEST(ParseBytes, ReadsEveryUnit) {
  const std::pair<const char*, std::int64_t> cases[] = {
      {"0", 0},
      {"100", 100},
      {"7B", 7},
      {"100KiB", 102400},
      {"256KB", 256000},
      {"256kB", 256000},
      {"1.5MiB", 1572864},
      {"2MB", 2000000},
      {"1GiB", 1073741824},
      {"64 KiB", 65536},
      {"0.5KiB", 512},
      {"99.844KiB", 102240},
  };
  for (const auto& [text, expected] : cases) {
    const Result<Bytes> size = parse_bytes(text);
    ASSERT_TRUE(size.ok()) << text;
    EXPECT_EQ(size->count, expected) << text;
  }
}

TEST(ParseBytes, RefusesWhatIsNoSize) {
  for (const char* text : {"", "KiB", "-1", "-1KiB", "12 parsecs", "1kib", "1e400", "nan", "inf",
                           "1KiBx", "0x10", " 1", "99999999999999999GiB"}) {
    const Result<Bytes> size = parse_bytes(text);
    ASSERT_FALSE(size.ok()) << text;
    EXPECT_EQ(size.error().kind, ErrorKind::kUsage) << text;
    EXPECT_NE(size.error().message().find("100KiB"), std::string::npos)
        << "no example in: " << size.error().message();
  }
}

TEST(FormatBytes, ChoosesTheUnit) {
  EXPECT_EQ(format_bytes(Bytes{0}), "0 B");
  EXPECT_EQ(format_bytes(Bytes{1023}), "1023 B");
  EXPECT_EQ(format_bytes(Bytes{102400}), "100.00 KiB");
  EXPECT_EQ(format_bytes(Bytes{1572864}), "1.50 MiB");
}

TEST(Bytes, AreOrdered) {
  EXPECT_LT(Bytes{1}, Bytes{2});
  EXPECT_EQ(Bytes{3}, Bytes{3});
  EXPECT_DOUBLE_EQ(Bytes{1536}.kib(), 1.5);
}

}  // namespace
}  // namespace espalier
