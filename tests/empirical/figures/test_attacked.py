"""A theorem under attack: a violation is shouted, vacuous inputs take no part in the axes, one place is no figure."""

from __future__ import annotations

import numpy as np
import pytest

from bounds.theorems import THEOREMS
from bounds.theory.theorem import Judgement, Verdict
from empirical.figures.attacked import attacked
from empirical.figures.observed import Absent

KEY = "leakage_ceiling"


def judged(observed, bound, codes) -> Judgement:
    observed, bound = np.asarray(observed, dtype=float), np.asarray(bound, dtype=float)
    codes = np.array([verdict.code for verdict in codes], dtype=np.uint8)
    return Judgement(codes, bound - observed, np.zeros_like(bound), (), observed, bound, None, None)


HOLDS, VIOLATED, VACUOUS = Verdict.HOLDS, Verdict.VIOLATED, Verdict.VACUOUS


def titles(figure) -> str:
    return " ".join(text.get_text() for text in figure.texts)


def test_what_holds_is_counted_and_what_is_vacuous_is_not():
    figure = attacked(THEOREMS[KEY], judged([0.1, 0.2, 50.0], [0.3, 0.9, 0.1], [HOLDS, HOLDS, VACUOUS]))
    assert "None of 2 decided inputs lies beyond the bound" in titles(figure)
    (axes,) = figure.axes
    assert axes.get_xlim() == axes.get_ylim()
    assert axes.get_ylim()[1] < 1.0
    assert "below the diagonal" in axes.get_ylabel()


def test_an_input_beyond_the_bound_is_shouted():
    figure = attacked(THEOREMS[KEY], judged([0.1, 0.9], [0.3, 0.2], [HOLDS, VIOLATED]))
    assert "BEYOND THE BOUND: 1 of 2 decided inputs" in titles(figure)


def test_rows_that_attain_it_stand_on_the_diagonal_as_stars():
    rows = judged([0.1, 0.9], [0.3, 0.9], [HOLDS, HOLDS])
    (axes,) = attacked(THEOREMS[KEY], rows, judged([0.5], [0.5], [HOLDS])).axes
    (stars,) = [line for line in axes.lines if line.get_marker() == "*" and len(line.get_xdata())]
    assert stars.get_xdata() == stars.get_ydata() == [0.5]


def test_one_place_is_no_figure():
    with pytest.raises(Absent, match=KEY):
        attacked(THEOREMS[KEY], judged([0.5, 0.5], [0.5, 0.5], [HOLDS, HOLDS]))
