// Suspects of the discrete inputs: token ids, positions, masks.
#include "reference/internal/convert_torch.h"
#include "reference/internal/suspects_torch.h"

namespace plumbline::reference {
namespace {

// Positions of the queries and the keys: i64 [rows, 1] and [keys].
struct Places {
  at::Tensor query, key;
};

Places places(const Scene& s) {
  const std::int64_t keys = s.in.past() + s.in.tokens(), rows = s.rows();
  return {at::arange(keys - rows, keys, at::kLong).unsqueeze(1), at::arange(keys, at::kLong)};
}

at::Tensor causal(const Places& p) {
  return p.key.le(p.query);
}

// The last `width` keys, the query's own among them.
at::Tensor in_window(const Places& p, std::int64_t width) {
  return p.key.gt(p.query - width);
}

void add_token_ids(Lineup& lineup) {
  lineup.add("ids one too large", "ids count from 1",
             [](const Scene& s) { return Mistaken{s.in.given_ids(s.rows()) + 1}; });
  lineup.add("ids one too small", "ids are taken to count from 1",
             [](const Scene& s) { return Mistaken{s.in.given_ids(s.rows()) - 1}; });
  lineup.add("last id for every row", "one token is run again and again", [](const Scene& s) {
    const at::Tensor ids = s.in.given_ids(s.rows());
    return Mistaken{ids.select(0, -1).expand_as(ids)};
  });
}

// How many more slots the subject's cache holds than the sequence has tokens; 0 where it was not recorded.
std::int64_t slots_too_many(const Scene& s) {
  const TensorView* cache = s.in.find({Probe::past_key, 0});
  if (cache == nullptr || cache->shape.rank() == 0) return 0;
  return cache->shape[0] - s.in.past() - s.in.tokens();
}

void add_positions(Lineup& lineup) {
  const auto given = [](const Scene& s) { return s.in.given_positions(s.rows()); };
  lineup.add("positions restart at 0", "the cached tokens are not counted", [](const Scene& s) {
    return Mistaken{at::arange(s.in.tokens() - s.rows(), s.in.tokens(), at::kLong)};
  });
  lineup.add("positions one ahead", "positions count from 1",
             [=](const Scene& s) { return Mistaken{given(s) + 1}; });
  lineup.add("positions one behind", "the position of the token before",
             [=](const Scene& s) { return Mistaken{given(s) - 1}; });
  lineup.add("positions counted from a ring's length", "what it has forgotten is not counted",
             [](const Scene& s) {
               const std::int64_t held = s.in.past() + s.in.forgotten().count, tokens = s.in.tokens();
               if (held == s.in.tokens_before()) throw NotReplayable("nothing was forgotten");
               return Mistaken{at::arange(held + tokens - s.rows(), held + tokens, at::kLong)};
             });
  lineup.add("past counted twice", "the cache's length is added to positions that hold it already",
             [=](const Scene& s) { return Mistaken{given(s) + s.in.past()}; });
  lineup.add("one position for the whole step", "the step's first position is used for all its rows",
             [=](const Scene& s) {
               const at::Tensor p = given(s);
               return Mistaken{p.select(0, 0).expand_as(p)};
             });
  lineup.add("all positions 0", "positions were never written",
             [=](const Scene& s) { return Mistaken{at::zeros_like(given(s))}; });
  lineup.add(
      "cache length not reset",
      "positions go on from a length that the cache should have lost, and the cache holds as many slots "
      "more",
      [=](const Scene& s) {
        const std::int64_t more = slots_too_many(s);
        if (more <= 0) throw NotReplayable("the cache holds no slots too many");
        return Mistaken{given(s) + more};
      });
  lineup.add("positions counted over pads",
             "every position is off by the same number: pads on the left are counted", [=](const Scene& s) {
               if (slots_too_many(s) > 0) throw NotReplayable("the cache itself is too long");
               const at::Tensor p = given(s);
               const auto first = static_cast<std::int64_t>(element_as_f64(*s.actual, 0));
               return Mistaken{p + (first - p[0].item<std::int64_t>())};
             });
}

}  // namespace

std::vector<MistakenMask> mistaken_masks(const Scene& scene, bool slides) {
  const std::optional<std::int64_t> window = scene.model.config.sliding_window;
  // A causal mask changed in one way still has its window, where it has one.
  const auto windowed = [=](const Places& p, const at::Tensor& mask) {
    return slides && window ? mask.logical_and(in_window(p, *window)) : mask;
  };
  std::vector<MistakenMask> list{
      {"causal mask one token ahead", "a query sees the token after it",
       [=](const Scene& s) {
         const Places p = places(s);
         return windowed(p, p.key.le(p.query + 1));
       }},
      {"mask without self", "a query does not see its own key",
       [=](const Scene& s) {
         const Places p = places(s);
         return windowed(p, p.key.lt(p.query));
       }},
      {"no mask", "every query sees every key",
       [](const Scene& s) {
         const Places p = places(s);
         return p.key.ge(0).expand({p.query.size(0), -1});
       }},
      {"mask covers only new tokens", "cached keys are not seen",
       [=](const Scene& s) {
         const Places p = places(s);
         return windowed(p, causal(p)).logical_and(p.key.ge(s.in.past()));
       }},
      {"mask counts queries from 0", "the mask is as for an empty cache: aligned at its first key",
       [=](const Scene& s) {
         Places p = places(s);
         p.query = p.query - s.in.past();
         return windowed(p, causal(p));
       }},
      {"mask transposed", "a query sees itself and what follows",
       [](const Scene& s) {
         const Places p = places(s);
         return p.key.ge(p.query);
       }},
      {"first key dropped", "the first token is taken for a pad",
       [=](const Scene& s) {
         const Places p = places(s);
         return windowed(p, causal(p)).logical_and(p.key.gt(0));
       }},
  };
  if (slides && window) {
    list.push_back({"no window", "the layer slides, and its mask does not",
                    [](const Scene& s) { return causal(places(s)); }});
    for (const std::int64_t off : {1, -1}) {
      list.push_back({off > 0 ? "window one wider" : "window one narrower",
                      "the window's end is off by one: the query's own key counts", [=](const Scene& s) {
                        const Places p = places(s);
                        return causal(p).logical_and(in_window(p, *window + off));
                      }});
    }
  }
  if (!slides && window) {
    list.push_back(
        {"window on the wrong layer", "the layer sees all keys, and its mask slides", [=](const Scene& s) {
           const Places p = places(s);
           return causal(p).logical_and(in_window(p, *window));
         }});
  }
  return list;
}

void suspect_inputs(Lineup& lineup) {
  const Scene& here = lineup.scene();
  if (here.site.probe == Probe::input_ids) return add_token_ids(lineup);
  if (here.site.probe == Probe::position_ids) return add_positions(lineup);
  const bool slides = here.site.probe == Probe::attention_mask_sliding ||
                      (here.site.probe == Probe::attention_mask &&
                       here.model.config.layer_types.at(0) == LayerType::sliding_attention);
  for (const MistakenMask& mask : mistaken_masks(here, slides)) {
    lineup.add(mask.name, mask.meaning,
               [allowed = mask.allowed](const Scene& s) { return Mistaken{allowed(s).contiguous()}; });
  }
  lineup.add("mask inverted", "true stands for forbidden",
             [](const Scene& s) { return Mistaken{causal(places(s)).logical_not()}; });
}

}  // namespace plumbline::reference
