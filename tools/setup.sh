# Sourced by run_phases.sh and run_tests.sh: everything a fresh machine needs before the build, and the build.
# Uses what is there, installs nothing twice, never prompts. What cannot be installed is named with the command
# that would, and the script ends with exit status 2.
#
#   set_up [tests]      system packages (with those of the tests), LibTorch, a configured build/
#   build [TARGET...]   all targets without arguments; quiet unless it fails
#   make_slim           the second model of a default run, after the build: build/models/slim

set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
build_dir="$root/build"
torch_version=2.13.0
torch_at_least="(2, 4)"

say() { printf 'plumbline: %s\n' "$*"; }
refuse() {
  printf 'plumbline: %s\n' "$*" >&2
  exit 2
}

# --- system packages

# Programs may come from anywhere; libraries are looked up as packages where there is dpkg, and are left to
# CMake elsewhere.
required_programs=(g++:g++ cmake:cmake pkg-config:pkg-config python3:python3)
optional_programs=(ninja:ninja-build ccache:ccache gnuplot:gnuplot-nox)
test_programs=(clang-format:clang-format git:git)
fuzz_packages=(clang-14 libclang-rt-14-dev)
libraries=(catch2 libfmt-dev libyaml-cpp-dev nlohmann-json3-dev libcli11-dev libbenchmark-dev libpcre2-dev
  libicu-dev libssl-dev)

# The packages of those programs ("program:package") that are not on PATH.
missing_programs() {
  local entry
  for entry in "$@"; do
    command -v "${entry%%:*}" >/dev/null || echo "${entry##*:}"
  done
}

missing_libraries() {
  command -v dpkg-query >/dev/null || return 0
  local installed package
  installed=$(dpkg-query -W -f '${Package} ${db:Status-Status}\n' "${libraries[@]}" 2>/dev/null || true)
  for package in "${libraries[@]}"; do
    grep -qxF "$package installed" <<<"$installed" || echo "$package"
  done
}

apt_updated=no

# Whether apt-get can be used without asking anybody.
can_install() {
  command -v apt-get >/dev/null || return 1
  ((EUID == 0)) || { command -v sudo >/dev/null && sudo -n true 2>/dev/null; }
}

apt_get() {
  local as_root=()
  ((EUID == 0)) || as_root=(sudo -n)
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=300 "$@" </dev/null
}

install_packages() {
  say "installing system packages: $*"
  local log
  log=$(mktemp)
  if [[ $apt_updated == no ]]; then
    apt_get update -qq >"$log" 2>&1 || say "the package lists could not be renewed; trying with the old ones"
    apt_updated=yes
  fi
  if ! apt_get install -y -qq --no-install-recommends "$@" >"$log" 2>&1; then
    tail -n 20 "$log" >&2
    rm -f "$log"
    return 1
  fi
  rm -f "$log"
}

