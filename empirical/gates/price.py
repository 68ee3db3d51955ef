"""What locality costs, gate by gate: critical penalties, first-order prices, shares, ablations and the staircase.

    critical_penalty   max(0, -(dL/ds)/(dOmega/ds)) at the mask: above its maximum no gate wants to open there
    price_at_mask, price_as_trained   -dL/ds at s = 0 and at s = 1
    share              path integral of -dL/ds; shares sum to L(mask) - L(as trained)
    ablation           L with that gate alone shut, less L as trained

A share is not an ablation: heads that do the same work share its price, and shutting one of them costs nothing. Nats a
token; intervals are 95 %, of documents drawn again. With the staircase path, layers open one after the other, shallow
first: then (L(mask) - L(s))/Omega(s) is the mean of N <-g, o_out - o_in> along it, layer by layer.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from empirical.errors import BadInput
from empirical.gates.groups import AXES
from empirical.gates.pair_map import CellMap, Each, cell_map, ratio
from empirical.gates.paths import Shares, least_nodes, leg
from empirical.gates.problem import Problem
from empirical.gates.resampling import drawn_again, interval
from empirical.shapes import Float

if TYPE_CHECKING:
    import xarray as xr

PATHS = ("diagonal", "staircase")
AT_ONCE = 2**22  # numbers of draws that are taken together
NONE_OPENS = "no gate wants to open at the mask: no critical penalty is claimed"


def priced(
    problem: Problem,
    *,
    path: tuple[str, ...] = PATHS,
    ablations: bool = True,
    tolerance: float = 1e-3,
    each: Each | None = None,
    seed: int = 0,
    started: Callable[[int], None] | None = None,
) -> xr.Dataset:
    """The prices of every gate; `path` names those that shares are taken along, `each` is given every pair of tokens.

    After the pass at the mask `started` is told how many more forward and backward passes there will be, at least.
    Raises BadInput for another path, a staircase of gates that several layers share, a loss that is NaN or depends on
    no gate, blocks with nothing outside.
    """
    checked_path(path, problem.groups.shared_over_layers)
    found = cell_map(problem, each)
    if started is not None:
        started(_passes(found, path, problem.groups.count if ablations else 0))
    dataset = _at_the_mask(problem, found, seed)
    one = torch.ones(problem.groups.count, dtype=torch.float64)
    trained, slopes, _ = problem.slopes(one)
    scored = problem.counts[0]
    change = float(found.loss.sum() - trained.sum())
    _put(dataset, problem, "price_as_trained", -slopes.sum(0) / scored.sum(), "-dL/ds at s = 1")
    leakage = problem.sums(one)[1].sum(0) * problem.per_row
    dataset["leakage"] = (("layer", "head"), leakage.numpy(), {"long_name": "mean leakage as trained"})
    dataset.attrs |= {
        "loss_as_trained": float(trained.sum() / scored.sum()),
        "loss_mask": float(found.loss.sum() / scored.sum()),
        "omega_as_trained": float(leakage.sum()),
        "change": change / float(scored.sum()),
        "documents": problem.documents,
    }
    if "diagonal" in path:
        shares = leg(problem, 0 * one, one, change, _log(found.odds.max()), tolerance)
        _put_shares(dataset, problem, shares, "share", change, seed)
    if ablations:
        _put(
            dataset, problem, "ablation", _ablations(problem, trained), "L with this gate alone shut, less L as trained"
        )
    return _staircase(problem, found, dataset, tolerance, seed) if "staircase" in path else dataset


def checked_path(path: tuple[str, ...], shared: bool) -> None:
    """Raises BadInput for another path, or a staircase of gates that several layers share."""
    if isinstance(path, str) or not set(path) <= set(PATHS):
        raise BadInput(f"path must be some of {', '.join(PATHS)} in a tuple, got {path!r}")
    if "staircase" in path and shared:
        raise BadInput("path must not be the staircase where layers share gates, got gates of several layers")


def _passes(found: CellMap, path: tuple[str, ...], ablations: int) -> int:
    """Forward and backward, three forward ones being one."""
    nodes = [found.odds.max()] * ("diagonal" in path) + list(found.odds) * ("staircase" in path)
    forward = 1 + ablations + len(found.odds) * ("staircase" in path)
    return 1 + sum(least_nodes(_log(odds)) for odds in nodes) + math.ceil(forward / 3)


def mask_prices(problem: Problem, each: Each | None = None, seed: int = 0) -> xr.Dataset:
    """What one backward pass at the mask says alone: critical penalties, and the map by cells."""
    return _at_the_mask(problem, cell_map(problem, each), seed)


def _at_the_mask(problem: Problem, found: CellMap, seed: int) -> xr.Dataset:
    import xarray as xr

    groups = problem.groups
    dataset = xr.Dataset(
        coords={
            "layer": np.arange(groups.layers),
            "head": np.arange(groups.heads),
            "block_query": np.arange(groups.blocks),
            "block_key": np.r_[np.arange(groups.blocks), -1],  # -1: keys of no block
        }
    )
    if groups.dims == ("gate",):
        dataset.coords["gate"] = np.arange(groups.count)
    critical = found.critical(problem)
    _put(dataset, problem, "critical_penalty", critical, "penalty above which the gate stays shut at the mask")
    drawn, largest = _critical_again(problem, found, seed)
    _put_interval(dataset, problem, "critical_penalty", drawn)
    _put(dataset, problem, "price_at_mask", found.price_of(problem), "-dL/ds at s = 0")
    _put(dataset, problem, "omega_at_mask", found.omega_of(problem), "dOmega/ds at s = 0")
    weight = found.weight.sum(0) * problem.per_row[..., None, None]
    for name, values, meaning in (
        ("pair_penalty", found.pair_penalty(problem), "weighted mean of the critical penalties of single pairs"),
        (
            "pair_largest",
            found.largest(problem),
            "largest critical penalty of a single pair, before the maximum with 0",
        ),
        ("pair_weight", weight, "dOmega/ds of the pairs of a cell at s = 0"),
    ):
        dataset[name] = (AXES, values.numpy(), {"long_name": meaning})
    top = found.lambda_crit(problem)
    dataset.attrs |= {
        "lambda_crit": top,
        "statement": NONE_OPENS if top == 0 else f"above {top:.6g} every gate stays shut",
    }
    low, high = interval(largest)
    dataset.attrs |= {"lambda_crit_low": float(low), "lambda_crit_high": float(high)}
    return dataset


def _critical_again(problem: Problem, found: CellMap, seed: int) -> tuple[Float[np.ndarray, "R G"], np.ndarray]:
    """Critical penalties, and the largest, of documents drawn again."""
    scored, rows = problem.counts
    prices = problem.groups.spread(found.price)
    weights = drawn_again(problem.documents, seed)
    draws = []
    for some in weights.split(max(1, AT_ONCE // found.weight[0].numel())):
        total = torch.einsum("rd,dlh->rlh", some, rows)
        cells = torch.einsum("rd,dlhqk->rlhqk", some, found.weight)
        omega = problem.groups.spread(torch.where(total > 0, 1 / total.clamp(min=1), 0.0)[..., None, None] * cells)
        draws.append(ratio(some @ prices / (some @ scored)[:, None], omega))
    again = torch.cat(draws).numpy()
    return again, np.nan_to_num(again).max(-1)


def _put(dataset: xr.Dataset, problem: Problem, name: str, values: Any, meaning: str) -> None:
    table = problem.groups.table(values)
    lead = ("layer_opened",) if table.ndim > len(problem.groups.shape) else ()
    dataset[name] = ((*lead, *problem.groups.dims), table, {"long_name": meaning})


def _put_interval(dataset: xr.Dataset, problem: Problem, name: str, drawn: Float[np.ndarray, "R G"]) -> None:
    """95 % of the draws; NaN where there is one document, or a gate has no pairs."""
    for end, values in zip(("low", "high"), interval(drawn)):
        _put(dataset, problem, f"{name}_{end}", values, f"{end} end of its 95 % interval over documents")


def _put_shares(dataset: xr.Dataset, problem: Problem, shares: Shares, name: str, change: float, seed: int) -> None:
    scored = problem.counts[0]
    total = float(scored.sum())
    _put(dataset, problem, name, shares.value.sum(0) / total, "share of L(mask) - L(as trained)")
    _put(dataset, problem, f"{name}_error", shares.error / total, "difference of two quadrature rules")
    weights = drawn_again(problem.documents, seed)
    drawn = (weights @ shares.value) / (weights @ scored)[:, None]
    _put_interval(dataset, problem, name, drawn.numpy())
    found = float(shares.value.sum()) / total
    dataset.attrs |= {f"{name}_sum": found, f"{name}_defect": found - change / total, f"{name}_nodes": shares.nodes}


def _ablations(problem: Problem, trained: Float[Tensor, "D"]) -> Float[Tensor, "G"]:
    found = torch.zeros(problem.groups.count, dtype=torch.float64)
    for gate in range(problem.groups.count):
        open_but_one = torch.ones(problem.groups.count, dtype=torch.float64)
        open_but_one[gate] = 0
        found[gate] = (problem.sums(open_but_one, leakage=False)[0] - trained).sum() / problem.counts[0].sum()
    return found


def _staircase(problem: Problem, found: CellMap, dataset: xr.Dataset, tolerance: float, seed: int) -> xr.Dataset:
    """The ledger: what each layer's opening is worth when the deeper ones are shut, and the leakage that it takes."""
    total = float(problem.counts[0].sum())
    at = torch.zeros(problem.groups.count, dtype=torch.float64)
    loss, omega = float(found.loss.sum()), 0.0
    parts, costs, leaks, prices = [], [], [], []
    for layer in range(problem.groups.layers):
        to = torch.where(problem.groups.in_layer[layer], 1.0, at)
        losses, leakage = problem.sums(to)
        after = float(losses.sum())
        parts.append(leg(problem, at, to, loss - after, _log(found.odds[layer]), tolerance))
        costs.append((loss - after) / total)
        prices.append(float(parts[-1].value.sum()) / total)
        leaks.append(float(problem.omega(leakage.sum(0))) - omega)
        at, loss, omega = to, after, omega + leaks[-1]
    shares = sum(parts[1:], parts[0])
    _put_shares(dataset, problem, shares, "stair_share", float(found.loss.sum()) - loss, seed)
    rates = np.divide(costs, leaks, out=np.full(len(costs), math.nan), where=np.array(leaks) > 0)
    for name, values, meaning in (
        ("stair_loss", costs, "L before the layer opens, less L after"),
        ("stair_price", prices, "the same, integrated"),
        ("stair_leakage", leaks, "Omega that it takes"),
        ("stair_rate", rates, "loss gained a unit of leakage: the mean of N <-g, o_out - o_in> along it"),
    ):
        dataset[name] = (("layer",), np.array(values), {"long_name": meaning})
    return dataset


def _log(odds: Tensor) -> float:
    return math.log(max(float(odds), 1e-300))
