// What the trial found, as a page.
#include <algorithm>
#include <cmath>
#include <map>

#include <fmt/format.h>

#include "tests/mutants/trial.h"

namespace plumbline::mutants {
namespace {

constexpr double kBlamedRight = 0.95, kSuspectFirst = 0.80, kProbesCaught = 0.98;
constexpr double kSuspectFirstInHalf = 0.70;

int count(const std::vector<MutantResult>& mutants, bool MutantResult::*what) {
  return static_cast<int>(
      std::count_if(mutants.begin(), mutants.end(), [&](const auto& m) { return m.*what; }));
}

double share(int part, std::size_t of) {
  return of == 0 ? 0 : part / static_cast<double>(of);
}

std::string yes(bool value) {
  return value ? "yes" : "**no**";
}

std::string escaped(const std::string& text) {
  std::string out;
  for (const char letter : text) {
    if (letter == '|' || letter == '_' || letter == '*') out += '\\';
    out += letter;
  }
  return out;
}

int with_suspect(const TrialReport& report) {
  return static_cast<int>(std::count_if(report.mutants.begin(), report.mutants.end(),
                                        [](const MutantResult& m) { return !m.mutation->suspect.empty(); }));
}

struct Totals {
  int runs = 0, alarms = 0;
  std::int64_t ops = 0;
};
Totals totals_of(const std::vector<CleanResult>& clean) {
  Totals totals;
  for (const CleanResult& result : clean) {
    totals.runs += result.runs;
    totals.alarms += result.false_alarms;
    totals.ops += result.ops;
  }
  return totals;
}

std::string percent(double value) {
  return fmt::format("{:.1f} %", 100 * value);
}

std::string summary(const TrialReport& report) {
  const std::size_t n = report.mutants.size();
  const int killed = count(report.mutants, &MutantResult::killed);
  const int blamed = count(report.mutants, &MutantResult::blamed_right);
  const int named = count(report.mutants, &MutantResult::suspect_first);
  const Totals clean = totals_of(report.clean);
  double least = 1;
  for (const ProbeResult& probe : report.probes) {
    if (probe.required() && !probe.control()) least = std::min(least, probe.share_caught());
  }
  std::string text = "| figure | measured | asked for |\n| --- | --- | --- |\n";
  text += fmt::format("| mutants killed | {} of {} ({}) | 100 % |\n", killed, n, percent(share(killed, n)));
  text += fmt::format("| blamed on the exact op | {} ({}) | 95 % |\n", blamed, percent(share(blamed, n)));
  text += fmt::format(
      "| right suspect named first | {} ({}), {} of them with numbers fitted to the output; {} of the "
      "mutants "
      "have one in the catalogue | 80 % |\n",
      named, percent(share(named, n)), count(report.mutants, &MutantResult::as_shape), with_suspect(report));
  text += fmt::format("| suspects that fit a right op | {} | 0 |\n", report.false_suspects.size());
  text += fmt::format("| clean runs called wrong | {} of {} ({} ops) | 0 |\n", clean.alarms, clean.runs,
                      clean.ops);
  if (!report.probes.empty()) {
    text +=
        fmt::format("| named probes caught, the least of them | {} of the seeds | 98 % |\n", percent(least));
  }
  text += fmt::format(
      "| sampling mutants killed | {} of {} | 100 % |\n| blamed on the exact stage | {} | 100 % |\n",
      std::ranges::count_if(report.sampling, &SamplingResult::killed),
      std::ranges::count_if(report.sampling, &SamplingResult::planted),
      std::ranges::count_if(report.sampling, &SamplingResult::blamed_right));
  text +=
      fmt::format("| loop mutants killed | {} of {} | 100 % |\n| blamed on the right check | {} | 100 % |\n",
                  std::ranges::count_if(report.loop, &LoopResult::killed),
                  std::ranges::count_if(report.loop, &LoopResult::planted),
                  std::ranges::count_if(report.loop, &LoopResult::blamed_right));
  text += fmt::format(
      "| tokenizer mutants killed | {} of {} | 100 % |\n| parting at the exact stage | {} | 100 % |\n",
      std::ranges::count_if(report.tokens, &TokenResult::killed),
      std::ranges::count_if(report.tokens, &TokenResult::planted),
      std::ranges::count_if(report.tokens, &TokenResult::blamed_right));
  return text;
}

std::string mutant_table(const std::vector<MutantResult>& mutants) {
  std::string text =
      "| mutant | case | killed | first wrong op | right op | what explain says of it | right suspect first "
      "|\n"
      "| --- | --- | --- | --- | --- | --- | --- |\n";
  for (const MutantResult& m : mutants) {
    const bool listed = !m.mutation->suspect.empty();
    text += fmt::format("| {} | {} | {} | {} | {} | {} | {} |\n", escaped(m.mutation->name),
                        m.mutation->case_name, m.changed ? yes(m.killed) : "**changes nothing**",
                        escaped(m.first_wrong), m.blamed_right ? "yes" : "**no**: " + escaped(m.wrong_ops),
                        escaped(m.suspects), listed ? yes(m.suspect_first) : "no such suspect");
  }
  return text;
}

std::string clean_table(const std::vector<CleanResult>& clean) {
  std::string text =
      "| subject | runs | ops | false alarms | largest share of a gate | at |\n| --- | --- | --- | --- | --- "
      "| --- |\n";
  for (const CleanResult& c : clean) {
    text += fmt::format("| {} | {} | {} | {} | {:.3f} | {} |\n", c.subject, c.runs, c.ops, c.false_alarms,
                        c.largest_share, escaped(c.largest_at));
  }
  return text;
}

std::string share_table(const std::vector<OpShare>& shares) {
  std::string text = "| op | checks | largest share of its gate | at |\n| --- | --- | --- | --- |\n";
  for (const OpShare& one : shares) {
    text +=
        fmt::format("| {} | {} | {:.3f} | {} |\n", escaped(one.op), one.checks, one.share, escaped(one.at));
  }
  return text;
}

// 2^-19 as "1.9e-06".
std::string power(int exponent, bool found) {
  return found ? fmt::format("{:.1e} (2^{})", std::ldexp(1.0, exponent), exponent) : "**none**";
}

std::string floor_table(const std::vector<Floor>& floors) {
  std::string text =
      "| op | at | sizes | one element, median | one element, worst | all elements |\n"
      "| --- | --- | --- | --- | --- | --- |\n";
  for (const Floor& f : floors) {
    text +=
        fmt::format("| {} | {} | {} | {} | {} | {} |\n", escaped(f.op), escaped(f.site), f.shape,
                    power(f.one_median, f.found()), power(f.one_worst, f.found()), power(f.all, f.found()));
  }
  return text;
}

std::string probe_table(const std::vector<ProbeResult>& probes) {
  std::string text =
      "| mistake | sum over | seeds | caught | median share of the gate |\n| --- | --- | --- | --- | --- |\n";
  for (const ProbeResult& p : probes) {
    text += fmt::format("| {} | {} | {} | {}{} | {:.3g} |\n", p.mistake, p.length, p.seeds,
                        percent(p.share_caught()), p.required() ? "" : " (not asked for)", p.median_share);
  }
  return text;
}

std::string equivalents() {
  std::string text = "| change | why it is no mistake |\n| --- | --- |\n";
  for (const Equivalent& one : all_equivalents()) text += fmt::format("| {} | {} |\n", one.name, one.why);
  return text;
}

void complain_of_mutants(const TrialReport& report, Complaints& list) {
  for (const MutantResult& m : report.mutants) {
    if (!m.changed) list.push_back(fmt::format("'{}' changes nothing", m.mutation->name));
    if (!m.killed) list.push_back(fmt::format("'{}' survives", m.mutation->name));
  }
  const std::size_t n = report.mutants.size();
  const int blamed = count(report.mutants, &MutantResult::blamed_right);
  const bool ok = share(blamed, n) >= kBlamedRight;
  if (!ok) list.push_back(fmt::format("only {} of {} mutants are blamed on the right op", blamed, n));
  const int named = count(report.mutants, &MutantResult::suspect_first);
  const bool named_ok = share(named, n) >= kSuspectFirst;
  if (!named_ok) list.push_back(fmt::format("only {} of {} mutants have the right suspect first", named, n));
}

std::string half_totals(const HalfReport& half) {
  const std::size_t n = half.mutants.size();
  const Totals clean = totals_of(half.clean.subjects);
  const int killed = count(half.mutants, &MutantResult::killed);
  const int blamed = count(half.mutants, &MutantResult::blamed_right);
  const int named = count(half.mutants, &MutantResult::suspect_first);
  return fmt::format(
      "| {} | {} of {} ({}) | {} ({}) | {} ({}) | {} | {} | {} of {} ({} ops) "
      "|\n",
      half.format.name(), killed, n, percent(share(killed, n)), blamed, percent(share(blamed, n)), named,
      percent(share(named, n)), mutations_in(half.format).left_out.size(), half.false_suspects.size(),
      clean.alarms, clean.runs, clean.ops);
}

std::string left_out_table(const std::vector<HalfReport>& halves) {
  std::map<std::pair<std::string, std::string>, std::string> formats;  // by mutant and reason
  for (const HalfReport& half : halves) {
    for (const LeftOut& one : mutations_in(half.format).left_out) {
      std::string& list = formats[{one.mutation->name, one.why}];
      list += (list.empty() ? "" : "; ") + half.format.name();
    }
  }
  std::string text = "| mutant | left out in | why |\n| --- | --- | --- |\n";
  for (const auto& [what, where] : formats) {
    text += fmt::format("| {} | {} | {} |\n", escaped(what.first), where, what.second);
  }
  return text;
}

// Of each op over the clean runs, a column for each format.
std::string half_table(const std::vector<HalfReport>& halves, double OpShare::*figure) {
  std::map<std::string, std::map<std::string, double>> figures;
  std::string text = "| op |", rule = "| --- |";
  for (const HalfReport& half : halves) {
    text += fmt::format(" {} |", half.format.name());
    rule += " --- |";
    for (const OpShare& one : half.clean.ops) {
      if (one.*figure > 0) figures[one.op][half.format.name()] = one.*figure;
    }
  }
  text += "\n" + rule + "\n";
  for (const auto& [op, by_format] : figures) {
    text += fmt::format("| {} |", escaped(op));
    for (const HalfReport& half : halves) {
      const auto found = by_format.find(half.format.name());
      text += found == by_format.end() ? " – |" : fmt::format(" {:.3f} |", found->second);
    }
    text += "\n";
  }
  return text;
}

}  // namespace

Complaints complaints_of(const HalfReport& half) {
  Complaints list = half.equivalents;
  list.insert(list.end(), half.false_suspects.begin(), half.false_suspects.end());
  const auto complain = [&](const std::string& what) { list.push_back(half.format.name() + ": " + what); };
  const std::size_t n = half.mutants.size();
  for (const MutantResult& m : half.mutants) {
    if (!m.changed) complain(fmt::format("'{}' changes nothing", m.mutation->name));
    if (!m.killed) complain(fmt::format("'{}' survives", m.mutation->name));
  }
  const int blamed = count(half.mutants, &MutantResult::blamed_right);
  if (!(share(blamed, n) >= kBlamedRight)) {
    complain(fmt::format("only {} of {} mutants are blamed on the right op", blamed, n));
  }
  const int named = count(half.mutants, &MutantResult::suspect_first);
  if (!(share(named, n) >= kSuspectFirstInHalf)) {
    complain(fmt::format("only {} of {} mutants have the right suspect first", named, n));
  }
  for (const CleanResult& c : half.clean.subjects) {
    if (c.false_alarms > 0) complain(fmt::format("false alarm: {}: {}", c.subject, c.first_alarm));
  }
  return list;
}

std::string half_line(const HalfReport& half) {
  const Totals clean = totals_of(half.clean.subjects);
  return fmt::format(
      "{}: {} of {} mutants killed, {} blamed on the right op, {} with the "
      "right suspect first, {} left out; "
      "{} false alarms in {} clean runs",
      half.format.name(), count(half.mutants, &MutantResult::killed), half.mutants.size(),
      count(half.mutants, &MutantResult::blamed_right), count(half.mutants, &MutantResult::suspect_first),
      mutations_in(half.format).left_out.size(), clean.alarms, clean.runs);
}

std::string half_section(const std::vector<HalfReport>& halves) {
  if (halves.empty()) return "";
  std::string text =
      "\n## Half types\n\nThe same in half storage, on the weights as stored. *Rounded once per op*: f32 "
      "within "
      "an op, its output rounded once; scores, probs, cos and sin kept in f32. *At each operation*: in the "
      "order "
      "of transformers, all in the storage type. Asked for: all mutants killed, 95 % "
      "blamed rightly, 70 % named first, no clean run called wrong.\n\n"
      "| format | killed | blamed on the exact op | right suspect first | left out | suspects that fit a "
      "right op "
      "| clean runs called wrong |\n| --- | --- | --- | --- | --- | --- | --- |\n";
  for (const HalfReport& half : halves) text += half_totals(half);
  text +=
      "\nLeft out, since they are none there or cannot be seen. Planted all the same, no bit may change, but "
      "where the reason is the right engine's overflow or the name of a type:\n\n" +
      left_out_table(halves);
  text +=
      "\nClean runs, largest share of a gate by op; near 1 wherever the output is of a half type, for its "
      "one "
      "rounding takes all of half a spacing:\n\n" +
      half_table(halves, &OpShare::share);
  text +=
      "\nWhat is left of the error beyond half a spacing and the roundings within the op, in units of "
      "λB:\n\n" +
      half_table(halves, &OpShare::beyond);
  text +=
      "\nShare of the elements that differ from the emulated output, from 480 elements on (limit 0.05):\n\n" +
      half_table(halves, &OpShare::differing);
  for (const HalfReport& half : halves) {
    text += fmt::format("\n### {}: mutants\n\n{}\n### {}: clean runs\n\n{}", half.format.name(),
                        mutant_table(half.mutants), half.format.name(), clean_table(half.clean.subjects));
  }
  return text;
}

Complaints complaints_of(const TrialReport& report) {
  Complaints list = report.equivalents;
  list.insert(list.end(), report.false_suspects.begin(), report.false_suspects.end());
  complain_of_mutants(report, list);
  for (const CleanResult& c : report.clean) {
    if (c.false_alarms > 0) list.push_back(fmt::format("false alarm: {}: {}", c.subject, c.first_alarm));
  }
  for (const Floor& f : report.floors) {
    if (!f.found()) list.push_back(fmt::format("{}: no change of its output is caught", f.site));
  }
  for (const ProbeResult& p : report.probes) {
    if (p.control() && p.caught > 0) list.push_back(fmt::format("{}, {}: called wrong", p.mistake, p.length));
    const bool ok = p.control() || !p.required() || p.share_caught() >= kProbesCaught;
    if (!ok)
      list.push_back(
          fmt::format("{}, {}: caught in {} only", p.mistake, p.length, percent(p.share_caught())));
  }
  const Complaints sampling = complaints_of(report.sampling);
  list.insert(list.end(), sampling.begin(), sampling.end());
  const Complaints loop = complaints_of(report.loop);
  list.insert(list.end(), loop.begin(), loop.end());
  const Complaints tokens = complaints_of(report.tokens);
  list.insert(list.end(), tokens.begin(), tokens.end());
  for (const HalfReport& half : report.halves) {
    const Complaints more = complaints_of(half);
    list.insert(list.end(), more.begin(), more.end());
  }
  return list;
}

std::string trial_line(const TrialReport& report) {
  const Totals clean = totals_of(report.clean);
  return fmt::format(
      "{} of {} mutants killed, {} blamed on the right op, {} with the right suspect first; {} of {} "
      "sampling "
      "mutants killed; {} of {} loop mutants killed; {} of {} tokenizer mutants killed; {} false alarms in "
      "{} "
      "clean runs",
      count(report.mutants, &MutantResult::killed), report.mutants.size(),
      count(report.mutants, &MutantResult::blamed_right), count(report.mutants, &MutantResult::suspect_first),
      std::ranges::count_if(report.sampling, &SamplingResult::killed),
      std::ranges::count_if(report.sampling, &SamplingResult::planted),
      std::ranges::count_if(report.loop, &LoopResult::killed),
      std::ranges::count_if(report.loop, &LoopResult::planted),
      std::ranges::count_if(report.tokens, &TokenResult::killed),
      std::ranges::count_if(report.tokens, &TokenResult::planted), clean.alarms, clean.runs);
}

std::string trial_page(const TrialReport& report, const std::string& command) {
  const Complaints complaints = complaints_of(report);
  std::string page = "# The harness on trial\n\n";
  page += complaints.empty() ? "Passed.\n"
                             : fmt::format("**Failed**: {} complaint{}.\n\n", complaints.size(),
                                           complaints.size() == 1 ? "" : "s");
  for (const std::string& line : complaints) page += fmt::format("- {}\n", escaped(line));
  page += fmt::format("\nRepeat with `{}` ({:.0f} s here).\n\n{}", command, report.seconds, summary(report));
  page += fmt::format(
      "\n## Mutants\n\nA third forward pass (`tests/mutants/`) is right, and passes, until one mistake is "
      "planted in it. "
      "*Right op*: the first wrong op is the one the mistake sits in, and no op is called wrong that the "
      "mistake does not "
      "touch, unless what it leaves behind cannot be judged (NaN, wrong shapes, misread weights). *Right "
      "suspect first*: "
      "or tied with the first, where the two cannot be told apart. Yes means in each of {} seeds of the "
      "weights.\n\n",
      report.mutant_seeds);
  page += mutant_table(report.mutants);
  page +=
      "\nNot counted, since no right engine could tell; planted all the "
      "same, and no bit may change:\n\n" +
      equivalents();
  page += fmt::format("\n{}{}{}", sampling_section(report.sampling), loop_section(report.loop),
                      token_section(report.tokens));
  page +=
      "## Clean runs\n\nRandom checkpoints of ten small shapes and one in "
      "the widths of Qwen2-0.5B, "
      "ordinary and with "
      "outliers, fresh for each seed; on each the third forward (its sums "
      "in three orders, in turn) and the "
      "native "
      "engine with each instruction set, with one and two threads. "
      "Instruction sets and threads of the "
      "native engine "
      "give the same bits by design, so that its rows are less independent "
      "than they are many.\n\n" +
      clean_table(report.clean) + "\nOver all of them, by op:\n\n" + share_table(report.shares);
  page += half_section(report.halves);
  if (!report.floors.empty()) {
    page +=
        "\n## Detection floor\n\nThe smallest relative change (a power of two) of a right output that is "
        "called wrong, "
        "over ordinary data and 24 tokens: of one element (of some drawn at random; the worst are those near "
        "zero, "
        "whose terms cancel), and of all elements by one factor.\n\n" +
        floor_table(report.floors);
  }
  if (!report.probes.empty()) {
    page +=
        "\n## Named probes\n\nOne op on ordinary f32 data, sums sequential in f32, another seed each time: "
        "how often the mistake "
        "is caught. A product is lost from each of 64 outputs of 4 rows; 2 heads of 64 and 2 queries see the "
        "keys.\n\n" +
        probe_table(report.probes);
  }
  return page;
}

}  // namespace plumbline::mutants
