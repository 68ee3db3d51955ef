// The pictures of the explorer: what each draws of a state, and the sentence below it.
"use strict";

const MANY = 161; // places of a curve
const NAMES = { anchors: "anchors", free: "other keys of the block", outside: "outside the block" };
const INKS = { anchors: "guaranteed-ink", free: "free", outside: "outside" };

/** At most, or at least: rounded so that the words stay true. */
function safely(value, side, places = 4) {
  if (value === null) return "none";
  if (!Number.isFinite(value) || value === 0) return String(value).replace("Infinity", "∞");
  const scale = 10 ** (places - 1 - Math.floor(Math.log10(Math.abs(value))));
  if (!Number.isFinite(scale)) return String(value);
  return shown((side === "up" ? Math.ceil(value * scale - 1e-9) : Math.floor(value * scale + 1e-9)) / scale, places);
}
const percent = (value, side) => (value > 0.9999 && value < 1 ? `${safely(100 * value, side, 8)} %` : `${safely(100 * value, side)} %`);
/** A dial, up, with as many digits as tell it from 1. */
const dialText = (value) => {
  if (value >= 1) return "1";
  const places = 2 - Math.floor(Math.log10(1 - value));
  return String(Math.min(Math.ceil(value * 10 ** places) / 10 ** places, 1));
};
const nats = (value, side) => `${safely(value, side)} nats (${safely(value / Math.LN2, side, 3)} bits)`;
const counted = (count, noun) => `${count.toLocaleString("en")} ${noun}${count === 1 ? "" : "s"}`;

const counts = (s) => [s.n_keys, s.n_block, s.n_anchors];

/** Margins over temperature worth showing: those at which the fidelity rises, those observed near them, the state's own. */
function marginEnds(s, run) {
  const needed = bounds.concentration.scaled_margin(0.999, 0.001, s.n_keys, s.n_block, s.n_anchors);
  const x = s.margin / s.temperature;
  const seen = run ? run.ends.x : [0, 0];
  const high = Math.max(needed, x + 1, seen[1]);
  return [Math.min(-1, x - 1, Math.max(seen[0], -2 * high)), high];
}

function fidelityPicture(holder, run, ask) {
  let s = null;
  const chart = makeChart(holder, {
    x: "margin / temperature", y: "attention on the block",
    series: [
      { name: "guaranteed", ink: "guaranteed-ink", fill: "below" }, { name: "with the range known", ink: "free", dash: [6, 3] },
      { name: "possible at this range", ink: "impossible-ink", dash: [2, 3] }, { name: "attention spread evenly", ink: "trivial", dash: [8, 4] },
    ],
    above: (u) => {
      scatter(u, run, run?.x, run?.fidelity);
      const [n, m, r] = counts(s);
      const needed = bounds.concentration.scaled_margin(s.fidelity, 1 - s.fidelity, n, m, r);
      const { x: [low, high], y: [bottom] } = { x: [u.scales.x.min, u.scales.x.max], y: [u.scales.y.min] };
      stroke(u, [[low, s.fidelity], [high, s.fidelity]], colour("target"), [4, 3], 1.2);
      stroke(u, [[needed, bottom], [needed, s.fidelity]], colour("target"), [4, 3], 1.2);
      dot(u, [needed, s.fidelity], colour("target"));
      const x = s.margin / s.temperature;
      dot(u, [x, calculators.fidelity(x, n, m, r, calculators.scaledRange(s))], colour("here"));
    },
  });
  makeGrip(chart, "fidelity wanted", {
    at: () => [0, s.fidelity], step: 0.01, moved: (_, y) => ask("fidelity", tidy(Math.min(Math.max(y, 0.001), 0.9999), 4)),
  });
  return (state, values) => {
    s = state;
    const [n, m, r] = counts(s);
    const D = calculators.scaledRange(s);
    const xs = between(...marginEnds(s, run), MANY);
    const most = values.fidelity_ceiling;
    chart.update({ x: [xs[0], xs[MANY - 1]], y: [0, 1.02] }, [
      xs, xs.map((x) => bounds.concentration.fidelity_floor(x, n, m, r)),
      xs.map((x) => (D === null || Math.abs(x) > D ? null : calculators.fidelity(x, n, m, r, D))),
      xs.map(() => most), xs.map(() => m / n),
    ]);
    return `A target of ${percent(s.fidelity, "down")} needs a margin of ${safely(values.margin_for_fidelity, "up")} logits at temperature `
      + `${said(s.temperature)}. Drag the dashed line: the dot reads the margin.`;
  };
}

