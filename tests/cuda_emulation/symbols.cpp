// Names of kernels. They have internal linkage, and dladdr() does not know those: the program's own table of
// symbols does.
#include <cxxabi.h>
#include <dlfcn.h>
#include <elf.h>

#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <map>

#include "tests/cuda_emulation/runtime.h"

namespace plumbline::cuda_emulation {
namespace {

std::vector<char> contents(const char* path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

template <typename T>
T at(const std::vector<char>& file, std::size_t offset) {
  T value{};
  if (offset <= file.size() && sizeof(T) <= file.size() - offset)
    std::memcpy(&value, file.data() + offset, sizeof(T));
  return value;
}

// The symbol of the function whose code begins at `address`, as the file counts; empty: none.
std::string symbol_in(const std::vector<char>& file, std::uint64_t address) {
  const auto header = at<Elf64_Ehdr>(file, 0);
  if (std::memcmp(header.e_ident, ELFMAG, SELFMAG) != 0) return "";
  for (std::size_t s = 0; s < header.e_shnum; ++s) {
    const auto table = at<Elf64_Shdr>(file, header.e_shoff + s * sizeof(Elf64_Shdr));
    if (table.sh_type != SHT_SYMTAB) continue;
    const auto names = at<Elf64_Shdr>(file, header.e_shoff + table.sh_link * sizeof(Elf64_Shdr));
    for (std::size_t offset = 0; offset < table.sh_size; offset += sizeof(Elf64_Sym)) {
      const auto symbol = at<Elf64_Sym>(file, table.sh_offset + offset);
      if (ELF64_ST_TYPE(symbol.st_info) != STT_FUNC || symbol.st_value != address) continue;
      const std::size_t name = names.sh_offset + symbol.st_name;
      if (name < file.size())
        return std::string(file.data() + name, strnlen(file.data() + name, file.size() - name));
    }
  }
  return "";
}

// Without the list of parameters at its end.
std::string demangled(const std::string& symbol) {
  int status = 0;
  char* plain = abi::__cxa_demangle(symbol.c_str(), nullptr, nullptr, &status);
  std::string name = plain == nullptr ? symbol : plain;
  std::free(plain);
  if (name.empty() || name.back() != ')') return name;
  int depth = 0;
  for (std::size_t i = name.size(); i-- > 0;) {
    depth += name[i] == ')' ? 1 : name[i] == '(' ? -1 : 0;
    if (depth == 0) return name.substr(0, i);
  }
  return name;
}

std::string look_up(const void* function) {
  Dl_info info;
  if (dladdr(function, &info) == 0) return "a kernel";
  if (info.dli_sname != nullptr && info.dli_saddr == function) return demangled(info.dli_sname);
  const auto address = reinterpret_cast<std::uintptr_t>(function);
  const auto base = reinterpret_cast<std::uintptr_t>(info.dli_fbase);
  // A program's own name may be a relative path, or found by PATH.
  for (const char* path : {info.dli_fname, "/proc/self/exe"}) {
    const std::vector<char> file = contents(path);
    const bool moved = at<Elf64_Ehdr>(file, 0).e_type == ET_DYN;
    const std::string symbol = symbol_in(file, moved ? address - base : address);
    if (!symbol.empty()) return demangled(symbol);
  }
  return "a kernel";
}

}  // namespace

std::string function_name(const void* function) {
  static std::map<const void*, std::string> known;
  const auto found = known.find(function);
  return found != known.end() ? found->second : known[function] = look_up(function);
}

}  // namespace plumbline::cuda_emulation
