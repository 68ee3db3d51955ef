"""Cases for the canaries: a small model of every architecture, run call by call by every cache, padded or not."""

from __future__ import annotations

from contextlib import contextmanager, nullcontext
from functools import cache as once
from itertools import product
from typing import NamedTuple

import pytest
import torch
from small_checkpoints import LAYERS, VOCABULARY, architecture_of, cached_as, network
from small_checkpoints import ROWS as MODELS

from empirical.checkpoints import attach
from empirical.checkpoints.architecture import CACHES, Task
from empirical.checkpoints.architectures import ARCHITECTURES
from empirical.checkpoints.contexts import Labels, dial, guarded, observing
from empirical.checkpoints.rules import CheckpointRules, Text, ruled
from empirical.rules.checks import Rule, Selector

PROMPT, LENGTH, ROOM, WINDOW, FUTURE = 10, 12, 16, 5, 10
CUTS = (9, 11, 12)  # of the sequence into calls: more tokens than the window, several, one
PADS = {"no": {}, "left and right": {1: slice(0, 3), 2: slice(8, 10)}}  # of the second and the third prompt
DIAL, (SYSTEM, USER, TOOL, TAGS) = 0.7, range(4)
BLOCKS = torch.tensor(
    [[3, 0, 0, 1, 2, 2, 1, 2, 0, 1, 2, 1], [3, 1, 1, 1, 0, 1, 2, 2, 0, 1, 1, 0], [3, 2, 1, 1, 0, 0, 2, 1, 1, 1, 0, 1]]
)  # the last token of each prompt is the user's, padded or not: the first new token is read from it
BATCH, GROWN = len(BLOCKS), torch.full((len(BLOCKS),), USER)
RELATIONS = {"": {}, " with kept tags": {"sees": {(USER, SYSTEM)}, "kept": {TAGS}}}  # both closed along the layers
ROWS = (*(name for name in ARCHITECTURES), "qwen2 of two kinds", "llama with kept tags", "bert with kept tags")
WORDS = tuple("cat" if place % 3 else "dog" for place in range(LENGTH))
RULE = Rule("cats for dogs", Selector(words=("dog",)), Selector(words=("cat",)), strength=3.0, mass=0.5)
BOOK, TEXT = CheckpointRules((RULE,), ("system", "user", "tool", "tags")), Text(WORDS, BLOCKS[0].numpy())


class Case(NamedTuple):
    row: str
    implementation: str
    cache: str
    padding: str

    @property
    def model(self):
        return network(self.row.removesuffix(" with kept tags"), self.implementation)

    @property
    def architecture(self):
        return architecture_of(self.row)

    @property
    def relation(self):
        return RELATIONS[" with kept tags" if self.row.endswith(" with kept tags") else ""]

    @property
    def both(self):
        return self.architecture.task is Task.SEQUENCE_TO_SEQUENCE

    @property
    def kept(self):
        """Which tokens are no padding."""
        found = torch.ones(BATCH, LENGTH, dtype=torch.bool)
        for sequence, places in PADS[self.padding].items():
            found[sequence, places] = False
        return found

    @property
    def blocks(self):
        """Padding on the left is of no block; that on the right is the user's, whose first token is read from it."""
        blocks = BLOCKS.clone()
        for sequence, places in PADS[self.padding].items():
            blocks[sequence, places] = -1 if places.start == 0 else USER
        return blocks

    def labels(self, length=LENGTH, decoder=None):
        """Of the first tokens; those of a decoder are labelled as the encoder's unless they are told."""
        blocks = self.blocks[:, :length]
        own = blocks if decoder is None else decoder
        return Labels(own, keys=blocks if self.both else None, grown=GROWN, **self.relation)


EVERY = [Case(*one) for one in product(ROWS, ("sdpa", "eager"), CACHES, PADS)]


def refusal(case):
    """Why a combination cannot be, or nothing."""
    if case.implementation not in case.architecture.implementations:
        return "model must attend by 'eager' where its logits are capped"
    if case.cache not in case.architecture.caches:
        return "cache must not be given to a model that sees both ways, got .*Cache"
    return None


def windowed(case):
    """Whether a sliding cache is the model's own."""
    return case.cache == "sliding" and "sliding_window" in MODELS.get(case.row, ())


