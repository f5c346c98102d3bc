// A program of its own: it replaces the global operator new, to count.
#include <cstdlib>
#include <new>

#include <catch2/catch.hpp>

#include "impl/sampler.h"
#include "tests/impl/sampling_support.h"

using namespace plumbline;
using namespace plumbline::native;
using namespace plumbline::native::testing;

namespace {

std::size_t allocations = 0;

void* counted(std::size_t size) {
  ++allocations;
  if (void* memory = std::malloc(size == 0 ? 1 : size)) return memory;
  throw std::bad_alloc();
}

}  // namespace

void* operator new(std::size_t size) {
  return counted(size);
}
void* operator new[](std::size_t size) {
  return counted(size);
}
void operator delete(void* memory) noexcept {
  std::free(memory);
}
void operator delete[](void* memory) noexcept {
  std::free(memory);
}
void operator delete(void* memory, std::size_t) noexcept {
  std::free(memory);
}
void operator delete[](void* memory, std::size_t) noexcept {
  std::free(memory);
}

namespace {

SamplingParams everything_on() {
  SamplingParams params = at_temperature(0.9);
  params.top_k = 700;
  params.top_p = 0.97;
  params.min_p = 1e-4;
  params.repetition_penalty = 1.2;
  params.frequency_penalty = 0.1;
  params.presence_penalty = 0.1;
  params.logit_bias = {{1, -2}};
  return params;
}

}  // namespace

TEST_CASE("sampler: after the first token of a vocabulary, no token allocates") {
  constexpr std::size_t kVocab = 5000;
  std::vector<SamplingParams> chains{everything_on(), SamplingParams(), at_temperature(1)};
  SamplingParams filters = at_temperature(1.1);  // over all of the vocabulary
  for (const std::int64_t k : {0, 3, 4990}) {
    filters.top_k = k;
    filters.top_p = 0.999;
    filters.min_p = k == 0 ? 0 : 1e-5;
    chains.push_back(filters);
  }
  NullSink nothing;
  for (const SamplingParams& params : chains) {
    const auto sampler = make_sampler(3);
    bool first = true;
    for (const auto& [name, row] : awkward_rows(kVocab, 4)) {
      Ids history(300, 7);
      for (std::size_t i = 0; i < history.size(); i += 3) history[i] = static_cast<TokenId>(i);
      SamplingStep step = step_of(row, history, std::nullopt);
      for (step.step = 0; step.step < 4; ++step.step) {
        step.generated = static_cast<std::int64_t>(40 * step.step);
        const std::size_t before = allocations;
        sampler->sample(step, params, nothing);
        const std::size_t made = allocations - before;
        INFO(name << ", step " << step.step << ", top-k " << params.top_k);
        if (first) CHECK(made > 0);  // the counter counts
        if (!first) CHECK(made == 0);
        first = false;
      }
    }
  }
}
