"""Labels follow the positions of what a cache holds: windows, static lengths, chunks, layers of both kinds."""

from __future__ import annotations

import math
from functools import cache as once

import pytest
import torch
from small_checkpoints import HEADS, LAYERS, inputs, network

from empirical.checkpoints.contexts import Labels, dial, guarded, observing
from empirical.checkpoints.rules import CheckpointRules, Text, ruled
from empirical.errors import BadInput
from empirical.observe.rows import observe_attention
from empirical.rules.checks import Rule, Selector

hf = pytest.importorskip("transformers")
PROMPT, NEW, WINDOW = 14, 4, 5
BLOCKS = torch.tensor([[0] * 6 + [1] * 7 + [0], [1] * 3 + [0] * 3 + [1] * 8])
LABELS = Labels(BLOCKS, grown=torch.tensor([0, 1]))
STEPS = {"max_new_tokens": NEW, "do_sample": False, "output_logits": True, "return_dict_in_generate": True}
SETTINGS = {"none": {"use_cache": False}, "dynamic": {}, "static": {"cache_implementation": "static"}}
KINDS_OF_LAYERS = {"llama": ("full",) * 2, "mistral": ("sliding",) * 2, "qwen2 of two kinds": ("full", "sliding")}


@pytest.fixture(autouse=True)
def _float64_throughout(monkeypatch):
    """Eager softmax may be taken in float32 whatever the model is; what is compared with here is float64."""
    softmax = torch.nn.functional.softmax
    monkeypatch.setattr(torch.nn.functional, "softmax", lambda x, dim, **_: softmax(x, dim))


def generated(model, ids, how, **more):
    given = {"attention_mask": torch.ones_like(ids), "eos_token_id": None, **STEPS, **SETTINGS[how], **more}
    with torch.no_grad():
        return model.generate(ids, **given)


def all_blocks(length):
    return torch.cat([BLOCKS, LABELS.grown[:, None].expand(-1, length - PROMPT)], 1)


def dense_mask(kind, length, kappa):
    """What a dialled layer adds to its logits: nothing in the block, -kappa off it, -inf where nothing is seen."""
    blocks, place = all_blocks(length), torch.arange(length)
    seen = place <= place[:, None]
    if kind == "sliding":
        seen = seen & (place > place[:, None] - WINDOW)
    off = blocks[:, None, :, None] != blocks[:, None, None, :]
    return torch.where(off, -kappa, 0.0).double().masked_fill(~seen, -math.inf)


@once
def dense(name, kappa, sequences):
    """The plain model without cache, one step after the other, under a mask that holds the dial."""
    kinds, found = KINDS_OF_LAYERS[name], []
    ids = torch.tensor(sequences)
    for length in range(PROMPT, PROMPT + NEW):
        masks = {f"{kind}_attention": dense_mask(kind, length, kappa) for kind in set(kinds)}
        mask = masks if len(masks) > 1 else next(iter(masks.values()))
        with torch.no_grad():
            found.append(network(name)(ids[:, :length], attention_mask=mask, use_cache=False).logits[:, -1])
    return torch.stack(found)


@pytest.mark.parametrize("name", KINDS_OF_LAYERS)
@pytest.mark.parametrize("how", SETTINGS)
@pytest.mark.parametrize("implementation", ["sdpa", "eager"])
def test_a_dial_while_generating_is_that_of_a_dense_mask_whatever_the_cache(name, how, implementation):
    model, ids = network(name, implementation), inputs("llama", tokens=PROMPT)["input_ids"]
    for kappa in (0.7, math.inf):
        with dial(model, kappas=kappa, blocks=LABELS):
            found = generated(model, ids, how)
        truth = dense(name, kappa, tuple(map(tuple, found.sequences.tolist())))
        torch.testing.assert_close(torch.stack(found.logits).double(), truth, rtol=1e-6, atol=1e-6)  # kept in float32


