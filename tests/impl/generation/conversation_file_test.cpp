#include <fstream>

#include <catch2/catch.hpp>

#include "harness/tensor_file.h"
#include "impl/cpu/engine.h"
#include "impl/generation/conversation.h"
#include "tests/impl/generation/support.h"

using namespace plumbline;
using namespace plumbline::native;
using namespace plumbline::native::testing;

namespace {

ConversationSettings sampled() {
  ConversationSettings settings;
  settings.options.max_new_tokens = 8;
  settings.options.eos_token_ids = {999};
  settings.options.sampling.temperature = 1.3;
  settings.options.sampling.top_k = 50;
  settings.options.sampling.logit_bias = {{7, -std::numeric_limits<double>::infinity()}, {9, 0.1}};
  settings.stop_strings = {"zzz"};
  settings.system = "You count — 数.";
  settings.stream = 4;
  return settings;
}

Conversation some_turns(const Generator& base, const ConversationSettings& settings) {
  Conversation talk(base, settings);
  talk.say("1 2 3");
  talk.say("the quick “brown”");
  return talk;
}

std::string read_bytes(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

}  // namespace

TEST_CASE(
    "saved conversation: goes on to the same tokens, over every kind of cache, with the saved seed and "
    "settings") {
  const ScratchDirectory scratch;
  const auto path = scratch.path() / "talk.safetensors";
  for (const CacheSpec& spec : {CacheSpec{.max_sequences = 4},
                                CacheSpec{.kind = CacheKind::fixed, .max_sequences = 4, .capacity = 400},
                                CacheSpec{.max_sequences = 4, .dtype = DType::bf16}}) {
    const Generator base(tiny_engine(), &tiny_tokenizer(), {.cache = spec, .seed = 11});
    Conversation talk = some_turns(base, sampled());
    talk.save(path);
    const Generator other(tiny_engine(), &tiny_tokenizer(), {.cache = spec, .seed = 5});
    Conversation again = Conversation::load(path, other);
    CHECK(again.settings().options.sampling == sampled().options.sampling);
    CHECK(again.settings().system == sampled().system);
    CHECK(again.context().cached() == talk.context().cached());
    REQUIRE(again.turns().size() == talk.turns().size());
    CHECK(again.turns()[2].message.content == "the quick “brown”");
    CHECK(again.turns()[2].begin == talk.turns()[2].begin);
    const ConversationOutput a = talk.say("10 11"), b = again.say("10 11");
    CHECK(a.tokens == b.tokens);
    CHECK(a.processed_tokens == b.processed_tokens);
  }
}

TEST_CASE("saved conversation: a cache that cannot take its keys reads the tokens again") {
  const ScratchDirectory scratch;
  const auto path = scratch.path() / "talk.safetensors";
  const Generator half(tiny_engine(), &tiny_tokenizer(),
                       {.cache = {.max_sequences = 2, .dtype = DType::bf16}});
  some_turns(half, sampled()).save(path);
  Generator base(tiny_engine(), &tiny_tokenizer());
  Conversation again = Conversation::load(path, base);
  CHECK(again.context().cached() == 0);
  again.settings().options.sampling.temperature = 0;
  const ConversationOutput output = again.say("10 11");
  CHECK(output.reused_tokens == 0);
  const auto now = again.context().tokens();
  GenerationRequest whole;
  whole.options = again.settings().options;
  whole.prompt =
      std::vector<TokenId>(now.begin(), now.end() - static_cast<std::ptrdiff_t>(output.tokens.size()));
  CHECK(base.generate(whole).tokens == output.tokens);
}

TEST_CASE("saved conversation: keys of an engine of another storage dtype are not used") {
  const ScratchDirectory scratch;
  const auto path = scratch.path() / "talk.safetensors";
  const auto engine = make_cpu_engine(tiny_model(), {.threads = 1, .storage = DType::bf16});
  for (const DType cache : {DType::f32, DType::bf16}) {
    const GeneratorSettings settings{.cache = {.max_sequences = 2, .dtype = cache}};
    const Generator half(*engine, &tiny_tokenizer(), settings);
    const Generator full(tiny_engine(), &tiny_tokenizer(), settings);
    some_turns(half, sampled()).save(path);
    CHECK(Conversation::load(path, half).context().cached() > 0);
    CHECK(Conversation::load(path, full).context().cached() == 0);
    some_turns(full, sampled()).save(path);
    CHECK(Conversation::load(path, half).context().cached() == 0);
  }
}

TEST_CASE("saved conversation: evicted turns stay evicted, with the keys that attended to them") {
  const ScratchDirectory scratch;
  const auto path = scratch.path() / "talk.safetensors";
  ConversationSettings keep = sampled();
  keep.limit = 130;
  keep.when_long = WhenLong::keep;
  const Generator base(tiny_engine(), &tiny_tokenizer(), {.seed = 11});
  Conversation talk(base, keep);
  for (int turn = 0; turn < 8; ++turn) talk.say("1 2 3 4 5 6");
  REQUIRE_FALSE(talk.context().exact());
  talk.save(path);
  Conversation again = Conversation::load(path, base);
  CHECK_FALSE(again.context().exact());
  CHECK(again.say("10 11").tokens == talk.say("10 11").tokens);
  const Generator half(tiny_engine(), &tiny_tokenizer(),
                       {.cache = {.max_sequences = 2, .dtype = DType::bf16}});
  CHECK_THAT(error_of([&] { Conversation::load(path, half); }), Catch::Contains("keys do not fit"));
}

TEST_CASE("saved conversation: truncated, altered, foreign and newer files are refused in one line") {
  const ScratchDirectory scratch;
  const auto path = scratch.path() / "talk.safetensors";
  const Generator base(tiny_engine(), &tiny_tokenizer());
  some_turns(base, sampled()).save(path);
  const std::string good = read_bytes(path);
  const auto refusal = [&](std::string_view bytes) {
    const auto bad = scratch.write("bad.safetensors", bytes);
    const std::string problem = error_of([&] { Conversation::load(bad, base); });
    CHECK(problem.find('\n') == std::string::npos);
    return problem;
  };
  for (const std::size_t size :
       {std::size_t{0}, std::size_t{7}, std::size_t{100}, good.size() / 2, good.size() - 1})
    CHECK_FALSE(refusal(good.substr(0, size)).empty());
  // One bit anywhere: in the header, in the turns, in the keys.
  int unnoticed = 0;
  for (std::size_t at = 8; at < good.size(); at += good.size() / 97) {
    std::string altered = good;
    altered[at] = static_cast<char>(altered[at] ^ 1);
    unnoticed += refusal(altered).empty() ? 1 : 0;
  }
  CHECK(unnoticed == 0);
  std::string newer = good;
  newer.replace(newer.find(R"("version":"1")"), 13, R"("version":"2")");
  CHECK_THAT(refusal(newer), Catch::Contains("version 2"));
  write_tensor_file(scratch.path() / "other.safetensors", {}, {});
  CHECK_THAT(error_of([&] { Conversation::load(scratch.path() / "other.safetensors", base); }),
             Catch::Contains("no saved conversation"));
  CHECK_FALSE(error_of([&] { Conversation::load(scratch.path() / "nowhere", base); }).empty());

  const ScratchDirectory other_scratch;
  const auto other = short_model(other_scratch, 16);
  const Generator foreign(*other, &tiny_tokenizer());
  CHECK_THAT(error_of([&] { Conversation::load(path, foreign); }), Catch::Contains("another model"));
  const Generator narrow(tiny_engine(), &tiny_tokenizer(),
                         {.cache = {.kind = CacheKind::fixed, .max_sequences = 2, .capacity = 40}});
  CHECK_THAT(error_of([&] { Conversation::load(path, narrow); }), Catch::Contains("the context 41"));
}

TEST_CASE("saved conversation: a file that cannot be written is refused, and what lay there stays") {
  const ScratchDirectory scratch;
  const Generator base(tiny_engine(), &tiny_tokenizer());
  const Conversation talk = some_turns(base, sampled());
  CHECK_FALSE(error_of([&] { talk.save(scratch.path() / "no folder" / "talk"); }).empty());
  CHECK_FALSE(error_of([&] { talk.save(scratch.path()); }).empty());
}
