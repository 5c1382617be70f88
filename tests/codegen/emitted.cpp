#include "emitted.hpp"

#include <dlfcn.h>
#include <fmt/format.h>
#include <sys/wait.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>
#include <stdexcept>

#include "espalier/support/folder.hpp"
#include "testing/quick_compiler.hpp"

namespace espalier::testing {

TemporaryFolder::TemporaryFolder() {
  std::string name = (std::filesystem::temp_directory_path() / "espalier-XXXXXX").string();
  if (mkdtemp(name.data()) == nullptr) throw std::runtime_error("no temporary folder");
  path_ = name;
}

TemporaryFolder::~TemporaryFolder() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

int run_command(const std::string& command, std::string& output) {
  FILE* pipe = popen(("{ " + command + "; } 2>&1").c_str(), "r");
  if (pipe == nullptr) throw std::runtime_error("cannot run " + command);
  std::array<char, 4096> buffer{};
  std::size_t n = 0;
  while ((n = std::fread(buffer.data(), 1, buffer.size(), pipe)) > 0) {
    output.append(buffer.data(), n);
  }
  const int status = pclose(pipe);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128;
}

EmittedProgram::EmittedProgram(const std::map<std::string, std::string>& files,
                               const std::string& name, const std::string& flags)
    : name_(name) {
  const std::filesystem::path sources = folder_.path() / "c";
  const Status written = write_folder(sources, files, false);
  if (!written.ok()) throw std::runtime_error(written.error().message());
  std::string output;
  const std::string command = fmt::format(
      "cd {0} && {3} {2} -std=c99 -Wall -Wextra -Werror -pedantic -ffp-contract=off -fPIC -shared "
      "{1}.c {1}_params.c -o lib.so",
      sources.string(), name, flags, flags.empty() ? quick_compiler("cc") : "cc");
  if (run_command(command, output) != 0) throw std::runtime_error(output);
  library_ = dlopen((sources / "lib.so").c_str(), RTLD_NOW | RTLD_LOCAL);
  if (library_ == nullptr) throw std::runtime_error(dlerror());
}

EmittedProgram::~EmittedProgram() {
  if (library_ != nullptr) dlclose(library_);
}

template <typename Function>
Function* EmittedProgram::symbol(const char* suffix) const {
  void* address = dlsym(library_, (name_ + suffix).c_str());
  if (address == nullptr) throw std::runtime_error(dlerror());
  return reinterpret_cast<Function*>(address);
}

void EmittedProgram::reset() const { symbol<void()>("_reset")(); }

int EmittedProgram::set_learning_rate(float rate) const {
  return symbol<std::int32_t(float)>("_set_learning_rate")(rate);
}

int EmittedProgram::forward(std::span<const std::int8_t> input) const {
  return symbol<std::int32_t(const std::int8_t*)>("_forward")(input.data());
}

float EmittedProgram::train_step(std::span<const std::int8_t> input, int label) const {
  return symbol<float(const std::int8_t*, std::int32_t)>("_train_step")(input.data(), label);
}

float EmittedProgram::train_head(std::span<const std::int8_t> input, int label) const {
  return symbol<float(const std::int8_t*, std::int32_t)>("_train_head")(input.data(), label);
}

std::span<const float> EmittedProgram::logits(int classes) const {
  return {symbol<const float*()>("_logits")(), static_cast<std::size_t>(classes)};
}

template <typename T>
std::span<const std::byte> EmittedProgram::array(const char* suffix, int conv) const {
  std::int32_t count = -1;
  const T* data = symbol<T*(std::int32_t, std::int32_t*)>(suffix)(conv, &count);
  return std::as_bytes(std::span(data, static_cast<std::size_t>(count)));
}

std::span<const std::byte> EmittedProgram::weights(int conv) const {
  return array<std::int8_t>("_weights", conv);
}
std::span<const std::byte> EmittedProgram::bias(int conv) const {
  return array<std::int32_t>("_bias", conv);
}
std::span<const std::byte> EmittedProgram::weight_sums(int conv) const {
  return array<float>("_weight_sums", conv);
}
std::span<std::byte> EmittedProgram::state(std::int64_t bytes) const {
  return {static_cast<std::byte*>(symbol<void*()>("_state")()), static_cast<std::size_t>(bytes)};
}
std::vector<std::byte> EmittedProgram::save(std::int64_t bytes) const {
  std::vector<std::byte> saved(static_cast<std::size_t>(bytes));
  symbol<void(void*)>("_save")(saved.data());
  return saved;
}
int EmittedProgram::load(std::span<const std::byte> saved) const {
  return symbol<std::int32_t(const void*)>("_load")(saved.data());
}
namespace {

// Flash that is programmed as late as it may be.
struct Flash {
  std::byte* next = nullptr;
  int pieces = -1;
  int failure = 0;
  std::vector<std::pair<std::byte*, std::vector<std::byte>>> waiting;

