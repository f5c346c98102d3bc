#include "impl/cuda/cublaslt_functions.h"

#include <dlfcn.h>

namespace plumbline::native::cuda {
namespace {

// The file that the build found, else wherever the system's loader looks.
void* open_library(std::string& problem) {
  const std::string name = "libcublasLt.so." + std::to_string(CUBLAS_VER_MAJOR);
  for (const std::string& file : {std::string(PLUMBLINE_CUBLASLT_FILE), name}) {
    if (void* const library = dlopen(file.c_str(), RTLD_NOW | RTLD_LOCAL)) return library;
  }
  const char* const why = dlerror();
  problem = "cuBLASLt cannot be loaded: " + (why != nullptr ? std::string(why) : name);
  return nullptr;
}

template <typename Function>
void look_up(void* library, const char* name, Function& function, std::string& problem) {
  function = reinterpret_cast<Function>(dlsym(library, name));
  if (function == nullptr && problem.empty()) problem = std::string("cuBLASLt has no ") + name;
}

CublasLt load() {
  CublasLt made;
  std::string problem;
  void* const library = open_library(problem);
  if (library == nullptr) {
    made.problem = problem;
    return made;
  }
  look_up(library, "cublasLtGetVersion", made.get_version, problem);
  look_up(library, "cublasLtGetStatusString", made.status_string, problem);
  look_up(library, "cublasLtCreate", made.create, problem);
  look_up(library, "cublasLtDestroy", made.destroy, problem);
  look_up(library, "cublasLtMatmulDescCreate", made.operation_create, problem);
  look_up(library, "cublasLtMatmulDescDestroy", made.operation_destroy, problem);
  look_up(library, "cublasLtMatmulDescSetAttribute", made.operation_set, problem);
  look_up(library, "cublasLtMatrixLayoutCreate", made.layout_create, problem);
  look_up(library, "cublasLtMatrixLayoutDestroy", made.layout_destroy, problem);
  look_up(library, "cublasLtMatmulPreferenceCreate", made.preference_create, problem);
  look_up(library, "cublasLtMatmulPreferenceDestroy", made.preference_destroy, problem);
  look_up(library, "cublasLtMatmulPreferenceSetAttribute", made.preference_set, problem);
  look_up(library, "cublasLtMatmulAlgoGetHeuristic", made.heuristic, problem);
  look_up(library, "cublasLtMatmul", made.matmul, problem);
  if (problem.empty() && made.get_version() < CUBLAS_VERSION) {
    problem = "cuBLASLt " + version_text(made.get_version()) + " is older than " +
              version_text(CUBLAS_VERSION) + ", which this build was compiled against";
  }
  if (problem.empty()) return made;
  CublasLt none;
  none.problem = problem;
  return none;
}

}  // namespace

const CublasLt& cublaslt() {
  static const CublasLt instance = load();
  return instance;
}

std::string version_text(std::size_t version) {
  return std::to_string(version / 10000) + "." + std::to_string(version / 100 % 100) + "." +
         std::to_string(version % 100);
}

}  // namespace plumbline::native::cuda
