"""Every observed field once: its dims, unit and meaning; and the dims of the levels that theorems speak of."""

from __future__ import annotations

from bounds.theory.theorem import Level

DIMS: dict[Level, tuple[str, ...]] = {
    Level.ROW: ("setting", "layer", "head", "query"),
    Level.PAIR: ("setting", "layer", "head", "block_query", "block_key"),
    Level.SETTING: ("setting",),
}
ROW, PAIR = DIMS[Level.ROW], DIMS[Level.PAIR]
GATE, MOMENT = ("setting", "gate"), ("setting", "moment")
GATED: dict[str, tuple[tuple[str, ...], str, str]] = {
    "gate": (GATE, "1", "gate found: exactly 0 where it is shut"),
    "gate_slope": (GATE, "loss", "dJ/ds where the run ended, on the sequences that it was trained on"),
    "gate_residual": (GATE, "loss", "stationarity residual |s - clip(s - step dJ/ds)| / step"),
    "gate_critical": (GATE, "loss", "critical penalty at the mask of the weights where the run ended, by the pair map"),
    "gate_loss_slope": (GATE, "loss", "dL/ds at that mask, by the gate's own gradient"),
    "gate_leakage_slope": (GATE, "1", "dOmega/ds at that mask, by the gate's own gradient"),
    "gate_share": (GATE, "loss", "share of loss_shut - loss_train, along a straight path from the mask"),
    "gate_share_error": (("setting",), "loss", "of all shares together: differences of two quadrature rules"),
    **{f"gate_{axis}": (("gate",), "1", f"{axis} that the gate is of, -1 for all") for axis in PAIR[1:]},
    "cell_gate": (PAIR[1:], "1", "gate of the pairs of the cell"),
    "pair_weight": (PAIR, "1", "dOmega/ds of the pairs of the cell at the mask of the weights where the run ended"),
    "pair_penalty": (PAIR, "loss", "mean critical penalty of a single pair there, weighted by those"),
    "omega": (("setting",), "of 1 a head", "leakage Omega: sum over heads of mean leakage, on the training sequences"),
    "loss_shut": (("setting",), "loss", "training loss of the same weights with all gates 0"),
    "open_layer": (("setting",), "1", "last layer with an open gate, -1 where all are shut"),
    "open_rate": (("setting", "head", "query"), "loss", "N <-g, o_out - o_in> of the rows of that layer"),
    "moment_step": (("moment",), "steps", "steps taken at each moment of training"),
    "moment_critical": (MOMENT, "loss", "critical penalty of gates at the mask of the moment's weights"),
    "moment_loss": (MOMENT, "loss", "training loss of the moment, without the penalty"),
    "moment_loss_shut": (MOMENT, "loss", "the same with all gates 0"),
    "moment_omega": (MOMENT, "of 1 a head", "leakage Omega of the moment"),
    "moment_gradient": (MOMENT, "loss", "norm of the gradient of J in all weights"),
    "moment_open": (MOMENT, "1", "share of the gates that are not 0"),
    "probe_ratio": (("ratio",), "1", "penalty over the moment's critical penalty"),
    "probe_open": ((*MOMENT, "ratio"), "gates", "gates that one projected step from the mask opens at that penalty"),
}
"""What a run has whose gates were trained, and no other."""

