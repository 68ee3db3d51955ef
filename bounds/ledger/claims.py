"""The claims of the papers: what an abstract says, in our words, and what became of it.

Only the abstracts are at hand, so a claim is an abstract's, and every formula is ours.
"""

from __future__ import annotations

from dataclasses import dataclass

MAIN = "arXiv:2510.09338v2"
RECRUITMENT, RULES, PROGRESSIVE, AILA = "arXiv:2510.17358", "arXiv:2510.05106", "arXiv:2511.18375", "arXiv:2511.03559"


@dataclass(frozen=True)
class Claim:
    """What an abstract claims, in our words, and what became of it."""

    key: str
    source: str
    words: str
    status: str
    verdict: str


PROVED, REPAIRED = "proved", "false in a reading, repaired"
OPEN = "not decidable from the abstract"

CLAIMS = (
    Claim(
        "C1",
        MAIN,
        "a locality dial moves the model continuously between localist and distributed",
        PROVED,
        "for every attention row, given that layer's input: the odds law is exact and continuous in the dial, and the "
        "output moves along one segment. Entropy is not always monotone on the way: `entropy_turning_point` says when",
    ),
    Claim(
        "C2",
        MAIN,
        "the dial works in training and at inference, with no retraining",
        PROVED,
        "at inference: per row, in the worst case over a range, and through depth by `depth_sum`. In training the "
        "dial is a penalty, see C3",
    ),
    Claim(
        "C3",
        MAIN,
        "penalty thresholds exist above which attention concentrates on the relevant block",
        OPEN,
        'false in the reading "any large enough penalty alone does" (it takes anchors too), and where one threshold is '
        'to serve every purpose. True in the reading "with anchors, above a named threshold": worst case A, '
        "leakage-aware B, products C, critical D, global E, each for what it says. True too, on any transformer, in "
        'the reading "a penalty on leakage through gates, weights frozen or their gradients bounded", above '
        "`gate_level_a`; of a pretrained model the critical penalty of `gates_stay` is local, and lambda >= (L_mask - "
        "L_least)/target holds of global minimisers. That is a penalty on gates, not the abstract's on weights",
    ),
    Claim(
        "C4",
        MAIN,
        "attention entropy then obeys an exponential bound",
        REPAIRED,
        'false in the reading "a pure exponential with one constant"; proved in the exact form and as a repaired '
        "family",
    ),
    Claim("C5", MAIN, "pointer fidelity then obeys an exponential bound", PROVED, "with the best constants"),
    Claim(
        "C6",
        MAIN,
        "the error of doing so is negligible",
        PROVED,
        "as a number: leakage times the diameter of the values in each layer, amplified through depth by at most "
        "`depth_sum`. Whether that is negligible is measured. With each pair's own Lipschitz constants only a fault in "
        "code can violate `depth_sum`; with those of other sequences it is a prediction, which "
        "`localist run --study depth` counts as met or missed",
    ),
    Claim(
        "C7",
        MAIN,
        "information-theoretic anchor design",
        PROVED,
        "the margin that angles give, how far apart K anchors can lie, and how much a pointer of that fidelity tells",
    ),
    Claim(
        "C8",
        MAIN,
        "dynamic rule injection",
        PROVED,
        "for attention mass and priority; removal restores the stored logits exactly. Compliance of behaviour is "
        "measured",
    ),
    Claim(
        "C9",
        RECRUITMENT,
        "blocks, and whole models, are recruited by penalised likelihood; the process converges",
        REPAIRED,
        "the number of recruitments is bounded, for blocks and models alike; at the end no *single* recruitment helps. "
        'False in the reading "no set of recruitments helps": pairs may',
    ),
    Claim(
        "C10",
        RECRUITMENT,
        "results hold at stationary points, with exact constants",
        REPAIRED,
        "for the group penalty: stationarity, levels A to E, finite identification by plain and heavy-ball steps, "
        "Adam's "
        'own threshold, factorised heads. False in the reading "by any first-order method": Nesterov\'s momentum',
    ),
    Claim(
        "C11",
        RULES,
        "anchor redundancy raises fidelity and entropy together; five kinds of attention",
        REPAIRED,
        "fidelity always rises, entropy only once leakage times gap is at most 1; all kinds with positive weights are "
        "covered, an exponential rate only where the kernel is exponential in the score",
    ),
    Claim(
        "C12",
        RULES,
        "hot reload of verified rules raises asymptotic compliance",
        REPAIRED,
        "proved if each reload works *given that the violation persists*, and none is brought back. False in the "
        'reading "each works with some probability": reloads may be correlated',
    ),
    Claim(
        "C13",
        PROGRESSIVE,
        "steep layer schedules, late layers localised, cost least",
        REPAIRED,
        "the optimum under a drift budget is a knapsack; it is the last layers iff V_{l+1} <= (1 + Lip_{l+1}) V_l; "
        "powers "
        "(l/L)^beta do not tend to it. It optimises a bound: the claim is explained, not proved",
    ),
    Claim(
        "C14",
        AILA,
        "on text, two layers: entropy 5.36 bits at dial 1 against 7.18 at dial 0; best trade-off at dial 0.6",
        OPEN,
        "a measurement: the abstract gives neither data nor model. That more dial means less entropy has a condition, "
        "which is proved",
    ),
)
