"""Verdicts: sums, worst rows, absent fields, requirements, and every planted fault turns them red."""

from __future__ import annotations

import json
import math
import re
from dataclasses import replace

import numpy as np
import pytest
from synthetic_observations import observations

import bounds.concentration.closed_forms as concentration_forms
import bounds.entropy.closed_forms as entropy_forms
from bounds.theorems import OBSERVED, Level, Verdict, by_key
from empirical.check import witness
from empirical.check.report import conclusion, share, verdict_table
from empirical.check.requirement import fields_of, meets, parse, places_of, refuse
from empirical.check.verdicts import check, check_dataset, rows_of
from empirical.errors import BadInput
from empirical.observe import rows as observe
from empirical.penalise.penalty import GroupNorm

ROWS = [t for t in OBSERVED if t.level is Level.ROW and t.key != "anchor_floor"]


@pytest.fixture(scope="module")
def dataset():
    return observations("blocks", seeds=1, queries=16)


@pytest.fixture(scope="module")
def outcomes(dataset):
    return {outcome.theorem.key: outcome for outcome in check_dataset(dataset)}


def test_every_theorem_is_checked_and_none_violated(outcomes):
    assert set(outcomes) == {theorem.key for theorem in OBSERVED}
    assert not [key for key, outcome in outcomes.items() if outcome.verdict is Verdict.VIOLATED]


def test_counts_add_up_and_slack_is_over_rows_that_apply(dataset, outcomes):
    for outcome in outcomes.values():
        rows = rows_of(dataset, outcome.theorem)
        codes = outcome.theorem.verdicts(rows)
        assert outcome.rows == codes.size
        assert outcome.counts[Verdict.HOLDS] == (codes == Verdict.HOLDS.code).sum()
        if outcome.counts[Verdict.VACUOUS] == outcome.rows:
            assert math.isnan(outcome.least_slack)
            assert outcome.worst == {}
        else:
            assert outcome.least_slack <= outcome.median_slack


def test_one_bad_row_is_found_and_named(dataset):
    spoiled = dataset.copy(deep=True)
    place = {"setting": 4, "layer": 0, "head": 0, "query": 7}
    spoiled["leakage"][place] = 1 - 1e-9
    (outcome,) = check_dataset(spoiled, [by_key("leakage_ceiling")])
    assert outcome.counts[Verdict.VIOLATED] == 1
    assert outcome.verdict is Verdict.VIOLATED
    assert place.items() <= outcome.worst.items()
    assert outcome.worst["penalty"] == spoiled["penalty"].values[4]
    assert "VIOLATED leakage_ceiling" in verdict_table([outcome])


def test_derived_fields_are_counted_by_hand(dataset):
    norms, own = dataset["group_norm"].values, dataset["query_block"].values
    rows = rows_of(dataset, by_key("anchor_floor"))
    active = np.broadcast_to(rows["active_cross_blocks"], dataset["fidelity"].shape)
    for setting, query in ((0, 0), (3, 5), (8, 15)):
        b = own[query]
        by_hand = sum(norms[setting, 0, 0, b, c] != 0 for c in range(4) if c != b)
        assert active[setting, 0, 0, query] == by_hand
    pairs = rows_of(dataset, by_key("leakage_aware_gradient"))
    assert pairs["mean_leakage"][2, 0, 0, 1, 0] == pytest.approx(dataset["leakage"].values[2, 0, 0, own == 1].mean())
    whole = rows_of(dataset, by_key("critical_stays"))
    cross = norms * ~np.eye(4, dtype=bool)
    assert whole["active_cross_blocks"][5] == (cross[5] != 0).sum()


