"""Exact values: one twin a calculator, with its parameters; what the caller had set is set again."""

from __future__ import annotations

import importlib
import inspect
from pathlib import Path

import flint
import numpy as np
import pytest

import bounds
from bounds.numbers.errors import BadInput
from bounds.rigour.balls import BITS, working_precision
from bounds.rigour.enclosed import exact_twin
from bounds.rigour.exact import Bracket, ClosedForm, Rounded

CALCULATORS = {name: f for name in bounds.__all__ if hasattr(f := getattr(bounds, name), "__wrapped__")}
ROOMS = sorted(
    file.parent.name for file in Path(bounds.__file__).parent.glob("*/exact.py") if file.parent.name != "rigour"
)


@pytest.mark.parametrize("name", CALCULATORS)
def test_a_calculator_has_a_twin_with_its_parameters(name):
    twin = exact_twin(CALCULATORS[name].__wrapped__)
    function = next(iter(vars(twin).values()))
    given = [p for p in inspect.signature(function).parameters if p != "estimate" or not isinstance(twin, Bracket)]
    assert given == list(inspect.signature(CALCULATORS[name].__wrapped__).parameters)


@pytest.mark.parametrize("room", ROOMS)
def test_a_twin_has_a_calculator(room):
    module = importlib.import_module(f"bounds.{room}.exact")
    package = importlib.import_module(f"bounds.{room}")
    twins = {n for n, v in vars(module).items() if isinstance(v, ClosedForm | Bracket | Rounded)}
    borrowed = {n for n in twins if n not in package.__all__}
    assert all(n in CALCULATORS for n in borrowed)  # another topic's
    assert {n for n in package.__all__ if n in CALCULATORS} <= twins


def test_precision_is_the_callers_again_after_a_value_and_after_an_error():
    before = flint.ctx.prec
    flint.ctx.prec = 77
    try:
        bounds.fidelity_floor(3.0, 64, 16, rigorous=True)
        assert flint.ctx.prec == 77
        with working_precision():
            assert flint.ctx.prec == BITS
        with pytest.raises(ZeroDivisionError), working_precision():
            raise ZeroDivisionError
        assert flint.ctx.prec == 77
    finally:
        flint.ctx.prec = before


def test_numpys_handling_of_errors_is_the_callers():
    with np.errstate(all="raise"):
        before = np.geterr()
        bounds.leakage_ceiling([800.0, -800.0], 64, 16)
        bounds.margin_for_fidelity(0.9, 64, 16)
        with pytest.raises(BadInput):
            bounds.fidelity_floor(1.0, 4, 4)
        assert np.geterr() == before


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("specht_floor", ([1.0, 2.0], [4, 5, 6])),
        ("drift_bound", ([1.0, 2.0], [1.0, 2.0, 3.0])),
        ("dial_leakage", ([0.1, 0.2], [0.1, 0.2, 0.3])),
        ("margin_for_fidelity", ([0.1, 0.2], [4, 5, 6], 2)),
        ("recruitment_price", ([1, 2], [4, 5, 6], 1.0)),
    ],
)
def test_shapes_that_do_not_fit_are_bad_input(name, arguments):
    with pytest.raises(BadInput, match=r"must broadcast against each other, got shapes \(2,\), \(3,\)"):
        getattr(bounds, name)(*arguments)
