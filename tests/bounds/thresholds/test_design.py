"""A configuration gives every threshold that it determines, and no other; the table and the JSON say the same."""

from __future__ import annotations

import itertools
import json
import math
import subprocess
import sys

import mpmath
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import bounds
import bounds.dial.calculators as dials
import bounds.floors.calculators as floors
from bounds.numbers.search import Unreachable
from bounds.thresholds.design import Design, PenaltySetting, Setting, design

FULL = Setting(
    n_keys=64,
    n_block=16,
    n_anchors=4,
    temperature=0.8,
    margin=3.0,
    fidelity=0.9,
    entropy=3.0,
    logit_range=12.0,
    dial=0.6,
)
PENALTY = PenaltySetting(1.0, 1.0, 1.0, 1.0, 1.0, 0.25, group_norm=1.0, step=0.1)


def keys(result: Design) -> list[str]:
    return [line.key for line in result.lines]


def test_every_threshold_is_the_calculators_own():
    result = design(FULL, PENALTY)
    row = {"n_keys": 64, "n_block": 16, "n_anchors": 4, "temperature": 0.8}
    leakage = bounds.leakage_ceiling(3.0, **row, logit_range=12.0)
    expected = {
        "margin_for_fidelity": bounds.margin_for_fidelity(0.9, **row),
        "margin_for_entropy": bounds.margin_for_entropy(3.0, **row),
        "dial_bias": 0.8 * math.log(0.4),
        "leakage_ceiling": leakage,
        "fidelity_floor": bounds.fidelity_floor(3.0, **row, logit_range=12.0),
        "entropy_ceiling": bounds.entropy_ceiling(3.0, **row),
        "leakage_dialled": dials.dial_leakage(leakage, 0.6),
        "anchors_for_fidelity": bounds.anchors_for_fidelity(0.9, 3.0, 64, 16, 0.8),
        "context_for_fidelity": bounds.context_for_fidelity(0.9, 3.0, 16, 4, 0.8),
        "temperature_for_fidelity": bounds.temperature_for_fidelity(0.9, 3.0, 64, 16, 4),
        "dial_at_margin": dials.dial_for_fidelity(0.9, leakage),
        "kappa_at_margin": dials.kappa_for_fidelity(0.9, leakage),
        "bias_at_margin": -0.8 * dials.kappa_for_fidelity(0.9, leakage),
        "fidelity_ceiling": floors.fidelity_ceiling(12.0, 64, 16, 0.8),
        "entropy_floor": floors.entropy_floor(12.0, 64, 0.8),
        "dial_worst_case": dials.worst_case_dial(0.9, 12.0, 64, 16, 0.8),
        "kappa_worst_case": dials.worst_case_kappa(0.9, 12.0, 64, 16, 0.8),
        "bias_worst_case": -0.8 * dials.worst_case_kappa(0.9, 12.0, 64, 16, 0.8),
        "penalty_worst_case": 0.25 * 0.25 / 0.8,
        "penalty_leakage_aware": 0.25 / 0.8 * min(0.25, leakage * (1 - leakage)),
        "steps_to_zero": 128,
    }
    assert keys(result) == list(expected)
    for key, value in expected.items():
        assert result[key] == pytest.approx(value, rel=1e-14), key
    assert design(FULL).lines == tuple(line for line in result.lines if "penalty" not in line.key)[:-1]


def test_only_what_is_given_is_used():
    assert keys(design(Setting())) == []
    assert keys(design(Setting(n_keys=64, n_block=16))) == []
    assert keys(design(Setting(n_keys=64, n_block=16, fidelity=0.9))) == ["margin_for_fidelity"]
    assert keys(design(Setting(n_keys=64, logit_range=5.0))) == ["entropy_floor"]
    assert keys(design(Setting(n_keys=64, n_block=16, logit_range=5.0))) == ["fidelity_ceiling", "entropy_floor"]
    assert keys(design(Setting(dial=0.5))) == ["dial_bias"]
    assert keys(design(Setting(), PenaltySetting(1.0, 1.0))) == []
    assert keys(design(Setting(), PenaltySetting(1.0, 1.0, 1.0, 1.0, 1.0))) == ["penalty_worst_case"]


def test_any_part_of_a_setting_gives_a_table_and_json():
    names = ("n_keys", "n_block", "n_anchors", "margin", "fidelity", "entropy", "logit_range", "dial")
    for present in itertools.product((False, True), repeat=len(names)):
        result = design(Setting(**{name: getattr(FULL, name) for name in itertools.compress(names, present)}), PENALTY)
        json.dumps(result.as_dict(), allow_nan=False)
        table = result.table()
        assert all(line.label in table for line in result.lines)


