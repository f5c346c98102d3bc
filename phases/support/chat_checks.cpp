#include "phases/support/chat_checks.h"

#include <span>

#include "impl/tokenizer.h"
#include "phases/support/chat_goldens.h"
#include "phases/support/made_checkpoint.h"
#include "phases/support/sides.h"
#include "phases/support/suite.h"
#include "reference/tokenizer.h"

namespace plumbline::phases {
namespace {

// Both sides over tiny's tokenizer with the template of the goldens.
void record_against_goldens(std::span<const Conversation> list) {
  const MadeCheckpoint folder("chat");
  write_chat_checkpoint(options().fixtures, folder.directory());
  const auto native = native::load_tokenizer(folder.directory());
  const auto reference = reference::load_tokenizer(folder.directory());
  for (const Conversation& each : list) {
    record_equal("conversation, native and golden", each.note, each.text, rendered(*native, each));
    record_equal("conversation, reference and golden", each.note, each.text, rendered(*reference, each));
  }
}

// The checkpoint's own template. A refusal by the native side, which knows some templates and guesses none,
// is told as a skip; what it does render has to be what the reference gets by running the template.
void record_own_template(std::span<const Conversation> list) {
  constexpr const char* kWhat = "conversation by the checkpoint's own template, native and reference";
  if (native_tokenizer() == nullptr) return record_skip(kWhat, "the checkpoint has no tokenizer");
  const std::string first = rendered(*native_tokenizer(), list.front());
  if (first.starts_with("refused: ")) return record_skip(kWhat, first);
  for (const Conversation& each : list) {
    record_equal(kWhat, each.note, rendered(*reference_tokenizer(), each),
                 rendered(*native_tokenizer(), each));
  }
}

}  // namespace

void record_chat_goldens() {
  const std::vector<Conversation> list = golden_conversations(options().fixtures);
  record_against_goldens(list);
  record_own_template(list);
}

}  // namespace plumbline::phases
