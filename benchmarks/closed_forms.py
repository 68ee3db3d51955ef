"""Bounds of many rows at once by the printed NumPy forms, against mpmath row by row, and how far the two differ.

    python benchmarks/closed_forms.py [--limit 100] [--limit-difference 1e-14] [--quick] [--out FILE.json]

Ours are the calculators of `bounds`, arguments checked, on 100,000 random rows: margins to 30, ranges to 30 more, up to
a million keys. mpmath evaluates the expressions of the theorems as they are written down, at 15 and at 50 digits, on a
sample of the same rows; rows a second are compared round by round. The difference is relative, over that sample, from
the 50 digits, which are the truth here. For `entropy_floor_with_margin` mpmath searches all counts of rows of two and
three levels, of up to 16 keys, where ours computes the best one: its ratio is said but not judged.
Exit status 1 where the least ratio at 15 digits is below its limit, or a difference above its own.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from common import in_turn, quick_and_out, save, spread

DIGITS = (15, 50)
DIFFERENCE = 1e-14  # 45 ulp: a printed form keeps to 4, and rows of three levels add up several
Rows = dict[str, np.ndarray]


@cache
def formula(module: str, name: str) -> tuple[list[str], Callable[..., Any]]:
    """Symbols and mpmath function of a theorem's expression."""
    import importlib

    import sympy

    expression = getattr(importlib.import_module(f"bounds.{module}"), name)
    symbols = sorted(expression.free_symbols, key=str)
    return [str(symbol) for symbol in symbols], sympy.lambdify(symbols, expression, "mpmath")


def written(module: str, name: str) -> Callable[..., Any]:
    """The expression of a theorem at one row, given by symbol."""

    def evaluate(**row: Any) -> Any:
        symbols, function = formula(module, name)
        return function(*(row[symbol] for symbol in symbols))

    return evaluate


two_levels, three_levels = written("floors.theorems", "TWO_LEVEL"), written("floors.theorems", "THREE_LEVEL")


def entropy_floor(D: Any, n: Any) -> Any:
    """The lesser of the two whole numbers of upper keys next to the best real one."""
    from mpmath import floor

    best = floor(written("floors.theorems", "UPPER_KEYS")(D=D, n=n)) if D else n // 2
    return min(two_levels(D=D, n=n, k=min(max(k, 1), max(n - 1, 1))) for k in (best, best + 1))


def every_level(x: Any, D: Any, n: Any, m: Any, r: Any) -> Any:
    """The least over every count of free keys at the top, and of anchors at x or of outsiders at D - x."""
    n, m, r = int(n), int(m), int(r)
    rows = [(x, free + r - down, down) for free in range(m - r + 1) for down in range(r + 1)]
    rows += [(D - x, free + r, up) for free in range(m - r + 1) for up in range(n - m + 1)]
    return min(three_levels(D=D, n=n, y_l=level, k_t=top, k_y=middle) for level, top, middle in rows)


@dataclass(frozen=True)
class Case:
    """A calculator, its arguments in the order of the symbols, and the same in mpmath."""

    symbols: tuple[str, ...]
    exact: Callable[..., Any]
    most_keys: int = 10**6
    judged: bool = True


CASES = {
    "fidelity_floor": Case(("x", "n", "m", "r"), written("concentration.theorems", "FIDELITY")),
    "leakage_ceiling": Case(("x", "n", "m", "r"), written("concentration.theorems", "LEAKAGE")),
    "entropy_ceiling": Case(("x", "n", "m", "r"), written("entropy.theorems.margin", "ENTROPY")),
    "entropy_envelope": Case(("x", "n", "m", "r"), written("entropy.theorems.margin", "ENVELOPE")),
    "fidelity_ceiling": Case(("D", "n", "m"), written("floors.theorems", "FIDELITY_CEILING")),
    "entropy_floor": Case(("D", "n"), entropy_floor),
    "entropy_floor_with_margin": Case(("x", "D", "n", "m", "r"), every_level, most_keys=16, judged=False),
}


def random_rows(case: Case, count: int, random: np.random.Generator) -> Rows:
    """Whole numbers 1 <= r <= m < n, even in the logarithm of n; 0 <= x <= D."""
    n = np.floor(np.exp(random.uniform(np.log(2), np.log(case.most_keys + 1), count)))
    m = random.integers(1, n.astype(np.int64))
    r = random.integers(1, m + 1)
    x = random.uniform(0, 30, count)
    rows = {"x": x, "D": x + random.uniform(0, 30, count), "n": n, "m": m, "r": r}
    return {symbol: rows[symbol].astype(np.float64) for symbol in case.symbols}


