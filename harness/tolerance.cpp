#include "harness/tolerance.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <fstream>
#include <set>
#include <sstream>
#include <vector>

#include <fmt/format.h>
#include <yaml-cpp/yaml.h>

namespace plumbline {
namespace {

// Every run needs these, whatever its dtype; a gate of 0 asks for exactness.
constexpr std::array<std::string_view, 11> kGates{
    "final_logits_max_abs", "final_logits_mean_abs",   "probability_sum", "probability_cut",
    "forbidden_weight",     "forbidden_weight_others", "position",        "golden_logits_f32",
    "golden_logits_f64",    "golden_sample_rms",       "tie_flip_share",
};

class Parser {
 public:
  explicit Parser(std::string where) : where_(std::move(where)) {}

  [[noreturn]] void fail(const YAML::Node& node, const std::string& what, std::string_view hint = {}) const {
    const YAML::Mark mark = node.IsDefined() ? node.Mark() : YAML::Mark::null_mark();
    throw Error(what, mark.line >= 0 ? fmt::format("{}:{}", where_, mark.line + 1) : where_, hint);
  }

  void only_keys(const YAML::Node& node, const std::set<std::string>& known) const {
    if (!node.IsMap()) fail(node, "expected a mapping");
    std::set<std::string> seen;
    for (const auto& entry : node) {
      const auto key = entry.first.as<std::string>();
      if (!known.contains(key)) fail(entry.first, "unknown key '" + key + "'");
      if (!seen.insert(key).second) fail(entry.first, "key '" + key + "' twice");
    }
  }

  std::string text(const YAML::Node& row, const char* key) const {
    const YAML::Node node = row[key];
    if (!node.IsDefined() || !node.IsScalar() || node.Scalar().empty()) {
      fail(row, fmt::format("'{}' is missing or empty", key), "every row says why");
    }
    return node.Scalar();
  }

  double number(const YAML::Node& row, const char* key, bool zero_allowed) const {
    double value = 0;
    const YAML::Node node = row[key];
    if (!node.IsDefined() || !node.IsScalar() || !YAML::convert<double>::decode(node, value)) {
      fail(row, fmt::format("'{}' is missing or not a number", key));
    }
    const bool ok = std::isfinite(value) && (value > 0 || (zero_allowed && value == 0));
    if (!ok) fail(node, fmt::format("'{}' is {}, not a positive number", key, node.Scalar()));
    return value;
  }

  std::optional<double> optional_number(const YAML::Node& row, const char* key) const {
    if (!row[key].IsDefined()) return std::nullopt;
    return number(row, key, false);
  }

  DeviceKind device(const YAML::Node& row) const {
    const std::string name = text(row, "device");
    if (name == "cpu") return DeviceKind::cpu;
    if (name == "cuda") return DeviceKind::cuda;
    fail(row, "unknown device '" + name + "'", "cpu or cuda");
  }

  bool flag(const YAML::Node& row, const char* key, bool unless_said) const {
    const YAML::Node node = row[key];
    if (!node.IsDefined()) return unless_said;
    if (node.IsScalar() && node.Scalar() == "true") return true;
    if (node.IsScalar() && node.Scalar() == "false") return false;
    fail(row, fmt::format("'{}' is neither true nor false", key));
  }

  // Names that a table knows, with the row's line in the message.
  template <typename Lookup>
  auto named(const YAML::Node& row, const char* key, const Lookup& lookup) const {
    try {
      return lookup(text(row, key));
    } catch (const Error& error) {
      fail(row, error.what());
    }
  }

  Tolerance tolerance(const YAML::Node& row) const {
    only_keys(row, {"op", "dtype", "device", "rule", "lambda", "ceiling", "largest_slope",
                    "largest_differing", "measured", "why"});
    Tolerance entry;
    entry.why = text(row, "why");
    const std::string rule = text(row, "rule");
    if (rule == "exact") {
      for (const char* key : {"lambda", "ceiling", "largest_slope", "largest_differing", "measured"}) {
        if (row[key].IsDefined()) fail(row, fmt::format("an exact row has no '{}'", key));
      }
      return entry;
    }
    if (rule != "bound") fail(row, "unknown rule '" + rule + "'", "exact or bound");
    entry.rule = Rule::bound;
    entry.lambda = number(row, "lambda", false);
    entry.ceiling = optional_number(row, "ceiling");
    entry.largest_slope = optional_number(row, "largest_slope");
    entry.largest_differing = optional_number(row, "largest_differing");
    entry.measured = flag(row, "measured", true);
    return entry;
  }

