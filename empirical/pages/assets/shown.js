// What the explorer shows of a state, and the rows that it can show. `side` is where rounding keeps a line true.
"use strict";

/** [name, words, unit, side, theorem, what stands for no number] */
const RESULTS = [
  ["fidelity_floor", "fidelity, at least", "of 1", "down", "fidelity_floor"],
  ["leakage_ceiling", "leakage, at most", "of 1", "up", "leakage_ceiling"],
  ["log_leakage_ceiling", "ln leakage, at most", "nats", "up", "leakage_ceiling"],
  ["entropy_ceiling", "entropy, at most", "nats", "up", "entropy_ceiling"],
  ["entropy_envelope", "exponential envelope of the entropy", "nats", "up", "entropy_envelope"],
  ["repaired_envelope", "repaired envelope", "nats", "up", "repaired_envelope", "needs r = m"],
  ["fidelity_ceiling", "fidelity, at most, by the range", "of 1", "up", "fidelity_ceiling"],
  ["entropy_floor", "entropy, at least, by the range", "nats", "down", "entropy_floor"],
  ["entropy_floor_with_margin", "by range and margin", "nats", "down", "entropy_floor_margin", "needs range, x >= 0"],
  ["specht_floor", "Specht's floor on the entropy", "nats", "down", "specht_floor"],
  ["margin_for_fidelity", "least margin for the fidelity", "logits", "up", "fidelity_floor"],
  ["margin_for_entropy", "least margin for the entropy", "logits", "up", "entropy_ceiling", "any, or none"],
  ["temperature_for_fidelity", "temperature at this margin", "1", "down", "fidelity_floor", "any, or none"],
  ["anchors_for_fidelity", "least anchors at this margin", "keys", "up", "fidelity_floor", "unreachable"],
  ["context_for_fidelity", "most keys at this margin", "keys", "down", "fidelity_floor", "unreachable"],
  ["dial_leakage", "leakage, at most, dialled", "of 1", "up", "odds_law"],
  ["kappa_of_dial", "the dial as kappa", "nats", "up", "odds_law"],
  ["dial_bias", "bias of the dial outside the block", "logits", "down", "odds_law"],
  ["dial_for_fidelity", "least dial at this margin", "of 1", "up", "odds_law"],
  ["kappa_for_fidelity", "the same as kappa", "nats", "up", "odds_law"],
  ["worst_case_dial", "least dial for every row of the range", "of 1", "up", "worst_case_dial"],
  ["worst_case_kappa", "the same as kappa", "nats", "up", "worst_case_dial"],
  ["penalty_threshold_worst_case", "penalty, level A", "loss/norm", "up", "worst_case_threshold"],
  ["penalty_threshold_leakage_aware", "penalty, level B", "loss/norm", "up", "leakage_aware_gradient"],
  ["steps_to_zero", "plain proximal steps to zero", "steps", "up", "steps_to_zero", "penalty too small"],
].map(([name, label, unit, side, theorem, none = "range not known"]) => ({ name, label, unit, side, theorem, none }));

const ROWS = {
  leakage_ceiling: "Anchors at the margin, everything outside at 0, the rest of the block as low as can be.",
  entropy_ceiling: "Anchors at the margin, everything outside at 0, the rest of the block in between.",
  entropy_floor_margin: "Of all rows of this margin and range the one of least entropy.",
  fidelity_ceiling: "The whole block at the top of the range, everything outside at its bottom.",
};
