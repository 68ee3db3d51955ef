"""`localist anchors`: what packed anchors guarantee, against brute force on the vectors as saved, and the command."""

from __future__ import annotations

import json
import math
import subprocess
import sys

import numpy as np
import pytest

import bounds
from bounds.anchors.packing import pack, room, separation
from empirical.cli import main
from empirical.cli.exits import BAD_INPUT, INTERRUPTED, OK
from empirical.planning.anchors import AnchorPlan, guarantees
from empirical.planning.redundancy import landmarks, redundancy

ICOSAHEDRON = ["anchors", "--blocks", "12", "--dim", "3"]
FILES = {"anchors.npy", "anchors.json", "redundancy.png", "redundancy.svg"}


def softmax(logits):
    weights = np.exp(logits - logits.max())
    return weights / weights.sum()


def entropy(row):
    return -(row * np.log(row)).sum()


def lines_of(result):
    return {line["key"]: line for line in result["thresholds"]}


@pytest.fixture(scope="module")
def icosahedron():
    return pack(12, 3)


@pytest.mark.parametrize("theta", [0.0, 0.2, 0.5, 0.8])
def test_no_query_has_less_than_the_margin_and_some_has_it(icosahedron, theta):
    plan = AnchorPlan(12, 3, theta=theta, beta=7.0)
    margin = lines_of(guarantees(plan, icosahedron))["anchor_margin"]["value"]
    vectors, rng = icosahedron.vectors, np.random.default_rng(0)

    def margins(own, away):
        """Of queries at the angle theta from anchor `own`, in the directions `away`."""
        away = away - (away @ vectors[own])[:, None] * vectors[own]
        away /= np.linalg.norm(away, axis=1, keepdims=True)
        logits = 7.0 * (np.cos(theta) * vectors[own] + np.sin(theta) * away) @ vectors.T
        return logits[:, own] - np.delete(logits, own, 1).max(1)

    found = np.concatenate([margins(own, rng.normal(size=(2000, 3))) for own in range(12)])
    assert (found >= margin).all()
    closest = vectors @ vectors.T > icosahedron.coherence - 1e-6
    towards = np.concatenate([margins(own, vectors[closest[own] & (np.arange(12) != own)]) for own in range(12)])
    assert margin <= towards.min() <= margin + 1e-9
    assert (margin > 0) == (theta < icosahedron.phi / 2)


def test_the_margin_is_rounded_down(icosahedron):
    margin = lines_of(guarantees(AnchorPlan(12, 3), icosahedron))["anchor_margin"]["value"]
    exact = bounds.anchor_margin(0.0, icosahedron.phi, 10.0)
    assert exact - 1e-11 < margin == exact - 10 * room(3)


def test_the_least_r_is_the_least(icosahedron):
    for target in (0.01, 0.5, 0.9, 0.95):
        found = lines_of(guarantees(AnchorPlan(12, 3, target_fidelity=target), icosahedron))
        margin, r = found["anchor_margin"]["value"], found["anchors_for_fidelity"]["value"]
        rows = [softmax(np.r_[np.full(k, margin), np.zeros(704)])[:k].sum() for k in range(1, 65)]
        assert r == 1 + next(k for k, fidelity in enumerate(rows) if fidelity >= target)


def test_a_target_out_of_reach_says_why(icosahedron, capsys):
    found = lines_of(guarantees(AnchorPlan(12, 3, target_fidelity=0.99), icosahedron))["anchors_for_fidelity"]
    assert found["value"] is None
    assert "even the whole block" in found["reason"]
    assert main([*ICOSAHEDRON, "--target-fidelity", "0.99"]) == OK
    out = capsys.readouterr().out
    assert "unreachable" in out
    assert "even the whole block" in out
    assert "optimal" not in out


