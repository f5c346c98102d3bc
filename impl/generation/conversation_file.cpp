// A conversation in a safetensors file: "tokens", "positions", and for each layer "key.N" and "value.N",
// [tokens, kv_heads, head_dim] as the cache keeps them; in the metadata "state", JSON with turns and
// settings, what model it is of, and a checksum over all of it.
#include <algorithm>
#include <utility>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "harness/error.h"
#include "harness/tensor_file.h"
#include "harness/weight_hash.h"
#include "impl/cache.h"
#include "impl/generation/conversation.h"
#include "impl/generation/conversation_json.h"
#include "impl/json.h"

namespace plumbline::native {
namespace {

using Json = nlohmann::json;
constexpr std::string_view kFormat = "plumbline conversation";
constexpr std::string_view kVersion = "1";

std::string sha256_of(std::string_view text) {
  return sha256_hex(std::as_bytes(std::span(text)));
}

// Equal for models that give the same numbers: the weights, and of the config what the arithmetic takes from
// it.
std::string model_identity(const Engine& engine) {
  const ModelConfig& c = engine.config();
  const RopeParameters& r = c.rope;
  return sha256_of(fmt::format("{} {} {} {} {} {} {} {} {} {} {} {} {} {} {} {} {} {} {}",
                               engine.weight_hash(), c.vocab_size, c.hidden_size, c.intermediate_size,
                               c.num_hidden_layers, c.num_attention_heads, c.num_key_value_heads, c.head_dim,
                               c.rms_norm_eps, c.sliding_window.value_or(-1), c.max_window_layers,
                               c.tie_word_embeddings, r.type, r.theta, r.factor, r.beta_fast, r.beta_slow,
                               r.original_max_position_embeddings, r.attention_factor));
}

std::string checksum_of(const std::string& state, const std::string& model,
                        const std::vector<NamedView>& tensors) {
  std::vector<StoredTensor> stored;
  for (const auto& [name, view] : tensors) {
    const auto bytes = static_cast<std::size_t>(view.elements()) * dtype_size(view.dtype);
    const std::span data(static_cast<const std::byte*>(view.data), bytes);
    stored.push_back({name, view.dtype, view.shape, [data](const TakeBytes& take) { take(data); }});
  }
  return sha256_of(fmt::format("{}\n{}\n{}\n{}", kVersion, model, weight_hash(std::move(stored)), state));
}

// A saved file whose format and checksum are right.
class SavedConversation {
 public:
  explicit SavedConversation(const std::filesystem::path& path) : where_(path.string()), file_(path) {
    if (metadata("format") != kFormat) fail("is no saved conversation", "generate --save makes one");
    if (metadata("version") != kVersion)
      fail(fmt::format("has version {}, this program reads {}", metadata("version"), kVersion));
    if (metadata("checksum") != checksum_of(metadata("state"), metadata("model"), file_.tensors()))
      fail("was altered: its checksum differs");
  }

  std::string metadata(const char* name) const {
    const auto found = file_.metadata().find(name);
    return found == file_.metadata().end() ? std::string() : found->second;
  }
  const TensorView* find(const std::string& name) const {
    const auto found = std::ranges::find(file_.tensors(), name, &NamedView::name);
    return found == file_.tensors().end() ? nullptr : &found->view;
  }
  template <typename T>
  std::vector<T> values(const std::string& name, DType dtype) const {
    const TensorView* view = find(name);
    if (view == nullptr || view->dtype != dtype || view->shape.rank() != 1) fail("lacks its " + name);
    return {view->as<T>(), view->as<T>() + view->elements()};
  }
  [[noreturn]] void fail(const std::string& what, const std::string& hint = {}) const {
    throw Error(what, where_, hint);
  }

