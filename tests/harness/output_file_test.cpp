#include "harness/output_file.h"

#include <fstream>
#include <iterator>

#include <catch2/catch.hpp>

#include "harness/error.h"
#include "tests/support/temporary_directory.h"

using namespace plumbline;
namespace fs = std::filesystem;

namespace {

std::string text_of(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

std::size_t entries_of(const fs::path& directory) {
  return static_cast<std::size_t>(std::distance(fs::directory_iterator(directory), {}));
}

}  // namespace

TEST_CASE("output file: has its name only once it is kept", "[harness][output]") {
  const TemporaryDirectory directory;
  const fs::path path = directory / "a.txt";
  {
    OutputFile file(path);
    file.write("new");
    CHECK_FALSE(fs::exists(path));
    file.keep();
  }
  CHECK(text_of(path) == "new");
  CHECK(entries_of(directory.path()) == 1);
}

TEST_CASE("output file: one that is not kept leaves the old file and nothing else", "[harness][output]") {
  const TemporaryDirectory directory;
  const fs::path path = directory / "a.txt";
  std::ofstream(path) << "old";
  {
    OutputFile file(path);
    file.write("half");
  }
  CHECK(text_of(path) == "old");
  CHECK(entries_of(directory.path()) == 1);
}

TEST_CASE("output file: refuses at once what it could not keep", "[harness][output]") {
  const TemporaryDirectory directory;
  CHECK_THROWS_AS(OutputFile(directory.path()), Error);
  CHECK_THROWS_AS(OutputFile(directory / "none" / "a.txt"), Error);
  CHECK_THROWS_AS(OutputFile(directory.path() / ""), Error);
  CHECK_THROWS_AS(require_writable(""), Error);
  CHECK(entries_of(directory.path()) == 0);
}

TEST_CASE("output directory: goes with its parents where nothing was put into it", "[harness][output]") {
  const TemporaryDirectory directory;
  fs::create_directory(directory / "old");
  { const OutputDirectory made(directory / "old"); }
  CHECK(fs::exists(directory / "old"));
  {
    const OutputDirectory made(directory.path() / "a" / "b" / "");
    CHECK(fs::is_directory(directory.path() / "a" / "b"));
  }
  CHECK_FALSE(fs::exists(directory / "a"));
  {
    const OutputDirectory made(directory.path() / "a" / "b");
    std::ofstream(directory.path() / "a" / "b" / "file") << "kept";
  }
  CHECK(fs::exists(directory.path() / "a" / "b" / "file"));
  CHECK_THROWS_AS(OutputDirectory(directory.path() / "a" / "b" / "file"), Error);
}
