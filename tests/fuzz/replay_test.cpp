// The fuzz targets without libFuzzer: every input of the corpus as it is, cut off and with bytes
// changed. Long runs are tools/fuzz.sh.
#include <gtest/gtest.h>

#include <algorithm>
#include <ostream>
#include <string>
#include <vector>

#include "espalier/support/rng.hpp"
#include "fuzz/corpus.hpp"
#include "fuzz/targets.hpp"

namespace espalier::fuzz {
namespace {

struct Target {
  const char* name;
  void (*run)(const std::uint8_t* data, std::size_t size);
};

std::ostream& operator<<(std::ostream& out, const Target& target) { return out << target.name; }

class Replay : public ::testing::TestWithParam<Target> {
 protected:
  static void run(const std::string& bytes) {
    GetParam().run(reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size());
  }
};

TEST_P(Replay, CorpusAndItsDamagedForms) {
  static const Corpus kCorpus = corpus();
  const auto found = kCorpus.find(GetParam().name);
  ASSERT_NE(found, kCorpus.end()) << "no input to start from";
  run("");
  for (const std::string& input : found->second) {
    run(input);
    Rng rng{input.size(), 0x46555A5A};  // "FUZZ"
    for (int i = 0; i < 40; ++i) {
      run(input.substr(0, rng.below(input.size())));
      std::string changed = input;
      for (int k = 0; k < 1 + i % 4; ++k) {
        changed[rng.below(changed.size())] = static_cast<char>(rng.below(256));
      }
      run(changed);
    }
  }
}

constexpr Target kTargets[]{
#define ESPALIER_FUZZ_TARGET(name) {#name, &name},
#include "targets.def"
#undef ESPALIER_FUZZ_TARGET
};

INSTANTIATE_TEST_SUITE_P(Targets, Replay, ::testing::ValuesIn(kTargets),
                         [](const auto& tested) { return std::string(tested.param.name); });

}  // namespace
}  // namespace espalier::fuzz