function entropyPicture(holder, run, ask) {
  let s = null, needed = null;
  const chart = makeChart(holder, {
    x: "margin / temperature", y: "entropy of the row (nats)",
    series: [
      { name: "largest, exact", ink: "guaranteed-ink", fill: "below" }, { name: "exponential envelope", ink: "free", dash: [6, 3] },
      { name: "repaired envelope", ink: "outside", dash: [3, 3] }, { name: "least at this range", ink: "impossible-ink", dash: [2, 3] },
      { name: "ln m", ink: "trivial", dash: [8, 4] },
    ],
    above: (u) => {
      scatter(u, run, run?.x, run?.entropy);
      const { min: low, max: high } = u.scales.x;
      stroke(u, [[low, s.entropy], [high, s.entropy]], colour("target"), [4, 3], 1.2);
      if (needed !== null) {
        stroke(u, [[needed, u.scales.y.min], [needed, s.entropy]], colour("target"), [4, 3], 1.2);
        dot(u, [needed, s.entropy], colour("target"));
      }
      const x = s.margin / s.temperature;
      dot(u, [x, bounds.entropy.entropy_ceiling(x, ...counts(s))], colour("here"));
    },
  });
  makeGrip(chart, "entropy wanted", {
    at: () => [0, s.entropy], step: 0.05, moved: (_, y) => ask("entropy", tidy(Math.max(y, 0.01))),
  });
  return (state, values) => {
    s = state;
    const [n, m, r] = counts(s);
    needed = values.margin_for_entropy === null ? null : values.margin_for_entropy / s.temperature;
    const D = calculators.scaledRange(s);
    const [low, high] = marginEnds(s, run);
    const xs = between(low, Math.max(high, needed ?? 0), MANY);
    const top = 1.06 * Math.log(n);
    const seen = (value) => (value <= top ? value : null);
    chart.update({ x: [xs[0], xs[MANY - 1]], y: [0, top] }, [
      xs, xs.map((x) => bounds.entropy.entropy_ceiling(x, n, m, r)),
      xs.map((x) => (x < 0 ? null : seen(bounds.entropy.entropy_envelope(x, n, m, r)))),
      xs.map((x) => (x < 0 || r < m ? null : seen(bounds.entropy.repaired_envelope(x, n, m, s.exponent)))),
      xs.map((x) => (D === null || x < 0 || x > D ? null : calculators.floorRow(x, n, m, r, D).entropy)),
      xs.map(() => Math.log(m)),
    ]);
    if (s.entropy >= Math.log(n)) return `An entropy of ln n = ${nats(Math.log(n), "up")} or more is met by every row.`;
    if (needed === null) return `No finite margin guarantees ${nats(s.entropy, "down")}: that is at most ln m, and anchors may be tied with the rest of the block.`;
    return `A target of ${nats(s.entropy, "down")} needs a margin of ${safely(values.margin_for_entropy, "up")} logits. Drag the dashed line.`;
  };
}