def in_mpmath(case: Case, rows: Rows, digits: int) -> list[Any]:
    """Row by row; each float64 is exactly the number that ours was given."""
    import mpmath

    with mpmath.workdps(digits):
        return [
            case.exact(**{symbol: mpmath.mpf(value) for symbol, value in zip(rows, row)})
            for row in zip(*(values.tolist() for values in rows.values()))
        ]


def difference(ours: Any, exact: list[Any]) -> float:
    import mpmath

    with mpmath.workdps(DIGITS[-1]):
        return max(float(abs(mpmath.mpf(float(a)) - b) / abs(b)) for a, b in zip(ours, exact))


def measure_case(name: str, rows: int, sample: int, rounds: int) -> dict[str, Any]:
    import bounds

    case, calculator = CASES[name], getattr(bounds, name)
    given = random_rows(case, rows, np.random.default_rng(0))
    few = {symbol: values[:sample] for symbol, values in given.items()}

    def rate(run: Callable[[], Any], count: int) -> Callable[[], float]:
        def once() -> float:
            begin = time.perf_counter()
            run()
            return count / (time.perf_counter() - begin)

        return once

    work = {"ours": rate(lambda: calculator(*given.values()), rows)}
    for digits in DIGITS:
        work[f"mpmath, {digits} digits"] = rate(lambda digits=digits: in_mpmath(case, few, digits), sample)
    rates = in_turn(work, rounds)
    exact = in_mpmath(case, few, DIGITS[-1])
    return {
        "judged": case.judged,
        "rows_per_second": {key: spread(values) for key, values in rates.items()},
        "ratios": {
            str(digits): spread([a / b for a, b in zip(rates["ours"], rates[f"mpmath, {digits} digits"])])
            for digits in DIGITS
        },
        "difference": difference(calculator(*few.values()), exact),
        "difference_of_mpmath_15": difference(in_mpmath(case, few, DIGITS[0]), exact),
    }


def measure(quick: bool = False) -> dict[str, Any]:
    from mpmath.libmp import BACKEND

    rows, sample, rounds = (1000, 5, 2) if quick else (100_000, 400, 7)
    cases = {name: measure_case(name, rows, sample, rounds) for name in CASES}
    judged = {name: case["ratios"] for name, case in cases.items() if case["judged"]}
    least = min(judged, key=lambda name: judged[name]["15"]["median"])
    return {
        "rows": rows,
        "sample": sample,
        "mpmath_backend": BACKEND,  # gmpy is several times faster than python
        "least": least,
        "ratio": judged[least]["15"]["median"],
        "quartiles": judged[least]["15"]["quartiles"],
        "difference": max(case["difference"] for case in cases.values()),
        "cases": cases,
    }


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="printed closed forms against mpmath: rows a second and differences")
    parser.add_argument("--limit", type=float, default=100.0, help="the least ratio allowed (default 100)")
    parser.add_argument("--limit-difference", type=float, default=DIFFERENCE, help="relative, at most (default 1e-14)")
    chosen = quick_and_out(parser, __file__, arguments)
    result = measure(chosen.quick)
    kept = result["ratio"] >= chosen.limit and result["difference"] <= chosen.limit_difference
    limits = {"limit": chosen.limit, "limit_difference": chosen.limit_difference, "quick": chosen.quick, "kept": kept}
    save({**result, **limits}, chosen.out)
    print(f"{'':<27}{'rows/s':>12}{'x mp 15':>10}{'x mp 50':>10}{'difference':>12}{'of mp 15':>10}")
    for name, case in result["cases"].items():
        ours = case["rows_per_second"]["ours"]["median"]
        short, long = (case["ratios"][str(digits)]["median"] for digits in DIGITS)
        print(
            f"{name:<27}{ours:>12,.0f}{short:>10,.0f}{long:>10,.0f}{case['difference']:>12.1e}"
            f"{case['difference_of_mpmath_15']:>10.1e}{'' if case['judged'] else '  by search'}"
        )
    print(
        f"least ratio {result['ratio']:,.0f} ({result['least']}), limit {chosen.limit:g}; largest difference "
        f"{result['difference']:.1e}, limit {chosen.limit_difference:g}: {'kept' if kept else 'MISSED'}"
    )
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())
