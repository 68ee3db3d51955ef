"""The ledger: every theorem's evidence stands and notices faults; refuted readings are false; maxima by brute force."""

from __future__ import annotations

import itertools
import json
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog

import bounds
from bounds.depth.calculators import amplification, fill, knapsack_optimum, layer_costs, schedule
from bounds.floors.calculators import entropy_floor_with_margin
from bounds.floors.closed_forms import three_level_entropy
from bounds.ledger.evidence import digest, faults, load, status, worse
from bounds.recruitment.calculators import most_recruitments, recruitment_price
from bounds.theorems import THEOREMS, by_key
from bounds.theory.lemmas import LEMMAS
from bounds.theory.theorem import Hypothesis, ProofStep
from empirical.check.verdicts import check_dataset
from empirical.cli import main
from empirical.verify import adversary, gathering
from empirical.verify.adversary import FAMILIES, family_of, heads
from empirical.verify.adversary import rows as adversary_rows
from empirical.verify.adversary.ascent import ascend
from empirical.verify.adversary.weights import entropy, softmax
from empirical.verify.gathering import AttackCounts, attack, gather, tightened, verify

FEW = 4_000


def silent(name: str, count: int) -> None:
    """No progress bar."""


@pytest.mark.theorem
@pytest.mark.parametrize("theorem", THEOREMS.values(), ids=lambda t: t.key)
def test_no_proof_step_fails(theorem):
    outcomes = [step.settled() for step in theorem.proof]
    assert False not in outcomes
    assert all(step.lemma in LEMMAS for step in theorem.proof if step.lemma)
    assert all(needed in {t.key for t in THEOREMS.values()} for needed in theorem.needs)


def test_every_theorem_is_attacked_by_one_family():
    keys = [key for family in FAMILIES for key in family.keys]
    assert sorted(keys) == sorted(theorem.key for theorem in THEOREMS.values())
    assert family_of("rule_mass").name == "rules"


@pytest.mark.theorem
@pytest.mark.parametrize("rows", [FEW, pytest.param(gathering.QUICK_ROWS, marks=pytest.mark.slow)])
def test_quick_evidence_stands(tmp_path, monkeypatch, rows):
    """Of so many inputs a theorem none violates, each hypothesis is needed, a bound changed by 1 % is noticed."""
    monkeypatch.setattr(gathering, "QUICK_ROWS", rows)
    for theorem, _, wrong in verify(THEOREMS.values(), tmp_path, quick=True):
        assert not wrong, (theorem.key, wrong)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("theorem", THEOREMS.values(), ids=lambda t: t.key)
def test_committed_evidence_is_of_this_version_and_stands(theorem):
    evidence = load(theorem)
    assert evidence is not None
    assert list(faults(theorem, evidence)) == []
    assert evidence["adversary"]["rows"] >= 1_000_000
    assert status(theorem, evidence) in ("formal", "proved", "argued")


# the evidence notices


def tally(theorem, count=FEW):
    family = family_of(theorem.key)
    return attack(family, [theorem], count, silent)[theorem.key]


@pytest.mark.parametrize("key", ["leakage_ceiling", "rule_mass", "depth_sum", "adam_update", "output_error"])
def test_a_constant_changed_by_one_per_cent_is_violated(key):
    found = tally(tightened(by_key(key)))
    assert found.as_dict()["violated"] > 0


def test_a_dropped_hypothesis_is_violated():
    theorem = by_key("reload_compliance")
    assert tally(theorem).as_dict()["violated"] == 0
    assert tally(replace(theorem, hypotheses=theorem.hypotheses[1:])).as_dict()["violated"] > 0


def test_a_hypothesis_that_is_not_needed_is_noticed():
    theorem = by_key("dispersion_ceiling")
    idle = Hypothesis("the row has more than two keys", lambda rows: rows["n_keys"] > 2)
    padded = replace(theorem, hypotheses=(*theorem.hypotheses, idle))
    wrong = list(faults(padded, gather(padded, tally(padded), [])))
    assert wrong == ["no input shows that a hypothesis is needed: the row has more than two keys"]


