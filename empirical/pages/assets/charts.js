// Charts by uPlot: curves on one grid, regions below them, observed rows on top, grips that can be dragged.
"use strict";

const palette = new Map(); // to ask for a style while drawing lays the page out anew
const darkness = matchMedia("(prefers-color-scheme: dark)");
darkness.addEventListener("change", () => palette.clear());
function colour(name) {
  if (!palette.has(name)) palette.set(name, getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim());
  return palette.get(name);
}
const between = (low, high, count) => Array.from({ length: count }, (_, i) => low + ((high - low) * i) / (count - 1));
const SIZE = 2; // of an observed row, pixels of the page
const FORMATS = Array.from({ length: 16 }, (_, places) => new Intl.NumberFormat("en", { maximumSignificantDigits: places || 1 }));
const shown = (value, places) => (value !== 0 && Math.abs(value) < 1e-4 ? value.toExponential(places - 1) : FORMATS[places].format(value));
const said = (value) => (value === null || value === undefined ? "" : shown(value, 4));

/** A path through points of a chart, in pixels of its canvas. */
function trace(u, points, y = "y") {
  const path = new Path2D();
  points.forEach(([a, b], i) => path[i ? "lineTo" : "moveTo"](u.valToPos(a, "x", true), u.valToPos(b, y, true)));
  return path;
}

function area(u, points, fill) {
  u.ctx.fillStyle = fill;
  u.ctx.fill(trace(u, points));
}

function stroke(u, points, ink, dash = [], width = 1) {
  u.ctx.save();
  u.ctx.strokeStyle = ink;
  u.ctx.lineWidth = width * devicePixelRatio;
  u.ctx.setLineDash(dash.map((part) => part * devicePixelRatio));
  u.ctx.stroke(trace(u, points));
  u.ctx.restore();
}

function dot(u, [a, b], ink, y = "y") {
  const at = new Path2D();
  at.arc(u.valToPos(a, "x", true), u.valToPos(b, y, true), 4.5 * devicePixelRatio, 0, 2 * Math.PI);
  u.ctx.setLineDash([]);
  Object.assign(u.ctx, { fillStyle: ink, strokeStyle: colour("paper"), lineWidth: 2 * devicePixelRatio });
  u.ctx.fill(at);
  u.ctx.stroke(at);
}

/** Observed rows: those of the very counts in colour, the others grey. */
function scatter(u, run, x, y) {
  if (!run) return;
  const size = SIZE * devicePixelRatio;
  const { left, top, width, height } = u.bbox;
  const { x: across, y: up } = u.scales;
  const [wide, high] = [width / (across.max - across.min), height / (up.max - up.min)];
  for (const same of [false, true]) {
    u.ctx.fillStyle = colour(same ? "row" : "row-other");
    for (let i = 0; i < x.length; i++) {
      if (run.same[i] !== same || x[i] === null || y[i] === null) continue;
      if (x[i] < across.min || x[i] > across.max) continue;
      u.ctx.fillRect(left + (x[i] - across.min) * wide - size / 2, top + (up.max - y[i]) * high - size / 2, size, size);
    }
  }
}

const within = (u, draw) => {
  const { left, top, width, height } = u.bbox;
  u.ctx.save();
  u.ctx.beginPath();
  u.ctx.rect(left, top, width, height);
  u.ctx.clip();
  draw();
  u.ctx.restore();
};

/**
 * A chart in `holder`. `series`: [{name, ink, dash, fill, scale}]; `below(u)` and `above(u)` draw on its canvas.
 * Returns {update(ranges, data), grips}, ranges by scale; grips are placed once it is drawn.
 */
