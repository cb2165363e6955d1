// What the person at the page wants, and what follows from it.

import * as api from "./api.js";
import { Cloud, spanOf } from "./cloud.js";
import { byId, element, spelled } from "./elements.js";
import { Filters } from "./filters.js";
import { SkyMap } from "./map.js";
import { css } from "./paint.js";
import * as panel from "./panel.js";

const state = { galaxy: null, image: null, like: new Set(), unlike: new Set(), ranges: new Map(), box: null };
const names = new Map(), columns = new Map(), details = new Map();
let atlas, cloud, map, filters, asking, opening, messageTimer;

function say(text) {
  const message = byId("message");
  message.textContent = text;
  message.hidden = false;
  clearTimeout(messageTimer);
  messageTimer = setTimeout(() => { message.hidden = true; }, 3000 + 60 * text.length);
}

function told(action) {
  return async (...given) => {
    try {
      return await action(...given);
    } catch (error) {
      if (error.name !== "AbortError") say(error.message);
      return undefined;
    }
  };
}

function column(name) {
  if (!columns.has(name)) {
    const loading = api.floats(`api/column?name=${encodeURIComponent(name)}`);
    loading.catch(() => columns.delete(name));
    columns.set(name, loading);
  }
  return columns.get(name);
}

async function galaxyOf(row) {
  if (!details.has(row)) {
    if (details.size > 2000) details.clear();
    details.set(row, await api.json(`api/galaxy/${row}`));
    names.set(row, details.get(row).id);
  }
  return details.get(row);
}

const shared = () => ({ state, names, pictures: atlas.pictures, vote, open: (row) => openGalaxy(row, { leaveMap: true }) });

const openGalaxy = told(async (row, { leaveMap } = {}) => {
  if (row < 0) return;
  opening = row;
  const galaxy = await galaxyOf(row);
  if (opening !== row) return;
  state.galaxy = row;
  state.image = null;
  panel.showGalaxy(galaxy, shared());
  panel.goToGalaxy({ leaveMap });
  map.goTo(row);
  await refreshNeighbours();
});

const vote = told(async (kind, row) => {
  const other = kind === "like" ? "unlike" : "like", { problem } = await galaxyOf(row);
  if (problem) throw new api.Refusal(api.sentence(problem));
  if (!state[kind].delete(row)) state[kind].add(row);
  state[other].delete(row);
  if (state.galaxy !== null) panel.showGalaxy(await galaxyOf(state.galaxy), shared());
  await refreshNeighbours();
});

async function refreshNeighbours() {
  asking?.abort();
  const asks = api.asksSomething(state);
  byId("alike").hidden = !asks;
  panel.showExamples(shared());
  mark([]);
  if (!asks) return;
  asking = new AbortController();
  const { signal } = asking, query = api.neighbourQuery(state);
  byId("alike-fits").href = `api/neighbours.fits?${query}`;
  byId("neighbours").classList.add("busy");
  try {
    const found = await api.json(`api/neighbours?${query}`, { signal });
    for (const { row, id } of found) names.set(row, id);
    panel.showNeighbours(found, shared());
    mark(found.map(({ row }) => row));
  } catch (error) {
    if (!signal.aborted) panel.showNone(error.message);
    throw error;
  } finally {
    if (!signal.aborted) byId("neighbours").classList.remove("busy");
  }
}

function mark(neighbours) {
  Object.assign(map.marks, { current: state.galaxy ?? -1, neighbours, like: state.like, unlike: state.unlike, box: state.box });
  map.redraw();
}

let soon;
function selectionChanged() {
  cloud.choose(filters.active, state.box);
  const all = cloud.n.toLocaleString("en"), some = cloud.nChosen.toLocaleString("en");
  const whole = !filters.active.length && !state.box;
  byId("count").textContent = whole ? `All ${all} galaxies` : `${some} of ${all} galaxies`;
  byId("clear").hidden = whole;
  byId("selection-fits").href = `api/selection.fits?${api.selectionQuery(state)}`;
  map.marks.box = state.box;
  map.redraw();
  clearTimeout(soon);
  soon = setTimeout(told(refreshNeighbours), 250);
}

function clearSelection() {
  state.box = null;
  filters.clear();
}

function setBox(box) {
  state.box = box && box.map((edge) => Number(edge.toPrecision(7)));
  map.boxing = false;
  byId("box").setAttribute("aria-pressed", "false");
  byId("map").classList.remove("boxing");
  selectionChanged();
}

let hoverTimer, tipRow = -1;
function hover(row, x, y) {
  const tip = byId("tip");
  if (row < 0) {
    clearTimeout(hoverTimer);
    tipRow = -1;
    tip.hidden = true;
    return;
  }
  const { clientWidth, clientHeight } = byId("map");
  tip.style.left = `${x + 150 > clientWidth ? x - 142 : x + 16}px`;
  tip.style.top = `${Math.max(4, Math.min(y + 14, clientHeight - 175))}px`;
  if (row === tipRow) return;
  tipRow = row;
  clearTimeout(hoverTimer);
  hoverTimer = setTimeout(told(async () => {
    const galaxy = await galaxyOf(row);
    if (tipRow !== row) return;
    const stamp = atlas.pictures && !galaxy.problem ? [element("img", { src: api.stampPath(row), alt: "" })] : [];
    const redshift = galaxy.redshift === null ? [] : [element("br"), `z = ${galaxy.redshift.toFixed(4)}`];
    tip.replaceChildren(...stamp, element("span", {}, galaxy.id, ...redshift));
    tip.hidden = false;
  }), 40);
}

