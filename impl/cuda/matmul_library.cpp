#include "impl/cuda/matmul_library.h"

#include <cuda_runtime_api.h>

#include <array>
#include <map>

#include "harness/error.h"
#include "impl/cuda/cublaslt_functions.h"

namespace plumbline::native::cuda {
namespace {

void check(cublasStatus_t status, const char* call) {
  if (status == CUBLAS_STATUS_SUCCESS) return;
  throw Error(std::string(call) + " failed: " + cublaslt().status_string(status), "cuBLASLt");
}

bool is_aligned(const void* address) {
  return reinterpret_cast<std::uintptr_t>(address) % MatmulLibrary::kAlignment == 0;
}

struct Destroy {
  void operator()(cublasLtMatmulDesc_t made) const { static_cast<void>(cublaslt().operation_destroy(made)); }
  void operator()(cublasLtMatrixLayout_t made) const { static_cast<void>(cublaslt().layout_destroy(made)); }
  void operator()(cublasLtMatmulPreference_t made) const {
    static_cast<void>(cublaslt().preference_destroy(made));
  }
};
using Operation = std::unique_ptr<cublasLtMatmulDescOpaque_t, Destroy>;
using Layout = std::unique_ptr<cublasLtMatrixLayoutOpaque_t, Destroy>;
using Preference = std::unique_ptr<cublasLtMatmulPreferenceOpaque_t, Destroy>;

template <typename T>
void set(const Operation& operation, cublasLtMatmulDescAttributes_t attribute, const T& value) {
  check(cublaslt().operation_set(operation.get(), attribute, &value, sizeof value),
        "cublasLtMatmulDescSetAttribute");
}
template <typename T>
void set(const Preference& preference, cublasLtMatmulPreferenceAttributes_t attribute, const T& value) {
  check(cublaslt().preference_set(preference.get(), attribute, &value, sizeof value),
        "cublasLtMatmulPreferenceSetAttribute");
}

Operation make_operation(bool with_bias) {
  cublasLtMatmulDesc_t made = nullptr;
  check(cublaslt().operation_create(&made, CUBLAS_COMPUTE_32F, CUDA_R_32F), "cublasLtMatmulDescCreate");
  Operation operation(made);
  set(operation, CUBLASLT_MATMUL_DESC_TRANSA, CUBLAS_OP_T);
  set(operation, CUBLASLT_MATMUL_DESC_TRANSB, CUBLAS_OP_N);
  if (with_bias) set(operation, CUBLASLT_MATMUL_DESC_EPILOGUE, CUBLASLT_EPILOGUE_BIAS);
  return operation;
}

Layout make_layout(std::int64_t height, std::int64_t width) {
  cublasLtMatrixLayout_t made = nullptr;
  check(cublaslt().layout_create(&made, CUDA_R_16BF, static_cast<std::uint64_t>(height),
                                 static_cast<std::uint64_t>(width), height),
        "cublasLtMatrixLayoutCreate");
  return Layout(made);
}

// What an algorithm may need and do.
Preference make_preference() {
  cublasLtMatmulPreference_t made = nullptr;
  check(cublaslt().preference_create(&made), "cublasLtMatmulPreferenceCreate");
  Preference preference(made);
  set(preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, std::uint64_t{MatmulLibrary::kWorkspaceBytes});
  set(preference, CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK, std::uint32_t{CUBLASLT_REDUCTION_SCHEME_NONE});
  for (const auto attribute :
       {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES,
        CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES}) {
    set(preference, attribute, std::uint32_t{MatmulLibrary::kAlignment});
  }
  return preference;
}

// One shape of product as cuBLASLt describes it, whose matrices are stored column by column: W [outs, depth]
// of ours is its A [depth, outs], transposed; x its B [depth, rows]; y its C and D [outs, rows].
struct Product {
  Operation operation;
  Layout weight, in, out;
  cublasLtMatmulAlgo_t algorithm;
};

}  // namespace

struct MatmulLibrary::State {
  using Shape = std::array<std::int64_t, 4>;  // outs, depth, rows, bias or none

  ~State();
  const Product& product(const LinearLayer& layer, std::int64_t rows);
  cublasLtMatmulAlgo_t best(const Product& product, const std::string& what) const;

