"""`localist thresholds`: it loads numpy alone."""

from __future__ import annotations

import argparse
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING

from bounds.thresholds.setting import LEVEL_BOUNDS, PenaltySetting, Setting
from empirical.cli.arguments import add_json, document, flag, given
from empirical.cli.exits import OK, epilog
from empirical.errors import BadInput

if TYPE_CHECKING:
    from bounds.thresholds.design import Design
    from empirical.cli.arguments import Commands
    from empirical.laboratory.config import Config

COUNTS = ("n_keys", "n_block", "n_anchors", "layer_rows")
NO_LEVEL_OF_GATES = (
    "level A of gates: proved of one layer without MLP under both caps alone; [penalty] takes the G and V of another. "
    "The critical penalty is that of trained weights: `localist run` predicts it from each seed's localised model"
)


def add_parsers(commands: Commands) -> None:
    thresholds = commands.add_parser(
        "thresholds",
        help="every threshold that a configuration, or flags, determine",
        epilog=epilog(
            "localist thresholds --n-keys 64 --n-block 16 --n-anchors 1 --margin 6 --fidelity 0.95",
            "a sentence, then a table: thresholds with unit and theorem, regions of targets, what more would give",
        ),
    )
    thresholds.add_argument("config", nargs="?", metavar="CONFIG.toml", type=Path)
    add_json(thresholds)
    thresholds.add_argument("--rigorous", action="store_true", help="the safe end of a rigorous enclosure of each")
    for kind, title in ((Setting, "[setting]"), (PenaltySetting, "[penalty]")):
        group = thresholds.add_argument_group(f"{title}: flags win over the file")
        for field in fields(kind):
            number, said = int if field.name in COUNTS else float, field.metadata
            default = "" if field.default is None else f"; default {field.default:g}"
            words = f"{said['meaning']} [{said['unit']}{default}]"
            group.add_argument(flag(field.name), type=number, metavar="N" if number is int else "X", help=words)
    thresholds.set_defaults(run=_thresholds)


def _thresholds(arguments: argparse.Namespace) -> int:
    from bounds.thresholds.design import design, lacking

    config: Config | None = None
    setting, penalty = Setting(), PenaltySetting()
    if arguments.config is not None:
        from empirical.laboratory.config import load

        config = load(arguments.config)
        setting, penalty = config.setting, config.penalty_setting
    flags = {**given(arguments, Setting), **given(arguments, PenaltySetting)}
    setting = replace(setting, **given(arguments, Setting))
    penalty = replace(penalty, **given(arguments, PenaltySetting))
    result = design(setting, penalty, arguments.rigorous)
    if not result.lines:
        raise BadInput(f"thresholds must be given CONFIG.toml or flags that determine one, got {_too_little(result)}")
    for name in flags:
        if name not in result.used:
            missing = lacking(setting, penalty, name)
            needed = ", ".join(map(flag, missing.needs))
            raise BadInput(f"{flag(name)} must go with {needed} ({missing.gives}), got {flags[name]} without")
    print(document(result.as_dict()) if arguments.json else table(result, config))
    return OK


def _too_little(result: Design) -> str:
    """What was given, and the least that would help."""
    from bounds.thresholds.design import lacking

    if not result.unused:
        return "neither (see localist thresholds --help)"
    missing = lacking(result.setting, result.penalty, result.unused[0])
    more = ", ".join(map(flag, missing.needs))
    return f"{', '.join(map(flag, result.unused))} alone; with {more}: {missing.gives}"


def table(result: Design, config: Config | None) -> str:
    """The design, and why a configuration's own model has no penalty level where it has none."""
    if config is None or config.level_bounds or (result.penalty is not None and result.penalty.norms is not None):
        return result.table()
    if config.gated:
        proved = any(line.key == "gate_penalty_level_a" for line in result.lines)
        return result.table() if proved else f"{result.table()}\n\n{NO_LEVEL_OF_GATES}"
    return (
        f"{result.table()}\n\npenalty levels A and B: not proved for this model, which does not bound all of "
        f"{', '.join(LEVEL_BOUNDS)}. Give your own in [penalty], or take the penalty at which the groups of a trained "
        "model leave zero: empirical.penalise.modules.critical_penalty"
    )
