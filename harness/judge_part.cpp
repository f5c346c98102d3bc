#include "harness/judge_part.h"

#include <algorithm>
#include <map>
#include <set>
#include <tuple>

#include <fmt/format.h>

#include "harness/error.h"
#include "harness/evidence.h"

namespace plumbline {
namespace {

using OpKey = std::tuple<SequenceId, int, OpSite>;

template <typename Named>
OpKey key_of(const Named& op) {
  return {op.sequence, op.step, op.site};
}

void check_same(const JudgePart& a, const JudgePart& b, const std::string& other, const std::string& name) {
  const auto differ = [&](const char* what) {
    throw Error(fmt::format("is of another {} than {}", what, other), name,
                "parts of one judgement are joined");
  };
  if (a.trace_identity != b.trace_identity || a.steps != b.steps || a.engine != b.engine) differ("trace");
  if (a.weight_hash != b.weight_hash || a.layers != b.layers || a.masks_differ != b.masks_differ)
    differ("model");
  if (a.tolerances_hash != b.tolerances_hash) differ("set of tolerances");
  if (a.assumptions != b.assumptions || a.forced != b.forced) differ("judgement");
}

// Where each layer is judged: the part's number, -1 for none. Throws Error where it is judged twice.
std::vector<int> owners(const std::vector<JudgePart>& parts, const std::vector<std::string>& names) {
  std::vector<int> owner(static_cast<std::size_t>(parts.front().layers), -1);
  for (std::size_t i = 0; i < parts.size(); ++i) {
    for (int layer = parts[i].first_layer; layer <= parts[i].last_layer; ++layer) {
      int& place = owner[static_cast<std::size_t>(layer)];
      if (place >= 0) {
        throw Error(
            fmt::format("has layer {}, which {} has too", layer, names[static_cast<std::size_t>(place)]),
            names[i], "each layer is judged once");
      }
      place = static_cast<int>(i);
    }
  }
  return owner;
}

std::vector<std::pair<int, int>> ranges_without(const std::vector<int>& owner) {
  std::vector<std::pair<int, int>> ranges;
  for (std::size_t i = 0; i < owner.size(); ++i) {
    if (owner[i] >= 0) continue;
    const int layer = static_cast<int>(i);
    if (!ranges.empty() && ranges.back().second == layer - 1) {
      ranges.back().second = layer;
    } else {
      ranges.emplace_back(layer, layer);
    }
  }
  return ranges;
}

OpResult untested(OpSite site, SequenceId sequence, int step) {
  OpResult op;
  op.site = site;
  op.sequence = sequence;
  op.step = step;
  op.judged_as = probe_spec(site.probe).op;
  op.reason = "no part has judged this layer";
  return op;
}

// Every op of a part, once: by step, in graph order.
void check_ops(const JudgePart& part, const std::vector<OpSite>& sites, const std::string& name) {
  std::vector<OpKey> expected, found;
  for (const auto& [sequence, step] : part.steps) {
    for (const OpSite site : sites) {
      const int layer = judged_with_layer(site, part.layers);
      if (layer >= part.first_layer && layer <= part.last_layer) expected.push_back({sequence, step, site});
    }
  }
  for (const OpResult& op : part.judgement.ops) found.push_back(key_of(op));
  if (expected != found) throw Error("does not hold the ops of its layers", name, "was it altered?");
}

// Fits of the names asked for, from a list that has them all.
std::optional<Asked> chosen_from(const Asked& asked, const std::set<std::string>& names) {
  if (asked.failed) return std::nullopt;
  const bool has_all = asked.names.empty() || std::ranges::includes(asked.names, names);
  if (!has_all || (names.empty() && !asked.names.empty())) return std::nullopt;
  Asked chosen = asked;
  chosen.names = names;
  if (!names.empty()) {
    std::erase_if(chosen.ranked, [&](const SuspectFit& fit) { return !names.contains(fit.name); });
  }
  rank_fits(chosen.ranked);
  if (verdict_of(chosen.ranked).starts_with("none fits") && !chosen.pattern) return std::nullopt;
  return chosen;
}

}  // namespace

std::string ranges_text(std::span<const std::pair<int, int>> ranges) {
  std::string text;
  for (const auto& [first, last] : ranges) {
    text += text.empty() ? "" : ", ";
    text += first == last ? std::to_string(first) : fmt::format("{}-{}", first, last);
  }
  return text;
}

JoinedParts join_parts(std::vector<JudgePart> parts, const std::vector<std::string>& names) {
  require(!parts.empty() && parts.size() == names.size(), "join_parts: a name for each part");
  for (std::size_t i = 1; i < parts.size(); ++i) check_same(parts[0], parts[i], names[0], names[i]);
  const std::vector<int> owner = owners(parts, names);
  const int layers = parts[0].layers;
  const std::vector<OpSite> sites = forward_sites(layers, parts[0].masks_differ);
  for (std::size_t i = 0; i < parts.size(); ++i) check_ops(parts[i], sites, names[i]);

  JoinedParts joined;
  joined.missing = ranges_without(owner);
  std::vector<std::size_t> next(parts.size(), 0);
  Judgement whole;
  for (const auto& [sequence, step] : parts[0].steps) {
    for (const OpSite site : sites) {
      const int from = owner[static_cast<std::size_t>(judged_with_layer(site, layers))];
      const auto part = static_cast<std::size_t>(std::max(from, 0));
      whole.ops.push_back(from < 0 ? untested(site, sequence, step)
                                   : std::move(parts[part].judgement.ops[next[part]++]));
    }
  }
  joined.whole = std::move(parts[0]);
  joined.whole.judgement = std::move(whole);
  joined.whole.first_layer = 0;
  joined.whole.last_layer = layers - 1;
  for (std::size_t i = 1; i < parts.size(); ++i) {
    std::ranges::move(parts[i].asked, std::back_inserter(joined.whole.asked));
    std::ranges::move(parts[i].closely, std::back_inserter(joined.whole.closely));
  }
  return joined;
}

std::string explain_joined(const JudgePart& whole, Judgement& judgement, const AskSuspects& missing) {
  std::map<OpKey, std::vector<const Asked*>> known;
  for (const Asked& asked : whole.asked) known[key_of(asked)].push_back(&asked);
  std::map<OpKey, Asked> own;  // what each op's part came to
  for (OpResult& op : judgement.ops) {
    if (!op.suspects_tried) continue;
    own[key_of(op)] = {op.site, op.sequence, op.step, {}, op.suspects, false, op.pattern};
    op.suspects_tried = false;
    op.suspects.clear();
    op.pattern.clear();
  }
  std::string trouble;
  explain_in_order(judgement, [&](const OpResult& op, const std::set<std::string>& names) {
    for (const Asked* asked : known[key_of(op)]) {
      if (std::optional<Asked> chosen = chosen_from(*asked, names)) return *chosen;
    }
    try {
      return missing(op, names);
    } catch (const Error& error) {
      trouble = error.what();
      return own[key_of(op)];
    }
  });
  return trouble;
}

// Passes that are trivial here may be skipped in the whole, or not, by class.
std::vector<const OpResult*> candidates_to_see_closely(const Judgement& judgement) {
  std::map<OpClass, bool> all_trivial;
  for (const OpResult& op : judgement.ops) {
    if (op.verdict != Verdict::passed) continue;
    const auto [entry, added] = all_trivial.emplace(op.judged_as, true);
    entry->second = entry->second && op.trivial;
  }
  std::map<OpClass, Judgement> groups;  // those that prove something are one
  for (const OpResult& op : judgement.ops) {
    const bool apart = op.verdict == Verdict::passed && all_trivial[op.judged_as];
    groups[apart ? op.judged_as : OpClass::token_ids].ops.push_back(op);
  }
  std::set<OpKey> chosen;
  for (const auto& [op, group] : groups) {
    const Judgement* const one[] = {&group};
    for (const OpOfRun& each : ops_to_see_closely(one)) chosen.insert(key_of(*each.op));
  }
  std::vector<const OpResult*> candidates;
  for (const OpResult& op : judgement.ops) {
    if (chosen.contains(key_of(op))) candidates.push_back(&op);
  }
  return candidates;
}

}  // namespace plumbline
