// Planted mistakes: a recorded trace in which one op's output is exchanged for what a mistake would have
// given, computed here in plain f32 loops, and the suspects that are then named.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "harness/suspects.h"
#include "harness/trace.h"
#include "tests/reference/fixtures.h"
#include "tests/support/temporary_directory.h"

namespace plumbline::test {

// A checkpoint, a trace of it in two steps (9 tokens, then 4), and its replayer.
class Stage {
 public:
  // `loud` multiplies the biases of q and k, and so the scores.
  explicit Stage(const nlohmann::json& config, std::vector<std::int64_t> split = {9, 4}, float loud = 1);
  // Takes these probes of every layer out of the trace.
  void forget(const std::vector<std::string>& probes);
  // Zeros of this shape in place of what the first step recorded.
  void replace(const std::string& probe, const std::vector<std::int64_t>& shape);

  static OpSite site(const std::string& name);
  // What was recorded or stored; as f32, booleans and integers too.
  std::vector<float> get(const std::string& probe, std::size_t step = 0) const;
  std::vector<float> weight(const std::string& name) const;
  std::vector<std::int64_t> shape(const std::string& probe, std::size_t step = 0) const;

  // The ranking for `probe` when the subject gave `values` there (of another shape, if one is given).
  std::vector<SuspectFit> ranked(const std::string& probe, const std::vector<float>& values,
                                 std::size_t step = 0, std::vector<std::int64_t> shape = {});
  // The name in first place; "none fits" when it does not fit.
  std::string first(const std::string& probe, const std::vector<float>& values, std::size_t step = 0);
  // The names that are tied with it, itself included.
  std::string named(const std::string& probe, const std::vector<float>& values, std::size_t step = 0);

  nlohmann::json config;

 private:
  TemporaryDirectory directory_;
  std::map<std::string, Tensor> weights_;
  Trace trace_;
  std::unique_ptr<Replayer> replayer_;
};

// 24 features, 4 heads of 6 over 2 kv heads, 3 layers, all of them full; o_proj is square.
nlohmann::json square_config();

// y = x w^T + b in f32, lanes of 8; b may be empty.
std::vector<float> linear(const std::vector<float>& x, const std::vector<float>& w,
                          const std::vector<float>& b, std::size_t in);
// The nearest value of 8 (bf16) or 11 (f16, TF32) bits of precision.
float rounded(float value, int bits);
float as_f16(float value);  // with its subnormals, from 6e-5 down
std::vector<float> rounded(std::vector<float> values, int bits);

}  // namespace plumbline::test
