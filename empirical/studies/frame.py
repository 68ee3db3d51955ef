"""Studies of the framework's mechanisms, each a prediction beside an observation: `localist run --study NAME`.

    folder: run.json, cells/ (a trained model, what was measured, every judged row), study.json, model.safetensors,
            verdicts.json, figures/

A study is a folder with `measure(config, store) -> Findings`, `table(numbers)` and `draw(numbers)`; `store.keep` saves
what takes long, so that a killed study goes on where it was. Verdicts and figures come from what is saved: `localist
check` and `localist plot` make both again.
"""

from __future__ import annotations

import importlib
import json
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, cast, runtime_checkable

from empirical.errors import BadInput
from empirical.files import read_object, seal_is_broken, with_seal, write_atomically
from empirical.laboratory.config import Config, load
from empirical.laboratory.store import Store, read_run
from empirical.provenance import commit, versions
from empirical.staleness import digest
from empirical.studies import STUDIES
from empirical.studies.findings import Findings, Numbers

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from empirical.check.verdicts import Checked

FILE = "study.json"


@runtime_checkable
class Measures(Protocol):
    """The module `measure` of a study."""

    __name__: str

    @staticmethod
    def measure(config: Config, store: Store) -> Findings: ...

    @staticmethod
    def table(numbers: Numbers) -> str: ...


@runtime_checkable
class Draws(Protocol):
    """The module `figures` of a study."""

    @staticmethod
    def draw(numbers: Numbers) -> dict[str, Figure]: ...


def known(name: str) -> str:
    """The name, if it is a study's. Raises BadInput for another."""
    if name not in STUDIES:
        raise BadInput(f"--study must be one of {', '.join(STUDIES)}, got {name!r}")
    return name


def measures(name: str) -> Measures:
    """How the study is measured and told."""
    return cast(Measures, importlib.import_module(f"empirical.studies.{known(name)}.measure"))


def uses(name: str) -> tuple[str, ...]:
    """Of sweep.workers and sweep.device, what the study looks at: the device, unless its module says otherwise."""
    return getattr(measures(name), "USES", ("device",))


def draws(name: str) -> Draws:
    """How the study is drawn."""
    return cast(Draws, importlib.import_module(f"empirical.studies.{known(name)}.figures"))


def preset(name: str, quick: bool) -> Config:
    """The configuration that comes with a study; the quick one takes a minute or so on 2 cores."""
    file = resources.files("empirical.studies") / known(name) / f"{'quick' if quick else 'preset'}.toml"
    with resources.as_file(file) as path:
        return load(path)


def run_study(name: str, config: Config, out: Path, resume: bool = False) -> tuple[Checked, ...]:
    """Measures what the folder does not hold yet, then verdicts from what it holds."""
    from empirical.laboratory.tasks import device_of
    from empirical.laboratory.text import text_digest
    from empirical.threads import one_thread

    study = measures(name)
    device_of(config)
    text = text_digest(config) if config.task.name == "topics" else {}
    store = Store.open(out, config, text, resume, study=name, code=digest(study.__name__))

    with one_thread():
        found = study.measure(config, store)
    for part in found.judged:
        store.save(_cell(part.name), dict(part.rows))
    saved = {
        "study": name,
        "numbers": found.numbers,
        "judged": [{"name": p.name, "dims": list(p.dims), "theorems": list(p.theorems)} for p in found.judged],
        "versions": versions(),
        "commit": commit(),
    }
    write_atomically(store.folder / FILE, (json.dumps(with_seal(saved), indent=1) + "\n").encode())
    return verdicts(out)


def _cell(name: str) -> str:
    return f"rows {name}"


def read_study(folder: Path) -> dict[str, Any]:
    """What study.json says. Raises BadInput for one that is no study's, or is not as it was written."""
    path = Path(folder) / FILE
    saved = read_object(path, f"DIR must hold a finished study: {FILE}")
    if saved.get("study") not in STUDIES or seal_is_broken(saved):
        raise BadInput(f"DIR must hold a finished study, got {str(path)!r} that is none, or was changed")
    return saved


def table(folder: Path) -> str:
    """What a finished study measured, as text."""
    saved = read_study(folder)
    return measures(saved["study"]).table(saved["numbers"])


def verdicts(folder: Path, cloud: bool = False) -> tuple[Checked, ...]:
    """Every saved row judged again; no training, no model. `cloud`: outcomes keep where rows lie, for figures."""
    from bounds.theorems import by_key
    from empirical.check.verdicts import check

    run = read_run(folder)
    store = Store.of(folder, run)
    outcomes: list[Checked] = []
    for part in read_study(folder)["judged"]:
        rows = store.load(_cell(part["name"]))
        if rows is None:
            raise BadInput(f"DIR must hold the rows of its study, got {str(folder)!r} without those of {part['name']}")
        outcomes += [check(by_key(key), rows, part["dims"], cloud) for key in part["theorems"]]
    return tuple(outcomes)


def draw_study(folder: Path, out: Path) -> list[Path]:
    """Every figure of a finished study, as PNG and SVG in `out`."""
    from empirical.figures import plot_verdicts, style

    saved = read_study(folder)
    files = plot_verdicts(verdicts(folder, cloud=True), out)
    with style.drawing():
        for name, figure in draws(saved["study"]).draw(saved["numbers"]).items():
            files += style.save(figure, Path(out), name)
    return files
