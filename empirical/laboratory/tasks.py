"""What is learned, with known relevant blocks: `blocks`, the exact laboratory, and `topics`, real text.

blocks: L(W) = mean over i of ||o_i - y_i||^2, o_i = sum over j of softmax(q_i^T W k_ij / tau)_j v_ij, given v
    y_i = (1 - cue) * value of the match (own block) + cue * value of the key most like the query in the next block
    grad_{W_bc} L = (1/tau) mean over i of q_i^(b) Cov_{j ~ a_i}(u_ij, k_ij^(c))^T,  u_ij = <2 (o_i - y_i), v_ij>
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from empirical.errors import BadInput
from empirical.laboratory.config import Config
from empirical.laboratory.model import attend
from empirical.laboratory.text import Corpus, block_pattern, heldout_sequences, read_corpus, training_batch
from empirical.shapes import Float, Int

NOISE = 0.3  # of a query around its matching key, before it is made a unit vector


def device_of(config: Config) -> torch.device:
    """The configured device, if this machine has it."""
    name = config.sweep.device
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    present = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if not present[name]:
        usable = " or ".join(repr(n) for n, here in present.items() if here)
        raise BadInput(f"sweep.device must be a device of this machine ({usable}), got {name!r}")
    return torch.device(name)


def dtype_of(config: Config) -> torch.dtype:
    return getattr(torch, config.model.dtype)


@dataclass(frozen=True)
class Retrieval:
    """One batch of the `blocks` task; a query holds features in its own block only, and so does a key."""

    query: Float[Tensor, "N D"]
    keys: Float[Tensor, "N n D"]
    values: Float[Tensor, "N n V"]
    target: Float[Tensor, "N V"]
    query_block: Int[Tensor, "N"]
    key_block: Int[Tensor, "n"]
    blocks: int
    temperature: float

    @property
    def in_block(self) -> Tensor:
        return self.query_block[:, None] == self.key_block

    def logits_and_output(self, forms: Tensor, masked: bool = False) -> tuple[Tensor, Tensor, Tensor]:
        """(N, S, ...): the settings stand where `attend` has queries, all of them seeing the same keys."""
        width = self.query.shape[-1]
        query = (self.query @ forms.reshape(-1, width, width).transpose(0, 1).reshape(width, -1)).unflatten(
            1, (-1, width)
        )
        free = self.in_block[:, None] if masked else None
        return attend(query, self.keys, self.values, self.temperature, free)

    def loss(self, forms: Float[Tensor, "S 1 1 K d K d"], masked: bool = False) -> Float[Tensor, "S"]:
        """Mean squared error of each setting; `masked` hides every key outside the query's block (dial 1)."""
        output = self.logits_and_output(forms, masked)[2]
        return (output - self.target[:, None]).square().sum(-1).mean(0)

    def loss_and_gradient(
        self, forms: Float[Tensor, "S 1 1 K d K d"]
    ) -> tuple[Float[Tensor, "S"], Float[Tensor, "S 1 1 K d K d"]]:
        """The loss and its gradient by the formula above, a third faster than reverse mode."""
        _, weights, output = self.logits_and_output(forms)
        error = output - self.target[:, None]
        centred = error @ self.values.mT - (error * output).sum(-1, keepdim=True)
        covariance = (weights * centred) @ self.keys
        gradient = self.query.mT @ covariance.flatten(1) * (2 / (len(self.query) * self.temperature))
        return error.square().sum(-1).mean(0), gradient.unflatten(1, (len(forms), -1)).transpose(0, 1).reshape(
            forms.shape
        )


def _unit(x: Tensor) -> Tensor:
    return x / x.norm(dim=-1, keepdim=True)


def retrieval(config: Config, generator: torch.Generator) -> Retrieval:
    """A fresh batch from the generator, in float64 on the CPU."""
    blocks, features, queries = config.model.blocks, config.model.d_block, config.task.queries
    m = config.keys_a_block
    float64 = torch.float64

    def randn(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=float64)

    content = _unit(randn(queries, blocks * m, features))
    key_block = torch.arange(blocks * m) // m
    keys = torch.zeros(queries, blocks * m, blocks, features, dtype=float64)
    keys[:, torch.arange(blocks * m), key_block] = content
    values = _unit(randn(queries, blocks * m, 2 * features))
    own = torch.randint(0, blocks, (queries,), generator=generator)
    match = own * m + torch.randint(0, m, (queries,), generator=generator)
    row = torch.arange(queries)
    direction = _unit(content[row, match] + NOISE * randn(queries, features))
    query = torch.zeros(queries, blocks, features, dtype=float64)
    query[row, own] = direction
    other = (own + 1) % blocks
    similar = torch.einsum("qf,qkf->qk", direction, content.view(queries, blocks, m, features)[row, other])
    cue = other * m + similar.argmax(1)
    target = (1 - config.task.cue) * values[row, match] + config.task.cue * values[row, cue]
    return Retrieval(
        query.flatten(1), keys.flatten(2), values, target, own, key_block, blocks, config.setting.temperature
    )