 private:
  std::string where_;
  MappedTensorFile file_;
};

// [layers, tokens, kv_heads, head_dim] of all layers; empty where the file has none of that shape and dtype.
std::vector<float> all_layers(const SavedConversation& saved, const std::string& part,
                              const ModelConfig& config, DType dtype) {
  std::vector<float> values;
  for (std::int64_t layer = 0; layer < config.num_hidden_layers; ++layer) {
    const TensorView* view = saved.find(fmt::format("{}.{}", part, layer));
    if (view == nullptr || view->dtype != dtype || view->shape.rank() != 3) return {};
    if (view->shape[1] != config.num_key_value_heads || view->shape[2] != config.head_dim) return {};
    std::vector<double> wide(static_cast<std::size_t>(view->elements()));
    read_f64(*view, 0, wide);
    values.insert(values.end(), wide.begin(), wide.end());
  }
  return values;
}

std::string storage_name(const Generator& generator) {
  return std::string(dtype_name(generator.engine().info().storage));
}

// Whether the cache has the saved keys and values now.
bool restore_keys(const SavedConversation& saved, const Generator& generator) {
  auto* const cache = dynamic_cast<NativeCache*>(&generator.context().cache());
  if (cache == nullptr) return false;
  const ModelConfig& config = generator.engine().config();
  const auto keys = all_layers(saved, "key", config, cache->spec().dtype);
  const auto values = all_layers(saved, "value", config, cache->spec().dtype);
  if (keys.empty() || keys.size() != values.size()) return false;
  try {
    cache->write_prefill(generator.context().sequence(), keys, values);
  } catch (const Error&) {  // no room for them as one prefill: a buffer of its own is smaller
    return false;
  }
  return true;
}

}  // namespace

void Conversation::save(const std::filesystem::path& path) const {
  const Context& held = context();
  Json turns = Json::array();
  for (const Turn& each : turns_) turns.push_back({each.message.role, each.message.content, each.begin});
  const Json state{{"turns", turns},
                   {"opening", opening_},
                   {"settings", json_of(settings_)},
                   {"seed", generator_.settings().seed},
                   {"storage", storage_name(generator_)}};
  const auto tokens = Tensor::from(DType::i32, Shape{held.length()}, held.tokens());
  const auto positions = Tensor::from(DType::i64, Shape{held.length()}, held.positions());
  std::vector<NamedView> views{{"tokens", tokens.view()}, {"positions", positions.view()}};
  std::vector<Tensor> rows;  // keys and values
  const Cache& cache = held.cache();
  const auto layers = static_cast<int>(generator_.engine().config().num_hidden_layers);
  if (cache.holds_keys() && held.cached() > 0) {
    rows.reserve(2 * static_cast<std::size_t>(layers));
    for (int layer = 0; layer < layers; ++layer) {
      rows.push_back(cache.read_key(layer, held.sequence()));
      views.push_back({fmt::format("key.{}", layer), rows.back().view()});
      rows.push_back(cache.read_value(layer, held.sequence()));
      views.push_back({fmt::format("value.{}", layer), rows.back().view()});
    }
  }
  const std::string text = state.dump(), model = model_identity(generator_.engine());
  write_tensor_file(path,
                    {{"format", std::string(kFormat)},
                     {"version", std::string(kVersion)},
                     {"model", model},
                     {"state", text},
                     {"checksum", checksum_of(text, model, views)}},
                    views);
}

Conversation Conversation::load(const std::filesystem::path& path, const Generator& base) {
  const SavedConversation saved(path);
  if (saved.metadata("model") != model_identity(base.engine()))
    saved.fail("is of another model", "its weights or its config differ from those of --model");
  const auto tokens = saved.values<TokenId>("tokens", DType::i32);
  const auto positions = saved.values<std::int64_t>("positions", DType::i64);
  try {
    const Json state = parse_json_object(saved.metadata("state"), path.string());
    Conversation conversation(base, conversation_settings_from(state.at("settings")));
    conversation.generator_.reseed(state.at("seed"));
    Context& context = conversation.generator_.context();
    if (static_cast<std::int64_t>(tokens.size()) > context.limit())
      saved.fail(fmt::format("has {} tokens, the context {}", tokens.size(), context.limit()));
    context.clear();
    // Another storage dtype computes other keys, whichever cache holds them.
    const bool same_storage = state.value("storage", "f32") == storage_name(base);
    const bool has_keys = same_storage && restore_keys(saved, conversation.generator_);
    if (context.cached() > static_cast<std::int64_t>(tokens.size())) saved.fail("has more keys than tokens");
    context.restore(tokens, positions);
    if (!has_keys && !context.exact()) saved.fail("had turns evicted, and its keys do not fit this cache");
    conversation.opening_ = state.at("opening");
    std::int64_t begin = conversation.opening_;
    for (const Json& each : state.at("turns")) {
      const Turn turn{{each.at(0), each.at(1)}, each.at(2)};
      if (turn.begin < begin || turn.begin > context.length()) saved.fail("has turns that are not in order");
      begin = turn.begin;
      conversation.turns_.push_back(turn);
    }
    if (conversation.opening_ < 0 || conversation.opening_ > context.length())
      saved.fail("has a system prompt beyond its tokens");
    return conversation;
  } catch (const Json::exception& problem) {
    saved.fail("has a state that cannot be read");
  }
}

}  // namespace plumbline::native