def test_a_dataset_without_the_fields_has_no_rows(dataset):
    little = dataset[["leakage", "fidelity", "valid", "n_keys", "n_block", "n_anchors"]]
    assert rows_of(little, by_key("leakage_ceiling")) is None
    assert {o.theorem.key for o in check_dataset(little) if o.rows} == set()
    (outcome,) = check_dataset(little, [by_key("leakage_ceiling")])
    assert outcome.rows == 0
    assert outcome.verdict is Verdict.VACUOUS
    assert "No rows" in verdict_table([outcome])


def saved(verdict: Verdict, key: str, slack: float | None = None) -> dict:
    return {"theorem": key, "verdict": verdict.name, "counts": {verdict.name: 3}, "least_slack": slack}


def test_the_conclusion_says_what_is_violated_nearest_and_undecided_over_several_runs():
    one = [saved(Verdict.HOLDS, "fidelity_floor", 0.25), saved(Verdict.HOLDS, "leakage_ceiling", 0.5)]
    one += [saved(Verdict.HOLDS, "odds_law", -1e-17), saved(Verdict.VACUOUS, "anchor_floor")]
    two = [saved(Verdict.UNKNOWN, key) for key in ("fidelity_floor", "frontier")]
    two.append(saved(Verdict.HOLDS, "kkt_zero", 1.0))
    lacking = {**saved(Verdict.VACUOUS, "rule_mass"), "counts": {}}
    assert conclusion([*one, *two, lacking]) == (
        "Nothing is violated; 4 theorems hold, leakage_ceiling with the least slack, 0.5; 6 rows are UNKNOWN, most of "
        "fidelity_floor; no row decides anchor_floor (VACUOUS), frontier (UNKNOWN)."
    )
    more = [saved(Verdict.VIOLATED, "kkt_zero", -1.0), saved(Verdict.HOLDS, "anchor_floor", 0.1)]
    assert conclusion([*one, *more]) == (
        "VIOLATED: kkt_zero; 4 theorems hold, anchor_floor with the least slack, 0.1; every theorem that has rows is "
        "decided."
    )


def test_json_and_table_say_the_same(outcomes):
    text = verdict_table(tuple(outcomes.values()))
    for outcome in outcomes.values():
        plain = json.loads(json.dumps(outcome.as_dict(), allow_nan=False))
        assert plain["verdict"] == outcome.verdict.name
        assert sum(plain["counts"].values()) == outcome.rows
        assert outcome.theorem.key in text
    assert "Witness rows attain 10 of 10 tight theorems." in text
    assert "not on 100 %: the block has anchors" in text


def test_names_stand_from_the_left_of_their_columns_and_numbers_from_the_right(outcomes):
    header, rule, *lines = verdict_table([outcomes["leakage_ceiling"], outcomes["kkt_zero"]]).splitlines()
    columns = {header[slice(*column.span())].strip(): slice(*column.span()) for column in re.finditer("-+", rule)}
    assert {"theorem", "verdict", "HOLDS", "least slack"} <= {*columns}
    for line in lines[:2]:
        for name, column in columns.items():
            aligned = line[column].lstrip() if name in ("topic", "theorem", "verdict") else line[column].rstrip()
            assert aligned in ("", line[column])


def test_shares_say_all_only_of_all():
    assert share(3, 3) == "100 %"
    assert share(99999, 100000) == "99.9 %"
    assert share(1, 100000) == "0.1 %"
    assert share(0, 5) == "0 %"
    assert share(0, 0) == "none"


# --- planted faults --------------------------------------------------------------------------------------------------


def violated(theorems=ROWS) -> set[str]:
    """Theorems that their witness rows alone turn red."""
    return {t.key for t in theorems if t.tight and not witness.witness(t).attained}


def test_without_a_fault_every_witness_attains():
    assert violated() == set()