function frontierPicture(holder, run) {
  let s = null, end = 0;
  const chart = makeChart(holder, {
    x: "leakage", y: "entropy of the row (nats)",
    series: [
      { name: "largest at this margin", ink: "guaranteed-ink", fill: "below" }, { name: "largest at any margin", ink: "trivial", dash: [8, 4] },
    ],
    above: (u) => {
      scatter(u, run, run?.leakage, run?.entropy);
      stroke(u, [[end, 0], [end, calculators.frontier(end, s.margin / s.temperature, ...counts(s))]], colour("guaranteed-ink"), [], 2);
      const row = calculators.attention(calculators.rows.entropy_ceiling(s.margin / s.temperature, ...counts(s)));
      dot(u, [row.leakage, row.entropy], colour("here"));
    },
  });
  return (state) => {
    s = state;
    const [n, m, r] = counts(s);
    const x = s.margin / s.temperature;
    end = bounds.concentration.leakage_ceiling(x, n, m, r);
    const reach = Math.min(1, Math.max(1.4 * end, run ? run.ends.leakage[1] : 0, 1e-6));
    const grid = [...new Set([...between(0, end, 81), ...between(0, reach, 121)])].sort((a, b) => a - b);
    chart.update({ x: [0, reach], y: [0, 1.06 * Math.log(n)] }, [
      grid, grid.map((eps) => calculators.frontier(eps, x, n, m, r)),
      grid.map((eps) => bounds.entropy.entropy_split(eps, 1 - eps, n, m)),
    ]);
    return `Rows of this margin lie in the shaded region: leakage at most ${percent(end, "up")}, entropy below the curve; the dot is the row of largest entropy.`;
  };
}

function phasePicture(holder, run, ask) {
  let s = null;
  const chart = makeChart(holder, {
    x: "margin / temperature", y: "range / temperature", series: [],
    below: (u) => {
      const [n, m, r] = counts(s);
      const F = s.fidelity;
      const { min: left, max: right } = u.scales.x;
      const top = u.scales.y.max;
      area(u, [[-top, top], [0, 0], [top, top]], colour("open"));
      const least = bounds.concentration.scaled_margin(F, 1 - F, n, m, m);
      if (least > 0) area(u, [[-least, least], [0, 0], [least, least]], colour("impossible"));
      const edges = between(0, top, 121).map((D) => [calculators.edge(F, n, m, r, D), D]).filter(([x]) => x !== null);
      if (edges.length) {
        area(u, [...edges, [top, top], [edges[0][1], edges[0][1]]], colour("guaranteed"));
        stroke(u, edges, colour("guaranteed-ink"), [], 2);
      }
      if (least > 0) stroke(u, [[-least, least], [least, least]], colour("impossible-ink"), [], 2);
      stroke(u, [[Math.min(left, -top), Math.max(-left, top)], [0, 0], [Math.max(right, top), Math.max(right, top)]], colour("soft"), [2, 3]);
    },
    above: (u) => {
      scatter(u, run, run?.x, run?.D);
      const D = calculators.scaledRange(s);
      if (D !== null) dot(u, [s.margin / s.temperature, D], colour("here"));
    },
  });
  makeGrip(chart, "margin and range", {
    free: true, step: 0.25, at: () => [s.margin / s.temperature, calculators.scaledRange(s) ?? Math.abs(s.margin / s.temperature)],
    moved: (x, D) => ask("margin", tidy(x * s.temperature), "logit_range", tidy(Math.max(D, Math.abs(x)) * s.temperature)),
  });
  return (state, values) => {
    s = state;
    const [low, high] = marginEnds(s, run);
    const D = calculators.scaledRange(s);
    const top = 1.08 * Math.max(high, D ?? 0, run ? Math.min(run.ends.D[1], 4 * high) : 0);
    chart.update({ x: [Math.max(low, -top), Math.min(Math.max(high, top / 2), top)], y: [0, top] }, [[0, 1]]);
    const target = percent(s.fidelity, "down");
    if (D === null) return `Blue: ${target} is guaranteed; yellow: open; grey: impossible, the range is too small. The range is not known: no place is marked.`;
    const where = values.fidelity_floor >= s.fidelity ? "guaranteed" : values.fidelity_ceiling < s.fidelity ? "impossible: the range is too small" : "open";
    return `At this margin and range ${target} is ${where}. Drag the dot. Blue: guaranteed; yellow: open; grey: impossible.`;
  };
}