def quick(case):
    """A quarter of a row's cases, or what it has of one cache alone; any two of row, implementation, cache and padding
    that there are together meet in one of these."""
    architecture, at = case.architecture, ROWS.index(case.row)
    cache, padding = CACHES.index(case.cache), list(PADS).index(case.padding)
    implementation = ("sdpa", "eager").index(case.implementation)
    alone = len(architecture.implementations) == 1 or implementation == (at + cache) % 2
    return len(architecture.caches) == 1 or (alone and padding == (at + cache // 2) % 2)


GREEN, REFUSED = ([case for case in EVERY if (refusal(case) is None) == green] for green in (True, False))


def seen(case):
    """By hand: whether a query of USER may see each token."""
    allowed = {key for query, key in case.relation.get("sees", ()) if query == USER} | {USER}
    return torch.isin(case.blocks, torch.tensor(sorted(allowed | set(case.relation.get("kept", ())))))


def tokens(case, variant):
    """The tokens of both sequences, and others where something hidden is to move."""
    ids = torch.randint(3, VOCABULARY, (BATCH, LENGTH), generator=torch.Generator().manual_seed(0))
    place = torch.arange(LENGTH).expand(BATCH, -1)
    moved = {"future": place == FUTURE, "padding": ~case.kept, "foreign": ~seen(case)}.get(variant, place < 0)
    return torch.where(moved, (ids + 5) % (VOCABULARY - 3) + 3, ids)


def a_cache(case, longest):
    """Of the model's own kinds of layers, or of one kind throughout; what a static one has not written is poison."""
    if case.cache == "no":
        return None
    import transformers

    config = case.model.config
    if case.cache == "dynamic":
        mine = transformers.DynamicCache()
    elif case.cache == "static":
        mine = transformers.StaticCache(config=config, max_cache_len=ROOM)
        for layer in mine.layers:
            layer.lazy_initialization = poisoned(layer)
    elif windowed(case):
        mine = transformers.DynamicCache(config=config)
    else:
        kind = transformers.cache_utils.DynamicSlidingWindowLayer
        mine = transformers.cache_utils.Cache(layers=[kind(sliding_window=WINDOW) for _ in range(LAYERS)])
    if not case.both:
        return mine
    static = case.cache == "static"
    cross = transformers.StaticCache(config=config, max_cache_len=longest) if static else transformers.DynamicCache()
    return transformers.EncoderDecoderCache(mine, cross)


def poisoned(layer):
    whole = layer.lazy_initialization

    def initialised(keys, values):
        whole(keys, values)
        layer.keys.fill_(1e3)
        layer.values.fill_(-1e3)

    return initialised


def run(case, variant="as they are"):
    """The logits of every token, call by call."""
    model, held, found, start = case.model, a_cache(case, LENGTH), [], 0
    ids, encoded, read = tokens(case, variant), {}, tokens(case, variant if variant == "padding" else "as they are")
    mask, name = case.kept.long(), "decoder_" if case.both else ""
    for stop in CUTS if case.cache != "no" else CUTS[-1:]:
        more = {"input_ids": read, "attention_mask": mask, **encoded} if case.both else {}
        more |= {f"{name}input_ids": ids[:, start:stop], f"{name}attention_mask": mask[:, :stop]}
        if held is not None:
            more |= {cached_as(model): held, "use_cache": True}
        elif case.architecture.causal:
            more["use_cache"] = False
        with torch.no_grad():
            out = model(**more)
        found.append(out.logits)
        if case.both:
            read, encoded = None, {"encoder_outputs": (out.encoder_last_hidden_state,)}
        start = stop
    return torch.cat(found, 1)


@once
def observed(case, value, variant="as they are"):
    """Logits and rows at a dial."""
    model, labels, kinds = case.model, case.labels(), case.architecture.kinds
    with dial(model, value, blocks=labels, kinds=kinds), observing(model, labels, kinds=kinds) as rows:
        logits = run(case, variant)
    return logits, rows.rows


@contextmanager
def cut(case, labels, guard):
    """At dial 1, under a rule that raises what it cuts, and a guard that allows of no leakage."""
    model, kinds = case.model, case.architecture.kinds
    watched = guarded(model, 1.0, labels, kinds=kinds) if guard else nullcontext()
    with dial(model, 1.0, blocks=labels, kinds=kinds), ruled(model, BOOK, TEXT, labels), watched:
        yield


def generated(case, variant):
    """Logits of a block that sees its own at dial 1, while it is generated where the model generates."""
    model, ids, guard = case.model, tokens(case, variant), variant == "as they are"
    if not case.architecture.causal:
        labels = case.labels()
        with torch.no_grad(), cut(case, labels, guard):
            return model(input_ids=ids, attention_mask=case.kept.long()).logits[labels.tokens == USER]
    labels = case.labels(PROMPT, GROWN[:, None] if case.both else None)
    held = a_cache(case, PROMPT)
    more = {"use_cache": False} if held is None else {cached_as(model): held}
    with torch.no_grad(), cut(case, labels, guard):
        found = model.generate(
            ids[:, :PROMPT],
            attention_mask=case.kept[:, :PROMPT].long(),
            max_new_tokens=LENGTH - PROMPT,
            do_sample=False,
            eos_token_id=None,
            output_logits=True,
            return_dict_in_generate=True,
            **more,
        )
    return torch.stack(found.logits)


def may_see(case, queries, keys):
    """By hand: whether queries of these blocks may see keys of those."""
    pairs, kept = case.relation.get("sees", ()), case.relation.get("kept", ())
    rows = [[[q < 0 or q == k or (q, k) in pairs or k in kept for k in b] for q in a] for a, b in zip(queries, keys)]
    return torch.tensor(rows)


def weights(function, module, query, key, value, mask, **given):
    """(B, H, T, N): those that a kernel itself gives, read through values that say where they stand."""
    found = []
    for places in torch.eye(key.shape[2], dtype=value.dtype).split(value.shape[3], 1):
        each = torch.zeros_like(value)
        each[..., : places.shape[1]] = places
        found.append(function(module, query, key, each, mask, **given)[0][..., : places.shape[1]].transpose(1, 2))
    return torch.cat(found, -1)


@contextmanager
def kernels():
    """Inside, what every attention gives each key before anything is added to its logits, and what it is given."""
    whole, function, before, after = attach._attend, attach._function, {}, {}

    def attend(original, module, *states, **given):
        before.setdefault(id(module), []).append(weights(function(original, module), module, *states, **given))
        return whole(original, module, *states, **given)

    def used(original, module):
        def base(module, *states, **given):
            after.setdefault(id(module), []).append(weights(function(original, module), module, *states, **given))
            return function(original, module)(module, *states, **given)

        return base

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(attach, "_attend", attend)
        patch.setattr(attach, "_function", used)
        yield before, after
