# Sourced by setup.sh: slim, the second model of a default run, made once and checked by the hashes that its goldens
# hold. Its weights come from plumbline-make-model, so this follows the build; its tokenizer from a package of PyPI.
#
#   make_slim           build/models/slim

slim="$build_dir/models/slim"
dashscope_version=2.0.2 # its qwen.tiktoken is the same in every release; the tokenizer's maker checks its hash

# The SHA-256 that the goldens hold: "model_sha256" of prompts.json, "tokenizer_sha256" of tokenization.json.
golden_hash() { sed -n "s/^ *\"$1\": \"\([0-9a-f]*\)\".*/\1/p" "$root/fixtures/goldens/slim/$2" | head -n 1; }

# Whether the file is there, as the goldens know it.
is_file_of() { [[ -f $1 && $(sha256sum <"$1") == "$2  -" ]]; }

# The table of ranks of the real Qwen2 vocabulary, where some python has the package that carries it.
ranks_of_python() {
  "$1" - <<'PYTHON' 2>/dev/null || true
import importlib.util, os
ranks = os.path.join(importlib.util.find_spec("dashscope").submodule_search_locations[0], "resources", "qwen.tiktoken")
if os.path.exists(ranks):
    print(ranks)
PYTHON
}

find_ranks() {
  local python ranks
  for python in python3 python "$root/.venv/bin/python"; do
    command -v "$python" >/dev/null || continue
    ranks=$(ranks_of_python "$python")
    [[ -n $ranks ]] && { echo "$ranks"; return; }
  done
  return 0
}

# Whether it could be installed; into .venv, alone, without what it depends on.
install_ranks() {
  say "installing dashscope $dashscope_version into .venv: it carries the Qwen2 vocabulary"
  if [[ ! -x "$root/.venv/bin/pip" ]]; then
    if ! python3 -c 'import ensurepip, venv' 2>/dev/null; then
      can_install && install_packages python3-venv || return 1
    fi
    python3 -m venv "$root/.venv" || return 1
  fi
  "$root/.venv/bin/pip" install --quiet --no-input --no-deps --disable-pip-version-check --retries 1 --timeout 15 \
    "dashscope==$dashscope_version" </dev/null >/dev/null 2>&1
}

make_slim_tokenizer() {
  is_file_of "$slim/tokenizer.json" "$(golden_hash tokenizer_sha256 tokenization.json)" && return
  rm -f "$slim/tokenizer.json"
  local ranks
  ranks=$(find_ranks)
  if [[ -z $ranks ]] && install_ranks; then ranks=$(find_ranks); fi
  if [[ -z $ranks ]]; then
    say "slim goes without a tokenizer, and what needs it is skipped: dashscope $dashscope_version could not be installed"
    return
  fi
  python3 "$root/tools/make_qwen_tokenizer.py" "$ranks" "$slim" ||
    say "slim goes without a tokenizer, and what needs it is skipped"
}

# Made once: what is there and right stays.
make_slim() {
  local expected
  expected=$(golden_hash model_sha256 prompts.json)
  if [[ ! -f "$slim/config.json" ]] || ! is_file_of "$slim/model.safetensors" "$expected"; then
    say "making build/models/slim"
    "$build_dir/plumbline-make-model" --shape slim --dtype bf16 --seed 0 -o "$slim" ||
      refuse "build/models/slim could not be made"
    is_file_of "$slim/model.safetensors" "$expected" ||
      refuse "build/models/slim came out with other bytes than its goldens are of"
  fi
  make_slim_tokenizer
}
