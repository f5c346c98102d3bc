// What the native tokenizer alone offers, held against its own encode() and decode().
#pragma once

namespace plumbline::phases {

// For the texts of all cases: as many ids counted as encoded; a batch on several threads gives what each text
// gives alone; and ids decoded one by one give whole characters that join to the text of all. A check for
// each of the three and each category.
void record_native_forms();

}  // namespace plumbline::phases
