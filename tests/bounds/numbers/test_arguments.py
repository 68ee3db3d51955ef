"""What a calculator takes for a number, and what it refuses by name: nothing is dropped or guessed without a word."""

from __future__ import annotations

import re
import subprocess
import sys
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pandas
import pytest
import torch
import xarray

import bounds
from bounds import fidelity_floor, leakage_ceiling, penalty_threshold_mean_of_products, schedule
from bounds.numbers.errors import BadInput

REFUSED = {
    "a masked entry": (np.ma.masked_array([6.0, 1.0], [False, True]), "without masked entries"),
    "a masked entry in a list": ([np.ma.masked_array([6.0], [True])], "without masked entries"),
    "a Series in a list": ([pandas.Series([6.0])], "without labels"),
    "a bool": (True, "a number, got True"),
    "a bool among numbers": ([6.0, True], "a number, got"),
    "an array of bools": (np.array([True, False]), "a number, got"),
    "a numeric string": ("6.0", "a number, got '6.0'"),
    "strings in a list": (["6.0", "7"], "a number, got"),
    "strings as objects": (np.array(["6.0"], dtype=object), "a number, got"),
    "bools as objects": (np.array([True], dtype=object), "a number, got"),
    "bytes": (b"6", "a number, got b'6'"),
    "nothing": (None, "a number, got None"),
    "nothing in a list": ([6.0, None], "a number, got"),
    "a complex number": (6.0 + 1j, "a number, got"),
    "a complex array": (np.array([6.0 + 1j]), "a number, got"),
    "a time": (np.array([3], dtype="timedelta64[s]"), "a number, got"),
    "an integer beyond any float": (10**400, "a number, got"),
    "a mapping": ({"margin": 6.0}, "a number, got"),
    "a generator": ((v for v in (6.0,)), "a number, got"),
    "ragged lists": ([[6.0], [6.0, 7.0]], "a number, got"),
    "a Series": (pandas.Series([6.0, 7.0], index=["a", "b"]), r"without labels, .*\.to_numpy\(\)"),
    "a DataFrame": (pandas.DataFrame({"a": [6.0]}), r"without labels, .*\.to_numpy\(\)"),
    "a DataArray": (xarray.DataArray([6.0, 7.0], dims="row"), r"without labels, .*apply_ufunc"),
    "a tensor of bools": (torch.tensor([True]), "a number, got"),
    "a complex tensor": (torch.tensor([1j]), "a number, got"),
    "a sparse tensor": (torch.eye(2).to_sparse(), "a number, got"),
    "a tensor without values": (torch.empty(2, device="meta"), "a number, got"),
}


CALLS = {
    "n_keys": lambda v: leakage_ceiling(3.0, v, 16),
    "temperature": lambda v: leakage_ceiling(3.0, 64, 16, temperature=v),
    "gradient_bounds": lambda v: penalty_threshold_mean_of_products(v, [1.0, 1.0], [1.0, 1.0], [1.0, 1.0]),
    "costs": lambda v: schedule(v, [1.0], 1.0),
}


def refusal(call, value):
    """The words of BadInput, or nothing; another exception is a failure."""
    try:
        call(value)
    except BadInput as error:
        return str(error)
    return ""


@pytest.mark.parametrize("rigorous", [False, True])
def test_what_is_no_number_is_refused_by_name(rigorous):
    """As the margin, which may be infinite, and in the other kinds of argument."""
    for what, (value, words) in REFUSED.items():
        said = refusal(lambda v: fidelity_floor(v, 64, 16, rigorous=rigorous), value)
        assert re.match(f"margin must be .*{words}", said), (what, said)
        for name, call in CALLS.items():
            assert refusal(call, value).startswith(f"{name} must be "), (what, name)


def test_a_count_that_float64_cannot_hold_is_refused():
    """2^53 + 1 would be 2^53 without a word."""
    for value in (2**53 + 1, np.int64(2**53 + 1), np.array([2**53 + 1]), [2**53 + 1, 4]):
        with pytest.raises(BadInput, match=r"n_keys must be a whole number in \[1, 2\^53\], got 9007199254740993"):
            fidelity_floor(1.0, value, 1)
    assert fidelity_floor(1.0, 2**53, 1) > 0


def test_what_is_a_number_counts_whatever_holds_it():
    want = fidelity_floor(6.0, 64, 16)
    halves = torch.tensor([6.0], dtype=torch.bfloat16)
    for value in (
        *(6, 6.0, np.float32(6), np.int8(6), np.float16(6), Fraction(6), Decimal(6), np.array(6), np.longdouble(6)),
        *(torch.tensor(6.0), torch.tensor(6), torch.tensor(6.0, requires_grad=True), halves[0]),
        *(np.ma.masked_array(6.0), np.array(6, dtype=object)),
    ):
        assert fidelity_floor(value, 64, 16) == want
        assert fidelity_floor(value, torch.tensor(64), 16, rigorous=True).lower <= want
    for value in ((6.0,), [6], range(6, 7), halves, np.ma.masked_array([6.0], [False]), [np.array(6.0)], [halves[0]]):
        assert np.array_equal(fidelity_floor(value, 64, 16), [want])
        assert isinstance(fidelity_floor(value, 64, 16), np.ndarray)


def test_xarray_keeps_labels_around_a_calculator_as_the_refusal_says():
    margins = xarray.DataArray([1.0, 6.0], dims="row", coords={"row": ["a", "b"]})
    keys = xarray.DataArray([32, 64, 128], dims="context")
    with pytest.raises(BadInput, match=r"xarray\.apply_ufunc"):
        fidelity_floor(margins, keys, 16)
    found = xarray.apply_ufunc(fidelity_floor, margins, keys, 16)
    assert found.sizes == {"row": 2, "context": 3}
    assert float(found.sel(row="b")[1]) == fidelity_floor(6.0, 64, 16)


def test_an_answer_that_may_be_none_is_taken_by_xarray_and_refused_as_an_argument():
    margins = xarray.DataArray([0.0, 4.0], dims="row", coords={"row": ["a", "b"]})
    found = xarray.apply_ufunc(bounds.anchors_for_fidelity, 0.9, margins, 64, 16)
    assert np.isnan(float(found.sel(row="a")))
    assert float(found.sel(row="b")) == bounds.anchors_for_fidelity(0.9, 4.0, 64, 16)
    none = bounds.anchors_for_fidelity(0.9, 0.0, 64, 16)
    assert refusal(lambda v: fidelity_floor(6.0, 64, 16, v), none).startswith("n_anchors must be a whole number")


def test_no_framework_is_loaded_to_tell_its_arrays():
    code = (
        "import sys, numpy, bounds\n"
        "class Tensor:\n    def detach(self): raise RuntimeError('odd')\n"
        "try: bounds.fidelity_floor(Tensor(), 64, 16)\n"
        "except ValueError: pass\n"
        "print([m for m in ('torch', 'pandas', 'xarray', 'sympy') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "[]", done.stderr


def test_theorems_and_version_are_where_one_looks():
    assert bounds.THEOREMS["fidelity_floor"].key == "fidelity_floor"
    assert "fidelity_floor" in bounds.THEOREMS
    assert bounds.__version__.count(".") == 2