@pytest.mark.parametrize("factor", [0.99, 1.01])
@pytest.mark.parametrize(
    ("forms", "name", "key"),
    [
        (concentration_forms, "leakage_ceiling", "leakage_ceiling"),
        (concentration_forms, "leakage_ceiling_range", "leakage_ceiling_range"),
        (concentration_forms, "fidelity_floor", "fidelity_floor"),
        (entropy_forms, "entropy_ceiling", "entropy_ceiling"),
        (entropy_forms, "entropy_envelope", "entropy_envelope"),
        (entropy_forms, "entropy_split", "entropy_split"),
        (entropy_forms, "frontier", "frontier"),
    ],
)
def test_a_constant_wrong_by_one_per_cent_is_noticed(monkeypatch, factor, forms, name, key):
    right = getattr(forms, name)
    monkeypatch.setattr(forms, name, lambda *arguments: factor * right(*arguments))
    assert key in violated()


@pytest.mark.parametrize("factor", [0.99, 1.01])
def test_a_wrong_constant_in_the_theorem_turns_the_check_red(dataset, factor):
    theorem = by_key("entropy_ceiling")
    wrong = replace(theorem, bound=lambda rows: factor * theorem.bound(rows))
    (outcome,) = check_dataset(dataset, [wrong])
    assert outcome.verdict is Verdict.VIOLATED
    assert "is wrong" in verdict_table([outcome])


def test_a_dial_with_the_wrong_sign_is_noticed(monkeypatch):
    right = observe.dial_bias
    monkeypatch.setattr(observe, "dial_bias", lambda dial, temperature: -right(dial, temperature))
    assert violated() == {"odds_law"}


@pytest.mark.parametrize("off", [-1, 1])
def test_an_off_by_one_in_n_is_noticed(monkeypatch, off):
    right = observe.row_statistics

    def wrong(*arguments, **options):
        fields = right(*arguments, **options)
        return {**fields, "n_keys": fields["n_keys"] + off}

    monkeypatch.setattr(observe, "row_statistics", wrong)
    assert violated() >= {"leakage_ceiling", "fidelity_floor", "entropy_ceiling", "fidelity_ceiling", "entropy_floor"}


def test_a_squared_group_norm_is_noticed(monkeypatch):
    """The penalty on the norm is not that on its square: what a squared one trains is not stationary."""
    from empirical.laboratory import training as train
    from empirical.laboratory.config import parse as configuration
    from empirical.observe.files import _from_arrays

    config = configuration(
        {
            "schema_version": 1,
            "setting": {"n_keys": 8, "n_block": 4, "n_anchors": 1},
            "model": {"blocks": 2, "d_block": 3},
            "task": {"name": "blocks", "queries": 200},
            "sweep": {"penalties": [3e-3], "starts": ["zero"], "max_steps": 400, "tolerance": 1e-6, "step": 20.0},
        }
    )

    def active_verdicts():
        arrays = train.train(config, 1, "zero", (3e-3,))
        fields = {name: value for name, value in arrays.items() if not name.startswith("parameter/")}
        dataset = _from_arrays("trained", fields).assign_coords(penalty=("setting", [3e-3]))
        return {o.theorem.key: o.counts for o in check_dataset(dataset, [by_key("kkt_active"), by_key("kkt_zero")])}

    good = active_verdicts()
    assert good["kkt_active"][Verdict.HOLDS] + good["kkt_zero"][Verdict.HOLDS] == 2
    assert good["kkt_active"][Verdict.VIOLATED] + good["kkt_zero"][Verdict.VIOLATED] == 0

    def squared(self, x, amounts):
        """The proximal map of amount * sum of squared norms: no zeros, only shorter blocks."""
        shorter = x / (1 + 2 * self.groups.spread(amounts))
        return shorter, self.groups.norms(shorter) > 0

    monkeypatch.setattr(GroupNorm, "prox", squared)
    bad = active_verdicts()
    assert bad["kkt_active"][Verdict.VIOLATED] == 2


# --- requirements ----------------------------------------------------------------------------------------------------


