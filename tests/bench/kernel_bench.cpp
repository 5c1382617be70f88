#include "kernel_bench.hpp"

#include <fmt/format.h>

#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "espalier/kernels/simd.hpp"
#include "espalier/support/rng.hpp"
#include "espalier/train/session.hpp"

namespace espalier::bench {
namespace {

using kernels::AlignedVector;
using train::kChunk;
using Clock = std::chrono::steady_clock;

// Calls per second of all threads together; each thread gets a body of its own.
double calls_per_second(int threads, double seconds,
                        const std::function<std::function<void()>()>& make_body) {
  std::vector<std::thread> pool;
  std::vector<double> rates(static_cast<std::size_t>(threads), 0);
  std::atomic<int> ready{0};
  for (double& rate : rates) {
    pool.emplace_back([&] {
      const std::function<void()> body = make_body();
      body();  // warms caches and scratch
      ++ready;
      while (ready.load() < threads) std::this_thread::yield();
      const auto start = Clock::now();
      std::int64_t calls = 0;
      double elapsed = 0;
      do {
        body();
        ++calls;
        elapsed = std::chrono::duration<double>(Clock::now() - start).count();
      } while (elapsed < seconds);
      rate = static_cast<double>(calls) / elapsed;
    });
  }
  for (std::thread& thread : pool) thread.join();
  double total = 0;
  for (const double rate : rates) total += rate;
  return total;
}

// What a convolution's kernels work on, for one chunk.
struct ConvBuffers {
  AlignedVector<std::int8_t> x, y;
  AlignedVector<std::uint8_t> mask;
  AlignedVector<float> g, dx, dw;
  kernels::ConvScratch scratch;

  ConvBuffers(const kernels::ConvGeometry& geometry, std::size_t weight_gradient) {
    const auto in = static_cast<std::size_t>(geometry.in.pixels()) *
                    static_cast<std::size_t>(geometry.in_stride) * kChunk;
    const auto out = static_cast<std::size_t>(geometry.out.pixels()) *
                     static_cast<std::size_t>(geometry.out_stride) * kChunk;
    Rng rng{1};
    x.resize(in);
    for (std::int8_t& q : x) q = static_cast<std::int8_t>(static_cast<int>(rng.below(256)) - 128);
    y.resize(out);
    mask.resize(out);
    g.resize(out);
    for (float& value : g) value = static_cast<float>(rng.uniform(-1, 1));
    dx.resize(in);
    dw.resize(weight_gradient);
  }
};

std::string shape_text(const kernels::ConvGeometry& g) {
  return fmt::format("{}x{}x{} -> {}x{}x{}, {}x{}/{}{}", g.in.height, g.in.width, g.in.channels,
                     g.out.height, g.out.width, g.out.channels, g.window.kernel_h,
                     g.window.kernel_w, g.window.stride_h,
                     g.direct_depthwise() ? ", depthwise" : "");
}

Json entry(const char* kernel, const std::string& shape, int threads, double calls, double macs) {
  const double images = calls * kChunk;
  return {{"kernel", kernel},
          {"shape", shape},
          {"threads", threads},
          {"images_per_second", images},
          {"gmacs_per_second", images * macs * 1e-9}};
}

}  // namespace

Json measure_kernels(const train::Network& network, int threads, double seconds) {
  Json list = Json::array();
  std::set<std::string> seen;
  const ir::Graph& graph = network.graph();
  for (std::size_t i = 0; i < graph.ops.size(); ++i) {
    const ir::Op& op = graph.ops[i];
    const train::PreparedOp& prepared = network.ops()[i];
    const auto macs = static_cast<double>(ir::forward_macs(op, graph));
    if (prepared.conv < 0) {
      if (!std::holds_alternative<ir::Add>(op.params)) continue;
      const std::string shape = fmt::format("{}x{}x{}, add", prepared.map.out.height,
                                            prepared.map.out.width, prepared.map.out.channels);
      if (!seen.insert(shape).second) continue;
      const std::size_t size = network.elements(op.output) * kChunk;
      const double forward = calls_per_second(threads, seconds, [&] {
        return [&, a = AlignedVector<std::int8_t>(size, 1), b = AlignedVector<std::int8_t>(size, 2),
                y = AlignedVector<std::int8_t>(size),
                mask = AlignedVector<std::uint8_t>(size)]() mutable {
          kernels::add_forward(prepared.elementwise, prepared.map, kChunk, a.data(), b.data(),
                               y.data(), mask.data());
        };
      });
      list.push_back(entry("forward", shape, threads, forward, 0));
      const double backward = calls_per_second(threads, seconds, [&] {
        return [&, dy = AlignedVector<float>(size, 1), mask = AlignedVector<std::uint8_t>(size, 1),
                dx = AlignedVector<float>(size)]() mutable {
          kernels::add_backward(0.5F, prepared.map, prepared.map.in_stride, kChunk, dy.data(),
                                mask.data(), dx.data(), false);
        };
      });
      list.push_back(entry("input_gradient", shape, threads, backward, 0));
      continue;
    }
    const kernels::ConvGeometry& geometry = prepared.geometry;
    const std::string shape = shape_text(geometry);
    if (!seen.insert(shape).second) continue;
    std::vector<int> channels(static_cast<std::size_t>(geometry.in.channels));
    for (std::size_t c = 0; c < channels.size(); ++c) channels[c] = static_cast<int>(c);
    const kernels::WeightGradientLayout layout(geometry, channels);
    const int zero = graph.tensor(op.inputs[0]).quantization.zero_point;
    const auto with_buffers = [&](auto body) {
      return calls_per_second(threads, seconds, [&, body] {
        const auto buffers = std::make_shared<ConvBuffers>(geometry, layout.size());
        return [buffers, body] { body(*buffers); };
      });
    };
    list.push_back(entry("forward", shape, threads, with_buffers([&](ConvBuffers& b) {
                           kernels::conv_forward(geometry, kChunk, b.x.data(), zero,
                                                 prepared.weights, prepared.requantization,
                                                 b.y.data(), b.mask.data(), b.scratch);
                         }),
                         macs));
    list.push_back(entry("mask_scale", shape, threads, with_buffers([&](ConvBuffers& b) {
                           kernels::kernels().mask_scale(
                               b.g.data(), b.mask.data(), prepared.requantization.factor.data(),
                               static_cast<int>(geometry.out.pixels()) * kChunk,
                               geometry.out_stride, nullptr);
                         }),
                         0));
    if (op.inputs[0] != graph.input) {
      list.push_back(entry("input_gradient", shape, threads, with_buffers([&](ConvBuffers& b) {
                             kernels::conv_backward_input(geometry, kChunk, b.g.data(),
                                                          prepared.weights, b.dx.data(), false,
                                                          b.scratch);
                           }),
                           macs));
    }
    list.push_back(entry("weight_gradient", shape, threads, with_buffers([&](ConvBuffers& b) {
                           kernels::conv_backward_weights(geometry, layout, kChunk, b.x.data(),
                                                          zero, b.g.data(), b.dw.data(), b.scratch);
                         }),
                         macs));
  }
  return list;
}

}  // namespace espalier::bench
