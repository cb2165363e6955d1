// Turning points into pixels: as density where there are many, as discs where there are few.

// After viridis, without its darkest on black and its brightest on white.
const ON_LIGHT = ["#440154", "#472d7b", "#3b528b", "#2c728e", "#21918c", "#28ae80", "#5ec962", "#b4c81e", "#f0bc00"];
const ON_DARK = ["#7a5bd6", "#5d74d8", "#4590cc", "#35a8b4", "#2fbc91", "#5ec962", "#addc30", "#fde725"];

const channels = (hex) => [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16));

/** 256 colours between some, as [red, green, blue] each. */
export function ramp(colours) {
  const stops = colours.map(channels);
  return Array.from({ length: 256 }, (_, i) => {
    const at = (i / 255) * (stops.length - 1), k = Math.min(stops.length - 2, Math.floor(at));
    return stops[k].map((from, c) => Math.round(from + (at - k) * (stops[k + 1][c] - from)));
  });
}

export const css = ([red, green, blue]) => `rgb(${red} ${green} ${blue})`;

/** Where a value lies in a span, 0 to 1; in the middle where there is no telling. */
export function fraction(value, [low, high]) {
  const share = (value - low) / (high - low);
  return high > low && share === share ? Math.max(0, Math.min(1, share)) : 0.5;
}

/** The colours of the page, which follow the system's light or dark. */
export function palette() {
  const style = getComputedStyle(document.documentElement);
  const colour = (name) => style.getPropertyValue(`--${name}`).trim();
  return {
    rest: colour("rest"), mark: colour("mark"), mark2: colour("mark-2"), like: colour("like"),
    unlike: colour("unlike"), accent: colour("accent"), ink: colour("ink"),
    restChannels: channels(colour("rest")),
    density: ramp([colour("density-0"), colour("density-1"), colour("density-2")]),
    disc: colour("density-1"),
    column: ramp(matchMedia("(prefers-color-scheme: dark)").matches ? ON_DARK : ON_LIGHT),
  };
}

/** Bin galaxies in view and give an image of their density, or of a column's mean in its shade. */
export function densityImage(cloud, view, cell, colouring, colours) {
  const width = Math.ceil(view.width / cell), height = Math.ceil(view.height / cell);
  const all = new Uint32Array(width * height);
  const some = cloud.nChosen < cloud.n, chosen = some ? new Uint32Array(width * height) : all;
  const sums = colouring ? new Float64Array(width * height) : null;
  const known = colouring ? new Uint32Array(width * height) : null;
  const { x, y, kept, rows } = cloud, scale = view.scale / cell, values = colouring?.values;
  const x0 = width / 2 - view.x * scale, y0 = height / 2 + view.y * scale;
  cloud.runs(view.rectangle(), (from, to) => {
    for (let p = from; p < to; p++) {
      const i = x[p] * scale + x0, j = y0 - y[p] * scale;
      if (!(i >= 0 && j >= 0 && i < width && j < height)) continue;
      const bin = (j | 0) * width + (i | 0);
      all[bin]++;
      if (some && kept[p]) chosen[bin]++;
      if (!values || !kept[p]) continue;
      const value = values[rows[p]];
      if (value === value) { sums[bin] += value; known[bin]++; }
    }
  });
  const bins = { width, height, all, chosen, sums, known };
  return toImage(cell > 1 ? smoothed(bins) : bins, colouring, colours);
}

/** Bins that are wider than a pixel, without the grain of single galaxies. */
function smoothed(bins) {
  const { width, height, all, chosen, sums, known } = bins;
  const blurred = (counts) => counts && blur(counts, width, height);
  const blurredAll = blurred(all);
  return {
    width, height, all: blurredAll, chosen: chosen === all ? blurredAll : blurred(chosen),
    sums: blurred(sums), known: blurred(known),
  };
}

