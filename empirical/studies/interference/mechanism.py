"""What tokens outside a block can change of that block's outputs (claims C2, C6).

    dial 1 in every layer:  o_b(x) = o_b(x') bit for bit, where x and x' agree on the tokens of block b
    below:  ||o_b(x) - o_b(x')|| <= D_b(x) + D_b(x'),  D_b = sum_l e_l prod_{k>l} (1 + Lip_k)

With every layer at dial 1 the tokens of a block are a system of their own. So its outputs for x and x' are equal
there, and D_b, the depth sum from that model to the dialled one, bounds how far each of the two can be from them. Norms
are means over the tokens of b of Euclidean norms, before the read-out; e_l is the dialled write less what dial 1 would
write there. Theorems: non_interference, depth_sum. Attention fidelity appears in neither. Not covered: what timing,
length or the choice of blocks tells.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from empirical.dial.changes import Change, dial, steer, turned
from empirical.dial.drift import Trace, depth_rows, depth_sum, given, secants, size
from empirical.laboratory.config import Config
from empirical.laboratory.dialled_pass import run
from empirical.laboratory.model import Layout, Parameters, forward
from empirical.observe.rows import Weigh
from empirical.shapes import Arrays, Bool, Float, Int, plain

BATCH = 64  # sequences a forward: equal shapes, so that equal rows meet equal kernels
BITS = np.array([bin(byte).count("1") for byte in range(256)], dtype=np.int64)


def tokens_of(layout: Layout, block: int) -> Bool[Tensor, "T"]:
    return layout.query_block == block


def replaced(
    tokens: Int[Tensor, "B T"], chosen: Bool[Tensor, "T"], vocabulary: int, generator: torch.Generator
) -> Int[Tensor, "B T"]:
    """Every chosen token changed to another of the vocabulary, uniformly."""
    shift = torch.randint(1, vocabulary, tokens.shape, generator=generator).to(tokens.device)
    return torch.where(chosen, (tokens + shift) % vocabulary, tokens)


def changed_bits(one: Float[np.ndarray, "B *rest"], other: Float[np.ndarray, "B *rest"]) -> Int[np.ndarray, "B"]:
    """Bits in which two sets of floats differ, a sequence; -0 and 0 differ in one."""
    different = np.ascontiguousarray(one).view(np.uint8) ^ np.ascontiguousarray(other).view(np.uint8)
    return BITS[different].reshape(len(one), -1).sum(-1)


def masking(config: Config, layout: Layout) -> Change:
    """The dial at 1 in every layer."""
    return dial(config, layout.in_block, dials=1.0)


def leaking(config: Config, layout: Layout) -> Change:
    """The dial at 1, but one head of the first layer may write the next block's tokens into a block."""
    own, blocks = layout.in_block, config.model.blocks
    wider = own | ((layout.query_block[:, None] + 1) % blocks == layout.key_block)

    def change(layer: int, logits: Float[Tensor, "S H B T N"]) -> Float[Tensor, "S H B T N"]:
        first = (torch.arange(logits.shape[1], device=logits.device) == 0)[:, None, None, None] & (layer == 0)
        kappa = logits.new_full((1,), math.inf)
        return turned(logits, kappa, torch.where(first, wider, own), config.setting.temperature)

    return change


def outputs(
    parameters: Parameters, tokens: Int[Tensor, "B T"], layout: Layout, config: Config, weigh: Weigh, *, stream: bool
) -> Float[Tensor, "B T *features"]:
    """The read-outs of the first setting; `stream`: all that the last layer leaves, K blocks of features a token."""
    seen: list[Tensor] = []
    read = forward(parameters, tokens, layout, config, weigh=weigh, ends=seen.append)[0]
    if not stream:
        return read
    left = seen[0][0]
    if config.model.stream == "localist":  # written as plain zeros elsewhere: a product would leave signs on them
        return torch.where(layout.own > 0, left.unsqueeze(-2), 0.0)
    return left


@torch.no_grad()
def perturbed(
    parameters: Parameters,
    tokens: Int[Tensor, "B T"],
    layout: Layout,
    config: Config,
    weigh: Weigh,
    sequences: int,
    generator: torch.Generator,
    stream: bool = False,
) -> Arrays:
    """Outside tokens replaced at random, for every block and as many sequences each: what changed, (K, sequences).

    What is compared: the read-outs at the tokens of the block, or with `stream` the features of the block at every
    position. `changed_bits` and `bits` count them; `output_change` is the largest absolute change.
    """
    blocks = config.model.blocks
    parts: list[list[Arrays]] = [[] for _ in range(blocks)]
    for base in _batches(tokens, sequences):
        before = outputs(parameters, base, layout, config, weigh, stream=stream)
        for block in range(blocks):
            own = tokens_of(layout, block)
            other = replaced(base, ~own, config.task.vocabulary, generator)
            after = outputs(parameters, other, layout, config, weigh, stream=stream)
            one, two = (x[:, :, block] if stream else x[:, own] for x in (before, after))
            parts[block].append(
                {
                    "changed_bits": changed_bits(plain(one), plain(two)),
                    "bits": np.full(len(base), one[0].numel() * one.element_size() * 8),
                    "perturbed_tokens": plain(((other != base) & ~own).sum(-1)),
                    "output_change": plain((one - two).abs().flatten(1).amax(-1)),
                }
            )
    return {key: np.stack([np.concatenate([p[key] for p in mine])[:sequences] for mine in parts]) for key in BITWISE}


