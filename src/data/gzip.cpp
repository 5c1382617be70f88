#include <fmt/format.h>
#include <zlib.h>

#include <algorithm>
#include <array>
#include <cstddef>

#include "readers.hpp"

namespace espalier::data {
namespace {

// zlib's state, released on every way out.
class Inflater {
 public:
  explicit Inflater(int window_bits) : ready_(inflateInit2(&stream_, window_bits) == Z_OK) {}
  ~Inflater() {
    if (ready_) inflateEnd(&stream_);
  }
  Inflater(const Inflater&) = delete;
  Inflater& operator=(const Inflater&) = delete;

  [[nodiscard]] bool ready() const { return ready_; }
  z_stream* operator->() { return &stream_; }
  z_stream* get() { return &stream_; }

 private:
  z_stream stream_{};
  bool ready_;
};

// `what` is the kind of data in diagnostics.
Result<std::string> decompress(std::string_view compressed, std::int64_t max_bytes,
                               std::string_view where, int window_bits, std::string_view what) {
  constexpr std::size_t kInputPiece = std::size_t{1} << 20;  // zlib counts in 32 bits
  const auto limit = static_cast<std::size_t>(max_bytes);
  Inflater inflater(window_bits);
  if (!inflater.ready()) return Error{ErrorKind::kInternal, "zlib cannot be initialised"};

  std::string content;
  std::array<char, 65536> piece;
  std::size_t taken = 0;
  int state = Z_OK;
  while (content.size() < limit && (taken < compressed.size() || state != Z_STREAM_END)) {
    if (state == Z_STREAM_END) inflateReset(inflater.get());  // a further member follows
    const std::size_t offered = std::min(kInputPiece, compressed.size() - taken);
    // zlib reads only, but its interface predates const.
    inflater->next_in =
        const_cast<Bytef*>(reinterpret_cast<const Bytef*>(compressed.data() + taken));
    inflater->avail_in = static_cast<uInt>(offered);
    inflater->next_out = reinterpret_cast<Bytef*>(piece.data());
    inflater->avail_out = static_cast<uInt>(std::min(piece.size(), limit - content.size()));
    const std::size_t room = inflater->avail_out;
    state = inflate(inflater.get(), Z_NO_FLUSH);
    taken += offered - inflater->avail_in;
    content.append(piece.data(), room - inflater->avail_out);
    if (state == Z_BUF_ERROR) {
      return Error{ErrorKind::kBadInput,
                   fmt::format("{}: the {} data ends early, after {} bytes; the file was cut "
                               "short, fetch it again",
                               where, what, compressed.size())};
    }
    if (state != Z_OK && state != Z_STREAM_END) {
      return Error{ErrorKind::kBadInput,
                   fmt::format("{}: damaged {} data near byte {}: {}; fetch the file again", where,
                               what, taken, inflater->msg == nullptr ? "unknown" : inflater->msg)};
    }
  }
  return content;
}

}  // namespace

bool is_gzip(std::string_view bytes) { return bytes.starts_with("\x1f\x8b"); }

Result<std::string> gunzip(std::string_view compressed, std::int64_t max_bytes,
                           std::string_view where) {
  // 16 selects the gzip wrapping, whose checksum zlib verifies.
  return decompress(compressed, max_bytes, where, MAX_WBITS + 16, "gzip");
}

Result<std::string> inflate_raw(std::string_view compressed, std::int64_t max_bytes,
                                std::string_view where) {
  return decompress(compressed, max_bytes, where, -MAX_WBITS, "zip");
}

}  // namespace espalier::data
