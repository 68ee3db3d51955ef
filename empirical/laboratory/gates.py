"""Gates on the reference model: the problem of gates of one setting of its parameters, its weights as they are.

    problem = gate_problem(parameters, sequences, layout, config)
    priced(problem), penalty_path(problem), ...                        # empirical.gates

Anchors are keys of their own block; logits are those of the model over the temperature. Attention is small here, so
that its weights are the outputs that gates merge: every key's value is a unit vector of its own.
"""

from __future__ import annotations

import torch
from torch import Tensor

from empirical.gates.groups import Groups, grouped
from empirical.gates.merge import Pairs, gated_weights, gates_of_rows, leakage_of
from empirical.gates.problem import Layer, Problem, Reading
from empirical.laboratory.config import Config
from empirical.laboratory.model import Layout, Parameters, token_losses
from empirical.observe.rows import softmax
from empirical.shapes import Bool, Float, Int


def gate_problem(
    parameters: Parameters,
    sequences: Int[Tensor, "B T1"],
    layout: Layout,
    config: Config,
    *,
    groups: Groups | tuple[str, ...] = ("layer", "head"),
) -> Problem:
    """The model of the first setting with gates, each sequence a document. Raises BadInput for groups that are none."""
    model = config.model
    made = groups if isinstance(groups, Groups) else grouped(model.layers, model.heads, model.blocks, groups)
    first = {name: value[:1] for name, value in parameters.items()}

    def read(number: int, gates: Float[Tensor, "B G"], *, keep: bool = False, leakage: bool = True) -> Reading:
        weigh = GatedWeights(made, gates, layout, config.setting.temperature, keep, leakage)
        losses = token_losses(first, sequences, layout, config, weigh=weigh)[0]
        batch, tokens = losses.shape
        leaks = torch.stack(weigh.leaks, 1) if leakage else gates.new_zeros(batch, made.layers, made.heads)
        rows = torch.full_like(leaks, float(tokens), requires_grad=False)
        return Reading(losses.sum(-1), gates.new_full((batch,), float(tokens)), leaks, rows, tuple(weigh.layers))

    return Problem(made, (len(sequences),), read)


def loss_and_omega(
    parameters: Parameters,
    gates: Float[Tensor, "S G"],
    sequences: Int[Tensor, "B T1"],
    layout: Layout,
    config: Config,
    groups: Groups,
    leakage: bool = True,
) -> tuple[Float[Tensor, "S"], Float[Tensor, "S"]]:
    """L and Omega of every setting at its own gates, all with a gradient; without `leakage` Omega is 0."""
    each = gates.repeat_interleave(len(sequences), 0)
    weigh = GatedWeights(groups, each, layout, config.setting.temperature, keep=False, told=leakage)
    losses = token_losses(parameters, sequences, layout, config, weigh=weigh).flatten(1)
    leaks = torch.stack(weigh.leaks, 1).sum((1, 2)) if leakage else each.new_zeros(len(each))
    return losses.mean(1), leaks.unflatten(0, (len(gates), -1)).sum(1) / losses.shape[1]


class GatedWeights:
    """What makes weights of a layer's logits under gates, and keeps what is told of them.

    Every sequence of every setting is a document with gates of its own.
    """

    def __init__(
        self,
        groups: Groups,
        gates: Float[Tensor, "SB G"],
        layout: Layout,
        temperature: float,
        keep: bool = False,
        told: bool = False,
    ):
        self.groups, self.gates, self.layout, self.temperature = groups, gates, layout, temperature
        self.keep, self.told = keep, told
        self.leaks: list[Tensor] = []
        self.layers: list[Layer] = []

    def __call__(self, layer: int, logits: Float[Tensor, "S H B T N"]) -> Float[Tensor, "S H B T N"]:
        settings, documents = len(logits), logits.transpose(1, 2).flatten(0, 1)
        pairs = self._pairs(documents)
        class_of, numbers = self.groups.classes(layer)
        rows = gates_of_rows(self.gates[:, numbers], pairs.query_block)
        asked = self.gates.requires_grad and torch.is_grad_enabled()
        if not asked and bool(((rows == 0) | (rows == 1)).all()):  # the plain or the masked kernel, bit for bit
            weights = softmax(documents.masked_fill(self._shut(rows, class_of), -torch.inf), self.temperature)
            leak = leakage_of(pairs, class_of, rows) if self.told else None
        else:
            part = pairs.parts(0, documents.shape[2], class_of)
            weights, leak = gated_weights(self._scaled(documents), part, rows)
        if leak is not None:
            self.leaks.append(leak.sum(-1))
        if self.keep:
            output = weights.transpose(1, 2).contiguous()
            self.layers.append(Layer(layer, pairs, output if output.requires_grad else output.requires_grad_()))
            weights = output.transpose(1, 2)
        return weights.unflatten(0, (settings, -1)).transpose(1, 2).to(logits.dtype)

    def _scaled(self, logits: Float[Tensor, "B H T N"]) -> Float[Tensor, "B H T N"]:
        """Over the temperature, 0 where a key is not seen."""
        return logits.masked_fill(~self.layout.visible, 0.0) / self.temperature

    def _pairs(self, logits: Float[Tensor, "B H T N"]) -> Pairs:
        """Of given logits: a query holds its own, and keys and values are unit vectors."""
        layout, (batch, _, _, keys) = self.layout, logits.shape
        unit = torch.eye(keys, dtype=logits.dtype, device=logits.device).expand(batch, 1, keys, keys)
        query = self._scaled(logits)
        of_queries, of_keys = (blocks.expand(batch, -1) for blocks in (layout.query_block, layout.key_block))

        def visible(start: int, stop: int) -> Tensor:
            return layout.visible[start:stop]

        return Pairs(query, unit, unit, of_queries, of_keys, 1.0, visible=visible)

    def _shut(self, rows: Float[Tensor, "B H T C"], class_of: Int[Tensor, "K1"]) -> Bool[Tensor, "B H T N"]:
        """Pairs outside whose gate is 0."""
        return (rows[..., class_of[self.layout.key_block]] == 0) & ~self.layout.in_block

    def bias(self, layer: int, settings: int) -> Float[Tensor, "S H T N"]:
        """tau ln s of the pairs outside, 0 of others: what the gates of each setting add to logits."""
        class_of, numbers = self.groups.classes(layer)
        gates = self.gates.unflatten(0, (settings, -1))[:, 0]
        rows = gates_of_rows(gates[:, numbers], self.layout.query_block.expand(settings, -1))
        each = rows[..., class_of[self.layout.key_block]]
        return (self.temperature * each.log()).masked_fill(self.layout.in_block, 0.0)
