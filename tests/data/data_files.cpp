#include "data/data_files.hpp"

#include <fmt/format.h>
#include <zlib.h>

#define STB_IMAGE_WRITE_IMPLEMENTATION
#define STBI_WRITE_NO_STDIO
#include <stb/stb_image_write.h>

#include <cstddef>
#include <stdexcept>

namespace espalier::testing {
namespace {

void append(void* to, void* bytes, int size) {
  static_cast<std::string*>(to)->append(static_cast<const char*>(bytes),
                                        static_cast<std::size_t>(size));
}

}  // namespace

data::Image noise_image(int height, int width, int channels, std::uint32_t seed) {
  data::Image image{height, width, channels, {}};
  std::uint32_t state = seed;
  for (int i = 0; i < height * width * channels; ++i) {
    state = state * 1664525U + 1013904223U;
    image.pixels.push_back(static_cast<std::uint8_t>(state >> 24));
  }
  return image;
}

std::string cifar_record(int label, int first) {
  std::string record(1, static_cast<char>(label));
  for (int c = 0; c < 3; ++c) {
    for (int y = 0; y < 32; ++y) {
      for (int x = 0; x < 32; ++x) record += static_cast<char>(first + 7 * y + x + 31 * c);
    }
  }
  return record;
}

std::string idx_file(const std::vector<std::uint32_t>& extents, const std::string& values) {
  std::string file{'\0', '\0', '\x08', static_cast<char>(extents.size())};
  for (const std::uint32_t extent : extents) {
    for (const int shift : {24, 16, 8, 0}) file += static_cast<char>(extent >> shift);
  }
  return file + values;
}

std::string gzip(const std::string& content) {
  z_stream stream{};
  if (deflateInit2(&stream, 6, Z_DEFLATED, MAX_WBITS + 16, 8, Z_DEFAULT_STRATEGY) != Z_OK) {
    throw std::runtime_error("deflateInit2");
  }
  std::string packed(content.size() + 1024, '\0');
  std::string input = content;
  stream.next_in = reinterpret_cast<Bytef*>(input.data());
  stream.avail_in = static_cast<uInt>(input.size());
  stream.next_out = reinterpret_cast<Bytef*>(packed.data());
  stream.avail_out = static_cast<uInt>(packed.size());
  if (deflate(&stream, Z_FINISH) != Z_STREAM_END) throw std::runtime_error("deflate");
  packed.resize(packed.size() - stream.avail_out);
  deflateEnd(&stream);
  return packed;
}

std::string png_file(int height, int width, int channels, const std::vector<std::uint8_t>& pixels) {
  std::string file;
  if (stbi_write_png_to_func(append, &file, width, height, channels, pixels.data(),
                             width * channels) == 0) {
    throw std::runtime_error("stbi_write_png_to_func");
  }
  return file;
}

std::string png_file(const data::Image& image) {
  return png_file(image.height, image.width, image.channels, image.pixels);
}

std::string jpeg_file(const data::Image& image, int quality) {
  std::string file;
  if (stbi_write_jpg_to_func(append, &file, image.width, image.height, image.channels,
                             image.pixels.data(), quality) == 0) {
    throw std::runtime_error("stbi_write_jpg_to_func");
  }
  return file;
}

data::Dataset labelled(const std::vector<int>& labels, int classes) {
  data::Dataset dataset;
  dataset.labels = labels;
  dataset.classes = classes;
  dataset.spec = "cifar10:folder/made.bin";
  dataset.sha256 = "0123";
  for (int c = 0; c < classes; ++c) dataset.class_names.push_back(fmt::format("class {}", c));
  for (std::size_t i = 0; i < labels.size(); ++i) {
    dataset.images.push_back({1, 1, 1, {static_cast<std::uint8_t>(i)}});
  }
  return dataset;
}

}  // namespace espalier::testing
