"""Numbers as a few decimal digits, rounded to the safe side."""

from __future__ import annotations

from decimal import ROUND_CEILING, ROUND_FLOOR, ROUND_HALF_EVEN, Context, Decimal

SIDES = {"down": ROUND_FLOOR, "up": ROUND_CEILING, "nearest": ROUND_HALF_EVEN}


def rounded(value: float, side: str = "nearest", digits: int = 6) -> str:
    """`digits` significant digits of a finite number; "down" promises no more than `value`, "up" no less."""
    context = Context(prec=digits, rounding=SIDES[side])
    return f"{float(context.create_decimal(Decimal(float(value)))):.{digits}g}"
