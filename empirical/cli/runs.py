"""`localist init`, `run`, `check`, `plot`: a configuration, a sweep or study, verdicts and figures of what is saved."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from empirical.cli import gates, studies
from empirical.cli.arguments import add_json, add_requirement, beside, document, drawn, required
from empirical.cli.exits import OK, REFUTED, UNDECIDED, epilog
from empirical.cli.thresholds import table
from empirical.cli.verdicts import Judged, add_verbose, judged
from empirical.errors import BadInput
from empirical.observe import npz_format

if TYPE_CHECKING:
    import xarray as xr

    from empirical.check.requirement import Known
    from empirical.check.verdicts import Checked
    from empirical.cli.arguments import Commands
    from empirical.laboratory.config import Config
    from empirical.laboratory.text import Texts


LISTED = 6
"""Texts of a block that are named."""


def add_parsers(commands: Commands) -> None:
    from empirical.laboratory.penalty_config import KINDS, NORMS
    from empirical.studies import STUDIES

    init = commands.add_parser(
        "init",
        help="a configuration with every field and its meaning, to stdout",
        epilog=epilog("localist init > my.toml", "a TOML file that localist run takes"),
    )
    init.add_argument("--task", choices=("blocks", "topics"), default="blocks", help="what is learned; default blocks")
    init.add_argument("--penalty", choices=KINDS, default=NORMS, help=f"what is penalised; default {NORMS}")
    init.add_argument("--text-dir", metavar="DIR", help="topics: text files, one a topic, whose blocks are named")
    init.set_defaults(run=_init)

    run = commands.add_parser(
        "run",
        help="thresholds, sweep, observations, verdicts and figures; or a study",
        epilog=epilog(
            "localist run my.toml --out runs/mine",
            "thresholds, then a sentence and verdicts by topic; in DIR observations.nc, verdicts.json, figures/",
            *(REFUTED, UNDECIDED),
        ),
    )
    run.add_argument("config", metavar="CONFIG.toml", type=Path, nargs="?", help="with --study: in place of its preset")
    run.add_argument("--study", metavar="NAME", help=", ".join(STUDIES))
    run.add_argument("--quick", action="store_true", help="the smaller preset of a study: a minute or so")
    run.add_argument("--out", required=True, metavar="DIR", type=Path, help="a new or empty folder")
    run.add_argument("--resume", action="store_true", help="go on with what DIR holds of this very configuration")
    run.add_argument("--text-dir", metavar="DIR", help="topics: text files, one a topic, in place of task.text_dir")
    run.add_argument("--workers", type=int, metavar="N", help="one-thread processes; changes no result")
    run.add_argument("--device", choices=("cpu", "cuda", "mps", "auto"), help="auto: the faster one")
    add_requirement(run, "start=zero")
    add_verbose(run)
    run.set_defaults(run=_run)
    _add_saved(commands)


def _add_saved(commands: Commands) -> None:
    """What looks at saved results."""
    check = commands.add_parser(
        "check",
        help="verdicts on saved observations, or on anybody's attention",
        epilog=f"{npz_format.said()}\n\n"
        + epilog(
            "localist check runs/mine --require 'fidelity>=0.9@penalty=1'",
            "a sentence, then verdicts by topic; verdicts.json and the figure of observed against bound",
            *(REFUTED, UNDECIDED),
        ),
    )
    check.add_argument("path", metavar="DIR|FILE.nc|FILE.npz", type=Path)
    add_requirement(check, "dial=1")
    check.add_argument("--theorem", action="append", default=[], metavar="KEY", help="only this one; may be repeated")
    add_verbose(check)
    add_json(check, "one JSON document on stdout in place of text; no figure unless --out")
    check.add_argument(
        "--out",
        metavar="DIR",
        type=Path,
        help="for verdicts.json and the figure; default: in or beside what is read",
    )
    check.set_defaults(run=_check)

    plot = commands.add_parser(
        "plot",
        help="every figure, from saved observations alone",
        epilog=epilog("localist plot runs/mine", "how many figures, and where: each as PNG and SVG, points as CSV"),
    )
    plot.add_argument("path", metavar="DIR|FILE.nc", type=Path)
    plot.add_argument("--out", metavar="DIR", type=Path, help="default: figures/ in or beside the observations")
    plot.set_defaults(run=_plot)


def _init(arguments: argparse.Namespace) -> int:
    from empirical.laboratory.template import template

    print(template(arguments.task, arguments.text_dir, arguments.penalty))
    return OK


def _blocks(config: Config, topics: Texts) -> str:
    """Which text is in which block, a line each."""
    from empirical.laboratory.text import grouped, words_of

    lines = [""]
    for block, files in enumerate(grouped(words_of(topics), config.model.blocks)):
        more = f" and {len(files) - LISTED} more" if len(files) > LISTED else ""
        lines.append(f"block {block}: {', '.join(files[:LISTED])}{more}")
    return "\n".join(lines)


def _configured(arguments: argparse.Namespace) -> Config:
    """The configuration with the flags in it. Raises BadInput for a flag without effect."""
    from empirical.laboratory.config import load
    from empirical.laboratory.penalty_config import GATES, NORMS

    if arguments.config is None and arguments.study is None:
        raise BadInput("localist run must be given CONFIG.toml or --study NAME, got neither")
    if arguments.config is not None and arguments.quick:
        raise BadInput(f"--quick must go with the preset of a study, got {str(arguments.config)!r}")
    given = {name: getattr(arguments, name) for name in ("workers", "device") if getattr(arguments, name) is not None}
    if arguments.study is not None:
        studies.refuse_unused(arguments, given)
    config = load(arguments.config) if arguments.config is not None else studies.preset(arguments)
    if arguments.study is not None and config.gated and arguments.study != GATES:
        raise BadInput(f"penalty.kind must be {NORMS!r} for the study of {arguments.study!r}, got {GATES!r}")
    config = replace(config, sweep=replace(config.sweep, **given))
    if "workers" in given and config.sweep.device not in ("cpu", "auto"):
        raise BadInput(f"--workers must go with a CPU, got {arguments.workers} with device {config.sweep.device!r}")
    if arguments.text_dir is not None:
        if config.task.name != "topics":
            raise BadInput(f"--text-dir must go with task.name='topics', got {arguments.text_dir!r}")
        config = replace(config, task=replace(config.task, text_dir=arguments.text_dir))
    return config


def _run(arguments: argparse.Namespace) -> int:
    from bounds.thresholds.design import design

    config = _configured(arguments)
    if arguments.study is not None:
        return studies.run(arguments, config)
    requirements = required(arguments, _places(config), "this run")
    thresholds = table(design(config.setting, config.penalty_setting), config)

    from empirical.laboratory.assemble import assemble
    from empirical.laboratory.sweep import prepared
    from empirical.laboratory.text import read_topics

    topics = read_topics(config.task.text_dir) if config.task.name == "topics" else None
    train = prepared(config, arguments.out, arguments.resume, topics=topics)
    print(thresholds, "" if topics is None else _blocks(config, topics), sep="\n", flush=True)
    train()
    dataset = assemble(arguments.out)
    found = judged(dataset, requirements)
    print(f"\n{found.words(arguments.verbose, _settled(dataset))}")
    found.save(arguments.out)
    print(f"\n{draw(dataset, arguments.out / 'figures', found.outcomes)}")
    return found.status


def _places(config: Config) -> Known:
    """Where a requirement on the run's rows can be; penalties that are multiples are known once one is trained."""
    sweep = config.sweep
    penalties = None if sweep.relative_to_critical else sweep.penalties
    layers, heads = tuple(range(config.layers)), tuple(range(config.heads))
    return {"penalty": penalties, "seed": sweep.seeds, "start": sweep.starts, "layer": layers, "head": heads}


