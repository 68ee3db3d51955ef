"""Checkpoints: streamed rows are those of the matrices, the dial is exact, nothing leaks, the model stays as it was."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from small_checkpoints import FAMILIES, HEADS, LAYERS, architecture_of, implementations, inputs, network, of_task

from bounds.theorems import Verdict, by_key
from empirical.check.verdicts import check
from empirical.checkpoints.architecture import Task
from empirical.checkpoints.attach import places_of, routed
from empirical.checkpoints.call import Call
from empirical.checkpoints.contexts import Labels, dial, in_block, observing
from empirical.errors import BadInput
from empirical.observe.rows import observe_attention
from empirical.observe.streaming import causal, entropy_and_leakage, everything, stream_rows

pytest.importorskip("transformers")
BOTH = of_task(Task.SEQUENCE_TO_SEQUENCE)
EVERY = tuple(FAMILIES)
DIMS = ("layer", "sequence", "head", "query")
KINDS = {name: architecture_of(name).kinds for name in EVERY}


@pytest.fixture(autouse=True)
def _float64_throughout(monkeypatch):
    """Eager softmax may be taken in float32 whatever the model is; the matrices compared with here are float64."""
    softmax = torch.nn.functional.softmax
    monkeypatch.setattr(torch.nn.functional, "softmax", lambda x, dim, **_: softmax(x, dim))


def blocks(tokens, batch=2):
    return (torch.arange(tokens) // 3 % 2).expand(batch, tokens)


def labels(name, given):
    tokens = given["input_ids"].shape[1]
    if name in BOTH:
        return Labels(blocks(given["decoder_input_ids"].shape[1]), keys=blocks(tokens))
    return Labels(blocks(tokens))


def windowed(name):
    """The layers in which a query sees a window alone."""
    types = getattr(network(name).config, "layer_types", None) or ()
    return {layer for layer, kind in enumerate(types) if kind == "sliding_attention"}


@torch.no_grad()
def run(model, given, **more):
    return model(**given, **more)


def matrices(found, kind):
    names = {"self": ("decoder_attentions", "attentions"), "encoder": ("encoder_attentions",)}
    for name in names.get(kind, ("cross_attentions",)):
        if getattr(found, name, None) is not None:
            return getattr(found, name)
    raise AssertionError(kind)


@pytest.mark.parametrize("name", EVERY)
@pytest.mark.parametrize("padded", [False, True])
def test_streamed_rows_are_those_of_the_matrices(name, padded):
    given = inputs(name)
    if padded:
        given["attention_mask"] = torch.ones_like(given["input_ids"])
        given["attention_mask"][1, 12:] = 0
    whole = run(network(name, "eager"), given, output_attentions=True)
    known = labels(name, given)
    with observing(network(name), known, kinds=KINDS[name]) as rows:
        run(network(name), given)
    assert len(rows.rows) == LAYERS * len(KINDS[name])
    for place, (kind, layer) in rows.calls.items():
        weights = matrices(whole, kind)[layer].numpy()
        of_keys = known.keys if kind != "self" and known.keys is not None else known.tokens
        of_queries = known.keys if kind == "encoder" else known.tokens
        expected = observe_attention(
            weights, of_queries[:, None].expand(-1, HEADS, -1), of_keys[:, None].expand(-1, HEADS, -1), n_anchors=1,
            kind="weights", visible=weights > 0,
        )  # fmt: skip
        for field in ("entropy_nats", "fidelity", "leakage", "margin", "logit_range", "n_keys", "n_block", "valid"):
            np.testing.assert_allclose(
                rows[place][field].numpy().astype(float), expected[field][0].astype(float), rtol=1e-10, atol=1e-10
            )
    assert not rows.unknown


@pytest.mark.parametrize("implementation", ["sdpa", "eager"])
def test_an_error_inside_a_dial_leaves_the_model_as_it_was(implementation):
    model, given = network("gpt2", implementation), inputs("gpt2")
    plain = run(model, given).logits
    with pytest.raises(ZeroDivisionError), dial(model, 0.9, blocks=blocks(16)):
        1 / int(torch.equal(run(model, given).logits, plain))
    assert model.config._attn_implementation == implementation
    assert torch.equal(run(model, given).logits, plain)


@pytest.mark.parametrize("name", EVERY)
@pytest.mark.parametrize("value", [0.3, 0.9, 1.0])
def test_the_odds_law_holds_in_the_weights_that_the_model_uses(name, value):
    """Eager attention returns its weights; with one layer dialled, its inputs are those of the plain model."""
    model, given = network(name, "eager"), inputs(name)
    known = labels(name, given)
    for kind in KINDS[name]:
        for layer in range(LAYERS):
            cells = np.zeros((LAYERS, HEADS))
            cells[layer] = value
            with observing(model, known, kinds=(kind,), layers=(layer,)) as rows:
                run(model, given)
            with dial(model, cells, blocks=known, kinds=(kind,)):
                weights = matrices(run(model, given, output_attentions=True), kind)[layer]
            (place,) = rows.rows
            of_keys = known.keys if kind != "self" and known.keys is not None else known.tokens
            outside = ~in_block(known.keys if kind == "encoder" else known.tokens, of_keys)
            law = {k: v.numpy() for k, v in rows[place].items()}
            law |= {"leakage_dialled": (weights * outside).sum(-1).numpy(), "dial": np.array(value)}
            outcome = check(by_key("odds_law"), {**law, "temperature": np.ones(1)}, DIMS[1:])
            assert outcome.verdict is Verdict.HOLDS
            assert outcome.counts[Verdict.HOLDS] >= 0.5 * outcome.rows


@pytest.mark.parametrize(("name", "implementation"), implementations(*EVERY))
@pytest.mark.parametrize("kappa", [0.4, 30.0, math.inf])
def test_a_dialled_output_is_that_of_a_dense_reference(name, implementation, kappa):
    model, given = network(name, implementation), inputs(name)
    given["attention_mask"] = torch.ones_like(given["input_ids"])
    given["attention_mask"][1, 12:] = 0
    known, kinds, compared = labels(name, given), KINDS[name], []
    if windowed(name):  # a query of padding sees no key of its block, and dial 1 would leave it none
        known.tokens = known.tokens.where(given["attention_mask"] == 1, -1)
    import empirical.checkpoints.attach as module

    whole = module._function

    def watched(base, place):
        function = whole(base, place)

        def attend(module, query, key, value, mask, **rest):
            out = function(module, query, key, value, mask, **rest)
            compared.append((query, key, value, rest, out[0], place))
            return out

        return attend

    calls = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_function", watched)
        with (
            routed(model, watch=lambda call, _: calls.append(call)),
            dial(model, kappas=kappa, blocks=known, kinds=kinds),
        ):
            run(model, given)
    assert len(calls) == len(compared) == LAYERS * len(kinds)
    for call, (query, key, value, rest, out, _) in zip(calls, compared):
        repeats = query.shape[1] // key.shape[1]
        logits = query @ key.repeat_interleave(repeats, 1).mT * call.scaling
        if rest.get("softcap") is not None:
            logits = rest["softcap"] * (logits / rest["softcap"]).tanh()
        if rest.get("position_bias") is not None:
            logits = logits + rest["position_bias"]
        logits = torch.where(in_block(*known.of(call)), logits, logits - kappa)
        logits = logits.masked_fill(~call.visible(0, query.shape[2]), -math.inf)
        dense = logits.softmax(-1) @ value.repeat_interleave(repeats, 1)
        seen = logits.isfinite().any(-1)
        torch.testing.assert_close(out.transpose(1, 2)[seen], dense[seen], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("size", [1, 3, 40, 128])
@pytest.mark.parametrize("implementation", ["sdpa", "eager"])
def test_any_head_size_has_the_bias_of_the_right_sign_and_scale(size, implementation):
    """The dialled pass of one layer against its matrices by hand: softmax(scaling q.k - kappa off the block)."""
    from transformers import GPT2Config, GPT2Model

    torch.manual_seed(size)
    shape = {"n_layer": 1, "n_head": 2, "n_embd": 2 * size, "n_positions": 16, "vocab_size": 48}
    model = GPT2Model(GPT2Config(**shape, attn_implementation=implementation)).double().eval()
    known, kappa, given = blocks(16), 1.7, inputs("gpt2")
    calls, outputs = [], []
    attention = model.h[0].attn
    hook = attention.c_proj.register_forward_pre_hook(lambda _, seen: outputs.append(seen[0]))
    with dial(model, kappas=kappa, blocks=known), routed(model, watch=lambda call, _: calls.append(call)):
        run(model, given)
    hook.remove()
    (call,), (output,) = calls, outputs
    with torch.no_grad():
        value = attention.c_attn(model.h[0].ln_1(model.wte(given["input_ids"]) + model.wpe.weight)).split(2 * size, 2)[
            2
        ]
        logits = call.query @ call.key.mT * size**-0.5 - kappa * (~in_block(known, known)).double()
        weights = logits.masked_fill(~causal(16, 16)(0, 16), -math.inf).softmax(-1)
        dense = weights @ value.unflatten(-1, (2, size)).transpose(1, 2)
    torch.testing.assert_close(output.unflatten(-1, (2, size)).transpose(1, 2), dense, rtol=1e-12, atol=1e-12)


def test_heads_of_dial_0_are_not_touched():
    model, given = network("gpt2", "eager"), inputs("gpt2")
    known, cells = blocks(16), np.zeros((LAYERS, HEADS))
    cells[0, 1] = 0.9
    plain = run(model, given, output_attentions=True).attentions[0]
    with dial(model, cells, blocks=known):
        turned = run(model, given, output_attentions=True).attentions[0]
    assert torch.equal(turned[:, [0, 2, 3]], plain[:, [0, 2, 3]])
    assert not torch.equal(turned[:, 1], plain[:, 1])


def test_queries_of_no_block_are_neither_dialled_nor_valid():
    model, given = network("gpt2", "eager"), inputs("gpt2")
    known = blocks(16).clone()
    known[:, 4:8] = -1
    plain = run(model, given, output_attentions=True).attentions[0]
    with dial(model, 1.0, blocks=known):
        turned = run(model, given, output_attentions=True).attentions[0]
    assert torch.equal(turned[:, :, 4:8], plain[:, :, 4:8])
    with observing(model, known) as rows:
        run(model, given)
    valid = rows["transformer.h.0.attn"]["valid"]
    assert not valid[:, :, 4:8].any()
    assert valid[:, :, 8:].all()


def test_a_named_block_is_relevant_to_every_query():
    model, given = network("gpt2"), inputs("gpt2")
    with observing(model, Labels(blocks(16), named=0)) as rows:
        run(model, given)
    found = rows["transformer.h.1.attn"]
    assert torch.equal(found["n_block"][0, 0], (blocks(16)[0] == 0).long().cumsum(0))


@pytest.mark.parametrize("name", ["s_aux", "temperature"])
def test_what_is_more_than_a_softmax_is_unknown_by_name(name):
    import empirical.checkpoints.attach as module

    model, given, known = network("llama", "eager"), inputs("llama"), blocks(16)
    whole = module._attend

    def more_than_that(*given, **more):
        return whole(*given, **more, **{name: 30.0})

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_attend", more_than_that)
        with observing(model, known) as rows:
            run(model, given)
        assert rows.unknown == dict.fromkeys(rows.rows, (name,))
        assert not any(fields["valid"].any() for fields in rows.rows.values())
        with (
            pytest.raises(BadInput, match=f"nothing to a dialled row but softmax, got {name}"),
            dial(model, 0.5, blocks=known),
        ):
            run(model, given)


def test_bad_input_is_named():
    model, given = network("gpt2"), inputs("gpt2")
    for arguments, words in (
        ({"dials": 1.2}, r"dials must be in \[0, 1\], got 1.2"),
        ({"kappas": -1.0}, r"kappas must be >= 0 \(inf masks\), got -1"),
        ({}, "dials or kappas must be given, one of the two, got dials=None and kappas=None"),
        ({"dials": 0.5, "kappas": 0.5}, "one of the two, got dials=0.5 and kappas=0.5"),
        ({"dials": np.zeros((1, 2, 4))}, r"dials must be one number or \(layers, heads\) of them, got shape"),
    ):
        with pytest.raises(BadInput, match=words):
            dial(model, **arguments, blocks=blocks(16))
    for value, known, words in (
        (0.5, blocks(12), "must label every token, got 12 labels for 16 tokens"),
        (np.full((2, 3), 0.5), blocks(16), r"dials must be \(layers, 4\) numbers, got shape \(2, 3\)"),
    ):
        with pytest.raises(BadInput, match=words), dial(model, value, blocks=known):
            run(model, given)
    with pytest.raises(BadInput, match=r"model must be of a known architecture .*, got 'Linear'"):
        places_of(torch.nn.Linear(2, 2))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("empirical.checkpoints.attach._attends", lambda module: False)
        with pytest.raises(BadInput, match="must attend through its registry, got a gpt2 that does not"):
            places_of(model)
    assert model.config._attn_implementation == "sdpa"


def random_rows(tokens=24, keys=24, heads=4, groups=2, width=5):
    generator = torch.Generator().manual_seed(0)
    query = torch.randn(2, heads, tokens, width, generator=generator, dtype=torch.float64)
    key = torch.randn(2, groups, keys, width, generator=generator, dtype=torch.float64)
    return query, key, blocks(tokens), blocks(keys)


@pytest.mark.parametrize("entries", [1, 400, 10**9])
@pytest.mark.parametrize("see", [everything, causal(24, 24)])
def test_chunks_change_no_bit(entries, see):
    query, key, own, other = random_rows()
    one = stream_rows(query, key, own, other, scaling=0.4, visible=see)
    two = stream_rows(query, key, own, other, scaling=0.4, visible=see, entries=entries)
    for name, value in one.items():
        torch.testing.assert_close(two[name], value, rtol=1e-13, atol=1e-13, equal_nan=True)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
def test_entropy_and_leakage_have_the_gradients_of_the_dense_ones(dtype):
    query, key, own, other = random_rows()
    see, scale = causal(24, 24), 3.0

    def dense(query, key):
        logits = (query @ key.repeat_interleave(2, 1).mT * scale).masked_fill(~see(0, 24), -math.inf)
        weights = logits.softmax(-1)
        entropy = -(weights * logits.log_softmax(-1).masked_fill(~see(0, 24), 0.0)).sum(-1)
        return entropy, (weights * (own[:, :, None] != other[:, None]).unsqueeze(1)).sum(-1)

    leaves = [x.to(dtype).double().requires_grad_() for x in (query, key)]
    narrow = [x.detach().to(dtype).requires_grad_() for x in leaves]
    found = entropy_and_leakage(*narrow, own, other, scaling=scale, visible=see, entries=500)
    tolerance = {"rtol": 4e3 * torch.finfo(dtype).eps, "atol": 4e2 * torch.finfo(dtype).eps}
    for mine, right in zip(found, dense(*leaves)):
        torch.testing.assert_close(mine.double(), right, **tolerance)
    for name in range(2):
        mine = torch.autograd.grad(found[name].sum(), narrow, retain_graph=True)
        right = torch.autograd.grad(dense(*leaves)[name].sum(), leaves)
        for a, b in zip(mine, right):
            assert a.isfinite().all()
            if dtype in (torch.float64, torch.float32):  # sums of terms of both signs, some ten in size
                torch.testing.assert_close(a.double(), b, rtol=0, atol=1e4 * torch.finfo(dtype).eps)


def test_one_hot_rows_and_rows_that_see_nothing_have_finite_gradients():
    query, key, own, other = random_rows()
    query = (1e3 * query).requires_grad_()
    entropy, leakage = entropy_and_leakage(
        query,
        key,
        own,
        other,
        scaling=1.0,
        visible=lambda start, stop: torch.arange(24) < torch.arange(24)[start:stop, None],
    )
    assert (entropy[:, :, 0] == 0).all()
    assert (leakage[:, :, 0] == 0).all()
    (gradient,) = torch.autograd.grad((entropy + leakage).sum(), query)
    assert gradient.isfinite().all()


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize(("tokens", "keys"), [(3, 5), (4, 4), (1, 5)])
def test_a_call_without_a_mask_sees_what_its_kernel_sees(tokens, keys, causal):
    query, key, value = torch.zeros(1, 1, tokens, 2), torch.zeros(1, 1, keys, 2), torch.eye(keys)[None, None]
    call = Call("a", "self", 0, query, key, 1.0, None, causal, None, ())
    out = torch.nn.functional.scaled_dot_product_attention(query, key, value, is_causal=causal)
    assert torch.equal(call.visible(0, tokens).expand(-1, -1, tokens, -1), out > 0)
    assert torch.equal(call.visible(tokens - 1, tokens).expand(1, 1, 1, -1), out[:, :, -1:] > 0)
