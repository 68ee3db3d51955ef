"""A small laboratory that trains in a second or two."""

from __future__ import annotations

from typing import Any

from empirical.laboratory.config import Config, parse

SMALL: dict[str, Any] = {
    "schema_version": 1,
    "setting": {"n_keys": 8, "n_block": 4, "n_anchors": 1, "fidelity": 0.6},
    "model": {"blocks": 2, "d_block": 3},
    "task": {"name": "blocks", "queries": 120},
    "sweep": {
        "penalties": [0.5, 0.95, 1.05, 3.0, 3000.0],
        "relative_to_critical": True,
        "seeds": [1, 2],
        "starts": ["localised", "zero", "plain", "downwards", "upwards"],
        "tolerance": 1e-6,
        "max_steps": 600,
        "step": 20.0,
    },
}
TOPICS: dict[str, Any] = {
    "schema_version": 1,
    "setting": {"n_anchors": 1},
    "model": {"layers": 2, "heads": 2, "blocks": 2, "d_block": 4, "causal": True, "mlp": True, "anchor_logit": 4.0},
    "task": {"name": "topics", "queries": 16, "segment": 2, "vocabulary": 32},
    "sweep": {"penalties": [0.0, 1e-1], "seeds": [1], "starts": ["random"], "max_steps": 8, "batch": 2},
}
GATES: dict[str, Any] = {
    "schema_version": 1,
    "setting": {"n_anchors": 1, "fidelity": 0.9},
    "penalty": {"kind": "gates"},
    "model": {
        "layers": 1,
        "heads": 2,
        "blocks": 2,
        "d_block": 4,
        "causal": True,
        "value_norm": 2.0,
        "unembedding_norm": 1.0,
    },
    "task": {"name": "topics", "queries": 8, "segment": 2, "vocabulary": 16},
    "sweep": {
        "penalties": [0.0, 0.3, 10.0],
        "seeds": [1],
        "starts": ["localised", "random", "ungated"],
        "max_steps": 16,
        "batch": 4,
        "learning_rate": 0.05,
        "step": 0.5,
        "tolerance": 1e-3,
    },
}


def configured(base: dict[str, Any], **sections: dict[str, Any]) -> Config:
    """The configuration with some values of its sections replaced."""
    return parse(
        {name: {**part, **sections.get(name, {})} if isinstance(part, dict) else part for name, part in base.items()}
    )
