"""Psi_i of `dual`: what quadratic majorants leave of one query of `blocks`, certified over cells (claim C3).

    Psi_i = sup of eta |e0|^2 - |e|^2 - w^T M_i w  over all in-block logits and |w| <= n |x_i|

e0 and e are the errors of query i without and with its cross logits s_j = k_j . w. With O keys outside, v'_j = value -
target, v- their mean, a = mean s_j, T = mean(e^s_j - 1 - s_j):

    e0 = (1 - alpha) (point of the hull of own v') + alpha v-,   e = (e0 + alpha mean e^s_j v'_j - alpha v-) / kappa,
    kappa = 1 + alpha (a + T):  attention without cross logits, and what they do to it

Cells are of (alpha, a, T), n in (low, high]; everything is scaled by n: w = n omega, M = forms/n, 1 - eta = slope n.
-|e|^2 <= (theta^2 - 2 theta)|e0|^2 - 2 theta <e0, e - e0> for any theta; omega is eliminated where it enters linearly;
what is left is quadratic in e0: its convex part lies under the chord, its concave part under a tangent, so that
vertices decide. T costs at least what the fewest, longest s_j cost. float64, with rounding far below ROOM of `dual`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from scipy.optimize import nnls
from torch import Tensor

from empirical.errors import BadInput
from empirical.laboratory.tasks import Retrieval
from empirical.shapes import Float

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
ALPHAS = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)  # first cells; those that matter are halved
COUNTS = ((4, 6), (8, 12), (16, 20), (32, 32))  # cells of a and T, the more the smaller the cell of alpha


@dataclass(frozen=True)
class Queries:
    """The Q queries of one block, O keys outside with F features of all other blocks side by side."""

    own: Float[Tensor, "Q m V"]  # v' = value - target
    outside: Float[Tensor, "Q O V"]
    keys: Float[Tensor, "Q O F"]  # over the temperature
    features: Float[Tensor, "Q d"]  # x_i
    centres: Float[Tensor, "Q A V"]  # the shortest error at each of ALPHAS
    nearest: Float[Tensor, "Q V"]  # the shortest of all

    def centre(self, alpha: float) -> Float[Tensor, "Q V"]:
        """Near the shortest error at this alpha; any vector is as valid."""
        step = min(int(alpha * (len(ALPHAS) - 1)), len(ALPHAS) - 2)
        part = (alpha - ALPHAS[step]) / (ALPHAS[step + 1] - ALPHAS[step])
        return torch.lerp(self.centres[:, step], self.centres[:, step + 1], part)

    def __getitem__(self, at: Tensor) -> Queries:
        return Queries(*(field[at] for field in vars(self).values()))


def _shortest(points: Float[np.ndarray, "m V"]) -> Float[np.ndarray, "V"]:
    """Of the hull of the points, nearly; any vector is as valid."""
    weights, _ = nnls(np.vstack([points.T, np.full(len(points), 1e3)]), np.append(np.zeros(points.shape[1]), 1e3))
    return weights @ points / weights.sum()


def block_queries(data: Retrieval, block: int) -> Queries:
    """Raises ValueError where a key has features of a block that is not its own: the bound needs that it has none."""
    mine, own = data.query_block == block, data.key_block == block
    keys = data.keys[mine].unflatten(-1, (data.blocks, -1))
    elsewhere = torch.nn.functional.one_hot(data.key_block, data.blocks)[..., None] == 0
    if bool((data.keys.unflatten(-1, (data.blocks, -1)) * elsewhere).any()):
        raise BadInput("data must hold keys with features of their own block alone, got others")
    others = [c for c in range(data.blocks) if c != block]
    error = data.values[mine] - data.target[mine][:, None]
    mean = error[:, ~own].mean(1)
    hulls = [[(1 - t) * p + t * v for t in ALPHAS] for p, v in zip(error[:, own].numpy(), mean.numpy())]
    centre = torch.as_tensor(np.array([[_shortest(points) for points in hull] for hull in hulls]))
    nearest = [_shortest(np.vstack([p, v])) for p, v in zip(error[:, own].numpy(), mean.numpy())]
    return Queries(
        error[:, own],
        error[:, ~own],
        keys[:, ~own][:, :, others].flatten(2) / data.temperature,
        data.query[mine].unflatten(-1, (data.blocks, -1))[:, block],
        centre,
        torch.as_tensor(np.array(nearest)),
    )


@dataclass(frozen=True)
class Majorant:
    """slope = (1-eta)/n and n M_i = sum of c_k times five forms; a share of the last two pays for T.

    Forms: ||B omega||^2, <e*, B omega>^2/|e*|^2, a^2, mean s_j^2 times O, |omega|^2; B = mean (v'_j - e*) k_j^T.
    """

    logs: Float[Tensor, "8"]  # of the slope and the five; logits of the two shares

    @property
    def slope(self) -> Tensor:
        return self.logs[0].exp()

    @property
    def forms(self) -> Tensor:
        return self.logs[1:6].exp()

    @property
    def paying(self) -> Tensor:
        return self.forms[3:] * self.logs[6:].sigmoid()


START = Majorant(torch.tensor([0.1, 0.1, 0.6, 0.2, 0.002, 0.001, 1.0, 1.0], dtype=torch.float64).log())


def slopes(queries: Queries) -> tuple[Float[Tensor, "Q V F"], Float[Tensor, "Q F"]]:
    """B and the gradient of a."""
    pulled = (queries.outside - queries.nearest[:, None]).mT @ queries.keys / queries.keys.shape[1]
    return pulled, queries.keys.mean(1)


def quadratic_forms(queries: Queries) -> Float[Tensor, "5 Q F F"]:
    pulled, mean = slopes(queries)
    along = (queries.nearest / queries.nearest.norm(dim=1, keepdim=True))[:, None] @ pulled
    outer = [(p.mT @ p) for p in (pulled, along, mean[:, None], queries.keys)]
    return torch.stack([*outer, torch.eye(mean.shape[1], dtype=mean.dtype).expand_as(outer[0])])


def curvatures(queries: Queries, count: int) -> Float[Tensor, "5 FD FD"]:
    """(1/N) sum_i M_i (x) x_i x_i^T of each form."""
    x = queries.features
    joined = torch.einsum("kqfg,qd,qe->kfdge", quadratic_forms(queries), x, x) / count
    side = joined.shape[1] * joined.shape[2]
    return joined.reshape(-1, side, side)


def _excess(s: Tensor) -> Tensor:
    """e^s - 1 - s, by its series where that cancels."""
    return torch.where(s < 1e-3, s * s / 2 * (1 + s / 3 * (1 + s / 3)), torch.expm1(s) - s)


def _price(
    queries: Queries, paying: Tensor, excess: Float[Tensor, "Q T"], n: float, points: int = 160
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
    rate = _excess(n * edge[:, 1:]) / (n * edge[:, 1:] ** 2)
    left = edge[:, None, :-1] ** 2
    squares = torch.maximum(left, o * excess[..., None] / rate[:, None])
    return (paying[0] * squares + paying[1] * left / key[..., None] ** 2).amin(-1)


def scaled_psi(queries: Queries, majorant: Majorant, interval: tuple[float, float], cells: Grid) -> Float[Tensor, "Q"]:
    """Psi_i/n at most, for all n in (low, high]; with low = 0 as n tends to 0 too.

    At fixed e0, alpha and n the bound in a cell of (a, T) is at most what interpolates it between the corners plus
    sum width^2/8 times its concavity; -price(T) and (alpha/kappa)^2 are convex. Then e0 is free at every corner.
    """
    low, high = interval
    thetas = THETAS if low > 0 else THETAS[:1]  # (1 - theta)^2/n has no bound there
    pulled, mean = slopes(queries)
    forms, size = quadratic_forms(queries), queries.features.norm(dim=1)
    linear = torch.cat([majorant.forms[:2], majorant.forms[:1] * 0, majorant.forms[3:] - majorant.paying])
    base = torch.einsum("k,kqfg->qfg", linear, forms)
    eye = torch.eye(base.shape[-1], dtype=base.dtype)

    largest = (mean.norm(dim=1) * size)[:, None]
    a0, a1 = (largest * torch.tensor(ends, dtype=base.dtype) for ends in zip(*cells.mean))
    o, reach = queries.keys.shape[1], torch.linalg.matrix_norm(queries.keys, 2)
    longest = queries.keys.norm(dim=-1).amax(1) * size
    one = (_excess(high * longest) / (high * o))[:, None]  # T/n of the longest key alone, along omega
    more = one * ((reach * size / longest) ** 2 - 1)[:, None]
    steps = (torch.tensor(ends, dtype=base.dtype) for ends in zip(*cells.excess))
    t0, t1 = (one * step.clamp(max=1) ** 3 + more * (step - 1).clamp(min=0) for step in steps)
    prices = [_price(queries, majorant.paying, t, high)[:, None] for t in (t0, t1)]
    a0, a1, t0, t1 = a0[..., None], a1[..., None], t0[:, None], t1[:, None]  # Q, means, excesses
    corners = [
        (a, t, majorant.forms[2] * a**2 + price)
        for a in (a0, a1)[: 1 + bool((a1 > a0).any())]
        for t, price in list(zip((t0, t1), prices))[: 1 + bool((t1 > t0).any())]
    ]
    nearest_a = torch.where(a0 * a1 < 0, 0.0, torch.minimum(a0.abs(), a1.abs())) * torch.where(a0 + a1 < 0, -1.0, 1.0)
    possible = (
        t1 >= _excess(low * nearest_a) / low * (1 - SLACK) if low > 0 else torch.ones_like(a0 + t0, dtype=torch.bool)
    )
    middle = queries.outside.mean(1)
    best = torch.full_like(size, -torch.inf)
    for first, last in cells.alpha:
        z = queries.centre((first + last) / 2)
        ends = (first, last) if last > first else (first,)
        vertices = torch.cat([(1 - t) * queries.own + t * middle[:, None] for t in ends], 1)
        toward = (vertices @ z[..., None])[:, None, None, :, 0]
        products = -vertices @ queries.outside.mT
        helped = products.amax(-1)[:, None, None]
        turned = pulled + (queries.nearest - z)[..., None] * mean[:, None]

        # the cell's smallest kappa and largest alpha/kappa, and the concavity of what is interpolated
        kappa = 1 + last * torch.minimum(low * (a0 + t0), high * (a0 + t0))
        k, n = last / kappa, high
        squared = vertices.square().sum(-1).amax(1)[:, None, None]
        help_, tow = (x.abs().flatten(1).amax(1)[:, None, None] for x in (products, toward))
        a_ = torch.maximum(a0.abs(), a1.abs())
        bend = 2 * n * k**2
        in_t = squared * bend / kappa + help_ * bend * torch.clamp(n * k * t1, min=1) + tow * a_ * bend * n * k
        in_a = squared * bend / kappa + help_ * t1 * bend * n * k + tow * bend * (1 + n * k * a_) + majorant.forms[2]
        spare = ((t1 - t0) ** 2 * in_t + (a1 - a0) ** 2 * in_a) / 4
        spare = torch.where(kappa > 0, spare, torch.inf)

        shares = []
        for a, t, _ in corners:
            moves = (low * (a + t), high * (a + t))
            share0, share1 = first / (1 + first * torch.maximum(*moves)), last / (1 + last * torch.minimum(*moves))
            gain = t[..., None] * helped - a[..., None] * toward
            gain = torch.where(gain < 0, share0[..., None], share1[..., None]) * gain
            shares.append((share1[..., None], gain, torch.where(a + t < 0, share0, share1) * (a + t)))
        found = None
        for multiplier in (FLOOR, *(MULTIPLIERS if last > WIDE else ())):
            values, vectors = torch.linalg.eigh(turned @ torch.linalg.inv(base + multiplier * eye) @ turned.mT)
            along, tangent = vertices @ vectors, (z[:, None] @ vectors)[:, None]
            chord, line = (along**2).mT[:, None], 2 * along.mT[:, None]
            for theta in thetas:
                flat = (1 - theta) ** 2 / low if theta < 1 else 0.0
                most = None  # over the corners, for one theta and multiplier
                for (_, _, paid), (share, gain, grow) in zip(corners, shares):
                    curved = (flat - majorant.slope + 2 * theta * grow)[..., None]
                    curved = curved + (theta * share) ** 2 * values[:, None, None]
                    pressed = curved.clamp(max=0) * tangent
                    value = (curved.clamp(min=0) @ chord + pressed @ line + 2 * theta * gain).amax(-1)
                    value = value - (pressed * tangent).sum(-1) - paid
                    most = value if most is None else torch.maximum(most, value)
                assert most is not None
                most = most + multiplier * size[:, None, None] ** 2
                found = most if found is None else torch.minimum(found, most)
        assert found is not None
        value = torch.where(possible, found + spare, -torch.inf)
        if low > 0:
            value = torch.minimum(value, squared / low)  # |e0|^2/n at most, whatever the rest
        best = torch.maximum(best, value.flatten(1).amax(1))
    return best


def certified_psi(
    queries: Queries, majorant: Majorant, interval: tuple[float, float], enough: Float[Tensor, "Q"]
) -> Float[Tensor, "Q"]:
    """Psi_i/n at most: a cover of every alpha, a and T, refined where it exceeds `enough`, a wish.

    Raises ValueError for eta = 1 - slope n below 0 somewhere on the interval.
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
