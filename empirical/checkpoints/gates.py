"""Gates on the attention of a Hugging Face model: exact at every gate in [0, 1], differentiable, nothing retrained.

    with gating(model, 0.3, blocks=labels): model(**inputs)              # weights outside the block times 0.3
    with gating(model, gates, blocks=labels) as rows: ...; rows.leakage  # (B, L, H), in the graph of the gates

Gates that are all 1 leave the model's own kernel, and gates of 0 and 1 take it with a mask, bit for bit, where no
gradient of them is asked for; others merge partial attentions (`empirical.gates.merge`). What does more to a row than
softmax(logits + bias) is refused by name, as for a dial.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import Tensor

from empirical.checkpoints.attach import Attended, routed
from empirical.checkpoints.call import Call
from empirical.checkpoints.contexts import Labels, labels_given, layers_of
from empirical.errors import BadInput
from empirical.gates.groups import Groups, grouped
from empirical.gates.merge import Pairs, attend, gates_of_rows, leakage_of
from empirical.gates.problem import Layer
from empirical.observe.relevance import Blocks
from empirical.observe.streaming import chunks
from empirical.shapes import Float, Int

By = Groups | tuple[str, ...]
"""Gates as they are numbered, or the axes that they go by."""


@dataclass
class GatedRows:
    """What gated passes showed since the context was entered."""

    shape: tuple[int, int]  # layers, heads
    told: bool = True  # whether leakage is taken
    kept: bool = False  # whether layers are
    layers: list[Layer] = field(default_factory=list)
    ungated: int = 0  # rows of heads that are in a block and see no key of it
    in_no_block: int = 0  # rows of heads
    _leakage: dict[int, Float[Tensor, "B H"]] = field(default_factory=dict)
    _rows: dict[int, Float[Tensor, "B H"]] = field(default_factory=dict)

    @property
    def leakage(self) -> Float[Tensor, "B L H"]:
        """Sums over gated rows, of every layer and head."""
        return self._stacked(self._leakage)

    @property
    def rows(self) -> Float[Tensor, "B L H"]:
        """How many rows are gated: in a block, with a key of their own."""
        return self._stacked(self._rows)

    def _stacked(self, found: dict[int, Tensor]) -> Tensor:
        if not found:
            raise BadInput("model must attend inside its gates, got no call of its attention")
        device = next(iter(found.values())).device
        none = torch.zeros_like(next(iter(found.values())))
        return torch.stack([found.get(layer, none).to(device) for layer in range(self.shape[0])], 1)

    def add(self, call: Call, pairs: Pairs, leakage: Tensor | None) -> None:
        """The rows of one call."""
        gated = pairs.gated().expand(*call.query.shape[:3])
        none = (pairs.query_block < 0)[:, None].expand_as(gated)
        rows = gated.sum(-1).double()
        self._rows[call.layer] = self._rows.get(call.layer, 0) + rows
        self.ungated += int((~gated & ~none).sum())
        self.in_no_block += int(none.sum())
        if leakage is not None:
            self._leakage[call.layer] = self._leakage.get(call.layer, 0) + leakage.sum(-1)


def groups_of(model: Any, blocks: int, by: By = ("layer", "head"), kind: str = "self") -> Groups:
    """Gates of a model's attention over so many blocks. Raises BadInput for gates of other layers or heads."""
    layers = layers_of(model, (kind,))
    heads = _heads(model.config, kind)
    if not isinstance(by, Groups):
        return grouped(layers, heads, blocks, by)
    if (by.layers, by.heads) != (layers, heads) or by.blocks < blocks:
        raise BadInput(
            f"groups must be of {layers} layers, {heads} heads and at least {blocks} blocks, got {by.layers}, "
            f"{by.heads} and {by.blocks}"
        )
    return by


def _heads(config: Any, kind: str) -> int:
    side = "encoder" if kind == "encoder" else "decoder"
    own = getattr(config, f"{side}_attention_heads", None) if config.is_encoder_decoder else None
    return own or config.num_attention_heads


