"""`localist`: thresholds of a configuration, a run from end to end, checks and figures of what was saved.

Exit status: 0; 1 violated, or a requirement missed; 2 bad input; 3 a requested theorem has no decided row, or
no theorem has; 130 interrupted. Everything heavy is imported by the command that needs it.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bounds.thresholds.setting import PenaltySetting, Setting

if TYPE_CHECKING:
    import xarray as xr

    from empirical.check.verdicts import Outcome
    from empirical.laboratory.config import Config

OK, REFUTED, BAD_INPUT, UNDECIDED, INTERRUPTED = 0, 1, 2, 3, 130
COUNTS = ("n_keys", "n_block", "n_anchors")


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="localist", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)

    thresholds = commands.add_parser("thresholds", help="every threshold that a configuration, or flags, determine")
    thresholds.add_argument("config", nargs="?", metavar="CONFIG.toml", type=Path)
    thresholds.add_argument("--json", action="store_true", help="machine-readable, nats and bits")
    thresholds.add_argument("--rigorous", action="store_true", help="the safe end of a rigorous enclosure of each")
    for kind, title in ((Setting, "[setting]"), (PenaltySetting, "[penalty]")):
        group = thresholds.add_argument_group(f"{title}: flags win over the file")
        for field in fields(kind):
            number = int if field.name in COUNTS else float
            group.add_argument(_flag(field.name), type=number, metavar="N" if number is int else "X")
    thresholds.set_defaults(run=_thresholds)

    run = commands.add_parser("run", help="thresholds, sweep, observations, verdicts and figures; or a study")
    run.add_argument("config", metavar="CONFIG.toml", type=Path, nargs="?", help="with --study: in place of its preset")
    run.add_argument("--study", metavar="NAME", help="dial, hysteresis, rules, depth, interference or ablation")
    run.add_argument("--quick", action="store_true", help="the smaller preset of a study: a minute or so")
    run.add_argument("--out", required=True, metavar="DIR", type=Path, help="a new or empty folder")
    run.add_argument("--resume", action="store_true", help="go on with what DIR holds of this very configuration")
    run.add_argument("--text-dir", metavar="DIR", help="topics: text files, one a topic, in place of task.text_dir")
    run.add_argument("--workers", type=int, metavar="N", help="one-thread processes; changes no result")
    run.add_argument("--device", choices=("cpu", "cuda", "mps", "auto"), help="auto: the faster one")
    run.add_argument("--require", action="append", default=[], metavar="'FIELD>=X'")
    run.set_defaults(run=_run)

    check = commands.add_parser("check", help="verdicts on saved observations, or on anybody's attention")
    check.add_argument("path", metavar="DIR|FILE.nc|FILE.npz", type=Path)
    check.add_argument("--require", action="append", default=[], metavar="'FIELD>=X'")
    check.add_argument("--theorem", action="append", default=[], metavar="KEY", help="only this one; may be repeated")
    check.add_argument("--json", action="store_true")
    check.set_defaults(run=_check)

    plot = commands.add_parser("plot", help="every figure, from saved observations alone")
    plot.add_argument("path", metavar="DIR|FILE.nc", type=Path)
    plot.add_argument("--out", metavar="DIR", type=Path, help="default: figures/ in or beside the observations")
    plot.set_defaults(run=_plot)

    from empirical.cli.models import add_parsers

    add_parsers(commands)
    verify = commands.add_parser("verify", help="the evidence on every theorem; exit 1 where it is worse than before")
    verify.add_argument("theorem", nargs="*", metavar="THEOREM", help="only these; default: all")
    verify.add_argument("--quick", action="store_true", help="20,000 inputs each in place of a million; writes nothing")
    verify.add_argument("--out", type=Path, metavar="DIR", help="default: evidence/ beside the packages")
    verify.add_argument("--runs", action="append", default=[], type=Path, metavar="DIR", help="finished runs to cite")
    verify.set_defaults(run=_verify)

    claims = commands.add_parser("claims", help="paper_checks.md and its graph, from the theorems and their evidence")
    claims.add_argument("--check", action="store_true", help="change nothing; exit 1 where a file is stale")
    claims.set_defaults(run=_claims)

    anchors = commands.add_parser("anchors", help="anchors packed on the sphere, and what they guarantee")
    for name, kind, words in (
        ("blocks", int, "K anchors, one a block; required"),
        ("dim", int, "dimensions d; required"),
        ("target_fidelity", float, "how many equal anchors in a block guarantee it"),
        ("beta", float, "logit of two equal unit vectors over temperature; default 10"),
        ("theta", float, "radians, query to its anchor plus keys to theirs, at most; default 0"),
        ("n_keys", int, "visible keys; default K n_block"),
        ("n_block", int, "keys of the relevant block; default 64"),
        ("n_anchors", int, "how many of them repeat the anchor; default 1"),
        ("seed", int, "default 0"),
        ("restarts", int, "random starts of the search; default 6 to 24"),
    ):
        metavar, required = "N" if kind is int else "X", name in ("blocks", "dim")
        anchors.add_argument(_flag(name), type=kind, metavar=metavar, required=required, help=words)
    anchors.add_argument("--out", metavar="DIR", type=Path, help="new or empty: anchors.npy, anchors.json, figure")
    anchors.add_argument("--json", action="store_true")
    anchors.set_defaults(run=_anchors)

    schedule = commands.add_parser("schedule", help="a drift budget shared out among layers, the optimum beside others")
    schedule.add_argument(
        "file", nargs="?", metavar="SCHEDULE.json", type=Path, help="by python -m empirical.studies.schedule.measure"
    )
    for name, words in (
        ("diameters", "V_l, one a layer"),
        ("lipschitz", "Lip_k, one a layer, or one a sublayer"),
        ("available", "leakage u_l that can be dialled away; default 1 each"),
    ):
        schedule.add_argument(_flag(name), type=float, nargs="+", metavar="X", help=words)
    schedule.add_argument("--budget", type=float, required=True, metavar="X", help="drift allowed at the output")
    schedule.add_argument("--json", action="store_true")
    schedule.set_defaults(run=_schedule)
    return parser


def _given(arguments: argparse.Namespace, kind: Any) -> dict[str, Any]:
    values = {field.name: getattr(arguments, field.name) for field in fields(kind)}
    return {name: value for name, value in values.items() if value is not None}


def _thresholds(arguments: argparse.Namespace) -> int:
    from bounds.thresholds.design import design

    setting, penalty = Setting(), PenaltySetting()
    if arguments.config is not None:
        from empirical.laboratory.config import load

        config = load(arguments.config)
        setting, penalty = config.setting, config.penalty_setting
    result = design(
        replace(setting, **_given(arguments, Setting)),
        replace(penalty, **_given(arguments, PenaltySetting)),
        arguments.rigorous,
    )
    if not result.lines:
        raise _bad("thresholds must be given CONFIG.toml or flags that determine one (see --help), got too little")
    print(json.dumps(result.as_dict(), indent=2) if arguments.json else result.table())
    return OK


def _configured(arguments: argparse.Namespace) -> Config:
    from empirical.laboratory.config import load

    if arguments.config is not None:
        if arguments.quick:
            raise _bad(f"--quick must go with the preset of a study, got {str(arguments.config)!r}")
        config = load(arguments.config)
    elif arguments.study is None:
        raise _bad("run must be given CONFIG.toml or --study NAME, got neither")
    else:
        from empirical.studies.frame import preset

        config = preset(arguments.study, arguments.quick)
    given = {"workers": arguments.workers, "device": arguments.device}
    config = replace(config, sweep=replace(config.sweep, **{k: v for k, v in given.items() if v is not None}))
    if arguments.text_dir is not None:
        config = replace(config, task=replace(config.task, text_dir=arguments.text_dir))
    return config


def _run(arguments: argparse.Namespace) -> int:
    from bounds.thresholds.design import design
    from empirical.check.requirement import parse

    requirements = [parse(text) for text in arguments.require]
    config = _configured(arguments)
    if arguments.study is not None:
        return _study(arguments, config)
    print(design(config.setting, config.penalty_setting).table(), flush=True)

    from empirical.laboratory.assemble import assemble
    from empirical.laboratory.sweep import sweep

    sweep(config, arguments.out, resume=arguments.resume, progress=True)
    dataset = assemble(arguments.out)
    print(f"\n{_settled(dataset)}\n")
    status = verdicts(dataset, requirements, (), arguments.out)
    draw(dataset, arguments.out / "figures")
    return status


def _study(arguments: argparse.Namespace, config: Config) -> int:
    import torch

    from empirical.studies.frame import run_study

    if arguments.require:
        raise _bad(f"--require must go with a run without --study, got {arguments.require[0]!r}")
    torch.set_num_threads(1)
    outcomes = run_study(arguments.study, config, arguments.out, arguments.resume)
    return _study_verdicts(outcomes, arguments.out) or _draw_study(arguments.out, arguments.out / "figures")


def _study_verdicts(outcomes: Sequence[Outcome], folder: Path, as_json: bool = False) -> int:
    """Prints and saves the verdicts; every theorem must have a decided row."""
    from bounds.theorems import Verdict
    from empirical.check.report import verdict_table
    from empirical.files import write_atomically

    text = json.dumps({"outcomes": [outcome.as_dict() for outcome in outcomes]}, indent=2)
    write_atomically(folder / "verdicts.json", (text + "\n").encode())
    print(text if as_json else verdict_table(outcomes))
    if any(outcome.verdict is Verdict.VIOLATED for outcome in outcomes):
        return REFUTED
    return OK if all(outcome.decided for outcome in outcomes) else UNDECIDED


def _draw_study(folder: Path, out: Path) -> int:
    from empirical.studies.frame import draw_study

    files = draw_study(folder, out)
    print(f"\n{sum(f.suffix == '.png' for f in files)} figures in {out}")
    return OK


def _is_study(path: Path) -> bool:
    return (path / "study.json").is_file()


def _bad(words: str) -> ValueError:
    from empirical.errors import BadInput

    return BadInput(words)


def _settled(dataset: xr.Dataset) -> str:
    """How many settings of each start converged. One that did not is no error: theorems on thresholds pass it over."""
    start, converged = dataset["start"].values, dataset["converged"].values.astype(bool)
    shares = [f"{s} {converged[start == s].sum()} of {(start == s).sum()}" for s in dict.fromkeys(start)]
    return f"{dataset['fidelity'].size:,} attention rows; settings converged: {', '.join(shares)}"


def _check(arguments: argparse.Namespace) -> int:
    from empirical.check.requirement import parse

    requirements = [parse(text) for text in arguments.require]
    if _is_study(arguments.path):
        from empirical.studies import frame as studies

        if arguments.theorem or requirements:
            raise _bad("--theorem and --require must go with observations, got the folder of a study")
        return _study_verdicts(studies.verdicts(arguments.path), arguments.path, arguments.json)
    if arguments.theorem:
        from bounds.theorems import by_key

        theorems = tuple(by_key(key) for key in arguments.theorem)
    else:
        theorems = ()
    from empirical.observe.files import open_observations

    folder = arguments.path if arguments.path.is_dir() and not theorems else None
    with open_observations(arguments.path, lazy=True) as dataset:
        return verdicts(dataset, requirements, theorems, folder, arguments.json)


def verdicts(
    dataset: xr.Dataset,
    requirements: Sequence[Any],
    theorems: Sequence[Any],
    folder: Path | None,
    as_json: bool = False,
) -> int:
    """Prints the verdicts, saves them as verdicts.json in `folder`, and returns the exit status."""
    from bounds.theorems import Verdict
    from empirical.check.report import verdict_table
    from empirical.check.requirement import meets
    from empirical.check.verdicts import check_dataset
    from empirical.errors import BadInput
    from empirical.files import write_atomically

    try:
        outcomes = check_dataset(dataset, theorems or None)
        met = [meets(requirement, dataset) for requirement in requirements]
    except OSError as error:  # a file that is read as it is used shows its damage only now
        source = dataset.encoding.get("source", "observations")
        raise BadInput(f"DIR|FILE must be readable to its end, got {source!r} ({error})") from None
    saved = {
        "config_digest": dataset.attrs.get("config_digest"),
        "commit": dataset.attrs.get("commit"),
        "outcomes": [outcome.as_dict() for outcome in outcomes],
        "requirements": [{"requirement": str(m.requirement), "rows": m.rows, "missed": m.missed} for m in met],
    }
    text = json.dumps(saved, indent=2)
    if folder is not None:
        write_atomically(folder / "verdicts.json", (text + "\n").encode())
    print(text if as_json else "\n".join([verdict_table(outcomes), *(str(m) for m in met)]))
    if any(outcome.verdict is Verdict.VIOLATED for outcome in outcomes) or any(m.missed for m in met):
        return REFUTED
    asked = all if theorems else any  # without a request, one decided theorem is enough to have said something
    if not asked(outcome.decided for outcome in outcomes) or any(not m.rows for m in met):
        return UNDECIDED
    return OK


def _plot(arguments: argparse.Namespace) -> int:
    from empirical.observe.files import open_observations

    path = arguments.path
    out = arguments.out or (path if path.is_dir() else path.parent) / "figures"
    if _is_study(path):
        return _draw_study(path, out)
    draw(open_observations(path), out)
    return OK


def _verify(arguments: argparse.Namespace) -> int:
    from tqdm import tqdm

    from bounds.ledger.evidence import FOLDER
    from bounds.theorems import THEOREMS, by_key
    from empirical.verify.gathering import summary, verify

    theorems = [by_key(key) for key in arguments.theorem] or list(THEOREMS.values())
    folder = FOLDER if arguments.out is None else arguments.out
    failed = 0
    for theorem, evidence, wrong in verify(theorems, folder, arguments.runs, arguments.quick, progress=True):
        tqdm.write(summary(theorem, evidence, wrong))
        failed += bool(wrong)
    where = "nothing was written (--quick)" if arguments.quick else f"evidence in {folder}"
    print(f"\n{len(theorems) - failed} of {len(theorems)} theorems stand as they should; {where}")
    return REFUTED if failed else OK


def _claims(arguments: argparse.Namespace) -> int:
    from bounds.ledger.claims import main

    return main(["--check"] if arguments.check else [])


def _anchors(arguments: argparse.Namespace) -> int:
    from empirical.planning.anchors import Asked, run, text

    result, files = run(Asked(**_given(arguments, Asked)), arguments.out)
    print(json.dumps(result, indent=2) if arguments.json else "\n".join([text(result), *map(str, files)]))
    return OK


def _schedule(arguments: argparse.Namespace) -> int:
    from empirical.planning.schedule import gathered, report, text

    layers = gathered(arguments.file, arguments.diameters, arguments.lipschitz, arguments.available)
    result = report(layers, arguments.budget)
    print(json.dumps(result, indent=2, allow_nan=False) if arguments.json else text(result))
    return OK


def draw(dataset: xr.Dataset, out: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from empirical.figures import plot

    files = plot(dataset, out)
    print(f"\n{sum(f.suffix == '.png' for f in files)} figures in {out}")


def main(argv: Sequence[str] | None = None) -> int:
    arguments = _parser().parse_args(argv)
    try:
        return arguments.run(arguments)
    except KeyboardInterrupt:
        print("interrupted; what is finished is saved, --resume goes on from there", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:  # the reader, `| head` say, has gone
        sys.stderr.close()
        return OK
    except (ValueError, ImportError) as error:
        print(f"localist: {error}", file=sys.stderr)
        return BAD_INPUT
    except RuntimeError as error:
        if type(error).__name__ != "Missed":  # a guard's; its module loads torch
            raise
        print(f"localist: {error}", file=sys.stderr)
        return REFUTED


if __name__ == "__main__":
    raise SystemExit(main())
