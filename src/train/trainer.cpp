#include "espalier/train/trainer.hpp"

#include <algorithm>
#include <array>
#include <chrono>
#include <numeric>
#include <span>

#include "espalier/support/interrupt.hpp"
#include "espalier/support/rng.hpp"
#include "espalier/train/parallel.hpp"

namespace espalier::train {
namespace {

std::size_t chunk_count(std::size_t samples) { return (samples + kChunk - 1) / kChunk; }

std::span<const std::uint32_t> chunk_of(std::span<const std::uint32_t> indices, std::size_t chunk) {
  const std::size_t first = chunk * kChunk;
  return indices.subspan(first, std::min<std::size_t>(kChunk, indices.size() - first));
}

// Labels of one chunk, without memory of their own on the heap: steps allocate nothing.
class ChunkLabels {
 public:
  ChunkLabels(const SampleStore& store, std::span<const std::uint32_t> indices)
      : size_(indices.size()) {
    std::transform(indices.begin(), indices.end(), labels_.begin(),
                   [&](std::uint32_t i) { return store.label(i); });
  }
  [[nodiscard]] std::span<const int> span() const { return std::span(labels_).first(size_); }

 private:
  std::array<int, kChunk> labels_{};
  std::size_t size_;
};

// Gradients of one batch: partial sums chunk by chunk, added in the order of the chunks. Threads
// work on a wave of chunks at a time, which bounds the memory of partial sums whatever the batch.
class BatchGradients {
 public:
  BatchGradients(const Session& session, std::size_t max_chunks, int jobs)
      : session_(session), jobs_(jobs), total_(session.make_gradients()) {
    constexpr std::size_t kChunksPerJob = 4;
    const std::size_t wave =
        jobs > 1 ? std::min(max_chunks, kChunksPerJob * static_cast<std::size_t>(jobs)) : 1;
    for (std::size_t i = 0; i < wave; ++i) partials_.push_back(session.make_gradients());
  }

  const Gradients& run(const SampleStore& store, std::span<const std::uint32_t> batch,
                       Pool<Workspace>& pool) {
    Session::clear(total_);
    const std::size_t chunks = chunk_count(batch.size());
    for (std::size_t first = 0; first < chunks; first += partials_.size()) {
      const std::size_t wave = std::min(partials_.size(), chunks - first);
      parallel_for(jobs_, wave, [&](std::size_t i) {
        const auto workspace = pool.borrow();
        const std::span<const std::uint32_t> indices = chunk_of(batch, first + i);
        store.lend(indices, *workspace);
        session_.forward(*workspace, static_cast<int>(indices.size()), true);
        Session::clear(partials_[i]);
        session_.backward(*workspace, ChunkLabels(store, indices).span(),
                          static_cast<int>(batch.size()), partials_[i]);
      });
      for (std::size_t i = 0; i < wave; ++i) Session::add(total_, partials_[i]);
    }
    return total_;
  }

