// A checkpoint's weights as LibTorch tensors, read when they are first asked for.
#pragma once

#include <condition_variable>
#include <filesystem>
#include <map>
#include <mutex>
#include <set>
#include <string>

#include <ATen/ATen.h>

#include "harness/model.h"
#include "reference/internal/checkpoint.h"
#include "reference/weights.h"

namespace plumbline::reference {

// Rows of lm_head that are read, and multiplied, at a time: whether all weights are held or one layer's.
inline constexpr std::int64_t kHeadRows = 8192;

// Thread-safe: replays of several layers may run at once.
class Weights {
 public:
  // Values are rounded once to `storage`, then widened to `compute`. Throws Error for a broken checkpoint, or
  // one that lacks what the config asks for; no weight is read yet. They are handed out on `device`.
  Weights(const std::filesystem::path& directory, const ModelConfig& config, DType storage, DType compute,
          Hold hold = Hold::all, at::Device device = at::kCPU);

  // "model.norm.weight"; throws Error for one that holds NaN or infinity. lm_head.weight is the embedding
  // where the config ties them. Where one layer is held, throws std::runtime_error for a tensor larger than
  // that.
  at::Tensor get(const std::string& name) const;
  // "self_attn.q_proj.weight" of one layer; undefined where Qwen2 has no such tensor (the bias of o_proj).
  at::Tensor layer(int layer, const std::string& name) const;
  // Rows [begin, begin + count) of get(name). Where one layer is held, they alone are read, and not kept.
  at::Tensor rows(const std::string& name, std::int64_t begin, std::int64_t count) const;
  // ids: i64 [tokens] -> [tokens, columns]; the same.
  at::Tensor gathered(const std::string& name, const at::Tensor& ids) const;
  std::int64_t rows_of(const std::string& name) const;  // how many there are
  const std::string& hash() const;
  at::Device device() const { return device_; }

 private:
  struct Held {
    at::Tensor values;
    std::uint64_t used = 0;  // when, by clock_
  };
  const std::string& stored_name(const std::string& name) const;
  const StoredLocation& location(const std::string& key) const;
  std::int64_t bytes_of(const StoredLocation& location) const;  // in memory
  at::Tensor load(const std::string& key, std::int64_t begin, std::int64_t count) const;
  void make_room(std::int64_t bytes) const;
  void check_finite(const std::string& key) const;
  [[noreturn]] void refuse(const std::string& key) const;

  TensorIndex index_;
  bool tied_ = false;
  DType storage_;
  DType compute_;
  Hold hold_;
  at::Device device_;
  std::int64_t most_bytes_ = 0;  // held at a time, where one layer is
  mutable std::mutex mutex_;
  mutable std::condition_variable loaded_;
  mutable std::map<std::string, Held> held_;
  mutable std::set<std::string> loading_;
  mutable std::set<std::string> finite_;
  mutable std::int64_t held_bytes_ = 0;
  mutable std::uint64_t clock_ = 0;
  mutable std::string hash_;
};

}  // namespace plumbline::reference
