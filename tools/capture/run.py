"""Loading a checkpoint, and its forward calls: a prefill, then greedy decode steps."""
from pathlib import Path

import torch
import transformers

from capture.checkpoint import check_not_empty, first_line, read_config
from capture.errors import CaptureError
from capture.torch_trace import DTYPES


def load_model(directory, dtype, attention, device):
    """A Qwen2ForCausalLM of the folder's weights, all of them and no others."""
    read_config(directory)
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    torch_dtype = next(key for key, name in DTYPES.items() if name == dtype)
    try:
        model, found = transformers.Qwen2ForCausalLM.from_pretrained(
            str(directory), dtype=torch_dtype, attn_implementation=attention, local_files_only=True, output_loading_info=True)
        model = model.to(device).eval()
    except Exception as error:  # safetensors and torch have classes of their own
        raise CaptureError(f"{directory}: cannot be loaded: {first_line(error)}") from error
    missing = sorted(found["missing_keys"]) + [str(key) for key in found["mismatched_keys"]]
    if missing:
        raise CaptureError(f"{directory}: weights are missing or of another shape: {', '.join(missing[:3])}")
    return model


def tokenize(directory, prompts):
    if not any((Path(directory) / name).exists() for name in ("tokenizer.json", "vocab.json")):
        raise CaptureError(f"{directory}: has no tokenizer; give --tokens")  # transformers would make an empty one
    try:
        tokenizer = transformers.AutoTokenizer.from_pretrained(str(directory), local_files_only=True)
        ids = [tokenizer(prompt, add_special_tokens=False)["input_ids"] for prompt in prompts]
    except Exception as error:
        raise CaptureError(f"{directory}: no tokenizer can be loaded ({first_line(error)}); give --tokens") from error
    check_not_empty(prompts, ids)
    return ids


@torch.no_grad()
def greedy(model, sequences, steps, pad="left"):
    """`steps` forward calls of a batch of lists of ids, padded where their lengths differ."""
    width = max(map(len, sequences))
    batch = [tokens + [0] * (width - len(tokens)) if pad == "right" else [0] * (width - len(tokens)) + tokens
             for tokens in sequences]
    lengths = torch.tensor([[len(tokens)] for tokens in sequences])
    columns = torch.arange(width)
    mask = (columns < lengths if pad == "right" else columns >= width - lengths).long().to(model.device)
    ids = torch.tensor(batch).to(model.device)
    # A cache without the config keeps all tokens in layers whose window slides, too; masks do the sliding.
    cache = transformers.DynamicCache()
    last = (lengths.flatten() - 1 if pad == "right" else torch.full((len(sequences),), width - 1)).to(model.device)
    for _ in range(steps):
        positions = (mask.cumsum(1) - 1).clamp(min=0)[:, -ids.shape[1]:]
        logits = model(input_ids=ids, attention_mask=mask, position_ids=positions, past_key_values=cache, use_cache=True).logits
        ids = logits[torch.arange(len(sequences), device=logits.device), last].argmax(-1, keepdim=True)
        mask = torch.cat([mask, torch.ones_like(ids)], dim=1)
        last = torch.zeros_like(last)
