#include <set>

#include <catch2/catch.hpp>

#include "harness/probe.h"

using namespace plumbline;

TEST_CASE("probe table: every site's name parses back to the site, and no two share one") {
  std::set<std::string> names;
  std::vector<OpSite> sites = forward_sites(3, false);
  for (const OpSite site : forward_sites(0, true)) sites.push_back(site);
  for (const ProbeSpec& spec : probe_table()) {
    if (spec.scope == ProbeScope::sample) sites.push_back({spec.probe, -1});
  }
  for (const OpSite site : sites) {
    names.insert(site_name(site));
    OpSite parsed;
    REQUIRE(parse_site(site_name(site), parsed));
    CHECK(parsed == site);
  }
  CHECK(names.contains("model.layers.2.self_attn.k_rope"));
  CHECK(names.contains("past_key_values.1.value"));
  CHECK(names.contains("model.rotary_emb.inv_freq"));
  CHECK(names.contains("attention_mask.sliding"));
  CHECK(names.contains("sample.top_p"));
}

TEST_CASE("probe table: names that are not in it are refused") {
  OpSite site;
  for (const char* name :
       {"", "model", "model.layers.self_attn.k_rope", "model.layers.-1.mlp.act", "model.layers.01.mlp.act",
        "model.layers.1.key", "past_key_values.1.mlp.act", "model.layers.1.mlp.act ", "mlp.act",
        "model.layers.99999999999999999999.mlp.act", "key", "model.layers.1"}) {
    CAPTURE(name);
    CHECK_FALSE(parse_site(name, site));
  }
}

TEST_CASE("probe table: an op's inputs stand before it in graph order") {
  const std::vector<OpSite> sites = forward_sites(2, false);
  for (std::size_t i = 1; i < sites.size(); ++i) {
    CAPTURE(site_name(sites[i - 1]), site_name(sites[i]));
    CHECK(sites[i - 1] < sites[i]);
    CHECK_FALSE(sites[i] < sites[i - 1]);
  }
  for (const ProbeSpec& spec : probe_table()) {
    for (const OpInput& input : spec.inputs) {
      if (input.source == InputSource::probe) CHECK(input.probe < spec.probe);
    }
  }
}