def test_redundancy_is_u_shaped():
    margin, n, m = 5.5, 768, 64
    curve = redundancy(margin, n, m)
    rows = [softmax(np.r_[np.full(r, margin), np.zeros(n - m)]) for r in range(1, m + 1)]
    assert curve["n_anchors"] == list(range(1, m + 1))
    np.testing.assert_allclose(curve["fidelity_floor"], [row[:r].sum() for r, row in enumerate(rows, 1)], rtol=1e-12)
    np.testing.assert_allclose(curve["entropy_nats"], [entropy(row) for row in rows], rtol=1e-12)
    assert (np.diff(curve["fidelity_floor"]) > 0).all()
    turns = np.sign(np.diff(curve["entropy_nats"]))
    assert (np.diff(turns) >= 0).all()
    assert (turns[0], turns[-1], curve["course"]) == (-1, 1, "U")
    assert curve["bottom"] == 1 + int(np.argmin(curve["entropy_nats"]))
    slope = np.gradient(curve["entropy_nats"], edge_order=2)[4:-1]
    np.testing.assert_allclose(curve["slope_nats"][4:-1], slope, atol=0.02)
    expected = (n - m) * (margin - 1) * math.exp(-margin)  # where leakage times gap is 1
    assert abs(curve["bottom"] - expected) < 1


@pytest.mark.parametrize(
    ("margin", "block", "course", "bottom"),
    [(0.9, 64, "rises", 1), (-2.0, 64, "rises", 1), (3.0, 8, "falls", 8), (3.0, 1, "single", 1)],
)
def test_other_courses(margin, block, course, bottom):
    curve = redundancy(margin, 768, block)
    assert (curve["course"], curve["bottom"]) == (course, bottom)


def test_a_long_curve_is_thinned_but_keeps_what_is_shown():
    curve = redundancy(8.0, 2_000_000, 100_000, (77_777,))
    assert len(curve["n_anchors"]) < 700
    assert {77_777, curve["bottom"], *landmarks(100_000)} <= set(curve["n_anchors"])
    at = curve["n_anchors"].index(curve["bottom"])
    assert curve["bottom_entropy_nats"] == min(curve["entropy_nats"]) == curve["entropy_nats"][at]
    assert curve["bottom"] == pytest.approx(1_900_000 * 7 * math.exp(-8), abs=1)


def test_information_against_a_channel(icosahedron):
    """The pointer that errs with the leakage, alike on the other blocks, attains the bound."""
    found = lines_of(guarantees(AnchorPlan(12, 3, n_anchors=8), icosahedron))
    leakage, least = found["leakage_ceiling"]["value"], found["pointer_information"]["value"]
    joint = (np.full((12, 12), leakage / 11) + np.eye(12) * (1 - leakage - leakage / 11)) / 12
    assert least == pytest.approx(2 * math.log(12) - entropy(joint.ravel()), rel=1e-12)
    useless = guarantees(AnchorPlan(12, 3, theta=0.6), icosahedron)
    assert lines_of(useless)["pointer_information"]["value"] == 0
    assert [note.split(":")[0] for note in useless["notes"]] == ["information", "margin"]


# --- the command


def test_what_is_saved_is_what_is_said(tmp_path, capsys):
    out = tmp_path / "new" / "packed"
    arguments = [*ICOSAHEDRON, "--target-fidelity", "0.9", "--restarts", "4", "--seed", "3"]
    assert main([*arguments, "--out", str(out), "--json"]) == OK
    printed = json.loads(capsys.readouterr().out)
    saved = json.loads((out / "anchors.json").read_text())
    assert saved == printed
    assert {"seed", "versions", "commit", "config"} <= set(saved)
    assert {"scipy", "numpy"} <= set(saved["versions"])
    assert {p.name for p in out.iterdir()} == FILES
    vectors = np.load(out / "anchors.npy", allow_pickle=False)
    assert (vectors.shape, vectors.dtype) == ((12, 3), np.float64)
    assert separation(vectors) == (lines_of(saved)["coherence"]["value"], lines_of(saved)["phi"]["value"])
    assert (out / "redundancy.png").stat().st_size > 10_000
    assert main(arguments) == OK
    table = capsys.readouterr().out
    for words in ("0.447213596", "63.43494 degrees", "not known", "falls up to r = 13", "least r for fidelity 0.9"):
        assert words in table
    assert main([*ICOSAHEDRON, "--out", str(out)]) == BAD_INPUT
    assert "--out must be a new or empty folder" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("sizes", "value", "best"),
    [
        ((4, 3), "-0.333333333", "optimal"),
        ((6, 3), " 0 ", "optimal"),
        ((6, 2), "0.5", "optimal"),
        ((12, 3), "0.447", "not"),
    ],
)
def test_optimal_is_said_only_of_what_is(sizes, value, best, capsys):
    assert main(["anchors", "--blocks", str(sizes[0]), "--dim", str(sizes[1])]) == OK
    out = capsys.readouterr().out
    assert value in next(line for line in out.splitlines() if line.startswith("largest cosine"))
    assert ("optimal" in out) == (best == "optimal")


