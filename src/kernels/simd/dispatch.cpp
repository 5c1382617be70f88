#if defined(__aarch64__)
#include <sys/auxv.h>
#elif defined(__x86_64__)
#include <cpuid.h>
#if defined(__linux__)
#include <sys/syscall.h>
#include <unistd.h>
#endif
#endif

#include <atomic>
#include <cstdlib>
#include <string>
#include <string_view>

#include "espalier/kernels/choice.hpp"
#include "espalier/kernels/simd.hpp"

namespace espalier::kernels {

extern const KernelTable kPortableKernels;
#if defined(__x86_64__)
extern const KernelTable kAvx2Kernels;
extern const KernelTable kAvxVnniKernels;
extern const KernelTable kAvx512Kernels;
extern const KernelTable kAvx512VnniKernels;
extern const KernelTable kAvx512AmxKernels;
#elif defined(__aarch64__)
extern const KernelTable kNeonKernels;
extern const KernelTable kNeonDotKernels;
#endif

#if defined(__x86_64__)
// clang 14 does not know the name.
static bool has_avx_vnni() {
  unsigned eax = 0;
  unsigned ebx = 0;
  unsigned ecx = 0;
  unsigned edx = 0;
  return __get_cpuid_count(7, 1, &eax, &ebx, &ecx, &edx) != 0 && (eax & (1U << 4)) != 0;
}

// Tiles of bytes, and the system's permission to use them, which it gives for the whole process.
static bool may_use_amx() {
#if defined(__linux__) && defined(SYS_arch_prctl)
  unsigned eax = 0;
  unsigned ebx = 0;
  unsigned ecx = 0;
  unsigned edx = 0;
  constexpr unsigned kTilesOfBytes = 3U << 24;
  if (__get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx) == 0) return false;
  if ((edx & kTilesOfBytes) != kTilesOfBytes) return false;
  constexpr int kRequestPermission = 0x1023;  // ARCH_REQ_XCOMP_PERM
  constexpr int kTileData = 18;               // XFEATURE_XTILEDATA
  return syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
#else
  return false;
#endif
}
#endif

KernelTables all_kernels() {
  KernelTables all;
  all.tables[all.count++] = &kPortableKernels;
#if defined(__x86_64__)
  __builtin_cpu_init();
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) {
    all.tables[all.count++] = &kAvx2Kernels;
    if (has_avx_vnni()) all.tables[all.count++] = &kAvxVnniKernels;
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl")) {
      all.tables[all.count++] = &kAvx512Kernels;
      if (__builtin_cpu_supports("avx512vnni")) {
        all.tables[all.count++] = &kAvx512VnniKernels;
        static const bool amx = may_use_amx();
        if (amx) all.tables[all.count++] = &kAvx512AmxKernels;
      }
    }
  }
#elif defined(__aarch64__)
  all.tables[all.count++] = &kNeonKernels;
  if ((getauxval(AT_HWCAP) & HWCAP_ASIMDDP) != 0) all.tables[all.count++] = &kNeonDotKernels;
#endif
  return all;
}

namespace {

// The table that the user names, or null.
const KernelTable* named(const char* wanted) {
  const KernelTables all = all_kernels();
  for (int i = 0; wanted != nullptr && i < all.count; ++i) {
    if (all.tables[i]->name == std::string_view(wanted)) return all.tables[i];
  }
  return nullptr;
}

const KernelTable* choose() {
  const KernelTable* wanted = named(std::getenv("ESPALIER_ISA"));
  const KernelTables all = all_kernels();
  return wanted != nullptr ? wanted : all.tables[all.count - 1];
}

std::atomic<const KernelTable*>& chosen() {
  static std::atomic<const KernelTable*> table = choose();
  return table;
}

}  // namespace

Status check_chosen_kernels() {
  const char* wanted = std::getenv("ESPALIER_ISA");
  if (wanted == nullptr || named(wanted) != nullptr) return Ok{};
  std::string names;
  const KernelTables all = all_kernels();
  for (int i = 0; i < all.count; ++i) names += " " + std::string(all.tables[i]->name);
  return Error{ErrorKind::kUsage, "ESPALIER_ISA: this machine does not run '" +
                                      std::string(wanted) + "'; unset it or choose of" + names};
}

const KernelTable& kernels() { return *chosen().load(std::memory_order_relaxed); }

void use_kernels(const KernelTable& table) { chosen() = &table; }

}  // namespace espalier::kernels
