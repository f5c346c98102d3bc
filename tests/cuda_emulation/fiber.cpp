#include "tests/cuda_emulation/fiber.h"

#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <cstring>
#include <stdexcept>

#if defined(PLUMBLINE_EMULATION_PORTABLE)
#include <ucontext.h>
#endif

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif

namespace plumbline::cuda_emulation {
namespace {

#if defined(__SANITIZE_ADDRESS__)
constexpr std::size_t kStackBytes = 256 * 1024;  // frames are larger there
#else
constexpr std::size_t kStackBytes = 64 * 1024;
#endif

void (*fiber_body)() = nullptr;
[[maybe_unused]] Fiber* switched_from = nullptr;

// AddressSanitizer wants to know of each switch. The bounds of a host's stack are learnt when it is left.
void arrived([[maybe_unused]] Fiber* self) {
#if defined(__SANITIZE_ADDRESS__)
  const void* bottom = nullptr;
  std::size_t bytes = 0;
  __sanitizer_finish_switch_fiber(self == nullptr ? nullptr : self->fake_stack, &bottom, &bytes);
  Fiber& from = *switched_from;
  from.stack = static_cast<char*>(const_cast<void*>(bottom));
  from.bytes = bytes;
#endif
}

void enter() {
  arrived(nullptr);
  fiber_body();
}

}  // namespace

#if !defined(PLUMBLINE_EMULATION_PORTABLE)

// The registers that the System V ABI lets a callee keep, then the other stack. By `ret`: threads of a block
// wait at the same depth of the same calls, so that the processor foresees all returns.
asm(R"(
.text
.p2align 4
.globl plumbline_emulation_switch
.type plumbline_emulation_switch, @function
plumbline_emulation_switch:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
.size plumbline_emulation_switch, .-plumbline_emulation_switch
)");

namespace {

[[maybe_unused]] void change_stack(Fiber& from, Fiber& to) {
  plumbline_emulation_switch(&from.stack_pointer, to.stack_pointer);
}

// As if enter() had been called by nobody: its return address is null, where backtraces end.
void prepare(Fiber* fiber, char* top) {
  auto** slot = reinterpret_cast<void**>(top);
  *--slot = nullptr;
  *--slot = reinterpret_cast<void*>(&enter);
  for (int saved = 0; saved < 6; ++saved) *--slot = nullptr;
  fiber->stack_pointer = slot;
}

}  // namespace

#else

namespace {

// Portable, at the price of a system call for each switch. A host's context is made when it first leaves.
ucontext_t& context_of(Fiber& fiber) {
  if (fiber.stack_pointer == nullptr) fiber.stack_pointer = new ucontext_t;
  return *static_cast<ucontext_t*>(fiber.stack_pointer);
}

void change_stack(Fiber& from, Fiber& to) {
  swapcontext(&context_of(from), &context_of(to));
}

void prepare(Fiber* fiber, char* top) {
  ucontext_t& context = context_of(*fiber);
  getcontext(&context);
  context.uc_stack.ss_sp = fiber->stack;
  context.uc_stack.ss_size = static_cast<std::size_t>(top - fiber->stack);
  context.uc_link = nullptr;
  makecontext(&context, enter, 0);
}

}  // namespace

#endif

#if defined(PLUMBLINE_EMULATION_PORTABLE) || defined(__SANITIZE_ADDRESS__)
void switch_fiber(Fiber& from, Fiber& to) {
  switched_from = &from;
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_start_switch_fiber(&from.fake_stack, to.stack, to.bytes);
#endif
  change_stack(from, to);
  arrived(&from);
}
#endif

Fiber& FiberPool::acquire() {
  if (free_.empty()) {
    const auto page = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
    void* memory = mmap(nullptr, kStackBytes + page, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED || mprotect(memory, page, PROT_NONE) != 0) {
      throw std::runtime_error("cuda emulation: no memory for the stack of a thread");
    }
    auto* fiber = new Fiber;
    fiber->stack = static_cast<char*>(memory) + page;
    fiber->bytes = kStackBytes;
    start(fiber, all_.size());
    all_.push_back(fiber);
    free_.push_back(fiber);
  }
  Fiber* fiber = free_.back();
  free_.pop_back();
  return *fiber;
}

void FiberPool::start(Fiber* fiber, std::size_t index) {
#if defined(__SANITIZE_ADDRESS__)
  __asan_unpoison_memory_region(fiber->stack, fiber->bytes);
#endif
  fiber_body = body_;
  fiber->fake_stack = nullptr;
  // Tops at different distances from a page's end: otherwise all stacks would share some few sets of the
  // caches.
  prepare(fiber, fiber->stack + fiber->bytes - (index * 192) % 8192);
}

void FiberPool::abandon() {
  free_.clear();
  for (std::size_t index = all_.size(); index-- > 0;) {
    start(all_[index], index);
    free_.push_back(all_[index]);
  }
}

}  // namespace plumbline::cuda_emulation
