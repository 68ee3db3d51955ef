"""Random rational inputs: the Coq definitions, by the interval tactic, agree with Arb, and the forms with NumPy.

python proofs/agreement.py [COUNT]     needs ClosedForms.vo (make proofs) and python-flint; a minute for 1,000 inputs
For every input Coq proves |definition - d| <= 1e-9 (1 + |d|), d the middle of Arb's ball rounded to 20 digits; NumPy's
value lies as close. So printer, Arb and NumPy read one expression as one function.
"""

from __future__ import annotations

import random
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np
import sympy

FOLDER = Path(__file__).resolve().parent
sys.path.insert(0, str(FOLDER.parent))

from bounds.printing import numpy_forms as printer  # noqa: E402
from bounds.printing.coq import ORDER, name_of  # noqa: E402
from bounds.rigour.balls import ball, compiled, working_precision  # noqa: E402
from bounds.theorems import THEOREMS  # noqa: E402

TOLERANCE = Fraction(1, 10**9)
TACTIC = """
Ltac plain a := lazymatch a with context [if _ then _ else _] => fail | _ => idtac end.
Ltac decide_one :=
  match goal with
  | |- context [Rle_dec ?a ?b] => plain a; plain b; let H := fresh in destruct (Rle_dec a b) as [H|H];
      [try (exfalso; assert (b < a) by interval with (i_prec 80); lra)
      |try (exfalso; apply H; interval with (i_prec 80))]
  | |- context [Rlt_dec ?a ?b] => plain a; plain b; let H := fresh in destruct (Rlt_dec a b) as [H|H];
      [try (exfalso; assert (b <= a) by interval with (i_prec 80); lra)
      |try (exfalso; apply H; interval with (i_prec 80))]
  | |- context [Req_EM_T ?a ?b] => let H := fresh in destruct (Req_EM_T a b) as [H|H]; [exfalso; lra |]
  end.
Ltac agree := unfold Rmax, Rmin, Rpower; repeat decide_one; interval with (i_prec 80).
"""

NATURAL = {"n": (40, 90), "m": (20, 39), "r": (1, 19), "K": (3, 30), "k": (1, 20), "steps": (1, 6)}
SHARES = {"eps", "F", "F_goal", "eps_goal", "dial", "c", "b1", "share", "p_t", "kept", "s", "q"}
SMALL = {"theta": (0, 1), "phi": (1, 2), "momentum": (0, 1)}


def draw(name: str, rng: random.Random) -> Fraction:
    """A rational in the domain of the symbol of that name."""
    if name in NATURAL:
        return Fraction(rng.randint(*NATURAL[name]))
    if name in SHARES:
        return Fraction(rng.randint(5, 90), 200 if name == "s" else 100)
    low, high = SMALL.get(name, (0, 4))
    return low + (high - low) * Fraction(rng.randint(3, 97), 100)


Definition = tuple[str, str, tuple[sympy.Symbol, ...], sympy.Expr]
"""Topic of the form that NumPy runs, or nothing; qualified name, arguments, expression."""


def definitions() -> Iterator[Definition]:
    """Every form, and every theorem's expression that is not a number or a ceiling."""
    for theorem in THEOREMS.values():
        expression = sympy.sympify(theorem.expression)
        free = tuple(sorted(expression.free_symbols, key=lambda symbol: ORDER[symbol]))
        if free and not expression.has(sympy.ceiling):
            yield "", f"Bound.{theorem.key}", free, expression
    seen: set[str] = set()
    for topic in printer.TOPICS:
        module = __import__(f"bounds.{topic}.theorems", fromlist=["FORMS"])
        for name, (arguments, form) in module.FORMS.items():
            if name not in seen:
                yield topic, f"Form.{name}", arguments, sympy.sympify(form)
            seen.add(name)


def numpy_form(topic: str, name: str) -> Callable[..., np.ndarray]:
    short = name.removeprefix("Form.")
    return getattr(__import__(f"bounds.{topic}.closed_forms", fromlist=[short]), short)


def rational(value: Fraction) -> str:
    return f"({value.numerator})" if value.denominator == 1 else f"({value.numerator} / {value.denominator})"


def middle(ball_of: object) -> Fraction | None:
    """The middle of a small ball to 20 digits, None where the input lies outside the domain."""
    text = ball_of.mid().str(20, radius=False)  # type: ignore[attr-defined]
    if text in ("nan", "+inf", "-inf") or not ball_of.is_finite():  # type: ignore[attr-defined]
        return None
    return Fraction(text)


def cases(count: int, seed: int = 0) -> Iterator[tuple[str, str]]:
    """Goals in Coq, after NumPy was compared with Arb. Raises ValueError where they disagree."""
    rng, forms = random.Random(seed), list(definitions())
    with working_precision():
        evaluators = {name: compiled(form) for _, name, _, form in forms}
    made = 0
    while made < count:
        topic, name, arguments, _ = forms[made % len(forms)]
        values = {symbol: draw(name_of(symbol), rng) for symbol in arguments}
        with working_precision():
            balls = {symbol: ball(sympy.Rational(v.numerator, v.denominator)) for symbol, v in values.items()}
            want = middle(evaluators[name](balls))
        if want is None:
            continue
        with np.errstate(all="ignore"):
            floats = [np.float64(float(v)) for v in values.values()]
            got = float(numpy_form(topic, name)(*floats)) if topic else float(want)
        room = TOLERANCE * (1 + abs(want))
        if not abs(Fraction(got) - want) <= room:
            shown = {str(k): str(v) for k, v in values.items()}
            raise ValueError(f"NumPy and Arb must agree on {name}, got {got} and {float(want)} at {shown}")
        parts = [str(v.numerator) + "%nat" if s.is_integer else rational(v) for s, v in values.items()]
        yield name, f"Rabs ({name} {' '.join(parts)} - {rational(want)}) <= {rational(room)}"
        made += 1


def main(arguments: list[str] | None = None) -> int:
    count = int((arguments or sys.argv[1:] or ["1000"])[0])
    if not (FOLDER / "ClosedForms.vo").exists():
        print("agreement was not run: build the proofs first (make proofs)", file=sys.stderr)
        return 2
    lines = [
        "Require Import Reals Lra.",
        "From Interval Require Import Tactic.",
        "From Localist Require Import ClosedForms.",
    ]
    lines += ["Open Scope R_scope.", TACTIC]
    for name, goal in cases(count):
        lines += [f"Goal {goal}.", f"Proof. unfold {name}; agree. Qed."]
    with tempfile.TemporaryDirectory() as scratch:
        file = Path(scratch) / "Agreement.v"
        file.write_text("\n".join(lines) + "\n", encoding="utf-8")
        command = ["coqc", "-q", "-w", "none", "-Q", str(FOLDER), "Localist", str(file)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            print(done.stderr[-2000:], file=sys.stderr)
            if where := re.search(r"line (\d+)", done.stderr):
                print(*file.read_text().splitlines()[int(where[1]) - 2 : int(where[1])], sep="\n", file=sys.stderr)
            return 1
    print(
        f"{count} inputs over {len(list(definitions()))} definitions: Coq, Arb and NumPy agree to {float(TOLERANCE):g}"
    )
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
