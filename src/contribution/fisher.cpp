#include "espalier/contribution/fisher.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "espalier/plan/update_plan.hpp"
#include "espalier/support/interrupt.hpp"
#include "espalier/train/parallel.hpp"
#include "espalier/train/session.hpp"

namespace espalier::contribution {
namespace {

// Sums over samples of one conv's gradients and of their squares, parameter by parameter.
struct Moments {
  std::vector<double> sum;
  std::vector<double> squares;

  explicit Moments(std::size_t parameters) : sum(parameters, 0.0), squares(parameters, 0.0) {}

  void add(std::span<const float> gradient) {
    for (std::size_t i = 0; i < sum.size(); ++i) {
      const auto g = static_cast<double>(gradient[i]);
      sum[i] += g;
      squares[i] += g * g;
    }
  }
  void add(const Moments& other) {
    for (std::size_t i = 0; i < sum.size(); ++i) {
      sum[i] += other.sum[i];
      squares[i] += other.squares[i];
    }
  }
  // Squared mean over mean square; a parameter without any gradient scores nothing.
  [[nodiscard]] double score(std::size_t i, double samples) const {
    return squares[i] > 0 ? sum[i] * sum[i] / (squares[i] * samples) : 0;
  }
};

struct Gradients {
  std::vector<Moments> weights;  // by conv, OHWI
  std::vector<Moments> bias;

  explicit Gradients(const train::Network& network) {
    for (const int op : network.convs()) {
      const ir::Conv2D& conv = ir::conv(network.graph(), op);
      weights.emplace_back(conv.weights.size());
      bias.emplace_back(conv.bias.size());
    }
  }
  void add(const Gradients& other) {
    for (std::size_t conv = 0; conv < weights.size(); ++conv) {
      weights[conv].add(other.weights[conv]);
      bias[conv].add(other.bias[conv]);
    }
  }
};

class Pass {
 public:
  Pass(const train::Network& network, const train::SampleStore& store, ir::Head head)
      : network_(network),
        store_(store),
        session_(network, plan::full(network.graph()), std::move(head), 0) {}

  [[nodiscard]] Result<Gradients> run(int jobs) const {
    struct Buffers {
      train::Workspace workspace;
      train::Gradients gradients;
    };
    train::Pool<Buffers> pool([&] {
      return std::make_unique<Buffers>(
          Buffers{train::Workspace(session_), session_.make_gradients()});
    });
    // Blocks of samples are summed apart, one a thread at a time, and added in order: the same sums
    // for any number of threads.
    constexpr std::int64_t kBlock = 64;
    const auto blocks = static_cast<std::size_t>((store_.size() + kBlock - 1) / kBlock);
    const auto wave = static_cast<std::size_t>(std::max(1, jobs));
    Gradients total(network_);
    for (std::size_t first = 0; first < blocks; first += wave) {
      if (interrupted()) return Error{ErrorKind::kInterrupted, "interrupted"};
      std::vector<Gradients> parts(std::min(wave, blocks - first), Gradients(network_));
      train::parallel_for(jobs, parts.size(), [&](std::size_t i) {
        const auto buffers = pool.borrow();
        const std::int64_t begin = static_cast<std::int64_t>(first + i) * kBlock;
        for (std::int64_t s = begin; s < std::min(begin + kBlock, store_.size()); ++s) {
          add_sample(s, buffers->workspace, buffers->gradients, parts[i]);
        }
      });
      for (const Gradients& part : parts) total.add(part);
    }
    return total;
  }

 private:
  void add_sample(std::int64_t sample, train::Workspace& workspace, train::Gradients& gradients,
                  Gradients& sums) const {
    const auto index = static_cast<std::uint32_t>(sample);
    const int label = store_.label(sample);
    store_.load({&index, 1}, workspace);
    session_.forward(workspace, 1, true);
    train::Session::clear(gradients);
    session_.backward(workspace, {&label, 1}, 1, gradients);
    for (std::size_t conv = 0; conv < sums.weights.size(); ++conv) {
      const int op = network_.convs()[conv];
      sums.weights[conv].add(session_.dense_weight_gradient(gradients, op));
      sums.bias[conv].add(gradients.convs[static_cast<std::size_t>(op)].bias);
    }
  }

  const train::Network& network_;
  const train::SampleStore& store_;
  train::Session session_;
};

// Scores of a conv's weights, summed by input channel.
std::vector<double> channel_scores(const ir::Conv2D& conv, const Moments& weights, double samples) {
  std::vector<double> scores(static_cast<std::size_t>(conv.in_channels), 0.0);
  const int in_per_group = conv.in_per_group();
  const int out_per_group = conv.out_channels / conv.groups;
  const int taps = conv.window.kernel_h * conv.window.kernel_w;
  std::size_t at = 0;
  for (int out = 0; out < conv.out_channels; ++out) {
    double* group = scores.data() + std::ptrdiff_t{out / out_per_group} * in_per_group;
    for (int tap = 0; tap < taps; ++tap) {
      for (int in = 0; in < in_per_group; ++in, ++at) group[in] += weights.score(at, samples);
    }
  }
  return scores;
}

}  // namespace

Result<FisherScores> fisher_scores(const train::Network& network,
                                   const train::SampleStore& training, const ir::Head& head,
                                   std::span<const double> ratios, int jobs) {
  const ir::Graph& graph = network.graph();
  ESPALIER_TRY(const Gradients sums, Pass(network, training, head).run(jobs));

  FisherScores scores;
  scores.samples = training.size();
  const auto samples = static_cast<double>(training.size());
  const std::size_t convs = network.convs().size();
  scores.bias.push_back(0);
  for (std::size_t conv = convs; conv-- > 0;) {
    double sum = scores.bias.back();
    for (std::size_t i = 0; i < sums.bias[conv].sum.size(); ++i) {
      sum += sums.bias[conv].score(i, samples);
    }
    scores.bias.push_back(sum);
  }
  for (std::size_t index = 0; index < convs; ++index) {
    const ir::Conv2D& conv = ir::conv(graph, network.convs()[index]);
    std::vector<double> channels = channel_scores(conv, sums.weights[index], samples);
    std::vector<double> row;
    for (const double ratio : ratios) {
      double sum = 0;
      for (const int c : plan::select_channels(conv, ratio)) {
        sum += channels[static_cast<std::size_t>(c)];
      }
      row.push_back(sum);
    }
    scores.weight.push_back(std::move(row));
    scores.channel.push_back(std::move(channels));
  }
  return scores;
}

}  // namespace espalier::contribution
