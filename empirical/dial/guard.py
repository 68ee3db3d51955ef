"""A guard at run time: every attention row must keep the fidelity that it was promised (claim C5).

    with Guard(0.9, in_block, temperature) as guard:                # or record=True
        forward(..., weigh=steer(temperature, dialled, guard))      # raises Missed at the first row below 0.9

It is a change that changes nothing: placed last it sees the logits that become weights, and judges them in float64.
Outside its `with` it looks at nothing. What it guards is attention mass, neither behaviour nor isolation of data.
"""

from __future__ import annotations

import torch
from torch import Tensor

from empirical.errors import BadInput, Miss, Missed
from empirical.observe.rows import masses
from empirical.shapes import Bool, Float

ROUNDING = 1e-12  # relative, of a leakage: a softmax of up to some thousand keys, in float64


def fidelity_promised(promised: float | int) -> float | int:
    """The promise. Raises BadInput for one that is no fidelity."""
    if not 0 < promised <= 1:
        raise BadInput(f"promised must be a fidelity in (0, 1], got {promised!r}")
    return promised


def keeps(leakage: Float[Tensor, "*rows"], promised: float) -> Bool[Tensor, "*rows"]:
    """Whether a row has the fidelity promised; one that is NaN has not."""
    return leakage <= (1 - promised) * (1 + ROUNDING)


class Guard:
    """Watches rows inside its `with`; `rows` counts them and `misses` holds those below the promise."""

    def __init__(self, promised: float, in_block: Bool[Tensor, "T N"], temperature: float, record: bool = False):
        self.promised, self.record = fidelity_promised(promised), record
        self.in_block, self.temperature = in_block, temperature
        self.rows, self.misses, self.watching = 0, list[Miss](), False

    def __enter__(self) -> Guard:
        self.rows, self.misses, self.watching = 0, [], True
        return self

    def __exit__(self, *_: object) -> None:
        self.watching = False

    @torch.no_grad()
    def __call__(self, layer: int, logits: Float[Tensor, "S H B T N"]) -> Float[Tensor, "S H B T N"]:
        if self.watching:
            scaled = logits.double() / self.temperature
            fidelity, leakage = masses(scaled, self.in_block, ~self.in_block)
            missed = ~keeps(leakage, self.promised)
            self.rows += leakage.numel()
            if missed.any():
                places: list[list[int]] = missed.nonzero().tolist()
                found = [Miss(s, layer, h, b, t, float(fidelity[s, h, b, t])) for s, h, b, t in places]
                self.misses += found
                if not self.record:
                    raise Missed(self.promised, found)
        return logits
