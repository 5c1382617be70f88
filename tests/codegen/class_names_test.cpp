// Whatever a class is called, a C compiler gets the same bytes back.
#include "class_names.hpp"

#include <gtest/gtest.h>

#include <cstdlib>
#include <string>
#include <vector>

#include "espalier/support/file.hpp"
#include "support/temp_folder.hpp"

namespace espalier::codegen {
namespace {

TEST(ClassNames, AnUnknownListIsLeftOut) { EXPECT_EQ(class_names_macro("NET", {}), ""); }

TEST(ClassNames, ReachTheCompilerByteForByte) {
  std::string every_byte;
  for (int byte = 1; byte < 256; ++byte) every_byte += static_cast<char>(byte);
  ir::Head head;
  head.class_names = {"ant",
                      "",
                      "\"",
                      "\\",
                      "?"
                      "?/",
                      "*/",
                      "a\nb",
                      "7",
                      "Stra\xc3\x9f"
                      "e",
                      every_byte};
  head.classes = static_cast<int>(head.class_names.size());
  const testing::TempFolder folder;
  std::string expected;
  for (const std::string& name : head.class_names) expected += name + "|";
  const std::string source =
      folder.write("names.c", "#include <stdio.h>\n#define NET_CLASSES " +
                                  std::to_string(head.classes) + class_names_macro("NET", head) +
                                  "static const char *const names[NET_CLASSES] = NET_CLASS_NAMES;\n"
                                  "int main(void) {\n  int i;\n"
                                  "  for (i = 0; i < NET_CLASSES; ++i) printf(\"%s|\", names[i]);\n"
                                  "  return 0;\n}\n");
  const std::string program = (folder.path() / "names").string();
  const std::string output = (folder.path() / "output").string();
  ASSERT_EQ(std::system(("cc -std=c99 -Wall -Wextra -pedantic -Werror -o " + program + " " +
                         source + " && " + program + " > " + output)
                            .c_str()),
            0);
  EXPECT_EQ(*read_file(output), expected);
}

}  // namespace
}  // namespace espalier::codegen
