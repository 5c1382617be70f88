// The entry functions. Each takes any bytes and returns, or aborts when what it read breaks a
// promise.
#pragma once

#include <cstddef>
#include <cstdint>

namespace espalier::fuzz {

#define ESPALIER_FUZZ_TARGET(name) void name(const std::uint8_t* data, std::size_t size);
#include "targets.def"
#undef ESPALIER_FUZZ_TARGET

}  // namespace espalier::fuzz