  cublasLtHandle_t handle = nullptr;
  void* workspace = nullptr;
  std::map<Shape, Product> products;
};

MatmulLibrary::State::~State() {
  // Nobody is left to tell: a failure here is one that an earlier call has reported already.
  if (workspace != nullptr) static_cast<void>(cudaFree(workspace));
  if (handle != nullptr) static_cast<void>(cublaslt().destroy(handle));
}

const Product& MatmulLibrary::State::product(const LinearLayer& layer, std::int64_t rows) {
  const bool with_bias = layer.bias != nullptr;
  const Shape shape{layer.outs, layer.depth, rows, with_bias ? 1 : 0};
  if (const auto known = products.find(shape); known != products.end()) return known->second;
  Product made{make_operation(with_bias),
               make_layout(layer.depth, layer.outs),
               make_layout(layer.depth, rows),
               make_layout(layer.outs, rows),
               {}};
  // The heuristic looks at the bias's address for its alignment: it is shown the same one for all layers.
  const void* const aligned = static_cast<const std::byte*>(workspace) + kAlignment;
  if (with_bias) set(made.operation, CUBLASLT_MATMUL_DESC_BIAS_POINTER, aligned);
  made.algorithm = best(made, std::to_string(layer.outs) + " x " + std::to_string(layer.depth) + " by " +
                                  std::to_string(rows) + " rows");
  return products.emplace(shape, std::move(made)).first->second;
}

cublasLtMatmulAlgo_t MatmulLibrary::State::best(const Product& product, const std::string& what) const {
  const Preference preference = make_preference();
  cublasLtMatmulHeuristicResult_t found{};
  int count = 0;
  check(cublaslt().heuristic(handle, product.operation.get(), product.weight.get(), product.in.get(),
                             product.out.get(), product.out.get(), preference.get(), 1, &found, &count),
        "cublasLtMatmulAlgoGetHeuristic");
  if (count < 1) throw Error("cublasLtMatmulAlgoGetHeuristic knows no algorithm for " + what, "cuBLASLt");
  check(found.state, "cublasLtMatmulAlgoGetHeuristic");
  return found.algo;
}

std::string MatmulLibrary::problem() {
  return cublaslt().problem;
}

std::string MatmulLibrary::version() {
  return problem().empty() ? version_text(cublaslt().get_version()) : "";
}

bool MatmulLibrary::takes(DType storage, const LinearLayer& layer) {
  constexpr std::int64_t kElements = kAlignment / 2;
  return storage == DType::bf16 && layer.outs > 0 && layer.depth > 0 && layer.outs % kElements == 0 &&
         layer.depth % kElements == 0 && is_aligned(layer.weight) && is_aligned(layer.bias);
}

MatmulLibrary::MatmulLibrary() : state_(std::make_unique<State>()) {
  if (const std::string what = problem(); !what.empty()) throw Error(what, "cuda");
  check(cublaslt().create(&state_->handle), "cublasLtCreate");
  const cudaError_t status = cudaMalloc(&state_->workspace, kWorkspaceBytes);
  if (status == cudaSuccess) return;
  static_cast<void>(cudaGetLastError());  // told here, and not by the next launch too
  throw Error(std::string("cudaMalloc of its workspace failed: ") + cudaGetErrorString(status), "cuBLASLt");
}

MatmulLibrary::~MatmulLibrary() = default;

void MatmulLibrary::linear(Stream stream, DType storage, const LinearLayer& layer, const void* x,
                           std::int64_t rows, void* y) {
  require(takes(storage, layer) && is_aligned(x) && is_aligned(y),
          "MatmulLibrary: a layer that it does not take");
  if (rows == 0) return;
  const Product& product = state_->product(layer, rows);
  if (layer.bias != nullptr) set(product.operation, CUBLASLT_MATMUL_DESC_BIAS_POINTER, layer.bias);
  const float one = 1;
  const float zero = 0;
  check(cublaslt().matmul(state_->handle, product.operation.get(), &one, layer.weight, product.weight.get(),
                          x, product.in.get(), &zero, y, product.out.get(), y, product.out.get(),
                          &product.algorithm, state_->workspace, kWorkspaceBytes, stream),
        "cublasLtMatmul");
}

}  // namespace plumbline::native::cuda
