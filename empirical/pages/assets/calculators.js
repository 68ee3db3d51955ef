// The calculators of `bounds` on one state, from the printed closed forms: no formula stands here.
//
//   evaluate(state) -> {name: number, null where there is none}
//
// A state has the fields of Setting and PenaltySetting under their names, and `exponent`, the c of the repaired envelope.
"use strict";

const calculators = (() => {
  const { concentration, entropy, floors, dial, penalty } = bounds;

  /** Least value of a function of whole numbers in [low, high] that has one turning point at most. */
  function least(low, high, value) {
    let [a, b] = [low, high];
    while (b - a > 2) {
      const third = Math.floor((b - a) / 3);
      if (value(a + third) <= value(b - third)) b -= third;
      else a += third;
    }
    const tried = [low, high];
    for (let k = a; k <= b; k++) tried.push(k);
    return tried.reduce((best, k) => (value(k) < value(best) ? k : best));
  }

  /** Least x from `low` on at which a condition that stays met is met; between neighbouring numbers. */
  function first(low, high, met) {
    if (met(low)) return low;
    for (let step = 0; step < 200; step++) {
      const middle = low + (high - low) / 2;
      if (middle === low || middle === high) break;
      if (met(middle)) high = middle;
      else low = middle;
    }
    return high;
  }

  const scaledRange = (s) => (s.logit_range === null ? null : Math.max(s.logit_range, Math.abs(s.margin)) / s.temperature);

  function leakage(x, n, m, r, D) {
    return D === null ? concentration.leakage_ceiling(x, n, m, r) : concentration.leakage_ceiling_range(x, n, m, r, D);
  }

  function fidelity(x, n, m, r, D) {
    return D === null ? concentration.fidelity_floor(x, n, m, r) : concentration.fidelity_floor_range(x, n, m, r, D);
  }

  /** Largest entropy at a leakage under a margin; null beyond the leakage ceiling. */
  function frontier(eps, x, n, m, r) {
    if (eps > concentration.leakage_ceiling(x, n, m, r) * (1 + 1e-14)) return null;
    return entropy.frontier(eps, 1 - eps, entropy.binding_mass(eps, 1 - eps, x, n, m, r), n, m, r);
  }

  /** Rows of least entropy at a range, and at least that margin: how many keys stand on each level. */
  function floorRow(x, n, m, r, D) {
    const two = (k) => floors.two_level_entropy(D, n, k);
    const down = (j) => floors.three_level_entropy(D, x, n, r - j, j);
    const up = (j) => floors.three_level_entropy(D, D - x, n, m, j);
    const k = least(r, m, two);
    const a = least(0, r, down);
    const b = least(0, n - m, up);
    const families = [
      { entropy: two(k), levels: [{ kind: "anchors", keys: r, logit: D }, { kind: "free", keys: k - r, logit: D },
        { kind: "free", keys: m - k, logit: 0 }, { kind: "outside", keys: n - m, logit: 0 }] },
      { entropy: down(a), levels: [{ kind: "anchors", keys: r - a, logit: D }, { kind: "anchors", keys: a, logit: x },
        { kind: "free", keys: m - r, logit: 0 }, { kind: "outside", keys: n - m, logit: 0 }] },
      { entropy: up(b), levels: [{ kind: "anchors", keys: r, logit: D }, { kind: "free", keys: m - r, logit: D },
        { kind: "outside", keys: b, logit: D - x }, { kind: "outside", keys: n - m - b, logit: 0 }] },
    ];
    return families.reduce((best, one) => (one.entropy < best.entropy ? one : best));
  }

  /** Least margin over temperature that guarantees an entropy; null where none does, or any. */
  function scaledMarginForEntropy(target, n, m, r) {
    if (target >= Math.log(n) || target <= Math.log(m)) return null;
    return first(0, 1e4, (x) => entropy.entropy_ceiling(x, n, m, r) <= target);
  }

  /** Least x within |x| <= D at which margin and range guarantee a fidelity; null where none does. */
  function edge(F, n, m, r, D) {
    if (concentration.fidelity_floor_range(D, n, m, r, D) < F) return null;
    return first(-D, D, (x) => concentration.fidelity_floor_range(x, n, m, r, D) >= F);
  }

  function ofMargin(s, x, n, m, r, D) {
    const values = {
      leakage_ceiling: leakage(x, n, m, r, D),
      log_leakage_ceiling: D === null ? concentration.log_leakage_ceiling(x, n, m, r)
        : concentration.log_leakage_ceiling_range(x, n, m, r, D),
      fidelity_floor: fidelity(x, n, m, r, D),
      entropy_ceiling: entropy.entropy_ceiling(x, n, m, r),
      entropy_envelope: entropy.entropy_envelope(x, n, m, r),
      repaired_envelope: r === m ? entropy.repaired_envelope(x, n, m, s.exponent) : null,
    };
    const eps = concentration.leakage_ceiling(x, n, m, r);
    return { ...values, frontier: frontier(eps / 2, x, n, m, r), entropy_split: entropy.entropy_split(eps / 2, 1 - eps / 2, n, m) };
  }

  function ofRange(s, x, n, m, r, D) {
    const known = D !== null;
    return {
      fidelity_ceiling: known ? floors.fidelity_ceiling(D, n, m) : null,
      entropy_floor: known ? floors.two_level_entropy(D, n, least(1, n - 1, (k) => floors.two_level_entropy(D, n, k))) : null,
      entropy_floor_with_margin: known && x >= 0 ? floorRow(x, n, m, r, D).entropy : null,
      specht_floor: known ? floors.specht_floor(D, n) : null,
    };
  }

  function inverses(s, x, n, m, r) {
    const F = s.fidelity, tau = s.temperature;
    const needed = concentration.scaled_margin(F, 1 - F, n, m, r);
    const forEntropy = scaledMarginForEntropy(s.entropy, n, m, r);
    const anchors = Math.max(1, Math.ceil(concentration.anchors_needed(x, F, 1 - F, n, m)));
    const outside = Math.floor(concentration.outsiders_allowed(x, F, 1 - F, r));
    const helps = (s.margin > 0 && needed > 0) || (s.margin < 0 && needed < 0);
    return {
      margin_for_fidelity: tau * needed,
      margin_for_entropy: forEntropy === null ? null : tau * forEntropy,
      temperature_for_fidelity: helps ? s.margin / needed : null,
      anchors_for_fidelity: anchors <= m ? anchors : null,
      context_for_fidelity: outside >= 1 ? Math.min(m + outside, 2 ** 53) : null,
    };
  }

  function ofDial(s, eps, inside, n, m, D) {
    const F = s.fidelity;
    const kappa = dial.kappa_of_dial(s.dial);
    const forFidelity = eps > 0 ? Math.max(0, dial.kappa_needed(eps, inside, F, 1 - F)) : 0;
    const worst = D === null ? null : Math.max(0, D + concentration.scaled_margin(F, 1 - F, n, m, m));
    return {
      kappa_of_dial: kappa,
      dial_bias: dial.dial_bias(s.dial, s.temperature),
      dial_leakage: dial.dial_leakage(eps, inside, s.dial),
      kappa_for_fidelity: forFidelity,
      dial_for_fidelity: dial.dial_of_kappa(forFidelity),
      worst_case_kappa: worst,
      worst_case_dial: worst === null ? null : dial.dial_of_kappa(worst),
    };
  }

  function ofPenalty(s, eps) {
    const norms = [s.gradient_bound, s.value_diameter, s.query_norm, s.key_norm, s.key_diameter, s.query_share, s.temperature];
    const level = penalty.worst_case(...norms);
    return {
      penalty_threshold_worst_case: level,
      penalty_threshold_leakage_aware: penalty.leakage_aware(...norms, Math.min(eps, 1)),
      steps_to_zero: s.penalty > level ? Math.ceil(penalty.steps(s.group_norm, s.penalty, level, s.step)) : null,
    };
  }

  function evaluate(s) {
    const [n, m, r] = [s.n_keys, s.n_block, s.n_anchors];
    const x = s.margin / s.temperature;
    const D = scaledRange(s);
    const eps = leakage(x, n, m, r, D);
    return {
      ...ofMargin(s, x, n, m, r, D), ...ofRange(s, x, n, m, r, D), ...inverses(s, x, n, m, r),
      ...ofDial(s, eps, fidelity(x, n, m, r, D), n, m, D), ...ofPenalty(s, eps),
    };
  }

  /** Levels of keys, logits over temperature: rows that attain, or approach, what their name says. */
  const rows = {
    leakage_ceiling(x, n, m, r, D) {
      const low = D === null ? Math.min(x, 0) - 60 : Math.max(x, 0) - D; // e^-60 of the others weighs nothing
      return [{ kind: "anchors", keys: r, logit: x }, { kind: "free", keys: m - r, logit: low },
        { kind: "outside", keys: n - m, logit: 0 }];
    },
    entropy_ceiling(x, n, m, r) {
      const up = Math.max(x, 0);
      return [{ kind: "anchors", keys: r, logit: up }, { kind: "free", keys: m - r, logit: up * concentration.fidelity_floor(up, n, m, r) },
        { kind: "outside", keys: n - m, logit: 0 }];
    },
    entropy_floor_margin: (x, n, m, r, D) => (D === null || x < 0 ? null : floorRow(x, n, m, r, D).levels),
    fidelity_ceiling(x, n, m, r, D) {
      if (D === null) return null;
      return [{ kind: "anchors", keys: r, logit: D }, { kind: "free", keys: m - r, logit: D }, { kind: "outside", keys: n - m, logit: 0 }];
    },
  };

  /** The attention of a row of levels, softmax by definition, with weights outside times 1 - dial; its leakage and entropy. */
  function attention(levels, turned = 0) {
    const shown = levels.filter((level) => level.keys > 0);
    const bias = (level) => (level.kind === "outside" ? Math.log1p(-turned) : 0);
    const top = Math.max(...shown.map((level) => level.logit + bias(level)));
    const parts = shown.map((level) => ({ ...level, weight: Math.exp(level.logit + bias(level) - top) }));
    const total = parts.reduce((sum, part) => sum + part.keys * part.weight, 0);
    for (const part of parts) part.weight /= total;
    const sum = (of) => parts.reduce((all, part) => all + of(part), 0);
    return {
      parts,
      leakage: sum((part) => (part.kind === "outside" ? part.keys * part.weight : 0)),
      entropy: -sum((part) => (part.weight > 0 ? part.keys * part.weight * Math.log(part.weight) : 0)),
    };
  }

  return { evaluate, rows, attention, leakage, fidelity, frontier, edge, scaledRange, scaledMarginForEntropy,
    floorRow };
})();
