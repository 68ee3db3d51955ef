// The explorer: one state, turned by sliders, grips and the address; everything else follows from it.
"use strict";

const DATA = JSON.parse(document.getElementById("data").textContent);
const { fields, first } = DATA;
const run = DATA.run;
let state = fromHash(fields, location.hash, first);
let pending = 0;
const spent = []; // milliseconds of every refresh, which benchmarks read

const at = (id) => document.getElementById(id);
const made = makeControls(fields, change);
const pictures = [
  ["fidelity", fidelityPicture], ["entropy", entropyPicture], ["frontier", frontierPicture],
  ["phase", phasePicture], ["dial", dialPicture], ["penalty", penaltyPicture],
].map(([name, picture]) => ({ holder: at(name), caption: at(`${name}-caption`), draw: picture(at(name), run, ask), near: true }));

/** A control says a value, or the place of its slider; a range that becomes known is at first wide enough. */
function change(name, value, place) {
  const field = fields.find((one) => one.name === name);
  let wanted = value;
  if (place !== undefined) wanted = SCALES[field.scale].value(place, ...endsOf(field, state));
  else if (value === undefined) wanted = Math.max(first[name] ?? 0, Math.abs(state.margin) + 2);
  ask(name, wanted);
}

/** New values of some fields: drawn with the next frame, whatever else comes before it. */
function ask(...pairs) {
  const given = { ...state };
  for (let i = 0; i < pairs.length; i += 2) given[pairs[i]] = pairs[i + 1];
  state = settled(fields, given, state);
  if (!pending) pending = requestAnimationFrame(() => { pending = 0; refresh(); });
}

function refresh() {
  const began = performance.now();
  const values = calculators.evaluate(state);
  if (run) run.same = run.n.map((n, i) => n === state.n_keys && run.m[i] === state.n_block && run.r[i] === state.n_anchors);
  showControls(fields, made, state);
  at("sentence").textContent = sentence(state, values);
  at("target").textContent = aim(state, values);
  for (const picture of pictures) show(picture, values);
  showResults(values);
  showRow();
  showCopies();
  const hash = toHash(fields, state, first);
  if (hash !== location.hash) history.replaceState(null, "", hash || location.pathname + location.search);
  spent.push(performance.now() - began);
}

/** Draws a picture that is in view, or near; any other once it comes there. */
function show(picture, values) {
  picture.stale = !picture.near;
  if (picture.near) picture.caption.textContent = picture.draw(state, values);
}

const near = new IntersectionObserver((entries) => {
  for (const { target, isIntersecting } of entries) {
    const picture = pictures.find((one) => one.holder === target);
    picture.near = isIntersecting;
    if (isIntersecting && picture.stale) show(picture, calculators.evaluate(state));
  }
}, { rootMargin: "150px" });
pictures.forEach((picture) => near.observe(picture.holder));
addEventListener("beforeprint", () => {
  for (const picture of pictures) picture.near = true;
  refresh();
});

function sentence(s, v) {
  const one = s.n_anchors === 1 || s.n_anchors === s.n_block;
  const who = s.n_anchors === s.n_block ? "every key of its block" : s.n_anchors === 1 ? "one key of its block, the anchor,"
    : `${s.n_anchors.toLocaleString("en")} keys of its block, the anchors,`;
  const ahead = s.margin >= 0 ? `${one ? "beats" : "beat"} every key outside by ${said(s.margin)} logits`
    : `${one ? "stays" : "stay"} within ${said(-s.margin)} logits of every key outside`;
  const known = s.logit_range === null ? "" : ` and the logits span at most ${said(s.logit_range)}`;
  return `Where ${who} ${ahead}${known}, a row of ${counted(s.n_keys, "key")} gives its block of `
    + `${s.n_block.toLocaleString("en")} at least ${percent(v.fidelity_floor, "down")} of its attention, and its entropy is at most ${nats(v.entropy_ceiling, "up")}.`;
}

function aim(s, v) {
  const target = percent(s.fidelity, "down");
  if (v.fidelity_floor >= s.fidelity) return `Your target of ${target} is guaranteed.`;
  if (v.fidelity_ceiling !== null && v.fidelity_ceiling < s.fidelity) return `Your target of ${target} is impossible at this range: ${percent(v.fidelity_ceiling, "up")} at most.`;
  const ways = [`a margin of ${safely(v.margin_for_fidelity, "up")}`];
  if (v.temperature_for_fidelity !== null && s.margin > 0) ways.push(`a temperature of ${safely(v.temperature_for_fidelity, "down")}`);
  if (v.anchors_for_fidelity !== null) ways.push(counted(v.anchors_for_fidelity, "anchor"));
  if (v.context_for_fidelity !== null) ways.push(`at most ${counted(v.context_for_fidelity, "key")}`);
  if (v.dial_for_fidelity < 1) ways.push(`a dial of ${dialText(v.dial_for_fidelity)}`);
  return `Your target of ${target} is not guaranteed yet. Any one of these does it: ${ways.join(", ")}.`;
}

