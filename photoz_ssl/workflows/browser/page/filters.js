// Windows on columns: two numbers each, or a stroke over the column's histogram.

import { spanOf } from "./cloud.js";
import { element, spelled } from "./elements.js";
import { palette } from "./paint.js";

const BINS = 60;

export class Filters {
  /** load(name) gives a column; changed() is called when a window is. */
  constructor(place, chooser, columns, { ranges, load, changed }) {
    Object.assign(this, { place, chooser, ranges, load, changed });
    for (const name of columns) chooser.append(element("option", { value: name, textContent: name }));
    chooser.addEventListener("change", () => {
      if (chooser.value) this.add(chooser.value);
      chooser.value = "";
    });
  }

  async add(name) {
    if (this.ranges.has(name)) return;
    const range = { low: null, high: null, values: null };
    this.ranges.set(name, range);
    const row = this.#row(name, range);
    this.place.append(row.fieldset);
    range.values = await this.load(name);
    row.ready(range.values);
  }

  clear() {
    for (const range of this.ranges.values()) range.low = range.high = null;
    for (const fieldset of this.place.children) fieldset.refresh();
    this.changed();
  }

  get active() {
    return [...this.ranges.values()].filter(({ values, low, high }) => values && (low !== null || high !== null));
  }

  #row(name, range) {
    const canvas = element("canvas", { ariaHidden: "true" });
    const [low, high] = [["low", "from"], ["high", "to"]].map(([edge, word]) => edgeInput(name, word, (value) => {
      range[edge] = value;
      draw();
      this.changed();
    }));
    const remove = element("button", { type: "button", className: "plain", textContent: "remove" });
    remove.setAttribute("aria-label", `Remove the filter on ${name}`);
    const note = element("p", { className: "hint", role: "status" });
    const legend = element("legend", {}, element("span", { textContent: name }), remove);
    const fieldset = element("fieldset", { className: "filter" }, legend, canvas, low, element("span", { textContent: "–" }), high, note);
    remove.addEventListener("click", () => {
      this.ranges.delete(name);
      fieldset.remove();
      this.chooser.focus();
      this.changed();
    });
    let histogram = null;
    const draw = () => {
      tellOrder(range, note, [low, high]);
      if (histogram) drawHistogram(canvas, histogram, range);
    };
    fieldset.refresh = () => {
      low.value = range.low ?? "";
      high.value = range.high ?? "";
      draw();
    };
    const ready = (values) => {
      histogram = histogramOf(values);
      new ResizeObserver(draw).observe(canvas);
      matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
      brush(canvas, histogram, (edges) => {
        [range.low, range.high] = edges;
        fieldset.refresh();
        this.changed();
      });
    };
    return { fieldset, ready };
  }
}

/** Where an edge of a window on a column is typed; typed(null) where there is none. */
function edgeInput(name, word, typed) {
  const input = element("input", { type: "number", step: "any", placeholder: word });
  input.setAttribute("aria-label", `${name} ${word}`);
  input.addEventListener("input", () => typed(Number.isNaN(input.valueAsNumber) ? null : input.valueAsNumber));
  return input;
}

/** Say of a window whose edges are the wrong way round that nothing lies in it. */
function tellOrder({ low, high }, note, inputs) {
  const wrong = low !== null && high !== null && low > high;
  note.textContent = wrong ? `Nothing lies between: ${spelled(low)} is more than ${spelled(high)}.` : "";
  for (const input of inputs) input.setAttribute("aria-invalid", wrong);
}

function histogramOf(values) {
  const span = spanOf(values, 0.001) ?? [0, 1];
  const counts = new Uint32Array(BINS), scale = BINS / (span[1] - span[0]);
  for (let i = 0; i < values.length; i++) {
    const bin = Math.floor((values[i] - span[0]) * scale);
    if (bin >= 0 && bin < BINS) counts[bin]++;
  }
  return { span, counts };
}

function drawHistogram(canvas, { span, counts }, { low, high }) {
  const ratio = devicePixelRatio || 1, colours = palette();
  canvas.width = Math.max(1, canvas.clientWidth * ratio);
  canvas.height = Math.max(1, canvas.clientHeight * ratio);
  const context = canvas.getContext("2d"), most = Math.max(...counts, 1), width = canvas.width / BINS;
  counts.forEach((count, bin) => {
    const middle = span[0] + ((bin + 0.5) / BINS) * (span[1] - span[0]);
    const inside = middle >= (low ?? -Infinity) && middle <= (high ?? Infinity);
    context.fillStyle = inside ? colours.disc : colours.rest;
    const height = (canvas.height - ratio) * Math.sqrt(count / most);
    context.fillRect(bin * width, canvas.height - height, width - ratio, height);
  });
  context.fillStyle = colours.rest;
  context.fillRect(0, canvas.height - ratio, canvas.width, ratio);
}

/** Let the pointer draw a window; a click without a stroke opens it again. */
function brush(canvas, { span }, changed) {
  let from = null;
  const value = (event) => span[0] + (event.offsetX / canvas.clientWidth) * (span[1] - span[0]);
  canvas.addEventListener("pointerdown", (event) => {
    canvas.setPointerCapture(event.pointerId);
    from = { value: value(event), x: event.offsetX };
  });
  canvas.addEventListener("pointermove", (event) => {
    if (!from || Math.abs(event.offsetX - from.x) < 3) return;
    changed([from.value, value(event)].sort((a, b) => a - b).map((edge) => Number(spelled(edge))));
  });
  canvas.addEventListener("pointerup", (event) => {
    if (from && Math.abs(event.offsetX - from.x) < 3) changed([null, null]);
    from = null;
  });
  canvas.addEventListener("pointercancel", () => { from = null; });
}
