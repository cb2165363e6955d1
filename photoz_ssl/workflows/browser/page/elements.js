// Making elements. Text goes in as text, never as HTML.

export function element(name, properties = {}, ...children) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
}

export const byId = (id) => document.getElementById(id);

/** A number as short as it is good to read. */
export function spelled(number) {
  if (number === null || number === undefined) return "–";
  if (typeof number !== "number" || Number.isSafeInteger(number)) return String(number);
  if (Math.abs(number) > Number.MAX_SAFE_INTEGER) return number.toPrecision(5);
  return String(Number(number.toPrecision(Math.abs(number) < 1 ? 4 : 5)));
}

export const degrees = (ra, dec) =>
  ra === null || dec === null ? "no position" : `${ra.toFixed(5)} ${dec < 0 ? "−" : "+"}${Math.abs(dec).toFixed(5)}`;
