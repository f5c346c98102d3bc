#include "harness/trace_file.h"

#include <algorithm>
#include <charconv>
#include <functional>
#include <memory>
#include <optional>
#include <set>

#include <fmt/format.h>

#include "harness/tensor_file.h"

namespace plumbline {
namespace {

constexpr std::string_view kInitial = "initial/";
constexpr std::string_view kFormat = "plumbline-trace";
constexpr std::int64_t kLargestRing = std::int64_t{1} << 40;  // tokens: so that sums of some do not overflow

std::string prefix_of(bool single, SequenceId sequence, int step) {
  return single ? std::string() : fmt::format("seq.{}/step.{}/", sequence, step);
}

std::vector<NamedView> name_all(const Trace& trace) {
  const bool single = trace.steps.size() == 1 && trace.steps[0].sequence == 0 && trace.steps[0].step == 0;
  std::vector<NamedView> named;
  for (const auto& [sequence, cache] : trace.initial) {
    const std::string prefix =
        (single ? std::string() : fmt::format("seq.{}/", sequence)) + std::string(kInitial);
    for (const auto& [layer, key] : cache.key) {
      named.push_back({prefix + site_name({Probe::past_key, layer}), key.view()});
    }
    for (const auto& [layer, value] : cache.value) {
      named.push_back({prefix + site_name({Probe::past_value, layer}), value.view()});
    }
  }
  for (const TraceStep& step : trace.steps) {
    const std::string prefix = prefix_of(single, step.sequence, step.step);
    for (const auto& [site, tensor] : step.tensors)
      named.push_back({prefix + site_name(site), tensor.view()});
  }
  // Wide types first: then each lies where it can be read in place.
  std::ranges::stable_sort(named, std::greater(),
                           [](const NamedView& each) { return dtype_size(each.view.dtype); });
  return named;
}

// "seq.3/rest" with word "seq." -> 3, "rest". False, and nothing taken, when the prefix is not there.
bool take_number(std::string_view& text, std::string_view word, int& number) {
  if (!text.starts_with(word)) return false;
  const char* begin = text.data() + word.size();
  const char* end = text.data() + text.size();
  const auto [stop, status] = std::from_chars(begin, end, number);
  if (status != std::errc{} || number < 0 || stop == end || *stop != '/') return false;
  text.remove_prefix(static_cast<std::size_t>(stop - text.data()) + 1);
  return true;
}

[[noreturn]] void refuse(const std::string& what, const std::string& where, std::string_view hint = {}) {
  throw Error(what, where, hint);
}

// "9", "5+9", and several of them with commas: for each sequence, or one for all.
std::string ring_text(const std::map<SequenceId, RingCache>& rings) {
  std::string text;
  for (const auto& [sequence, ring] : rings) {
    text += text.empty() ? "" : ",";
    text += ring.kept > 0 ? fmt::format("{}+{}", ring.kept, ring.ring) : fmt::format("{}", ring.ring);
  }
  return text;
}

RingCache parse_ring(std::string_view text, const std::string& where) {
  const auto number = [&](std::string_view digits) {
    std::int64_t value = 0;
    const char* end = digits.data() + digits.size();
    const auto [stop, status] = std::from_chars(digits.data(), end, value);
    if (status != std::errc{} || stop != end || value < 0 || value > kLargestRing) {
      refuse(fmt::format("cache_ring has '{}'", digits), where, "as in 1024, or 4+1020");
    }
    return value;
  };
  const std::size_t plus = text.find('+');
  if (plus == std::string_view::npos) return {0, number(text)};
  return {number(text.substr(0, plus)), number(text.substr(plus + 1))};
}

std::map<SequenceId, RingCache> parse_rings(std::string_view text, const std::set<SequenceId>& sequences,
                                            const std::string& where) {
  std::vector<RingCache> list;
  for (std::size_t begin = 0; begin <= text.size();) {
    const std::size_t end = std::min(text.find(',', begin), text.size());
    list.push_back(parse_ring(text.substr(begin, end - begin), where));
    if (list.back().ring == 0) refuse("cache_ring has a ring of no tokens", where);
    begin = end + 1;
  }
  if (list.size() != 1 && list.size() != sequences.size()) {
    refuse(fmt::format("cache_ring has {} rings, and the trace {} sequences", list.size(), sequences.size()),
           where, "one for all, or one for each");
  }
  std::map<SequenceId, RingCache> rings;
  for (const SequenceId sequence : sequences) {
    rings[sequence] = list[list.size() == 1 ? 0 : rings.size()];
  }
  return rings;
}

struct TraceName {
  bool has_sequence = false, initial = false;
  int sequence = 0, step = 0;
  OpSite site;
};

TraceName parse_name(const std::string& name, const std::string& where) {
  TraceName parsed;
  std::string_view rest = name;
  parsed.has_sequence = take_number(rest, "seq.", parsed.sequence);
  parsed.initial = rest.starts_with(kInitial);
  if (parsed.initial) rest.remove_prefix(kInitial.size());
  if (parsed.has_sequence && !parsed.initial && !take_number(rest, "step.", parsed.step)) {
    refuse(name + ": has seq. but no step.", where);
  }
  if (!parse_site(rest, parsed.site)) {
    refuse(name + ": unknown probe", where, "docs/trace-format.md lists the names");
  }
  const bool cache = parsed.site.probe == Probe::past_key || parsed.site.probe == Probe::past_value;
  if (parsed.initial && !cache) refuse(name + ": only caches can be initial", where);
  return parsed;
}

std::string name_of(std::optional<DType> dtype) {
  return dtype ? std::string(dtype_name(*dtype)) : std::string();
}

std::map<std::string, std::string> entries_of(const TraceMetadata& metadata,
                                              const std::map<SequenceId, RingCache>& rings) {
  return {{"format", std::string(kFormat)},
          {"format_version", std::to_string(metadata.format_version)},
          {"engine", metadata.engine},
          {"storage_dtype", std::string(dtype_name(metadata.storage))},
          {"compute_dtype", std::string(dtype_name(metadata.compute))},
          {"device", metadata.device == DeviceKind::cuda ? "cuda" : "cpu"},
          {"weight_hash", metadata.weight_hash},
          {"cache_dtype", name_of(metadata.cache)},
          {"cache_ring", ring_text(rings)},
          {"rotary_dtype", name_of(metadata.precision.rotary)},
          {"scores_dtype", name_of(metadata.precision.scores)},
          {"probs_dtype", name_of(metadata.precision.probs)},
          {"rounding", std::string(rounding_name(metadata.precision.rounding))}};
}

class TraceBuilder {
 public:
  explicit TraceBuilder(std::string where) : where_(std::move(where)) {}

