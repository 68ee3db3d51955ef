"""`localist price` and `localist localise`: what locality costs a checkpoint, and gates that make it local."""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from empirical.cli.arguments import add_checkpoint, add_json, beside, document, drawn, given
from empirical.cli.exits import OK, epilog
from empirical.gates.saved import PATH, PRICES

if TYPE_CHECKING:
    import xarray as xr

    from empirical.checkpoints.gate_texts import Asked
    from empirical.cli.arguments import Commands

GROUPS = ("layer", "head")
SHOWN = {"critical_penalty": "max", "share": "sum", "stair_share": "sum", "ablation": "sum"}
"""What is said of a layer's gates, and how they are put together."""


def add_parsers(commands: Commands) -> None:
    """The parsers of both commands, and what each runs."""
    price = commands.add_parser(
        "price",
        help="what each head's attention outside its block is worth, on a text",
        epilog=epilog(
            "localist price MODEL --text documents.jsonl --out runs/prices",
            "what the mask costs, then prices by layer; in DIR prices.nc, figures/",
        ),
    )
    _asks(price)
    price.add_argument(
        "--paths", nargs="*", metavar="PATH", help="diagonal, staircase; default: both; none: the mask's pass"
    )
    price.add_argument("--no-ablations", action="store_true", help="leave out one pass a gate")
    price.set_defaults(run=_price)
    localise = commands.add_parser(
        "localise",
        help="gates that make a checkpoint local, at a penalty or within a budget",
        epilog=epilog(
            "localist localise MODEL --text documents.jsonl --loss-budget 0.01 --out runs/local\n"
            "  localist observe MODEL --text others.jsonl --gates runs/local --out runs/observed",
            "how many gates are exactly shut, losses chosen on and held out; in DIR gates.json, path.nc, figures/",
        ),
    )
    _asks(localise)
    aim = localise.add_argument_group("the aim, one of them")
    aim.add_argument("--penalty", type=float, metavar="X", help="of a unit of leakage, summed over heads")
    aim.add_argument("--loss-budget", type=float, metavar="Y", help="nats a token above the model as trained")
    aim.add_argument("--target-fidelity", type=float, metavar="F", help="mean over rows and heads, at least")
    training = localise.add_argument_group("weights trained with the gates")
    training.add_argument("--weights", action="store_true", help="train weights with gates; saved beside them")
    training.add_argument("--steps", type=int, metavar="N", help="of --weights, a document each; default 200")
    training.add_argument("--rate", type=float, metavar="X", help="of AdamW with --weights; default 1e-4")
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
    add_json(parser)


def _asked(arguments: argparse.Namespace) -> Asked:
    from empirical.checkpoints.gate_texts import Asked
    from empirical.checkpoints.loading import Request
    from empirical.files import usable_folder

    usable_folder(arguments.out, new=True)
    return Asked(Request(**given(arguments, Request)), tuple(arguments.groups), arguments.loss)


def _left(bound: str, passes: int, seconds: float) -> None:
    """How long it takes from here, before it starts."""
    total = passes * seconds
    words = f"{total:.0f} s" if total < 120 else f"{total / 60:.0f} min" if total < 7200 else f"{total / 3600:.1f} h"
    print(
        f"{bound} {words} left: {passes:,} forward and backward passes of {seconds:.3g} s", file=sys.stderr, flush=True
    )


def _price(arguments: argparse.Namespace) -> int:
    asked = _asked(arguments)
    from empirical.checkpoints.localise import price_text
    from empirical.figures.gates import plot_prices
    from empirical.files import make_folder
    from empirical.gates.price import PATHS
    from empirical.observe.files import save_dataset

    usual = PATHS if "layer" in arguments.groups else PATHS[:1]  # a staircase has a gate in no two layers
    paths = usual if arguments.paths is None else tuple(arguments.paths)
    found = price_text(asked, paths, not arguments.no_ablations, _left)
    make_folder(arguments.out)
    save_dataset(found, arguments.out / PRICES)
    if arguments.json:
        layers = {name: values.values for name, values in _by_layer(found).items()}
        print(document({"conclusion": _conclusion(found), **found.attrs, "layers": layers}))
    else:
        print(_said(found))
    with beside(arguments.json):
        _draw(plot_prices(found, arguments.out / "figures"))
    return OK


def is_saved(path: Path) -> bool:
    """Whether a folder is of one of these commands."""
    return any((path / name).is_file() for name in (PRICES, PATH))