/** The binomial mean of each bin and those around it; light that falls off the edge is lost. */
function blur(counts, width, height) {
  const across = new Float32Array(counts.length), both = new Float32Array(counts.length);
  for (let j = 0, bin = 0; j < height; j++) {
    for (let i = 0; i < width; i++, bin++) {
      across[bin] = counts[bin] / 2 + ((i ? counts[bin - 1] : 0) + (i < width - 1 ? counts[bin + 1] : 0)) / 4;
    }
  }
  for (let j = 0, bin = 0; j < height; j++) {
    for (let i = 0; i < width; i++, bin++) {
      both[bin] = across[bin] / 2 + ((j ? across[bin - width] : 0) + (j < height - 1 ? across[bin + width] : 0)) / 4;
    }
  }
  return both;
}

function toImage(bins, colouring, colours) {
  const { width, height, all, chosen, sums, known } = bins;
  const image = new ImageData(width, height), pixels = image.data;
  const top = Math.log1p(brightest(chosen)) || 1, restTop = Math.log1p(brightest(all)) || 1;
  for (let bin = 0; bin < all.length; bin++) {
    if (!all[bin]) continue;
    const shade = chosen[bin] ? Math.log1p(chosen[bin]) / top : Math.log1p(all[bin]) / restTop;
    let colour = colours.restChannels, alpha = (60 + 140 * shade) * Math.min(1, 0.1 + all[bin]);
    if (chosen[bin] && !colouring) {
      colour = colours.density[Math.min(255, Math.round(255 * shade))];
      alpha = 255 * Math.min(1, 0.1 + chosen[bin]);
    } else if (chosen[bin] && known[bin]) {
      colour = colours.column[Math.round(255 * fraction(sums[bin] / known[bin], colouring.span))];
      alpha = (110 + 145 * Math.min(1, shade)) * Math.min(1, 0.1 + chosen[bin]);
    }
    const at = 4 * bin;
    pixels[at] = colour[0];
    pixels[at + 1] = colour[1];
    pixels[at + 2] = colour[2];
    pixels[at + 3] = alpha;
  }
  return image;
}

/** The largest count but for a thousandth of the bins that are not empty. */
function brightest(counts) {
  const histogram = new Uint32Array(4096), levels = 8;
  let filled = 0;
  for (let bin = 0; bin < counts.length; bin++) {
    if (counts[bin]) { histogram[Math.min(4095, Math.ceil(levels * counts[bin]))]++; filled++; }
  }
  let left = Math.floor(filled / 1000), level = 4095;
  while (level > 1 && histogram[level] <= left) left -= histogram[level--];
  return level / levels;
}

/** The colour of a galaxy: by a column's value, or the one of all discs. */
export function shadeOf(row, colouring, colours) {
  if (!colouring) return colours.disc;
  const value = colouring.values[row];
  return value === value ? css(colours.column[Math.round(255 * fraction(value, colouring.span))]) : colours.rest;
}

/** Draw galaxies as discs, those that are not chosen beneath the others. */
export function drawDiscs(context, cloud, view, radius, colouring, colours) {
  const chosen = [];
  context.fillStyle = colours.rest;
  cloud.runs(view.rectangle(), (from, to) => {
    for (let p = from; p < to; p++) {
      if (cloud.kept[p]) { chosen.push(p); continue; }
      const [x, y] = view.toScreen(cloud.x[p], cloud.y[p]);
      context.fillRect(x - 1, y - 1, 2, 2);
    }
  });
  context.globalAlpha = 0.85;
  for (const p of chosen) {
    const [x, y] = view.toScreen(cloud.x[p], cloud.y[p]);
    context.fillStyle = shadeOf(cloud.rows[p], colouring, colours);
    context.beginPath();
    context.arc(x, y, radius, 0, 7);
    context.fill();
  }
  context.globalAlpha = 1;
  return chosen;
}

export function ring(context, [x, y], radius, colour, width = 2) {
  context.strokeStyle = colour;
  context.lineWidth = width;
  context.beginPath();
  context.arc(x, y, radius, 0, 7);
  context.stroke();
}
