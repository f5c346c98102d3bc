// The long differential run of tools/token_differential.py, whose counts lie in
// fixtures/recorded/token_differential.json: shown as it was recorded; nothing here runs it again.
#pragma once

namespace plumbline::phases {

// Adds the counts to the current case as evidence, with day, commit and vocabulary; nothing where there is no
// record. Throws Error for a record that cannot be read.
void show_recorded_differential();

}  // namespace plumbline::phases
