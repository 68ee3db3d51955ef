"""Chapters of gates: what locality costs a checkpoint (prices.nc), and gates chosen for it (gates.json, path.nc)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from empirical.errors import BadInput
from empirical.files import foreign, one_line, read_object
from empirical.gates.saved import GATES, PATH, PRICES, TABLE
from empirical.observe.files import open_sealed
from empirical.pages.chapters import Chapter, Table, command, listed, number
from empirical.pages.observed import versions_of

if TYPE_CHECKING:
    import xarray as xr

MUST = "DIR must hold a netCDF file of localist"
KINDS = {
    "critical_penalty": "critical penalty: above it the gate stays shut",
    "share": "share of the cost of masking everything, along the diagonal path",
    "stair_share": "share of that cost, layers opened one after the other",
    "ablation": "cost of shutting this gate alone",
}
"""Fields of prices.nc that are shown, and what they are."""
LOSSES = (("loss_as_trained", "as trained"), ("loss", "at these gates"), ("loss_mask", "mask"), ("change", "change"))


def holds_prices(path: Path) -> bool:
    return (path / PRICES).is_file()


def holds_gates(path: Path) -> bool:
    return (path / GATES).is_file()


def prices_chapter(path: Path) -> Chapter:
    """Of a folder that `localist price` wrote. Raises BadInput for what is foreign or damaged."""
    found = open_sealed(path / PRICES, MUST)
    said = found.attrs
    wanted = ("statement", "change", "loss_as_trained", "loss_mask", "model")
    if missing := [name for name in wanted if name not in said]:
        raise BadInput(f"DIR must hold what localist price wrote, got {str(path / PRICES)!r} without {missing[0]}")
    sentence = (
        f"Masking everything outside the blocks changes the loss by {float(said['change']):+.4f} nats a token "
        f"({number(float(said['loss_as_trained']))} as trained, {number(float(said['loss_mask']))} masked); "
        f"{one_line(said['statement'])}."
    )
    facts = [
        (name.replace("_", " "), one_line(said[name]))
        for name in ("model", "blocks", "documents", "loss", "lambda_crit", "lambda_crit_low", "lambda_crit_high")
        if name in said
    ]
    facts += [
        (
            f"{name.replace('_', ' ')}: sum, and how far from what was measured",
            f"{said[f'{name}_sum']:+.5g}, {said[f'{name}_defect']:+.1e}",
        )
        for name in ("share", "stair_share")
        if f"{name}_sum" in said and f"{name}_defect" in said
    ]
    tables = tuple(
        _grid(name.replace("_", " "), np.asarray(found[name].values, float), found[name].dims, words)
        for name, words in KINDS.items()
        if name in found
    )
    again = (command("price", said["model"], "--text", "FILE.jsonl", "--out", path),)
    return Chapter(
        one_line(path), "prices", (sentence,), tuple(facts), tables, commands=again, provenance=_provenance(said)
    )


def gates_chapter(path: Path) -> Chapter:
    """Of a folder that `localist localise` wrote. Raises BadInput for what is foreign or damaged."""
    from safetensors.numpy import load_file

    said = read_object(path / GATES, f"DIR must hold what localist localise wrote: {GATES}")
    with foreign(f"DIR must hold what localist localise wrote: {TABLE}", path / TABLE):
        gates = load_file(path / TABLE)["gates"].astype(float)
    judged = {words: said.get(name) for name, words in (("chosen_on", "chose"), ("held_out", "held out"))}
    with foreign("DIR must hold what localist localise wrote", path / GATES):
        losses = [_losses(words, cast("dict[str, Any]", part)) for words, part in judged.items()]
        kept = float(cast("dict[str, Any]", said["held_out"])["leakage_kept"])
        low, high = cast("dict[str, Any]", said["held_out"])["change_interval"]
        change = float(cast("dict[str, Any]", said["held_out"])["change"])
        axes = [str(axis) for axis in said["axes"]]
        penalty = number(said["penalty"])
    shut = int((gates == 0).sum())
    sentence = (
        f"{shut} of {gates.size} gates are exactly shut at penalty {penalty}; on documents held out the loss changes "
        f"by {change:+.4f} nats a token (95 % {float(low):+.4f} to {float(high):+.4f}) and {kept:.3f} of the attention "
        "outside the blocks is kept."
    )
    columns = ("documents that", *(words for _, words in LOSSES), "95 % of the change", "leakage kept")
    tables = [
        Table("Losses, nats a token", columns, tuple(losses)),
        _grid("gates", gates, axes, "1: as trained; 0: shut, so that nothing outside the block is seen"),
    ]
    if (path / PATH).is_file():
        tables.append(_along(open_sealed(path / PATH, MUST)))
    facts = [
        (name.replace("_", " "), _shown(said[name]))
        for name in ("blocks_named", "documents", "loss", "penalty", "lambda_crit")
        if name in said
    ]
    again = (command("localise", "MODEL", "--text", "FILE.jsonl", "--out", path, "--penalty", said["penalty"]),)
    return Chapter(
        one_line(path), "gates", (sentence,), tuple(facts), tuple(tables), commands=again, provenance=_provenance(said)
    )


def _losses(words: str, part: Mapping[str, Any]) -> tuple[str, ...]:
    low, high = part["change_interval"]
    numbers = (f"{float(part[name]):+.4f}" if name == "change" else number(float(part[name])) for name, _ in LOSSES)
    return words, *numbers, f"{float(low):+.4f} to {float(high):+.4f}", f"{float(part['leakage_kept']):.3f}"


def _grid(title: str, values: np.ndarray, dims: Sequence[Any], words: str) -> Table:
    """Layers down and what is left across; where there are more axes than two, the others side by side."""
    names = [str(dim).replace("_", " ") for dim in dims]
    flat = values.reshape(values.shape[0], -1) if values.ndim else values.reshape(1, 1)
    places = list(np.ndindex(*values.shape[1:])) if values.ndim else [()]
    columns = tuple(" ".join(map(str, place)) or "all" for place in places)
    across = ", ".join(names[1:])
    rows = tuple((str(at), *(number(float(v)) for v in row)) for at, row in enumerate(flat))
    head = f"{names[0] if names else ''} \\ {across}" if across else (names[0] if names else "")
    return Table(title[0].upper() + title[1:], (head, *columns), rows, words)


def _along(path: xr.Dataset) -> Table:
    """Loss and leakage of what was found at each penalty, the best start of each."""
    best = path["objective"].argmin("start") if "start" in path["objective"].dims else None
    chosen = path if best is None else path.isel(start=best)
    names = [name for name in ("loss", "omega", "residual") if name in chosen]
    shut = (chosen["gates"] == 0).sum([d for d in chosen["gates"].dims if d != "penalty"])
    rows = tuple(
        (number(float(p)), *(number(float(chosen[name].values[at])) for name in names), str(int(shut.values[at])))
        for at, p in enumerate(path["penalty"].values)
    )
    words = "Candidates along penalties, the better start of each; omega is the leakage summed over heads."
    return Table("Along penalties", ("penalty", *names, "gates shut"), rows, words, folded=True)


def _shown(value: Any) -> str:
    if isinstance(value, list):
        return listed(map(one_line, cast("list[Any]", value)))
    if isinstance(value, Mapping):
        parts = cast("Mapping[str, Any]", value)
        return ", ".join(f"{one_line(name)} {number(part)}" for name, part in parts.items())
    return one_line(number(value))


def _provenance(said: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    def parts() -> Iterator[tuple[str, str]]:
        for name, words in (("text", "digest of the text"), ("model", "model or its digest"), ("commit", "commit")):
            if said.get(name):
                yield words, one_line(said[name])
        yield from versions_of(said.get("versions", "{}"))

    return tuple(parts())
