"""The observer against definitions in 60 digits, on rows from uniform to one-hot."""

from __future__ import annotations

import math

import mpmath
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from bounds import dial_leakage
from empirical.errors import BadInput
from empirical.observe.rows import observe_attention, row_statistics
from empirical.observe.schema import ROW_FIELDS
from empirical.observe.streaming import _bounded, stream_rows


def by_definition(logits: list[float], inside: list[bool], tau: float, dial: float = 0.0) -> dict[str, float]:
    """-inf logits are not seen; every sum in 60 digits and more."""
    spread = max(logits) - min(s for s in logits if s > -math.inf)
    with mpmath.workdps(80 + int(spread / tau / 2.3)):
        weights = [mpmath.exp((mpmath.mpf(s) - max(logits)) / tau) if s > -math.inf else mpmath.mpf(0) for s in logits]
        weights = [w if own else w * (1 - mpmath.mpf(dial)) for w, own in zip(weights, inside)]
        total = sum(weights)
        p = [w / total for w in weights]
        leakage = sum((v for v, own in zip(p, inside) if not own), mpmath.mpf(0))
        return {
            "entropy_nats": -sum(v * mpmath.log(v) for v in p if v > 0),
            "leakage": leakage,
            "fidelity": sum((v for v, own in zip(p, inside) if own), mpmath.mpf(0)),
            "log_leakage": mpmath.log(leakage) if leakage > 0 else -mpmath.inf,
        }


def observed(logits, inside, r=1, tau=1.0, dial=0.5, **options):
    row = torch.tensor(logits, dtype=torch.float64)
    own = torch.tensor(inside)
    fields = row_statistics(row, own, torch.ones_like(own), r, tau, dial=dial, **options)
    return {name: value.item() for name, value in fields.items()}


@given(
    st.lists(st.tuples(st.floats(-1, 1), st.booleans()), min_size=2, max_size=9),
    st.sampled_from([1e-6, 1.0, 30.0, 300.0, 1e3]),
    st.floats(0.3, 3),
)
def test_rows_agree_with_their_definitions(row, scale, tau):
    """Relative to the value: an entropy of 1e-300 keeps its digits. A logit of D carries D ulp into its weight."""
    logits, inside = [v * scale for v, _ in row], [own for _, own in row]
    seen, exact = observed(logits, inside, tau=tau), by_definition(logits, inside, tau)
    room = 1e-14 + 4e-16 * scale / tau
    for name in ("entropy_nats", "leakage", "fidelity"):
        assert seen[name] == pytest.approx(float(exact[name]), rel=room * 40, abs=1e-305)
    if exact["leakage"] > 0:
        assert seen["log_leakage"] == pytest.approx(float(exact["log_leakage"]), rel=room * 40, abs=room * 40)
    assert seen["logit_range"] == max(logits) - min(logits)
    assert seen["valid"] == (any(inside) and not all(inside))


def test_nearly_certain_rows_keep_their_digits():
    seen = observed([40.0, 0.0], [True, False])
    assert seen["leakage"] == pytest.approx(math.exp(-40), rel=1e-14)
    assert seen["entropy_nats"] == pytest.approx(41 * math.exp(-40), rel=1e-13)
    assert seen["fidelity"] == 1.0
    far = observed([1e4, 0.0], [True, False])
    assert far["leakage"] == 0
    assert far["log_leakage"] == -1e4
    lost = observed([0.0, 40.0], [True, False])
    assert lost["fidelity"] == pytest.approx(math.exp(-40), rel=1e-14)
    assert lost["log_leakage"] == pytest.approx(-math.exp(-40), rel=1e-14)


def test_margin_counts_the_rth_largest_of_the_block():
    logits, inside = [5.0, 1.0, 3.0, 2.0, -1.0], [True, True, True, False, False]
    assert [observed(logits, inside, r)["margin"] for r in (1, 2, 3, 9)] == [3.0, 1.0, -1.0, -1.0]
    assert observed(logits, inside, 9)["n_anchors"] == 3
    assert observed(logits, inside, None)["margin"] == -1.0


def test_keys_that_are_not_seen_do_not_count():
    hidden = observed([1.0, -math.inf, 0.0, -math.inf], [True, True, False, False])
    plain = observed([1.0, 0.0], [True, False])
    assert hidden == plain
    fields = row_statistics(
        torch.tensor([[1.0, 9.0, 0.0, 9.0]]).double(),
        torch.tensor([True, True, False, False]),
        torch.tensor([True, False, True, False]),
        1,
        1.0,
    )
    assert {name: value.item() for name, value in fields.items()} == plain


@pytest.mark.parametrize(
    ("logits", "inside"),
    [([1.0, 2.0], [True, True]), ([1.0, 2.0], [False, False]), ([1.0, -math.inf], [True, False])],
)
def test_rows_without_block_or_outsider_are_not_valid(logits, inside):
    seen = observed(logits, inside)
    assert not seen["valid"]
    assert math.isnan(seen["margin"])


def test_nothing_visible_and_nan_give_nan_and_not_valid():
    for bad in ([-math.inf, -math.inf], [math.nan, 0.0], [math.inf, 0.0]):
        seen = observed(bad, [True, False])
        assert not seen["valid"]
        assert math.isnan(seen["entropy_nats"])