def test_faults_and_what_is_worse_are_worded():
    theorem = by_key("rule_mass")
    good = gather(theorem, tally(theorem), [])
    assert list(faults(theorem, good)) == []
    assert list(worse(good, good)) == []
    fewer = {**good, "symbolic": {**good["symbolic"], "settled": 0}}
    assert list(worse(fewer, good)) == ["fewer proof steps are settled: 0, not 1"]
    seen = {**good, "observed": [{"run": "blocks", "counts": {"VIOLATED": 2}}]}
    assert list(faults(theorem, seen)) == ["2 observed rows of blocks violate it"]
    broken = {**good, "symbolic": {**good["symbolic"], "failed": ["a step"]}}
    assert "proof steps fail: a step" in list(faults(theorem, broken))
    assert status(theorem, broken) == "broken"
    assert status(theorem, good) == "proved"
    assert status(replace(theorem, proof=(ProofStep("words alone"),)), good) == "argued"


def test_a_witness_further_from_the_bound_is_worse():
    theorem = by_key("rule_mass")
    good = gather(theorem, tally(theorem), [])
    near, far = ({**good, "witness": {"attained": True, "ratio": ratio}} for ratio in (0.9999, 0.999))
    assert list(worse(near, far)) == []
    assert (
        list(worse(far, near))
        == list(worse({**good, "witness": None}, near))
        == ["the witness is further from the bound"]
    )


def test_the_digest_is_of_the_formula_where_that_is_more_than_the_step():
    for theorem in (by_key("depth_sum"), next(t for t in THEOREMS.values() if t.step is not None)):
        assert digest(replace(theorem, formula=theorem.formula + 1)) != digest(theorem)


def test_worse_evidence_is_not_written_and_exits_1(tmp_path, capsys, monkeypatch):
    theorem = by_key("reload_limit")
    better = gather(theorem, tally(theorem), [])
    better["symbolic"]["settled"] = 99
    file = tmp_path / "reload_limit.json"
    file.write_text(json.dumps(better))
    monkeypatch.setattr("empirical.verify.gathering.ROWS", FEW)
    assert main(["verify", "reload_limit", "--out", str(tmp_path)]) == 1
    assert json.loads(file.read_text()) == better
    assert "fewer proof steps are settled" in capsys.readouterr().out
    file.unlink()
    assert main(["verify", "reload_limit", "--out", str(tmp_path)]) == 0
    assert json.loads(file.read_text())["digest"] == digest(theorem)


def test_bad_input_is_refused_by_name(tmp_path, capsys):
    assert main(["verify", "rule_mas"]) == 2
    assert "nearest: rule_mass" in capsys.readouterr().err
    assert main(["verify", "rule_mass", "--quick", "--runs", str(tmp_path)]) == 2
    assert "verdicts.json" in capsys.readouterr().err
    theorem = by_key("rule_mass")
    (tmp_path / "rule_mass.json").write_text(json.dumps({"digest": "0" * 16}))
    with pytest.raises(ValueError, match=r"rule_mass.json must be of this version of the theorem .* got 0000"):
        load(theorem, tmp_path)
    (tmp_path / "rule_mass.json").write_text("[]")
    with pytest.raises(ValueError, match=r"rule_mass.json must be evidence"):
        load(theorem, tmp_path)
    with pytest.raises(ValueError, match="budget must be finite and > 0, got 0"):
        schedule([1.0], [1.0], 0)
    with pytest.raises(ValueError, match="costs must be finite and > 0, got 0"):
        schedule([0.0], [1.0], 1)
    with pytest.raises(ValueError, match="speak of observations"):
        check_dataset(xr.Dataset(), [theorem])


def test_families_are_reproducible(monkeypatch):
    """Three steps uphill, of as many as it takes elsewhere: chance has its say before the first."""
    for module in (adversary.geometry, adversary.heads, adversary.rows):
        monkeypatch.setattr(module, "ascend", lambda *given, steps=0, **more: ascend(*given, steps=3, **more))
    for family in FAMILIES:
        one, two = (family.sample(np.random.default_rng(5), 300) for _ in range(2))
        assert all(np.array_equal(one[name], two[name], equal_nan=one[name].dtype.kind == "f") for name in one)


# by brute force


def block_rows(rng, count, n, m, r, x):
    """Random rows with a margin of at least x over outsiders."""
    logits = rng.standard_normal((count, n)) * rng.choice([0.1, 1.0, 3.0], (count, 1))
    logits[:, :r] = np.maximum(logits[:, :r], logits[:, m:].max(1, keepdims=True) + x)
    return logits


