#include "phases/support/cases.h"

#include <array>

#include <fmt/format.h>

#include "harness/error.h"

namespace plumbline::phases {
namespace {

constexpr std::array<CaseInfo, 3> kConfig{{
    {"1.1", "fields and defaults"},
    {"1.2", "weight inventory"},
    {"1.3", "derived architecture"},
}};
constexpr std::array<CaseInfo, 4> kTokenization{{
    {"2.1", "encode"},
    {"2.2", "decode"},
    {"2.3", "special tokens and chat format"},
    {"2.4", "hard Unicode"},
}};
constexpr std::array<CaseInfo, 6> kForward{{
    {"3.1", "single token"},
    {"3.2", "several tokens"},
    {"3.3", "op by op"},
    {"3.4", "layer by layer"},
    {"3.5", "long sequences and batches"},
    {"3.6", "generation quality"},
}};
constexpr std::array<CaseInfo, 5> kSampling{{
    {"4A.1", "RNG"},
    {"4A.2", "temperature"},
    {"4B.1", "top-k"},
    {"4B.2", "top-p"},
    {"4B.3", "the chain"},
}};
constexpr std::array<CaseInfo, 7> kGeneration{{
    {"5A.1", "cache update"},
    {"5A.2", "memory layout"},
    {"5B.1", "causal mask"},
    {"5B.2", "position ids"},
    {"5C.1", "the loop, stopping"},
    {"5C.2", "conversations"},
    {"5C.3", "fixed cache"},
}};

constexpr std::array<PhaseInfo, 5> kPhases{{
    {1, "config", "Phase 1: config", kConfig},
    {2, "tokenization", "Phase 2: tokenization", kTokenization},
    {3, "forward", "Phase 3: forward pass", kForward},
    {4, "sampling", "Phase 4: sampling", kSampling},
    {5, "generation", "Phase 5: generation loop", kGeneration},
}};

std::string ids_of(const PhaseInfo& phase) {
  std::string list;
  for (const CaseInfo& entry : phase.cases) list += (list.empty() ? "" : ", ") + std::string(entry.id);
  return list;
}

// The ids of the phase that the text begins with, where there is one; else what phases there are.
std::string hint_for(std::string_view id) {
  for (const PhaseInfo& phase : kPhases) {
    if (id.substr(0, 1) == std::to_string(phase.number)) {
      return fmt::format("phase {} has {}", phase.number, ids_of(phase));
    }
  }
  return "a case begins with its phase, 1 to 5, as in 3.2";
}

const CaseInfo* find_case(std::string_view id) {
  for (const PhaseInfo& phase : kPhases) {
    for (const CaseInfo& entry : phase.cases) {
      if (entry.id == id) return &entry;
    }
  }
  return nullptr;
}

}  // namespace

std::span<const PhaseInfo> all_phases() {
  return kPhases;
}

const PhaseInfo& phase_info(int number) {
  for (const PhaseInfo& phase : kPhases) {
    if (phase.number == number) return phase;
  }
  throw Error(fmt::format("unknown phase {}", number), "--phase", "1 to 5");
}

const CaseInfo& case_info(std::string_view id) {
  const CaseInfo* found = find_case(id);
  if (found == nullptr) throw Error(fmt::format("unknown case '{}'", id), "--case", hint_for(id));
  return *found;
}

const PhaseInfo& phase_of_case(std::string_view id) {
  return phase_info(case_info(id).id[0] - '0');
}

const CaseInfo& case_of_test(std::string_view test_name) {
  const CaseInfo* found = find_case(test_name.substr(0, test_name.find(' ')));
  if (found == nullptr) {
    throw InternalError(fmt::format("the test '{}' does not begin with a case id", test_name));
  }
  return *found;
}

}  // namespace plumbline::phases
