// What one of several judged of a trace, as a file, and the files of all joined into the judgement of the
// whole.
#pragma once

#include <filesystem>
#include <functional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "harness/explain.h"
#include "harness/judge.h"
#include "harness/report.h"

namespace plumbline {

// One op seen closely (harness/evidence.h).
struct SeenClosely {
  OpSite site;
  SequenceId sequence = 0;
  int step = 0;
  std::vector<Evidence> tables;
};

struct JudgePart {
  std::string trace, model, tolerances;      // paths, as given on the command line
  std::string trace_identity;                // identity_of_file
  std::string weight_hash, tolerances_hash;  // SHA-256
  bool forced = false;                       // the trace's own weight hash was not asked for
  std::string engine;
  std::vector<std::string> assumptions;
  int layers = 0;             // of the model
  bool masks_differ = false;  // two masks stand for the one
  int first_layer = 0, last_layer = 0;
  std::vector<std::pair<SequenceId, int>> steps;
  Judgement judgement;  // explained; trivial passes are not yet skipped
  std::vector<Asked> asked;
  std::vector<SeenClosely> closely;
};

// Which file this is: 128 bits, in hex, of all its bytes. Poly1305 (RFC 8439) under a key that is the same
// everywhere, which is a hash of a fraction of SHA-256's time. Files that differ by accident have the same
// with a chance below 8 * (bytes / 16 + 1) / 2^106, 2^-76 for 1 GB; whoever wants them to can make two, and
// can write a part, too. Throws Error for a file that cannot be read.
std::string identity_of_file(const std::filesystem::path& path);

// JSON. The reader throws Error, naming `where`, for text that is no part.
std::string to_json(const JudgePart& part);
JudgePart part_from_json(const std::string& text, const std::string& where);

// The whole of several parts: ops by step in graph order, those of layers that are in no part untested.
struct JoinedParts {
  JudgePart whole;                           // its judgement is not explained
  std::vector<std::pair<int, int>> missing;  // ranges of layers, first and last
};
// `names` are the parts', for errors: Error for parts of another trace, model or tolerances, and for layers
// that two of them have.
JoinedParts join_parts(std::vector<JudgePart> parts, const std::vector<std::string>& names);

// Explains the whole from what the parts asked, and `missing` for what none of them did: with suspects that
// fitted in an earlier part, say. `missing` may throw Error: then a part's own finding stands, and the result
// says why; empty where nothing was missing.
std::string explain_joined(const JudgePart& whole, Judgement& judgement, const AskSuspects& missing);

// Every op that ops_to_see_closely may choose of a whole that this judgement is a part of.
std::vector<const OpResult*> candidates_to_see_closely(const Judgement& judgement);

// "0-3, 7"
std::string ranges_text(std::span<const std::pair<int, int>> ranges);

}  // namespace plumbline
