// The native tokenizer's half of bench/tokenizer_pairs.py: a process that does what its standard input says,
// a line at a time, and answers each line with one: seconds of wall time, of processor time, and how much
// came out.
//
//   load                 loads the model's tokenizer                        tokens of the vocabulary
//   text FILE            what encode and decode are about                   bytes (not timed)
//   encode BEGIN LENGTH  encodes these bytes of it                          tokens
//   decode               decodes what was encoded last, and compares        bytes
//   ids FILE             writes what was encoded last, as 32-bit integers   tokens (not timed)
#include <chrono>
#include <ctime>
#include <fstream>
#include <iostream>
#include <memory>
#include <sstream>
#include <string>
#include <vector>

#include <fmt/format.h>

#include "bench/bench_main.h"
#include "impl/tokenizer.h"

namespace {

using namespace plumbline;

class Worker {
 public:
  explicit Worker(std::filesystem::path model) : model_(std::move(model)) {}

  std::string answer(const std::string& line) {
    const std::size_t space = line.find(' ');
    const std::string verb = line.substr(0, space);
    const std::string rest = space == std::string::npos ? "" : line.substr(space + 1);
    if (verb == "load") return load();
    if (verb == "text") return read_text(rest);
    if (verb == "encode") return encode(rest);
    if (verb == "decode") return decode();
    if (verb == "ids") return write_ids(rest);
    throw Error(fmt::format("no such command: {}", verb), "standard input");
  }

 private:
  // Runs `work`, which returns how much came out.
  template <typename Work>
  static std::string timed(const Work& work) {
    const auto wall = std::chrono::steady_clock::now();
    const std::clock_t processor = std::clock();
    const std::size_t count = work();
    const std::clock_t processor_end = std::clock();
    const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - wall;
    return fmt::format("{:.9f} {:.9f} {}", elapsed.count(),
                       static_cast<double>(processor_end - processor) / CLOCKS_PER_SEC, count);
  }
  static std::string untimed(std::size_t count) { return fmt::format("0 0 {}", count); }

  std::string load() {
    tokenizer_.reset();
    return timed([&] {
      tokenizer_ = native::load_tokenizer(model_);
      return static_cast<std::size_t>(tokenizer_->size());
    });
  }
  std::string read_text(const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    std::ostringstream bytes;
    bytes << file.rdbuf();
    if (!file) throw Error("cannot be read", path);
    text_ = std::move(bytes).str();
    return untimed(text_.size());
  }
  std::string encode(const std::string& range) {
    std::size_t begin = 0;
    std::size_t length = 0;
    const bool fits =
        static_cast<bool>(std::istringstream(range) >> begin >> length) && begin <= text_.size();
    if (!fits) throw Error(fmt::format("encode wants BEGIN and LENGTH, not '{}'", range), "standard input");
    slice_ = std::string_view(text_).substr(begin, length);
    std::vector<TokenId>().swap(ids_);
    return timed([&] {
      ids_ = loaded().encode(slice_, EncodeOptions{});
      return ids_.size();
    });
  }
  std::string decode() {
    std::string decoded;
    const std::string times = timed([&] {
      decoded = loaded().decode(ids_, false);
      return decoded.size();
    });
    if (decoded != slice_) throw Error("is not what was encoded", "what was decoded");
    return times;
  }
  std::string write_ids(const std::string& path) {
    std::ofstream file(path, std::ios::binary);
    file.write(reinterpret_cast<const char*>(ids_.data()),
               static_cast<std::streamsize>(ids_.size() * sizeof(TokenId)));
    if (!file.flush()) throw Error("cannot be written", path);
    return untimed(ids_.size());
  }
  const Tokenizer& loaded() const {
    if (tokenizer_ == nullptr) throw Error("nothing is loaded", "standard input");
    return *tokenizer_;
  }

  std::filesystem::path model_;
  std::unique_ptr<Tokenizer> tokenizer_;
  std::string text_;
  std::string_view slice_;  // of text_, the last encoded
  std::vector<TokenId> ids_;
};

int serve(Worker worker) {
  for (std::string line; std::getline(std::cin, line);) std::cout << worker.answer(line) << std::endl;
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  std::filesystem::path model;
  CLI::App app("The native tokenizer, timed for bench/tokenizer_pairs.py", "tokenizer_worker");
  app.add_option("--model", model, "A folder with tokenizer.json")->required();
  return bench::bench_main(app, argc, argv, [&] { return serve(Worker(model)); });
}