  void read_metadata(const std::map<std::string, std::string>& entries) {
    trace_.metadata = trace_metadata(entries, where_);
    if (const auto found = entries.find("cache_ring"); found != entries.end()) ring_ = found->second;
  }

  void place(const std::string& name, Tensor tensor) {
    const TraceName parsed = parse_name(name, where_);
    if (prefixed_ && *prefixed_ != parsed.has_sequence)
      fail(name + ": the prefix seq.I/step.N/ is on some names only");
    prefixed_ = parsed.has_sequence;
    const OpSite site = parsed.site;
    if (!parsed.initial) {
      step_of(parsed.sequence, parsed.step).tensors[site] = std::move(tensor);
      return;
    }
    const bool is_key = site.probe == Probe::past_key;
    InitialCache& cache = trace_.initial[parsed.sequence];
    (is_key ? cache.key : cache.value)[site.layer] = std::move(tensor);
  }

  Trace take() {
    if (trace_.steps.empty()) fail("holds no tensor at a probe", "nothing to judge or compare");
    for (const auto& [sequence, cache] : trace_.initial) {
      if (cache.key.size() != cache.value.size())
        fail("an initial cache has keys without values, or values without keys");
    }
    if (!ring_.empty()) {
      std::set<SequenceId> sequences;
      for (const TraceStep& step : trace_.steps) sequences.insert(step.sequence);
      trace_.rings = parse_rings(ring_, sequences, where_);
    }
    std::sort(trace_.steps.begin(), trace_.steps.end(), [](const TraceStep& a, const TraceStep& b) {
      return std::pair(a.sequence, a.step) < std::pair(b.sequence, b.step);
    });
    return std::move(trace_);
  }

 private:
  [[noreturn]] void fail(const std::string& what, std::string_view hint = {}) const {
    refuse(what, where_, hint);
  }