const colourBy = told(async (name) => {
  const values = name ? await column(name) : null, span = values && spanOf(values, 0.01);
  map.colouring = span ? { values, span } : null;
  byId("legend").hidden = !span;
  if (span) {
    byId("legend-low").textContent = spelled(span[0]);
    byId("legend-high").textContent = spelled(span[1]);
    drawLegend();
  }
  map.redraw();
});

function drawLegend() {
  const bar = byId("legend-bar"), context = bar.getContext("2d");
  for (let i = 0; i < bar.width; i++) {
    context.fillStyle = css(map.colours.column[Math.round((255 * i) / bar.width)]);
    context.fillRect(i, 0, 1, bar.height);
  }
}

const search = told(async (text) => {
  if (!text.trim()) return;
  const { row, arcsec } = await api.json(`api/search?q=${encodeURIComponent(text)}`);
  if (arcsec !== null && arcsec > 60) say(`The nearest galaxy is ${spelled(arcsec / 60)} arcmin away.`);
  await openGalaxy(row);
});

const dropped = told(async (file) => {
  if (!file) return;
  say(`Representing ${file.name}; the first image takes longer, as the model is loaded…`);
  const { image, notices } = await api.json("api/image", { method: "POST", body: file });
  byId("message").hidden = true;
  state.image = { handle: image, name: file.name, notices };
  state.galaxy = null;
  panel.showImage(state.image);
  panel.goToGalaxy({ leaveMap: true });
  await refreshNeighbours();
});

const send = told(async (table, query) => {
  const { receivers } = await api.json(`api/send/${table}?${query}`, { method: "POST" });
  say(receivers === 1 ? "Sent to one program." : `Sent to ${receivers} programs.`);
});

function escape() {
  if (!byId("tip").hidden) hover(-1);
  if (!byId("message").hidden) byId("message").hidden = true;
  else if (state.box || map.boxing) setBox(null);
  else if (api.asksSomething(state)) {
    state.galaxy = state.image = null;
    state.like.clear();
    state.unlike.clear();
    panel.showNothing();
    told(refreshNeighbours)();
  }
}

function key(event) {
  const typing = event.target.matches("input, select, textarea");
  if (event.ctrlKey || event.metaKey || event.altKey || byId("keys").open) return;
  if (event.key === "Escape") {
    if (typing) event.target.blur();
    else escape();
  }
  if (typing) return;
  panel.walkNeighbours(event);
  const actions = {
    "/": () => byId("query").focus(),
    "?": () => byId("keys").showModal(),
    m: () => byId("map").focus(),
    l: () => state.galaxy !== null && vote("like", state.galaxy),
    u: () => state.galaxy !== null && vote("unlike", state.galaxy),
  };
  const action = actions[event.key.toLowerCase()];
  if (!action) return;
  event.preventDefault();
  action();
}

function listen() {
  document.addEventListener("keydown", key);
  byId("search").addEventListener("submit", (event) => {
    event.preventDefault();
    search(byId("query").value);
  });
  byId("open-keys").addEventListener("click", () => byId("keys").showModal());
  byId("zoom-in").addEventListener("click", () => map.zoom(1.6));
  byId("zoom-out").addEventListener("click", () => map.zoom(1 / 1.6));
  byId("zoom-all").addEventListener("click", () => map.showAll());
  byId("box").addEventListener("click", () => {
    map.boxing = !map.boxing;
    byId("box").setAttribute("aria-pressed", map.boxing);
    byId("map").classList.toggle("boxing", map.boxing);
  });
  byId("colour").addEventListener("change", (event) => colourBy(event.target.value));
  byId("clear").addEventListener("click", clearSelection);
  byId("alike-send").addEventListener("click", () => send("neighbours.fits", api.neighbourQuery(state)));
  byId("selection-send").addEventListener("click", () => send("selection.fits", api.selectionQuery(state)));
  byId("file").addEventListener("change", (event) => {
    dropped(event.target.files[0]);
    event.target.value = "";
  });
  const carriesFile = (event) => event.dataTransfer?.types.includes("Files");
  document.addEventListener("dragover", (event) => {
    event.preventDefault();
    byId("drop").hidden = !carriesFile(event);
  });
  document.addEventListener("dragleave", (event) => { if (!event.relatedTarget) byId("drop").hidden = true; });
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    byId("drop").hidden = true;
    dropped(event.dataTransfer.files[0]);
  });
}

async function begin() {
  atlas = await api.json("api/atlas");
  document.title = `${atlas.name} – photoz-ssl`;
  byId("atlas-name").textContent = atlas.name;
  cloud = new Cloud(await api.floats("api/positions"));
  map = new SkyMap(byId("map"), cloud, {
    tools: byId("tools"), pictures: atlas.pictures, hover, pick: openGalaxy, box: setBox, recoloured: drawLegend,
  });
  filters = new Filters(byId("filters"), byId("add-filter"), atlas.columns, {
    ranges: state.ranges, load: column, changed: selectionChanged,
  });
  for (const name of atlas.columns) byId("colour").append(element("option", { value: name, textContent: name }));
  byId("map-note").textContent = atlas.map === "principal"
    ? "two principal components; photoz-ssl embed --map makes a better map"
    : "galaxies that look alike lie together";
  listen();
  selectionChanged();
  for (const name of atlas.suggested) await filters.add(name);
  Object.assign(document.documentElement.dataset, { ready: "yes" });
  window.browse = { cloud, map, state };  // for the console, and for measurements
}

told(begin)();
