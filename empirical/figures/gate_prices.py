"""Prices of attention outside its block: by layer and head, by pair of blocks, layer by layer."""

from __future__ import annotations

import json

import numpy as np
import xarray as xr
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from empirical.figures import style
from empirical.figures.observed import Absent

SIGNED = colormaps["PuOr"]
FEW = 24  # blocks a side that are named


def price_map(found: xr.Dataset) -> Figure:
    """Shares of what the mask costs, which add up to it, beside single ablations and critical penalties."""
    shown = [name for name in ("share", "stair_share", "ablation") if name in found]
    if not shown or not {"layer", "head"} <= set(found[shown[0]].dims):
        raise Absent("no share or ablation is by layer and head")
    tables = {name: _by_head(found[name]) for name in shown}
    most = max(float(np.abs(table).max()) for table in tables.values()) or 1.0
    said, (layers, heads) = found.attrs, tables[shown[0]].shape
    tables["critical_penalty"] = found["critical_penalty"].max(_others(found["critical_penalty"])).values
    figure = style.sheet(
        1.2 + (0.9 + max(1.3, min(2.6, 0.22 * heads))) * len(tables),
        max(1.5, min(6.0, 0.22 * layers)) + 1.35,
        *_sums(tables, said),
    )
    words = {
        "share": "share of its cost (nats)", "stair_share": "share, layer by layer (nats)",
        "ablation": "cost of shutting it alone (nats)", "critical_penalty": "critical penalty",
    }  # fmt: skip
    for axes, (name, table) in zip(figure.subplots(1, len(tables), squeeze=False)[0], tables.items()):
        scale = {"cmap": SIGNED, "vmin": -most, "vmax": most} if name in shown else {"cmap": style.ORDERED, "vmin": 0}
        image = axes.imshow(table, aspect="auto", **scale)
        figure.colorbar(image, ax=axes, pad=0.02, aspect=22)
        _ticks(axes, heads, layers)
        axes.set(title=words[name], xlabel="head")
    figure.axes[0].set_ylabel("layer")
    return figure


def _sums(tables: dict[str, np.ndarray], said: dict) -> tuple[str, str]:
    name, unit = next(iter(tables)), "nats a token"
    first = tables[name]
    at = np.unravel_index(int(first.argmax()), first.shape)
    who = f"head {at[1]} of layer {at[0]}"
    change = said["change"]
    note = f"{style.counted(int(said['documents']), 'document')}; loss {said['loss']}"
    if name == "ablation":
        return f"Shutting {who} alone costs most: {first.max():+.3g} {unit}; the whole mask {change:+.3g}", note
    alone = f"; ablations, which need not add up: {tables['ablation'].sum():+.4g}" if "ablation" in tables else ""
    return (
        f"The mask costs {change:+.4g} {unit}; shares add up to {first.sum():+.4g}, {who} has {first.max():+.3g}",
        f"measured change less sum of shares: {change - first.sum():+.1e}{alone}. {note}",
    )


def _others(values: xr.DataArray) -> list[str]:
    return [str(dim) for dim in values.dims if dim not in ("layer", "head")]


def _by_head(values: xr.DataArray) -> np.ndarray:
    return values.sum(_others(values)).values


def _ticks(axes: Axes, across: int, down: int) -> None:
    for size, ticks in ((across, axes.set_xticks), (down, axes.set_yticks)):
        ticks(range(0, size, max(1, -(-size // 8))))


def price_blocks(found: xr.Dataset) -> Figure:
    """The penalty that keeps the pairs of two blocks shut at the mask: of an average head, and of the steepest."""
    weight = found["pair_weight"].values
    there: np.ndarray = np.any(weight > 0, axis=(0, 1))
    if not there.any():
        raise Absent("no pair of blocks has a price")
    wanted = np.maximum(np.where(weight > 0, found["pair_penalty"].values, 0.0), 0.0)
    names = json.loads(found.attrs["blocks"]) if "blocks" in found.attrs else list(map(str, range(len(there))))
    names = [style.plain(name) for name in (*names, "no block")]
    columns = np.flatnonzero(there.any(0))
    side = max(1.5, 0.3 * max(there.shape))
    query, key = divmod(int(wanted.max((0, 1)).argmax()), there.shape[1])
    most = float(wanted.max())
    claim = f"{names[query]} holds on to {names[key]} most: only a penalty above {most:.3g} shuts it out of every head"
    figure = style.sheet(
        2 * side + 3.8,
        side + 1.6,
        claim if most > 0 else "No block wants to see another, at the mask",
        "rows: blocks of queries, columns: blocks of keys; white: no pair. Penalty on leakage summed over heads, at "
        "which the gate of two blocks alone would stay shut",
    )
    for axes, values, words in zip(
        figure.subplots(1, 2), (wanted.mean((0, 1)), wanted.max((0, 1))), ("mean over heads", "steepest head")
    ):
        shown = np.where(there, values, np.nan)[:, columns]
        image = axes.imshow(shown, cmap=style.ORDERED, vmin=0, vmax=float(np.nanmax(shown)) or 1.0, aspect="auto")
        figure.colorbar(image, ax=axes, pad=0.02, aspect=22)
        axes.set_title(f"critical penalty, {words}")
        few = max(1, -(-max(there.shape) // FEW))
        axes.set_xticks(range(len(columns))[::few], [names[at] for at in columns[::few]], rotation=45, ha="right")
        axes.set_yticks(range(len(there))[::few], names[: len(there) : few])
    return figure


def staircase(found: xr.Dataset) -> Figure:
    """The ledger by layer: what its opening is worth when deeper layers are shut, and what leakage it takes."""
    if "stair_loss" not in found:
        raise Absent("no staircase was asked for")
    loss, leakage, rate = (found[f"stair_{name}"].values for name in ("loss", "leakage", "rate"))
    layers = np.arange(len(loss))
    cheap = int(np.nanargmin(rate)) if np.isfinite(rate).any() else 0
    figure = style.sheet(
        6.4,
        2.6,
        f"Layer {int(loss.argmax())} pays most for what it reads outside: {loss.max():+.3g} nats a token; a unit of "
        f"leakage is worth least in layer {cheap}",
        f"layers opened shallow first, deeper ones shut; the losses add up to {loss.sum():+.4g} nats a token",
    )
    panels = (("loss gained (nats a token)", loss), ("leakage taken", leakage), ("loss gained a unit of leakage", rate))
    for axes, (words, values), colour in zip(figure.subplots(1, 3), panels, (style.BLUE, style.GREY, style.ORANGE)):
        axes.bar(layers, values, color=colour, width=0.7)
        axes.axhline(0, color=style.BLACK, lw=0.6)
        axes.set_xticks(layers[:: max(1, -(-len(layers) // 8))])
        axes.set(title=words, xlabel="layer")
    return figure
