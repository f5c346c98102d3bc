#include "phases/support/side_by_side.h"

#include <algorithm>
#include <array>
#include <map>

#include <fmt/format.h>

namespace plumbline::phases {
namespace {

struct Share {
  int checks = 0, wrong = 0;
  double largest = 0;
  OpSite at;
  void add(const OpResult& op) {
    if (checks++ == 0 || op.share > largest) at = op.site;
    largest = std::max(largest, op.share);
    if (op.verdict != Verdict::passed && op.verdict != Verdict::skipped) ++wrong;
  }
};

}  // namespace

Evidence shares_side_by_side(const Judgement& ours, const Judgement& other, const std::string& other_name) {
  std::map<OpClass, std::array<Share, 2>> rows;
  for (const OpResult& op : ours.ops) rows[op.judged_as][0].add(op);
  for (const OpResult& op : other.ops) rows[op.judged_as][1].add(op);
  Evidence table{"share of the gate used, by op: the subject beside " + other_name,
                 {"op", "checks", "subject's largest share", "at", other_name + "'s", "at", "its wrong ops"},
                 {}};
  for (const auto& [op, sides] : rows) {
    const auto& [own, others] = sides;
    table.rows.push_back({std::string(op_class_name(op)), std::to_string(others.checks),
                          fmt::format("{:.3f}", own.largest), site_name(own.at),
                          fmt::format("{:.3f}", others.largest), site_name(others.at),
                          std::to_string(others.wrong)});
  }
  return table;
}

}  // namespace plumbline::phases
