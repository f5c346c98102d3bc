// Phase 5: masks in the forms that engines add to scores, and what each makes of a row in which nothing is
// allowed.
#include <fmt/format.h>
#include <catch2/catch.hpp>

#include "harness/checks.h"
#include "impl/mask.h"
#include "phases/support/mask_trials.h"
#include "phases/support/sides.h"
#include "phases/support/suite.h"
#include "reference/mask.h"

namespace plumbline::phases {
namespace {

constexpr DType kMaskTypes[] = {DType::f32, DType::bf16, DType::f16};

// A form on both sides.
struct Form {
  const char* name;
  native::MaskForm native;
  reference::Forbidding reference;
};
constexpr Form kForms[] = {
    {"-1e9", native::MaskForm::minus_1e9, reference::Forbidding::minus_1e9},
    {"-inf", native::MaskForm::minus_infinity, reference::Forbidding::minus_infinity},
    {"lowest finite", native::MaskForm::lowest_finite, reference::Forbidding::lowest_finite}};

}  // namespace

TEST_CASE("5B.1 causal mask: added to scores, in three forms and three types", "[5B.1]") {
  const Tensor allowed = native::allowed_mask(12, 6, 8);
  for (const DType dtype : kMaskTypes) {
    const Tensor scores = scores_in(dtype, {3, 12, 18});
    // Masks are so far from scores that no sum with one rounds in between: that the sums round is seen here.
    const TensorView bias(scores.bytes().data(), dtype, {12, 18});
    record(check_same_bits("scores and a bias of their own size", std::string(dtype_name(dtype)),
                           native::add_mask(scores.view(), bias).view(),
                           reference::add_mask(scores.view(), bias).view()));
    for (const Form& form : kForms) {
      const std::string name = fmt::format("{}, {}", form.name, dtype_name(dtype));
      const Tensor mask = native::additive_mask(allowed.view(), form.native, dtype);
      const Tensor other = reference::additive_mask(allowed.view(), form.reference, dtype);
      record(check_same_bits("mask", name, mask.view(), other.view()));
      record(check_same_bits("two masks added", name, native::add_mask(mask.view(), mask.view()).view(),
                             reference::add_mask(other.view(), other.view()).view()));
      const Tensor sum = native::add_mask(scores.view(), mask.view());
      record(check_same_bits("scores and mask", name, sum.view(),
                             reference::add_mask(scores.view(), other.view()).view()));
      const Tensor weights = native::masked_softmax(sum.view());
      record(check_close("weights", name, weights.view(), reference::masked_softmax(sum.view()).view(),
                         softmax_ceiling()));
      record(check_forbidden_weight("weights", name, weights.view(), allowed.view(),
                                    tolerances().gate("forbidden_weight")));
      record(check_sums_to_one("weights", name, weights.view(), tolerances().gate("probability_sum")));
      record(check_same_bits("weights by the form and by the mask itself", name, weights.view(),
                             native::allowed_softmax(scores.view(), allowed.view()).view()));
    }
  }
}

TEST_CASE("5B.1 causal mask: what each form makes of a row in which nothing is allowed", "[5B.1]") {
  const Tensor nothing(DType::boolean, {1, 8});
  Evidence table{"A row in which nothing is allowed, by the form of the mask",
                 {"type", "form", "forbids with", "one mask", "two masks added", "one mask, a score of -20"},
                 {}};
  // One mask, two, and one beside a score that f16 can no longer hold together with its lowest number.
  const auto outcomes = [](DType dtype, const Form& form) -> std::vector<std::string> {
    const bool half = dtype == DType::f16;
    if (form.native == native::MaskForm::minus_infinity) return {"NaN", "NaN", "NaN"};
    if (form.native == native::MaskForm::minus_1e9 && half) return {"NaN", "NaN", "NaN"};
    if (form.native == native::MaskForm::minus_1e9) return {"uniform", "uniform", "uniform"};
    return {"uniform", "NaN", half ? "uneven" : "uniform"};
  };
  for (const DType dtype : kMaskTypes) {
    for (const Form& form : kForms) {
      const Tensor mask = native::additive_mask(nothing.view(), form.native, dtype);
      const Tensor other = reference::additive_mask(nothing.view(), form.reference, dtype);
      std::vector<std::string> row{std::string(dtype_name(dtype)), form.name,
                                   fmt::format("{:g}", element_as_f64(mask.view(), 0))};
      const std::vector<std::string> expected = outcomes(dtype, form);
      const char* const kinds[] = {"one mask", "two masks added", "one mask, a score of -20"};
      for (std::size_t i = 0; i < 3; ++i) {
        const Tensor scores = scores_in(dtype, {1, 8}, i == 2);
        const Tensor twice = native::add_mask(mask.view(), mask.view());
        const Tensor other_twice = reference::add_mask(other.view(), other.view());
        const Tensor ours =
            native::masked_softmax(native::add_mask(scores.view(), (i == 1 ? twice : mask).view()).view());
        const Tensor theirs = reference::masked_softmax(
            reference::add_mask(scores.view(), (i == 1 ? other_twice : other).view()).view());
        row.push_back(outcome_of(ours, 0));
        record_equal(fmt::format("nothing allowed: {}", kinds[i]),
                     fmt::format("{}, {}, native and reference", form.name, dtype_name(dtype)),
                     expected[i] + ", " + expected[i], outcome_of(ours, 0) + ", " + outcome_of(theirs, 0));
      }
      table.rows.push_back(std::move(row));
    }
    const Tensor scores = scores_in(dtype, {1, 8});
    record_equal("nothing allowed: by the mask itself",
                 fmt::format("{}, native and reference", dtype_name(dtype)), "0, 0",
                 outcome_of(native::allowed_softmax(scores.view(), nothing.view()), 0) + ", " +
                     outcome_of(reference::allowed_softmax(scores.view(), nothing.view()), 0));
  }
  add_evidence(std::move(table));
  add_assumption(
      "a row in which nothing is allowed (a pad of a padded batch) weighs 0 everywhere in the native engine, "
      "as in "
      "LibTorch's scaled_dot_product_attention on the CPU; an additive mask gives NaN or the same weight "
      "everywhere there, so engines that use one must not read such rows");
}

}  // namespace plumbline::phases