@pytest.mark.parametrize("name", KINDS_OF_LAYERS)
@pytest.mark.parametrize("how", SETTINGS)
@pytest.mark.parametrize("implementation", ["sdpa", "eager"])
def test_rows_of_every_step_are_those_of_the_matrices_without_a_cache(name, how, implementation):
    model, ids = network(name, implementation), inputs("llama", tokens=PROMPT)["input_ids"]
    with observing(model, LABELS) as rows:
        found = generated(model, ids, how)
    whole = found.sequences[:, :-1]
    with torch.no_grad():
        matrices = network(name, "eager")(whole, output_attentions=True, use_cache=False).attentions
    blocks = all_blocks(whole.shape[1])[:, None].expand(-1, HEADS, -1)
    for layer in range(LAYERS):
        weights = matrices[layer].numpy()
        truth = observe_attention(weights, blocks, blocks, kind="weights", visible=weights > 0)
        fields = rows[f"model.layers.{layer}.self_attn"]
        for field in ("n_keys", "n_block", "fidelity", "leakage", "entropy_nats", "valid"):
            mine = fields[field].double()
            torch.testing.assert_close(mine, torch.as_tensor(truth[field][0]).double(), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", KINDS_OF_LAYERS)
@pytest.mark.parametrize("how", ["dynamic", "static"])
def test_a_guard_misses_the_same_rows_with_a_cache_as_without(name, how):
    model, ids, missed = network(name), inputs("llama", tokens=PROMPT)["input_ids"], []
    for each in ("none", how):
        with guarded(model, 0.6, LABELS, record=True) as misses:
            generated(model, ids, each)
        missed.append({(m.layer, m.head, m.sequence, m.query) for m in misses})
    assert missed[0] == missed[1]
    assert {query for *_, query in missed[0]} & set(range(PROMPT, PROMPT + NEW - 1))


def held(layer_types, steps, static):
    """Keys filled with their own positions, as each layer returns them; the positions that are derived from it."""
    from empirical.checkpoints.positions import first_positions

    config = hf.LlamaConfig(num_hidden_layers=len(layer_types), layer_types=list(layer_types))
    config.sliding_window = config.attention_chunk_size = WINDOW
    cache = hf.StaticCache(config=config, max_cache_len=20) if static else hf.DynamicCache(config=config)
    seen = 0
    for new in steps:
        keys = torch.arange(seen, seen + new, dtype=torch.float64)[None, None, :, None]
        for layer in range(len(layer_types)):
            found, _ = cache.update(keys, keys, layer)
            query, key = first_positions("here", "self", cache, layer, new, found.shape[2])
            yield found[0, 0, :, 0], key, seen + new, query, seen
        seen += new


@pytest.mark.parametrize("static", [False, True])
@pytest.mark.parametrize("steps", [(3, 1, 1, 1, 1, 1), (9, 1, 1), (2, 2, 4, 3, 1), (4, 7, 1), (5, 1), (1,) * 8])
@pytest.mark.parametrize("layers", [("full_attention", "sliding_attention"), ("chunked_attention",)])
def test_positions_are_those_that_the_cache_holds(layers, steps, static):
    for found, key, length, query, seen in held(layers, steps, static):
        assert query == seen
        written = [p for p in range(key, key + len(found)) if p < length]
        assert found[: len(written)].tolist() == written
        assert written[-1] == length - 1
        assert not found[len(written) :].any()  # a static cache, not yet full


def test_a_cache_whose_positions_cannot_be_known_is_refused_by_name():
    class Evicting(hf.cache_utils.DynamicLayer):
        def update(self, keys, values, *_, **more):
            held = super().update(keys, values, **more)
            self.keys, self.values = (torch.cat([x[:, :, :2], x[:, :, -3:]], 2) for x in held)
            return held

    model, ids = network("llama"), inputs("llama", tokens=PROMPT)["input_ids"]
    cache = hf.cache_utils.Cache(layers=[Evicting() for _ in range(LAYERS)])
    words = r"cache must be of layers whose positions are known \(.*\), got Evicting"
    with pytest.raises(BadInput, match=words), torch.no_grad(), observing(model, LABELS):
        model(ids, **{cached_as(model): cache})


def cached_as(model):
    import inspect

    return (
        "cache"
        if "cache" in inspect.signature(model.model.layers[0].self_attn.forward).parameters
        else ("past_key_values")
    )


def test_keys_beyond_the_queries_without_a_cache_are_refused_by_name():
    model, ids = network("llama"), inputs("llama", tokens=PROMPT)["input_ids"]
    words = "keys must be those of the queries without a cache, got 15 keys for 14"
    with pytest.MonkeyPatch.context() as patch:
        longer = lambda query, key, *_: (query, torch.nn.functional.pad(key, (0, 0, 1, 0)))  # noqa: E731
        patch.setattr("transformers.models.llama.modeling_llama.apply_rotary_pos_emb", longer)
        with pytest.raises(BadInput, match=words), torch.no_grad(), observing(model, LABELS):
            model(ids, use_cache=False)


@pytest.mark.parametrize("name", ["bart", "t5"])
def test_cross_attention_takes_a_query_s_block_from_its_own_position(name):
    """A decoder's prompt of two blocks: with a cache a step is one query, and not the first one."""
    model, given = network(name), inputs(name, tokens=PROMPT)
    labels = Labels(torch.tensor([[0, 1, 1, 0], [1, 1, 0, 1]]), keys=BLOCKS, grown=torch.tensor([1, 0]))
    found = []
    for how in ("none", "dynamic", "static"):
        with dial(model, 0.9, blocks=labels, kinds=("self", "encoder", "cross")):
            more = {"decoder_input_ids": given["decoder_input_ids"][:, :4]}
            found.append(torch.stack(generated(model, given["input_ids"], how, **more).logits))
    for other in found[1:]:
        torch.testing.assert_close(other, found[0], rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("name", KINDS_OF_LAYERS)
def test_a_rule_acts_on_the_words_that_the_cache_holds(name):
    words = tuple("cat" if place % 3 else "dog" for place in range(PROMPT))
    rule = Rule("cats for dogs", Selector(words=("dog",)), Selector(words=("cat",)), strength=3.0, mass=0.5)
    every = Rule("dogs for all", Selector(), Selector(words=("dog",)), strength=2.0, mass=0.1)
    book, text = CheckpointRules((rule, every), ("a", "b")), Text(words, BLOCKS[0].numpy())
    model, ids, found = network(name), inputs("llama", tokens=PROMPT, batch=1)["input_ids"], []
    for how in SETTINGS:
        with ruled(model, book, text, Labels(BLOCKS[:1], grown=torch.tensor([0]))):
            found.append(torch.stack(generated(model, ids, how).logits))
    plain = torch.stack(generated(model, ids, "none").logits)
    assert not torch.allclose(found[0], plain)
    for other in found[1:]:
        torch.testing.assert_close(other, found[0], rtol=1e-6, atol=1e-6)
