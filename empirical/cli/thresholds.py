"""`localist thresholds`: it loads numpy alone."""

from __future__ import annotations

import argparse
import json
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING

from bounds.thresholds.setting import PenaltySetting, Setting
from empirical.cli.arguments import flag, given
from empirical.cli.exits import OK
from empirical.errors import BadInput

if TYPE_CHECKING:
    from empirical.cli.arguments import Commands

COUNTS = ("n_keys", "n_block", "n_anchors")


def add_parsers(commands: Commands) -> None:
    thresholds = commands.add_parser("thresholds", help="every threshold that a configuration, or flags, determine")
    thresholds.add_argument("config", nargs="?", metavar="CONFIG.toml", type=Path)
    thresholds.add_argument("--json", action="store_true", help="machine-readable, nats and bits")
    thresholds.add_argument("--rigorous", action="store_true", help="the safe end of a rigorous enclosure of each")
    for kind, title in ((Setting, "[setting]"), (PenaltySetting, "[penalty]")):
        group = thresholds.add_argument_group(f"{title}: flags win over the file")
        for field in fields(kind):
            number = int if field.name in COUNTS else float
            group.add_argument(flag(field.name), type=number, metavar="N" if number is int else "X")
    thresholds.set_defaults(run=_thresholds)


def _thresholds(arguments: argparse.Namespace) -> int:
    from bounds.thresholds.design import design

    setting, penalty = Setting(), PenaltySetting()
    if arguments.config is not None:
        from empirical.laboratory.config import load

        config = load(arguments.config)
        setting, penalty = config.setting, config.penalty_setting
    result = design(
        replace(setting, **given(arguments, Setting)),
        replace(penalty, **given(arguments, PenaltySetting)),
        arguments.rigorous,
    )
    if not result.lines:
        raise BadInput("thresholds must be given CONFIG.toml or flags that determine one (see --help), got too little")
    print(json.dumps(result.as_dict(), indent=2) if arguments.json else result.table())
    return OK