function dialPicture(holder) {
  let s = null, levels = null;
  const chart = makeChart(holder, {
    x: "κ = −ln(1 − dial)", y: "leakage", right: "entropy (nats)",
    series: [{ name: "leakage", ink: "guaranteed-ink" }, { name: "leakage allowed", ink: "target", dash: [4, 3], width: 1.2 },
      { name: "entropy", ink: "outside", dash: [6, 3], scale: "right" }],
    above: (u) => {
      const turned = calculators.attention(levels, s.dial);
      const kappa = Math.min(bounds.dial.kappa_of_dial(s.dial), KAPPA_END);
      dot(u, [kappa, turned.leakage], colour("here"));
      dot(u, [kappa, turned.entropy], colour("outside"), "right");
    },
  });
  return (state, values) => {
    s = state;
    const [n, m, r] = counts(s);
    levels = calculators.rows.leakage_ceiling(s.margin / s.temperature, n, m, r, calculators.scaledRange(s));
    const kappas = between(0, KAPPA_END, MANY);
    const rows = kappas.map((kappa) => calculators.attention(levels, bounds.dial.dial_of_kappa(kappa)));
    const most = (values_) => 1.08 * Math.max(...values_);
    const [leakages, entropies] = [rows.map((row) => row.leakage), rows.map((row) => row.entropy)];
    chart.update({ x: [0, KAPPA_END], y: [0, most(leakages)], right: [0, Math.max(most(entropies), 0.1)] }, [
      kappas, leakages, kappas.map(() => (1 - s.fidelity <= most(leakages) ? 1 - s.fidelity : null)), entropies,
    ]);
    return `The row of largest leakage: dial ${said(s.dial)} leaves ${percent(values.dial_leakage, "up")} outside; `
      + (values.kappa_for_fidelity > 0 ? `${percent(s.fidelity, "down")} on the block needs dial ${dialText(values.dial_for_fidelity)}.`
        : `${percent(s.fidelity, "down")} on the block needs no dial.`);
  };
}

function penaltyPicture(holder) {
  let s = null, values = null;
  const chart = makeChart(holder, {
    x: "margin / temperature", y: "penalty (loss / norm)",
    series: [{ name: "level A: worst case", ink: "trivial", dash: [8, 4] }, { name: "level B: at this leakage", ink: "guaranteed-ink" },
      { name: "your penalty", ink: "target", dash: [4, 3], width: 1.2 }],
    above: (u) => dot(u, [s.margin / s.temperature, values.penalty_threshold_leakage_aware], colour("here")),
  });
  return (state, found) => {
    [s, values] = [state, found];
    const [n, m, r] = counts(s);
    const norms = [s.gradient_bound, s.value_diameter, s.query_norm, s.key_norm, s.key_diameter, s.query_share, s.temperature];
    const xs = between(...marginEnds(s, null), MANY);
    const level = values.penalty_threshold_worst_case;
    const top = 1.15 * Math.max(level, s.penalty < 3 * level ? s.penalty : 0, 1e-12);
    chart.update({ x: [xs[0], xs[MANY - 1]], y: [0, top] }, [
      xs, xs.map(() => level),
      xs.map((x) => bounds.penalty.leakage_aware(...norms, calculators.leakage(x, n, m, r, null))), xs.map(() => s.penalty),
    ]);
    const steps = values.steps_to_zero === null ? "does not exceed it, so cross blocks need not vanish"
      : `brings every cross block to exactly zero within ${counted(values.steps_to_zero, "plain proximal step")}`;
    return `Above ${safely(level, "up")} every stationary point has its cross blocks at zero; your ${said(s.penalty)} ${steps}.`;
  };
}
