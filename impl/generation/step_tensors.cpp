#include "impl/generation/step_tensors.h"

#include <cstring>
#include <limits>
#include <new>

#include <fmt/format.h>

#include "harness/error.h"

namespace plumbline::native {
namespace {

constexpr const char* kWhere = "capture";
constexpr std::int64_t kAlignment = 64;

}  // namespace

StepTensors::StepTensors(std::int64_t call_bytes) : call_bytes_(call_bytes) {
  if (call_bytes < 1)
    throw Error(fmt::format("{} bytes for a call's tensors", call_bytes), kWhere, "at least 1");
  const auto refuse = [&] {
    throw Error(fmt::format("no memory for twice {} bytes of a call's tensors", call_bytes), kWhere);
  };
  if (call_bytes > std::numeric_limits<std::int64_t>::max() / 4) refuse();
  try {
    bytes_ = ZeroedBytes(2 * static_cast<std::size_t>(call_bytes));
  } catch (const std::bad_alloc&) {
    refuse();
  }
}

void StepTensors::begin() {
  tensors_.resize(kept_);
  end_ = used_;
}

void StepTensors::add(Engine& engine, const std::string& name, const TensorView& view) {
  const std::int64_t at = (end_ + kAlignment - 1) / kAlignment * kAlignment;
  const auto size = view.elements() * static_cast<std::int64_t>(dtype_size(view.dtype));
  if (at + size > used_ + call_bytes_) {
    throw Error(fmt::format("'{}' of {} bytes goes beyond the {} bytes that one call's tensors may take",
                            name, size, call_bytes_),
                kWhere, "give them more, choose fewer probes, or feed fewer tokens at once");
  }
  std::byte* const to = bytes_.data() + at;
  if (view.device.kind == DeviceKind::cpu && view.is_contiguous()) {
    std::memcpy(to, view.data, static_cast<std::size_t>(size));
  } else {
    std::memcpy(to, engine.to_host(view).bytes().data(), static_cast<std::size_t>(size));
  }
  tensors_.push_back({name, TensorView(to, view.dtype, view.shape)});
  end_ = at + size;
}

void StepTensors::commit() {
  kept_ = tensors_.size();
  used_ = end_;
}

void StepTensors::clear() {
  tensors_.clear();
  kept_ = 0;
  used_ = end_ = 0;
}

}  // namespace plumbline::native
