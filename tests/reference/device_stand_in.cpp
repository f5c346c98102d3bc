#include "tests/reference/device_stand_in.h"

#include <sys/mman.h>
#include <unistd.h>

#include <cstring>
#include <vector>

#include <ATen/ATen.h>
#include <ATen/EmptyTensor.h>
#include <ATen/ops/_reshape_alias_native.h>
#include <ATen/ops/as_strided_native.h>
#include <ATen/ops/view_native.h>
#include <c10/core/impl/DeviceGuardImplInterface.h>
#include <torch/library.h>

namespace plumbline::test {
namespace {

constexpr c10::DeviceType kStandIn = c10::DeviceType::PrivateUse1;
std::size_t most_bytes = 0;

// What a tensor's pointer names may not be touched; as much again behind it is the memory.
struct Area {
  std::byte* begin = nullptr;
  std::size_t half = 0;
};

void free_area(void* context) {
  const auto* area = static_cast<Area*>(context);
  ::munmap(area->begin, 2 * area->half);
  delete area;
}

class StandInAllocator final : public c10::Allocator {
 public:
  c10::DataPtr allocate(std::size_t bytes) override {
    TORCH_CHECK_WITH(OutOfMemoryError, most_bytes == 0 || bytes <= most_bytes, "the stand-in has no ", bytes,
                     " bytes");
    const auto page = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
    const std::size_t half = (bytes / page + 1) * page;
    void* begin = ::mmap(nullptr, 2 * half, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    TORCH_CHECK(begin != MAP_FAILED, "mmap");
    const Area area{static_cast<std::byte*>(begin), half};
    TORCH_CHECK(::mprotect(area.begin + half, half, PROT_READ | PROT_WRITE) == 0, "mprotect");
    std::memset(area.begin + half, 0xFF, half);
    return {begin, new Area(area), &free_area, c10::Device(kStandIn, 0)};
  }
  void copy_data(void*, const void*, std::size_t) const override { TORCH_CHECK(false, "copy_data"); }
};

StandInAllocator& allocator() {
  static StandInAllocator instance;
  return instance;
}

// The memory of a device tensor, as the CPU's kernels may use it.
at::Tensor on_host(const at::Tensor& tensor) {
  const auto* area = static_cast<const Area*>(tensor.storage().data_ptr().get_context());
  std::byte* first = area->begin + area->half + tensor.storage_offset() * tensor.element_size();
  return at::from_blob(first, tensor.sizes(), tensor.strides(), at::TensorOptions(tensor.scalar_type()));
}

at::Tensor empty(at::IntArrayRef sizes, std::optional<at::ScalarType> type, std::optional<at::Layout>,
                 std::optional<at::Device>, std::optional<bool>, std::optional<at::MemoryFormat> format) {
  return at::detail::empty_generic(sizes, &allocator(), c10::DispatchKeySet(c10::DispatchKey::PrivateUse1),
                                   type.value_or(at::kFloat), format);
}

at::Tensor empty_strided(at::IntArrayRef sizes, at::IntArrayRef strides, std::optional<at::ScalarType> type,
                         std::optional<at::Layout>, std::optional<at::Device>, std::optional<bool>) {
  return at::detail::empty_strided_generic(sizes, strides, &allocator(),
                                           c10::DispatchKeySet(c10::DispatchKey::PrivateUse1),
                                           type.value_or(at::kFloat));
}

at::Tensor& copy(at::Tensor& to, const at::Tensor& from, bool) {
  const at::Tensor source = from.is_cpu() ? from : on_host(from);
  (to.is_cpu() ? to : on_host(to)).copy_(source);
  if (to.is_cpu()) stand_in_counts().to_host += 1;
  return to;
}

at::Tensor view(const at::Tensor& tensor, c10::SymIntArrayRef sizes) {
  return at::native::view(tensor, C10_AS_INTARRAYREF_SLOW(sizes));
}

// One call of an op: its arguments, and what the kernel got in their place.
class Call {
 public:
  explicit Call(const c10::OperatorHandle& op) : op_(op) {}

  at::Tensor lent(const at::Tensor& tensor) {
    if (!tensor.defined() || (tensor.is_cpu() && tensor.dim() == 0)) return tensor;
    TORCH_CHECK(tensor.device().type() == kStandIn, op_.schema().name(), ": a tensor on ", tensor.device(),
                " among the device's");
    given_.push_back(tensor);
    const bool to_be_resized = tensor.numel() == 0;  // an output that an op has made for its own kernel
    lent_.push_back(to_be_resized ? at::empty(tensor.sizes(), tensor.scalar_type()) : on_host(tensor));
    return lent_.back();
  }

  void lend(c10::IValue& argument) {
    if (argument.isTensor()) {
      argument = lent(argument.toTensor());
    } else if (argument.isTensorList()) {
      std::vector<at::Tensor> tensors = argument.toTensorVector();
      for (at::Tensor& tensor : tensors) tensor = lent(tensor);
      argument = tensors;
    } else if (argument.isDevice()) {
      argument = at::Device(at::kCPU);
    }
  }

  void bring(c10::IValue& result) const {
    if (!result.isTensor() || !result.toTensor().defined()) return;
    const at::Tensor tensor = result.toTensor();
    for (std::size_t i = 0; i < lent_.size(); ++i) {
      if (tensor.is_same(lent_[i])) {
        if (tensor.numel() != given_[i].numel()) become(given_[i], tensor);
        return void(result = given_[i]);
      }
      TORCH_CHECK(!tensor.is_alias_of(lent_[i]), op_.schema().name(), ": a view that the stand-in lacks");
    }
    result = tensor.to(at::Device(kStandIn, 0));
  }

 private:
  static void become(const at::Tensor& given, const at::Tensor& resized) {
    given.unsafeGetTensorImpl()->shallow_copy_from(resized.to(at::Device(kStandIn, 0)).getIntrusivePtr());
  }

  const c10::OperatorHandle& op_;
  std::vector<at::Tensor> given_, lent_;
};

void run_on_host(const c10::OperatorHandle& op, torch::jit::Stack* stack) {
  Call call(op);
  const std::size_t first = stack->size() - op.schema().arguments().size();
  for (std::size_t i = first; i < stack->size(); ++i) call.lend((*stack)[i]);
  op.redispatchBoxed(c10::DispatchKeySet(c10::DispatchKey::CPU), stack);
  for (std::size_t i = first; i < stack->size(); ++i) call.bring((*stack)[i]);  // in the arguments' place
  stand_in_counts().ops += 1;
}

TORCH_LIBRARY_IMPL(aten, PrivateUse1, library) {
  library.impl("empty.memory_format", &empty);
  library.impl("empty_strided", &empty_strided);
  library.impl("copy_", &copy);
  library.impl("view", &view);
  library.impl("as_strided", &at::native::as_strided_tensorimpl);
  library.impl("_reshape_alias", &at::native::_reshape_alias);
}

TORCH_LIBRARY_IMPL(_, PrivateUse1, library) {
  library.fallback(torch::CppFunction::makeFromBoxedFunction<&run_on_host>());
}

}  // namespace

StandInCounts& stand_in_counts() {
  static StandInCounts counts;
  return counts;
}

void limit_stand_in(std::size_t bytes) {
  most_bytes = bytes;
}

}  // namespace plumbline::test

namespace at {  // the macro names it from there
C10_REGISTER_GUARD_IMPL(PrivateUse1, c10::impl::NoOpDeviceGuardImpl<c10::DeviceType::PrivateUse1>);
}  // namespace at
