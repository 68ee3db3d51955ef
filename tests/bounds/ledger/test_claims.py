"""paper_checks.md: fresh, whole, and every test that it names exists; the readings that it calls false are false."""

from __future__ import annotations

import itertools
import math
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bounds.entropy.calculators import entropy_ceiling
from bounds.ledger import evidence_page, pages, paper_page
from bounds.ledger.claims import CLAIMS
from bounds.ledger.graph import HEIGHT, WIDTH, draw
from bounds.ledger.marked_tests import marked_tests, of_every_theorem, that_name
from bounds.theorems import FALSE_READINGS, THEOREMS
from empirical.cli.command_line import main, parser


def test_paper_checks_is_fresh(capsys):
    assert pages.main(["--check"]) == 0, capsys.readouterr().out


def test_a_stale_file_is_noticed(tmp_path, monkeypatch):
    monkeypatch.setattr(paper_page, "FILE", tmp_path / "paper_checks.md")
    monkeypatch.setattr(evidence_page, "FILE", tmp_path / "evidence.md")
    monkeypatch.setattr(pages, "GRAPH", tmp_path / "graph.svg")
    assert pages.main(["--check"]) == 1
    assert pages.main([]) == 0
    assert pages.main(["--check"]) == 0
    paper_page.FILE.write_text(paper_page.FILE.read_text() + " ")
    assert pages.main(["--check"]) == 1


def test_no_box_of_the_graph_covers_another():
    drawn = draw(tuple(THEOREMS.values()), dict.fromkeys(THEOREMS, "formal"))
    corners = [tuple(map(int, found)) for found in re.findall(r'<g>.*?<rect x="(\d+)" y="(\d+)"', drawn)]
    assert len(corners) == len(THEOREMS)
    for (x, y), (other_x, other_y) in itertools.combinations(corners, 2):
        assert abs(x - other_x) >= WIDTH or abs(y - other_y) >= HEIGHT


MARKED = marked_tests()


def unknown(marked) -> list[str]:
    """Names in markers that no theorem and no false reading has."""
    known = {"theorem": set(THEOREMS), "refutes": {reading.title for reading in FALSE_READINGS}}
    return [name for m in marked for name in m.names if name not in known[m.marker]]


def test_every_marker_names_a_known_key():
    assert unknown(MARKED) == []
    assert all(m.names for m in MARKED if m.marker == "refutes")


def test_an_unknown_key_in_a_marker_is_noticed(tmp_path):
    folder = tmp_path / "tests"
    folder.mkdir()
    text = '@pytest.mark.theorem("fidelty_floor", "frontier")\n@pytest.mark.slow\ndef test_one():\n    pass\n'
    (folder / "test_it.py").write_text(f"{text}@pytest.mark.theorem\ndef test_all():\n    pass\n")
    marked = marked_tests(tmp_path)
    assert unknown(marked) == ["fidelty_floor"]
    assert that_name(marked, "theorem", "frontier") == ("tests/test_it.py::test_one",)
    assert of_every_theorem(marked) == ("tests/test_it.py::test_all",)


@pytest.mark.parametrize("reading", FALSE_READINGS, ids=lambda reading: reading.title)
def test_every_false_reading_has_a_test(reading):
    assert that_name(MARKED, "refutes", reading.title)


def test_one_screen_says_everything_of_every_claim():
    """Key, claim, verdict, a command that parses, and what would change the verdict, in one row each."""
    rows = [line for line in paper_page.render().splitlines() if line.startswith("| C")]
    assert len(rows) == len(CLAIMS)
    for row, claim in zip(rows, CLAIMS):
        assert row.startswith(f"| {claim.key} |")
        assert all(text in row for text in (claim.words, claim.status, claim.verdict, claim.reproduce, claim.changes))
        parser().parse_args(claim.reproduce.split())


def test_verify_takes_the_theorems_of_a_claim(monkeypatch, capsys):
    asked = []
    monkeypatch.setattr("empirical.verify.gathering.verify", lambda theorems, *_, **__: asked.extend(theorems) or [])
    assert main(["verify", "coherence_simplex", "--claim", "C9", "--quick"]) == 0
    assert [theorem.key for theorem in asked] == ["coherence_simplex", "recruitment_count", "recruitment_end"]


def test_latex_has_every_claim_and_no_bare_special_character():
    text = paper_page.latex()
    assert [line.split(" & ")[0] for line in text.splitlines() if line.startswith("C")] == [c.key for c in CLAIMS]
    assert not re.search(r"(?<!\\)[#$%_]", text)


def test_every_theorem_is_listed_with_a_test_and_no_step_fails():
    text = evidence_page.render()
    for theorem in THEOREMS.values():
        assert f"### `{theorem.key}`" in text
    assert "FAILS" not in text
    assert "a step fails" not in text


def test_claims_are_all_there_and_theorems_cite_only_known_ones():
    keys = [claim.key for claim in CLAIMS]
    assert keys == [f"C{i}" for i in range(1, 15)]
    assert {claim for theorem in THEOREMS.values() for claim in theorem.claims} == set(keys)
    assert all("abstract" in theorem.source and "derived here" in theorem.source for theorem in THEOREMS.values())


@pytest.mark.parametrize("reading", FALSE_READINGS, ids=lambda reading: reading.title)
def test_steps_of_a_refutation_are_settled(reading):
    assert all(step.settled() is True for step in reading.steps)


@pytest.mark.refutes("C4: a pure exponential")
def test_no_single_constant_bounds_the_entropy():
    """(H - ln m) / (rho e^-x) tends to 1 + x: take m >> n - m, so that the excess is resolved next to ln m = 0 ulp."""
    for constant in (1.0, 10.0, 100.0):
        x, m, n = constant + 1, 1, 2  # ln m = 0: the entropy is the excess itself
        rho = (n - m) / m
        assert entropy_ceiling(x, n, m) > constant * rho * math.exp(-x)
        assert entropy_ceiling(x + 30, n, m) / (rho * math.exp(-x - 30)) == pytest.approx(1 + x + 30, rel=1e-9)


@pytest.mark.theorem("repaired_envelope")
@pytest.mark.refutes("C4: a pure exponential")
@given(st.floats(0, 0.99), st.floats(0, 200), st.integers(2, 10**6), st.floats(0, 1))
def test_repaired_family_holds_with_its_best_constant(c, x, n, share):
    m = 1 + int(share * (n - 2))
    rho, constant = (n - m) / m, math.exp(-c) / (1 - c)
    assert entropy_ceiling(x, n, m) <= math.log(m) + rho * constant * math.exp(-c * x) * (1 + 1e-12) + 1e-15 * math.log(
        n
    )
    touching, y = c / (1 - c), 1e-7  # at m = 1 and y -> 0 by hand: the constant cannot be lowered
    excess = np.log1p(y) + touching * y / (1 + y)
    rho_there = y * math.exp(touching)
    assert excess >= (1 - 1e-5) * rho_there * constant * math.exp(-c * touching)