@dataclass(frozen=True)
class Blocks:
    """The fixed full batch of a seed and an independent one held out."""

    training: Retrieval
    heldout: Retrieval


def make_blocks(config: Config, seed: int, device: torch.device) -> Blocks:
    generator = torch.Generator().manual_seed(seed)

    def batch() -> Retrieval:
        data = retrieval(config, generator)
        dtype = dtype_of(config)
        moved: dict[str, Any] = {
            k: v.to(device, dtype if v.is_floating_point() else v.dtype) if isinstance(v, Tensor) else v
            for k, v in vars(data).items()
        }
        return Retrieval(**moved)

    return Blocks(batch(), batch())


@dataclass(frozen=True)
class Topics:
    """The text of a run and the order of its batches, which depends on the seed alone."""

    corpus: Corpus
    heldout: Int[Tensor, "B T1"]
    query_block: Int[Tensor, "T"]
    generator: torch.Generator
    device: torch.device

    def batch(self, config: Config) -> Int[Tensor, "B T1"]:
        return training_batch(self.corpus, config, self.generator).to(self.device)


def make_topics(config: Config, seed: int, device: torch.device) -> Topics:
    corpus = read_corpus(config)
    pattern = block_pattern(config, config.task.queries).to(device)
    order = torch.Generator().manual_seed(seed)
    return Topics(corpus, heldout_sequences(corpus, config).to(device), pattern, order, device)


Task = Blocks | Topics


def make_task(config: Config, seed: int, device: torch.device) -> Task:
    return (make_blocks if config.task.name == "blocks" else make_topics)(config, seed, device)


def _diameter(points: Tensor) -> Tensor:
    """Largest distance between two points of each set (..., points, features)."""
    return torch.cdist(points, points, compute_mode="donot_use_mm_for_euclid_dist").amax((-1, -2))


def level_ingredients(data: Retrieval) -> dict[str, np.ndarray]:
    """What penalty levels A to C need, from the data alone, so that it bounds the gradient at every W.

    gradient_bound is the largest 2 ||o - y|| over the hull of a query's values (a convex function: largest at one);
    key_diameter takes in the zero that every key of another block has.
    """
    key = data.keys.unflatten(-1, (data.blocks, -1))
    return gathered(
        gradient_bounds=2 * (data.values - data.target[:, None]).norm(dim=-1).amax(-1),
        value_diameters=_diameter(data.values),
        key_diameters=torch.stack([_diameter(key[:, :, c]) for c in range(data.blocks)], -1),
        key_norm=key.norm(dim=-1).amax((0, 1)),
        query=data.query.unflatten(-1, (data.blocks, -1)),
    )


def gathered(
    *,
    gradient_bounds: Float[Tensor, "N"],
    value_diameters: Float[Tensor, "N"],
    key_diameters: Float[Tensor, "N K"],
    key_norm: Float[Tensor, "K"],
    query: Float[Tensor, "N K d"],
) -> dict[str, np.ndarray]:
    """Per query where the name is plural, and over all of them; a query is zero outside its own block."""
    norms = query.norm(dim=-1)
    fields = {
        "gradient_bound": gradient_bounds.amax(),
        "value_diameter": value_diameters.amax(),
        "query_norm": norms.amax(0),
        "query_share": (norms > 0).double().mean(0),
        "key_norm": key_norm,
        "key_diameter": key_diameters.amax(0),
        "gradient_bounds": gradient_bounds,
        "value_diameters": value_diameters,
        "key_diameters": key_diameters,
        "query_norms": norms,
        "query": query,
    }
    return {name: value.cpu().double().numpy() for name, value in fields.items()}


def level_c(ingredients: dict[str, np.ndarray], temperature: float) -> Float[np.ndarray, "K K"]:
    """The mean of products of every pair (block_query, block_key); the last axis it averages over is the queries."""
    from bounds.penalty.calculators import penalty_threshold_mean_of_products

    return np.asarray(
        penalty_threshold_mean_of_products(
            ingredients["gradient_bounds"],
            ingredients["value_diameters"],
            ingredients["key_diameters"].T[None],
            ingredients["query_norms"].T[:, None],
            temperature=temperature,
        )
    )
