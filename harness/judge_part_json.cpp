// A part as JSON, and back: figures to the last bit.
#include <cmath>
#include <limits>

#include "harness/error.h"
#include "harness/judge_part.h"
#include "harness/report_json_evidence.h"

namespace plumbline {
namespace {

constexpr const char* kFormatName = "plumbline judge part";
constexpr int kFormatVersion = 2;  // 1 had the SHA-256 of the trace
constexpr int kMostLayers =
    1'000'000;  // a whole is made of so many: a part may not claim what no memory holds
constexpr std::size_t kMostIndices = 4;

std::int64_t whole_from(const Json& json) {
  if (!json.is_number_integer()) throw Error("a count that is no whole number", "");
  return json.get<std::int64_t>();
}

int int_from(const Json& json) {
  const std::int64_t value = whole_from(json);
  if (value < std::numeric_limits<int>::min() || value > std::numeric_limits<int>::max()) {
    throw Error("a number out of range", "");
  }
  return static_cast<int>(value);
}

OpClass op_class_from(const std::string& name) {
  for (const ProbeSpec& spec : probe_table()) {
    if (op_class_name(spec.op) == name) return spec.op;
  }
  if (op_class_name(OpClass::fused_attention) == name) return OpClass::fused_attention;
  throw Error("'" + name + "' is no op class", "");
}

// Which op: of what site, in what step.
template <typename Named>
Json key_json(const Named& op) {
  return {{"op", site_name(op.site)}, {"sequence", op.sequence}, {"step", op.step}};
}

template <typename Named>
void read_key(const Json& json, Named& op) {
  const std::string name = json.at("op").get<std::string>();
  if (!parse_site(name, op.site)) throw Error("'" + name + "' is no probe", "");
  op.sequence = int_from(json.at("sequence"));
  op.step = int_from(json.at("step"));
}

Json stats_json(const ErrorStats& stats) {
  return {{"compared", stats.compared},
          {"different", stats.different},
          {"not_finite", stats.not_finite},
          {"first_not_finite", stats.first_not_finite},
          {"max_abs", number(stats.max_abs)},
          {"worst", stats.worst},
          {"mean_abs", number(stats.mean_abs)},
          {"rms", number(stats.rms)},
          {"relative_l2", number(stats.relative_l2)},
          {"cosine", number(stats.cosine)},
          {"max_ulp", number(stats.max_ulp)},
          {"max_abs_expected", number(stats.max_abs_expected)}};
}

ErrorStats stats_from(const Json& json) {
  ErrorStats stats;
  stats.compared = whole_from(json.at("compared"));
  stats.different = whole_from(json.at("different"));
  stats.not_finite = whole_from(json.at("not_finite"));
  stats.first_not_finite = whole_from(json.at("first_not_finite"));
  stats.max_abs = number_from(json.at("max_abs"));
  stats.worst = whole_from(json.at("worst"));
  stats.mean_abs = number_from(json.at("mean_abs"));
  stats.rms = number_from(json.at("rms"));
  stats.relative_l2 = number_from(json.at("relative_l2"));
  stats.cosine = number_from(json.at("cosine"));
  stats.max_ulp = number_from(json.at("max_ulp"));
  stats.max_abs_expected = number_from(json.at("max_abs_expected"));
  return stats;
}

Json fits_json(const std::vector<SuspectFit>& fits) {
  Json list = Json::array();
  for (const SuspectFit& fit : fits) {
    list.push_back({{"name", fit.name},
                    {"meaning", fit.meaning},
                    {"in_question", fit.in_question},
                    {"explained", number(fit.explained)},
                    {"to_suspect", number(fit.to_suspect)},
                    {"to_right", number(fit.to_right)},
                    {"overall", number(fit.overall)},
                    {"fits", fit.fits},
                    {"fitted", fit.fitted},
                    {"tied", fit.tied},
                    {"trouble", fit.trouble},
                    {"place", fit.place}});
  }
  return list;
}

std::vector<SuspectFit> fits_from(const Json& json) {
  std::vector<SuspectFit> fits;
  for (const Json& each : json) {
    SuspectFit fit{each.at("name").get<std::string>(), each.at("meaning").get<std::string>()};
    fit.in_question = whole_from(each.at("in_question"));
    fit.explained = number_from(each.at("explained"));
    fit.to_suspect = number_from(each.at("to_suspect"));
    fit.to_right = number_from(each.at("to_right"));
    fit.overall = number_from(each.at("overall"));
    fit.fits = each.at("fits").get<bool>();
    fit.fitted = each.at("fitted").get<bool>();
    fit.tied = each.at("tied").get<bool>();
    fit.trouble = each.at("trouble").get<std::string>();
    fit.place = static_cast<std::size_t>(whole_from(each.at("place")));
    fits.push_back(std::move(fit));
  }
  return fits;
}

Json op_json(const OpResult& op) {
  Json json = key_json(op);
  json.update({{"judged_as", op_class_name(op.judged_as)},
               {"verdict", verdict_name(op.verdict)},
               {"reason", op.reason},
               {"trivial", op.trivial},
               {"exact", op.exact},
               {"error", number(op.error)},
               {"gate", number(op.gate)},
               {"share", number(op.share)},
               {"worst", op.worst.index},
               {"slope", number(op.slope)},
               {"differing", number(op.differing)},
               {"local", stats_json(op.local)},
               {"tie_flips", op.tie_flips},
               {"bad_rows", op.bad_rows},
               {"rows", op.rows},
               {"suspects_tried", op.suspects_tried},
               {"suspects", fits_json(op.suspects)},
               {"pattern", op.pattern}});
  if (op.first_bad_row) json["first_bad_row"] = *op.first_bad_row;
  if (op.accumulated) json["accumulated"] = stats_json(*op.accumulated);
  return json;
}

OpResult op_from(const Json& json) {
  OpResult op;
  read_key(json, op);
  op.judged_as = op_class_from(json.at("judged_as").get<std::string>());
  op.verdict = verdict_from_name(json.at("verdict").get<std::string>());
  op.reason = json.at("reason").get<std::string>();
  op.trivial = json.at("trivial").get<bool>();
  op.exact = json.at("exact").get<bool>();
  op.error = number_from(json.at("error"));
  op.gate = number_from(json.at("gate"));
  op.share = number_from(json.at("share"));
  for (const Json& index : json.at("worst")) op.worst.index.push_back(whole_from(index));
  if (op.worst.index.size() > kMostIndices) throw Error("a place with too many indices", "");
  op.slope = number_from(json.at("slope"));
  op.differing = number_from(json.at("differing"));
  op.local = stats_from(json.at("local"));
  op.tie_flips = whole_from(json.at("tie_flips"));
  op.bad_rows = whole_from(json.at("bad_rows"));
  op.rows = whole_from(json.at("rows"));
  op.suspects_tried = json.at("suspects_tried").get<bool>();
  op.suspects = fits_from(json.at("suspects"));
  op.pattern = json.at("pattern").get<std::string>();
  if (json.contains("first_bad_row")) op.first_bad_row = whole_from(json.at("first_bad_row"));
  if (json.contains("accumulated")) op.accumulated = stats_from(json.at("accumulated"));
  return op;
}

Json asked_json(const Asked& asked) {
  Json json = key_json(asked);
  json.update({{"names", asked.names}, {"ranked", fits_json(asked.ranked)}, {"failed", asked.failed}});
  if (asked.pattern) json["pattern"] = *asked.pattern;
  return json;
}

Asked asked_from(const Json& json) {
  Asked asked;
  read_key(json, asked);
  asked.names = json.at("names").get<std::set<std::string>>();
  asked.ranked = fits_from(json.at("ranked"));
  asked.failed = json.at("failed").get<bool>();
  if (json.contains("pattern")) asked.pattern = json.at("pattern").get<std::string>();
  return asked;
}

Json seen_json(const SeenClosely& seen) {
  Json json = key_json(seen), tables = Json::array();
  for (const Evidence& table : seen.tables) tables.push_back(evidence_json(table));
  json["tables"] = std::move(tables);
  return json;
}

SeenClosely seen_from(const Json& json) {
  SeenClosely seen;
  read_key(json, seen);
  for (const Json& table : json.at("tables")) seen.tables.push_back(evidence_from(table));
  return seen;
}

JudgePart part_from(const Json& json) {
  if (json.at("format") != kFormatName) throw Error("unknown format", "");
  if (whole_from(json.at("version")) != kFormatVersion) throw Error("unknown format version", "");
  JudgePart part;
  part.trace = json.at("trace").get<std::string>();
  part.model = json.at("model").get<std::string>();
  part.tolerances = json.at("tolerances").get<std::string>();
  part.trace_identity = json.at("trace_identity").get<std::string>();
  part.weight_hash = json.at("weight_hash").get<std::string>();
  part.tolerances_hash = json.at("tolerances_hash").get<std::string>();
  part.forced = json.at("forced").get<bool>();
  part.engine = json.at("engine").get<std::string>();
  part.assumptions = json.at("assumptions").get<std::vector<std::string>>();
  part.layers = int_from(json.at("layers"));
  part.masks_differ = json.at("masks_differ").get<bool>();
  part.first_layer = int_from(json.at("first_layer"));
  part.last_layer = int_from(json.at("last_layer"));
  const bool ok = part.layers <= kMostLayers && part.first_layer >= 0 &&
                  part.last_layer >= part.first_layer && part.last_layer < part.layers;
  if (!ok) throw Error("layers that cannot be", "");
  for (const Json& step : json.at("steps")) {
    part.steps.emplace_back(int_from(step.at(0)), int_from(step.at(1)));
  }
  for (const Json& op : json.at("ops")) part.judgement.ops.push_back(op_from(op));
  for (const Json& asked : json.at("asked")) part.asked.push_back(asked_from(asked));
  for (const Json& seen : json.at("closely")) part.closely.push_back(seen_from(seen));
  return part;
}

template <typename Item, typename Make>
Json list_of(const std::vector<Item>& items, Make make) {
  Json list = Json::array();
  for (const Item& item : items) list.push_back(make(item));
  return list;
}

}  // namespace

std::string to_json(const JudgePart& part) {
  const Json json{{"format", kFormatName},
                  {"version", kFormatVersion},
                  {"trace", part.trace},
                  {"model", part.model},
                  {"tolerances", part.tolerances},
                  {"trace_identity", part.trace_identity},
                  {"weight_hash", part.weight_hash},
                  {"tolerances_hash", part.tolerances_hash},
                  {"forced", part.forced},
                  {"engine", part.engine},
                  {"assumptions", part.assumptions},
                  {"layers", part.layers},
                  {"masks_differ", part.masks_differ},
                  {"first_layer", part.first_layer},
                  {"last_layer", part.last_layer},
                  {"steps", part.steps},
                  {"ops", list_of(part.judgement.ops, op_json)},
                  {"asked", list_of(part.asked, asked_json)},
                  {"closely", list_of(part.closely, seen_json)}};
  return json.dump(1, ' ', false, Json::error_handler_t::replace) + "\n";
}

JudgePart part_from_json(const std::string& text, const std::string& where) {
  try {
    return part_from(Json::parse(text));
  } catch (const std::exception& problem) {
    throw Error(std::string("not a part of a judgement: ") + problem.what(), where);
  }
}

}  // namespace plumbline
