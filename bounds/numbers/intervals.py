"""Real numbers between two decimals: what a printed closed form is worth, to as many digits as are asked for.

    numpy.log(Interval.of(3, digits=38) / 7)      two decimals with ln(3/7) between them, 1e-37 apart

Every operation rounds its ends outwards, in Python's own `decimal`, which promises ln, exp and sqrt correctly rounded.
NumPy's functions take these numbers, so that a form printed for arrays is evaluated here too and is typed once.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from decimal import MAX_EMAX, MIN_EMIN, ROUND_CEILING, ROUND_FLOOR, Context, Decimal
from typing import Any

import numpy as np

ZERO, ONE, INFINITY = Decimal(0), Decimal(1), Decimal("Infinity")
NARROW = Decimal(
    "1e-9"
)  # relative width up to which the far end of a logarithm or exponential is bounded from the near


@functools.cache
def _contexts(digits: int) -> tuple[Context, Context]:
    """(down, up): that many digits, the widest exponents, nothing raised."""
    down, up = (
        Context(prec=digits, rounding=way, Emin=MIN_EMIN, Emax=MAX_EMAX, traps=[])
        for way in (ROUND_FLOOR, ROUND_CEILING)
    )
    return down, up


@functools.lru_cache(4096)
def _ln(digits: int, value: Decimal) -> Decimal:
    """Rounded to nearest, as `_exp`; the same numbers of keys come again and again."""
    return _contexts(digits)[0].ln(value)


@functools.lru_cache(4096)
def _exp(digits: int, value: Decimal) -> Decimal:
    return _contexts(digits)[0].exp(value)


class Interval:
    """A real number from `low` to `high`. Comparisons with another are certain: False may mean "not known"."""

    __slots__ = ("digits", "high", "low")

    def __init__(self, low: Decimal, high: Decimal, digits: int) -> None:
        self.low, self.high, self.digits = low, high, digits

    @classmethod
    def of(cls, value: float | Interval, digits: int) -> Interval:
        """Exactly that number; an interval as it is."""
        if isinstance(value, Interval):
            return value
        exact = Decimal(value) if isinstance(value, int) else Decimal.from_float(float(value))
        return cls(exact, exact, digits)

    def __repr__(self) -> str:
        return f"Interval({self.low}, {self.high})"

    def __neg__(self) -> Interval:
        return Interval(self.high.copy_negate(), self.low.copy_negate(), self.digits)

    def _between(self, lows: Sequence[Decimal], highs: Sequence[Decimal]) -> Interval:
        """From the least to the greatest; NaN, which is 0 times infinity or their like, says nothing."""
        low = -INFINITY if any(v != v for v in lows) else min(lows)
        high = INFINITY if any(v != v for v in highs) else max(highs)
        return Interval(low, high, self.digits)

    def __add__(self, other: float | Interval) -> Interval:
        down, up = _contexts(self.digits)
        b = Interval.of(other, self.digits)
        return self._between((down.add(self.low, b.low),), (up.add(self.high, b.high),))

    def __sub__(self, other: float | Interval) -> Interval:
        return self + -Interval.of(other, self.digits)

    def __rsub__(self, other: float) -> Interval:
        return -self + other

    def _ends(self, b: Interval, down: Callable[..., Decimal], up: Callable[..., Decimal], falls: bool) -> Interval:
        """Of a product, or of a quotient, which falls in `b`: at two ends, or at all four where signs differ."""
        if self.low >= 0 and b.low >= 0:
            low, high = (b.high, b.low) if falls else (b.low, b.high)
            return self._between((down(self.low, low),), (up(self.high, high),))
        pairs = [(p, q) for p in (self.low, self.high) for q in (b.low, b.high)]
        return self._between([down(*pair) for pair in pairs], [up(*pair) for pair in pairs])

    def __mul__(self, other: float | Interval) -> Interval:
        down, up = _contexts(self.digits)
        return self._ends(Interval.of(other, self.digits), down.multiply, up.multiply, False)

    def __truediv__(self, other: float | Interval) -> Interval:
        down, up = _contexts(self.digits)
        b = Interval.of(other, self.digits)
        if b.low <= 0 <= b.high:
            return Interval(-INFINITY, INFINITY, self.digits)
        return self._ends(b, down.divide, up.divide, True)

    def __rtruediv__(self, other: float) -> Interval:
        return Interval.of(other, self.digits) / self

    def __pow__(self, power: int) -> Interval:
        """A whole power of a number that is not negative."""
        return functools.reduce(Interval.__mul__, [self] * power)

    __radd__, __rmul__ = __add__, __mul__

    def log(self) -> Interval:
        """-Infinity for 0; the logarithm is concave, so its far end lies below the tangent at the near one."""
        down, up = _contexts(self.digits)
        low, high = max(self.low, ZERO), max(self.high, ZERO)
        least = _ln(self.digits, low)
        width = up.divide(up.subtract(high, low), low) if low > 0 else INFINITY
        most = up.add(up.next_plus(least), width) if width < NARROW else up.next_plus(_ln(self.digits, high))
        exact = low == high and low in (ZERO, ONE)
        return Interval(least, least, self.digits) if exact else Interval(down.next_minus(least), most, self.digits)

    def exp(self) -> Interval:
        """Its far end by e^w <= 1 + 2 w for a width w up to 1."""
        down, up = _contexts(self.digits)
        if self.low == self.high == 0:
            return Interval(ONE, ONE, self.digits)
        least = _exp(self.digits, self.low)
        width = up.subtract(self.high, self.low)
        growth = up.add(ONE, up.multiply(width, Decimal(2))) if width < NARROW else None
        most = (
            up.next_plus(_exp(self.digits, self.high)) if growth is None else up.multiply(up.next_plus(least), growth)
        )
        return Interval(max(down.next_minus(least), ZERO), most, self.digits)

    def sqrt(self) -> Interval:
        """Exact where the root is."""
        down, up = _contexts(self.digits)
        low, high = max(self.low, ZERO), max(self.high, ZERO)
        least, most = down.sqrt(low), up.sqrt(high)
        if low == high and up.multiply(most, most) == down.multiply(most, most) == high:
            return Interval(most, most, self.digits)
        return Interval(max(down.next_minus(least), ZERO), up.next_plus(most), self.digits)

    def _tiny(self) -> bool:
        """Whether the third power is beyond the digits: there a series keeps those that 1 + x would lose."""
        return self.low >= 0 and self.high.scaleb(self.digits // 3, _contexts(self.digits)[1]) < 1

    def log1p(self) -> Interval:
        """x - x^2/2 + x^3/3 - x^4/4 < ln(1 + x) < x - x^2/2 + x^3/3"""
        if not self._tiny():
            return (self + 1).log()
        below = self - self * self / 2
        return Interval(below.low, (below + self * self * self / 3).high, self.digits)

    def expm1(self) -> Interval:
        """x + x^2/2 < e^x - 1 < x + x^2/2 + x^3/3 up to x = 1"""
        if not self._tiny():
            return self.exp() - 1
        below = self + self * self / 2
        return Interval(below.low, (below + self * self * self / 3).high, self.digits)

    def maximum(self, other: float | Interval) -> Interval:
        b = Interval.of(other, self.digits)
        return Interval(max(self.low, b.low), max(self.high, b.high), self.digits)

    def minimum(self, other: float | Interval) -> Interval:
        b = Interval.of(other, self.digits)
        return Interval(min(self.low, b.low), min(self.high, b.high), self.digits)

    def __le__(self, other: float | Interval) -> bool:
        return bool(self.high <= Interval.of(other, self.digits).low)

    def __ge__(self, other: float | Interval) -> bool:
        return bool(self.low >= Interval.of(other, self.digits).high)

    def __lt__(self, other: float | Interval) -> bool:
        return bool(self.high < Interval.of(other, self.digits).low)

    def __gt__(self, other: float | Interval) -> bool:
        return bool(self.low > Interval.of(other, self.digits).high)

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **keywords: Any) -> Any:
        if (operation := _OPERATIONS.get(ufunc)) is None or method != "__call__" or keywords:
            return NotImplemented
        first, *others = inputs
        return operation(Interval.of(first, self.digits), *others)

    def __array_function__(self, function: Any, types: Any, arguments: Sequence[Any], keywords: Any) -> Any:
        if function is not np.where or len(arguments) != 3:
            return NotImplemented
        condition, this, other = arguments  # of an argument, which is one number, every comparison is decided
        return Interval.of(this if condition else other, self.digits)


_OPERATIONS: dict[Any, Callable[..., Interval]] = {
    np.add: Interval.__add__,
    np.subtract: Interval.__sub__,
    np.multiply: Interval.__mul__,
    np.divide: Interval.__truediv__,
    np.negative: Interval.__neg__,
    np.log: Interval.log,
    np.exp: Interval.exp,
    np.sqrt: Interval.sqrt,
    np.log1p: Interval.log1p,
    np.expm1: Interval.expm1,
    np.maximum: Interval.maximum,
    np.minimum: Interval.minimum,
}
"""What NumPy's functions do to an interval. Others are refused, so that no form is evaluated by chance."""
