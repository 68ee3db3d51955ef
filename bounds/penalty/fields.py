"""Words of training's rows that theorems on the penalty speak of: what levels are made of, and how a run began."""

from __future__ import annotations

from enum import StrEnum

LEVEL_FIELDS = ("gradient_bound", "value_diameter", "query_norm", "key_norm", "key_diameter", "query_share")
"""G, V, X_b, X_c, D_c, p_b of levels A to C."""


class Start(StrEnum):
    """Where the steps of a setting begin."""

    LOCALISED = "localised"  # at the seed's in-block optimum
    ZERO = "zero"  # at W = 0
    RANDOM = "random"  # at a draw
    PLAIN = "plain"  # at a draw, without momentum
    DOWNWARDS = "downwards"  # at the localised solution, then from penalty to smaller penalty
    UPWARDS = "upwards"  # at W = 0, then from penalty to larger penalty
    UNGATED = "ungated"  # at a draw, gates held open: a plain penalty on leakage

    @property
    def from_localised(self) -> bool:
        return self in (Start.LOCALISED, Start.DOWNWARDS)

    @property
    def branch(self) -> bool:
        """Whether each setting starts where the one before it ended."""
        return self in (Start.DOWNWARDS, Start.UPWARDS)