  static std::int32_t write(void* context, const void* at, const void* data, std::uint32_t bytes) {
    auto& flash = *static_cast<Flash*>(context);
    if (at == nullptr) {
      for (const auto& [to, piece] : flash.waiting) std::copy(piece.begin(), piece.end(), to);
      return data == nullptr && bytes == 0 ? 0 : 1;
    }
    if (at != flash.next || bytes == 0) return 2;
    if (flash.pieces-- == 0) return flash.failure;
    const auto* from = static_cast<const std::byte*>(data);
    flash.waiting.emplace_back(flash.next, std::vector<std::byte>(from, from + bytes));
    std::fill_n(flash.next, bytes, std::byte{0x55});
    flash.next += bytes;
    return 0;
  }
};

}  // namespace

std::span<std::byte> EmittedProgram::turn_memory(std::int64_t bytes) const {
  auto* memory = const_cast<void*>(symbol<const void*()>("_turn_memory")());
  return {static_cast<std::byte*>(memory), static_cast<std::size_t>(bytes)};
}
int EmittedProgram::next_turn(int pieces, int failure) const {
  Flash flash;
  flash.next = turn_memory(0).data();
  flash.pieces = pieces;
  flash.failure = failure;
  using Write = std::int32_t(void*, const void*, const void*, std::uint32_t);
  return symbol<std::int32_t(Write*, void*)>("_next_turn")(&Flash::write, &flash);
}
int EmittedProgram::use_arena(void* memory, std::uint32_t bytes) const {
  return symbol<std::int32_t(void*, std::uint32_t)>("_use_arena")(memory, bytes);
}
int EmittedProgram::pixel_row(bool rgb, int row, const std::uint8_t* pixels) const {
  return symbol<std::int32_t(std::int32_t, const std::uint8_t*)>(rgb ? "_rgb_row" : "_grey_row")(
      row, pixels);
}
std::int8_t* EmittedProgram::input() const { return symbol<std::int8_t*()>("_input")(); }
int EmittedProgram::begin(const char* what) const {
  return symbol<std::int32_t()>((std::string("_") + what + "_begin").c_str())();
}
int EmittedProgram::rows(const char* what, const std::int8_t* data, int count) const {
  return symbol<std::int32_t(const std::int8_t*, std::int32_t)>(
      (std::string("_") + what + "_rows").c_str())(data, count);
}
int EmittedProgram::forward_end() const { return symbol<std::int32_t()>("_forward_end")(); }
float EmittedProgram::train_end(int label) const {
  return symbol<float(std::int32_t)>("_train_end")(label);
}
float EmittedProgram::train_head_end(int label) const {
  return symbol<float(std::int32_t)>("_train_head_end")(label);
}
void EmittedProgram::make_row(bool rgb, std::int8_t* to, const std::uint8_t* pixels) const {
  symbol<void(std::int8_t*, const std::uint8_t*)>(rgb ? "_rgb_row" : "_grey_row")(to, pixels);
}
int EmittedProgram::replay_reset(void* memory, std::uint32_t seed) const {
  return symbol<std::int32_t(void*, std::uint32_t)>("_replay_reset")(memory, seed);
}
float EmittedProgram::train_step_kept(void* memory, std::span<const std::int8_t> input,
                                      int label) const {
  return symbol<float(void*, const std::int8_t*, std::int32_t)>("_train_step_kept")(
      memory, input.data(), label);
}
float EmittedProgram::train_end_kept(void* memory, int label) const {
  return symbol<float(void*, std::int32_t)>("_train_end_kept")(memory, label);
}
float EmittedProgram::train_replay(void* memory) const {
  return symbol<float(void*)>("_train_replay")(memory);
}
const float* EmittedProgram::head_weights() const { return symbol<float*()>("_head_weights")(); }
const float* EmittedProgram::head_bias() const { return symbol<float*()>("_head_bias")(); }

}  // namespace espalier::testing
