"""Which checkpoints are covered, as docs/architectures.md says: printed from the files of `architectures`.

Every combination of the table has all its canaries green (tests/empirical/checkpoints/test_canaries.py); one that is
not in it is refused by name.
"""

from __future__ import annotations

from pathlib import Path

from bounds.numbers.repository import ROOT
from bounds.printing.numpy_forms import generate
from empirical.checkpoints.architecture import CACHES, Architecture
from empirical.checkpoints.architectures import ARCHITECTURES, REFUSED

PAGE = ROOT / "docs" / "architectures.md"
HEAD = """# Checkpoints that are covered

Printed by `python -m empirical.checkpoints.covered` from `empirical/checkpoints/architectures/`, one file a family. In
every combination of the table, without padding and with padding on the left and on the right: a dial of 0 is the model
bit for bit; a future token and what stands in padding change no bit of a row that may not see them; at dial 1 other
blocks change no bit of one that is generated, under rules and a guard; the odds law holds in the weights that the
kernel itself gives; calls by a cache are the one call without. A combination that is not in the
table is refused by name.

A sliding cache is the model's own, or one given to it: a model without windows is another one by it, and what is said
holds of that. A cache that says nothing of positions is refused. The first new token is read from the last one of the
prompt: at dial 1 it carries nothing over where that token is of the same block.
"""


def row(architecture: Architecture) -> str:
    caches = ("yes" if one in architecture.caches else "refused" for one in CACHES)
    asked = [f"`{name}`" for name in architecture.refused] + ["`is_causal=False`"] * architecture.causal
    cells = (f"`{architecture.model_type}`", ", ".join(architecture.implementations), *caches, ", ".join(asked))
    return f"| {' | '.join(cells)} |".replace("|  |", "| |")


def page() -> str:
    heads = ("model type", "attention", *(f"{one} cache" for one in CACHES), "configurations refused")
    lines = [HEAD, f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    lines += [row(ARCHITECTURES[name]) for name in sorted(ARCHITECTURES)]
    lines += ["", "Other model types are refused; of these the reason is said:", ""]
    lines += [f"- `{name}`, {why}" for name, why in REFUSED.items()]
    return "\n".join(lines) + "\n"


def texts() -> dict[Path, str]:
    return {PAGE: page()}


def main(arguments: list[str] | None = None) -> int:
    does, fresh = "Print which checkpoints are covered.", "docs/architectures.md is fresh"
    return generate(texts, "python -m empirical.checkpoints.covered", does, fresh, arguments)


if __name__ == "__main__":
    raise SystemExit(main())
