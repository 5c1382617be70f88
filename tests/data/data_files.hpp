// Makes small dataset files in memory.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "espalier/data/dataset.hpp"

namespace espalier::testing {

/// Noise that depends on the arguments alone.
data::Image noise_image(int height, int width, int channels, std::uint32_t seed = 12345);

/// One CIFAR-10 record whose pixel (y, x, c) is first + 7 * y + x + 31 * c, modulo 256.
std::string cifar_record(int label, int first = 0);

/// An IDX file of unsigned bytes.
std::string idx_file(const std::vector<std::uint32_t>& extents, const std::string& values);

/// As the gzip program stores it.
std::string gzip(const std::string& content);

/// Encodes pixels with any number of channels from 1 to 4.
std::string png_file(int height, int width, int channels, const std::vector<std::uint8_t>& pixels);
std::string png_file(const data::Image& image);
std::string jpeg_file(const data::Image& image, int quality);

/// A dataset of 1x1 images; record i has pixel value i modulo 256.
data::Dataset labelled(const std::vector<int>& labels, int classes);

}  // namespace espalier::testing