def test_anchor_mass_is_part_of_the_fidelity():
    row = torch.tensor([2.0, 1.0, 0.0, 0.0]).double()
    own, anchor = torch.tensor([True, True, False, False]), torch.tensor([True, False, False, True])
    fields = row_statistics(row, own, torch.ones_like(own), 1, 1.0, anchor)
    assert fields["anchor_mass"].item() == pytest.approx(math.exp(2) / (math.exp(2) + math.e + 2), rel=1e-15)


@given(st.lists(st.floats(-20, 20), min_size=3, max_size=8), st.floats(0, 1), st.floats(0.3, 3))
def test_the_dial_obeys_the_odds_law(logits, dial, tau):
    inside = [i % 2 == 0 for i in range(len(logits))]
    seen = observed(logits, inside, tau=tau, dial=dial)
    assert seen["leakage_dialled"] == pytest.approx(dial_leakage(seen["leakage"], dial), rel=1e-9, abs=1e-15)
    assert observed(logits, inside, tau=tau, dial=0.0)["leakage_dialled"] == seen["leakage"]  # bit for bit
    assert observed(logits, inside, tau=tau, dial=1.0)["leakage_dialled"] == 0.0


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_any_float_type_is_observed_in_float64(dtype):
    logits = np.random.default_rng(3).normal(size=(4, 10)).astype(dtype)
    blocks = {"query_block": np.arange(4) % 2, "key_block": np.arange(10) % 2}
    fields = observe_attention(logits, **blocks)
    same = observe_attention(logits.astype(np.float64), **blocks)
    for name in ROW_FIELDS:
        np.testing.assert_array_equal(fields[name], same[name])
    bfloat = observe_attention(torch.tensor(logits.astype(np.float32)).bfloat16(), **blocks)
    assert bfloat["entropy_nats"].dtype == np.float64


def test_weights_stand_for_their_logarithms():
    logits = np.random.default_rng(4).normal(size=(2, 1, 3, 5, 7))
    weights = np.exp(logits - logits.max(-1, keepdims=True))
    weights /= weights.sum(-1, keepdims=True)
    blocks = {"query_block": np.arange(5) % 3, "key_block": np.arange(7) % 3}
    one, other = observe_attention(logits, **blocks), observe_attention(weights, **blocks, kind="weights")
    for name in ("entropy_nats", "fidelity", "margin", "log_leakage"):
        np.testing.assert_allclose(one[name], other[name], rtol=1e-12)
    assert one["fidelity"].shape == (2, 1, 3, 5)
    assert not observe_attention(weights * 0.99, **blocks, kind="weights")["valid"].any()
    onehot = observe_attention(np.eye(3)[:2], [0, 1], [0, 1, 1], kind="weights")
    assert not onehot["valid"].any()  # a row that sees one key has no outsider


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"weights_or_logits": np.zeros(3)}, "weights_or_logits must have shape (setting, layer, head, queries, keys)"),
        ({"weights_or_logits": [["a", "b"]]}, "weights_or_logits must be"),
        ({"weights_or_logits": np.full((2, 3), np.inf)}, "must be free of NaN and +inf, got inf"),
        ({"kind": "scores"}, "kind must be 'logits' or 'weights', got 'scores'"),
        ({"temperature": 0.0}, "temperature must be a finite number > 0, got 0.0"),
        ({"dial": 1.5}, "dial must be in [0, 1], got 1.5"),
        ({"n_anchors": 0}, "n_anchors must be a whole number >= 1, got 0"),
        ({"query_block": np.zeros(3, int)}, "query_block must be whole numbers, one each of 2"),
        ({"key_block": np.zeros(3)}, "key_block must be whole numbers, one each of 3"),
        ({"visible": np.ones((3, 3), bool)}, "visible must broadcast to"),
    ],
)
def test_bad_input_is_named(change, message):
    given_ = {"weights_or_logits": np.zeros((2, 3)), "query_block": np.zeros(2, int), "key_block": np.zeros(3, int)}
    with pytest.raises(BadInput) as caught:
        observe_attention(**{**given_, **change})
    assert message in str(caught.value)


def test_it_is_public():
    import empirical

    assert empirical.observe_attention is observe_attention
    with pytest.raises(AttributeError, match="no attribute 'attention'"):
        _ = empirical.attention


def test_streamed_rows_are_those_of_the_whole_matrix():
    """By default the margin of one anchor; also a few queries at a time."""
    random = torch.Generator().manual_seed(0)
    query, key = torch.randn(2, 1, 2, 6, 3, generator=random, dtype=torch.float64)
    block = torch.tensor([[0, 0, 1, 1, 1, 2]])
    whole = row_statistics(0.7 * query @ key.mT, block.mT == block, torch.tensor(True), 1, 1.0, cut=True)
    for entries in (10**6, 12):
        found = stream_rows(query=query, key=key, query_block=block, key_block=block, scaling=0.7, entries=entries)
        assert found.keys() == whole.keys()
        for name, values in whole.items():
            torch.testing.assert_close(found[name], values, equal_nan=True)


def test_products_are_sure_to_be_finite_only_where_query_and_key_together_are():
    one = torch.ones(1, 1, 1, 1, dtype=torch.float64)
    for query, key, finite in ((1e300, 1e10, False), (1e10, 1e300, False), (1e-300, 1e300, True), (1e300, 1e-9, True)):
        assert _bounded(query * one, key * one, 1.0) == finite
