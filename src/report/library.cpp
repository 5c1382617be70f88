// The drawing library as it lay in build/npm when Espalier was built.
#include "espalier/report/page.hpp"

#ifdef ESPALIER_VEGA

// The assembler takes the files in as they are; as string literals they would take the compiler
// seconds.
#define ESPALIER_BYTES(name, file)                                                                \
  __asm__(".pushsection .rodata\n.globl espalier_" #name "\nespalier_" #name ":\n.incbin \"" file \
          "\"\n.globl espalier_" #name "_end\nespalier_" #name "_end:\n.byte 0\n.popsection\n");  \
  extern "C" const char espalier_##name[];                                                        \
  extern "C" const char espalier_##name##_end[]

ESPALIER_BYTES(vega, ESPALIER_VEGA);
ESPALIER_BYTES(vega_lite, ESPALIER_VEGA_LITE);
ESPALIER_BYTES(vega_embed, ESPALIER_VEGA_EMBED);
ESPALIER_BYTES(vega_licences, ESPALIER_VEGA_LICENCES);

namespace espalier::report {
namespace {

std::string_view between(const char* begin, const char* end) {
  return {begin, static_cast<std::size_t>(end - begin)};
}

}  // namespace

DrawingLibrary built_in_library() {
  return {between(espalier_vega, espalier_vega_end),
          between(espalier_vega_lite, espalier_vega_lite_end),
          between(espalier_vega_embed, espalier_vega_embed_end),
          between(espalier_vega_licences, espalier_vega_licences_end)};
}

}  // namespace espalier::report

#else

namespace espalier::report {

DrawingLibrary built_in_library() { return {}; }

}  // namespace espalier::report

#endif
