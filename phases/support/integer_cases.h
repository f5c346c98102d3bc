// Exact inputs as a case: shapes that fill no tile, on small whole numbers, with tolerance 0.
#pragma once

namespace plumbline::phases {

// Records one check for each shape and probe, each for both kinds of cache, under the current case: how many
// elements differ from integer arithmetic. Fewer shapes in a quick run.
void record_integer_shapes();

}  // namespace plumbline::phases
