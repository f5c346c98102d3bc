// What caches in the device's memory ask of CUDA, and what they do when it refuses; over the emulated device.
#include <algorithm>

#include <cuda_runtime_api.h>

#include <catch2/catch.hpp>

#include "impl/cuda/cache_memory.h"
#include "impl/cuda/memory.h"
#include "tests/cuda_emulation/emulation.h"
#include "tests/cuda_emulation/with_settings.h"
#include "tests/impl/cache_support.h"
#include "tests/impl/support.h"

using namespace plumbline;
using namespace plumbline::native;
using namespace plumbline::native::testing;
namespace emulation = plumbline::cuda_emulation;

namespace {

constexpr CacheShape kShape{3, 2, 4};
const std::vector<int> kFive{3, 1, 4, 1, 5};

template <typename Body>
emulation::Counters counted(const cuda::StreamOwner& stream, Body body) {
  cuda::wait(stream.get());
  const emulation::Counters before = emulation::counters();
  body();
  emulation::Counters after = emulation::counters();
  after.synchronisations -= before.synchronisations;
  after.device_allocations -= before.device_allocations;
  after.device_frees -= before.device_frees;
  cuda::wait(stream.get());  // copies are counted as they run
  after.copies_on_device = emulation::counters().copies_on_device - before.copies_on_device;
  after.copies_to_host = emulation::counters().copies_to_host - before.copies_to_host;
  after.copies_to_device = emulation::counters().copies_to_device - before.copies_to_device;
  return after;
}

// One decode step of sequence 0, as an engine makes it, without its kernels.
void decode(NativeCache& cache, bool commits = true) {
  const CacheGrowth growth{0, 1};
  CacheTransaction transaction(cache, {&growth, 1});
  for (int layer = 0; layer < kShape.layers; ++layer) {
    cache.pending_room(layer, 0);
    cache.pending_runs(layer, 0);
  }
  if (commits) transaction.commit();
}

}  // namespace

TEST_CASE("cuda cache: a copy takes as few calls as the strides allow") {
  using enum CacheLayout;
  using enum CachePacking;
  struct Case {
    CacheLayout layout;
    CachePacking packing;
    int read, fork;  // calls for a layer's keys
  };
  const cuda::StreamOwner stream;
  for (const Case& each : {Case{sequence_heads, separate, 1, 1}, Case{sequence_heads, concatenated, 1, 1},
                           Case{sequence_heads, interleaved, 2, 2}, Case{heads_sequence, separate, 2, 1},
                           Case{heads_sequence, concatenated, 2, 1}, Case{heads_sequence, interleaved, 2, 2},
                           Case{sequence_flat, separate, 1, 1}, Case{sequence_flat, concatenated, 1, 1},
                           Case{sequence_flat, interleaved, 1, 1}}) {
    const CacheSpec spec{CacheKind::fixed, 2, 13, DType::f32, each.layout, each.packing};
    INFO(form_name(spec));
    const auto cache = make_native_cache(spec, kShape, 1, cuda::make_cache_memory(stream.get()));
    update_marked(*cache, 0, kFive);
    const auto read = counted(stream, [&] { cache->read_key(1, 0); });
    CHECK(read.copies_to_host == each.read);
    const auto fork = counted(stream, [&] { cache->fork(0, 1); });
    CHECK(fork.copies_on_device == 2 * kShape.layers * each.fork);
    const auto one = counted(stream, [&] { update_marked(*cache, 0, std::span(kFive).first(1)); });
    CHECK(one.copies_to_device == 2 * kShape.layers);
    CHECK(holds(*cache, 1, kFive));
  }
}

TEST_CASE("cuda cache: tokens move without a wait and without new memory, in pieces as long as the gap") {
  const cuda::StreamOwner stream;
  const CacheSpec spec{CacheKind::fixed, 2, 20};
  const auto cache = make_native_cache(spec, kShape, 1, cuda::make_cache_memory(stream.get()));
  std::vector<int> tokens(20);
  for (int i = 0; i < 20; ++i) tokens[static_cast<std::size_t>(i)] = i;
  update_marked(*cache, 0, tokens);
  const auto moved = counted(stream, [&] {
    cache->fork(0, 1);
    cache->evict(0, 2, 8);  // 12 tokens move by 6: two pieces
    cache->evict(1, 0, 4);  // none moves: the ring begins later
    cache->crop(0, 9);
    decode(*cache, false);
    decode(*cache);
  });
  CHECK(moved.copies_on_device == 2 * kShape.layers * (1 + 2));
  CHECK(moved.synchronisations == 0);
  CHECK(moved.device_allocations == 0);
  tokens.erase(tokens.begin(), tokens.begin() + 4);
  CHECK(holds(*cache, 1, tokens));
}

TEST_CASE("cuda cache: a full ring's decode steps ask for memory once") {
  const cuda::StreamOwner stream;
  CacheSpec spec{CacheKind::fixed, 2, 5};
  spec.when_full = WhenFull::ring;
  const auto cache = make_native_cache(spec, kShape, 1, cuda::make_cache_memory(stream.get()));
  update_marked(*cache, 0, kFive);
  decode(*cache, false);
  const auto steps = counted(stream, [&] {
    for (int step = 0; step < 40; ++step) decode(*cache, step % 3 != 0);
  });
  CHECK(steps.device_allocations == 0);
  CHECK(steps.device_frees == 0);
  CHECK(steps.synchronisations == 0);
}