def draw(path: Path, out: Path) -> int:
    """Every figure of what a folder holds."""
    from empirical.figures.gates import plot_path, plot_prices
    from empirical.observe.files import open_observations

    for name, plot in ((PRICES, plot_prices), (PATH, plot_path)):
        if (path / name).is_file():
            _draw(plot(open_observations(path / name), out))
    return OK


def _draw(files: list[Path]) -> None:
    if files:
        print(f"\n{drawn(files, files[0].parent)}")


def _conclusion(found: xr.Dataset) -> str:
    said = found.attrs
    return (
        f"the mask changes the loss by {said['change']:+.4f} nats a token ({said['loss_as_trained']:.4f} as trained, "
        f"{said['loss_mask']:.4f}), on {said['documents']} documents"
    )


def _by_layer(found: xr.Dataset) -> dict[str, xr.DataArray]:
    """What is said of each layer's gates, put together."""
    names = [name for name in SHOWN if name in found and "layer" in found[name].dims]
    return {name: getattr(found[name], SHOWN[name])(set(found[name].dims) - {"layer"}) for name in names}


def _said(found: xr.Dataset) -> str:
    """The totals, and a line a layer."""
    from empirical.gates.resampling import said as words

    said = found.attrs
    outside = said["rows_in_blocks"] - said["rows_gated"]
    lines = [
        _conclusion(found),
        f"{said['statement']} ({words(said['lambda_crit_low'], said['lambda_crit_high'], '.4g')})",
    ]
    if outside:
        lines.append(f"not gated: {outside:,} of {said['rows_in_blocks']:,} rows, which see no key of their own block")
    if by_layer := _by_layer(found):
        lines.append("layer" + "".join(f"{name:>18}" for name in by_layer))
        lines += [
            f"{layer:5}" + "".join(f"{float(table[layer]):18.5f}" for table in by_layer.values())
            for layer in range(len(found["layer"]))
        ]
    for name in ("share", "stair_share"):
        if f"{name}_sum" in said:
            lines.append(
                f"{name}: sum {said[f'{name}_sum']:+.5f}, {said[f'{name}_defect']:+.1e} from what was measured"
            )
    return "\n".join(lines)


def _localise(arguments: argparse.Namespace) -> int:
    asked = _asked(arguments)
    from empirical.checkpoints.gate_files import save_gates
    from empirical.checkpoints.localise import Aim, localise_text
    from empirical.checkpoints.localise_weights import save_weights
    from empirical.figures.gates import plot_path
    from empirical.observe.files import save_dataset

    found = localise_text(asked, Aim(**given(arguments, Aim)), _training(arguments), _left)
    out, texts, said = arguments.out, found.texts, found.said
    save_gates(out, found.gates, texts.groups, texts.model, texts.layout, said)
    save_dataset(found.path, out / PATH)
    at = "the mask itself" if said["penalty"] is None else f"at penalty {said['penalty']:.4g}"
    conclusion = f"{said['shut']} of {said['gates']} gates exactly shut, {at}"
    lines = [conclusion, *_judgements(said)]
    if "training" in said:
        lines.append(f"with the weights as they were, {_frozen(said)}")
        lines.append(f"weights trained with gates: {save_weights(out, texts)}, a checkpoint that these gates are of")
    print(document({"conclusion": conclusion, **said}) if arguments.json else "\n".join(lines))
    with beside(arguments.json):
        _draw(plot_path(found.path, out / "figures"))
    return OK


def _training(arguments: argparse.Namespace) -> Any:
    from empirical.checkpoints.localise_weights import Training
    from empirical.errors import BadInput

    asked = given(arguments, Training)
    if not arguments.weights and asked:
        name, value = next(iter(asked.items()))
        raise BadInput(f"--{name} must go with --weights, got {value}")
    return Training(**asked) if arguments.weights else None


def _judgements(said: dict[str, Any]) -> Iterator[str]:
    from empirical.gates.resampling import said as words

    for name, which in (("chosen_on", "documents that chose"), ("held_out", "documents held out")):
        one = said[name]
        low, high = one["change_interval"] or (math.nan, math.nan)
        between = words(low, high, "+.4f")
        kept = "UNKNOWN" if one["leakage_kept"] is None else f"{one['leakage_kept']:.3f}"
        yield (
            f"{which}: loss {one['loss']:.4f}, as trained {one['loss_as_trained']:.4f} "
            f"({one['change']:+.4f}, {between}), all open {one['loss_open']:.4f}, mask {one['loss_mask']:.4f}; "
            f"leakage kept {kept}"
        )


def _frozen(said: dict[str, Any]) -> str:
    one = said["weights_as_trained"]["held_out"]
    return f"held out: loss {one['loss']:.4f}, mask {one['loss_mask']:.4f}"
