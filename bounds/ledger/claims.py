"""The claims of the papers: what an abstract says, in our words, and what became of it.

Only the abstracts are at hand, so a claim is an abstract's, and every formula is ours.
"""

from __future__ import annotations

from dataclasses import dataclass

MAIN = "arXiv:2510.09338v2"
RECRUITMENT, RULES, PROGRESSIVE, AILA = "arXiv:2510.17358", "arXiv:2510.05106", "arXiv:2511.18375", "arXiv:2511.03559"


@dataclass(frozen=True)
class Claim:
    """What an abstract claims, in our words, and what became of it.

    `verdict` is short enough for one screen of all claims, and names the reading; `detail` says the rest. `reproduce`
    is a `localist` command of about a minute; `changes` says what would change the verdict.
    """

    key: str
    source: str
    words: str
    status: str
    verdict: str
    reproduce: str
    changes: str
    detail: str


PROVED, REPAIRED = "proved", "false in a reading, repaired"
OPEN = "not decidable from the abstract"

CLAIMS = (
    Claim(
        "C1",
        MAIN,
        "a locality dial moves the model continuously between localist and distributed",
        PROVED,
        "each attention row, its input given, moves continuously and exactly with the dial; entropy need not fall",
        "run --study dial --quick --out runs/dial",
        "a row off the odds law by more than rounding",
        "for every attention row, given that layer's input: the odds law is exact and continuous in the dial, and the "
        "output moves along one segment. Entropy is not always monotone on the way: `entropy_turning_point` says when",
    ),
    Claim(
        "C2",
        MAIN,
        "the dial works in training and at inference, with no retraining",
        PROVED,
        "at inference, by the odds law; in training the dial is a penalty, see C3",
        "run --study interference --quick --out runs/interference",
        "one outside token that changes one bit at dial 1",
        "at inference: per row, in the worst case over a range, and through depth by `depth_sum`. In training the "
        "dial is a penalty, see C3",
    ),
    Claim(
        "C3",
        MAIN,
        "penalty thresholds exist above which attention concentrates on the relevant block",
        OPEN,
        "false where the penalty alone should do; true with anchors above a named level, and with gates above level A",
        "run --study hysteresis --quick --out runs/hysteresis",
        "an open group or gate at a stationary point above its proved level; the abstract's own thresholds",
        'false in the reading "any large enough penalty alone does" (it takes anchors too), and where one threshold is '
        'to serve every purpose. True in the reading "with anchors, above a named threshold": worst case A, '
        "leakage-aware B, products C, critical D, global E, each for what it says. True too, on any transformer, in "
        'the reading "penalty on leakage through gates, weights frozen or capped, level A proved": `gate_level_a`, and '
        "`localist run --study gates` proves such levels of models that enclosures reach, beside what was found. On "
        "pretrained models only the local critical penalty (`gates_stay`) and lambda >= (L_mask - L_lower)/target of "
        "global minimisers (`penalised_leakage`) are proved: it is a penalty on gates, not the abstract's on weights",
    ),
    Claim(
        "C4",
        MAIN,
        "attention entropy then obeys an exponential bound",
        REPAIRED,
        "false for one pure exponential; the exact maximum and a repaired family are proved",
        "verify --claim C4 --quick",
        "a row above the exact maximum",
        'false in the reading "a pure exponential with one constant"; proved in the exact form and as a repaired '
        "family",
    ),
    Claim(
        "C5",
        MAIN,
        "pointer fidelity then obeys an exponential bound",
        PROVED,
        "with the best constants",
        "verify --claim C5 --quick",
        "a row below the floor of its margin",
        "with the best constants",
    ),
    Claim(
        "C6",
        MAIN,
        "the error of doing so is negligible",
        PROVED,
        "as a number for every layer and through depth; whether it is negligible is measured",
        "run --study depth --quick --out runs/depth",
        "an output that moves further than the depth sum",
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
        "margins from angles, packings of K anchors, information of a pointer",
        "anchors --blocks 12 --dim 3 --target-fidelity 0.9",
        "a packing beyond its bound",
        "the margin that angles give, how far apart K anchors can lie, and how much a pointer of that fidelity tells",
    ),
    Claim(
        "C8",
        MAIN,
        "dynamic rule injection",
        PROVED,
        "attention mass and priority are guaranteed; behaviour is measured",
        "run --study rules --quick --out runs/rules",
        "a rule that gets less than its mass",
        "for attention mass and priority; removal restores the stored logits exactly. Compliance of behaviour is "
        "measured",
    ),
    Claim(
        "C9",
        RECRUITMENT,
        "blocks, and whole models, are recruited by penalised likelihood; the process converges",
        REPAIRED,
        "the number of recruitments is bounded; at the end no single one helps, though a pair may",
        "verify --claim C9 --quick",
        "a run with more recruitments than its bound",
        "the number of recruitments is bounded, for blocks and models alike; at the end no *single* recruitment helps. "
        'False in the reading "no set of recruitments helps": pairs may',
    ),
    Claim(
        "C10",
        RECRUITMENT,
        "results hold at stationary points, with exact constants",
        REPAIRED,
        "stationarity, levels A to E, steps to zero; false for every first-order method (Nesterov)",
        "verify --claim C10 --quick",
        "a stationary point against its level",
        "for the group penalty: stationarity, levels A to E, finite identification by plain and heavy-ball steps, "
        "Adam's "
        'own threshold, factorised heads. False in the reading "by any first-order method": Nesterov\'s momentum',
    ),
    Claim(
        "C11",
        RULES,
        "anchor redundancy raises fidelity and entropy together; five kinds of attention",
        REPAIRED,
        "fidelity always rises, entropy only once leakage times gap is at most 1",
        "verify --claim C11 --quick",
        "a kernel with positive weights that escapes its ceiling",
        "fidelity always rises, entropy only once leakage times gap is at most 1; all kinds with positive weights are "
        "covered, an exponential rate only where the kernel is exponential in the score",
    ),
    Claim(
        "C12",
        RULES,
        "hot reload of verified rules raises asymptotic compliance",
        REPAIRED,
        "if each reload works given that the violation persists; false if each merely works often",
        "verify --claim C12 --quick",
        "reloads that obey the hypothesis and do not comply",
        "proved if each reload works *given that the violation persists*, and none is brought back. False in the "
        'reading "each works with some probability": reloads may be correlated',
    ),
    Claim(
        "C13",
        PROGRESSIVE,
        "steep layer schedules, late layers localised, cost least",
        REPAIRED,
        "the optimum of a drift budget is a knapsack, the last layers under a condition; not powers of depth",
        "run --study schedule --quick --out runs/schedule",
        "an allocation within the budget that keeps less mass than the knapsack",
        "the optimum under a drift budget is a knapsack; it is the last layers iff V_{l+1} <= (1 + Lip_{l+1}) V_l; "
        "powers (l/L)^beta do not tend to it. It optimises a bound: the claim is explained, not proved. Which depths "
        "are cheap is read off a model: the critical penalties of its layers' gates (`pair_law`; `localist run --study "
        "gates`)",
    ),
    Claim(
        "C14",
        AILA,
        "on text, two layers: entropy 5.36 bits at dial 1 against 7.18 at dial 0; best trade-off at dial 0.6",
        OPEN,
        "a measurement, its model not given; less entropy with more dial has a condition, which is proved",
        "verify --claim C14 --quick",
        "the measurement, repeated on the same model",
        "a measurement: the abstract names WikiText and a two-layer transformer, nothing more. That more dial means "
        "less entropy has a condition, which is proved",
    ),
)
