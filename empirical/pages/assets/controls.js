// Sliders and numbers from the list of fields, the state they make, and the address that keeps it.
"use strict";

const tidy = (value, digits = 4) => Number(value.toPrecision(digits));

/** How the place of a slider, 0 to 1, and a value belong together; `low` and `high` may depend on the state. */
const SCALES = {
  linear: { value: (p, low, high) => Number((low + (high - low) * p).toFixed(2)), place: (v, low, high) => (v - low) / (high - low) },
  log: { value: (p, low, high) => tidy(low * (high / low) ** p), place: (v, low, high) => Math.log(v / low) / Math.log(high / low) },
  count: {
    value: (p, low, high) => Math.round(low * (high / low) ** p),
    place: (v, low, high) => (high > low ? Math.log(v / low) / Math.log(high / low) : 0),
  },
  odds: { // evenly in ln(v / (1 - v))
    value: (p, low, high) => tidy(1 - tidy(1 / (1 + Math.exp(logit(low) + (logit(high) - logit(low)) * p)), 3), 12),
    place: (v, low, high) => (logit(v) - logit(low)) / (logit(high) - logit(low)),
  },
  dial: { // evenly in kappa = -ln(1 - dial); the end is dial 1
    value: (p, low, high) => (p >= 1 ? 1 : tidy(1 - tidy(Math.exp(-KAPPA_END * p), 3), 12)),
    place: (v) => (v >= 1 ? 1 : Math.min(bounds.dial.kappa_of_dial(v) / KAPPA_END, 0.999)),
  },
};
const KAPPA_END = 14;
const logit = (v) => Math.log(v) - Math.log1p(-v);
const NONE = "none";

const ends = {
  n_block: (s) => [1, s.n_keys - 1],
  n_anchors: (s) => [1, s.n_block],
  entropy: (s) => [0.01, tidy(Math.log(s.n_keys))],
};
const endsOf = (field, state) => (ends[field.name] ? ends[field.name](state) : [field.low, field.high]);

/** The state with its counts in order and every number within its ends, or as it was before. */
function settled(fields, given, before) {
  const state = {};
  for (const field of fields) {
    const [low, high] = endsOf(field, state);
    let value = given[field.name];
    if (value === null && field.optional) state[field.name] = null;
    else {
      if (typeof value !== "number" || !Number.isFinite(value)) value = before[field.name];
      if (field.scale === "count") value = Math.round(value);
      const free = field.name === "entropy"; // a target beyond ln n is met by every row
      state[field.name] = free ? Math.max(value, low) : Math.min(Math.max(value, low), high);
    }
  }
  if (state.logit_range !== null) state.logit_range = Math.max(state.logit_range, Math.abs(state.margin));
  return state;
}

const stateAt = (fields, places) => {
  const given = {};
  for (const field of fields) {
    const place = places[field.name];
    given[field.name] = place === null ? null : SCALES[field.scale].value(place, ...endsOf(field, given));
  }
  return settled(fields, given, given);
};

/** What of the state is not as at first, as an address says it. */
function toHash(fields, state, first) {
  const said = fields.filter((field) => state[field.name] !== first[field.name])
    .map((field) => `${field.name}=${state[field.name] ?? NONE}`);
  return said.length ? `#${said.join("&")}` : "";
}

function fromHash(fields, hash, first) {
  const said = new URLSearchParams(hash.replace(/^#/, ""));
  const given = { ...first };
  for (const field of fields) {
    const text = said.get(field.name);
    if (text === NONE) given[field.name] = null;
    else if (text !== null && text.trim() !== "") given[field.name] = Number(text);
  }
  return settled(fields, given, first);
}

/** A slider and a number for every field, in the fieldset of its section; `changed(name, value)` hears of both. */
function makeControls(fields, changed) {
  const made = {};
  for (const field of fields) {
    const holder = document.querySelector(`[data-section="${field.section}"]`);
    const part = document.getElementById("control").content.cloneNode(true);
    const [label, number, slider, note] = ["label", ".number", ".slider", ".meaning"].map((at) => part.querySelector(at));
    label.textContent = field.label;
    label.htmlFor = number.id = `number-${field.name}`;
    note.id = `meaning-${field.name}`;
    note.textContent = field.meaning + (field.unit === "1" ? "" : ` [${field.unit}]`);
    slider.setAttribute("aria-label", field.label);
    for (const input of [number, slider]) input.setAttribute("aria-describedby", note.id);
    number.addEventListener("change", () => changed(field.name, number.value === "" ? NaN : Number(number.value)));
    slider.addEventListener("input", () => changed(field.name, null, Number(slider.value) / 1000));
    const known = part.querySelector(".known");
    known.hidden = !field.optional;
    const box = known.querySelector("input");
    box.addEventListener("change", () => changed(field.name, box.checked ? undefined : null));
    made[field.name] = { number, slider, box };
    holder.append(part);
  }
  return made;
}

function showControls(fields, made, state) {
  for (const field of fields) {
    const { number, slider, box } = made[field.name];
    const value = state[field.name];
    number.disabled = slider.disabled = value === null;
    box.checked = value !== null;
    if (value === null) {
      number.value = "";
      continue;
    }
    const [low, high] = endsOf(field, state);
    if (document.activeElement !== number || Number(number.value) !== value) number.value = String(value);
    const place = Math.round(1000 * Math.min(Math.max(SCALES[field.scale].place(value, low, high), 0), 1));
    if (Number(slider.value) !== place && !slider.matches(":active")) slider.value = String(place);
    slider.setAttribute("aria-valuetext", `${value}${field.unit === "1" ? "" : ` ${field.unit}`}`);
  }
}
