"""Chapters of observed attention: a run of the laboratory, a checkpoint on a text, anybody's own rows."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bounds.thresholds.design import Design, design
from empirical.check.report import share
from empirical.check.verdicts import check_dataset
from empirical.errors import BadInput
from empirical.figures import VERDICTS, drawn, kinds_of
from empirical.figures.observed import Observed
from empirical.figures.style import counted
from empirical.files import one_line
from empirical.laboratory.config import parse
from empirical.observe.files import FILE, open_observations
from empirical.observe.summary import by_head
from empirical.pages.chapters import (
    Chapter,
    Table,
    command,
    flat,
    judged_tables,
    listed,
    number,
    pictured,
    sentences,
    toml,
)

if TYPE_CHECKING:
    import xarray as xr


def observed_chapter(path: Path) -> Chapter:
    """Of a folder with observations.nc, a .nc or a .npz. Raises BadInput for what is foreign or damaged."""
    dataset = open_observations(path)
    seen = Observed(dataset)
    outcomes = check_dataset(dataset, cloud=True, witnesses=False)
    pictures, absent = pictured(chain(drawn(VERDICTS, outcomes), drawn(kinds_of(seen), seen)))
    config = seen.config
    facts, texts, tables, commands = _of_run(path, config) if config else _of_others(dataset, path)
    return Chapter(
        name=one_line(path),
        kind="run" if config else "checkpoint" if "model" in dataset.attrs else "observations",
        sentences=sentences(outcomes),
        facts=(*facts, *_rows(seen)),
        tables=(*tables, *judged_tables(outcomes)),
        pictures=pictures,
        absent=absent,
        texts=texts,
        commands=(*commands, command("check", path)),
        provenance=tuple(_provenance(dataset.attrs)),
        outcomes=outcomes,
        settings=flat(config),
    )


Parts = tuple[list[tuple[str, str]], tuple[tuple[str, str], ...], tuple[Table, ...], tuple[str, ...]]
"""Facts, preformatted texts, tables, commands."""


def _of_run(path: Path, config: Mapping[str, Any]) -> Parts:
    again = (command("run", "CONFIG.toml", "--out", path),)
    try:
        known = parse(config)
    except BadInput as refusal:
        return [("configuration", f"of another release: {refusal}")], (("CONFIG.toml", toml(config)),), (), again
    thresholds = thresholds_table(design(known.setting, known.penalty_setting))
    shape = ((known.layers, "layer"), (known.heads, "head"), (known.model.blocks, "block"))
    facts = [
        ("task", known.task.name),
        ("model", ", ".join(counted(*part) for part in shape)),
        ("penalties", listed(known.sweep.penalties) + (" times critical" if known.sweep.relative_to_critical else "")),
        ("starts", ", ".join(known.sweep.starts)),
        ("seeds", listed(known.sweep.seeds)),
    ]
    return facts, (("CONFIG.toml", toml(config)),), (thresholds,) if thresholds.rows else (), again


def _of_others(dataset: xr.Dataset, path: Path) -> Parts:
    said = dataset.attrs
    facts = [
        (name, one_line(said[name]))
        for name in ("model", "attention", "relevant", "blocks", "dials", "queries_in_no_block", "no_loss", "isolated")
        if str(said.get(name, "")) not in ("", "[]")
    ]
    if "relation" not in said or "model" not in said:
        return facts, (("Medians of the heads", by_head(dataset)),), (), ()
    from empirical.checkpoints.observe import summary

    dials = (f"{dial:g}" for dial in json.loads(said["dials"]))
    again = command("observe", said["model"], "--text", "FILE.jsonl", "--out", path, "--dial", *dials)
    return facts, (("Medians of the layers", summary(dataset)),), (), (again,)


def thresholds_table(result: Design) -> Table:
    """Every threshold that a configuration determines."""
    rows = tuple(
        (
            line.label,
            number(line.value) if line.reason is None else "unreachable",
            line.unit,
            line.theorem,
        )
        for line in result.lines
    )
    words = "; ".join(f"{line.label}: {line.reason}" for line in result.lines if line.reason is not None)
    return Table("Thresholds", ("threshold", "value", "unit", "theorem"), rows, words)


def _rows(seen: Observed) -> Iterator[tuple[str, str]]:
    valid, size = int(seen.valid.sum()), seen.valid.size
    yield "attention rows", f"{size:,}, of which {share(valid, size)} see keys inside and outside their block"
    if seen.has("converged"):
        done = int(seen.converged.sum())
        yield "settings", f"{seen.converged.size:,}, {done:,} of them converged"
    if valid:
        for name, words in (("fidelity", "median fidelity"), ("entropy_nats", "median entropy (nats)")):
            if seen.has(name):
                yield words, number(float(np.median(seen.row(name)[seen.valid])))


def _provenance(attributes: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for name in ("config_digest", "code", "commit", "text_digest", "title"):
        if attributes.get(name):
            yield name.replace("_", " "), one_line(attributes[name])
    yield from versions_of(attributes.get("versions", "{}"))


def versions_of(said: Any) -> Iterator[tuple[str, str]]:
    """The versions that made a result, from a mapping or its JSON."""
    try:
        known = json.loads(said) if isinstance(said, str) else said
    except ValueError:
        known = None
    if isinstance(known, Mapping) and known:
        yield "versions", ", ".join(f"{one_line(name)} {one_line(value)}" for name, value in known.items())


def holds_observations(path: Path) -> bool:
    return (path / FILE).is_file() or (path.is_file() and path.suffix in (".nc", ".npz"))


def refuse_unfinished(path: Path) -> None:
    """Raises BadInput for a run that was never finished."""
    if (path / "run.json").is_file():
        raise BadInput(f"DIR must be a finished run, got {str(path)!r} without {FILE}; --resume goes on")