@pytest.mark.theorem("entropy_ceiling")
@pytest.mark.parametrize(("n", "m", "r", "x"), [(9, 4, 2, 1.5), (30, 5, 5, 3.0), (6, 5, 1, 0.3)])
def test_entropy_maximum_by_brute_force(n, m, r, x):
    """Never exceeded by random rows, attained by its witness to 1e-9."""
    rng = np.random.default_rng(3)
    ceiling = bounds.entropy_ceiling(x, n, m, r)
    for _ in range(10):
        assert entropy(softmax(block_rows(rng, 35_000, n, m, r, x))).max() <= ceiling * (1 + 1e-12)
    attained = entropy(softmax(by_key("entropy_ceiling").witness(n, m, r, x)))
    assert attained == pytest.approx(ceiling, rel=1e-9)


@pytest.mark.theorem("frontier")
def test_frontier_by_brute_force():
    rng, (n, m, r, x) = np.random.default_rng(4), (9, 4, 2, 1.5)
    a = softmax(block_rows(rng, 200_000, n, m, r, x))
    assert (entropy(a) <= bounds.frontier(a[:, m:].sum(-1), x, n, m, r) + 1e-9).all()
    row = softmax(by_key("frontier").witness(n, m, r, x))
    assert entropy(row) == pytest.approx(bounds.frontier(row[m:].sum(), x, n, m, r), rel=1e-9)


@pytest.mark.theorem("entropy_floor_margin")
@given(st.integers(2, 6), st.data())
@settings(max_examples=25)
def test_floor_with_margin_is_exact(n, data):
    """Against every row whose logits are 0, x, D - x or D."""
    m = data.draw(st.integers(1, n - 1))
    r = data.draw(st.integers(1, m))
    span = data.draw(st.floats(0.1, 20))
    x = data.draw(st.floats(0, 1)) * span
    levels = np.array(list(itertools.product({0.0, x, span - x, span}, repeat=n)))
    keeps = levels[:, :r].min(1) - levels[:, m:].max(1) >= x - 1e-9
    least = entropy(softmax(levels[keeps])).min()
    assert entropy_floor_with_margin(x, span, n, m, r) == pytest.approx(least, rel=1e-9, abs=1e-12)


def test_floor_with_margin_is_least_of_all_rows_of_its_kind():
    """Also at sizes beyond brute force: every number of free keys at the top, and of anchors or outsiders between."""
    rng = np.random.default_rng(6)
    for _ in range(300):
        n = int(rng.integers(2, 40))
        m = int(rng.integers(1, n))
        r = int(rng.integers(1, m + 1))
        span = float(rng.choice([1e-3, 0.3, 2.0, 6.0, 30.0]) * rng.random())
        x = float(rng.choice([0.0, 0.2, 0.7, 1.0]) * span)
        free = np.arange(m - r + 1)[:, None]
        below, above = np.arange(r + 1), np.arange(n - m + 1)  # anchors at x, outsiders at D - x
        with np.errstate(all="ignore"):  # where no key is at the top the form takes its other branch
            least = min(
                three_level_entropy(span, x, n, free + r - below, below).min(),
                three_level_entropy(span, span - x, n, free + r, above).min(),
            )
        assert entropy_floor_with_margin(x, span, n, m, r) == pytest.approx(least, rel=4e-15)


def test_floor_with_margin_lies_above_the_floor_of_the_range_and_checks_its_input():
    assert entropy_floor_with_margin(2.0, 2.0, 6, 3, 2) > bounds.entropy_floor(2.0, 6)
    assert entropy_floor_with_margin(0.0, 2.0, 6, 3, 2) == pytest.approx(bounds.entropy_floor(2.0, 6))
    with pytest.raises(ValueError, match=r"logit_range/temperature must be at least \|margin\|, got 2.0 with"):
        entropy_floor_with_margin(3.0, 2.0, 6, 3, 2)
    with pytest.raises(ValueError, match="margin must be finite and >= 0, got -1"):
        entropy_floor_with_margin(-1.0, 2.0, 6, 3, 2)


