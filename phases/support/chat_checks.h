// Case 2.3's conversations with tools.
#pragma once

namespace plumbline::phases {

// For each golden conversation: what both sides render from fixtures/templates/chatml_tools.jinja, with
// tiny's tokenizer whatever the checkpoint is, against what transformers rendered from it; and from the
// checkpoint's own template native against reference, a skip where there is none that the native side knows.
// Throws Error where the fixtures cannot be read.
void record_chat_goldens();

}  // namespace plumbline::phases
