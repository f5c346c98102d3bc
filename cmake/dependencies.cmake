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

# LibTorch: -DTorch_DIR or CMAKE_PREFIX_PATH. Its CMake files set global flags: they are put back.
set(plumbline_flags_before_torch "${CMAKE_CXX_FLAGS}")
find_package(Torch REQUIRED)
set(CMAKE_CXX_FLAGS "${plumbline_flags_before_torch}")

# CUDA is optional, and the build says which it found.
include(CheckLanguage)
option(PLUMBLINE_CUDA "Compile the CUDA ops where nvcc is present" ON)
set(PLUMBLINE_HAS_CUDA OFF)
if(PLUMBLINE_CUDA)
  find_package(CUDAToolkit QUIET)
  check_language(CUDA)
  if(CUDAToolkit_FOUND AND CMAKE_CUDA_COMPILER)
    set(CMAKE_CUDA_ARCHITECTURES 80 90 CACHE STRING "CUDA architectures")
    enable_language(CUDA)
    set(PLUMBLINE_HAS_CUDA ON)
    message(STATUS "CUDA: toolkit ${CUDAToolkit_VERSION}, ops are compiled for ${CMAKE_CUDA_ARCHITECTURES}")
  endif()
endif()
if(NOT PLUMBLINE_HAS_CUDA)
  message(STATUS "CUDA: no toolkit in use, the CUDA engine is left out")
endif()
