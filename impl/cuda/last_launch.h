// Which kernel was launched last: kernels run on their own, so a fault is told at a later wait.
#pragma once

namespace plumbline::native::cuda {

// This thread's; "none" before the first. `name` must live as long as the program.
const char* last_launch();
void note_launch(const char* name);

}  // namespace plumbline::native::cuda
