// Caches of random layout in the memory of the device, for tests of attention.
#pragma once

#include <cstdint>
#include <cstring>
#include <memory>
#include <vector>

#include "harness/dtype.h"
#include "impl/cuda/element.h"
#include "impl/cuda/step_table.h"
#include "tests/impl/cuda/attention_support.h"
#include "tests/impl/cuda/support.h"

namespace plumbline::native::cuda::testing {

// Elements of a dtype as bytes; all bits set, NaN, until they are written.
class Elements {
 public:
  Elements(DType dtype, std::int64_t count)
      : dtype_(dtype), bytes_(static_cast<std::size_t>(count) * size(), std::uint8_t{0xff}) {}
  void put(std::int64_t index, float value) {
    std::uint8_t* to = bytes_.data() + static_cast<std::size_t>(index) * size();
    if (dtype_ == DType::f32) {
      std::memcpy(to, &value, sizeof value);
    } else {
      const Bf16 half = narrow<Bf16>(value);
      std::memcpy(to, &half, sizeof half);
    }
  }
  float get(std::int64_t index) const {
    const std::uint8_t* from = bytes_.data() + static_cast<std::size_t>(index) * size();
    float value;
    Bf16 half;
    if (dtype_ == DType::f32) return std::memcpy(&value, from, sizeof value), value;
    return std::memcpy(&half, from, sizeof half), widen(half);
  }
  std::size_t size() const { return dtype_ == DType::f32 ? 4 : 2; }
  std::vector<std::uint8_t>& bytes() { return bytes_; }

 private:
  DType dtype_;
  std::vector<std::uint8_t> bytes_;
};

// Memory that lives as long as the launches.
struct Memory {
  std::vector<std::unique_ptr<DeviceArray<std::uint8_t>>> arrays;
  void* keep(const std::vector<std::uint8_t>& bytes) {
    arrays.push_back(std::make_unique<DeviceArray<std::uint8_t>>(bytes));
    return arrays.back()->data();
  }
};

// All that a step attends to, in one to form.most_runs runs; what lies between tokens and heads is NaN.
DeviceRuns runs_of(const Problem& problem, std::size_t step, const Form& form, Random& random,
                   Memory& memory);

}  // namespace plumbline::native::cuda::testing
