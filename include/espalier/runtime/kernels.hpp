// The kernels by name, and the text of their sources. Which node calls which kernel is no matter of
// this module.
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>

namespace espalier::runtime {

enum class Kernel : std::uint8_t {
#define ESPALIER_KERNEL(name, parameters) name,
#include "runtime/kernels.def"
#undef ESPALIER_KERNEL
};

/// `esp_add_forward`: of the function.
std::string_view kernel_name(Kernel kernel);

/// `esp_add_forward.c`. Kernels of 8 and of 16 bits have one source.
std::string source_file(Kernel kernel);

/// The text of every file of src/runtime that may be emitted, embedded at build time: by file name,
/// those of an overlay behind the overlay's name and a slash.
const std::map<std::string_view, std::string_view>& runtime_sources();

/// The text of a file from the last of the overlays that has one of that name, or the plain one.
/// Throws std::logic_error when there is none.
std::string_view source_of(std::string_view file, std::span<const std::string> overlays);

}  // namespace espalier::runtime
