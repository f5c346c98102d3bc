// How LibTorch is entered: without autograd, and with its exceptions turned into ours. A device without room
// is bad input.
#pragma once

#include <ATen/ATen.h>

#include "harness/error.h"

namespace plumbline::reference {

template <typename Body>
auto in_torch(Body body) {
  const at::InferenceMode no_autograd;
  try {
    return body();
  } catch (const c10::OutOfMemoryError& e) {
    throw Error(e.what_without_backtrace(), "LibTorch");
  } catch (const c10::Error& e) {
    throw InternalError(std::string("LibTorch: ") + e.what_without_backtrace());
  }
}

}  // namespace plumbline::reference
