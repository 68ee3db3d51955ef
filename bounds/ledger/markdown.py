"""What the generated pages share: a theorem's formula, lists of names, the glossary."""

# sympy has no types: what comes of its functions is unknown to a type checker.
# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportUnknownLambdaType=false, reportUnknownParameterType=false

from __future__ import annotations

from collections.abc import Iterable, Iterator

from sympy import latex

from bounds.theory.symbols import GLOSSARY
from bounds.theory.theorem import Relation, Theorem

SIGNS = {Relation.AT_MOST: r"\le", Relation.AT_LEAST: r"\ge", Relation.EQUAL: "="}


def listed(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def statement(theorem: Theorem) -> Iterator[str]:
    """The theorem in words and as a formula, and its step where proofs are about that."""
    yield from (theorem.statement, "", "```math")
    yield rf"\text{{{theorem.quantity.replace('_', ' ')}}} {SIGNS[theorem.relation]} {latex(theorem.formula)}"
    yield from ("```", "")
    if theorem.step is not None:
        yield from (f"The proof, and `Bound.{theorem.key}`, are about its step $`{latex(theorem.step)}`$.", "")


def glossary() -> Iterator[str]:
    """Every symbol: how it is printed, what it stands for, its unit, what sympy may assume of it."""
    yield from ("| symbol | meaning | unit | assumed |", "|---|---|---|---|")
    for entry in GLOSSARY:
        meaning = entry.meaning.replace("|", r"\|")
        yield f"| $`{latex(entry.symbol)}`$ | {meaning} | {entry.unit} | {', '.join(entry.assumptions)} |"