SCHEMA: dict[str, tuple[tuple[str, ...], str, str]] = {
    "entropy_nats": (ROW, "nats", "entropy of the attention row"),
    "fidelity": (
        ROW,
        "1",
        "attention mass on relevant keys: the query's block, what it may see, tokens visible to all",
    ),
    "leakage": (ROW, "1", "attention mass outside the relevant block"),
    "log_leakage": (ROW, "1", "natural logarithm of the leakage"),
    "margin": (
        ROW,
        "logits",
        "r-th largest in-block logit minus the largest outside; infinite where a dial of 1 leaves none",
    ),
    "logit_range": (ROW, "logits", "largest minus smallest visible logit, of those that a dial of 1 leaves"),
    "n_keys": (ROW, "keys", "visible keys, those that a dial of 1 cuts too"),
    "n_block": (ROW, "keys", "visible relevant keys"),
    "n_anchors": (ROW, "keys", "anchors that the margin counts"),
    "anchor_mass": (ROW, "1", "attention mass on the block's own anchor keys"),
    "kept_mass": (ROW, "1", "attention mass on tokens visible to all, a part of the fidelity"),
    "leakage_dialled": (
        ROW,
        "1",
        "leakage after the dial is turned: of the stored logits, or, of a checkpoint, in the pass at the next dial",
    ),
    "valid": (ROW, "1", "the row sums to one and sees relevant keys and others"),
    "unknown": (ROW, "1", "more is done to the row than a softmax, or its logits overflow: no verdict on it"),
    "group_norm": (PAIR, "1", "Frobenius norm of W_bc, not squared"),
    "gradient_norm": (PAIR, "loss/norm", "norm of the gradient in W_bc where the run ended"),
    "group_norm_start": (PAIR, "1", "Frobenius norm of W_bc at the start"),
    "gradient_peak": (PAIR, "loss/norm", "largest norm of the gradient in W_bc on the way"),
    "steps_to_zero": (PAIR, "steps", "first step after which W_bc is zero for good; -1 never"),
    "loss_train": (("setting",), "loss", "training loss, without the penalty"),
    "loss_heldout": (("setting",), "loss", "held-out loss"),
    "loss_masked": (("setting",), "loss", "held-out loss with foreign blocks masked, the dial at 1"),
    "residual": (("setting",), "loss/norm", "stationarity residual ||W - prox(W - step grad)|| / step"),
    "converged": (("setting",), "1", "the residual is within its tolerance"),
    "steps": (("setting",), "steps", "steps taken"),
    "step": (("setting",), "norm^2/loss", "proximal step size"),
    "accelerated": (("setting",), "1", "momentum was on"),
    "critical": (("setting",), "loss/norm", "critical penalty predicted from the seed's localised model"),
    "loss_localised": (("setting",), "loss", "loss of the seed's localised model"),
    "temperature": (("setting",), "1", "softmax temperature"),
    "anchor_logit": (("setting",), "logits", "logit of a block's anchors for its own queries"),
    "dial": (("setting",), "1", "the dial of leakage_dialled"),
    "kappa": (
        ("setting",),
        "nats",
        "what that dial takes off logits outside, rounded as the kernel does; -ln(1 - dial)",
    ),
    "query_norm": (("setting", "block_query"), "1", "largest norm of a query's block features"),
    "query_share": (("setting", "block_query"), "1", "share of the queries that lie in the block"),
    "key_norm": (("setting", "block_key"), "1", "largest norm of a key's block features"),
    "key_diameter": (("setting", "block_key"), "1", "diameter of the block's key features over all visible keys"),
    "gradient_bound": (("setting",), "loss", "bound on a query's loss gradient at the head's output"),
    "value_diameter": (("setting",), "1", "diameter of the values"),
    "level_c": (("setting", "block_query", "block_key"), "loss/norm", "penalty level C, mean of products"),
    "localist": (("layer",), "1", "every token entering the layer holds features in its own block only"),
    "query_block": (("query",), "1", "block of the query"),
    **GATED,
    "attention": (("setting", "layer", "head", "map_query", "map_key"), "1", "attention weights of the drawn map"),
    "map_query_block": (("map_query",), "1", "block of a query of the drawn map"),
    "map_key_block": (("map_key",), "1", "block of a key of the drawn map"),
    "map_key_anchor": (("map_key",), "1", "whether a key of the drawn map is an anchor"),
}
"""name -> dims, unit, meaning"""

COORDINATES: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(("penalty", "seed", "start"), ("setting",)),
    "layer": ("layer",),
    "head": ("head",),
}
"""name -> dims: what a setting was, and the numbers that layers and heads have in their model, from 0"""

NUMBERED = ("layer", "head")

ROW_FIELDS = tuple(name for name, (dims, _, _) in SCHEMA.items() if dims == ROW)
"""What `observe.rows.row_statistics` gives of a row."""