@pytest.mark.theorem("worst_case_gradient")
def test_heads_by_autograd():
    """The family's gradient formula is what reverse mode gives for the loss mean <g_i, o_i>."""
    head = heads._random(torch.Generator().manual_seed(1), 5)
    queries, keys, values, gradients, _ = head
    form = torch.randn(5, heads.D, heads.D, dtype=torch.float64).requires_grad_()
    logits = queries @ form @ keys.mT
    output = (logits / 0.7).softmax(-1) @ values
    (expected,) = torch.autograd.grad((gradients * output).sum(), form)
    everywhere = torch.zeros(5, dtype=torch.bool)
    found = heads._ingredients((queries, keys, values, gradients, logits.detach()), everywhere, 0.7)
    wanted = expected.flatten(1).norm(dim=1) / heads.QUERIES
    assert torch.allclose(found["gradient_norm"], wanted, rtol=1e-10)


@pytest.mark.theorem("quadratic_dual")
def test_quadratic_majorants_by_brute_force():
    """Queries of two features, attention to an own key, two cross blocks: majorants from a grid hold for random W."""
    rng, n, curvature, eta = np.random.default_rng(6), 0.6, 0.03, 0.2
    features, target = np.array([[1.0, 0.3], [-0.4, 0.9], [0.2, -1.1]]), np.array([0.9, 0.3, 0.8])
    t = np.linspace(-9, 9, 601)

    def attention(logit):
        return 1 / (1 + np.exp(-logit))

    offsets = []
    for x, y in zip(features, target):
        pull = np.linspace(-1, 1, 401) * math.sqrt(2) * n * np.linalg.norm(x)  # w_1 - w_2, so that |w|^2 >= pull^2 / 2
        gain = eta * (attention(t) - y)[:, None] ** 2 - (attention(t[:, None] + pull) - y) ** 2
        offsets.append((gain - curvature * pull**2 / 2).max())
    quadratic = np.linalg.eigvalsh(np.kron(np.eye(2), curvature * features.T @ features / 3)).max()
    localised = ((attention(t)[:, None] - target) ** 2).mean(1).min()
    bound = bounds.global_penalty_dual(localised, eta, np.mean(offsets), quadratic, n)

    blocks = rng.standard_normal((4000, 2, 2))
    blocks *= n / np.linalg.norm(blocks, axis=-1).sum(-1)[:, None, None]  # the norms of the two sum to n
    pulls = (blocks[:, 0] - blocks[:, 1]) @ features.T
    loss = ((attention(t[::6, None, None] + pulls) - target) ** 2).mean(-1)
    found = (localised - loss.min()) / n
    assert 0.6 * bound < found <= bound < localised / n  # L >= 0 alone gives L_loc/n
    # one query, one block, l = (t - r)^2 + 2 w + w^2/2, M = |b|/n - d: the bound is 2 |b| - d n, and w = -n attains it
    n, m = 0.8, 1 / 0.8 - 0.5
    rim = bounds.global_penalty_dual(0.0, 1.0, 1 / (0.5 + m), m, n)
    assert (2 * n - 0.5 * n**2) / n == pytest.approx(rim, rel=1e-12)


def test_gradient_constants_are_attained_to_one_per_cent():
    for key in family_of("worst_case_gradient").keys:
        assert load(by_key(key))["adversary"]["closest"] >= 0.99


@pytest.mark.theorem("schedule_optimum")
@given(st.data())
@settings(max_examples=30)
def test_schedule_is_the_linear_programme(data):
    layers = data.draw(st.integers(1, 6))
    draw = st.lists(st.floats(0.05, 3), min_size=layers, max_size=layers)
    costs, available, budget = np.array(data.draw(draw)), np.array(data.draw(draw)), data.draw(st.floats(0.01, 5))
    best = linprog(-np.ones(layers), A_ub=[costs], b_ub=[budget], bounds=[(0, u) for u in available])
    taken = schedule(costs, available, budget)
    assert taken.sum() == pytest.approx(-best.fun, rel=1e-7)
    assert taken.sum() == pytest.approx(float(knapsack_optimum(costs, available, np.array(budget))), rel=1e-9)
    assert costs @ taken <= budget * (1 + 1e-12)
    assert ((taken > 0) & (taken < available * (1 - 1e-12))).sum() <= 1