def test_regions():
    def region(target, **known):
        (found,) = design(Setting(n_keys=64, n_block=16, **known)).regions
        assert found.target == target
        return found.region, found.theorem

    assert region("fidelity", fidelity=0.9, margin=4.0) == ("guaranteed", "fidelity_floor")
    assert region("fidelity", fidelity=0.9, margin=3.0) == ("open", "")
    assert region("fidelity", fidelity=0.9, margin=1.0, logit_range=2.0) == ("impossible", "fidelity_ceiling")
    assert region("fidelity", fidelity=0.9, logit_range=2.0) == ("impossible", "fidelity_ceiling")
    assert region("fidelity", fidelity=0.01, logit_range=2.0) == ("guaranteed", "leakage_ceiling_range")
    assert region("entropy", entropy=3.0, margin=5.0) == ("guaranteed", "entropy_ceiling")
    assert region("entropy", entropy=3.0, margin=1.0) == ("open", "")
    assert region("entropy", entropy=3.0, logit_range=1.0) == ("impossible", "entropy_floor")
    assert region("entropy", entropy=4.2, logit_range=1.0) == ("guaranteed", "entropy_ceiling")
    assert design(Setting(n_keys=64, n_block=16, fidelity=0.9)).regions == ()


@given(
    st.integers(3, 10**6),
    st.floats(0, 1),
    st.floats(-20, 20),
    st.floats(0, 20),
    st.floats(0.01, 0.99),
    st.floats(0.5, 2),
)
def test_a_target_is_never_guaranteed_and_impossible(n, share, margin, more, fidelity, tau):
    m = 1 + int(share * (n - 2))
    known = {"n_keys": n, "n_block": m, "fidelity": fidelity, "entropy": fidelity * math.log(n), "temperature": tau}
    result = design(Setting(**known, margin=margin, logit_range=abs(margin) + more))
    for region in result.regions:
        floor = result["fidelity_floor"] if region.target == "fidelity" else -result["entropy_ceiling"]
        ceiling = result["fidelity_ceiling"] if region.target == "fidelity" else -result["entropy_floor"]
        assert floor <= ceiling + 1e-9 * (1 + abs(ceiling))
        if region.region == "guaranteed":
            assert margin / tau == region.x


@pytest.mark.parametrize("margin", [-1e308, -1e4, -50.0, 0.0, 1e4, 1e308])
@pytest.mark.parametrize("dial", [0.0, 1.0])
def test_extreme_settings_still_give_numbers_or_reasons(margin, dial):
    result = design(
        Setting(n_keys=10**9, n_block=3, margin=margin, logit_range=abs(margin), fidelity=0.999, entropy=1.5, dial=dial)
    )
    text = json.dumps(result.as_dict(), allow_nan=False)
    assert "nan" not in text.lower()
    assert "nan" not in result.table()


def test_json_has_bits_reasons_and_no_infinity():
    lines = {
        line["key"]: line
        for line in design(Setting(n_keys=64, n_block=16, margin=1.0, fidelity=0.9, entropy=5.0)).as_dict()[
            "thresholds"
        ]
    }
    assert lines["entropy_ceiling"]["bits"] == pytest.approx(lines["entropy_ceiling"]["value"] / math.log(2))
    assert lines["margin_for_entropy"]["value"] == "-inf"
    assert lines["anchors_for_fidelity"]["value"] is None
    assert "whole block" in lines["anchors_for_fidelity"]["reason"]
    assert lines["context_for_fidelity"]["reason"] is None
    assert all(set(line) >= {"key", "label", "value", "unit", "theorem", "reason"} for line in lines.values())


def test_table_is_aligned_and_says_why():
    result = design(Setting(n_keys=64, n_block=16, margin=1.0, fidelity=0.9))
    head, table, _ = result.table().split("\n\n")
    lines = table.splitlines()
    column = lines[0].index("value")
    assert all(line[column - 2 : column] == "  " for line in lines[2:-1])
    assert isinstance(result["anchors_for_fidelity"], Unreachable)
    assert result["anchors_for_fidelity"].reason in lines[-1]
    assert "all 16 keys" in head
    assert "bits" in result.table()


def test_every_line_names_a_theorem_that_exists():
    from bounds.theorems import THEOREMS

    known = {theorem.key for theorem in THEOREMS.values()}
    result = design(FULL, PENALTY)
    assert {line.theorem for line in result.lines} | {region.theorem for region in result.regions} <= known | {""}


