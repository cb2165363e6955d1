// The galaxies as points, sorted into a grid so that a part of the map costs only what lies there.

export class Cloud {
  constructor(positions) {
    const n = positions.length / 2;
    this.n = n;
    this.positions = positions;
    this.chosen = new Uint8Array(n).fill(1);
    this.nChosen = n;
    this.bounds = boundsOf(positions);
    this.#sort();
  }

  #sort() {
    const { positions, n } = this;
    const [left, bottom, right, top] = this.bounds;
    this.side = Math.max(1, Math.min(1024, Math.ceil(Math.sqrt(n / 4))));
    this.stepX = Math.max((right - left) / this.side, 1e-30);
    this.stepY = Math.max((top - bottom) / this.side, 1e-30);
    const start = new Uint32Array(this.side * this.side + 1);
    const cell = new Uint32Array(n);
    const nowhere = 0xffffffff;
    for (let i = 0; i < n; i++) {
      const x = positions[2 * i], y = positions[2 * i + 1];
      cell[i] = x === x && y === y ? this.#row(y) * this.side + this.#column(x) : nowhere;
      if (cell[i] !== nowhere) start[cell[i] + 1]++;
    }
    for (let c = 0; c < start.length - 1; c++) start[c + 1] += start[c];
    const next = start.slice();
    this.nPlaced = start[start.length - 1];
    this.rows = new Uint32Array(this.nPlaced);
    this.x = new Float32Array(this.nPlaced);
    this.y = new Float32Array(this.nPlaced);
    for (let i = 0; i < n; i++) {
      if (cell[i] === nowhere) continue;
      const place = next[cell[i]]++;
      this.rows[place] = i;
      this.x[place] = positions[2 * i];
      this.y[place] = positions[2 * i + 1];
    }
    this.start = start;
    this.kept = new Uint8Array(this.nPlaced).fill(1);
  }

  #column(x) { return clamp(Math.floor((x - this.bounds[0]) / this.stepX), this.side - 1); }

  #row(y) { return clamp(Math.floor((y - this.bounds[1]) / this.stepY), this.side - 1); }

  /** Call back with runs of places, from a first to before a last, that cover a rectangle. */
  runs([left, bottom, right, top], callback) {
    const first = this.#column(left), last = this.#column(right);
    for (let row = this.#row(bottom); row <= this.#row(top); row++) {
      callback(this.start[row * this.side + first], this.start[row * this.side + last + 1]);
    }
  }

  /** How many galaxies lie in a rectangle, to the width of a cell of the grid. */
  countIn(rectangle) {
    let count = 0;
    this.runs(rectangle, (from, to) => { count += to - from; });
    return count;
  }

  /** The chosen galaxy nearest to a point within a radius; -1 for none. */
  nearest(x, y, radius) {
    let best = -1, closest = radius * radius;
    this.runs([x - radius, y - radius, x + radius, y + radius], (from, to) => {
      for (let p = from; p < to; p++) {
        const dx = this.x[p] - x, dy = this.y[p] - y, distance = dx * dx + dy * dy;
        if (distance <= closest && this.kept[p]) {
          closest = distance;
          best = this.rows[p];
        }
      }
    });
    return best;
  }

  /** Choose the galaxies in windows on columns and in a box on the map; edges count as inside. */
  choose(windows, box) {
    const { chosen, positions, n } = this;
    chosen.fill(1);
    for (const { values, low, high } of windows) {
      const least = low ?? -Infinity, most = high ?? Infinity;
      for (let i = 0; i < n; i++) if (!(values[i] >= least && values[i] <= most)) chosen[i] = 0;
    }
    if (box) {
      const [left, bottom, right, top] = box;
      for (let i = 0; i < n; i++) {
        const x = positions[2 * i], y = positions[2 * i + 1];
        if (!(x >= left && x <= right && y >= bottom && y <= top)) chosen[i] = 0;
      }
    }
    let count = 0;
    for (let i = 0; i < n; i++) count += chosen[i];
    this.nChosen = count;
    for (let p = 0; p < this.nPlaced; p++) this.kept[p] = chosen[this.rows[p]];
  }
}

const clamp = (number, most) => (number < 0 ? 0 : number > most ? most : number);

function boundsOf(positions) {
  let left = Infinity, bottom = Infinity, right = -Infinity, top = -Infinity;
  for (let i = 0; i < positions.length; i += 2) {
    const x = positions[i], y = positions[i + 1];
    if (x < left) left = x;
    if (x > right) right = x;
    if (y < bottom) bottom = y;
    if (y > top) top = y;
  }
  return left <= right ? [left, bottom, right, top] : [0, 0, 1, 1];
}

/** Least and largest of the inner part of a column, by a sample of it; null where all is NaN. */
export function spanOf(values, tail = 0.005) {
  const step = Math.max(1, Math.floor(values.length / 20000));
  const sample = [];
  for (let i = 0; i < values.length; i += step) if (Number.isFinite(values[i])) sample.push(values[i]);
  if (!sample.length) return null;
  sample.sort((a, b) => a - b);
  const at = (share) => sample[Math.round(share * (sample.length - 1))];
  const low = at(tail), high = at(1 - tail);
  const apart = Math.max(0.5, Math.abs(low) / 1e4);  // a half alone is lost beside 2^53
  return high > low ? [low, high] : [low - apart, low + apart];
}