def _settled(dataset: xr.Dataset) -> str:
    """How many settings of each start converged. One that did not is no error: theorems on thresholds pass it over."""
    from empirical.files import one_line

    start, converged = dataset["start"].values, dataset["converged"].values.astype(bool)
    shares = [f"{one_line(s)} {converged[start == s].sum()} of {(start == s).sum()}" for s in dict.fromkeys(start)]
    return f"{dataset['fidelity'].size:,} attention rows; settings converged: {', '.join(shares)}"


def _check(arguments: argparse.Namespace) -> int:
    from empirical.files import usable_folder

    if arguments.out is not None:
        usable_folder(arguments.out)
    found = (studies.check if studies.is_study(arguments.path) else _check_observations)(arguments)
    if arguments.out is not None or not (arguments.json or arguments.theorem):
        with beside(arguments.json):
            _draw_verdicts(found.outcomes, arguments.out or _beside(arguments.path))
    return found.status


def _check_observations(arguments: argparse.Namespace) -> Judged:
    from bounds.theorems import by_key
    from empirical.check.requirement import fields_of, parse, places_of, refuse
    from empirical.check.verdicts import refuse_unobserved
    from empirical.observe.files import open_observations
    from empirical.observe.summary import by_head

    requirements = [parse(text) for text in arguments.require]
    theorems = tuple(by_key(key) for key in arguments.theorem)
    refuse_unobserved(theorems)
    folder = arguments.out or (arguments.path if arguments.path.is_dir() and not theorems else None)
    with open_observations(arguments.path, lazy=True) as dataset:
        for requirement in requirements:
            refuse(requirement, fields_of(dataset), places_of(dataset), "these observations")
        found = judged(dataset, requirements, theorems)
        if arguments.json:
            print(document(found.saved))
        else:
            told = _settled(dataset) if "converged" in dataset else by_head(dataset)
            print(found.words(arguments.verbose, told))
    if folder is not None:  # printed first: what cannot be saved is not lost
        found.save(folder)
    return found


def _beside(path: Path) -> Path:
    return (path if path.is_dir() else path.parent) / "figures"


def _draw_verdicts(outcomes: Sequence[Checked], out: Path) -> None:
    """The figure of the verdicts; a folder that cannot be written is said, and takes no verdict back."""
    from empirical.figures import plot_verdicts

    try:
        files = plot_verdicts(outcomes, out)
    except BadInput as reason:
        print(f"figure not drawn: {reason}", file=sys.stderr)
        return
    if files:
        print(f"\nobserved against bound: {files[0]}")


def _plot(arguments: argparse.Namespace) -> int:
    from empirical.files import usable_folder
    from empirical.observe.files import open_observations

    path = arguments.path
    out = arguments.out or _beside(path)
    usable_folder(out)
    if studies.is_study(path):
        return studies.draw(path, out)
    if gates.is_saved(path):
        return gates.draw(path, out)
    print(draw(open_observations(path), out))
    return OK


def draw(dataset: xr.Dataset, out: Path, outcomes: Sequence[Checked] = ()) -> str:
    """Draws every figure, and says where; the first from `outcomes`, which are found anew where none are given."""
    from empirical.figures import plot

    return drawn(plot(dataset, out, outcomes), out)
