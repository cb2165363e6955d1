// What the page asks of its server. Addresses are relative: the token is their first part.

export class Refusal extends Error {}

/** A refusal as a sentence; what begins with a file, a column or an id is left as it is called. */
export function sentence(message, hint) {
  const called = /^\S*[._\d]/.test(message);
  const begun = called ? message : message[0].toUpperCase() + message.slice(1);
  return hint ? `${begun}: ${hint}.` : `${begun}.`;
}

async function answered(response) {
  if (response.ok) return response;
  let told = {};
  try { told = await response.json(); } catch { /* no sentence came: the general one follows */ }
  throw new Refusal(sentence(told.message || `the server answered ${response.status}`, told.hint));
}

async function asked(path, options) {
  let response;
  try {
    response = await fetch(path, options);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Refusal("The server does not answer: is photoz-ssl browse still running?");
  }
  return answered(response);
}

export const json = async (path, options) => (await asked(path, options)).json();

export async function floats(path) {
  const buffer = await (await asked(path)).arrayBuffer();
  const littleEndian = new Uint8Array(new Uint16Array([1]).buffer)[0] === 1;
  if (littleEndian) return new Float32Array(buffer);
  const view = new DataView(buffer);
  return Float32Array.from({ length: buffer.byteLength / 4 }, (_, i) => view.getFloat32(4 * i, true));
}

export const stampPath = (row) => `api/stamp/${row}`;

export function selectionQuery(state) {
  const query = new URLSearchParams();
  for (const [name, { low, high }] of state.ranges) {
    if (low !== null || high !== null) query.append("where", `${name}:${low ?? ""}:${high ?? ""}`);
  }
  if (state.box) query.append("box", state.box.join(","));
  return query;
}

export function neighbourQuery(state) {
  const query = selectionQuery(state);
  if (state.image) query.append("image", state.image.handle);
  else if (state.galaxy !== null) query.append("galaxy", state.galaxy);
  for (const row of state.like) query.append("like", row);
  for (const row of state.unlike) query.append("unlike", row);
  return query;
}

export const asksSomething = (state) =>
  Boolean(state.image) || state.galaxy !== null || state.like.size > 0;
