"""`localist price` and `localist localise`: what locality costs a checkpoint, and gates that make it local."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from empirical.cli.arguments import add_checkpoint, given
from empirical.cli.exits import OK

if TYPE_CHECKING:
    import xarray as xr

    from empirical.cli.arguments import Commands

GROUPS = ("layer", "head")


def add_parsers(commands: Commands) -> None:
    """The parsers of both commands, and what each runs."""
    price = commands.add_parser("price", help="what each head's attention outside its block is worth, on a text")
    _asks(price)
    price.add_argument(
        "--paths", nargs="*", metavar="PATH", help="diagonal, staircase; default: both; none: the mask's pass"
    )
    price.add_argument("--no-ablations", action="store_true", help="leave out one pass a gate")
    price.set_defaults(run=_price)
    localise = commands.add_parser(
        "localise", help="gates that make a checkpoint local, at a penalty or within a budget"
    )
    _asks(localise)
    localise.add_argument("--penalty", type=float, metavar="X", help="of a unit of leakage, summed over heads")
    localise.add_argument("--loss-budget", type=float, metavar="Y", help="nats a token above the model as trained")
    localise.add_argument("--target-fidelity", type=float, metavar="F", help="mean over rows and heads, at least")
    localise.set_defaults(run=_localise)


def _asks(parser: argparse.ArgumentParser) -> None:
    add_checkpoint(parser)
    parser.add_argument(
        "--groups", nargs="*", default=list(GROUPS), metavar="AXIS", help="layer, head, block_query, block_key"
    )
    parser.add_argument(
        "--loss", metavar="NAME", help="next_token, kl or cosine; default: next_token, kl of an encoder"
    )
    parser.add_argument("--out", required=True, metavar="DIR", type=Path, help="a new or empty folder")


def _price(arguments: argparse.Namespace) -> int:
    from empirical.files import make_folder, usable_folder

    usable_folder(arguments.out, new=True)
    from empirical.checkpoints.loading import Request
    from empirical.checkpoints.localise import price_text
    from empirical.gates.price import PATHS
    from empirical.observe.files import save_dataset

    paths = PATHS if arguments.paths is None else tuple(arguments.paths)
    request = Request(**given(arguments, Request))
    found = price_text(request, tuple(arguments.groups), arguments.loss, paths, not arguments.no_ablations)
    make_folder(arguments.out)
    save_dataset(found, arguments.out / "prices.nc")
    print(_said(found))
    return OK


def _said(found: xr.Dataset) -> str:
    """The totals, and a line a layer."""
    said = found.attrs
    lines = [
        f"{said['documents']} documents; loss as trained {said['loss_as_trained']:.4f}, mask {said['loss_mask']:.4f} "
        f"nats a token: {said['change']:+.4f}",
        f"{said['statement']} (95 % over documents: {said['lambda_crit_low']:.4g} to {said['lambda_crit_high']:.4g})",
    ]
    shown = [name for name in ("critical_penalty", "share", "stair_share", "ablation") if name in found]
    by_layer = [name for name in shown if "layer" in found[name].dims]
    if by_layer:
        lines.append("layer" + "".join(f"{name:>18}" for name in by_layer))
        tables = [found[name].max(set(found[name].dims) - {"layer"}) if name == "critical_penalty" else
                  found[name].sum(set(found[name].dims) - {"layer"}) for name in by_layer]  # fmt: skip
        lines += [
            f"{layer:5}" + "".join(f"{float(table[layer]):18.5f}" for table in tables)
            for layer in range(len(found["layer"]))
        ]
    for name in ("share", "stair_share"):
        if f"{name}_sum" in said:
            lines.append(
                f"{name}: sum {said[f'{name}_sum']:+.5f}, {said[f'{name}_defect']:+.1e} from what was measured"
            )
    return "\n".join(lines)


def _localise(arguments: argparse.Namespace) -> int:
    from empirical.files import usable_folder

    usable_folder(arguments.out, new=True)
    from empirical.checkpoints.gate_files import save_gates
    from empirical.checkpoints.loading import Request
    from empirical.checkpoints.localise import localise_text
    from empirical.observe.files import save_dataset

    found = localise_text(
        Request(**given(arguments, Request)),
        tuple(arguments.groups),
        arguments.loss,
        penalty=arguments.penalty,
        loss_budget=arguments.loss_budget,
        target_fidelity=arguments.target_fidelity,
    )
    save_gates(arguments.out, found.gates, found.problem.groups, found.model, found.said)
    path = found.path.assign(beats_mask=found.path["beats_mask"].astype("int8"))
    save_dataset(path, arguments.out / "path.nc")
    said = found.said
    print(f"{said['shut']} of {said['gates']} gates exactly shut at penalty {said['penalty']:.4g}")
    for name, which in (("chosen_on", "documents that chose"), ("held_out", "documents held out")):
        one = said[name]
        low, high = one["change_interval"]
        print(
            f"{which}: loss {one['loss']:.4f}, as trained {one['loss_as_trained']:.4f} ({one['change']:+.4f}, 95 % "
            f"{low:+.4f} to {high:+.4f}), mask {one['loss_mask']:.4f}; leakage kept {one['leakage_kept']:.3f}"
        )
    return OK