BITWISE = ("changed_bits", "bits", "perturbed_tokens", "output_change")


def _batches(tokens: Int[Tensor, "B T"], sequences: int) -> Iterator[Tensor]:
    """Whole batches of given sequences, again and again, until there are enough."""
    batch = min(BATCH, sequences)
    for start in range(0, sequences, batch):
        yield tokens[(start + torch.arange(batch, device=tokens.device)) % len(tokens)]


@dataclass(frozen=True)
class Pair:
    """Two sets of sequences that agree on a block, dialled alike, and the block's system at dial 1."""

    isolated: Trace
    one: Trace
    other: Trace

    def change(self) -> Float[np.ndarray, "B"]:
        """||o_b(x) - o_b(x')||"""
        return plain(size(self.one.states[-1] - self.other.states[-1]))

    def bound(self) -> Float[np.ndarray, "B"]:
        """D_b(x) + D_b(x')"""
        return sum((depth_sum(t, secants(self.isolated, t)) for t in (self.one, self.other)), np.zeros(()))

    def rows(self) -> Arrays:
        """Fields of `depth_sum`, (2, B): each of the two against the block's own system."""
        both = [depth_rows(self.isolated, trace) for trace in (self.one, self.other)]
        return {key: np.stack([rows[key] for rows in both]) for key in both[0]}


def pair_of(
    parameters: Parameters,
    tokens: Int[Tensor, "B T"],
    other: tuple[Parameters, Int[Tensor, "B T"]],
    layout: Layout,
    config: Config,
    kappa: float,
    block: int,
) -> Pair:
    """`other` is the same model with other outside tokens, or other embeddings of them; kappa = -ln(1 - dial)."""
    own, layers = tokens_of(layout, block), config.model.layers

    def traced(parameters: Parameters, tokens: Tensor, kappa: float) -> Trace:
        return run(parameters, tokens, layout, config, given([kappa] * layers), original=math.inf).on(own)

    return Pair(traced(parameters, tokens, math.inf), traced(parameters, tokens, kappa), traced(*other, kappa))


def embedded_apart(parameters: Parameters, tokens: Int[Tensor, "B T"]) -> tuple[Parameters, Int[Tensor, "B T"]]:
    """The first setting with an embedding of its own for every token of every sequence: what an attacker may turn."""
    table = parameters["embedding"][0][tokens].flatten(0, 1).unsqueeze(0)
    return {**parameters, "embedding": table}, torch.arange(tokens.numel(), device=tokens.device).view(tokens.shape)


def gradient(
    parameters: Parameters, tokens: Int[Tensor, "B T"], layout: Layout, config: Config, weigh: Weigh, block: int
) -> Float[Tensor, "B T d"]:
    """Of a random combination of the block's read-outs in every token's embedding: how much each can change them."""
    apart, index = embedded_apart(parameters, tokens)
    table = apart["embedding"].requires_grad_()
    read = forward(apart, index, layout, config, weigh=weigh)[0][:, tokens_of(layout, block)]
    direction = torch.randn(read.shape, generator=torch.Generator().manual_seed(block), dtype=torch.float64)
    (found,) = torch.autograd.grad((read * direction.to(read)).sum(), table)
    return found[0].view(*tokens.shape, -1)


def attack(
    parameters: Parameters,
    tokens: Int[Tensor, "B T"],
    layout: Layout,
    config: Config,
    kappa: float,
    block: int,
    steps: int,
    generator: torch.Generator,
    rate: float = 0.3,
) -> tuple[Parameters, Int[Tensor, "B T"]]:
    """Gradient ascent (Adam) on the change of the block's outputs, over the embeddings of the tokens outside.

    It starts from random tokens and returns the largest change met, sequence by sequence, as `embedded_apart` does.
    What the first layer reads is normalised, so that embeddings of any size stay on one sphere.
    """
    own, weigh = (
        tokens_of(layout, block),
        steer(config.setting.temperature, dial(config, layout.in_block, kappas=kappa)),
    )

    def left(parameters: Parameters, tokens: Tensor) -> Tensor:
        seen: list[Tensor] = []
        forward(parameters, tokens, layout, config, weigh=weigh, ends=seen.append)
        return seen[0][0][:, own]

    with torch.no_grad():
        aim = left(parameters, tokens)
    apart, index = embedded_apart(parameters, replaced(tokens, ~own, config.task.vocabulary, generator))
    held = own.expand(tokens.shape).reshape(-1, 1)  # the block's own tokens stay as they are
    start = apart["embedding"]
    leaf = start.clone().requires_grad_()
    best, most = start.clone(), torch.full((len(tokens),), -1.0, dtype=start.dtype, device=start.device)
    adam = torch.optim.Adam([leaf], lr=rate)
    for _ in range(steps + 1):
        change = size(left({**apart, "embedding": torch.where(held, start, leaf)}, index) - aim)
        with torch.no_grad():
            better = (change > most).repeat_interleave(tokens.shape[1]).unsqueeze(-1)
            best = torch.where(better & ~held, leaf, best)
            most = torch.maximum(most, change)
        adam.zero_grad()
        (-change.sum()).backward()
        adam.step()
    return {**apart, "embedding": best.detach()}, index