TEST_CASE("cuda cache: more than the device has is refused with what is needed and what is free") {
  const emulation::WithSettings restored;
  const cuda::StreamOwner stream;
  const auto memory = cuda::make_cache_memory(stream.get());
  emulation::settings().device_memory = emulation::held().device_bytes + 10000;
  CHECK_THAT(error_of([&] {
               make_native_cache({CacheKind::fixed, 1, 53}, kShape, 1, memory);  // 192 bytes each
             }),
             Catch::Contains("a capacity of 53 tokens needs 10176 bytes, the device has 10000 free"));
  CHECK(error_of([&] { make_native_cache({CacheKind::fixed, 1, 52}, kShape, 1, memory); }).empty());
  // 5 tokens and 16 to spare, keys and values: 1344 bytes a layer, which stays until the step is over.
  const auto growing = make_native_cache({CacheKind::concat, 2}, kShape, 1, memory);
  update_marked(*growing, 0, kFive);
  update_marked(*growing, 1, kFive);
  const std::vector<int> many(17, 2);
  CHECK_THAT(error_of([&] { update_marked(*growing, 0, many); }),
             Catch::Contains("needs 1216 bytes of device memory, 720 are free"));
  CHECK(cudaGetLastError() == cudaSuccess);  // nor will the next launch say it again
  CHECK(holds(*growing, 0, kFive));
  CHECK(holds(*growing, 1, kFive));
}

TEST_CASE("cuda cache: whichever call CUDA refuses, it is one error, and a step leaves the lengths") {
  const emulation::WithSettings restored;
  CacheSpec ring{CacheKind::fixed, 2, 6};
  ring.when_full = WhenFull::ring;
  CacheSpec heads{CacheKind::concat};
  heads.max_sequences = 2;
  heads.layout = CacheLayout::heads_sequence;
  const cuda::StreamOwner stream;
  for (const CacheSpec& spec : {ring, heads}) {
    bool failed = true;
    for (int nth = 1; failed; ++nth) {
      const auto cache = make_native_cache(spec, kShape, 1, cuda::make_cache_memory(stream.get()));
      update_marked(*cache, 0, kFive);
      cuda::wait(stream.get());
      emulation::settings().fail_call = emulation::counters().calls + nth;
      const std::string error = error_of([&] {
        update_marked(*cache, 0, kFive);
        cache->read_value(2, 0);
        cache->fork(0, 1);
      });
      failed = emulation::counters().calls >= emulation::settings().fail_call;
      emulation::settings().fail_call = 0;
      INFO(form_name(spec) << ", call " << nth << ": " << error);
      const std::int64_t length = cache->length(0);
      const std::int64_t added = spec.kind == CacheKind::fixed ? 6 : 10;
      CHECK((length == 5 || length == added));
      if (failed && !error.empty()) CHECK_THAT(error, Catch::Contains("unknown error"));
      if (!failed) CHECK(length == added);
      const std::vector<int> ten{3, 1, 4, 1, 5, 3, 1, 4, 1, 5};
      CHECK(holds(*cache, 0,
                  length == 5 ? std::span(kFive) : std::span(ten).last(static_cast<std::size_t>(length))));
      REQUIRE(nth < 200);
    }
  }
}

TEST_CASE("cuda cache: after a copy that failed half way, the host's memory is left alone") {
  const emulation::WithSettings restored;
  const cuda::StreamOwner stream;
  const auto memory = cuda::make_cache_memory(stream.get());
  const auto block = memory->allocate(64);
  memory->zero(block->data(), 64);
  const RunFormat format{DType::f32, 2, 4};
  const StoredRun by_head{block->data(), block->data(), 2, 4, 8};  // a call for each head
  cuda::PinnedBuffer rows;
  rows.reserve(64);
  emulation::settings().fail_call = emulation::counters().calls + 2;
  CHECK_THAT(error_of([&] { memory->read_run(format, by_head, CachePart::key, rows.data()); }),
             Catch::Contains("a copy of a cache's rows failed: unknown error"));
  std::fill_n(rows.data(), 64, std::byte{0x22});
  cuda::wait(stream.get());
  CHECK(std::count(rows.data(), rows.data() + 64, std::byte{0x22}) == 64);
}

TEST_CASE("cuda cache: a step that is given up after the device has gone ends without a word of its own") {
  const emulation::WithSettings restored;
  CacheSpec ring{CacheKind::fixed, 1, 5};
  ring.when_full = WhenFull::ring;
  const cuda::StreamOwner stream;
  const auto cache = make_native_cache(ring, kShape, 1, cuda::make_cache_memory(stream.get()));
  update_marked(*cache, 0, kFive);
  const CacheGrowth growth{0, 1};
  CHECK_THAT(error_of([&] {
               const CacheTransaction transaction(*cache, {&growth, 1});
               cache->pending_room(0, 0);  // the oldest token's rows are to come back
               emulation::settings().device_count = 0;
               cache->pending_room(1, 0);
             }),
             Catch::Contains("a copy of a cache's rows failed: no CUDA-capable device is detected"));
  emulation::settings().device_count = 1;
  CHECK(cache->length(0) == 5);
  decode(*cache);
}