@pytest.mark.theorem("sigma_reparam_floor")
def test_sigma_reparam_is_attained_by_a_centred_one_hot():
    theorem = by_key("sigma_reparam_floor")
    for n, s in ((2, 0.5), (7, 3.0), (100, 12.0)):
        hot = (np.arange(n) == 0) - 1 / n
        logits = s * hot / np.linalg.norm(hot)
        row = {"logit_norm": np.asarray(s), "n_keys": np.asarray(n)}
        assert entropy(softmax(logits)) == pytest.approx(float(theorem.bound(row)), rel=1e-12)


@pytest.mark.theorem("anchors_levenshtein")
def test_the_pentagon_attains_the_third_degree():
    theorem = by_key("anchors_levenshtein")
    row = {"coherence": np.asarray(math.cos(2 * math.pi / 5)), "dimension": np.asarray(2.0)}
    assert theorem.bound(row) == pytest.approx(5, rel=1e-12)


@pytest.mark.theorem("rule_mass")
def test_removing_a_rule_restores_the_row():
    logits = np.random.default_rng(0).standard_normal(9)
    biased = np.where(np.arange(9) < 2, logits + 3.7, logits)
    assert softmax(biased)[:2].sum() > softmax(logits)[:2].sum()
    assert np.array_equal(logits, np.where(np.arange(9) < 2, logits, biased))  # the bias is never written to them
    strength = bounds.worst_case_kappa(0.9, np.ptp(logits), 9, 2)
    worst = np.where(np.arange(9) < 2, 0.0, np.ptp(logits))
    assert softmax(np.where(np.arange(9) < 2, worst + strength, worst))[:2].sum() == pytest.approx(0.9, rel=1e-9)


# refuted readings


@pytest.mark.refutes("C3: an optimum always exists")
def test_separable_data_have_no_in_block_optimum():
    """One key inside, one outside, a squared loss on the output: every larger W is better, and none is best."""
    scales = np.array([1.0, 10.0, 100.0, 300.0])
    losses = [float(softmax(np.array([scale, 0.0]))[1] ** 2) for scale in scales]
    assert all(later < earlier for earlier, later in itertools.pairwise(losses))
    assert losses[-1] > 0


@pytest.mark.refutes("C11: fidelity and entropy together")
def test_redundancy_need_not_raise_entropy():
    rows = [softmax(np.concatenate([np.full(r, 4.6), np.zeros(100)])) for r in (1, 2, 3)]
    assert [round(float(a[:r].sum()), 2) for r, a in enumerate(rows, 1)] == [0.50, 0.67, 0.75]
    assert [round(float(entropy(a)), 2) for a in rows] == [3.00, 2.64, 2.54]
    late = [softmax(np.concatenate([np.full(r, 4.6), np.zeros(100)])) for r in (40, 41)]
    assert entropy(late[1]) > entropy(late[0])  # once leakage times gap is below 1 both rise


@pytest.mark.refutes("C11: exponential rate for every kernel")
def test_a_polynomial_kernel_has_no_exponential_rate():
    distance = np.array([50.0, 100.0, 200.0])
    leakage = 9 / (9 + (1 + distance) ** 3)
    assert np.all(np.diff(leakage * np.exp(0.1 * distance)) > 0)


@pytest.mark.refutes("C12: without the condition")
def test_correlated_reloads_stay_at_one_half():
    works = np.random.default_rng(0).random(20_000) < 0.5
    removed = np.stack([works] * 8, axis=1)  # each reload removes with probability 1/2
    violating = ~removed.any(axis=1)
    assert violating.mean() == pytest.approx(0.5, abs=0.02)
    assert 0.5**8 < 0.01  # what independence would give


@pytest.mark.refutes("C13: powers of depth")
def test_powers_of_depth_do_not_tend_to_the_optimum():
    """L = 8, equal diameters, Lip = 1/4, a budget for the last five layers: the best each schedule can do within it."""
    layer, costs = np.arange(1, 9), layer_costs(np.ones(8), np.full(8, 0.25))
    budget = costs[-5:].sum()
    optimum = schedule(costs, np.ones(8), budget).sum()

    def reached(dials):
        return min(1.0, budget / (costs @ dials)) * dials.sum() / optimum

    powers = [reached((layer / 8) ** beta) for beta in (1, 3, 5, 500)]
    assert powers == pytest.approx([0.879, 0.506, 0.377, 0.2], abs=1e-3)  # at last the last layer alone
    clipped = [
        max(reached(np.minimum(1, (layer / knee) ** beta)) for knee in np.linspace(0.5, 8, 1501))
        for beta in (1, 3, 5, 40)
    ]
    assert clipped == pytest.approx([0.879, 0.978, 0.988, 1.0], abs=1e-3)


