# Every find_package of the project, in one place.
find_package(fmt REQUIRED)
find_package(yaml-cpp REQUIRED)
find_package(nlohmann_json REQUIRED)
find_package(CLI11 REQUIRED)
find_package(Catch2 2 REQUIRED)
find_package(OpenSSL REQUIRED COMPONENTS Crypto)
find_package(Threads REQUIRED)
find_package(benchmark QUIET)

# The reference's tokenizer: the checkpoint's regex in a regex library, NFC from a Unicode library.
find_package(PkgConfig REQUIRED)
pkg_check_modules(PCRE2 REQUIRED IMPORTED_TARGET libpcre2-8)
pkg_check_modules(ICU REQUIRED IMPORTED_TARGET icu-uc)

# CUDA is optional, and the build says which it found.
include(CheckLanguage)
option(PLUMBLINE_CUDA "Compile the CUDA engine where nvcc is present" ON)
set(PLUMBLINE_HAS_CUDA OFF)
if(PLUMBLINE_CUDA)
  find_package(CUDAToolkit QUIET)
  check_language(CUDA)
  if(CUDAToolkit_FOUND AND CMAKE_CUDA_COMPILER AND CUDAToolkit_VERSION VERSION_LESS 12.0)
    message(STATUS "CUDA: toolkit ${CUDAToolkit_VERSION} has no C++20, 12.0 or newer is needed")
  elseif(CUDAToolkit_FOUND AND CMAKE_CUDA_COMPILER)
    # Machine code for compute capability 8.0 to 9.0 (Ampere, Ada, Hopper) and, where the compiler knows them, 10.0
    # and 12.0 (Blackwell); for what is newer still PTX, which the driver translates when it is first run.
    set(plumbline_architectures 80-real 86-real 89-real 90)
    execute_process(COMMAND ${CMAKE_CUDA_COMPILER} --list-gpu-arch OUTPUT_VARIABLE plumbline_known ERROR_QUIET)
    foreach(architecture 100 120)
      if(plumbline_known MATCHES "compute_${architecture}[\r\n]")
        list(APPEND plumbline_architectures ${architecture}-real)
      endif()
    endforeach()
    set(CMAKE_CUDA_ARCHITECTURES ${plumbline_architectures} CACHE STRING "CUDA architectures")
    enable_language(CUDA)
    # nvcc has C++20 since 12.0; this CMake may be older than that piece of news.
    foreach(kind STANDARD EXTENSION)
      if(NOT DEFINED CMAKE_CUDA20_${kind}_COMPILE_OPTION)
        set(CMAKE_CUDA20_${kind}_COMPILE_OPTION "-std=c++20")
      endif()
    endforeach()
    set(PLUMBLINE_HAS_CUDA ON)
    message(STATUS "CUDA: toolkit ${CUDAToolkit_VERSION}, kernels are compiled for ${CMAKE_CUDA_ARCHITECTURES}")
  endif()
endif()
if(NOT PLUMBLINE_HAS_CUDA)
  message(STATUS "CUDA: no toolkit in use, the CUDA engine is left out")
endif()

# LibTorch: -DTorch_DIR or CMAKE_PREFIX_PATH. Its CMake files set global flags: they are put back. Those of a LibTorch for
# CUDA also enable that language, with architectures of its own: so it comes after ours.
foreach(name CXX_FLAGS CUDA_FLAGS CUDA_ARCHITECTURES)
  set(plumbline_before_torch_${name} "${CMAKE_${name}}")
endforeach()
find_package(Torch REQUIRED)
foreach(name CXX_FLAGS CUDA_FLAGS CUDA_ARCHITECTURES)
  set(CMAKE_${name} "${plumbline_before_torch_${name}}")
endforeach()

# cuBLASLt, where it is: headers to compile against, and the file that impl/cuda/cublaslt_functions.cpp opens when
# a program first asks for it. It is not linked.
set(PLUMBLINE_HAS_CUBLASLT OFF)
set(PLUMBLINE_CUBLASLT_ROOT "" CACHE PATH "Where cuBLASLt's include/ and lib/ are, if not in the toolkit")
if(PLUMBLINE_HAS_CUDA)
  if(PLUMBLINE_CUBLASLT_ROOT)
    set(plumbline_cublaslt_places HINTS "${PLUMBLINE_CUBLASLT_ROOT}" NO_DEFAULT_PATH)
  else()
    set(plumbline_cublaslt_places HINTS ${CUDAToolkit_INCLUDE_DIRS} ${CUDAToolkit_LIBRARY_DIR})
  endif()
  find_path(PLUMBLINE_CUBLASLT_INCLUDE cublasLt.h ${plumbline_cublaslt_places} PATH_SUFFIXES include)
  find_file(PLUMBLINE_CUBLASLT_FILE NAMES libcublasLt.so.${CUDAToolkit_VERSION_MAJOR} libcublasLt.so
    ${plumbline_cublaslt_places} PATH_SUFFIXES lib lib64)
  if(PLUMBLINE_CUBLASLT_INCLUDE AND PLUMBLINE_CUBLASLT_FILE)
    set(PLUMBLINE_HAS_CUBLASLT ON)
    add_library(plumbline_cublaslt INTERFACE)
    target_include_directories(plumbline_cublaslt SYSTEM INTERFACE "${PLUMBLINE_CUBLASLT_INCLUDE}")
    target_compile_definitions(plumbline_cublaslt INTERFACE
      PLUMBLINE_CUBLASLT_FILE="${PLUMBLINE_CUBLASLT_FILE}")
    target_link_libraries(plumbline_cublaslt INTERFACE ${CMAKE_DL_LIBS})
    message(STATUS "cuBLASLt: ${PLUMBLINE_CUBLASLT_FILE}")
  elseif(PLUMBLINE_CUBLASLT_ROOT)
    message(FATAL_ERROR "PLUMBLINE_CUBLASLT_ROOT: no include/cublasLt.h or no lib/libcublasLt.so in "
      "${PLUMBLINE_CUBLASLT_ROOT}")
  else()
    message(STATUS "cuBLASLt: not found, the CUDA engine's own kernel takes its place in prefill "
      "(-DPLUMBLINE_CUBLASLT_ROOT=DIR names it)")
  endif()
endif()
