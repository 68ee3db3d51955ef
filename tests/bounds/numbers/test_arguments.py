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
    "a DataArray in a list": ([xarray.DataArray([6.0, 7.0], dims="row")], r"without labels, .*\.values"),
    "a tensor with a gradient": (torch.tensor([6.0], requires_grad=True), r"without a gradient, .*\.detach\(\)"),
    "a tensor of bools": (torch.tensor([True]), "a number, got"),
    "a complex tensor": (torch.tensor([1j]), "a number, got"),
    "a sparse tensor": (torch.eye(2).to_sparse(), "a number, got"),
    "a tensor that is elsewhere": (
        torch.empty(2, device="meta"),
        r"on the CPU, got a tensor on meta: pass its \.cpu\(\)",
    ),
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
        *(torch.tensor(6.0), torch.tensor(6), torch.tensor(6.0, requires_grad=True).detach(), halves[0]),
        *(np.ma.masked_array(6.0), np.array(6, dtype=object)),
    ):
        assert fidelity_floor(value, 64, 16) == want
        assert fidelity_floor(value, torch.tensor(64), 16, rigorous=True).lower <= want
    for value in ((6.0,), [6], range(6, 7), halves, np.ma.masked_array([6.0], [False]), [np.array(6.0)], [halves[0]]):
        assert np.array_equal(fidelity_floor(value, 64, 16), [want])
        assert isinstance(fidelity_floor(value, 64, 16), np.ndarray)


def test_xarray_keeps_its_labels_and_broadcasts_by_name():
    margins = xarray.DataArray([1.0, 6.0], dims="row", coords={"row": ["a", "b"]})
    keys = xarray.DataArray([32, 64, 128], dims="context")
    found = fidelity_floor(margins, keys, 16)
    assert isinstance(found, xarray.DataArray)
    assert found.sizes == {"row": 2, "context": 3}
    assert float(found.sel(row="b")[1]) == fidelity_floor(6.0, 64, 16)
    assert fidelity_floor(n_block=16, n_keys=keys, margin=margins).identical(found)
    assert float(fidelity_floor(margins[1], 64, 16)) == fidelity_floor(6.0, 64, 16)
    ends = fidelity_floor(margins, keys, 16, rigorous=True)
    assert (ends.lower <= found).all()
    assert (found <= ends.upper).all()
    assert ends.lower.coords.equals(found.coords)
    with pytest.raises(BadInput, match="margin, n_keys must have equal labels along the dims that they share"):
        fidelity_floor(margins, xarray.DataArray([32, 64], dims="row", coords={"row": ["a", "c"]}), 16)


def test_pandas_keeps_its_labels():
    margins = pandas.Series([1.0, 6.0], index=["a", "b"])
    keys = pandas.Series([32, 64], index=["a", "b"])
    found = fidelity_floor(margins, keys, 16)
    assert isinstance(found, pandas.Series)
    assert found["b"] == fidelity_floor(6.0, 64, 16)
    assert list(found.index) == ["a", "b"]
    table = fidelity_floor(pandas.DataFrame({"x": margins, "y": margins}), 64, 16)
    assert table.loc["b", "y"] == fidelity_floor(6.0, 64, 16)
    assert (fidelity_floor(margins, 64, 16, rigorous=True).lower <= fidelity_floor(margins, 64, 16)).all()
    for other in (
        pandas.Series([32, 64], index=["b", "a"]),
        pandas.Series([32, 64, 96]),
        pandas.DataFrame({"x": keys}),
    ):
        with pytest.raises(BadInput, match="n_keys must have the labels of margin, got others"):
            fidelity_floor(margins, other, 16)
    with pytest.raises(BadInput, match="margin, n_keys must be of pandas or of xarray, got both"):
        fidelity_floor(margins, xarray.DataArray([32, 64], dims="row"), 16)
    with pytest.raises(BadInput, match="margin must have the shape of the answer"):
        fidelity_floor(margins, [[32], [64]], 16)


def test_entries_that_no_number_answers_are_nan_under_labels():
    margins = xarray.DataArray([0.0, 4.0], dims="row", coords={"row": ["a", "b"]})
    for kept in (margins, margins.to_series()):
        found = bounds.anchors_for_fidelity(0.9, kept, 64, 16)
        assert type(found) is type(kept)
        assert np.isnan(float(found[0] if kept is margins else found["a"]))
        assert float(found[1] if kept is margins else found["b"]) == bounds.anchors_for_fidelity(0.9, 4.0, 64, 16)
    none = bounds.anchors_for_fidelity(0.9, 0.0, 64, 16)
    assert refusal(lambda v: fidelity_floor(6.0, 64, 16, v), none).startswith("n_anchors must be a whole number")


def test_what_reduces_an_axis_refuses_labels():
    with pytest.raises(BadInput, match=r"errors must be .* without labels, which would be lost"):
        bounds.drift_bound(pandas.Series([1.0, 2.0]), [1.0, 1.0])


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
