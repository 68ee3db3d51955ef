"""Psi_i, what quadratic majorants leave of one query, certified over cells (claim C3).

    Psi_i = sup of eta |e0|^2 - |e|^2 - w^T M_i w  over all in-block logits and |w| <= n |x_i|

With O keys outside, v'_j = value - target, v- their mean, s_j = k_j . w, a = mean s_j, T = mean(e^s_j - 1 - s_j):

    e0 = (1 - alpha) (point of the hull of own v') + alpha v-,   e = (e0 + alpha mean e^s_j v'_j - alpha v-) / kappa,
    kappa = 1 + alpha (a + T):  attention without cross logits, and what they do to it

Everything is scaled by n in (low, high]: w = n omega, a and T over n, M = forms/n, 1 - eta = slope n. The bound is
proved in steps, each by the function that computes it, for a cell of (alpha, a, T):

    tangent        -|e|^2 <= (theta^2 - 2 theta)|e0|^2 - 2 theta <e0, e - e0>  for any theta, |e - theta e0|^2 >= 0
    difference     e - e0 = (alpha/kappa) (mean (e^s_j - 1) v'_j - (a + T) e0),  split at z:
                   mean (e^s_j - 1) v'_j = B_z w + a z + T (point of the hull of v'_j),  B_z = mean (v'_j - z) k_j^T
    elimination    -2 p^T B_z omega - omega^T M omega <= p^T B_z M^-1 B_z^T p: omega enters linearly (`eliminated`)
    price          T costs at least what the fewest, longest s_j cost (`price`)
    interpolation  between corners of (a, T) the bound bends by at most width^2/8 times its concavity (`bending`)
    vertices       what is left is quadratic in e0: its convex part lies under the chord, its concave part under a
                   tangent, so that a vertex decides (`highest`)

float64, with rounding far below ROOM of `certificate`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import reduce
from itertools import pairwise

import torch
from torch import Tensor

from empirical.errors import BadInput
from empirical.shapes import Bool, Float
from empirical.studies.edges.majorants import ALPHAS, Majorant, Queries, quadratic_forms, slopes

THETAS = (1.0, 0.85, 0.65, 0.4, 0.15)
FLOOR = 1e-9  # a multiplier that keeps the elimination regular
MULTIPLIERS = (0.03, 0.1, 0.3, 1.0)  # of |omega|^2 <= |x_i|^2, where attention is wide
WIDE = 0.3  # alpha from which they are tried
SLACK = 1e-9  # relative, in what is impossible
DEPTH = 5  # halvings of a cell of alpha at most

Cells = tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class Grid:
    """Cells of a bound: mere points to choose the majorants, a cover to certify."""

    alpha: Cells  # of [0, 1]
    mean: Cells  # of [-1, 1], in units of the largest |a|
    excess: Cells  # of [0, 2]: T rises as the cube to what one key reaches, at 1, and on to the most, at 2


def _between(edges: Sequence[float]) -> Cells:
    return tuple(pairwise(edges))


def _points(*at: float) -> Cells:
    return tuple((t, t) for t in at)


def cover(alpha: tuple[float, float], means: int, excesses: int) -> Grid:
    """One cell of alpha; so many of a, and of T up to what one key reaches, a third as many beyond."""
    rising, beyond = [i / excesses for i in range(excesses)], max(1, excesses // 3)
    return Grid(
        (alpha,),
        _between([2 * (i / means) ** 1.4 - 1 for i in range(means + 1)]),  # kappa is least, and bends most, at -1
        _between([*rising, *(1 + i / beyond for i in range(beyond + 1))]),
    )


POINTS = Grid(
    _points(0.0, 0.1, 0.2, 0.27, 0.33, 0.4, 0.46, 0.52, 0.58, 0.64, 0.7, 0.76, 0.82, 0.88, 0.94, 1.0),
    _points(-1.0, -0.6, -0.25, 0.0, 0.25, 0.6, 1.0),
    _points(0.0, 0.2, 0.35, 0.5, 0.6, 0.7, 0.8, 0.88, 0.94, 1.0, 1.2, 1.5, 2.0),
)
COUNTS = ((4, 6), (8, 12), (16, 20), (32, 32))  # cells of a and T, the more the smaller the cell of alpha


# --- what a and T can be, and what they cost -------------------------------------------------------------------------


def excess_of(s: Tensor) -> Tensor:
    """e^s - 1 - s, by its series where that cancels."""
    return torch.where(s < 1e-3, s * s / 2 * (1 + s / 3 * (1 + s / 3)), torch.expm1(s) - s)


def price(
    queries: Queries, paying: Float[Tensor, "2"], excess: Float[Tensor, "Q T"], n: float, points: int = 160
) -> Float[Tensor, "Q T"]:
    """Least c4 sum s_j^2 + c5 |omega|^2 at which T/n may reach `excess`, or less: concave below and above one key's T.

    With s = n s', W the longest s' and sum s'^2 = R^2 W^2, R >= 1: T/n <= R^2 (e^(nW) - 1 - nW)/(n O), |omega| >= W
    over the longest key. At fixed R the price is a multiple of W^2, and dW^2/dT falls as W rises: concave in T, and so
    is the least over R. Beyond what one key reaches R^2 >= T/(that): at a fixed W the price is linear. The least over
    W is bounded piece by piece: what falls in W at the right end, what rises at the left.
    """
    o = queries.keys.shape[1]
    key = queries.keys.norm(dim=-1).amax(1)[:, None]
    edge = key * queries.features.norm(dim=1)[:, None] * torch.linspace(0, 1, points + 1, dtype=key.dtype)
    rate = excess_of(n * edge[:, 1:]) / (n * edge[:, 1:] ** 2)
    left = edge[:, None, :-1] ** 2
    squares = torch.maximum(left, o * excess[..., None] / rate[:, None])
    return (paying[0] * squares + paying[1] * left / key[..., None] ** 2).amin(-1)


def _excess_ends(queries: Queries, cells: Cells, n: float) -> tuple[Float[Tensor, "Q T"], Float[Tensor, "Q T"]]:
    """T/n at both ends of its cells: up to what the longest key alone reaches along omega, and on to the most.

    T <= R^2 (that), R^2 = sum s_j^2 / max s_j^2 at most ||K||^2 |omega|^2 over the square of the longest s_j.
    """
    o, reach, size = queries.keys.shape[1], torch.linalg.matrix_norm(queries.keys, 2), queries.features.norm(dim=1)
    longest = queries.keys.norm(dim=-1).amax(1) * size
    one = (excess_of(n * longest) / (n * o))[:, None]
    more = one * ((reach * size / longest) ** 2 - 1)[:, None]
    steps = (torch.tensor(ends, dtype=size.dtype) for ends in zip(*cells))
    low, high = (one * step.clamp(max=1) ** 3 + more * (step - 1).clamp(min=0) for step in steps)
    return low, high


@dataclass(frozen=True)
class Corner:
    """One end of every cell of (a, T), both over n, and what it costs of omega^T M omega: c3 a^2 + price(T)."""

    mean: Float[Tensor, "Q A 1"]
    excess: Float[Tensor, "Q 1 T"]
    cost: Float[Tensor, "Q A T"]


@dataclass(frozen=True)
class Box:
    """The cells of (a, T): their ends, and their corners; of mere points only one."""

    means: tuple[Float[Tensor, "Q A 1"], Float[Tensor, "Q A 1"]]
    excesses: tuple[Float[Tensor, "Q 1 T"], Float[Tensor, "Q 1 T"]]
    corners: tuple[Corner, ...]

    @classmethod
    def of(cls, queries: Queries, majorant: Majorant, grid: Grid, high: float) -> Box:
        mean = queries.keys.mean(1)
        largest = (mean.norm(dim=1) * queries.features.norm(dim=1))[:, None]  # |a| <= |mean key| |omega|
        a0, a1 = ((largest * torch.tensor(ends, dtype=mean.dtype))[..., None] for ends in zip(*grid.mean))
        ends = _excess_ends(queries, grid.excess, high)
        prices = [price(queries, majorant.paying, excess, high)[:, None] for excess in ends]
        t0, t1 = (excess[:, None] for excess in ends)
        corners = tuple(
            Corner(a, t, majorant.forms[2] * a**2 + paid)
            for a in (a0, a1)[: 1 + bool((a1 > a0).any())]
            for t, paid in list(zip((t0, t1), prices))[: 1 + bool((t1 > t0).any())]
        )
        return cls((a0, a1), (t0, t1), corners)

    def possible(self, low: float) -> Bool[Tensor, "Q A T"]:
        """Whether a cell holds any row: T >= e^a - 1 - a by Jensen, at the a nearest to 0 and the least n."""
        (a0, a1), (t0, t1) = self.means, self.excesses
        if low == 0:
            return torch.ones_like(a0 + t0, dtype=torch.bool)
        size = torch.where(a0 * a1 < 0, 0.0, torch.minimum(a0.abs(), a1.abs()))
        nearest = size * torch.where(a0 + a1 < 0, -1.0, 1.0)
        return t1 >= excess_of(low * nearest) / low * (1 - SLACK)


# --- the errors of a cell of alpha -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Hull:
    """e0 of all alpha in [first, last]: the hull of E vertices, and the point z about which it is taken."""

    first: float
    last: float
    vertices: Float[Tensor, "Q E V"]
    centre: Float[Tensor, "Q V"]  # z
    toward: Float[Tensor, "Q 1 1 E"]  # <e0, z>
    products: Float[Tensor, "Q E O"]  # -<e0, v'_j>
    squared: Float[Tensor, "Q 1 1"]  # |e0|^2 at most

    @classmethod
    def of(cls, queries: Queries, first: float, last: float) -> Hull:
        z, middle = queries.centre((first + last) / 2), queries.outside.mean(1)
        ends = (first, last) if last > first else (first,)
        vertices = torch.cat([(1 - t) * queries.own + t * middle[:, None] for t in ends], 1)
        toward = (vertices @ z[..., None])[:, None, None, :, 0]
        products = -vertices @ queries.outside.mT
        return cls(first, last, vertices, z, toward, products, vertices.square().sum(-1).amax(1)[:, None, None])


def bending(majorant: Majorant, box: Box, hull: Hull, interval: tuple[float, float]) -> Float[Tensor, "Q A T"]:
    """How far the bound may exceed what interpolates it between the corners, at fixed e0, alpha and n.

    A function with second derivative >= -c exceeds its chord by width^2 c/8 at most; here c/2 is summed. -price(T) and
    (alpha/kappa)^2 are convex; the rest bends as k = alpha/kappa and its derivatives do, most at the smallest kappa.
    """
    (low, high), last = interval, hull.last
    (a0, a1), (t0, t1) = box.means, box.excesses
    kappa = 1 + last * torch.minimum(low * (a0 + t0), high * (a0 + t0))  # smallest of the cell
    k, n = last / kappa, high
    helped, toward = (x.abs().flatten(1).amax(1)[:, None, None] for x in (hull.products, hull.toward))
    a = torch.maximum(a0.abs(), a1.abs())
    bend = 2 * n * k**2
    in_t = hull.squared * bend / kappa + helped * bend * torch.clamp(n * k * t1, min=1) + toward * a * bend * n * k
    in_a = hull.squared * bend / kappa + helped * t1 * bend * n * k + toward * bend * (1 + n * k * a)
    in_a = in_a + majorant.forms[2]
    above = ((t1 - t0) ** 2 * in_t + (a1 - a0) ** 2 * in_a) / 4
    return torch.where(kappa > 0, above, torch.inf)


@dataclass(frozen=True)
class Moved:
    """What a corner does to e0 by `difference`: -<e0, e - e0> = growth |e0|^2 + gain(e0) - share <e0, B_z omega>."""

    share: Float[Tensor, "Q A T 1"]  # alpha/kappa at most
    gain: Float[Tensor, "Q A T E"]  # share (T max_j -<e0, v'_j> - a <e0, z>), at each vertex
    growth: Float[Tensor, "Q A T"]  # share (a + T)
    cost: Float[Tensor, "Q A T"]

    @classmethod
    def of(cls, corner: Corner, hull: Hull, interval: tuple[float, float]) -> Moved:
        """alpha/kappa lies between its ends over alpha and n; each term takes the end that makes it larger."""
        first, last, helped = hull.first, hull.last, hull.products.amax(-1)[:, None, None]
        a, t = corner.mean, corner.excess
        moves = [n * (a + t) for n in interval]
        least, most = first / (1 + first * torch.maximum(*moves)), last / (1 + last * torch.minimum(*moves))
        gain = t[..., None] * helped - a[..., None] * hull.toward
        gain = torch.where(gain < 0, least[..., None], most[..., None]) * gain
        return cls(most[..., None], gain, torch.where(a + t < 0, least, most) * (a + t), corner.cost)


# --- the bound of a cell ---------------------------------------------------------------------------------------------


def unpaid_form(queries: Queries, majorant: Majorant) -> Float[Tensor, "Q F F"]:
    """What of M omega can be spent on the linear term: without a^2 and the share that pays for T."""
    linear = torch.cat([majorant.forms[:2], majorant.forms[:1] * 0, majorant.forms[3:] - majorant.paying])
    return torch.einsum("k,kqfg->qfg", linear, quadratic_forms(queries))


def turned_slopes(queries: Queries, centre: Float[Tensor, "Q V"]) -> Float[Tensor, "Q V F"]:
    """B_z = B + (e* - z) (mean key)^T."""
    pulled, mean = slopes(queries)
    return pulled + (queries.nearest - centre)[..., None] * mean[:, None]


@dataclass(frozen=True)
class Axes:
    """B_z (M + multiplier)^-1 B_z^T by its eigenvectors, and the hull along them."""

    values: Float[Tensor, "Q 1 1 V"]
    chord: Float[Tensor, "Q 1 V E"]  # squares of the vertices
    line: Float[Tensor, "Q 1 V E"]  # twice the vertices
    tangent: Float[Tensor, "Q 1 1 V"]  # z

    @classmethod
    def eliminated(cls, turned: Float[Tensor, "Q V F"], form: Float[Tensor, "Q F F"], hull: Hull) -> Axes:
        """-2 p^T B_z omega - omega^T M omega is p^T B_z M^-1 B_z^T p at most; p = theta share e0."""
        values, vectors = torch.linalg.eigh(turned @ torch.linalg.inv(form) @ turned.mT)
        along, tangent = hull.vertices @ vectors, (hull.centre[:, None] @ vectors)[:, None]
        return cls(values[:, None, None], (along**2).mT[:, None], 2 * along.mT[:, None], tangent)

    def highest(self, moved: Moved, majorant: Majorant, theta: float, low: float) -> Float[Tensor, "Q A T"]:
        """The quadratic in e0 over the hull, at most.

        Along an axis x^2 lies under its chord where the coefficient is positive, above its tangent 2 z x - z^2 where
        it is negative: both are linear in the hull's weights, so that a vertex decides.
        """
        flat = (1 - theta) ** 2 / low if theta < 1 else 0.0
        curved = (flat - majorant.slope + 2 * theta * moved.growth)[..., None]
        curved = curved + (theta * moved.share) ** 2 * self.values
        pressed = curved.clamp(max=0) * self.tangent
        value = (curved.clamp(min=0) @ self.chord + pressed @ self.line + 2 * theta * moved.gain).amax(-1)
        return value - (pressed * self.tangent).sum(-1) - moved.cost


def at_corners(
    queries: Queries, majorant: Majorant, form: Tensor, box: Box, hull: Hull, interval: tuple[float, float]
) -> Float[Tensor, "Q A T"]:
    """The least bound over theta and a multiplier of |omega|^2 <= |x_i|^2, each for all corners of a cell."""
    low, size = interval[0], queries.features.norm(dim=1)
    thetas = THETAS if low > 0 else THETAS[:1]  # (1 - theta)^2/n has no bound there
    turned, eye = turned_slopes(queries, hull.centre), torch.eye(form.shape[-1], dtype=form.dtype)
    moves = [Moved.of(corner, hull, interval) for corner in box.corners]

    def bounds() -> Iterator[Tensor]:
        for multiplier in (FLOOR, *(MULTIPLIERS if hull.last > WIDE else ())):
            axes = Axes.eliminated(turned, form + multiplier * eye, hull)
            for theta in thetas:
                most = reduce(torch.maximum, (axes.highest(moved, majorant, theta, low) for moved in moves))
                yield most + multiplier * size[:, None, None] ** 2

    return reduce(torch.minimum, bounds())


def scaled_psi(queries: Queries, majorant: Majorant, interval: tuple[float, float], grid: Grid) -> Float[Tensor, "Q"]:
    """Psi_i/n at most, for all n in (low, high]; with low = 0 as n tends to 0 too."""
    low, high = interval
    form = unpaid_form(queries, majorant)
    box = Box.of(queries, majorant, grid, high)
    possible = box.possible(low)
    best = torch.full_like(form[:, 0, 0], -torch.inf)
    for first, last in grid.alpha:
        hull = Hull.of(queries, first, last)
        above = bending(majorant, box, hull, interval)
        value = torch.where(possible, at_corners(queries, majorant, form, box, hull, interval) + above, -torch.inf)
        if low > 0:
            value = torch.minimum(value, hull.squared / low)  # |e0|^2/n at most, whatever the rest
        best = torch.maximum(best, value.flatten(1).amax(1))
    return best


def certified_psi(
    queries: Queries, majorant: Majorant, interval: tuple[float, float], enough: Float[Tensor, "Q"]
) -> Float[Tensor, "Q"]:
    """Psi_i/n at most: a cover of every alpha, a and T, refined where it exceeds `enough`, a wish.

    Raises BadInput for eta = 1 - slope n below 0 somewhere on the interval.
    """
    if float(majorant.slope) * interval[1] > 1:
        raise BadInput(f"majorant must have a slope of at most 1/{interval[1]:g}, got {float(majorant.slope):g}")
    best = torch.full_like(enough, -torch.inf)

    def descend(at: Tensor, first: float, last: float, depth: int) -> None:
        """The cell for the queries `at`, and its halves for those that are not yet settled."""
        value = scaled_psi(queries[at], majorant, interval, cover((first, last), *COUNTS[min(depth, len(COUNTS) - 1)]))
        unsettled = (value > torch.maximum(enough[at], best[at])) & (depth < DEPTH)
        done = at[~unsettled]
        best[done] = torch.maximum(best[done], value[~unsettled])
        if bool(unsettled.any()):
            middle = (first + last) / 2
            descend(at[unsettled], first, middle, depth + 1)
            descend(at[unsettled], middle, last, depth + 1)

    for first, last in _between(ALPHAS):
        descend(torch.arange(len(enough)), first, last, 0)
    return best
