"""The dial at inference on any trained model, per setting, layer, head or row, without retraining (claims C1, C2).

    logits outside the query's block - tau kappa,  kappa = -ln(1 - dial): weights outside times 1 - dial
    least kappa for a fidelity F*:  max(0, ln(eps/F) + ln(F*/(1 - F*)))          (closed form `kappa_needed`)

A `Change` maps the logits of a layer to others and `steer` makes weights of the last: dials, rules and guards follow
one another. Dial 0 is the plain model bit for bit, since x - 0 = x. A layer's law holds given that layer's input: what
a dial does to the inputs of later layers is `depth_sum`. Theorems: odds_law, worst_case_dial, entropy_along_dial,
entropy_turning_point, dial_segment.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor

from bounds.dial.calculators import kappa_of_dial
from empirical.errors import BadInput
from empirical.observe.rows import Weigh, lse, softmax
from empirical.observe.streaming import widened
from empirical.shapes import Bool, Float

Amounts = float | int | list[Any] | np.ndarray
Change = Callable[[int, Tensor], Tensor]  # (layer, logits) -> logits, both S H B T N


@runtime_checkable
class Dialled(Protocol):
    """What a dial needs to know of a model: its configuration's layers, heads and temperature."""

    @property
    def layers(self) -> int: ...

    @property
    def heads(self) -> int: ...

    @property
    def temperature(self) -> float: ...


def steer(temperature: float, *changes: Change) -> Weigh:
    """What `forward` takes: softmax of the logits as changed, one change after the other, in their dtype."""

    def weigh(layer: int, logits: Tensor) -> Tensor:
        dtype = logits.dtype
        for change in changes:
            logits = change(layer, logits)
        return softmax(logits, temperature).to(dtype)

    return weigh


def turned(
    logits: Float[Tensor, "*#rows N"],
    kappa: Float[Tensor, "*#rows"],
    in_block: Bool[Tensor, "*#rows N"],
    temperature: float,
) -> Float[Tensor, "... N"]:
    """Logits with those outside the block lower by tau kappa; rows broadcast. Half precision becomes float32."""
    wide = logits.to(widened(logits.dtype))
    return torch.where(in_block, wide, wide - temperature * kappa.to(wide).unsqueeze(-1))


def dials_or_kappas(dials: Amounts | None, kappas: Amounts | None) -> tuple[str, Float[np.ndarray, "..."]]:
    """Which of the two was given, and its values. Raises BadInput for neither or both, or a value out of range."""
    name, given = ("dials", dials) if dials is not None else ("kappas", kappas)
    if (dials is None) == (kappas is None):
        raise BadInput(f"dials or kappas must be given, one of the two, got dials={dials!r} and kappas={kappas!r}")
    allowed, most = {"dials": ("in [0, 1]", 1.0), "kappas": (">= 0 (inf masks)", math.inf)}[name]
    values = np.asarray(given, dtype=float)
    outside = ~((values >= 0) & (values <= most))
    if outside.any():
        raise BadInput(f"{name} must be {allowed}, got {values[outside].flat[0]}")
    return name, values


def dial(
    model: Dialled, in_block: Bool[Tensor, "T N"], dials: Amounts | None = None, kappas: Amounts | None = None
) -> Change:
    """The dial as a change of logits: either `dials` in [0, 1] or `kappas` in [0, inf] (near dial 1 the finer scale).

    Either is one number or an array that broadcasts to (settings, layers, heads). Raises BadInput for neither or both,
    another shape, or a value out of range.
    """
    name, values = dials_or_kappas(dials, kappas)
    shape = (model.layers, model.heads)
    fits = values.ndim <= 3 and all(n in (1, s) for n, s in zip(values.shape[::-1], shape[::-1]))
    if not fits:
        raise BadInput(
            f"{name} must broadcast to (settings, layers, heads) = (S, {shape[0]}, {shape[1]}), got shape "
            f"{values.shape}"
        )
    cells = np.broadcast_to(values, np.broadcast_shapes(values.shape, (1, *shape)))
    each = torch.as_tensor(np.array(kappa_of_dial(cells) if name == "dials" else cells)).reshape(cells.shape)

    def change(layer: int, logits: Float[Tensor, "S H B T N"]) -> Float[Tensor, "S H B T N"]:
        return turned(logits, each[:, layer, :, None, None].to(logits.device), in_block, model.temperature)

    return change


def least_kappa(
    logits: Float[Tensor, "*rows N"], in_block: Bool[Tensor, "... N"], target: float, temperature: float
) -> Float[Tensor, "*rows"]:
    """The least kappa of each row that gives it the target fidelity, and no more than the logits' rounding beyond it.

    Turning a logit rounds it by half an ulp of its size, which moves the odds by as much over tau.
    """
    scaled = logits.to(widened(logits.dtype)) / temperature
    needed = lse(scaled, ~in_block) - lse(scaled, in_block) + _log_odds(target)
    size = scaled.abs().masked_fill(scaled.isinf(), 0.0).amax(-1)
    room = 8 * torch.finfo(scaled.dtype).eps * (1 + size + needed.abs())
    return torch.where(needed + room > 0, needed + room, 0.0)  # -inf where nothing outside is seen


def _log_odds(target: float) -> float:
    if not 0 < target < 1:
        raise BadInput(f"target must be a fidelity in (0, 1), got {target!r}")
    return math.log(target / (1 - target))


def adaptive_dial(
    target: float,
    in_block: Bool[Tensor, "T N"],
    temperature: float,
    report: Callable[[int, Float[Tensor, "S H B T"]], Any] | None = None,
) -> Change:
    """Each query's own least dial that meets the target; `report(layer, kappa)` sees what was chosen."""
    _log_odds(target)

    def change(layer: int, logits: Float[Tensor, "S H B T N"]) -> Float[Tensor, "S H B T N"]:
        kappa = least_kappa(logits, in_block, target, temperature)
        if report is not None:
            report(layer, kappa)
        return turned(logits, kappa, in_block, temperature)

    return change
