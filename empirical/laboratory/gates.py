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
from empirical.gates.merge import Pairs, attend, gates_of_rows, leakage_of
from empirical.gates.problem import Layer, Problem, Reading
from empirical.laboratory.config import Config
from empirical.laboratory.model import Layout, Parameters, token_losses
from empirical.observe.rows import softmax
from empirical.shapes import Float, Int


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
        weigh = _Weigh(made, gates, layout, config.setting.temperature, keep, leakage)
        losses = token_losses(first, sequences, layout, config, weigh=weigh)[0]
        batch, tokens = losses.shape
        leaks = torch.stack(weigh.leaks, 1) if leakage else gates.new_zeros(batch, made.layers, made.heads)
        rows = torch.full_like(leaks, float(tokens), requires_grad=False)
        return Reading(losses.sum(-1), gates.new_full((batch,), float(tokens)), leaks, rows, tuple(weigh.layers))

    return Problem(made, (len(sequences),), read)


class _Weigh:
    """What makes weights of a layer's logits under gates, and keeps what is told of them."""

    def __init__(
        self, groups: Groups, gates: Float[Tensor, "B G"], layout: Layout, temperature: float, keep: bool, told: bool
    ):
        self.groups, self.gates, self.layout, self.temperature = groups, gates, layout, temperature
        self.keep, self.told = keep, told
        self.leaks: list[Tensor] = []
        self.layers: list[Layer] = []

    def __call__(self, layer: int, logits: Float[Tensor, "S H B T N"]) -> Float[Tensor, "S H B T N"]:
        pairs = self._pairs(logits[0].transpose(0, 1))
        class_of, numbers = self.groups.classes(layer)
        rows = gates_of_rows(self.gates[:, numbers], pairs.query_block)
        asked = self.gates.requires_grad and torch.is_grad_enabled()
        if not asked and bool(((rows == 0) | (rows == 1)).all()):  # the plain or the masked kernel, bit for bit
            kernel = softmax(logits.masked_fill(self._shut(rows, class_of), -torch.inf), self.temperature)
            weights = kernel[0].transpose(0, 1)
            leak = leakage_of(pairs, class_of, rows) if self.told else None
        else:
            weights, leak = attend(pairs, class_of, rows)
        if leak is not None:
            self.leaks.append(leak.sum(-1))
        if self.keep:
            output = weights.transpose(1, 2).contiguous()
            self.layers.append(Layer(layer, pairs, output if output.requires_grad else output.requires_grad_()))
            weights = output.transpose(1, 2)
        return weights.transpose(0, 1)[None].to(logits.dtype)

    def _pairs(self, logits: Float[Tensor, "B H T N"]) -> Pairs:
        """Of given logits: a query holds its own, and keys and values are unit vectors."""
        layout, (batch, _, _, keys) = self.layout, logits.shape
        unit = torch.eye(keys, dtype=logits.dtype, device=logits.device).expand(batch, 1, keys, keys)
        query = logits.masked_fill(~layout.visible, 0.0) / self.temperature
        of_queries, of_keys = (blocks.expand(batch, -1) for blocks in (layout.query_block, layout.key_block))

        def visible(start: int, stop: int) -> Tensor:
            return layout.visible[start:stop]

        return Pairs(query, unit, unit, of_queries, of_keys, 1.0, visible=visible)

    def _shut(self, rows: Float[Tensor, "B H T C"], class_of: Int[Tensor, "K1"]) -> Tensor:
        """(S, H, B, T, N) bool: pairs outside whose gate is 0."""
        each = rows[..., class_of[self.layout.key_block]]
        return ((each == 0) & ~self.layout.in_block).transpose(0, 1)[None]
