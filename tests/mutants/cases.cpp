#include "tests/mutants/cases.h"

#include <random>

namespace plumbline::mutants {
namespace {

Action tokens(int count, unsigned seed, int slot = 0) {
  return prompt(some_tokens(count, Architecture{}.vocab, seed), slot);
}

Action fork(int from, int to, SequenceId sequence) {
  Action action;
  action.kind = Action::Kind::fork;
  action.from = from;
  action.to = to;
  action.sequence = sequence;
  return action;
}

Action reset(int slot) {
  Action action;
  action.kind = Action::Kind::reset;
  action.to = slot;
  return action;
}

Action batch(const std::vector<int>& lengths, unsigned seed) {
  Action action;
  for (int slot = 0; slot < static_cast<int>(lengths.size()); ++slot) {
    action.chunks.push_back(
        tokens(lengths[static_cast<std::size_t>(slot)], seed + static_cast<unsigned>(slot), slot).chunks[0]);
  }
  return action;
}

// The same chunk, recorded as another sequence.
Action as_sequence(Action action, SequenceId sequence) {
  action.chunks[0].sequence = sequence;
  return action;
}

// A prompt and two tokens decoded over the cache.
std::vector<Action> prompt_and_decode(int length) {
  return {tokens(length, 1), tokens(1, 2), tokens(1, 3)};
}

std::vector<Case> make_cases() {
  std::vector<Case> cases;
  const auto add = [&](std::string name, std::string what) -> Case& {
    Case made;
    made.name = std::move(name);
    made.what = std::move(what);
    made.actions = prompt_and_decode(11);
    cases.push_back(std::move(made));
    return cases.back();
  };
  add("prompt", "11 tokens, then 2 decoded; 2 layers, 4 heads over 2 kv heads");
  {
    Case& odd = add("odd shapes", "no size is a multiple of a tile or of a vector");
    odd.architecture.hidden = 27;
    odd.architecture.intermediate = 45;
    odd.architecture.head_dim = 10;
    odd.actions = prompt_and_decode(9);
  }
  add("tied", "the head is the embedding").architecture.tied = true;
  add("bf16 file", "weights stored as bf16, computed in f32").dtype = DType::bf16;
  add("tiny norms", "embeddings of mean square 1e-6").weights = Weights::tiny_embedding;
  add("outliers", "some channels 300 times the others").weights = Weights::outlier;
  add("large scores", "scores of tens of thousands").weights = Weights::large_scores;
  add("large theta", "rope_theta 1e6").architecture.theta = 1e6;
  {
    Case& yarn = add("yarn", "YaRN, factor 4 over 1,024 positions");
    yarn.architecture.yarn = Yarn{4, 1024};
    yarn.architecture.head_dim = 16;
  }
  {
    Case& far = add("far out", "a prompt of 300 tokens");
    far.architecture.layers = 1;
    far.capacity = 310;
    far.actions = prompt_and_decode(300);
  }
  add("window", "both layers slide, over 4 keys").architecture.window = 4;
  {
    Case& mixed = add("mixed window", "the second of two layers slides");
    mixed.architecture.window = 4;
    mixed.architecture.full_layers = 1;
  }
  add("two turns", "7 tokens, then 5 more over the cache").actions = {tokens(7, 1), tokens(5, 2),
                                                                      tokens(1, 3)};
  {
    Case& rows =
        add("batch", "three prompts of 4, 9 and 6 tokens, padded at the left, then one more token each");
    rows.slots = 3;
    rows.actions = {batch({4, 9, 6}, 1), batch({1, 1, 1}, 5)};
  }
  add("reset", "11 tokens; the cache is reset; 5 other tokens").actions = {
      tokens(11, 1), reset(0), as_sequence(tokens(5, 2), 1), as_sequence(tokens(1, 3), 1)};
  {
    Case& full = add("full cache", "a cache for 8 tokens, a prompt of 8, and one more");
    full.capacity = 8;
    full.actions = {tokens(8, 1), tokens(1, 2)};
  }
  const auto form = [&](std::string name, std::string what) -> CacheForm& {
    CacheForm& made = add(std::move(name), std::move(what)).form;
    made.plain = false;
    return made;
  };
  form("by head", "a cache laid out as [kv_heads, slots]").by_head = true;
  form("packed", "keys and values of a token alternate in one buffer").packed = true;
  form("two buffers", "a buffer for the prompt, another for what comes after it").prefill = 14;
  cases.back().actions = {tokens(11, 1), tokens(3, 2), tokens(1, 3)};
  form("bf16 cache", "keys and values are kept in bf16").dtype = DType::bf16;
  form("f16 cache", "keys and values are kept in f16").dtype = DType::f16;
  {
    CacheForm& ring = form("ring", "a ring of 7 tokens, over which 4 and 9 more come");
    ring.slots = 7;
    ring.ring = true;
    cases.back().actions = {tokens(4, 1), tokens(2, 2), tokens(1, 3),
                            tokens(1, 4), tokens(2, 5), tokens(4, 6)};
  }
  {
    CacheForm& ring = form("ring after a prompt", "a prompt of 5 tokens that stay, then a ring of 4");
    ring.prefill = 6;
    ring.slots = 4;
    ring.ring = true;
    cases.back().actions = {tokens(5, 1), tokens(3, 2), tokens(1, 3),
                            tokens(1, 4), tokens(3, 5), tokens(1, 6)};
  }
  {
    Case& forked = add("fork", "a prefix of 6, a branch from it, its own continuation, and the branch's");
    forked.slots = 2;
    forked.actions = {tokens(6, 1), fork(0, 1, 1), tokens(3, 2, 1), tokens(3, 3, 0), tokens(1, 4, 1)};
  }
  return cases;
}

}  // namespace

std::vector<TokenId> some_tokens(int count, int vocab, unsigned seed) {
  std::mt19937 random(seed);
  std::vector<TokenId> out;
  for (int i = 0; i < count; ++i)
    out.push_back(static_cast<TokenId>(random() % static_cast<unsigned>(vocab)));
  return out;
}

Action prompt(std::vector<TokenId> tokens, int slot) {
  Action action;
  action.chunks.push_back({slot, slot, std::move(tokens)});
  return action;
}

std::span<const Case> all_cases() {
  static const std::vector<Case> cases = make_cases();
  return cases;
}

const Case& case_named(const std::string& name) {
  for (const Case& one : all_cases()) {
    if (one.name == name) return one;
  }
  throw InternalError("no case of the trial is named " + name);
}

}  // namespace plumbline::mutants
