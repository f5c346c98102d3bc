#include "cli/common.h"

#include <malloc.h>

#include <charconv>
#include <fstream>
#include <sstream>

#include <fmt/format.h>

#include "impl/cpu/engine.h"
#include "impl/cuda/engine.h"
#include "impl/tokenizer.h"
#include "reference/engine.h"
#include "reference/tokenizer.h"

namespace plumbline::cli {
namespace {

constexpr int kMaxThreads = 1024;

Device reference_device(const std::string& name) {
  if (name == "cuda") return {DeviceKind::cuda, 0};
  if (name.empty() || name == "cpu") return {};
  throw Error("unknown device '" + name + "'", "--device", "cpu or cuda");
}

}  // namespace

std::unique_ptr<Engine> make_engine(const std::string& name, const std::filesystem::path& model, DType dtype,
                                    int threads, const std::string& isa, bool stream,
                                    const std::string& device) {
  if (stream && name != "reference") {
    throw Error("the " + name + " engine holds all its weights: it cannot stream them", "--stream",
                "--engine reference can");
  }
  if (!device.empty() && name != "reference") {
    throw Error("the " + name + " engine has its own: --device is the reference's", "--device",
                "--engine cuda for the native engine on an NVIDIA GPU");
  }
  if (threads < 0 || threads > kMaxThreads) {
    throw Error(fmt::format("{} threads", threads), "--threads",
                fmt::format("0 (the engine's choice) to {}", kMaxThreads));
  }
  if (name == "cpu") {
    native::CpuOptions options;
    options.threads = threads;
    options.isa = isa;
    options.storage = dtype;
    return native::make_cpu_engine(model, options);
  }
  if (name == "cuda") {
    native::CudaOptions options;
    options.storage = dtype;
    return native::make_cuda_engine(model, options);
  }
  if (name == "reference") {
    if (!is_floating(dtype)) throw Error("the reference runs in f32, f64, bf16 or f16", "--dtype");
    const reference::Hold hold = stream ? reference::Hold::one_layer : reference::Hold::all;
    return reference::make_engine(model, {dtype, threads > 0 ? threads : 1, hold, reference_device(device)});
  }
  throw Error("unknown engine '" + name + "'", "--engine", "cpu, cuda or reference");
}

void give_memory_back() {
#ifdef M_MMAP_THRESHOLD
  constexpr int kOwnArea = 16 << 20;  // bytes: the library would raise it with each area that is freed
  ::mallopt(M_MMAP_THRESHOLD, kOwnArea);
#endif
}

std::unique_ptr<Tokenizer> load_tokenizer(const std::string& name, const std::filesystem::path& model) {
  if (name == "native") return native::load_tokenizer(model);
  if (name == "reference") return reference::load_tokenizer(model);
  throw Error("unknown tokenizer '" + name + "'", "--engine", "native or reference");
}

std::vector<TokenId> parse_tokens(const std::string& list) {
  std::vector<TokenId> tokens;
  const char* at = list.data();
  const char* const end = at + list.size();
  while (at != end) {
    TokenId id = 0;
    const auto [stop, status] = std::from_chars(at, end, id);
    const bool separated = stop == end || (*stop == ',' && stop + 1 != end);
    if (status != std::errc{} || !separated) {
      throw Error("'" + list + "' is not a list of token ids", "--tokens", "as in 1,2,3");
    }
    tokens.push_back(id);
    at = stop == end ? end : stop + 1;
  }
  if (tokens.empty()) throw Error("is empty", "--tokens", "as in 1,2,3");
  return tokens;
}

std::vector<TokenId> prompt_tokens(const PromptOptions& options, bool prompt_given, bool system_given,
                                   const std::filesystem::path& model) {
  if (prompt_given == !options.tokens.empty()) {
    throw Error("give one of --prompt and --tokens", "prompt");
  }
  if (!prompt_given) {
    if (system_given) throw Error("goes with --prompt, not with --tokens", "--system");
    return parse_tokens(options.tokens);
  }
  const std::unique_ptr<Tokenizer> tokenizer = native::load_tokenizer(model);
  std::string text = options.prompt;
  if (system_given) {
    const std::vector<ChatMessage> messages{{"system", options.system}, {"user", options.prompt}};
    text = tokenizer->render_chat(messages, true);
  }
  std::vector<TokenId> tokens = tokenizer->encode(text);
  if (tokens.empty()) throw Error("the prompt holds no token", "--prompt", "an empty prompt has no logits");
  return tokens;
}

void require_context(const std::vector<TokenId>& prompt, const ModelConfig& config) {
  const auto tokens = static_cast<std::int64_t>(prompt.size());
  if (tokens <= config.max_position_embeddings) return;
  throw Error(
      fmt::format("the prompt has {} tokens, the model's context {}", tokens, config.max_position_embeddings),
      "prompt", "max_position_embeddings of config.json");
}

std::string read_file(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  if (!std::filesystem::is_regular_file(path) || !file) throw Error("cannot be read", path.string());
  if (std::filesystem::file_size(path) > 0 && !(text << file.rdbuf()))
    throw Error("cannot be read", path.string());
  return text.str();
}

std::string join(const std::vector<TokenId>& ids) {
  return fmt::format("{}", fmt::join(ids, " "));
}

}  // namespace plumbline::cli
