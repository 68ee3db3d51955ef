"""`localist anchors` and `schedule`: what is planned before anything is trained."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from empirical.cli.arguments import add_json, document, flag, given
from empirical.cli.exits import OK, epilog

if TYPE_CHECKING:
    from empirical.cli.arguments import Commands


def add_parsers(commands: Commands) -> None:
    _add_anchors(commands)
    _add_schedule(commands)


def _add_anchors(commands: Commands) -> None:
    anchors = commands.add_parser(
        "anchors",
        help="anchors packed on the sphere, and what they guarantee",
        epilog=epilog(
            "localist anchors --blocks 12 --dim 8 --target-fidelity 0.9 --out anchors",
            "how far apart they are, what that guarantees, redundancy; in DIR anchors.npy, anchors.json, a figure",
        ),
    )
    packing = anchors.add_argument_group("what is packed")
    attention = anchors.add_argument_group("the attention that it is for")
    for name, kind, words in (
        ("blocks", int, "K anchors, one a block; required"),
        ("dim", int, "dimensions d; required"),
        ("target_fidelity", float, "how many equal anchors in a block guarantee it"),
        ("beta", float, "logit of two equal unit vectors over temperature; default 10"),
        ("theta", float, "radians, query to its anchor plus keys to theirs, at most; default 0"),
        ("n_keys", int, "visible keys; default K n_block"),
        ("n_block", int, "keys of the relevant block; default 64"),
        ("n_anchors", int, "how many of them repeat the anchor; default 1"),
        ("seed", int, "of the search, where one is needed; default 0"),
        ("restarts", int, "random starts of the search; default 6 to 24"),
    ):
        group = packing if name in ("blocks", "dim", "seed", "restarts") else attention
        metavar, required = "N" if kind is int else "X", name in ("blocks", "dim")
        group.add_argument(flag(name), type=kind, metavar=metavar, required=required, help=words)
    anchors.add_argument("--out", metavar="DIR", type=Path, help="new or empty: anchors.npy, anchors.json, figure")
    add_json(anchors)
    anchors.set_defaults(run=_anchors)


def _add_schedule(commands: Commands) -> None:
    schedule = commands.add_parser(
        "schedule",
        help="a drift budget shared out among layers, the optimum beside others",
        epilog=epilog(
            "localist schedule --diameters 2 1 1 --lipschitz 1 1 1 --budget 2",
            "how much leakage can be dialled away, in which layers, and what other schedules reach",
        ),
    )
    schedule.add_argument(
        "file", nargs="?", metavar="SCHEDULE.json", type=Path, help="study.json of the study schedule"
    )
    for name, words in (
        ("diameters", "V_l, one a layer"),
        ("lipschitz", "Lip_k, one a layer, or one a sublayer"),
        ("available", "leakage u_l that can be dialled away; default 1 each"),
    ):
        schedule.add_argument(flag(name), type=float, nargs="+", metavar="X", help=words)
    schedule.add_argument("--budget", type=float, required=True, metavar="X", help="drift allowed at the output")
    add_json(schedule)
    schedule.set_defaults(run=_schedule)


def _anchors(arguments: argparse.Namespace) -> int:
    from empirical.planning.anchors import AnchorPlan, run, text

    result, files = run(AnchorPlan(**given(arguments, AnchorPlan)), arguments.out)
    print(document(result) if arguments.json else "\n".join([text(result), *map(str, files)]))
    return OK


def _schedule(arguments: argparse.Namespace) -> int:
    from empirical.planning.schedule import gathered, shared_out, text

    layers = gathered(arguments.file, arguments.diameters, arguments.lipschitz, arguments.available)
    result = shared_out(layers, arguments.budget)
    print(document(result) if arguments.json else text(result))
    return OK
