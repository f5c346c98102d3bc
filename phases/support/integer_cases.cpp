#include "phases/support/integer_cases.h"

#include <fmt/format.h>

#include "harness/checks.h"
#include "phases/support/integer_run.h"
#include "phases/support/sides.h"
#include "phases/support/suite.h"

namespace plumbline::phases {
namespace {

struct Sized {
  IntegerShape shape;
  std::int64_t tokens;
};

// 1, 7, 63, 65, 897 and 4,867 each as a depth, as a number of outputs and, up to 897, of rows: one more and
// one less than lanes of 16, tiles and blocks of 64, Qwen2.5-0.5B's 896, and a prime beside its 4,864.
// hidden, intermediate, vocabulary, heads, of keys, head_dim, layers, tied, window
constexpr Sized kQuick[] = {
    {{1, 7, 63, 1, 1, 2, 2, true, 0}, 65},
    {{7, 1, 65, 7, 1, 6, 2, false, 0}, 1},
    {{63, 65, 897, 3, 3, 22, 2, true, 0}, 63},
    {{65, 63, 1, 9, 3, 14, 2, false, 7}, 65},
};
constexpr Sized kMore[] = {
    {{63, 7, 4867, 7, 1, 10, 1, true, 0}, 7},
    {{897, 4867, 7, 7, 7, 2, 1, false, 0}, 1},
    {{4867, 65, 897, 1, 1, 64, 1, false, 0}, 63},
};
// Many rows, with the best instruction set and one cache alone: by scalar code they take many times as long
// as all others.
constexpr Sized kManyRows[] = {
    {{4867, 7, 63, 1, 1, 10, 1, true, 0}, 897},
    {{7, 4867, 65, 1, 1, 6, 1, false, 0}, 897},
};

void record_tally(const std::string& what, const std::string& subject_name, std::string_view op,
                  const ExactTally& tally) {
  Check check =
      check_at_most(what, subject_name, "elements unlike integers", static_cast<double>(tally.different), 0);
  check.op = op;
  check.count = static_cast<int>(tally.tensors);
  check.note =
      tally.different == 0 ? fmt::format("of {} in {} tensors", tally.elements, tally.tensors) : tally.first;
  record(std::move(check));
}

void merge(ExactTally& into, const ExactTally& from) {
  into.tensors += from.tensors;
  into.elements += from.elements;
  into.different += from.different;
  if (into.first.empty()) into.first = from.first;
}

void record_shape(const Sized& sized, std::initializer_list<CacheKind> caches) {
  const IntegerModel model(sized.shape);
  const std::unique_ptr<Engine> engine = open_subject(model.directory());
  model.remove_files();
  IntegerRun all;
  for (const CacheKind kind : caches) {
    const IntegerRun run = run_on_integers(*engine, model, kind, sized.tokens);
    for (const auto& [probe, tally] : run.tallies) merge(all.tallies[probe], tally);
    merge(all.cache_read_back, run.cache_read_back);
  }
  const std::string name = fmt::format("{}, {} tokens", sized.shape.to_string(), sized.tokens);
  for (const auto& [probe, tally] : all.tallies) {
    const ProbeSpec& spec = probe_spec(probe);
    const std::string prefix = spec.op == OpClass::cache_update ? "past_key_values." : "";
    record_tally(prefix + std::string(spec.name) + " on whole numbers", name, op_class_name(spec.op), tally);
  }
  record_tally("cache as read back", name, "", all.cache_read_back);
}

}  // namespace

void record_integer_shapes() {
  if (options().dtype != DType::f32) {
    return record_skip("ops on whole numbers",
                       fmt::format("most of the sums are no numbers of {}", dtype_name(options().dtype)));
  }
  const auto both = {CacheKind::concat, CacheKind::fixed};
  for (const Sized& sized : kQuick) record_shape(sized, both);
  if (options().quick) return;
  for (const Sized& sized : kMore) record_shape(sized, both);
  if (options().isa.empty()) {
    for (const Sized& sized : kManyRows) record_shape(sized, {CacheKind::concat});
  } else {
    record_skip("897 rows of 4,867 features on whole numbers",
                "only without --isa: it takes long by scalar code");
  }
}

}  // namespace plumbline::phases
