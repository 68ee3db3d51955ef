"""The range that an attack finds, beside the one that weights allow: layer inputs climbed until nothing moves.

    maximise c q_i . (R_j k_j - R_k k_k)  over z_i, z_j, z_k in the ball, and over where the two keys stand

The range is linear in each input while the others are held, so its maximum over one ball is that ball's radius along
the gradient: gradient ascent with the longest step there is, never down, input after input. The keys' places, where
positions are rotary, are the best of those offered. Every value is attained by inputs of the layer, not by a text.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bounds.logit_range import Side
from empirical.checkpoints.contexts import ObservedRows
from empirical.checkpoints.rotary import Phases, Reals

STEPS = 200


def _complex(features: Reals, planes: int) -> NDArray[np.complex128]:
    """Features i and i + planes, which a rotation mixes, as one complex number; those after them are not turned."""
    return features[..., :planes] + 1j * features[..., planes : 2 * planes]


def _turned(features: Reals, by: NDArray[np.complex128]) -> Reals:
    planes = by.shape[-1]
    turned = _complex(features, planes) * by
    return np.concatenate([turned.real, turned.imag, features[..., 2 * planes :]], -1)


def _along(gradient: Reals, radius: float) -> Reals:
    length = np.linalg.norm(gradient, axis=-1, keepdims=True)
    return radius * gradient / np.maximum(length, np.finfo(float).tiny)


def attack(
    query: Side,
    key: Side,
    scaling: float,
    turns: Phases | None = None,
    *,
    cap: float | None = None,
    starts: int = 4,
    seed: int = 0,
) -> float:
    """The widest range found, in nats; never above what weights allow, if that is right. Without `turns` nothing turns.

    With `cap` it is that of cap tanh(logit / cap).

    Where LayerNorm centres, inputs are centred as well: each is a combination of the rows of a centred matrix.
    """
    random = np.random.default_rng(seed)
    inputs = _start(random, starts, query)
    down = _start(random, starts, key)
    up, widest = -down, np.zeros(starts)
    scaling = abs(scaling)
    for _ in range(STEPS):
        asked = inputs @ query.matrix.T + query.offset
        pair = []
        for sign, found, parity in ((1, up, 0), (-1, down, 1)):  # every other place for either, so never the same
            keys = found @ key.matrix.T + key.offset
            turned = asked
            chosen = None
            if turns is not None:
                products = np.conj(_complex(asked, turns.shape[1])) * _complex(keys, turns.shape[1])
                best = (sign * (products @ turns[parity::2].T).real).argmax(-1)
                chosen = turns[parity::2][best]
                turned = _turned(asked, np.conj(chosen))
            found = _along(sign * (turned @ key.matrix), key.radius)
            keys = found @ key.matrix.T + key.offset
            pair.append((found, keys if chosen is None else _turned(keys, chosen)))
        (up, high), (down, low) = pair
        inputs = _along((high - low) @ query.matrix, query.radius)
        asked = inputs @ query.matrix.T + query.offset
        spans = scaling * (asked * (high - low)).sum(-1)
        if cap is not None:
            top, bottom = (np.tanh(scaling / cap * (asked * keys).sum(-1)) for keys in (high, low))
            spans = cap * (top - bottom)
        if np.all(spans <= widest * (1 + 1e-9)):
            break
        widest = np.maximum(widest, spans)
    return float(max(widest.max(), spans.max()))


def _start(random: np.random.Generator, starts: int, side: Side) -> Reals:
    """Inputs of full length along which the side's features differ, so that centred sides get centred ones."""
    return _along(random.standard_normal((starts, side.matrix.shape[0])) @ side.matrix, side.radius)


def observed_ranges(found: ObservedRows) -> dict[tuple[str, int], Reals]:
    """The widest observed row of every head, by kind and layer: (H,), NaN for a head of no row."""
    ranges: dict[tuple[str, int], Reals] = {}
    for name, place in found.calls.items():
        spans = found.rows[name]["logit_range"].double().numpy()
        spans = np.moveaxis(spans, 1, 0).reshape(spans.shape[1], -1)
        ranges[place] = np.where(
            np.isnan(spans).all(-1), np.nan, np.max(spans, -1, initial=-np.inf, where=~np.isnan(spans))
        )
    return ranges
