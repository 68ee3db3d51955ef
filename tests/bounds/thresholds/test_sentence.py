"""The conclusion of a design: what is guaranteed, what is wanted, what would meet it, on the safe side."""

from __future__ import annotations

import re

import numpy as np
import pytest

import bounds
from bounds.thresholds.design import PenaltySetting, Setting, design

COUNTS = {"n_keys": 64, "n_block": 16, "n_anchors": 1}


def said(**given: float) -> str:
    return design(Setting(**COUNTS, **given)).conclusion()


def test_a_margin_that_falls_short_is_told_with_every_way_to_meet_the_target():
    assert said(margin=6.0, fidelity=0.95) == (
        "A margin of 6 guarantees fidelity 0.8936, less than the 0.95 wanted; a margin of 6.816, 3 anchors, a context "
        "of 37 keys, a temperature of 0.8803 or a dial of 0.5577 would."
    )


def test_every_way_that_is_told_meets_the_target_and_one_digit_less_does_not():
    ways = said(margin=6.0, fidelity=0.95).partition("wanted; ")[2]
    margin, anchors, context, cooler, dial = (float(number) for number in re.findall(r"\d+(?:\.\d+)?", ways))

    def kept(x: float = 6.0, n: int = 64, r: int = 1, d: float = 0.0) -> float:
        return r * np.exp(x) / (r * np.exp(x) + (1 - d) * (n - 16))  # the block's other keys take nothing

    assert kept(x=margin) >= 0.95 > kept(x=margin - 1e-3)
    assert kept(r=int(anchors)) >= 0.95 > kept(r=int(anchors) - 1)
    assert kept(n=int(context)) >= 0.95 > kept(n=int(context) + 1)
    assert kept(x=6 / cooler) >= 0.95 > kept(x=6 / (cooler + 1e-4))
    assert kept(d=dial) >= 0.95 > kept(d=dial - 1e-4)


def test_a_target_that_is_met_is_said_to_be_met_whatever_rounding_does_to_the_digits():
    assert said(margin=8.0, fidelity=0.95, entropy=2.0) == (
        "A margin of 8 guarantees fidelity 0.9841, at least the 0.95 wanted. A margin of 8 guarantees entropy of at "
        "most 2.783 nats, more than the 2 wanted."
    )


def test_the_safe_end_of_an_enclosure_meets_the_target_that_it_was_computed_for():
    pytest.importorskip("flint")
    least = bounds.margin_for_fidelity(0.95, 64, 16, 1)
    assert (
        "guarantees the fidelity 0.95 wanted."
        in design(Setting(**COUNTS, margin=least, fidelity=0.95), rigorous=True).conclusion()
    )


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"fidelity": 0.95}, "Fidelity 0.95 takes a margin of 6.816."),
        ({"margin": 6.0}, "A margin of 6 guarantees fidelity 0.8936 and entropy of at most 2.841 nats."),
        ({"logit_range": 1.0, "fidelity": 0.9}, "A logit range of 1 makes fidelity 0.9 impossible."),
    ],
)
def test_what_is_not_given_is_not_told(given, told):
    assert said(**given) == told


def test_anchors_that_nobody_gave_are_told_with_what_one_would_do():
    told = design(Setting(n_keys=64, n_block=16, fidelity=0.95)).conclusion()
    assert told.startswith("Where all 16 keys of the block are taken for anchors, fidelity 0.95 takes a margin of 4.0")
    assert "(6.816 with 1 anchor)" in told


def test_without_a_target_the_first_threshold_is_told():
    gates = PenaltySetting(loss_reference=3.0, target_leakage=0.1)
    assert design(Setting(), gates).conclusion().startswith("Gates: penalty for leakage 0.1: 30 loss; from it on ")


def test_a_design_reads_as_a_dictionary_and_in_a_notebook():
    found = design(Setting(**COUNTS, margin=6.0, fidelity=0.95))
    assert found.to_dict() == found.as_dict()
    assert "fidelity &gt;= 0.95" in found._repr_html_()
    assert "fidelity >= 0.95" not in found._repr_html_()


def test_a_design_is_a_frame_by_key():
    pytest.importorskip("pandas")
    found = design(Setting(**COUNTS, margin=6.0, fidelity=0.95))
    frame = found.to_frame()
    assert frame.loc["fidelity_floor", "value"] == found["fidelity_floor"]
    assert list(frame.index) == [line.key for line in found.lines]