BAD = [
    ("--blocks 1 --dim 3", "blocks must be at least 2, got 1"),
    ("--blocks 1025 --dim 3", "blocks must be at most 1024, got 1025"),
    ("--blocks 3 --dim 1", "dim must be at least 2, got 1"),
    ("--blocks 3 --dim 99999", "dim must be at most 16384, got 99999"),
    ("--blocks 3 --dim 3 --target-fidelity 0", "target_fidelity must be in (0, 1), got 0.0"),
    ("--blocks 3 --dim 3 --target-fidelity 1", "target_fidelity must be in (0, 1), got 1.0"),
    ("--blocks 3 --dim 3 --target-fidelity nan", "target_fidelity must be in (0, 1), got nan"),
    ("--blocks 12 --dim 3 --theta -0.1", "theta must be an angle in [0, pi], got -0.1"),
    ("--blocks 12 --dim 3 --theta 1.5", "theta must be in [0, phi], got 1.5 with phi=1.16974"),
    ("--blocks 12 --dim 3 --theta 1.12", "theta must be in [0, phi], got 1.12 with phi=1.10715"),
    ("--blocks 3 --dim 3 --beta 0", "beta must be finite and > 0, got 0.0"),
    ("--blocks 3 --dim 3 --n-block 0", "n_block must be a whole number in [1, 2^53], got 0"),
    ("--blocks 3 --dim 3 --n-keys 64", "n_block must be in [1, n_keys - 1], got 64 with n_keys=64"),
    ("--blocks 3 --dim 3 --n-anchors 65", "n_anchors must be in [1, n_block], got 65 with n_block=64"),
    ("--blocks 12 --dim 3 --seed -1", "seed must be at least 0, got -1"),
    ("--blocks 12 --dim 3 --restarts 0", "restarts must be at least 1, got 0"),
]


@pytest.mark.parametrize(("arguments", "said"), BAD)
def test_bad_input_is_one_line_and_leaves_nothing(arguments, said, tmp_path, capsys):
    assert main(["anchors", *arguments.split(), "--out", str(tmp_path / "out")]) == BAD_INPUT
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_a_file_is_no_folder(tmp_path, capsys):
    (tmp_path / "file").write_text("mine")
    for out in ("file", "file/below"):
        assert main([*ICOSAHEDRON, "--out", str(tmp_path / out)]) == BAD_INPUT
        assert "--out must be a" in capsys.readouterr().err
    assert (tmp_path / "file").read_text() == "mine"


@pytest.mark.parametrize("made", [True, False])
@pytest.mark.parametrize("failure", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_a_failure_halfway_leaves_nothing(made, failure, tmp_path, capsys, monkeypatch):
    def fails(path):
        path.with_name("redundancy.png").write_bytes(b"half")
        raise failure

    monkeypatch.setattr("empirical.planning.anchors.draw_redundancy", fails)
    out = tmp_path / "out"
    if made:
        out.mkdir()
    status = main(["anchors", "--blocks", "3", "--dim", "3", "--out", str(out)])
    assert status == (BAD_INPUT if isinstance(failure, OSError) else INTERRUPTED)
    assert out.exists() == made
    assert not list(tmp_path.rglob("*.*"))


PROBE = """
import sys
from empirical.cli import main
status = main(sys.argv[1:])
print([m for m in ("sympy", "torch", "matplotlib", "xarray", "h5py") if m in sys.modules], file=sys.stderr)
"""


@pytest.mark.parametrize("extra", ["", "import torch\n"])
def test_it_starts_without_torch(extra):
    """And with it the probe says so."""
    command = [sys.executable, "-c", extra + PROBE, *ICOSAHEDRON, "--restarts", "1"]
    found = subprocess.run(command, capture_output=True, text=True).stderr.strip()
    assert ("torch" in found) == bool(extra)
    assert extra or found == "[]"
