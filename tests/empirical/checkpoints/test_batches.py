"""Documents observed several at once are those observed one by one, whatever their lengths and the padding."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from small_checkpoints import network, tokenizer

from empirical.checkpoints import Labels, guarded, observing
from empirical.checkpoints.batches import batches, losses
from empirical.checkpoints.documents import Document
from empirical.checkpoints.loading import Checkpoint, Request, Tokens
from empirical.checkpoints.observe import observe_checkpoint, observe_model
from empirical.errors import BadInput
from empirical.observe.schema import ROW_FIELDS

pytest.importorskip("transformers")
LENGTHS = (24, 11, 17)
NO_TEXT = Document("", (), "")


@pytest.fixture
def text(tmp_path):
    """Three documents of three lengths, blocks of their own, tokens of no block."""
    path, lines = tmp_path / "text.jsonl", []
    for at, length in enumerate(LENGTHS):
        words = "".join("abcdefghij"[(at + 3 * i) % 10] for i in range(length))
        spans = [{"start": 0, "end": 5 + at, "block": "ab"[at % 2]}, {"start": 6 + at, "end": length, "block": "c"}]
        lines.append(json.dumps({"text": words, "spans": spans}))
    path.write_text("\n".join(lines))
    return path


@pytest.mark.parametrize(
    ("name", "attention"),
    [("gpt2", "self"), ("llama", "self"), ("roberta", "self"), ("t5", "cross"), ("bart", "encoder")],
)
def test_several_documents_at_once_are_the_same_as_one_at_a_time(text, name, attention):
    checkpoint = Checkpoint(network(name), tokenizer(48), "")
    one, all_at_once = (
        observe_checkpoint(Request(name, text, attention=attention, dials=(0.7, 1.0), batch=size), checkpoint)[0]
        for size in (1, 3)
    )
    assert one.sizes == all_at_once.sizes
    np.testing.assert_array_equal(one["valid"], all_at_once["valid"])
    assert one["valid"].any()
    for field in (*ROW_FIELDS, "loss_heldout"):
        assert field in one or field == "leakage_dialled", field
        np.testing.assert_allclose(one[field], all_at_once[field], rtol=1e-9, atol=1e-9, err_msg=field)


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("name", ["gpt2", "llama"])
def test_padding_of_either_side_changes_no_row(name, side):
    model, generator = network(name), torch.Generator().manual_seed(1)
    documents = [torch.randint(3, 48, (1, length), generator=generator) for length in (13, 8)]
    blocks = [torch.arange(ids.shape[1])[None] // 4 % 2 for ids in documents]

    def padded(rows, value):
        pads = [13 - row.shape[1] for row in rows]
        ends = [(pad, 0) if side == "left" else (0, pad) for pad in pads]
        return torch.cat([torch.nn.functional.pad(r, e, value=value) for r, e in zip(rows, ends)])

    mask = padded([torch.ones_like(ids) for ids in documents], 0)
    places = (mask.cumsum(-1) - 1).clamp(min=0)
    with torch.no_grad(), observing(model, Labels(padded(blocks, -1))) as together:
        model(input_ids=padded(documents, 0), attention_mask=mask, position_ids=places)
    for at, (ids, own) in enumerate(zip(documents, blocks)):
        with torch.no_grad(), observing(model, Labels(own)) as alone:
            model(input_ids=ids)
        for attention, fields in alone.rows.items():
            for field, values in fields.items():
                found = together[attention][field][at][:, mask[at].bool()]
                torch.testing.assert_close(found, values[0], rtol=1e-9, atol=1e-9, equal_nan=True)


@pytest.mark.parametrize("name", ["gpt2", "llama"])
def test_a_guard_passes_over_padding_whatever_its_label(name):
    """A query that sees nothing has no attention to keep; its fidelity is NaN, which no promise is about."""
    ids, mask = torch.randint(3, 48, (2, 13), generator=torch.Generator().manual_seed(1)), torch.ones(2, 13).long()
    mask[1, :5] = 0
    labels = Labels(torch.arange(13).expand(2, -1) // 4 % 2)  # padding has labels too
    given = {"input_ids": ids, "attention_mask": mask, "position_ids": (mask.cumsum(-1) - 1).clamp(min=0)}
    for promised, some in ((1e-9, False), (0.999, True)):
        with torch.no_grad(), guarded(network(name), promised, labels, record=True) as misses:
            network(name)(**given)
        assert bool(misses) is some
        assert all(mask[miss.sequence, miss.query] for miss in misses)
        assert np.isfinite([miss.fidelity for miss in misses]).all()


def test_losses_are_those_that_the_model_gives_of_each_document():
    model = network("gpt2")
    texts = [Tokens(torch.randint(3, 48, (1, n)), torch.zeros(1, n, dtype=torch.long), NO_TEXT) for n in (9, 1, 5)]
    with torch.no_grad():
        (batch,) = batches(texts, 3, 0)
        found = losses(model, batch, none=False)
        for at in (0, 2):
            assert found[at] == pytest.approx(
                float(model(input_ids=texts[at].ids, labels=texts[at].ids).loss), rel=1e-6
            )
        assert np.isnan(found[1])  # nothing comes next
        assert np.isnan(losses(model, batch, none=True)).all()


def test_bfloat16_documents_at_once_have_rows_in_float64(text):
    checkpoint = Checkpoint(network("llama").bfloat16(), tokenizer(48), "")
    try:
        dataset, *_ = observe_checkpoint(Request("llama", text, dtype="bfloat16", batch=3), checkpoint)
    finally:
        network.cache_clear()  # it was made bfloat16 in place
    assert dataset["fidelity"].dtype == np.float64
    assert np.isfinite(dataset["fidelity"].values[dataset["valid"].values.astype(bool)]).all()
    assert np.isfinite(dataset["loss_heldout"]).all()


@pytest.mark.parametrize(
    ("more", "said"),
    [({"batch": 0}, "--batch must be at least 1"), ({"batch": 2, "guard": 0.5}, "--batch must be 1 with --guard")],
)
def test_a_batch_that_cannot_be_is_refused_before_anything_is_read(text, more, said):
    with pytest.raises(BadInput, match=said):
        observe_model(Request("nowhere", text, **more))
