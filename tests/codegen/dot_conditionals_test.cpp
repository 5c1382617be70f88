// Emitted kernels hold one side of each conditional on the dot product, and a text that is not
// understood is not guessed at.
#include "dot_conditionals.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <stdexcept>

#include "espalier/runtime/kernels.hpp"

namespace espalier::codegen {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

TEST(DotConditionals, KeepTheSideThatIsCompiled) {
  const char* text =
      "a\n#ifdef ESP_DOT4\nb\n#ifdef X\nc\n#else\nd\n#endif\n#else\ne\n#ifndef Y\nf\n#endif\n"
      "#endif /* dot */\n#if Z\n#ifndef ESP_DOT4\ng\n#endif\n#elif W\n#ifdef ESP_DOT4\nh\n#endif\n"
      "#endif\n";
  EXPECT_EQ(resolve_dot_conditionals("x", text, true),
            "a\nb\n#ifdef X\nc\n#else\nd\n#endif\n#if Z\n#elif W\nh\n#endif\n");
  EXPECT_EQ(resolve_dot_conditionals("x", text, false),
            "a\ne\n#ifndef Y\nf\n#endif\n#if Z\ng\n#elif W\n#endif\n");
}

TEST(DotConditionals, NestInEachOther) {
  const char* text =
      "#ifdef ESP_DOT4\na\n#ifndef ESP_DOT4\nb\n#else\nc\n#endif\n#else\n#ifdef "
      "ESP_DOT4\nd\n#else\n"
      "e\n#endif\n#endif\n";
  EXPECT_EQ(resolve_dot_conditionals("x", text, true), "a\nc\n");
  EXPECT_EQ(resolve_dot_conditionals("x", text, false), "e\n");
}

TEST(DotConditionals, AnythingElseIsAnError) {
  for (const char* text : {
           "#if defined(ESP_DOT4)\n#endif\n",
           "#ifdef ESP_DOT4 /* why */\n#endif\n",
           "# ifdef ESP_DOT4\n# endif\n",
           "  #endif\n",
           "#define ESP_DOT4\n",
           "int x = ESP_DOT4;\n",
           "/* see ESP_DOT4 */\n",
           "#ifdef ESP_DOT4\n#elif X\n#endif\n",
           "#ifdef ESP_DOT4\n#else\n#else\n#endif\n",
           "#ifdef ESP_DOT4\n#endif x\n",
           "#ifdef ESP_DOT4\n",
           "#if X\n#ifdef ESP_DOT4\n#endif\n",
           "#else\n",
           "#endif\n",
       }) {
    EXPECT_THROW((void)resolve_dot_conditionals("x", text, true), std::logic_error) << text;
    EXPECT_THROW((void)resolve_dot_conditionals("x", text, false), std::logic_error) << text;
  }
  try {
    (void)resolve_dot_conditionals("esp_a.c", "int a;\n#undef ESP_DOT4\n", true);
    FAIL();
  } catch (const std::logic_error& error) {
    EXPECT_THAT(error.what(), HasSubstr("esp_a.c:2: "));
  }
}

TEST(DotConditionals, AllSourcesAreUnderstood) {
  for (const auto& [name, text] : runtime::runtime_sources()) {
    for (const bool defined : {false, true}) {
      EXPECT_THAT(resolve_dot_conditionals(name, text, defined), Not(HasSubstr("ESP_DOT4")))
          << name;
    }
  }
}

}  // namespace
}  // namespace espalier::codegen
