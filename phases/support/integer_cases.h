// Exact inputs as a case: shapes that fill no tile, on small whole numbers, with tolerance 0.
#pragma once

namespace plumbline::phases {

// Records one check for each shape and probe, for both kinds of cache but where rows are many, under the
// current case: how many elements differ from integer arithmetic. Fewer shapes in a quick run; those of many
// rows are skipped where --isa names an instruction set.
void record_integer_shapes();

}  // namespace plumbline::phases
