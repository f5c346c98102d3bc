"""What an attention function reads, weighs and gives, seen from outside."""
import torch
from torch.nn import functional
from torch.overrides import TorchFunctionMode

ADDITIONS = {torch.add, torch.Tensor.add, torch.Tensor.add_, torch.Tensor.__add__, torch.Tensor.__radd__, torch.Tensor.__iadd__}
IN_PLACE = {torch.Tensor.add_, torch.Tensor.__iadd__}
SOFTMAXES = {functional.softmax, torch.softmax, torch.Tensor.softmax}


class Watch(TorchFunctionMode):
    """While an attention function runs: the scores before its mask, or how it called the fused attention.

    Scores are what `mask` is added to; where nothing is added, what goes into the softmax."""

    def __init__(self, mask):
        super().__init__()
        self.mask = mask
        self.scores = None
        self.fused = None  # (attn_mask, is_causal)

    def __torch_function__(self, function, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if self.scores is None and function in ADDITIONS and any(x is self.mask for x in args):
            self.scores = next((x for x in args if x is not self.mask), None)
            if function in IN_PLACE:
                self.scores = self.scores.clone()
        elif self.scores is None and function in SOFTMAXES:
            self.scores = args[0] if args else kwargs.get("input")
        elif function is functional.scaled_dot_product_attention:
            self.fused = (kwargs.get("attn_mask", args[3] if len(args) > 3 else None), kwargs.get("is_causal", False))
        return function(*args, **kwargs)


def allowed_keys(mask, watch, queries, keys):
    """[batch or 1, queries, keys], true where a query may see a key; None where it cannot be known."""
    if mask is None and watch.fused is not None:
        mask, causal = watch.fused
        if mask is None:  # what scaled_dot_product_attention does: a triangle from the upper left corner, or all
            everything = torch.ones(1, queries, keys, dtype=torch.bool)
            return everything.tril() if causal else everything
    if mask is None:
        return torch.ones(1, queries, keys, dtype=torch.bool) if watch.scores is not None else None
    if not isinstance(mask, torch.Tensor) or mask.dim() != 4 or mask.shape[2] != queries or mask.shape[3] < keys:
        return None
    mask = mask[:, 0, :, :keys].detach()
    return (mask if mask.dtype == torch.bool else mask > torch.finfo(mask.dtype).min / 2).cpu()


def key_columns(row, tensor):
    """[..., T, keys] of one row: its tokens' queries, its tokens' keys, 0 or false for those that a sliding cache lost."""
    columns, lost = row.keys(tensor.shape[-1])
    kept = tensor[..., row.tokens.to(tensor.device), :][..., columns.to(tensor.device)]
    return torch.cat([kept.new_zeros(*kept.shape[:-1], lost), kept], dim=-1)


class Interfaces:
    """Stands for transformers' table of attention functions in one modeling file; each function it gives is observed."""

    def __init__(self, table, observe):
        self._table = table
        self._observe = observe

    def get_interface(self, name, default):
        return self._observed(self._table.get_interface(name, default))

    def __getitem__(self, name):
        return self._observed(self._table[name])

    def __getattr__(self, name):
        return getattr(self._table, name)

    def _observed(self, function):
        return lambda *args, **kwargs: self._observe(function, *args, **kwargs)
