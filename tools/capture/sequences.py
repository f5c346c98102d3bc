"""Which sequence and step each row of a batch is, and which of its places hold tokens and not pads."""
from dataclasses import dataclass

import torch

from capture.errors import CaptureError


@dataclass
class Row:
    """One sequence in one forward call of T columns, past columns being in the cache."""

    index: int             # row of the batch
    sequence: int
    step: int
    past: int              # columns of the cache before the call, pads included
    width: int             # T
    tokens: torch.Tensor   # which of the call's T columns hold tokens
    columns: torch.Tensor  # which of past + T columns hold tokens

    @property
    def prefix(self):
        return f"seq.{self.sequence}/step.{self.step}/"

    @property
    def before(self):
        """The prefix of what the cache held before this call."""
        return f"seq.{self.sequence}/" + (f"step.{self.step - 1}/" if self.step else "initial/")

    def of(self, batch):
        """This row of a batch, or of what is one for all rows."""
        return batch[self.index if len(batch) > 1 else 0]

    def keys(self, length):
        """Where tokens are among `length` keys, the last ones where a cache slides, and how many tokens it lost."""
        lost = max(0, self.past + self.width - length)
        kept = self.columns[self.columns >= lost] - lost
        return kept, len(self.columns) - len(kept)


class Sequences:
    """A call with the cache of an earlier call goes on with that call's sequences; any other starts new ones."""

    def __init__(self):
        self._known = {}  # id of a cache: the cache (kept, so that ids stay apart), its sequences' numbers, its length
        self._steps = []  # by sequence: steps recorded
        self._numbers = []  # of the call in progress

    def begin(self, cache, batch, width, mask):
        """Rows of a call of `width` columns, and whether they are new with something in the cache already.

        `mask` is transformers' own, [batch, past + width], nonzero for tokens; None where no row has pads."""
        past = int(cache.get_seq_length()) if cache is not None else 0
        known, numbers, length = self._known.get(id(cache), (None, [], 0))
        goes_on = past > 0 and known is cache and len(numbers) == batch and length == past
        if not goes_on:
            numbers = list(range(len(self._steps), len(self._steps) + batch))
            self._steps += [0] * batch
        real = self._real(mask, batch, past + width)
        rows = []
        for index, number in enumerate(numbers):
            tokens = real[index, past:].nonzero().flatten()
            if len(tokens) == 0:
                continue  # a sequence that has ended, in a batch that has not
            rows.append(Row(index, number, self._steps[number], past, width, tokens,
                            real[index].nonzero().flatten()))
            self._steps[number] += 1
        self._numbers = numbers
        return rows, past > 0 and not goes_on

    def end(self, cache):
        """After the call: this cache is what its sequences go on with."""
        if cache is not None:
            self._known[id(cache)] = (cache, self._numbers, int(cache.get_seq_length()))

    @staticmethod
    def _real(mask, batch, length):
        if mask is None or isinstance(mask, dict) or mask.dim() != 2:
            return torch.ones(batch, length, dtype=torch.bool)
        if mask.shape[0] != batch or mask.shape[1] < length:
            raise CaptureError(f"attention_mask of shape {list(mask.shape)} for {batch} sequences of {length} columns")
        return mask[:, :length].cpu() != 0
