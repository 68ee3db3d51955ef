"""Checkpoints of Hugging Face models: observed, dialled, guarded, gated and priced; what their weights alone say.

    with observing(model, labels) as rows, dial(model, 0.8, blocks=labels): model(**inputs)
    price(model, batches, labels)                                      # what attention outside its block is worth

Importing this loads torch; transformers is loaded where a model is met.
"""

from __future__ import annotations

from empirical.checkpoints.contexts import Labels as Labels
from empirical.checkpoints.contexts import ObservedRows as ObservedRows
from empirical.checkpoints.contexts import dial as dial
from empirical.checkpoints.contexts import guarded as guarded
from empirical.checkpoints.contexts import observing as observing
from empirical.checkpoints.gate_files import gated as gated
from empirical.checkpoints.gate_prices import gate_problem as gate_problem
from empirical.checkpoints.gate_prices import price as price
from empirical.checkpoints.gates import gating as gating
from empirical.checkpoints.gates import groups_of as groups_of
from empirical.checkpoints.isolation import isolated as isolated
from empirical.checkpoints.sampled import LabelledInputs as LabelledInputs
from empirical.checkpoints.sampled import audited as audited
from empirical.checkpoints.sampled import sampled_dial as sampled_dial
from empirical.checkpoints.weights import Head as Head
from empirical.checkpoints.weights import certify as certify

__all__ = [
    "Head",
    "LabelledInputs",
    "Labels",
    "ObservedRows",
    "audited",
    "certify",
    "dial",
    "gate_problem",
    "gated",
    "gating",
    "groups_of",
    "guarded",
    "isolated",
    "observing",
    "price",
    "sampled_dial",
]