def test_requirements(dataset):
    least = float(dataset["fidelity"].min())
    assert meets(parse(f"fidelity>={least}"), dataset).missed == 0
    missed = meets(parse(" fidelity >= 0.7 "), dataset)
    assert missed.missed == int((dataset["fidelity"] < 0.7).sum())
    assert missed.worst == least
    assert meets(parse("loss_heldout<1e9"), dataset).rows == dataset.sizes["setting"]
    assert meets(parse("anchor_logit>1"), dataset).rows == 0
    invalid = dataset.assign(valid=dataset["valid"] & False)
    assert "UNKNOWN" in str(meets(parse("fidelity>=0.5"), invalid))
    assert "missed by" in str(missed)


@pytest.mark.parametrize(
    "text", ["fidelity", "fidelity=0.9", "fidelity>=x", "__import__('os')>=1", "a>=1 b", "f>=1.2.3", ""]
)
def test_bad_requirements_are_refused(text):
    with pytest.raises(BadInput, match=r"--require must be FIELD followed by >=, <=, > or < and a number, got"):
        parse(text)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("fidelty>=0.9", "must name a field of the rows, got 'fidelty'; nearest: fidelity"),
        ("level_c>=0.9", "must name a field of the rows, got 'level_c'"),
        ("kept_mass>=0.9", "must name a field of these observations, got 'kept_mass'"),
        ("fidelity>=0.9@start=nowhere", "got 'start=nowhere'"),
        ("fidelity>=0.9@layer=99", "must be at a layer of these observations (0"),
        ("fidelity>=0.9@layer=first", "got 'layer=first'"),
        ("fidelity>=0.9@query=3", "got 'query=3'"),
        ("loss_heldout>=0.9@layer=0", "must be at what loss_heldout is of, got 'layer=0'"),
    ],
)
def test_a_field_or_a_place_that_is_not_there_is_refused(dataset, text, said):
    with pytest.raises(BadInput) as refused:
        refuse(parse(text), fields_of(dataset), places_of(dataset), "these observations")
    assert said in str(refused.value)


def test_a_requirement_is_about_the_rows_at_its_places(dataset):
    start = str(dataset["start"].values[0])
    chosen = dataset.isel(setting=dataset["start"].values == start, layer=[0])
    met = meets(parse(f"fidelity >= 0.7 @layer=0@start={start}"), dataset)
    assert (met.rows, met.missed) == (int(chosen["valid"].sum()), int((chosen["fidelity"] < 0.7).sum()))
    assert f"fidelity >= 0.7 at layer 0 at start {start}: " in str(met)


def test_check_is_pure(dataset):
    theorem = by_key("fidelity_floor")
    rows = rows_of(dataset, theorem)
    before = {name: values.copy() for name, values in rows.items()}
    assert check(theorem, rows) == check(theorem, rows)
    assert all(
        np.array_equal(rows[name], before[name], equal_nan=True) for name in rows if rows[name].dtype.kind == "f"
    )


def test_without_details_what_is_violated_or_undecidable_stays_and_the_rest_goes(outcomes):
    brief = verdict_table(tuple(outcomes.values()), verbose=False)
    assert "Tightest row" not in brief
    assert "VACUOUS, because" not in brief
    rows = replace(next(iter(outcomes.values())), unknown="the inputs move", worst={"query": 3})
    wrong = replace(rows, counts={**rows.counts, Verdict.VIOLATED: 1})
    brief = verdict_table([wrong], verbose=False)
    assert f"VIOLATED {wrong.theorem.key}, worst at {{'query': 3}}" in brief
    assert f"{wrong.theorem.key}: the inputs move" in brief


def test_a_topic_is_named_once_on_the_first_of_its_lines(outcomes):
    _, _, *lines = verdict_table(tuple(outcomes.values()), verbose=False).split("\n\n")[0].splitlines()
    named = [line.split()[0] for line in lines if not line.startswith(" ")]
    assert len(named) == len(set(named)) > 2
    assert len(named) < len(lines)