function makeChart(holder, { x, y, right, series, below, above, log }) {
  const ranges = {};
  const grips = [];
  const axis = (label, scale, side) => ({
    scale, ...(side === undefined ? {} : { side }), label, labelSize: 22, labelFont: "12px system-ui, sans-serif", font: "11px system-ui, sans-serif",
    size: scale === "x" ? 30 : 46, stroke: () => colour("soft"),
    grid: { stroke: () => (side === 1 ? "transparent" : colour("rule")), width: 1 }, ticks: { show: false },
    values: (_, splits) => splits.map((v) => (v === null ? "" : v !== 0 && Math.abs(v) < 1e-3 ? v.toExponential() : shown(v, 4))),
  });
  const options = {
    width: Math.max(holder.clientWidth, 240), height: 300, padding: [8, 12, 0, 0],
    scales: {
      x: { time: false, range: () => ranges.x, ...(log ? { distr: 3 } : {}) },
      y: { range: () => ranges.y }, ...(right ? { right: { range: () => ranges.right } } : {}),
    },
    axes: [axis(x, "x"), axis(y, "y"), ...(right ? [axis(right, "right", 1)] : [])],
    series: [{ label: x, value: (_, v) => said(v) }, ...series.map((one) => ({
      label: one.name, scale: one.scale ?? "y", stroke: () => colour(one.ink), width: one.width ?? 2, dash: one.dash,
      fill: one.fill ? () => colour(one.fill) : undefined, points: { show: false }, spanGaps: false, value: (_, v) => said(v),
    }))],
    legend: { live: true }, cursor: { y: false, drag: { x: false, y: false }, points: { size: 6 } },
    hooks: {
      drawClear: [(u) => below && within(u, () => below(u))],
      draw: [(u) => above && within(u, () => above(u)), () => grips.forEach((place) => place())],
    },
  };
  const plot = new uPlot(options, [[0, 1], ...series.map(() => [null, null])], holder);
  plot.over.parentElement.querySelector("canvas").setAttribute("aria-hidden", "true");
  new ResizeObserver(() => {
    const width = Math.max(holder.clientWidth, 240);
    if (width !== plot.width) plot.setSize({ width, height: 300 });
  }).observe(holder);
  return {
    plot,
    grips,
    update(wanted, data) {
      Object.assign(ranges, wanted);
      plot.setData(data);
    },
  };
}

/**
 * A grip on a chart that is dragged, or moved by arrow keys: `at()` gives its place, `moved(x, y)` hears of a new one.
 * `free` moves along x as well.
 */
function makeGrip(chart, label, { at, moved, step, free = false }) {
  const grip = document.createElement("div");
  grip.className = `grip${free ? " free" : ""}`;
  grip.tabIndex = 0;
  grip.setAttribute("role", "slider");
  grip.setAttribute("aria-label", label);
  const { plot } = chart;
  plot.over.append(grip);
  const heard = (event) => {
    const { left, top } = plot.over.getBoundingClientRect();
    moved(plot.posToVal(event.clientX - left, "x"), plot.posToVal(event.clientY - top, "y"));
  };
  grip.addEventListener("pointerdown", (event) => {
    grip.setPointerCapture(event.pointerId);
    event.preventDefault();
    event.stopPropagation();
    grip.focus();
  });
  grip.addEventListener("pointermove", (event) => grip.hasPointerCapture(event.pointerId) && heard(event));
  grip.addEventListener("keydown", (event) => {
    const way = { ArrowUp: [0, 1], ArrowDown: [0, -1], ArrowRight: [1, 0], ArrowLeft: [-1, 0] }[event.key];
    if (!way || (!free && !way[1])) return;
    event.preventDefault();
    const [x, y] = at();
    moved(x + way[0] * step, y + way[1] * step);
  });
  chart.grips.push(() => {
    const [x, y] = at();
    const [left, top] = [free ? plot.valToPos(x, "x") : plot.bbox.width / devicePixelRatio, plot.valToPos(y, "y")];
    grip.style.transform = `translate(${left}px, ${top}px)`;
    grip.setAttribute("aria-valuenow", String(y));
    grip.setAttribute("aria-valuetext", free ? `${said(x)}, ${said(y)}` : said(y));
  });
}
