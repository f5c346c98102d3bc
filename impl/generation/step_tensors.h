// Tensors of forward() calls whose shapes follow from the call (attention patterns, caches, logits), in
// memory that is there from the start.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "harness/engine.h"
#include "harness/tensor_file.h"

namespace plumbline::native {

class StepTensors {
 public:
  // `call_bytes`: what the tensors of one call may take; twice that is allocated. Throws Error for less than
  // 1 and more than there is.
  explicit StepTensors(std::int64_t call_bytes);
  StepTensors(const StepTensors&) = delete;
  StepTensors& operator=(const StepTensors&) = delete;

  // True when there may be no room for another call's: clear() first.
  bool full() const { return used_ > call_bytes_; }
  void begin();  // drops what is pending
  // Copies a view, of any dtype and device. Throws Error when the call's would be more than call_bytes.
  void add(Engine& engine, const std::string& name, const TensorView& view);
  std::size_t pending() const { return tensors_.size() - kept_; }
  void commit();  // what is pending is kept
  void clear();
  const std::vector<NamedView>& tensors() const { return tensors_; }  // those kept, then those pending

 private:
  std::int64_t call_bytes_;
  ZeroedBytes bytes_;
  std::int64_t used_ = 0;  // by those kept
  std::int64_t end_ = 0;   // and those pending
  std::vector<NamedView> tensors_;
  std::size_t kept_ = 0;
};

}  // namespace plumbline::native