 private:
  std::string where_;
};

// Whole numbers, the table of frequencies and the sampler's f32 stages: the same in every storage dtype.
bool has_one_dtype(OpClass op) {
  switch (op) {
    case OpClass::token_ids:
    case OpClass::positions:
    case OpClass::mask:
    case OpClass::inv_freq:
    case OpClass::sample_logits:
    case OpClass::penalties:
    case OpClass::temperature:
    case OpClass::top_k:
    case OpClass::top_p:
    case OpClass::min_p:
    case OpClass::draw:
      return true;
    default:
      return false;
  }
}

std::string describe(OpClass op, DType dtype, DeviceKind device) {
  return fmt::format("{} x {} x {}", op_class_name(op), dtype_name(dtype), device_name({device, 0}));
}

}  // namespace

Tolerances Tolerances::load(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  if (!std::filesystem::is_regular_file(path) || !(text << file.rdbuf())) {
    throw Error("cannot be read", path.string(), "a file of tolerances, as fixtures/tolerances.yaml is");
  }
  return parse(text.str(), path.string());
}

Tolerances Tolerances::parse(const std::string& yaml, const std::string& where) {
  try {
    return parse_text(yaml, where);
  } catch (const YAML::Exception& error) {  // of the parser, or of a node asked for what it is not
    throw Error(error.what(), where);
  }
}

Tolerances Tolerances::parse_text(const std::string& yaml, const std::string& where) {
  const Parser parser(where);
  Tolerances made;
  made.where_ = where;
  const YAML::Node root = YAML::Load(yaml);
  parser.only_keys(root, {"version", "ops", "gates"});
  if (parser.text(root, "version") != "1") parser.fail(root, "version is not 1");
  if (!root["ops"].IsSequence() || !root["gates"].IsSequence())
    parser.fail(root, "'ops' and 'gates' are lists");
  for (const YAML::Node& row : root["ops"]) {
    const Tolerance entry = parser.tolerance(row);
    const OpClass op = parser.named(row, "op", op_class_from_name);
    const DType dtype = parser.named(row, "dtype", dtype_from_name);
    const DeviceKind device = parser.device(row);
    if (has_one_dtype(op) && dtype != DType::f32) {
      parser.fail(row, fmt::format("{} has rows for f32 alone", op_class_name(op)),
                  "no storage dtype changes what it must keep");
    }
    if (!made.ops_.emplace(std::tuple(op, dtype, device), entry).second) {
      parser.fail(row, describe(op, dtype, device) + " stands twice");
    }
  }
  for (const YAML::Node& row : root["gates"]) {
    parser.only_keys(row, {"gate", "value", "why"});
    const std::string name = parser.text(row, "gate");
    parser.text(row, "why");
    if (std::find(kGates.begin(), kGates.end(), name) == kGates.end())
      parser.fail(row, "unknown gate '" + name + "'");
    if (!made.gates_.emplace(name, parser.number(row, "value", true)).second) {
      parser.fail(row, "gate '" + name + "' stands twice");
    }
  }
  return made;
}

void Tolerances::require_complete(DType dtype, DeviceKind device_kind) const {
  for (int i = 0; i < kOpClassCount; ++i) op(static_cast<OpClass>(i), dtype, device_kind);
  for (const std::string_view name : kGates) gate(std::string(name));
}

std::string Tolerances::unmeasured(DType dtype, DeviceKind device_kind) const {
  std::vector<std::string_view> names;
  for (int i = 0; i < kOpClassCount; ++i) {
    const auto op_class = static_cast<OpClass>(i);
    if (!op(op_class, dtype, device_kind).measured) names.push_back(op_class_name(op_class));
  }
  if (names.empty()) return {};
  return fmt::format("no {} device was measured for the bounds of {} in {}",
                     device_kind == DeviceKind::cpu ? "cpu" : "cuda", fmt::join(names, ", "),
                     dtype_name(dtype));
}

const Tolerance& Tolerances::op(OpClass op, DType dtype, DeviceKind device_kind) const {
  const auto found = ops_.find({op, has_one_dtype(op) ? DType::f32 : dtype, device_kind});
  if (found == ops_.end()) {
    throw Error("no tolerance for " + describe(op, dtype, device_kind), where_,
                "add a row; there is no default");
  }
  return found->second;
}

double Tolerances::gate(const std::string& name) const {
  const auto found = gates_.find(name);
  if (found == gates_.end()) throw Error("no gate '" + name + "'", where_, "add a row; there is no default");
  return found->second;
}

}  // namespace plumbline