function showResults(values) {
  const body = at("results");
  if (!body.rows.length) {
    for (const result of RESULTS) {
      const theorem = DATA.theorems[result.theorem];
      const row = body.insertRow();
      const head = document.createElement("th");
      head.scope = "row";
      head.textContent = result.label;
      row.append(head);
      row.insertCell().className = "value";
      row.insertCell().textContent = result.unit;
      row.insertCell().textContent = theorem.title;
      row.cells[3].title = theorem.statement;
    }
  }
  RESULTS.forEach((result, i) => {
    const value = values[result.name];
    const text = value === null ? result.none : result.name.endsWith("dial_for_fidelity") || result.name === "worst_case_dial"
      ? dialText(value) : safely(value, result.side, 6);
    const bits = value !== null && result.unit === "nats" ? ` = ${safely(value / Math.LN2, result.side, 4)} bits` : "";
    const cell = body.rows[i].cells[1];
    if (cell.textContent !== text + bits) cell.textContent = text + bits;
    body.rows[i].classList.toggle("none", value === null);
  });
}

/** The row that attains what is chosen: attention by kind of key, and whether it is the bound. */
function showRow() {
  const chosen = at("row").value;
  const x = state.margin / state.temperature;
  const levels = calculators.rows[chosen](x, ...counts(state), calculators.scaledRange(state));
  const bar = at("row-bar"), body = at("row-levels");
  bar.replaceChildren();
  body.replaceChildren();
  if (levels === null) {
    at("row-caption").textContent = "It needs the logit range to be known, and a margin that is not negative.";
    return;
  }
  const found = calculators.attention(levels);
  for (const part of found.parts) {
    const mass = part.keys * part.weight;
    const piece = document.createElement("div");
    piece.style.flexGrow = String(mass);
    piece.style.background = `var(--${INKS[part.kind]})`;
    piece.textContent = mass > 0.12 ? percent(mass, "down") : "";
    bar.append(piece);
    const line = body.insertRow();
    const cells = [NAMES[part.kind], part.keys.toLocaleString("en"), said(part.logit * state.temperature), said(part.weight), percent(mass, "down")];
    for (const text of cells) line.insertCell().textContent = text;
  }
  bar.setAttribute("aria-label", found.parts.map((part) => `${NAMES[part.kind]} ${percent(part.keys * part.weight, "down")}`).join(", "));
  at("row-caption").textContent = `${ROWS[chosen]} This row: leakage ${safely(found.leakage, "up", 6)}, entropy ${nats(found.entropy, "up")}.`;
}

/** What stands in the three boxes: the same configuration as TOML, as Python, as a command. */
const copies = () => {
  const told = (section) => fields.filter((field) => field.section === section && state[field.name] !== null)
    .map((field) => [field.name, state[field.name]]);
  const python = (value) => (Number.isInteger(value) ? String(value) : String(value));
  const inside = (section) => told(section).map(([name, value]) => `${name}=${python(value)}`).join(", ");
  const flags = [...told("setting"), ...told("penalty")].map(([name, value]) => `--${name.replaceAll("_", "-")} ${value}`);
  return {
    toml: `# localist thresholds FILE.toml\nschema_version = 1\n\n[setting]\n${lines(told("setting"))}\n\n[penalty]\n${lines(told("penalty"))}\n\n${model()}`,
    python: `import bounds\n\nprint(bounds.design(\n    bounds.Setting(${inside("setting")}),\n    bounds.PenaltySetting(${inside("penalty")}),\n).table())\n`,
    command: `localist thresholds ${flags.join(" ")}\n`,
  };
};
const lines = (pairs) => pairs.map(([name, value]) => `${name} = ${value}`).join("\n");

/** A model of these counts: blocks of equal size where they divide the keys, else a text as long. */
function model() {
  const [n, m] = counts(state);
  const blocks = n / m;
  if (Number.isInteger(blocks) && blocks <= 1024 && blocks * n <= DATA.most.blocks) return `[model]\nblocks = ${blocks}\n`;
  const batch = n ** 2 <= DATA.most.topics ? "" : "\n[sweep]\nbatch = 1\n";
  return `[task]\nname = "topics"\nqueries = ${n}\n${batch}`;
}

function showCopies() {
  for (const [name, text] of Object.entries(copies())) {
    if (at(`${name}-text`).textContent !== text) at(`${name}-text`).textContent = text;
  }
}

for (const button of document.querySelectorAll("[data-copy]")) {
  button.addEventListener("click", async () => {
    const what = button.dataset.copy;
    const text = what === "link" ? location.href : at(`${what}-text`).textContent;
    const told = button.textContent;
    try {
      await navigator.clipboard.writeText(text);
      button.textContent = "copied";
    } catch {
      button.textContent = "select and copy by hand";
    }
    setTimeout(() => { button.textContent = told; }, 1500);
  });
}
for (const name of Object.keys(ROWS)) at("row").append(new Option(name.replaceAll("_", " "), name));
at("reset").addEventListener("click", () => { state = settled(fields, first, first); refresh(); });
at("row").addEventListener("change", showRow);
addEventListener("hashchange", () => { state = fromHash(fields, location.hash, first); refresh(); });
darkness.addEventListener("change", refresh);
refresh();