@contextmanager
def gating(
    model: Any,
    gates: Any,
    *,
    blocks: Blocks | Labels,
    groups: By = ("layer", "head"),
    kind: str = "self",
    leakage: bool = True,
    keep: bool = False,
) -> Iterator[GatedRows]:
    """The gates of one kind of attention, as a context; biases of dials and rules add to the logits inside.

    `gates` in [0, 1]: one number, a table by the axes of `groups`, or a vector; (B, G) for each sequence its own.
    `leakage` is of every row, in the graph of gates that require a gradient; `keep` also keeps what each layer attended
    to. Raises BadInput for a gate out of range, another shape, labels that do not fit, an attention that is no softmax.
    """
    labels = labels_given(blocks)
    made = groups_of(model, labels.highest + 1, groups, kind)
    found = GatedRows((made.layers, made.heads), leakage, keep)
    gated = _Gated(made, made.vector(gates), labels, kind, found)
    with routed(model, attend=gated.instead, after=gated.after):
        yield found


@dataclass(frozen=True)
class _Gated:
    """What gates do to one call, and what is told of it."""

    groups: Groups
    gates: Float[Tensor, "*B G"]
    labels: Labels
    kind: str
    found: GatedRows

    def rows_of(self, call: Call) -> tuple[Int[Tensor, "K1"], Float[Tensor, "B H T C"]]:
        """Classes of key blocks, and the gates of every row and class."""
        batch, heads, device = *call.query.shape[:2], call.query.device
        if heads != self.groups.heads:
            raise BadInput(f"groups must be of {heads} heads for {call.name}, got {self.groups.heads}")
        own = self.gates if self.gates.ndim == 2 else self.gates[None]
        if len(own) not in (1, batch):
            raise BadInput(f"gates must be those of {batch} sequences, got {len(own)}")
        class_of, numbers = (x.to(device) for x in self.groups.classes(call.layer))
        cells = own.to(device)[:, numbers].expand(batch, -1, -1, -1)
        return class_of, gates_of_rows(cells, self.labels.of(call)[0])

    def instead(self, call: Call, value: Tensor, bias: Tensor | None) -> Attended | None:
        """Nothing where all are open, a mask where they are open or shut and no gradient is asked, else a merge."""
        if call.kind != self.kind:
            return None
        class_of, rows = self.rows_of(call)
        asked = self.gates.requires_grad and torch.is_grad_enabled()
        if not asked and bool((rows == 1).all()):
            return None
        pairs = pairs_of(call, value, bias, self.labels)
        bias_of = partial(_as_bias, pairs, class_of, rows)
        long = self.found.kept and len(list(chunks(call.query, call.key.shape[2]))) > 1  # a mask is n x n
        if not asked and not long and bool(((rows == 0) | (rows == 1)).all()):
            return Attended(bias_of)
        output, leakage = attend(pairs, class_of, rows)
        return Attended(bias_of, output.transpose(1, 2).contiguous(), leakage)

    def after(self, call: Call, value: Tensor, bias: Tensor | None, output: Tensor, way: Attended | None) -> None:
        found = self.found
        if call.kind != self.kind or not (found.told or found.kept):
            return
        pairs = pairs_of(call, value, bias, self.labels)
        leakage = None if way is None else way.leakage
        if leakage is None and found.told:
            leakage = leakage_of(pairs, *self.rows_of(call))
        found.add(call, pairs, leakage)
        if found.kept:
            found.layers.append(Layer(call.layer, pairs, output))


def pairs_of(call: Call, value: Tensor, bias: Tensor | None, labels: Labels) -> Pairs:
    """The pairs of a call, every bias but that of gates in their logits."""
    queries, keys = labels.of(call)
    biases = [b.expand(-1, -1, *call.shape) for b in (call.position_bias, call.values, bias) if b is not None]
    return Pairs(
        call.query,
        call.key,
        value,
        queries,
        keys,
        call.scaling,
        call.softcap,
        call.visible,
        biases,
        labels.relation,
    )


@torch.no_grad()
def _as_bias(pairs: Pairs, class_of: Tensor, rows: Tensor) -> Float[Tensor, "B H T N"]:
    """ln s of every pair, 0 inside."""
    part = pairs.parts(0, pairs.query.shape[2], class_of)
    each = torch.cat([torch.ones_like(rows[..., :1]), rows.detach()], -1)
    return each.gather(-1, part.clamp(min=0).expand(*each.shape[:3], -1)).log()
