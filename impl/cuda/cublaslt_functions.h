// cuBLASLt's functions, looked up in the library when they are first asked for: linked, its half a gigabyte
// would cost every program of ours a tenth of a second and 200 MB at its start, and those without it would
// not start. For matmul_library.cpp.
#pragma once

#include <cublasLt.h>

#include <string>

namespace plumbline::native::cuda {

struct CublasLt {
  decltype(&cublasLtGetVersion) get_version = nullptr;
  decltype(&cublasLtGetStatusString) status_string = nullptr;
  decltype(&cublasLtCreate) create = nullptr;
  decltype(&cublasLtDestroy) destroy = nullptr;
  decltype(&cublasLtMatmulDescCreate) operation_create = nullptr;
  decltype(&cublasLtMatmulDescDestroy) operation_destroy = nullptr;
  decltype(&cublasLtMatmulDescSetAttribute) operation_set = nullptr;
  decltype(&cublasLtMatrixLayoutCreate) layout_create = nullptr;
  decltype(&cublasLtMatrixLayoutDestroy) layout_destroy = nullptr;
  decltype(&cublasLtMatmulPreferenceCreate) preference_create = nullptr;
  decltype(&cublasLtMatmulPreferenceDestroy) preference_destroy = nullptr;
  decltype(&cublasLtMatmulPreferenceSetAttribute) preference_set = nullptr;
  decltype(&cublasLtMatmulAlgoGetHeuristic) heuristic = nullptr;
  decltype(&cublasLtMatmul) matmul = nullptr;

  std::string problem;  // empty, or why the rest is null
};

// Loaded once, and never let go of.
const CublasLt& cublaslt();

// "13.0.2"
std::string version_text(std::size_t version);

}  // namespace plumbline::native::cuda
