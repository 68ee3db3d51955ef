"""The exact values of the published bounds, on Arb balls."""

from __future__ import annotations

from bounds.concentration.exact import anchors_or_block, over_temperature
from bounds.published.theorems import FORMS
from bounds.rigour.balls import Ball, OnBalls, printed
from bounds.rigour.exact import ClosedForm

form: OnBalls = printed(FORMS)


@ClosedForm
def sigma_reparam_floor(logit_norm: float, n_keys: float, temperature: float) -> Ball:
    return form("sigma_reparam_floor", over_temperature(logit_norm, temperature), n_keys)


@ClosedForm
def most_attention(logit_range: float, n_keys: float, temperature: float) -> Ball:
    return form("most_attention", over_temperature(logit_range, temperature), n_keys)


@ClosedForm
def least_attention(logit_range: float, n_keys: float, temperature: float) -> Ball:
    return form("least_attention", over_temperature(logit_range, temperature), n_keys)


@ClosedForm
def softmax_change(logit_change: float, temperature: float) -> Ball:
    return form("softmax_change", over_temperature(logit_change, temperature))


@ClosedForm
def scalable_softmax_floor(margin: float, n_keys: float, n_block: float, n_anchors: float | None, scale: float) -> Ball:
    keys = (n_keys, n_block, anchors_or_block(n_block, n_anchors))
    return form("scalable_softmax_floor", margin, *keys, scale)


@ClosedForm
def hopfield_error(n_patterns: float, beta: float, separation: float, radius: float, distance: float) -> Ball:
    return form("hopfield_error", n_patterns, beta, separation, radius, distance)


@ClosedForm
def retrieval_error(n_patterns: float, beta: float, separation: float, radius: float, distance: float) -> Ball:
    return form("retrieval_error", n_patterns, beta, separation, radius, distance)
