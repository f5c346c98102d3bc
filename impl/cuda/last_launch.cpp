#include "impl/cuda/last_launch.h"

namespace plumbline::native::cuda {
namespace {

thread_local const char* last = "none";

}  // namespace

const char* last_launch() {
  return last;
}

void note_launch(const char* name) {
  last = name;
}

}  // namespace plumbline::native::cuda
