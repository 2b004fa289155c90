// What every page has: the pipeline that is meant, the links, and what /events sends.

import { at, level } from "/parts.js";

const RETRY = 5000;
const parameters = new URLSearchParams(location.search);

// The pipeline of the address; null: none is named, and there may be several.
export const chosen = parameters.get("pipeline");

export const parameter = (name) => parameters.get(name);

// A path of this server about the pipeline that is meant.
export function about(path, more = {}) {
  const query = new URLSearchParams(Object.entries({ pipeline: chosen, ...more }).filter(([, value]) => value !== null && value !== ""));
  return query.size ? `${path}?${query}` : path;
}

// Keeps it in the address, so that the page can be opened like this again. null: not.
export function keep(name, value) {
  if (value === null) parameters.delete(name); else parameters.set(name, value);
  history.replaceState(null, "", `${location.pathname}${parameters.size ? `?${parameters}` : ""}`);
}

// What the server answers; raises Error with its words, or with what to do where nobody answers.
export async function ask(path, options = {}) {
  const answer = await fetch(path, options).catch(() => null);
  if (answer === null) throw new Error("nrtctl dashboard does not answer: start it again, and reload the page");
  const isJson = (answer.headers.get("content-type") ?? "").startsWith("application/json");
  const found = isJson ? await answer.json() : (await answer.text()).trim();
  if (answer.ok) return found;
  throw new Error(isJson ? `${found.error}${found.hint ? `: ${found.hint}` : ""}` : found);
}

function lost(cause) {
  document.body.classList.add("lost");
  at("state").textContent = "not connected";
  at("state").className = "state bad";
  at("cause").textContent = cause;
}

export function verdict(state, cause) {
  document.body.classList.remove("lost");
  at("state").textContent = state;
  at("state").className = `state ${level(state)}`;
  at("cause").textContent = cause;
}

// handlers: by the name of an event, what is done with its data.
export function listen(handlers) {
  const events = new EventSource(about("/events"));
  for (const [name, handle] of Object.entries(handlers)) {
    events.addEventListener(name, (event) => handle(JSON.parse(event.data)));
  }
  events.addEventListener("error", () => {
    lost("nrtctl dashboard does not answer; trying again");
    if (events.readyState !== EventSource.CLOSED) return;
    if (chosen !== null) unknown();
    setTimeout(() => listen(handlers), RETRY);
  });
}

// Says so where there is no pipeline of the name in the address.
async function unknown() {
  const answer = await fetch(about("/snapshot.json")).catch(() => null);
  if (answer?.status !== 404) return;
  at("cause").textContent = await answer.text();
  at("all").hidden = false;
}

for (const link of document.querySelectorAll("nav a[data-page]")) {
  const here = link.pathname === location.pathname;
  if (here) link.setAttribute("aria-current", "page");
  if (chosen !== null) link.href = about(link.pathname);
}
