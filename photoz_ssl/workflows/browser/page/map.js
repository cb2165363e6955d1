// The map: what of the cloud is in view, and the pointer, wheel and keys that change it.

import { densityImage, drawDiscs, palette, ring, shadeOf } from "./paint.js";
import { stampPath } from "./api.js";

const MOST_DISCS = 6000, MOST_STAMPS = 600, STAMP = 46, REACH = 14, KEY_STEP = 80;
const NOTE = 27;  // pixels that the note below takes

class View {
  constructor() { Object.assign(this, { x: 0, y: 0, scale: 1, width: 1, height: 1 }); }

  toScreen(x, y) { return [(x - this.x) * this.scale + this.width / 2, this.height / 2 - (y - this.y) * this.scale]; }

  toMap(i, j) { return [(i - this.width / 2) / this.scale + this.x, (this.height / 2 - j) / this.scale + this.y]; }

  rectangle() {
    const [left, top] = this.toMap(0, 0), [right, bottom] = this.toMap(this.width, this.height);
    return [left, bottom, right, top];
  }
}

export class SkyMap {
  /** Calls back on hover(row, x, y), pick(row), box(rectangle) with -1 and null for nothing. */
  constructor(canvas, cloud, { tools, pictures, hover, pick, box, recoloured }) {
    Object.assign(this, { canvas, cloud, tools, pictures, hover, pick, box, recoloured });
    this.context = canvas.getContext("2d");
    this.view = new View();
    this.marks = { current: -1, neighbours: [], like: new Set(), unlike: new Set(), box: null };
    this.colouring = null;
    this.hovered = -1;
    this.boxing = false;
    this.stamps = new Map();
    this.pictured = new Set();
    this.offscreen = document.createElement("canvas");
    this.colours = palette();
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
      this.colours = palette();
      this.recoloured();
      this.redraw();
    });
    new ResizeObserver(() => this.#resize()).observe(canvas);
    new ResizeObserver(() => this.#allAgain()).observe(tools);
    this.#listen();
    this.#resize();
    this.showAll();
  }

  /** The first row of pixels that the tools leave free, which are of two rows on a narrow page. */
  get #top() { return this.tools.offsetTop + this.tools.offsetHeight; }

  showAll() {
    const [left, bottom, right, top] = this.cloud.bounds, { view } = this, above = this.#top + STAMP / 2;
    const height = Math.max(50, view.height - above - NOTE);
    const room = 0.94 * Math.min(view.width / (right - left || 1), height / (top - bottom || 1));
    view.scale = this.leastScale = room;
    view.x = (left + right) / 2;
    view.y = (bottom + top) / 2 + (above - NOTE) / 2 / view.scale;
    this.all = { ...view };
    this.redraw();
  }

  /** Show all anew, unless somebody has looked closer or elsewhere since. */
  #allAgain() {
    const { view, all } = this;
    if (["x", "y", "scale"].every((name) => view[name] === all[name])) this.showAll();
  }

  zoom(factor, i = this.view.width / 2, j = this.view.height / 2) {
    const { view } = this, [x, y] = view.toMap(i, j);
    view.scale = Math.max(this.leastScale / 2, Math.min(this.leastScale * 1e5, view.scale * factor));
    const [x2, y2] = view.toMap(i, j);
    view.x += x - x2;
    view.y += y - y2;
    this.redraw();
  }

  goTo(row) {
    const x = this.cloud.positions[2 * row], y = this.cloud.positions[2 * row + 1];
    if (x !== x) return;
    const [i, j] = this.view.toScreen(x, y), { width, height } = this.view;
    if (i > 12 && j > this.#top && i < width - 12 && j < height - 12) return this.redraw();
    this.view.x = x;
    this.view.y = y;
    this.redraw();
  }

  redraw() {
    if (this.pending) return;
    this.pending = requestAnimationFrame(() => {
      this.pending = 0;
      this.#draw();
    });
  }

  #resize() {
    const { clientWidth, clientHeight } = this.canvas, ratio = devicePixelRatio || 1;
    const before = this.view.width;
    this.canvas.width = Math.round(clientWidth * ratio);
    this.canvas.height = Math.round(clientHeight * ratio);
    this.context.setTransform(ratio, 0, 0, ratio, 0, 0);
    Object.assign(this.view, { width: clientWidth, height: clientHeight });
    if (before > 1) this.view.scale *= clientWidth / before;
    this.#draw();
  }

  #draw() {
    const started = performance.now();
    const { context, view, cloud, colouring, colours } = this;
    context.clearRect(0, 0, view.width, view.height);
    this.pictured.clear();
    const inView = cloud.countIn(view.rectangle());
    if (inView > MOST_DISCS) this.#drawDensity(inView);
    else {
      const radius = Math.max(1.8, Math.min(6, 0.13 * Math.sqrt((view.width * view.height) / (inView + 1))));
      const chosen = drawDiscs(context, cloud, view, radius, colouring, colours);
      if (this.pictures && chosen.length <= MOST_STAMPS) this.#drawStamps(chosen);
    }
    this.#drawMarks();
    this.milliseconds = performance.now() - started;
  }

  #drawDensity(inView) {
    const { context, view, offscreen } = this;
    const apart = Math.sqrt((view.width * view.height) / inView);
    const cell = Math.max(1, Math.min(6, Math.round(1.6 * apart)));
    const image = densityImage(this.cloud, view, cell, this.colouring, this.colours);
    offscreen.width = image.width;
    offscreen.height = image.height;
    offscreen.getContext("2d").putImageData(image, 0, 0);
    context.imageSmoothingEnabled = cell > 1;
    const width = image.width * cell, height = image.height * cell;
    context.drawImage(offscreen, (view.width - width) / 2, (view.height - height) / 2, width, height);
  }

  /** Pictures of galaxies where they do not hide one another: first what is marked, then by row. */
  #drawStamps(places) {
    const { current, like, unlike, neighbours } = this.marks, taken = [];
    const marked = [...new Set([current, ...like, ...unlike, ...neighbours])];
    const ranks = new Map(marked.map((row, rank) => [row, rank - marked.length]));
    const order = (place) => ranks.get(this.cloud.rows[place]) ?? this.cloud.rows[place];
    for (const place of places.sort((a, b) => order(a) - order(b))) {
      const [x, y] = this.view.toScreen(this.cloud.x[place], this.cloud.y[place]);
      if (x < 0 || y < 0 || x > this.view.width || y > this.view.height) continue;
      if (taken.some(([i, j]) => Math.abs(i - x) < STAMP + 2 && Math.abs(j - y) < STAMP + 2)) continue;
      taken.push([x, y]);
      const image = this.#stamp(this.cloud.rows[place]);
      if (image.complete && image.naturalWidth) {
        this.context.drawImage(image, x - STAMP / 2, y - STAMP / 2, STAMP, STAMP);
        this.pictured.add(this.cloud.rows[place]);
        if (this.colouring) frame(this.context, [x, y], shadeOf(this.cloud.rows[place], this.colouring, this.colours), 2);
      }
    }
  }

  #stamp(row) {
    if (!this.stamps.has(row)) {
      if (this.stamps.size > 2 * MOST_STAMPS) this.stamps.clear();
      const image = new Image();
      image.onload = () => this.redraw();
      image.src = stampPath(row);
      this.stamps.set(row, image);
    }
    return this.stamps.get(row);
  }

  #drawMarks() {
    const { context, view, marks, colours } = this;
    const mark = (row, radius, colour, width) => {
      const place = view.toScreen(this.cloud.positions[2 * row], this.cloud.positions[2 * row + 1]);
      if (this.pictured.has(row)) frame(context, place, colour, width + 1);
      else ring(context, place, radius, colour, width);
    };
    for (const row of marks.neighbours) mark(row, 7, colours.mark2, 2);
    for (const row of marks.like) mark(row, 9, colours.like, 3);
    for (const row of marks.unlike) mark(row, 9, colours.unlike, 3);
    if (marks.current >= 0) mark(marks.current, 11, colours.mark, 3);
    if (this.hovered >= 0) mark(this.hovered, 8, colours.accent, 1.5);
    const box = this.drawn || marks.box;
    if (box) {
      const [i, j] = view.toScreen(box[0], box[3]), [k, l] = view.toScreen(box[2], box[1]);
      context.setLineDash([6, 4]);
      context.lineWidth = 1.5;
      context.strokeStyle = colours.accent;
      context.strokeRect(i, j, k - i, l - j);
      context.setLineDash([]);
    }
    if (this.canvas.matches(":focus-visible")) this.#drawCross();
  }

  #drawCross() {
    const { context } = this, x = this.view.width / 2, y = this.view.height / 2;
    context.strokeStyle = this.colours.accent;
    context.lineWidth = 1.5;
    context.beginPath();
    for (const [dx, dy] of [[1, 0], [-1, 0], [0, 1], [0, -1]]) {
      context.moveTo(x + 5 * dx, y + 5 * dy);
      context.lineTo(x + 14 * dx, y + 14 * dy);
    }
    context.stroke();
  }

  #at(i, j) { return this.cloud.nearest(...this.view.toMap(i, j), REACH / this.view.scale); }

  #listen() {
    const { canvas } = this;
    const pointers = new Map();
    let travelled = 0, corner = null;
    const place = (event) => [event.offsetX, event.offsetY];
    canvas.addEventListener("pointerdown", (event) => {
      if (event.button) return;
      canvas.setPointerCapture(event.pointerId);
      pointers.set(event.pointerId, place(event));
      if (pointers.size === 1) travelled = 0;
      corner = (event.shiftKey || this.boxing) && pointers.size === 1 ? this.view.toMap(...place(event)) : null;
    });
    canvas.addEventListener("pointermove", (event) => {
      const before = pointers.get(event.pointerId), now = place(event);
      if (!before) return this.#hoverAt(...now);
      travelled += Math.hypot(now[0] - before[0], now[1] - before[1]);
      if (corner) this.drawn = rectangleOf(corner, this.view.toMap(...now));
      else if (travelled > 4) this.#drag(pointers, event.pointerId, now);
      pointers.set(event.pointerId, now);
      this.redraw();
    });
    const end = (event) => {
      if (!pointers.delete(event.pointerId)) return;
      canvas.classList.remove("dragging");
      if (this.drawn && travelled > 4) this.box(this.drawn);
      else if (event.type === "pointerup" && travelled <= 4) this.pick(this.#at(...place(event)));
      this.drawn = corner = null;
      this.redraw();
    };
    canvas.addEventListener("pointerup", end);
    canvas.addEventListener("pointercancel", end);
    canvas.addEventListener("pointerleave", () => this.#hoverAt(-1e6, -1e6));
    canvas.addEventListener("wheel", (event) => {
      event.preventDefault();
      this.#hoverAt(-1e6, -1e6);
      const lines = event.deltaMode === 1 ? 30 : 1;
      this.zoom(Math.exp(-0.0018 * lines * event.deltaY), ...place(event));
    }, { passive: false });
    canvas.addEventListener("keydown", (event) => this.#key(event));
    for (const name of ["focus", "blur"]) canvas.addEventListener(name, () => this.redraw());
  }

  #hoverAt(i, j) {
    const row = this.#at(i, j);
    this.canvas.classList.toggle("over", row >= 0);
    if (row !== this.hovered) this.redraw();
    this.hovered = row;
    this.hover(row, i, j);
  }

  #drag(pointers, id, now) {
    const { view } = this, before = pointers.get(id);
    this.canvas.classList.add("dragging");
    this.hover(-1, 0, 0);
    if (pointers.size === 1) {
      view.x -= (now[0] - before[0]) / view.scale;
      view.y += (now[1] - before[1]) / view.scale;
      return;
    }
    const other = [...pointers].find(([key]) => key !== id)[1];
    const apart = (point) => Math.max(10, Math.hypot(point[0] - other[0], point[1] - other[1]));
    this.zoom(apart(now) / apart(before), (now[0] + other[0]) / 2, (now[1] + other[1]) / 2);
  }

  #key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const { view } = this, step = KEY_STEP / view.scale;
    const actions = {
      ArrowLeft: () => { view.x -= step; },
      ArrowRight: () => { view.x += step; },
      ArrowUp: () => { view.y += step; },
      ArrowDown: () => { view.y -= step; },
      "+": () => this.zoom(1.5),
      "=": () => this.zoom(1.5),
      "-": () => this.zoom(1 / 1.5),
      0: () => this.showAll(),
      Enter: () => this.pick(this.cloud.nearest(view.x, view.y, 60 / view.scale)),
    };
    if (!(event.key in actions)) return;
    event.preventDefault();
    this.#hoverAt(-1e6, -1e6);
    actions[event.key]();
    this.redraw();
  }
}

/** A frame around a picture, where a ring would hide the galaxy. */
function frame(context, [x, y], colour, width) {
  context.strokeStyle = colour;
  context.lineWidth = width;
  context.strokeRect(x - STAMP / 2, y - STAMP / 2, STAMP, STAMP);
}

const rectangleOf = ([x, y], [x2, y2]) => [Math.min(x, x2), Math.min(y, y2), Math.max(x, x2), Math.max(y, y2)];
