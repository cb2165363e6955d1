// The open galaxy and what looks like it.

import { stampPath } from "./api.js";
import { byId, degrees, element, spelled } from "./elements.js";

/** Replace what an element holds, but leave the focus on what has the same name as before. */
function refill(place, ...children) {
  const name = place.contains(document.activeElement) && document.activeElement.getAttribute("aria-label");
  place.replaceChildren(...children);
  place.scrollTop = 0;
  if (!name) return;
  const buttons = [...place.querySelectorAll("button")];
  (buttons.find((button) => button.getAttribute("aria-label") === name) ?? buttons[0])?.focus();
}

function voteButtons(row, name, state, vote, words) {
  return ["like", "unlike"].map((kind) => {
    const button = element("button", { type: "button", className: kind, textContent: words[kind] });
    button.setAttribute("aria-pressed", state[kind].has(row));
    button.setAttribute("aria-label", `${kind === "like" ? "Like" : "Unlike"} ${name}`);
    button.addEventListener("click", () => vote(kind, row));
    return button;
  });
}

function links({ ra, dec }) {
  if (ra === null || dec === null) return [];
  const place = `${ra},${dec}`;
  const targets = {
    "Aladin Lite": `https://aladin.cds.unistra.fr/AladinLite/?target=${encodeURIComponent(`${ra} ${dec}`)}&fov=0.03`,
    SkyServer: `https://skyserver.sdss.org/dr18/VisualTools/quickobj?ra=${ra}&dec=${dec}`,
    NED: `https://ned.ipac.caltech.edu/conesearch?search_type=Near%20Position%20Search&coordinates=${encodeURIComponent(`${ra}d ${dec}d`)}&radius=0.2`,
  };
  return [element("p", { className: "wide links" }, ...Object.entries(targets).map(([name, href]) =>
    element("a", { href, textContent: name, target: "_blank", rel: "noopener noreferrer", title: `${name} at ${place}` })))];
}

function allColumns(columns) {
  const rows = Object.entries(columns).flatMap(([name, value]) =>
    [element("dt", { textContent: name }), element("dd", { textContent: spelled(value) })]);
  return element("details", { className: "wide" }, element("summary", { textContent: "All columns" }), element("dl", {}, ...rows));
}

const picture = (src, alt) => element("img", { src, alt, width: 64, height: 64 });

export function showGalaxy(galaxy, { state, pictures, vote }) {
  const facts = element("p", { className: "facts" },
    `RA, Dec ${degrees(galaxy.ra, galaxy.dec)}`, element("br"),
    galaxy.redshift === null ? "no spectroscopic redshift" : `z = ${galaxy.redshift.toFixed(4)}`);
  const words = { like: "Like", unlike: "Unlike" };
  const votes = galaxy.problem ? [] : voteButtons(galaxy.row, galaxy.id, state, vote, words);
  const text = element("div", {}, element("h2", { textContent: galaxy.id }), facts,
    element("div", { className: "buttons" }, ...votes));
  const stamp = pictures && !galaxy.problem ? [picture(stampPath(galaxy.row), `Galaxy ${galaxy.id}`)] : [];
  refill(byId("galaxy"), element("div", { className: "galaxy" },
    ...stamp, text, ...links(galaxy), allColumns(galaxy.columns)));
}

export function showImage(image) {
  const notices = image.notices.map((notice) => element("p", { className: "wide hint", textContent: notice }));
  refill(byId("galaxy"), element("div", { className: "galaxy" },
    picture(`api/image/${image.handle}`, `The dropped image ${image.name}`),
    element("div", {}, element("h2", { textContent: image.name }), element("p", { className: "facts", textContent: "dropped onto this page" })),
    ...notices));
}

/** Scroll to the open galaxy: within the panel beside the map, and on a narrow page only if asked. */
export function goToGalaxy({ leaveMap }) {
  byId("side").scrollTop = 0;
  if (leaveMap) byId("galaxy").scrollIntoView({ block: "nearest" });
}

export function showNothing() {
  byId("galaxy").replaceChildren(element("p", {
    className: "empty",
    textContent: "Click a galaxy on the map to see what looks like it, search for one, or drop a FITS cutout here.",
  }));
}

export function showExamples({ state, pictures, names, vote }) {
  const chips = ["like", "unlike"].flatMap((kind) => [...state[kind]].map((row) => {
    const name = names.get(row) ?? `row ${row}`;
    const chip = element("button", { type: "button", className: `example ${kind}d`, title: "Remove" },
      ...(pictures ? [picture(stampPath(row), "")] : []), `${kind === "like" ? "+" : "−"} ${name}`);
    chip.setAttribute("aria-label", `No longer ${kind} ${name}`);
    chip.addEventListener("click", () => vote(kind, row));
    return chip;
  }));
  byId("examples").hidden = !chips.length;
  refill(byId("examples"), ...chips);
}

export function showNeighbours(found, { state, pictures, vote, open }) {
  const words = { like: "+", unlike: "−" };
  const items = found.map((galaxy) => {
    const redshift = galaxy.redshift === null ? "" : `z ${galaxy.redshift.toFixed(3)}`;
    const similarity = galaxy.similarity.toFixed(3);
    const stamp = element("button", { type: "button", className: "stamp" },
      pictures ? picture(stampPath(galaxy.row), "") : galaxy.id);
    stamp.setAttribute("aria-label", `Galaxy ${galaxy.id}, ${redshift} similarity ${similarity}`);
    stamp.title = galaxy.id;
    stamp.dataset.row = galaxy.row;
    stamp.addEventListener("click", () => open(galaxy.row));
    return element("li", {}, stamp,
      element("div", { className: "vote" }, ...voteButtons(galaxy.row, galaxy.id, state, vote, words)),
      element("div", { className: "caption" }, element("span", { textContent: redshift }), element("span", { textContent: similarity })));
  });
  if (!items.length) return showNone("none in the selection");
  refill(byId("neighbours"), ...items);
  byId("alike-give").hidden = false;
}

/** Show why there are no neighbours, and offer no table of them. */
export function showNone(reason) {
  refill(byId("neighbours"), element("li", { className: "empty", textContent: reason }));
  byId("alike-give").hidden = true;
}

/** Arrow keys go from neighbour to neighbour, by the columns that the grid has just now. */
export function walkNeighbours(event) {
  const stamps = [...document.querySelectorAll("#neighbours .stamp")], at = stamps.indexOf(event.target);
  if (at < 0) return;
  const top = stamps[0].getBoundingClientRect().top;
  const columns = stamps.filter((stamp) => stamp.getBoundingClientRect().top === top).length;
  const step = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -columns, ArrowDown: columns }[event.key];
  if (!step || !stamps[at + step]) return;
  event.preventDefault();
  stamps[at + step].focus();
}
