"""`localist observe` and `localist generate`: the command line of checkpoints."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from empirical.cli.arguments import add_checkpoint, add_json, add_requirement, beside, document, given, required
from empirical.cli.exits import OK, REFUTED, UNDECIDED, epilog
from empirical.cli.verdicts import add_verbose, judged
from empirical.errors import BadInput, Missed

if TYPE_CHECKING:
    from empirical.check.requirement import Known
    from empirical.checkpoints.weights import Head
    from empirical.cli.arguments import Commands


def add_parsers(commands: Commands) -> None:
    """The parsers of both commands, and what each runs."""
    observe = commands.add_parser(
        "observe",
        help="a checkpoint's attention on real text, against every theorem",
        epilog=epilog(
            "localist observe MODEL --text documents.jsonl --dial 0.9 --out runs/observed",
            "a sentence, medians of each layer, verdicts by topic; in DIR observations.nc, verdicts.json, figures/",
            *(REFUTED, UNDECIDED),
        ),
    )
    _asks(observe)
    seen = observe.add_argument_group("what is observed")
    seen.add_argument("--attention", default="self", help="self, encoder or cross; default: self")
    seen.add_argument("--layers", type=int, nargs="+", metavar="N", help="only these, from 0; default: all")
    seen.add_argument("--n-anchors", type=int, default=1, metavar="N", help="best keys that a margin counts; default 1")
    seen.add_argument("--batch", type=int, default=1, metavar="N", help="documents at once, padded; default 1")
    seen.add_argument("--certify", action="store_true", help="what the weights alone say of every head's logits")
    seen.add_argument("--keep-text", action="store_true", help="save the text beside what was observed")
    observe.add_argument("--out", required=True, metavar="DIR", type=Path, help="a new or empty folder")
    add_requirement(observe, "dial=0.9")
    add_verbose(observe)
    add_json(observe)
    observe.set_defaults(run=_observe)

    generate = commands.add_parser(
        "generate",
        help="text continued by a checkpoint at a dial",
        epilog=epilog(
            "localist generate MODEL --prompt prompts.jsonl --dial 0.9 --tokens 32",
            "each prompt's continuation on stdout",
            REFUTED,
        ),
    )
    _asks(generate, "--prompt")
    generate.add_argument("--tokens", type=int, default=64, metavar="N", help="new tokens; default 64")
    generate.add_argument("--sample", action="store_true", help="draw tokens; default: the most likely one")
    generate.add_argument("--seed", type=int, metavar="N", help="of --sample; default 0")
    generate.set_defaults(run=_generate)


def _asks(parser: argparse.ArgumentParser, text: str = "--text") -> None:
    """What a checkpoint is given beside its text: what is relevant, the dial, rules, a guard."""
    add_checkpoint(parser, text)
    change = parser.add_argument_group("what is relevant, and what changes attention")
    change.add_argument("--relevant", metavar="BLOCK", help="relevant to every query; default: the query's own block")
    change.add_argument("--dial", dest="dials", type=float, nargs="+", default=[], metavar="X", help="in [0, 1]")
    change.add_argument("--rules", metavar="FILE.toml", type=Path, help="rules to inject, blocks by name")
    change.add_argument(
        "--gates", metavar="DIR", type=Path, help="what `localist localise` saved of this model and blocks"
    )
    change.add_argument("--guard", type=float, metavar="F", help="end with status 1 where a row keeps less fidelity")


def _observe(arguments: argparse.Namespace) -> int:
    from empirical.checkpoints.loading import Request
    from empirical.files import make_folder, usable_folder

    out, request = arguments.out, Request(**given(arguments, Request))
    places: Known = {"dial": request.settings, "layer": request.layers, "head": None}
    requirements = required(arguments, places, "these observations")
    usable_folder(out, new=True)
    from empirical.checkpoints.observe import observe_model, summary
    from empirical.checkpoints.weights import outside
    from empirical.observe.files import FILE, save_dataset

    dataset, heads, misses = observe_model(request)
    make_folder(out)
    save_dataset(dataset, out / FILE)
    from empirical.cli.runs import draw

    found = judged(dataset, requirements)
    if arguments.json:
        weights = {"weights": _by_head(heads)} if heads else {}
        print(document({**found.saved, **weights}))
    else:
        print(found.words(arguments.verbose, summary(dataset)))
    found.save(out)
    with beside(arguments.json):
        print(f"\n{draw(dataset, out / 'figures', found.outcomes)}")
        if heads:
            print(f"\n{_weights(heads, out)}")
    status = (REFUTED if outside(heads) else OK) or found.status
    if misses and request.guard is not None:  # all is saved by now
        raise Missed(request.guard, misses)
    return status


def _by_head(heads: Sequence[Head]) -> list[dict[str, Any]]:
    from dataclasses import asdict

    return [{**asdict(head), "hard_mask_only": head.hard_mask_only} for head in heads]


def _weights(heads: Sequence[Head], out: Path) -> str:
    """What the weights say, beside what was observed, as weights.json and a figure; in words."""
    from empirical.checkpoints.weights import table
    from empirical.figures import style
    from empirical.figures.ranges import ranges
    from empirical.files import write_atomically

    write_atomically(out / "weights.json", (json.dumps(_by_head(heads), indent=1) + "\n").encode())
    with style.drawing():
        style.save(ranges(heads), out / "figures", "ranges")
    return table(heads)


def _generate(arguments: argparse.Namespace) -> int:
    from empirical.checkpoints.generate import generate
    from empirical.checkpoints.loading import Request
    from empirical.files import printable

    if len(arguments.dials) > 1:
        raise BadInput(f"--dial must be one number, got {', '.join(map(str, arguments.dials))}")
    if arguments.seed is not None and not arguments.sample:
        raise BadInput(f"--seed must go with --sample, got {arguments.seed}")
    request = Request(**given(arguments, Request))
    for text in generate(request, arguments.tokens, arguments.seed or 0, arguments.sample):
        print(printable(text), flush=True)
    return OK
