// The matrix library of a build without cuBLASLt: it is not there, and says so.
#include "harness/error.h"
#include "impl/cuda/matmul_library.h"

namespace plumbline::native::cuda {

struct MatmulLibrary::State {};

std::string MatmulLibrary::problem() {
  return "this build has no cuBLASLt";
}

std::string MatmulLibrary::version() {
  return {};
}

bool MatmulLibrary::takes(DType, const LinearLayer&) {
  return false;
}

MatmulLibrary::MatmulLibrary() {
  throw Error(problem(), "cuda",
              "the kernel takes its place; configure with -DPLUMBLINE_CUBLASLT_ROOT=DIR to have it");
}

MatmulLibrary::~MatmulLibrary() = default;

void MatmulLibrary::linear(Stream, DType, const LinearLayer&, const void*, std::int64_t, void*) {
  throw InternalError("MatmulLibrary: " + problem());
}

}  // namespace plumbline::native::cuda