def test_a_dial_just_below_one_is_not_shown_as_one():
    table = design(Setting(n_keys=64, n_block=16, fidelity=0.9, logit_range=18.0)).table()
    assert "0.99999999" in table


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"n_keys": 8, "n_block": 8}, "n_block must be in [1, n_keys - 1], got 8 with n_keys=8"),
        ({"n_block": 2, "n_anchors": 3}, "n_anchors must be in [1, n_block], got 3 with n_block=2"),
        ({"n_keys": 8.5}, "n_keys must be a whole number in [1, 2^53], got 8.5"),
        ({"n_keys": True}, "n_keys must be one number, got True"),
        ({"n_keys": [8, 9]}, "n_keys must be one number, got [8, 9]"),
        ({"temperature": 0}, "temperature must be finite and > 0, got 0.0"),
        ({"temperature": -1.0}, "temperature must be finite and > 0, got -1.0"),
        ({"temperature": None}, "temperature must be finite and > 0, got None"),
        ({"fidelity": 1.0}, "fidelity must be in (0, 1), got 1.0"),
        ({"fidelity": math.nan}, "fidelity must be in (0, 1), got nan"),
        ({"entropy": -0.1}, "entropy must be finite and >= 0, got -0.1"),
        ({"margin": math.inf}, "margin must be a finite number, got inf"),
        ({"margin": 3, "logit_range": 2}, "logit_range must be at least |margin|, got 2.0 with margin=3.0"),
        ({"dial": 1.5}, "dial must be in [0, 1], got 1.5"),
    ],
)
def test_a_bad_setting_names_argument_value_and_what_is_allowed(given, message):
    with pytest.raises(ValueError) as caught:
        Setting(**given)
    assert str(caught.value) == message


def test_a_bad_penalty_setting_is_refused_too():
    with pytest.raises(ValueError, match=r"value_diameter must be finite and >= 0, got -1.0"):
        PenaltySetting(value_diameter=-1)
    with pytest.raises(ValueError, match=r"step must be finite and > 0, got 0.0"):
        PenaltySetting(step=0)
    with pytest.raises(ValueError, match=r"query_share must be in \[0, 1\], got None"):
        PenaltySetting(query_share=None)


def test_numbers_are_plain_whatever_they_came_as():
    setting = Setting(n_keys=np.int64(8), n_block=2.0, margin=np.float64(1), dial=0)
    assert [type(v) for v in (setting.n_keys, setting.n_block, setting.margin, setting.dial)] == [
        int,
        int,
        float,
        float,
    ]


def test_design_loads_no_heavy_module():
    code = (
        "import sys; from bounds.thresholds.design import Setting, design; "
        "design(Setting(n_keys=64, n_block=16, margin=1.0, fidelity=0.9, entropy=3.0, logit_range=5.0)).table(); "
        "print([m for m in ('sympy', 'scipy', 'torch', 'matplotlib', 'xarray') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_every_line_of_a_rigorous_design_is_on_its_safe_side_of_the_exact_value():
    """At 60 digits: what is guaranteed at least, or may be at most, is not above it; the rest is not below it."""
    pytest.importorskip("flint")
    with mpmath.workdps(60):
        n, m, r = 64, 16, 4
        tau, delta, span, target = (mpmath.mpf(v) for v in (0.8, 3.0, 12.0, 0.9))
        x, d, u = delta / tau, span / tau, (n - m) * mpmath.exp(-delta / tau)
        inside = r + (m - r) * mpmath.exp(-d)  # over the weight of an anchor
        floors = [k + (n - k) * mpmath.exp(-d) for k in range(1, n)]  # Z over that of a key on top
        needed = mpmath.log((n - m) * target / (m * (1 - target)))
        leakage = u / (u + inside)
        at_most = {
            "fidelity_floor": inside / (u + inside),
            "entropy_floor": min(mpmath.log(z) + d * (z - k) / z for k, z in enumerate(floors, 1)),
        }
        at_least = {
            "margin_for_fidelity": tau * mpmath.log((n - m) * target / (r * (1 - target))),
            "leakage_ceiling": leakage,
            "entropy_ceiling": mpmath.log(m - r + (r + u) * mpmath.exp(x * u / (r + u))),
            "fidelity_ceiling": m / (m + (n - m) * mpmath.exp(-d)),
            "kappa_worst_case": d + needed,
            "dial_worst_case": 1 - mpmath.exp(-d - needed),
        }
        found = design(FULL, PENALTY, rigorous=True)
        for key, truth in at_most.items():
            assert truth * (1 - mpmath.mpf(1e-15)) <= found[key] <= truth, key
        for key, truth in at_least.items():
            assert truth <= found[key] <= truth * (1 + mpmath.mpf(1e-15)), key


def test_a_target_next_to_one_is_not_guaranteed_by_a_floor_that_rounds_up_to_it():
    """Leakage 1.3/2^53: for 15 keys the fidelity rounds to 1 - 1/2^53; what is asked is a leakage of 1/2^53."""
    target = 1 - 2.0**-53
    margin = math.log((64 - 15) / 15 / 1.3 * 2.0**53)
    assert bounds.fidelity_floor(margin, 64, 15) >= target
    assert design(Setting(n_keys=64, n_block=15, margin=margin, fidelity=target)).regions[0].region == "open"
    enough = design(Setting(n_keys=64, n_block=15, margin=margin + 0.3, fidelity=target))
    assert enough.regions[0].region == "guaranteed"
