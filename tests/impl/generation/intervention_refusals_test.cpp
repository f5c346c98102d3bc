#include <limits>

#include <catch2/catch.hpp>

#include "impl/generation/intervention.h"
#include "tests/impl/generation/listening_support.h"

using namespace plumbline;
using namespace plumbline::native;
using namespace plumbline::native::testing;

namespace {

using enum InterventionKind;

const OpSite kStream{Probe::mlp_residual, 1}, kQuery{Probe::q_rope, 3};

}  // namespace

TEST_CASE("intervention: what cannot be done is refused") {
  Listening tiny;
  const auto refusal = [&](std::vector<Intervention> list) {
    return error_of([&] { Interventions(*tiny.engine, std::move(list)); });
  };
  const auto refused = [&](const Intervention& what, const std::string& why) {
    INFO(why << " in " << refusal({what}));
    CHECK(refusal({what}).find(why) != std::string::npos);
  };
  for (const Probe probe :
       {Probe::input_ids, Probe::position_ids, Probe::attention_mask, Probe::inv_freq, Probe::sample_probs})
    refused({{probe, -1}, add, {0.0f}}, "cannot be written");
  for (const Probe probe : {Probe::past_key, Probe::past_value, Probe::scores, Probe::probs})
    refused({{probe, 0}, add, {0.0f}}, "cannot be written");
  refused({{Probe::act, 5}, add, {0.0f}}, "the model has 5 layers");
  refused({{Probe::act, -1}, add, {0.0f}}, "is not there");
  refused({kStream, add, std::vector<float>(119)}, "has 119 values (1 or 120)");
  refused({kStream, add, {}}, "has 0 values");
  refused({kStream, replace, std::vector<float>(240), PositionSet::range(0, 3)},
          "(1 or 120, or 3 rows of them)");
  refused({kStream, replace, std::vector<float>(240), PositionSet::range(0)}, "has 240 values (1 or 120)");
  refused({kQuery, add, std::vector<float>(120), {}, {}, {0}}, "has 120 values (1 or 20)");
  refused({kQuery, add, {0.0f}, {}, {}, {6}}, "no head 6: there are 6");
  refused({{Probe::k_rope, 0}, add, {0.0f}, {}, {}, {2}}, "no head 2: there are 2");
  refused({kQuery, add, {0.0f}, {}, {}, {1, 1}}, "head 1 is named twice");
  refused({kStream, add, {0.0f}, {}, {}, {0}}, "has no heads");
  refused({kStream, add, {0.0f}, {}, -1}, "sequence -1 is negative");
  for (const float bad : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()})
    refused({kStream, add, {bad}}, "is not finite");

  const auto place = [](PositionSet positions, std::optional<SequenceId> sequence = {},
                        std::vector<std::int64_t> heads = {}) {
    return Intervention{kQuery, replace, {0.0f}, std::move(positions), sequence, std::move(heads)};
  };
  const std::string twice = "two replace the same place";
  CHECK(refusal({place({}), place(PositionSet::list({3}))}).find(twice) != std::string::npos);
  CHECK(refusal({place(PositionSet::range(2, 5)), place(PositionSet::range(4), 1)}).find(twice) !=
        std::string::npos);
  CHECK(refusal({place({}, 0, {1, 2}), place({}, 0, {2})}).find(twice) != std::string::npos);
  CHECK(refusal(
            {place(PositionSet::range(2, 5)), place(PositionSet::range(5)), place(PositionSet::list({0, 1}))})
            .empty());
  CHECK(refusal({place({}, 0), place({}, 1)}).empty());
  CHECK(refusal({place({}, 0, {1}), place({}, 0, {2})}).empty());
  CHECK(refusal({}).empty());

  CHECK(error_of([] { PositionSet::range(3, 3); }).find("no range") != std::string::npos);
  CHECK(error_of([] { PositionSet::range(-1); }).find("no range") != std::string::npos);
  CHECK(error_of([] { PositionSet::list({}); }).find("empty") != std::string::npos);
  CHECK(error_of([] { PositionSet::list({1, -1}); }).find("negative") != std::string::npos);
  CHECK(error_of([] { PositionSet::list({1, 0, 1}); }).find("1 is named twice") != std::string::npos);
}
