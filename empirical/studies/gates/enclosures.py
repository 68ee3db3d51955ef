"""Enclosures of values and of their gradients: tensors known to within a radius, and a tape on which they go back.

    x in mid +- rad;   sum_k x_k y_k in sum mid mid' +- sum (|mid| rad' + rad (|mid'| + rad'))

Functions of one number are enclosed by their values at the ends and at the extremes between; a softmax by p_j = e_j /
(e_j + sum of the others), largest where e_j is and the others are not. Every radius is widened by ROUNDING of what was
added up, more than float64 loses in sums of 2^12 terms.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from empirical.shapes import Bool, Float

ROUNDING = 2.0**-40
SAFE = 1e-290  # sums of exponentials below it may have lost terms
GELU_LEAST = -0.7517915246935645  # where gelu is least, to rounding: flat there


@dataclass(frozen=True)
class Box:
    """All tensors within `rad` of `mid`, entry by entry."""

    mid: Tensor
    rad: Tensor

    @property
    def low(self) -> Tensor:
        return self.mid - self.rad

    @property
    def high(self) -> Tensor:
        return self.mid + self.rad

    @property
    def size(self) -> Tensor:
        """The largest absolute value."""
        return self.mid.abs() + self.rad

    def __add__(self, other: Box) -> Box:
        return Box(self.mid + other.mid, widened(self.rad + other.rad, self.size + other.size))

    def __neg__(self) -> Box:
        return Box(-self.mid, self.rad)

    def __sub__(self, other: Box) -> Box:
        return self + -other

    def __mul__(self, other: Box) -> Box:
        return _multiplied(torch.mul, self, other)

    def map(self, reshape: Callable[[Tensor], Tensor]) -> Box:
        """Entries in another place."""
        return Box(reshape(self.mid), reshape(self.rad))

    def sum(self, dim: int) -> Box:
        return Box(self.mid.sum(dim), widened(self.rad.sum(dim), self.size.sum(dim)))


def _multiplied(of: Callable[[Tensor, Tensor], Tensor], one: Box, other: Box) -> Box:
    """Of any bilinear map."""
    rad = of(one.mid.abs(), other.rad) + of(one.rad, other.size)
    return Box(of(one.mid, other.mid), widened(rad, of(one.size, other.size)))


def widened(rad: Tensor, size: Tensor | float) -> Tensor:
    """A radius that holds the rounding of numbers of that size."""
    return rad * (1 + ROUNDING) + ROUNDING * size


def exactly(x: Tensor) -> Box:
    return Box(x, torch.zeros_like(x))


def between(low: Tensor, high: Tensor, room: Tensor | float = 0.0) -> Box:
    """From one tensor to another, both computed; `room` for what they were computed from."""
    return Box((low + high) / 2, widened((high - low) / 2, low.abs().maximum(high.abs()) + room))


def product(spec: str, one: Box, other: Box) -> Box:
    """An einsum of two boxes."""
    return _multiplied(lambda x, y: torch.einsum(spec, x, y), one, other)


def softmax_of(logits: Box, seen: Bool[Tensor, "*rows N"]) -> Box:
    """Weights of the keys that are seen; 0 of the others, and in rows that see none."""
    low, high = (x.where(seen, -math.inf) for x in (logits.low, logits.high))
    top = high.amax(-1, keepdim=True)
    top = top.where(top > -math.inf, 0.0)
    least, most = (low - top).exp(), (high - top).exp()
    others_least = (least.sum(-1, keepdim=True) * (1 - ROUNDING) - least).clamp(min=0)
    others_most = (most.sum(-1, keepdim=True) * (1 + ROUNDING) - most).clamp(min=0)
    whole = most + others_least
    highest = torch.where(whole > SAFE, most / whole.clamp(min=SAFE), 1.0) + ROUNDING
    lowest = (least / (least + others_most).clamp(min=SAFE)).clamp(max=1.0) - ROUNDING
    found = between(lowest.clamp(min=0), highest.clamp(max=1))
    return found.map(lambda x: x.where(seen, 0.0))


def lse_of(logits: Box, seen: Bool[Tensor, "*rows N"]) -> Box:
    """ln of the sum of exponentials of the keys that are seen, some in every row: monotone in each."""
    low, high = (x.where(seen, -math.inf).logsumexp(-1) for x in (logits.low, logits.high))
    return between(low, high, 1.0)


def _over(x: Box, function: Callable[[Tensor], Tensor], extremes: tuple[float, ...]) -> Box:
    """All values of a function of one number: at both ends of x, and at its extremes that lie between."""
    ends = function(x.low), function(x.high)
    least, most = ends[0].minimum(ends[1]), ends[0].maximum(ends[1])
    for at in extremes:
        inside, value = (x.low <= at) & (at <= x.high), function(least.new_tensor(at))
        least = torch.where(inside, least.minimum(value), least)
        most = torch.where(inside, most.maximum(value), most)
    return between(least, most, 1 + x.size)  # erf loses its last digits absolutely


def gelu_of(x: Box) -> Box:
    return _over(x, functional.gelu, (GELU_LEAST,))


def gelu_slope_of(x: Box) -> Box:
    """Phi(x) + x phi(x), least and largest at -+ sqrt 2."""

    def slope(at: Tensor) -> Tensor:
        density = torch.exp(-at.square() / 2) / math.sqrt(2 * math.pi)
        return (1 + torch.erf(at / math.sqrt(2))) / 2 + at * density

    return _over(x, slope, (-math.sqrt(2), math.sqrt(2)))


def inverse_root_of(x: Box, epsilon: float) -> Box:
    """1/sqrt(mean over the last axis of x^2, + epsilon)."""
    least = (x.mid.abs() - x.rad).clamp(min=0).square().mean(-1, keepdim=True) * (1 - ROUNDING)
    most = x.size.square().mean(-1, keepdim=True) * (1 + ROUNDING)
    return between((most + epsilon).rsqrt(), (least + epsilon).rsqrt())


Pull = Callable[[Box], Box]


@dataclass(frozen=True, eq=False)
class Traced:
    """A box, and how a gradient in it goes back to what it was made of."""

    box: Box
    made_of: tuple[tuple[Traced, Pull], ...] = ()

    def __add__(self, other: Traced) -> Traced:
        return Traced(self.box + other.box, ((self, lambda g: g), (other, lambda g: g)))

    def map(self, reshape: Callable[[Tensor], Tensor], back: Callable[[Tensor], Tensor]) -> Traced:
        return Traced(self.box.map(reshape), ((self, lambda g: g.map(back)),))


def linear(spec: str, x: Traced, by: Tensor) -> Traced:
    """An einsum `x,by->out` with a constant."""
    given, constant, out = spec.replace("->", ",").split(",")
    back = f"{out},{constant}->{given}"
    fixed = exactly(by)
    return Traced(product(spec, x.box, fixed), ((x, lambda g: product(back, g, fixed)),))


def bilinear(spec: str, x: Traced, y: Traced) -> Traced:
    """An einsum `x,y->out` of two that move."""
    one, other, out = spec.replace("->", ",").split(",")
    return Traced(
        product(spec, x.box, y.box),
        (
            (x, lambda g: product(f"{out},{other}->{one}", g, y.box)),
            (y, lambda g: product(f"{out},{one}->{other}", g, x.box)),
        ),
    )


def gelu(x: Traced) -> Traced:
    return Traced(gelu_of(x.box), ((x, lambda g: g * gelu_slope_of(x.box)),))


def normalised(x: Traced, epsilon: float) -> Traced:
    """x over its root mean square; back: q (g - y mean(y g)), y the result."""
    inverse = inverse_root_of(x.box, epsilon)
    whole = x.box * inverse
    most = math.sqrt(x.box.mid.shape[-1])  # no entry is larger
    result = between(whole.low.clamp(min=-most), whole.high.clamp(max=most))

    def back(g: Box) -> Box:
        along = (result * g).sum(-1).map(lambda t: t.unsqueeze(-1) / result.mid.shape[-1])
        return inverse * (g - result * along)

    return Traced(result, ((x, back),))


def softmax(logits: Traced, seen: Bool[Tensor, "*rows N"]) -> Traced:
    """Back: p_j (g_j - sum_k p_k g_k), where g may be less any number in a row, as weights sum to 1."""
    weights = softmax_of(logits.box, seen)

    def back(g: Box) -> Box:
        shift = (weights.mid * g.mid).sum(-1, keepdim=True) / weights.mid.sum(-1, keepdim=True).clamp(min=SAFE)
        apart = g - exactly(shift)
        return weights * (apart - (weights * apart).sum(-1).map(lambda t: t.unsqueeze(-1)))

    return Traced(weights, ((logits, back),))


def pulled_back(end: Traced, slope: Box, wanted: Float[Tensor, "..."] | Traced) -> Box:
    """The gradient in `wanted` of what has gradient `slope` in `end`."""
    order: list[Traced] = []
    met: set[int] = set()

    def visit(at: Traced) -> None:
        if id(at) not in met:
            met.add(id(at))
            for part, _ in at.made_of:
                visit(part)
            order.append(at)

    visit(end)
    slopes = {id(end): slope}
    for at in reversed(order):
        if at is wanted:
            break
        if (mine := slopes.pop(id(at), None)) is None:
            continue
        for part, pull in at.made_of:
            given = pull(mine)
            slopes[id(part)] = slopes[id(part)] + given if id(part) in slopes else given
    return slopes[id(wanted)]