set_up_packages() {
  local programs=("${required_programs[@]}") missing optional
  [[ ${1:-} == tests ]] && programs+=("${test_programs[@]}")
  mapfile -t missing < <(missing_programs "${programs[@]}"; missing_libraries)
  if ((${#missing[@]} > 0)); then
    can_install || refuse "missing: ${missing[*]}; install them with: sudo apt-get install -y ${missing[*]}"
    install_packages "${missing[@]}" ||
      refuse "could not install ${missing[*]}; try: sudo apt-get install -y ${missing[*]}"
  fi
  # Worth having, asked for once: before the first configuration.
  if [[ ! -f "$build_dir/CMakeCache.txt" ]]; then
    mapfile -t optional < <(missing_programs "${optional_programs[@]}")
    if ((${#optional[@]} > 0)) && can_install; then
      install_packages "${optional[@]}" || say "going on without ${optional[*]}"
    fi
    if [[ ${1:-} == tests ]] && ! compgen -G "/usr/lib/llvm-14/lib/clang/*/lib/linux/libclang_rt.fuzzer-*" >/dev/null &&
      can_install; then
      install_packages "${fuzz_packages[@]}" || say "going on without ${fuzz_packages[*]}: the test fuzz is skipped"
    fi
  fi
}

# --- LibTorch

cached() { # a value of the CMake cache
  sed -n "s/^$1:[A-Z]*=//p" "$build_dir/CMakeCache.txt" 2>/dev/null | head -n 1
}

# Whether the folder holds a LibTorch that can be linked: wheels before 2.7 were built with a string type
# (_GLIBCXX_USE_CXX11_ABI=0) that no system library shares; a build for CUDA needs the toolkit to be found.
usable_torch() {
  [[ -f "$1/TorchConfig.cmake" ]] || return 1
  if grep -q '_GLIBCXX_USE_CXX11_ABI=0' "$1/TorchConfig.cmake"; then
    say "passing over $1: built with the old C++ ABI" >&2
    return 1
  fi
  if [[ -f "$1/../../../lib/libtorch_cuda.so" && -z $(find_nvcc) ]]; then
    say "passing over $1: it is built for CUDA, and there is no CUDA toolkit" >&2
    return 1
  fi
}

find_nvcc() { command -v "${CUDACXX:-nvcc}" || command -v /usr/local/cuda/bin/nvcc || true; }

# The CMake folder of a Python's torch, without importing it (that takes seconds).
torch_of_python() {
  "$1" - <<PYTHON 2>/dev/null || true
import importlib.metadata, importlib.util, os, re
spec = importlib.util.find_spec("torch")
version = tuple(int(part) for part in re.findall(r"\d+", importlib.metadata.version("torch"))[:2])
if version >= $torch_at_least:
    print(os.path.join(os.path.dirname(spec.origin), "share", "cmake", "Torch"))
PYTHON
}

# What the environment asks for, what the last run chose, what Python has: the first that can be linked.
find_torch() {
  local candidates=() prefix python
  [[ -n ${Torch_DIR:-} ]] && candidates+=("$Torch_DIR")
  while IFS= read -r prefix; do
    [[ -n $prefix ]] && candidates+=("$prefix/share/cmake/Torch" "$prefix/Torch" "$prefix")
  done < <(tr ':;' '\n\n' <<<"${CMAKE_PREFIX_PATH:-}")
  candidates+=("$(cached Torch_DIR)")
  local candidate
  for candidate in "${candidates[@]}"; do
    [[ -n $candidate ]] && usable_torch "$candidate" && { realpath "$candidate"; return; }
  done
  for python in python3 python "$root/.venv/bin/python"; do
    command -v "$python" >/dev/null || continue
    candidate=$(torch_of_python "$python")
    [[ -n $candidate ]] && usable_torch "$candidate" && { realpath "$candidate"; return; }
  done
  return 0
}

install_torch() {
  say "installing torch $torch_version into .venv: the reference is written with LibTorch, and none was found"
  say "(to use one that is there: Torch_DIR=<folder of TorchConfig.cmake> $0)"
  if ! python3 -c 'import ensurepip, venv' 2>/dev/null; then
    can_install && install_packages python3-venv ||
      refuse "python3 has no venv; install it with: sudo apt-get install -y python3-venv"
  fi
  [[ -x "$root/.venv/bin/pip" ]] || python3 -m venv "$root/.venv"
  # Where the package index offers a build without CUDA, that one: it is a tenth of the size, and the judge
  # computes on the CPU. One for CUDA is for Torch_DIR to name (docs/cuda.md).
  local pip=("$root/.venv/bin/pip" install --quiet --no-input)
  "${pip[@]}" "torch==$torch_version+cpu" 2>/dev/null || "${pip[@]}" "torch==$torch_version" ||
    refuse "could not install torch; try: $root/.venv/bin/pip install torch==$torch_version"
}

# --- configure and build

# One job per core, and per 2 GB of memory: LibTorch's headers are heavy.
jobs_to_use() {
  local cores memory_kb
  cores=$(nproc)
  memory_kb=$(awk '/^MemAvailable:/ {print $2}' /proc/meminfo)
  local by_memory=$((memory_kb / 2000000))
  ((by_memory < 1)) && by_memory=1
  echo $((cores < by_memory ? cores : by_memory))
}

is_configured() { # for this tree and this LibTorch
  [[ -f "$build_dir/build.ninja" || -f "$build_dir/Makefile" ]] &&
    [[ $(cached CMAKE_HOME_DIRECTORY) == "$root" && $(cached Torch_DIR) == "$1" ]]
}

configure() {
  local generator=() nvcc
  # A cache of another place or another LibTorch remembers more than is replaced below.
  if [[ $(cached CMAKE_HOME_DIRECTORY) != "$root" || $(cached Torch_DIR) != "$1" ]]; then
    rm -rf "$build_dir/CMakeCache.txt" "$build_dir/CMakeFiles"
  fi
  if [[ ! -f "$build_dir/CMakeCache.txt" ]] && command -v ninja >/dev/null; then generator=(-G Ninja); fi
  nvcc=$(find_nvcc)
  if [[ -n $nvcc ]]; then export CUDACXX=$nvcc; fi
  # Where the compilers are known, as in CI: nvcc's warnings are errors.
  local cuda_werror=${PLUMBLINE_CUDA_WERROR:-OFF}
  mkdir -p "$build_dir"
  say "configuring build/ with LibTorch of $1"
  if ! cmake -S "$root" -B "$build_dir" "${generator[@]}" -DCMAKE_BUILD_TYPE=Release -DTorch_DIR="$1" \
    -DPLUMBLINE_CUDA_WERROR="$cuda_werror" \
    >"$build_dir/configure.log" 2>&1; then
    tail -n 40 "$build_dir/configure.log" >&2
    refuse "cmake failed; all of it is in build/configure.log"
  fi
}

set_up() {
  set_up_packages "${1:-}"
  local torch
  torch=$(find_torch)
  if [[ -z $torch ]]; then
    install_torch
    torch=$(find_torch)
    [[ -n $torch ]] || refuse "the torch that pip installed cannot be linked here; name another with Torch_DIR"
  fi
  is_configured "$torch" || configure "$torch"
}

# Returns 1, after the end of the log, when the build fails.
build() {
  local targets=() log="$build_dir/build.log"
  (($# > 0)) && targets=(--target "$@")
  [[ -x "$build_dir/plumbline-phases" ]] || say "building (the first time takes some minutes)"
  if ! cmake --build "$build_dir" --parallel "$(jobs_to_use)" "${targets[@]}" >"$log" 2>&1; then
    grep -vE '^\[[0-9]+/[0-9]+\] (Building|Linking)' "$log" | tail -n 60 >&2
    say "the build failed; all of it is in build/build.log" >&2
    return 1
  fi
}

source "$root/tools/slim.sh"