 private:
  const Session& session_;
  int jobs_;
  Gradients total_;
  std::vector<Gradients> partials_;
};

Evaluation mean(double loss, std::int64_t correct, std::int64_t samples) {
  const auto n = static_cast<double>(std::max<std::int64_t>(1, samples));
  return {loss / n, static_cast<double>(correct) / n, {}};
}

// The logits of a workspace's sample.
std::span<const float> logits_of(const Session& session, Workspace& workspace, std::size_t sample) {
  return {session.logits(workspace) + sample * session.logit_stride(),
          static_cast<std::size_t>(session.head().classes)};
}

// Runs the forward pass on all samples, and visit(chunk, its samples, workspace) behind each chunk.
template <typename Visit>
void forward_all(const Session& session, const SampleStore& store, int jobs, Pool<Workspace>& pool,
                 Visit visit) {
  std::vector<std::uint32_t> order(static_cast<std::size_t>(store.size()));
  std::iota(order.begin(), order.end(), 0U);
  parallel_for(jobs, chunk_count(order.size()), [&](std::size_t chunk) {
    const auto workspace = pool.borrow();
    const std::span<const std::uint32_t> indices = chunk_of(order, chunk);
    store.lend(indices, *workspace);
    session.forward(*workspace, static_cast<int>(indices.size()), false);
    visit(chunk, indices, *workspace);
  });
}

Evaluation evaluate_with(const Session& session, const SampleStore& store, int jobs,
                         Pool<Workspace>& pool) {
  const auto samples = static_cast<std::size_t>(store.size());
  std::vector<Score> scores(chunk_count(samples));
  std::vector<int> predicted(samples);
  forward_all(session, store, jobs, pool,
              [&](std::size_t chunk, std::span<const std::uint32_t> indices, Workspace& workspace) {
                scores[chunk] = session.score(workspace, ChunkLabels(store, indices).span());
                for (std::size_t s = 0; s < indices.size(); ++s) {
                  const std::span<const float> row = logits_of(session, workspace, s);
                  predicted[indices[s]] =
                      static_cast<int>(std::max_element(row.begin(), row.end()) - row.begin());
                }
              });
  Score total;
  for (const Score& score : scores) {
    total.loss += score.loss;
    total.correct += score.correct;
  }
  Evaluation result = mean(total.loss, total.correct, store.size());
  result.confusion = Confusion(session.head().classes);
  for (std::size_t i = 0; i < predicted.size(); ++i) {
    result.confusion.add(store.label(static_cast<std::int64_t>(i)), predicted[i]);
  }
  return result;
}

}  // namespace

std::vector<std::uint32_t> epoch_order(const Recipe& recipe, int epoch, std::size_t samples) {
  Rng rng{recipe.seed, 0x45504F4348, static_cast<std::uint64_t>(epoch)};  // "EPOCH"
  return rng.permutation(samples);
}

bool usable_loss(double loss) {
  constexpr double kDivergedLoss = 1e4;
  return loss <= kDivergedLoss;  // false for NaN as well
}

Evaluation evaluate(const Session& session, const SampleStore& store, int jobs) {
  Pool<Workspace> pool([&] { return std::make_unique<Workspace>(session, Passes::kForward); });
  return evaluate_with(session, store, jobs, pool);
}

void visit_logits(const Session& session, const SampleStore& store, int jobs,
                  const std::function<void(std::size_t, std::span<const float>)>& visit) {
  Pool<Workspace> pool([&] { return std::make_unique<Workspace>(session, Passes::kForward); });
  forward_all(session, store, jobs, pool,
              [&](std::size_t, std::span<const std::uint32_t> indices, Workspace& workspace) {
                for (std::size_t s = 0; s < indices.size(); ++s) {
                  visit(indices[s], logits_of(session, workspace, s));
                }
              });
}

Result<TrainResult> train(Session& session, const SampleStore& training, const SampleStore& test,
                          const Recipe& recipe, const TrainOptions& options) {
  ESPALIER_CHECK_OK(check(recipe));
  const auto samples = static_cast<std::size_t>(training.size());
  const auto batch = static_cast<std::size_t>(recipe.batch);
  const std::size_t steps_per_epoch = (samples + batch - 1) / batch;
  const auto steps = static_cast<std::int64_t>(steps_per_epoch) * recipe.epochs;

  Pool<Workspace> pool([&] { return std::make_unique<Workspace>(session); });
  Pool<Workspace> test_pool([&] { return std::make_unique<Workspace>(session, Passes::kForward); });
  BatchGradients gradients(session, chunk_count(std::min(batch, samples)), options.jobs);
  TrainResult result;
  std::int64_t step = 0;
  for (int epoch = 0; epoch < recipe.epochs && !result.diverged; ++epoch) {
    session.train_head_alone(epoch < recipe.head_epochs);
    if (epoch > recipe.head_epochs) session.begin_turn(epoch - recipe.head_epochs);
    const std::vector<std::uint32_t> order = epoch_order(recipe, epoch, samples);
    double loss = 0;
    std::int64_t correct = 0;
    for (std::size_t first = 0; first < samples; first += batch, ++step) {
      if (!options.finish && interrupted()) return Error{ErrorKind::kInterrupted, "interrupted"};
      const auto start = std::chrono::steady_clock::now();
      const std::span<const std::uint32_t> indices =
          std::span(order).subspan(first, std::min(batch, samples - first));
      const Gradients& sums = gradients.run(training, indices, pool);
      const float rate =
          learning_rate_at(recipe, step, steps, static_cast<std::int64_t>(steps_per_epoch));
      if (!usable_loss(sums.loss / static_cast<double>(indices.size())) ||
          !session.update(sums, rate, recipe.qas, recipe.clip)) {
        result.diverged = true;
        result.diverged_step = step;
        break;
      }
      loss += sums.loss;
      correct += sums.correct;
      result.images += static_cast<std::int64_t>(indices.size());
      result.seconds +=
          std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
      if (options.on_images) options.on_images(static_cast<std::int64_t>(indices.size()));
    }
    if (result.diverged) break;
    EpochResult done{mean(loss, correct, static_cast<std::int64_t>(samples)), std::nullopt};
    const bool last = epoch + 1 == recipe.epochs;
    if (last || options.test_every_epoch) {
      result.test = evaluate_with(session, test, options.jobs, test_pool);
      if (!usable_loss(result.test.loss)) {
        result.diverged = true;
        result.diverged_step = step;
      }
      if (options.test_every_epoch) done.test = result.test;
    }
    result.epochs.push_back(done);
    if (options.on_epoch) options.on_epoch(epoch, result.epochs.back());
  }
  return result;
}

}  // namespace espalier::train
