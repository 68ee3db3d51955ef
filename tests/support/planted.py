"""Attention whose prices are known by hand, as problems of gates: layers of given queries, keys and values."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from empirical.gates.groups import Groups, grouped
from empirical.gates.merge import Pairs, attend, gates_of_rows
from empirical.gates.problem import Layer, Problem, Reading
from empirical.observe.streaming import causal


@dataclass(frozen=True)
class Heads:
    """One layer: queries, keys and values (H, d, E), outputs (H, E, d), of a stream of width d."""

    query: Tensor
    key: Tensor
    value: Tensor
    output: Tensor


def planted(
    states: Tensor,
    blocks: Tensor,
    layers: list[Heads],
    loss_of: Callable[[Tensor], Tensor],
    groups: Groups | tuple[str, ...] = ("layer", "head"),
) -> Problem:
    """Causal attention layers that add to the stream (B, T, d); `loss_of` gives (B,) of the last one's states."""
    tokens, heads = states.shape[1], len(layers[0].query)
    made = groups if isinstance(groups, Groups) else grouped(len(layers), heads, int(blocks.max()) + 1, groups)

    def read(number: int, gates: Tensor, *, keep: bool = False, leakage: bool = True) -> Reading:
        x = states.clone().requires_grad_(keep)
        kept, leaks, rows = [], [], []
        for number_of_layer, layer in enumerate(layers):
            query, key, value = (torch.einsum("btd,hde->bhte", x, w) for w in (layer.query, layer.key, layer.value))
            pairs = Pairs(query, key, value, blocks, blocks, 1.0, visible=causal(tokens, tokens))
            class_of, numbers = made.classes(number_of_layer)
            output, leak = attend(pairs, class_of, gates_of_rows(gates[:, numbers], blocks))
            output = output.transpose(1, 2).contiguous()
            kept.append(Layer(number_of_layer, pairs, output))
            leaks.append(leak.sum(-1))
            rows.append(pairs.gated().expand(leak.shape).sum(-1).double())
            x = x + torch.einsum("bthe,hed->btd", output, layer.output)
        told = torch.stack(leaks, 1), torch.stack(rows, 1)
        return Reading(loss_of(x), torch.ones(len(states)).double(), *told, tuple(kept) if keep else ())

    return Problem(made, (len(states),), read)


A, B, ASK, NOTE, COPIED, WASTE, ONE, WIDTH = range(8)
"""Features of the stream; what is written to WASTE nothing reads."""
Head = tuple[Tensor, Tensor, Tensor, Tensor]


def head(query: dict[int, float], key: dict[int, float], value: int, to: int) -> Head:
    """A head of one feature: logit = (query . x_i)(key . x_j), what it reads of x_j and where it writes that."""
    q, k, v, o = (torch.zeros(WIDTH, 1, dtype=torch.float64) for _ in range(4))
    for part, given in ((q, query), (k, key), (v, {value: 1.0}), (o, {to: 1.0})):
        for feature, size in given.items():
            part[feature] = size
    return q, k, v, o.T


def layer(*heads: Head) -> Heads:
    return Heads(*(torch.stack(parts) for parts in zip(*heads)))


def stream(*features: int) -> Tensor:
    """(1, T, d): one feature a token, and ONE."""
    states = torch.zeros(1, len(features), WIDTH, dtype=torch.float64)
    states[0, range(len(features)), list(features)] = 1
    states[..., ONE] = 1
    return states


def induction(own: float, other: float, groups: Groups | tuple[str, ...] = ("layer", "head")) -> Problem:
    """Tokens A B ASK in blocks 0 1 0: a head of B notes the A before it, a head of ASK finds B by that note.

    a = s_1 e^own/(1 + s_1 e^own) is noted at B, 1 at A (and taken off again), 1/(2 + s_1) at ASK; the loss is 1 - o,
    o = s_2 e^(other a)/(1 + e^(other/(2 + s_1)) + s_2 e^(other a)). Two more heads write what none reads.
    """
    first = layer(head({B: own}, {A: 1.0}, A, NOTE), head({ONE: 0.7}, {B: 1.0}, ONE, WASTE))
    second = layer(head({ONE: 0.3}, {A: 1.0}, B, WASTE), head({ASK: other}, {NOTE: 1.0, A: -1.0}, B, COPIED))
    states, blocks = stream(A, B, ASK), torch.tensor([[0, 1, 0]])
    return planted(states, blocks, [first, second], lambda x: 1 - x[:, 2, COPIED], groups)


def twins(odds: float) -> Problem:
    """Two heads that read the same: with either open the loss is e^-20 o, with both e^-40 o."""
    both = layer(*(head({B: odds}, {A: 1.0}, A, COPIED) for _ in range(2)))
    return planted(stream(A, B), torch.tensor([[0, 1]]), [both], lambda x: (-20 * x[:, 1, COPIED]).exp())


def indifferent() -> Problem:
    """Whatever a head attends to, it reads the same."""
    both = [layer(head({B: 1.0}, {A: 1.0}, ONE, COPIED), head({A: 2.0}, {B: 1.0}, ONE, COPIED)) for _ in range(2)]
    states, blocks = stream(A, B, A, B), torch.tensor([[0, 1, 0, 1]])
    return planted(states, blocks, both, lambda x: (x[..., COPIED] * x[..., A]).sum(-1).sin())


def documents(
    count: int = 5,
    tokens: int = 12,
    width: int = 4,
    heads: int = 3,
    groups: tuple[str, ...] = ("layer", "head"),
    sharp: float = 1.0,
) -> Problem:
    """Three layers of random heads, documents of three blocks and tokens in none; `sharp` times their logits."""
    random = torch.Generator().manual_seed(0)

    def draw(*shape: int) -> Tensor:
        return 0.4 * torch.randn(*shape, generator=random, dtype=torch.float64)

    layers = [Heads(*(draw(heads, width, 3) for _ in range(3)), draw(heads, 3, width)) for _ in range(3)]
    layers = [replace(layer, query=sharp * layer.query) for layer in layers]
    blocks = torch.randint(-1, 3, (count, tokens), generator=random)
    read_out = draw(width)
    return planted(draw(count, tokens, width), blocks, layers, lambda x: (x @ read_out).sin().sum(-1), groups)
