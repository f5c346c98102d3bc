#include "impl/generation/capture.h"

#include <algorithm>

#include <fmt/format.h>

#include "harness/error.h"
#include "harness/tensor_file.h"
#include "impl/generation/row_probes.h"

namespace plumbline::native {
namespace {

constexpr const char* kWhere = "capture";

// Two runs' shards in one directory could not be told apart.
void require_no_shards(const std::filesystem::path& directory) {
  std::error_code status;
  std::filesystem::directory_iterator files(directory, status);
  if (status) throw Error("cannot be read: " + status.message(), directory.string());
  for (const auto& file : files) {
    const std::string name = file.path().filename().string();
    if (name.starts_with("capture-") && name.ends_with(".safetensors")) {
      throw Error("holds " + name + " of an earlier capture", directory.string(), "name an empty directory");
    }
  }
}

std::int64_t tokens_of(std::span<const SequenceStep> steps) {
  std::int64_t tokens = 0;
  for (const SequenceStep& step : steps) tokens += static_cast<std::int64_t>(step.tokens.size());
  return tokens;
}

// One tensor of origins, [rows].
template <typename T, typename Field>
Tensor column(DType dtype, std::span<const ActivationOrigin> origins, Field ActivationOrigin::*field) {
  Tensor values(dtype, {static_cast<std::int64_t>(origins.size())});
  std::transform(origins.begin(), origins.end(), values.values<T>().begin(),
                 [&](const ActivationOrigin& origin) { return static_cast<T>(origin.*field); });
  return values;
}

}  // namespace

CaptureWriter::CaptureWriter(Engine& engine, CaptureOptions options)
    : engine_(engine), options_(std::move(options)) {
  take_probes();
  if (options_.shard_tokens < 1) {
    throw Error(fmt::format("{} tokens for a shard", options_.shard_tokens), kWhere, "at least 1");
  }
  if (!rows_of_.empty()) buffer_.emplace(engine_, rows_of_, options_.shard_tokens);
  if (!others_.empty()) tensors_.emplace(options_.call_bytes);
  if (options_.directory.empty()) throw Error("has no directory to write to", kWhere);
  directory_.emplace(options_.directory);
  require_no_shards(options_.directory);
  require_writable(shard_path(0));
  weight_hash_ = engine_.weight_hash();
}

void CaptureWriter::take_probes() {
  std::set<OpSite> sites(options_.probes.begin(), options_.probes.end());
  const std::vector<OpSite> matched = matching_sites(engine_.config(), options_.patterns, kWhere);
  sites.insert(matched.begin(), matched.end());
  if (sites.empty()) throw Error("has no probes to write", kWhere);
  for (const OpSite site : sites) {
    require_shown(engine_.config(), site, kWhere);
    if (row_width(engine_.config(), site.probe) > 0) {
      rows_of_.push_back(site);
    } else {
      others_.insert(site);
    }
  }
}

CaptureWriter::~CaptureWriter() {
  try {
    finish();
  } catch (const std::exception&) {  // nobody is left to be told
  }
}

void CaptureWriter::begin(std::span<const SequenceStep> steps) {
  const std::int64_t tokens = tokens_of(steps);
  if (tokens > options_.shard_tokens) {
    throw Error(fmt::format("{} tokens at once, and a shard has {}", tokens, options_.shard_tokens), kWhere,
                "larger shards, or fewer tokens at once");
  }
  if (tokens_.rows() + tokens > options_.shard_tokens || (tensors_ && tensors_->full())) write_shard();
  tokens_.begin(steps);
  if (buffer_) buffer_->begin(steps);
  if (tensors_) tensors_->begin();
  awaited_ = others_.size() * steps.size();
  if (others_.contains({Probe::lm_head, -1})) {
    awaited_ -=
        static_cast<std::size_t>(std::count_if(steps.begin(), steps.end(), [](const SequenceStep& step) {
          return step.logits == LogitsWanted::none;
        }));
  }
}

ProbeSink::Access CaptureWriter::access(const ProbeId& id) const {
  if (tokens_.pending(id.sequence) == nullptr) return Access::none;
  const bool wanted =
      others_.contains(id.site) || tokens_.ends(id) || (buffer_ && buffer_->access(id) == Access::read);
  return wanted ? Access::read : Access::none;
}

void CaptureWriter::receive(const ProbeId& id, const TensorView& view) {
  if (others_.contains(id.site)) {
    const std::int64_t step = tokens_.pending(id.sequence)->step;
    tensors_->add(engine_, fmt::format("seq.{}/step.{}/{}", id.sequence, step, site_name(id.site)), view);
  }
  const bool over = tokens_.ends(id) && tokens_.note_end(id);
  if (over && tensors_ && tensors_->pending() != awaited_) fail_incomplete();
  if (buffer_ && buffer_->access(id) == Access::read) buffer_->receive(id, view);
  if (!over) return;
  const auto pending = static_cast<std::int64_t>(tokens_.pending_origins().size());
  if (buffer_ && buffer_->rows() != tokens_.rows() + pending) fail_incomplete();
  tokens_.commit();
  if (tensors_) tensors_->commit();
}

void CaptureWriter::fail_incomplete() const {
  throw Error("the engine did not show every probe that is to be captured", kWhere);
}

void CaptureWriter::finish() {
  if (tokens_.rows() > 0) write_shard();
}

std::filesystem::path CaptureWriter::shard_path(int number) const {
  return options_.directory / fmt::format("capture-{:05}.safetensors", number);
}

std::map<std::string, std::string> CaptureWriter::metadata() const {
  const ModelConfig& config = engine_.config();
  const auto text = [](auto value) { return fmt::format("{}", value); };
  return {
      {"format", "plumbline-capture"},
      {"format_version", "1"},
      {"shard", text(shards_)},
      {"engine", engine_.info().name},
      {"weight_hash", weight_hash_},
      {"storage_dtype", std::string(dtype_name(engine_.info().storage))},
      {"hidden_size", text(config.hidden_size)},
      {"intermediate_size", text(config.intermediate_size)},
      {"num_hidden_layers", text(config.num_hidden_layers)},
      {"num_attention_heads", text(config.num_attention_heads)},
      {"num_key_value_heads", text(config.num_key_value_heads)},
      {"head_dim", text(config.head_dim)},
      {"vocab_size", text(config.vocab_size)},
  };
}

void CaptureWriter::write_shard() {
  const std::span<const ActivationOrigin> origins = tokens_.origins();
  const Tensor sequence = column<std::int64_t>(DType::i64, origins, &ActivationOrigin::sequence);
  const Tensor position = column<std::int64_t>(DType::i64, origins, &ActivationOrigin::position);
  const Tensor step = column<std::int64_t>(DType::i64, origins, &ActivationOrigin::step);
  const Tensor token = column<std::int32_t>(DType::i32, origins, &ActivationOrigin::token);
  std::vector<NamedView> tensors{{"origin.sequence", sequence.view()},
                                 {"origin.position", position.view()},
                                 {"origin.step", step.view()},
                                 {"origin.token", token.view()}};
  for (const OpSite site : rows_of_) tensors.push_back({site_name(site), buffer_->view(site)});
  if (tensors_) {
    tensors_->begin();
    tensors.insert(tensors.end(), tensors_->tensors().begin(), tensors_->tensors().end());
  }
  write_tensor_file(shard_path(shards_), metadata(), tensors);
  ++shards_;
  tokens_.clear();
  if (buffer_) buffer_->clear();
  if (tensors_) tensors_->clear();
}

}  // namespace plumbline::native
