// A training step allocates nothing once its buffers exist. In a program of its own, because it
// counts every allocation of the process.
#include <gtest/gtest.h>
#include <malloc.h>

#include <atomic>
#include <cstdlib>
#include <memory>
#include <new>
#include <numeric>
#include <vector>

#include "espalier/plan/update_plan.hpp"
#include "espalier/train/parallel.hpp"
#include "espalier/train/session.hpp"
#include "espalier/train/store_chain.hpp"
#include "espalier/train/trainer.hpp"
#include "testing/random_graph.hpp"
#include "testing/toy_data.hpp"

namespace {
std::atomic<std::int64_t> g_allocations{0};
std::atomic<std::int64_t> g_bytes{0};  // that are allocated now
std::atomic<std::int64_t> g_most{0};   // at the fullest moment since it was set

void* counted(std::size_t size, std::size_t alignment) {
  g_allocations.fetch_add(1, std::memory_order_relaxed);
  void* memory = std::aligned_alloc(alignment, (size + alignment - 1) / alignment * alignment);
  if (memory == nullptr) throw std::bad_alloc();
  const auto now = g_bytes += static_cast<std::int64_t>(malloc_usable_size(memory));
  std::int64_t most = g_most;
  while (now > most && !g_most.compare_exchange_weak(most, now)) {
  }
  return memory;
}

void release(void* memory) {
  if (memory != nullptr) g_bytes -= static_cast<std::int64_t>(malloc_usable_size(memory));
  std::free(memory);
}
}  // namespace

void* operator new(std::size_t size) { return counted(size, alignof(std::max_align_t)); }
void* operator new(std::size_t size, std::align_val_t alignment) {
  return counted(size, static_cast<std::size_t>(alignment));
}
void operator delete(void* memory) noexcept { release(memory); }
void operator delete(void* memory, std::size_t) noexcept { release(memory); }
void operator delete(void* memory, std::align_val_t) noexcept { release(memory); }
void operator delete(void* memory, std::size_t, std::align_val_t) noexcept { release(memory); }

namespace espalier::train {
namespace {

using espalier::testing::small_network;
using espalier::testing::toy_samples;

class Allocations : public ::testing::TestWithParam<std::uint64_t> {};

TEST_P(Allocations, NoneInAStep) {
  const Network network(small_network(GetParam()));
  const ir::Graph& graph = network.graph();
  const auto store = *SampleStore::from_samples(network, toy_samples(graph, 2 * kChunk, 1), 1);
  plan::UpdatePlan sparse = *plan::bias_only(graph, 4);
  sparse.weights.push_back(
      plan::make_weight_update(graph, static_cast<int>(network.convs().size()) - 3, 0.5));
  for (const plan::UpdatePlan& plan : {plan::full(graph), sparse, plan::head_only(graph)}) {
    Session session(network, plan, graph.head, 0);
    Workspace workspace(session);
    Gradients gradients = session.make_gradients();
    Gradients total = session.make_gradients();
    std::vector<std::uint32_t> indices(kChunk);
    std::iota(indices.begin(), indices.end(), 0U);
    const std::vector<int> labels(kChunk, 1);
    const auto step = [&] {
      store->load(indices, workspace);
      session.forward(workspace, kChunk, true);
      Session::clear(gradients);
      session.backward(workspace, labels, kChunk, gradients);
      Session::clear(total);
      Session::add(total, gradients);
      // Little enough for weights to stay in int8: the path for others has buffers of its own.
      ASSERT_TRUE(session.update(total, 1e-6F, true));
    };
    step();  // scratch buffers grow to what the layers need
    const std::int64_t before = g_allocations;
    step();
    step();
    EXPECT_EQ(g_allocations - before, 0);
  }
}

// Twice the steps of the same epochs: whatever an epoch or an evaluation needs is the same.
TEST_P(Allocations, DoNotGrowWithStepsOfATraining) {
  const Network network(small_network(GetParam()));
  const ir::Graph& graph = network.graph();
  const auto store = *SampleStore::from_samples(network, toy_samples(graph, 64, 1), 1);
  const auto allocations = [&](int batch) {
    Session session(network, plan::full(graph), graph.head, 0);
    const std::int64_t before = g_allocations;
    const Result<TrainResult> result = train(
        session, *store, *store, {.epochs = 2, .batch = batch, .learning_rate = 0.01}, {.jobs = 1});
    EXPECT_TRUE(result.ok());
    return g_allocations - before;
  };
  EXPECT_EQ(allocations(8), allocations(16));
  EXPECT_GT(allocations(16), 0);  // the counter works
}

// All that samples take, from the first on: the limit, and a workspace and a chunk a thread.
TEST(Memory, OfSamplesStaysWithinTheLimit) {
  const Network network(small_network(1));
  const ir::Graph& graph = network.graph();
  const data::Samples training = toy_samples(graph, 3000, 1);
  const data::Samples validation = toy_samples(graph, 1000, 2);
  const Session whole(network, plan::head_only(graph), graph.head, 0);
  Workspace workspace(whole);
  whole.forward(workspace, kChunk, false);  // scratch buffers grow to what the layers need
  constexpr int kJobs = 2;
  const auto workspaces = static_cast<std::int64_t>(kJobs * workspace.bytes());
  const std::int64_t labels = 4000 * std::int64_t{sizeof(int)};
  const auto inputs = static_cast<std::int64_t>(4000 * SampleStore::sample_bytes(network, 0));
  for (const std::int64_t limit : {std::int64_t{0}, inputs / 4, inputs / 2, inputs, 2 * inputs}) {
    const std::int64_t before = g_bytes;
    g_most = before;
    StoreChain chain(network, training, validation, Bytes{limit});
    std::int64_t held = 0;
    for (int cut = 0; cut <= static_cast<int>(graph.ops.size()); ++cut) {
      const StoreChain::Stores stores = *chain.at(cut, kJobs);
      held = static_cast<std::int64_t>(stores.training->bytes() + stores.validation->bytes());
    }
    // Blocks and their list have a few bytes each of their own.
    const std::int64_t overhead = 500 * 2 * 64 + 100000;
    EXPECT_LE(g_most - before, limit + workspaces + 4 * labels + overhead) << limit;
    EXPECT_LE(chain.most().count, limit);
    EXPECT_EQ(held > 0, limit > 0);  // features fit a quarter of the inputs
  }
}

// That happens in destructors, also while an allocation that failed is on its way out.
TEST(Memory, IsNotNeededToGiveBackToAPool) {
  Pool<int> pool([] { return std::make_unique<int>(0); });
  std::vector<Pool<int>::Borrowed> borrowed;
  for (int i = 0; i < 9; ++i) borrowed.push_back(pool.borrow());
  const std::int64_t before = g_allocations;
  for (auto& one : borrowed) one.reset();
  EXPECT_EQ(g_allocations - before, 0);
}

INSTANTIATE_TEST_SUITE_P(Networks, Allocations, ::testing::Values(1, 2, 3, 4, 5));

}  // namespace
}  // namespace espalier::train
