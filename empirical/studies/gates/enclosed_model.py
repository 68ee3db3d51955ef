"""Rates of the reference model enclosed over boxes of gates: what every point of a box can gain at most, proved.

    rate_c(s) = -(dL/ds_c)/(dOmega/ds_c) = sum_i w_i N <-g_i, o_out,i - o_in,i> / sum_i w_i,   w_i = r_i/(1 + s_c r_i)^2

of the gates of one layer, those of deeper layers shut: then leakage has direct terms alone (`gate_staircase`). Over a
box it is at most that of weights in [w-, w+] at the largest <-g_i, ...>: rows above the mean at w+, the others at w-.
Besides, over the same box: N max_j <-g_i, v_j - o_in,i> over outside keys, and N ||g_i|| V_i, V_i the diameter of all
values of its sequence. One gate a head, or a layer. Not covered: anchors, the shared stream, gates of blocks.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor
from torch.nn import functional

from empirical.errors import BadInput
from empirical.laboratory.config import Config
from empirical.laboratory.model import EPSILON, Layout, Parameters
from empirical.shapes import Bool, Float, Int
from empirical.studies.gates.enclosures import (
    ROUNDING,
    Box,
    Traced,
    between,
    bilinear,
    exactly,
    gelu,
    linear,
    lse_of,
    normalised,
    product,
    pulled_back,
    softmax,
    softmax_of,
)


@dataclass(frozen=True)
class Rates:
    """Upper bounds over each of C boxes, in the unit of a penalty."""

    gate: Float[Tensor, "C G"]  # of the gates of the layer
    pair: Float[Tensor, "C"]  # of a single pair
    norm: Float[Tensor, "C"]  # N ||g_i|| V_i


@dataclass(frozen=True)
class _Layer:
    """One gated layer of a pass."""

    output: Traced  # of all heads, summed: what g is the gradient in
    apart: Box  # o_out - o_in
    inside: Box  # o_in
    values: Box
    odds: tuple[Tensor, Tensor]  # least and largest r of every row, 0 where it sees nothing outside


@dataclass(frozen=True)
class Enclosed:
    """The model of the first setting, its weights as they are, on some sequences."""

    parameters: Parameters
    sequences: Int[Tensor, "B T1"]
    layout: Layout
    config: Config
    tied: bool = False  # one gate a layer, in place of one a head

    def __post_init__(self) -> None:
        if self.config.anchors or self.config.model.stream != "localist":
            raise BadInput("model.anchor_logit must not be given, and model.stream be 'localist', to enclose rates")

    @cached_property
    def seen(self) -> tuple[Bool[Tensor, "T T"], Bool[Tensor, "T T"]]:
        """Keys of the own block and outside it."""
        visible, inside = self.layout.visible, self.layout.in_block
        return visible & inside, visible & ~inside

    @property
    def gates_a_layer(self) -> int:
        return 1 if self.tied else self.config.model.heads

    def spread(self, gates: Float[Tensor, "C D"]) -> Float[Tensor, "C L H"]:
        """Gates of the first layers as those of all heads, of deeper layers 0."""
        model = self.config.model
        some = gates.unflatten(-1, (-1, self.gates_a_layer)).expand(-1, -1, model.heads)
        return functional.pad(some, (0, 0, 0, model.layers - some.shape[1]))

    def rates(self, low: Float[Tensor, "C L H"], high: Float[Tensor, "C L H"], layer: int) -> Rates:
        """Over the boxes from `low` to `high`, of the gates of `layer`; those of deeper layers are 0."""
        end, gated = self._forward(low, high, layer)
        slope = pulled_back(end, self._slope_of_loss(end), gated.output)  # of the summed loss: N times that of L
        weight = self._weights(gated, low[:, layer], high[:, layer])
        gain = -product("...td,...htd->...ht", slope, gated.apart)
        rows = (x.expand_as(gain.mid).transpose(1, 2).flatten(2) for x in (gain.high, *weight))  # C H BT
        if self.tied:
            rows = (x.flatten(1)[:, None] for x in rows)
        return Rates(_largest_mean(*rows), self._pairs(slope, gated), self._norms(slope, gated))

    def _forward(self, low: Tensor, high: Tensor, upto: int) -> tuple[Traced, _Layer]:
        """The stream that is read out, and the layer `upto`."""
        model, found = self.config.model, None
        tokens = self.sequences[:, :-1]
        x0 = self.parameters["embedding"][0][tokens] + self.parameters["position"][0]
        x = normalised(Traced(exactly(x0.double()[None])), EPSILON)  # one for all boxes, until gates move it
        for layer in range(model.layers):
            ends = (low[:, layer], high[:, layer]) if layer <= upto else None
            written = self._attention(normalised(x, EPSILON), layer, ends)
            if layer == upto:
                found, x = written, Traced(x.box)  # the way back ends here
            x = x + written.output
            if model.mlp:
                inner = linear("...td,de->...te", normalised(x, EPSILON), self.parameters["mlp_in"][0, layer])
                x = x + linear("...te,ed->...td", gelu(inner), self.parameters["mlp_out"][0, layer])
        assert found is not None
        return (x if self.config.ends_in_head else normalised(x, EPSILON)), found

    def _attention(self, x: Traced, layer: int, ends: tuple[Tensor, Tensor] | None) -> _Layer:
        model, own = self.config.model, self.layout.own.squeeze(-1)  # T K
        forms = self.parameters["forms"][0, layer]  # H K d K d
        of_head = self.parameters["output"][0, layer].unflatten(-2, (model.blocks, model.d_block))  # H K d d
        width = model.blocks * model.d_block
        query = linear("...td,htde->...hte", x, torch.einsum("tk,hkdce->htdce", own, forms).flatten(-2))
        wide = linear("...td,tk->...tkd", x, own)
        keys = wide.map(lambda t: t.flatten(-2), lambda t: t.unflatten(-1, (model.blocks, model.d_block)))
        assert keys.box.mid.shape[-1] == width
        scores = bilinear("...hte,...se->...hts", query, keys)
        logits = linear("...hts,->...hts", scores, torch.tensor(1 / self.config.setting.temperature).double())
        values = linear("...td,htde->...hte", x, torch.einsum("tk,hkde->htde", own, of_head))
        inside, outside = self.seen
        kept = bilinear("...hts,...hse->...hte", softmax(logits, inside), values)
        if ends is None:
            return _Layer(_over_heads(kept), kept.box, kept.box, values.box, (torch.zeros(()), torch.zeros(())))
        others = bilinear("...hts,...hse->...hte", softmax(logits, outside), values)
        apart = others.box - kept.box
        odds = self._odds(logits.box)
        low, high = (s[:, None, :, None] for s in ends)
        share = _leakage(low, high, *odds)
        moved = share.map(lambda t: t.unsqueeze(-1)) * apart
        return _Layer(Traced((kept.box + moved).sum(-3)), apart, kept.box, values.box, odds)

    def _odds(self, logits: Box) -> tuple[Tensor, Tensor]:
        inside, outside = self.seen
        some = outside.any(-1)
        own, others = lse_of(logits, inside), lse_of(logits, outside | ~some[:, None])
        apart = others - own
        return tuple(end.exp().where(some, 0.0) for end in (apart.low, apart.high))  # pyright: ignore[reportReturnType]

    def _slope_of_loss(self, end: Traced) -> Box:
        """Of the sum of cross-entropies, in what is read out: U (p - e_target)."""
        unembedding = self.parameters["unembedding"][0]
        scores = linear("...td,dv->...tv", end, unembedding)
        target = functional.one_hot(self.sequences[:, 1:], unembedding.shape[-1]).double()
        off = softmax_of(scores.box, torch.ones_like(target, dtype=torch.bool)) - exactly(target)
        return product("...tv,dv->...td", off, exactly(unembedding))

    def _weights(self, gated: _Layer, low: Tensor, high: Tensor) -> tuple[Tensor, Tensor]:
        """Least and largest r/(1 + s r)^2: largest where s r is 1, or as near to it as it comes."""
        least, most = (s[:, None, :, None] for s in (low, high))

        def of(s: Tensor, r: Tensor) -> Tensor:
            return r / (1 + s * r).square()

        corners = torch.stack([of(s, r) for s in (least, most) for r in gated.odds])
        highest = corners.amax(0)
        for s in (least, most):  # over r, at r = 1/s where that is between
            crossed = (s * gated.odds[0] <= 1) & (s * gated.odds[1] >= 1)
            highest = torch.where(crossed, highest.maximum(1 / (4 * s.clamp(min=1e-300))), highest)
        return corners.amin(0) * (1 - ROUNDING), highest * (1 + ROUNDING)

    def _pairs(self, slope: Box, gated: _Layer) -> Tensor:
        along = product("...td,...hsd->...hts", slope, gated.values)
        own = product("...td,...htd->...ht", slope, gated.inside).map(lambda t: t.unsqueeze(-1))
        return (own - along).high.where(self.seen[1], -math.inf).amax((1, 2, 3, 4))

    def _norms(self, slope: Box, gated: _Layer) -> Tensor:
        mid, rad = gated.values.mid, gated.values.rad.norm(dim=-1)
        apart = torch.cdist(mid, mid, compute_mode="donot_use_mm_for_euclid_dist")
        span = (apart + rad.unsqueeze(-1) + rad.unsqueeze(-2)).amax((-2, -1))  # of a sequence's values: C B H
        return (span * slope.size.norm(dim=-1).amax(-1)[:, :, None]).amax((1, 2)) * (1 + ROUNDING)


def _over_heads(one: Traced) -> Traced:
    return Traced(one.box.sum(-3), ((one, lambda g: g.map(lambda t: t.unsqueeze(-3).expand_as(one.box.mid))),))


def _leakage(low: Tensor, high: Tensor, least: Tensor, most: Tensor) -> Box:
    """s r/(1 + s r), which rises in both."""
    return between(low * least / (1 + low * least), high * most / (1 + high * most))


def _largest_mean(
    gain: Float[Tensor, "C G R"], least: Float[Tensor, "C G R"], most: Float[Tensor, "C G R"]
) -> Float[Tensor, "C G"]:
    """The largest weighted mean of every gate's rows, each weight between its ends."""
    order = gain.argsort(-1, descending=True)
    gain, least, most = (x.gather(-1, order) for x in (gain, least, most))

    def upto(x: Tensor) -> Tensor:
        return x.cumsum(-1)

    def after(x: Tensor) -> Tensor:
        return x.sum(-1, keepdim=True) - x.cumsum(-1)

    total = upto(most) + after(least)
    mean = (upto(most * gain) + after(least * gain)) / total.clamp(min=1e-300)
    mean = mean.where(upto(most) > 0, -math.inf)
    room = ROUNDING * 64 * gain.abs().amax(-1)
    return mean.amax(-1) + room