@pytest.mark.theorem("steps_to_zero")
@pytest.mark.refutes("C10: with Nesterov's momentum")
def test_nesterov_breaks_finite_identification():
    def steps(mu, gradient):
        group = before = 1.0
        last = 0
        for count in range(2000):
            ahead = group + mu * (group - before) if count else group
            velocity = np.sign(group - before) if count else -1.0
            moved = ahead + 0.01 * gradient * (velocity if mu else np.sign(ahead))
            before, group = group, np.sign(moved) * max(abs(moved) - 0.01, 0.0)
            last = count + 1 if group else last
        return last + 1

    assert bounds.steps_to_zero(1.0, 1.0, 0.5, 0.01) == 200
    assert steps(0.0, 0.5) <= 201
    assert steps(0.98, 0.5) > 2000


@pytest.mark.theorem("adam_threshold")
def test_adam_moves_by_its_own_threshold():
    """At the defaults U = 7.270: gradients of 1e-12 that grow move a group of 4 by 0.99 U sqrt 4, none by more."""
    theorem = by_key("adam_threshold")
    at = {"b1": np.asarray(0.9), "b2": np.asarray(0.999), "group_size": np.asarray(4.0)}
    threshold = float(theorem.bound(at))
    assert threshold == pytest.approx(2 * 7.270, abs=1e-3)
    parameter = torch.zeros(4, dtype=torch.float64, requires_grad=True)
    adam = torch.optim.Adam([parameter], lr=1.0, eps=1e-290)
    for count in range(6000):
        parameter.grad = torch.full((4,), 1e-12 * (0.9 / 0.999) ** (6000 - count), dtype=torch.float64)
        with torch.no_grad():
            parameter.zero_()
        adam.step()
    update = parameter.detach().norm().item()
    assert 0.99 * threshold < update <= threshold


@pytest.mark.refutes("C9: nothing more helps")
def test_a_pair_may_still_be_worth_recruiting():
    """XOR: either part alone explains nothing, both explain everything."""
    count = 1000
    nll = {(): count * math.log(2), (0,): count * math.log(2), (1,): count * math.log(2), (0, 1): 0.0}
    price = recruitment_price(1, count, 1.0)
    assert all(nll[()] - nll[one] <= price for one in ((0,), (1,)))
    assert nll[()] - nll[(0, 1)] > 2 * price
    assert most_recruitments(nll[()], 1, count, 1.0) == math.ceil(nll[()] / price) - 1


@pytest.mark.refutes("C14: more dial, less entropy")
def test_entropy_may_first_rise_along_the_dial():
    row = np.array([0.01, 0.99])
    turned = [np.array([0.01, 0.99 * (1 - dial)]) for dial in (0.0, 1 - 0.01 / 0.99, 0.9999)]
    entropies = [float(entropy(a / a.sum())) for a in turned]
    assert entropies[0] == pytest.approx(0.056, abs=1e-3)
    assert entropies[1] == pytest.approx(math.log(2), rel=1e-9)
    assert entropies[2] < entropies[0] < entropies[1]
    assert row[1] > 1 / 2


def test_amplification_and_fill():
    assert np.array_equal(amplification(np.array([9.0, 1.0, 0.5])), [3.0, 1.5, 1.0])
    order = np.array([2, 1, 0])
    assert np.array_equal(fill(order, np.ones(3), np.ones(3), np.asarray(1.5)), [0.0, 0.5, 1.0])
    assert bounds.drift_bound([1.0, 1.0, 1.0], [9.0, 1.0, 0.5]) == 5.5


def test_ascent_reaches_the_ceiling():
    """Uphill rows alone, without any that was made for it, come within 1 % of the entropy ceiling."""
    generator = torch.Generator().manual_seed(2)
    logits = adversary_rows._uphill(generator, 300, 6, 3, 1)
    rows = adversary_rows._fields(logits, 6, 3, 1, 1.0, 0.3)
    found = AttackCounts(by_key("entropy_ceiling"))
    found.add({**rows, "envelope_exponent": np.zeros(300)})
    assert found.as_dict()["closest"] > 0.999
