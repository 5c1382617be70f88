// The vector kernels for x86-64 with AVX-512, its 8-bit dot products, and AMX, which multiplies
// tiles of signed bytes.
#define ESPALIER_TILES
#include "avx512vnni.inc"

namespace espalier::kernels {
namespace {

// A tile of sums is up to 16 rows x 16 channels; it is the product of a tile of activations, rows x
// 64 bytes, and one of weights, 16 quads x 16 channels. What is behind the last whole 16 quads of a
// segment has tiles of its own shape:
//
//   0, 1, 2  sums of 16 channels each
//   3, 4     activations of 16 quads and of the rest
//   5, 6     weights likewise
constexpr int kTileQuads = 16;
constexpr int kTileRows = 16;
constexpr int kTileUnits = 3;

struct alignas(64) TileShapes {
  std::uint8_t palette = 1;
  std::uint8_t start_row = 0;
  std::uint8_t reserved[14] = {};
  std::uint16_t row_bytes[16] = {};
  std::uint8_t rows[16] = {};

  void set(int tile, int tile_rows, int quads) {
    rows[tile] = static_cast<std::uint8_t>(tile_rows);
    row_bytes[tile] = static_cast<std::uint16_t>(quads * kQuad);
  }
};

// As macros: the number of a tile is part of the instruction. The intrinsics do not tell the
// compiler which memory they read.
#define ESPALIER_TILE_LOAD(tile, from, step) \
  asm volatile("tileloadd (%0,%1,1), %%tmm" #tile : : "r"(from), "r"(step) : "memory")
#define ESPALIER_TILE_STORE(tile, to, step) \
  asm volatile("tilestored %%tmm" #tile ", (%0,%1,1)" : : "r"(to), "r"(step) : "memory")
#define ESPALIER_TILE_MULTIPLY(sums, a, b) \
  asm volatile("tdpbssd %%tmm" #b ", %%tmm" #a ", %%tmm" #sums : :)

struct Tiles {
  const Int8GemmArgs& args;
  const std::int8_t* b;  // the first of the block's channels
  int whole;             // tiles of 16 quads in a segment
  bool rest;             // and one of less
};

// Adds the products of the activations at `from` and the weights at `b`.
#define ESPALIER_TILE_PRODUCTS(activations, weights)         \
  ESPALIER_TILE_LOAD(activations, from, a_row);              \
  ESPALIER_TILE_LOAD(weights, b, kStep);                     \
  ESPALIER_TILE_MULTIPLY(0, activations, weights);           \
  if constexpr (Units > 1) {                                 \
    ESPALIER_TILE_LOAD(weights, b + kGroupBytes, kStep);     \
    ESPALIER_TILE_MULTIPLY(1, activations, weights);         \
  }                                                          \
  if constexpr (Units > 2) {                                 \
    ESPALIER_TILE_LOAD(weights, b + 2 * kGroupBytes, kStep); \
    ESPALIER_TILE_MULTIPLY(2, activations, weights);         \
  }

// The sums of one tile of rows from `a` on stay in tiles.
template <int Units>
inline void multiply_tiles(const Tiles& t, const std::uint8_t* a, const Columns* columns) {
  constexpr std::ptrdiff_t kSame = 0;
  constexpr std::ptrdiff_t kStep = std::ptrdiff_t{kPanel} * kQuad;
  ESPALIER_TILE_LOAD(0, columns[0].start, kSame);
  if constexpr (Units > 1) ESPALIER_TILE_LOAD(1, columns[1].start, kSame);
  if constexpr (Units > 2) ESPALIER_TILE_LOAD(2, columns[2].start, kSame);
  const std::ptrdiff_t a_row = t.args.a_row;
  const std::int8_t* b = t.b;
  for (int segment = 0; segment < t.args.segments; ++segment, a += t.args.a_segment) {
    const std::uint8_t* from = a;
    for (int i = 0; i < t.whole; ++i) {
      ESPALIER_TILE_PRODUCTS(3, 5)
      from += kTileQuads * kQuad;
      b += kTileQuads * kStep;
    }
    if (t.rest) {
      ESPALIER_TILE_PRODUCTS(4, 6)
      b += (t.args.quads - t.whole * kTileQuads) * kStep;
    }
  }
}

using Sums = Int[kTileRows];

template <int Units>
inline void store_tiles(Sums* sums) {
  constexpr std::ptrdiff_t kStep = sizeof(Int);
  ESPALIER_TILE_STORE(0, sums[0], kStep);
  if constexpr (Units > 1) ESPALIER_TILE_STORE(1, sums[1], kStep);
  if constexpr (Units > 2) ESPALIER_TILE_STORE(2, sums[2], kStep);
}

template <bool Fast, bool Mask>
inline void finish_tile(const Columns& columns, const Sums& sums, int rows, const RequantizeArgs& r,
                        std::ptrdiff_t at) {
  int row = 0;
  for (; row + 4 <= rows; row += 4, at += 4 * r.out_row) {
    const Int four[4] = {sums[row], sums[row + 1], sums[row + 2], sums[row + 3]};
    finish_four_rows<Fast, Mask>(columns, four, r, at);
  }
  for (; row < rows; ++row, at += r.out_row) finish_row<Fast, Mask>(columns, sums[row], r, at);
}

template <int Units, bool Mask>
void tile_columns(const Int8GemmArgs& args, int n, int rows) {
  // A copy that nobody else sees: no store of a byte can change it.
  const RequantizeArgs r = args.requantize;
  Columns columns[Units];
  for (int unit = 0; unit < Units; ++unit) {
    columns[unit] = prepare_columns(args.requantize, n + unit * kLanes, args.sums, args.zero);
  }
  const Tiles tiles{args, operands(args, n).b, args.quads / kTileQuads,
                    args.quads % kTileQuads != 0};
  // While one tile's sums are scaled, the next one's are formed.
  alignas(64) Sums sums[2][Units];
  int full = -1;  // which of the two is to be scaled
  std::ptrdiff_t full_at = 0;
  const auto finish = [&] {
    if (full < 0) return;
#pragma GCC unroll 3
    for (int unit = 0; unit < Units; ++unit) {
      const Columns& k = columns[unit];
      const std::ptrdiff_t at = full_at + unit * kLanes;
      if (k.fast) [[likely]] {
        finish_tile<true, Mask>(k, sums[full][unit], rows, r, at);
      } else {
        finish_tile<false, Mask>(k, sums[full][unit], rows, r, at);
      }
    }
  };
  for (int line = 0; line < args.lines; ++line) {
    for (int m = 0; m < r.rows; m += rows) {
      // The last tile of a line takes rows that already were in another, rather than be smaller.
      const int first = min_int(m, r.rows - rows);
      multiply_tiles<Units>(tiles, args.a + line * args.a_line + first * args.a_row, columns);
      finish();
      full = full == 0 ? 1 : 0;
      full_at = (std::ptrdiff_t{line} * r.rows + first) * r.out_row + n;
      store_tiles<Units>(sums[full]);
    }
  }
  finish();
}

template <bool Mask>
void tile_gemm(const Int8GemmArgs& args) {
  const int rows = min_int(args.requantize.rows, kTileRows);
  const int rest = args.quads % kTileQuads;
  TileShapes shapes;
  for (int unit = 0; unit < kTileUnits; ++unit) shapes.set(unit, rows, kLanes);
  shapes.set(3, rows, kTileQuads);
  shapes.set(5, kTileQuads, kLanes);
  if (rest != 0) {
    shapes.set(4, rows, rest);
    shapes.set(6, rest, kLanes);
  }
  asm volatile("ldtilecfg %0" : : "m"(shapes));
  for (int n = 0; n < args.requantize.channels; n += kTileUnits * kLanes) {
    switch ((args.requantize.channels - n) / kLanes) {
      case 1:
        tile_columns<1, Mask>(args, n, rows);
        break;
      case 2:
        tile_columns<2, Mask>(args, n, rows);
        break;
      default:
        tile_columns<3, Mask>(args, n, rows);
        break;
    }
  }
  asm volatile("tilerelease" : :);
}

// A tile takes the same time whatever its depth, and its sums go through memory: measured, it takes
// 40 products for that to pay.
constexpr int kQuadsThatPay = 10;

int gemm_bias(int quads) { return quads < kQuadsThatPay ? kInt8Bias : 0; }

void gemm_int8(const Int8GemmArgs& args) {
  if (args.quads < kQuadsThatPay) {
    gemm_of_dots(args);
  } else if (args.requantize.mask != nullptr) {
    tile_gemm<true>(args);
  } else {
    tile_gemm<false>(args);
  }
}

}  // namespace
}  // namespace espalier::kernels

#define ESPALIER_KERNELS_NAME "avx512amx"
#define ESPALIER_KERNELS_TABLE kAvx512AmxKernels
#include "kernels.inc"
