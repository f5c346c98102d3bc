// What tests of attention demand of a result, bit for bit.
#pragma once

#include <cstdint>
#include <vector>

#include "tests/cuda_emulation/emulation.h"
#include "tests/impl/cuda/attention_support.h"

namespace plumbline::native::cuda::testing {

bool same_bits(float a, float b);
bool same_bits(const std::vector<float>& a, const std::vector<float>& b);

// Every bit that a form is to leave, and that it leaves the rest alone.
void check_result(const Problem& p, const Form& form, const Result& result);

// A problem of one step that begins its sequence: its rows token by token, and 37 at a time, have the bits of
// the whole.
void check_parts(const Problem& whole, Form form);

// Sizes without numbers: six heads, two kv heads, one step.
Problem one_step(DType storage, DType cache, std::int64_t head_dim, std::int64_t rows, std::int64_t past);

// One of four, for one run; the settings are as before afterwards.
class UnderSchedule {
 public:
  explicit UnderSchedule(unsigned number) : before_(cuda_emulation::settings()) {
    using cuda_emulation::Order;
    constexpr Order kOrders[] = {Order::ascending, Order::descending, Order::shuffled, Order::shuffled};
    cuda_emulation::settings().lazy = number % 2 == 0;
    cuda_emulation::settings().order = kOrders[number % 4];
    cuda_emulation::settings().seed = number;
  }
  ~UnderSchedule() { cuda_emulation::settings() = before_; }
  UnderSchedule(const UnderSchedule&) = delete;
  UnderSchedule& operator=(const UnderSchedule&) = delete;

 private:
  cuda_emulation::Settings before_;
};

}  // namespace plumbline::native::cuda::testing
