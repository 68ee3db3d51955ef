"""Plain tables of the command line: columns as wide as their widest cell, numbers rounded to the safe side."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import ROUND_CEILING, ROUND_FLOOR, ROUND_HALF_EVEN, Context, Decimal

SIDES = {"down": ROUND_FLOOR, "up": ROUND_CEILING, "nearest": ROUND_HALF_EVEN}


def rounded(value: float, side: str = "nearest", digits: int = 6) -> str:
    """`digits` significant digits of a finite number; "down" promises no more than `value`, "up" no less."""
    context = Context(prec=digits, rounding=SIDES[side])
    return f"{float(context.create_decimal(Decimal(float(value)))):.{digits}g}"


def table(rows: Sequence[Sequence[str]], left: int = 1) -> list[str]:
    """Lines of text: a header, a rule, the rest; the first `left` columns flush left, the others flush right."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    rule = ["-" * width for width in widths]
    return [
        "  ".join(c.ljust(w) if i < left else c.rjust(w) for i, (c, w) in enumerate(zip(row, widths))).rstrip()
        for row in (rows[0], rule, *rows[1:])
    ]