  TraceStep& step_of(int sequence, int step) {
    for (TraceStep& existing : trace_.steps) {
      if (existing.sequence == sequence && existing.step == step) return existing;
    }
    trace_.steps.push_back({sequence, step, {}, std::nullopt});
    return trace_.steps.back();
  }

  std::string where_;
  Trace trace_;
  std::string ring_;  // as the metadata has it
  std::optional<bool> prefixed_;
};

}  // namespace

void write_trace(const Trace& trace, const std::filesystem::path& path) {
  write_tensor_file(path, entries_of(trace.metadata, trace.rings), name_all(trace));
}

TraceFileWriter::TraceFileWriter(const std::filesystem::path& path, const ProbeFilter& filter, int layers,
                                 std::size_t steps)
    : single_(steps == 1), file_(path, header_room(filter, layers, steps)) {}

std::size_t TraceFileWriter::header_room(const ProbeFilter& filter, int layers, std::size_t steps) {
  constexpr std::size_t kMetadata = 4096, kPrefix = 64;
  std::size_t step = 0;
  for (const bool split_masks : {false, true}) {
    for (const OpSite site : forward_sites(split_masks ? 0 : layers, split_masks)) {
      if (filter.matches(site)) step += kPrefix + TensorFileWriter::header_bytes(site_name(site));
    }
  }
  return kMetadata + steps * step;
}

void TraceFileWriter::add(SequenceId sequence, int step, OpSite site, const TensorView& view) {
  file_.add(prefix_of(single_, sequence, step) + site_name(site), view);
  ++tensors_;
}

void TraceFileWriter::keep(const Trace& outline) {
  file_.keep(entries_of(outline.metadata, outline.rings));
}

TraceMetadata trace_metadata(const std::map<std::string, std::string>& entries, const std::string& where) {
  const auto text = [&](const char* key) {
    const auto found = entries.find(key);
    return found == entries.end() ? std::string() : found->second;
  };
  if (const std::string version = text("format_version"); !version.empty() && version != "1") {
    refuse("trace format version " + version + " is not known", where, "this build reads version 1");
  }
  const auto dtype_said = [&](const char* key) -> std::optional<DType> {
    const std::string name = text(key);
    if (name.empty()) return std::nullopt;
    const DType dtype = dtype_from_name(name);
    if (!is_floating(dtype)) refuse(fmt::format("{} is {}", key, name), where, "f32, f64, bf16 or f16");
    return dtype;
  };
  TraceMetadata metadata;
  metadata.engine = text("engine");
  metadata.weight_hash = text("weight_hash");
  metadata.storage = dtype_said("storage_dtype").value_or(DType::f32);
  metadata.compute = dtype_said("compute_dtype").value_or(DType::f32);
  metadata.cache = dtype_said("cache_dtype");
  metadata.precision.rotary = dtype_said("rotary_dtype");
  metadata.precision.scores = dtype_said("scores_dtype");
  metadata.precision.probs = dtype_said("probs_dtype");
  if (const std::string rounding = text("rounding"); !rounding.empty())
    metadata.precision.rounding = rounding_from_name(rounding);
  const std::string device = text("device");
  if (!device.empty() && device != "cpu" && device != "cuda") {
    refuse("unknown device '" + device + "'", where, "cpu or cuda");
  }
  if (device == "cuda") metadata.device = DeviceKind::cuda;
  return metadata;
}

std::string full_trace_name(const std::string& name, const std::string& where) {
  const TraceName parsed = parse_name(name, where);
  const std::string step = parsed.initial ? std::string(kInitial) : fmt::format("step.{}/", parsed.step);
  return fmt::format("seq.{}/{}{}", parsed.sequence, step, site_name(parsed.site));
}

Trace read_trace(const std::filesystem::path& path) {
  TensorFile file = read_tensor_file(path);
  TraceBuilder builder(path.string());
  builder.read_metadata(file.metadata);
  for (NamedTensor& named : file.tensors) builder.place(named.name, std::move(named.tensor));
  return builder.take();
}

Trace map_trace(const std::filesystem::path& path) {
  const auto file = std::make_shared<const MappedTensorFile>(path);
  TraceBuilder builder(path.string());
  builder.read_metadata(file->metadata());
  for (const NamedView& named : file->tensors()) builder.place(named.name, Tensor::within(named.view, file));
  return builder.take();
}

}  // namespace plumbline
