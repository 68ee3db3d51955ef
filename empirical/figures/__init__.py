"""Every figure of a run, drawn from its saved observations alone: PNG and SVG, and the plotted points as text.

A figure whose data the observations do not hold is skipped, and the reason printed.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from empirical.figures import style
from empirical.figures.against_bound import against_bound
from empirical.figures.against_penalty import fidelity_and_entropy
from empirical.figures.heads import along_the_dial, by_head, regions, under_the_frontier
from empirical.figures.losses import loss_against_fidelity, masking
from empirical.figures.maps import attention_maps
from empirical.figures.observed import Absent, Observed
from empirical.figures.phase import frontier, phase_diagram
from empirical.figures.points import write_points
from empirical.figures.slack import slack
from empirical.figures.steps import steps_to_zero
from empirical.figures.trained_gates import along_training, beside_plain_penalty, leakage_and_ceiling, zero_gates
from empirical.figures.transition import transition
from empirical.files import make_folder

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure

    from empirical.check.verdicts import Checked

VERDICTS: dict[str, Callable[[Sequence[Checked]], Figure]] = {  # of judged rows, the first figures of all
    "against_bound": against_bound,
    "slack": slack,
}

FIGURES: dict[str, Callable[[Observed], Figure]] = {
    "fidelity_and_entropy": fidelity_and_entropy,
    "transition": transition,
    "phase": phase_diagram,
    "frontier": frontier,
    "loss_and_fidelity": loss_against_fidelity,
    "attention": attention_maps,
    "steps_to_zero": steps_to_zero,
    "masking": masking,
}

GATED: dict[str, Callable[[Observed], Figure]] = {  # of gates that were trained
    "zero_gates": zero_gates,
    "leakage_and_ceiling": leakage_and_ceiling,
    "beside_plain_penalty": beside_plain_penalty,
    "gates_along_training": along_training,
}

UNSWEPT: dict[str, Callable[[Observed], Figure]] = {  # of observations at no penalty, a checkpoint's say
    "heads": by_head,
    "under_the_frontier": under_the_frontier,
    "regions": regions,
    "along_the_dial": along_the_dial,
}


def plot(dataset: xr.Dataset, out: Path, outcomes: Sequence[Checked] = ()) -> list[Path]:
    """Draws every figure that `dataset` has the data for into the folder `out`; returns the files written.

    The first is observed against bound, from `outcomes` (of `check_dataset` with `cloud`), judged here where none are
    given."""
    from empirical.check.verdicts import check_dataset

    seen = Observed(dataset)
    files = plot_verdicts(outcomes or check_dataset(dataset, cloud=True, witnesses=False), out)
    files += saved(drawn(kinds_of(seen), seen), Path(out))
    return [*files, write_points(seen, Path(out) / "points.csv")]


def plot_verdicts(outcomes: Sequence[Checked], out: Path) -> list[Path]:
    """Draws observed against bound, and slacks, into the folder `out`; returns the files written."""
    make_folder(Path(out))
    return saved(drawn(VERDICTS, outcomes), Path(out))


class Drawn(NamedTuple):
    """A figure, how to read it, or why there is none."""

    name: str
    figure: Figure | None
    reading: str
    absent: str = ""


def kinds_of(seen: Observed) -> Mapping[str, Callable[[Observed], Figure]]:
    """What observations may have figures of, by name."""
    figures = FIGURES if np.isfinite(seen.penalty).any() else FIGURES | UNSWEPT
    return GATED | figures if seen.has("gate") else figures


def drawn(kinds: Mapping[str, Callable[[Any], Figure]], of: Any) -> Iterator[Drawn]:
    """Every figure in turn, to be saved in our style; how to read it says the docstring of what draws it."""
    for name, draw in kinds.items():
        reading = (inspect.getdoc(draw) or "").partition("\n\n")[0]
        try:
            with style.drawing():
                figure = draw(of)
        except Absent as reason:
            yield Drawn(name, None, reading, str(reason))
        else:
            yield Drawn(name, figure, reading)


def saved(figures: Iterator[Drawn], out: Path) -> list[Path]:
    """Saves them; prints why one is not there."""
    files: list[Path] = []
    for name, figure, _, absent in figures:
        if figure is None:
            print(f"figure {name}: not drawn, {absent}")
            continue
        with style.drawing():
            files += style.save(figure, out, name)
    return files
