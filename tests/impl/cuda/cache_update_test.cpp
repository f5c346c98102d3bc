#include "impl/cuda/cache_update.h"

#include <algorithm>
#include <cstring>
#include <memory>

#include <catch2/catch.hpp>

#include "tests/impl/cuda/support.h"

using namespace plumbline;
using namespace plumbline::native::cuda;
using namespace plumbline::native::cuda::testing;

namespace {

std::int64_t pick(std::mt19937& random, std::int64_t least, std::int64_t most) {
  return std::uniform_int_distribution<std::int64_t>(least, most)(random);
}

// The memory of a step's new tokens: keys, then values, of each run; and the same as it should become.
template <typename Cache>
struct Room {
  std::unique_ptr<DeviceArray<Cache>> memory;
  std::vector<Cache> expected;
  DeviceRuns runs{};
};

struct Sizes {
  std::int64_t kv_heads;
  std::int64_t head_dim;
};

// `tokens` [tokens, kv_heads, head_dim] of keys and values, in one to three runs. Every other byte is to
// stay.
template <typename Storage, typename Cache>
Room<Cache> make_room(std::mt19937& random, const Sizes& sizes, const Storage* keys, const Storage* values,
                      std::int64_t tokens, std::int64_t unit) {
  Room<Cache> room;
  const std::int64_t cut = pick(random, 0, tokens), next = pick(random, cut, tokens);
  std::int64_t size = 0, used = 0;
  std::vector<std::pair<std::int64_t, std::int64_t>> bases;  // of keys and values
  std::vector<std::pair<std::int64_t, std::int64_t>> spans;
  for (const auto& [begin, end] : {std::pair{std::int64_t{0}, cut}, {cut, next}, {next, tokens}}) {
    if (begin == end) continue;
    DeviceRun& run = room.runs.runs[used++];
    run.tokens = end - begin;
    const bool by_token = pick(random, 0, 1) == 0;
    const std::int64_t spare = unit * pick(random, 0, 2);
    run.head_stride = by_token ? sizes.head_dim + spare : (sizes.head_dim + spare) * run.tokens;
    run.token_stride = by_token ? run.head_stride * sizes.kv_heads : sizes.head_dim + spare;
    const std::int64_t elements = run.tokens * sizes.kv_heads * (sizes.head_dim + spare);
    const std::int64_t first = size + unit * pick(random, 0, 2);
    bases.emplace_back(first, first + elements);
    spans.emplace_back(begin, end);
    size = first + 2 * elements;
  }
  room.memory = std::make_unique<DeviceArray<Cache>>(static_cast<std::size_t>(size));
  room.expected.resize(static_cast<std::size_t>(size));
  std::memset(room.expected.data(), 0xff, room.expected.size() * sizeof(Cache));
  for (std::size_t r = 0; r < spans.size(); ++r) {
    DeviceRun& run = room.runs.runs[r];
    run.keys = room.memory->data() + bases[r].first;
    run.values = room.memory->data() + bases[r].second;
    for (std::int64_t t = spans[r].first; t < spans[r].second; ++t) {
      for (std::int64_t i = 0; i < sizes.kv_heads * sizes.head_dim; ++i) {
        const std::int64_t from = t * sizes.kv_heads * sizes.head_dim + i;
        const std::int64_t to = (t - spans[r].first) * run.token_stride +
                                i / sizes.head_dim * run.head_stride + i % sizes.head_dim;
        room.expected[static_cast<std::size_t>(bases[r].first + to)] = narrow<Cache>(widen(keys[from]));
        room.expected[static_cast<std::size_t>(bases[r].second + to)] = narrow<Cache>(widen(values[from]));
      }
    }
  }
  return room;
}

template <typename Storage, typename Cache>
void check_update(unsigned seed) {
  std::mt19937 random(seed);
  const std::int64_t unit = seed % 2 == 0 ? 8 : 1;  // whether 16 bytes are copied together
  const Sizes sizes{pick(random, 1, 5), unit * pick(random, 1, unit == 1 ? 40 : 16)};
  std::vector<StepEntry> steps;
  std::vector<std::int32_t> step_of_row;
  for (std::int32_t s = 0, count = static_cast<std::int32_t>(pick(random, 1, 3)); s < count; ++s) {
    const auto first = static_cast<std::int64_t>(step_of_row.size());
    steps.push_back({first, pick(random, 1, 30), pick(random, 0, 9)});
    step_of_row.insert(step_of_row.end(), static_cast<std::size_t>(steps.back().rows), s);
  }
  const auto rows = static_cast<std::int64_t>(step_of_row.size()), width = sizes.kv_heads * sizes.head_dim;
  const auto keys = random_values<Storage>(rows * width, seed + 1);
  const auto values = random_values<Storage>(rows * width, seed + 2);
  std::vector<Room<Cache>> rooms;
  std::vector<StepRuns> runs;
  for (const StepEntry& step : steps) {
    const std::int64_t first = step.first_row * width;
    rooms.push_back(make_room<Storage, Cache>(random, sizes, keys.data() + first, values.data() + first,
                                              step.rows, unit));
    runs.push_back({rooms.back().runs, {}});
  }
  const std::size_t shift = seed % 3 == 0 ? 1 : 0;
  const DeviceArray<Storage> device_keys(keys, shift), device_values(values, shift);
  const DeviceArray<StepEntry> device_steps(steps);
  const DeviceArray<StepRuns> device_runs(runs);
  const DeviceArray<std::int32_t> device_step_of_row(step_of_row);
  cache_update(nullptr, dtype_of<Storage>(), dtype_of<Cache>(), device_keys.data(), device_values.data(),
               device_steps.data(), device_runs.data(), device_step_of_row.data(), rows, sizes.kv_heads,
               sizes.head_dim);
  for (const Room<Cache>& room : rooms) {
    CAPTURE(seed, sizes.kv_heads, sizes.head_dim, rows);
    REQUIRE(differing(room.memory->read(), room.expected) == 0);
  }
}

}  // namespace

TEST_CASE("Cache update on the device: every new row at its place, rounded once, and nothing else") {
  under_all_schedules([](const std::string& schedule) {
    CAPTURE(schedule);
    for (unsigned seed = 0; seed < 24; ++seed) {
      check_update<float, float>(seed);
      check_update<float, Bf16>(seed);
      check_update<Bf16, float>(seed);
      check_update<Bf16, Bf16>(seed);
    }
  });
}

TEST_CASE("Cache update on the device: its launches fit, and every group of features has one thread") {
  for (const ModelShape& model : kModelShapes) {
    for (const std::int64_t rows : {1, 2, 127, 4096, 32768}) {
      const LaunchShape shape = cache_update_shape(rows, model.kv_heads, model.head_dim);
      const std::int64_t groups = rows * model.kv_heads * model.head_dim / kGroupFeatures;
      CAPTURE(model.name, rows);
      CHECK(fits(shape));
      CHECK(shape.blocks_x * shape.threads >= groups);
      CHECK((shape.blocks_x - 1) * shape.threads < groups);
    }
  }
}
