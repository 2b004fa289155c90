// What every page has: the pipeline that is meant, the links, and what /events sends.

import { at, level, node, problems } from "/parts.js";
import { moment, span, zone } from "/words.js";

const RETRY = 5000, GONE = "nrtctl dashboard does not answer; trying again", KEPT = "nrtctl-token", NEEDS = "This page shows data: open the address that `nrtctl dashboard` prints, which has the token for it.";
const parameters = new URLSearchParams(location.search);

// The pipeline of the address; null: none is named, and there may be several.
export const chosen = parameters.get("pipeline");

export const parameter = (name) => parameters.get(name);

// The token comes behind the # of the printed address, which no server gets to see; it goes out of the address at once.
function takeToken() {
  const given = new URLSearchParams(location.hash.slice(1)).get("token");
  if (given === null) return false;
  sessionStorage.setItem(KEPT, given);
  history.replaceState(null, "", location.pathname + location.search);
  return true;
}
takeToken();
// Where the page of that address is open already, a browser loads nothing anew.
addEventListener("hashchange", () => { if (takeToken()) location.reload(); });

export const hasToken = () => sessionStorage.getItem(KEPT) !== null;

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
  const headers = hasToken() ? { authorization: `Bearer ${sessionStorage.getItem(KEPT)}` } : {};
  const answer = await fetch(path, { ...options, headers }).catch(() => null);
  if (answer?.status === 401) throw new Error(NEEDS);
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

// handlers: by the name of an event, what is done with its data; whileHidden: what is done with a snapshot then.
//
// A page that is hidden asks now and then, for its title: a browser has six connections to a server for all its pages,
// and an open stream takes one.
export function listen({ whileHidden, ...handlers }) {
  let events = null, timer = 0;

  function stop() {
    clearTimeout(timer);
    events?.close();
    events = null;
  }

  function open() {
    stop();
    const mine = events = new EventSource(about("/events"));
    for (const [name, handle] of Object.entries(handlers)) {
      mine.addEventListener(name, (event) => { if (mine === events) handle(JSON.parse(event.data)); });
    }
    mine.addEventListener("error", () => {
      if (mine !== events) return;
      lost(GONE);
      if (mine.readyState !== EventSource.CLOSED) return;
      if (chosen !== null) unknown();
      timer = setTimeout(open, RETRY);
    });
  }

  async function peek() {
    stop();
    const answer = await fetch(about("/snapshot.json")).catch(() => null);
    const found = answer?.ok ? await answer.json().catch(() => null) : null;
    if (!document.hidden) return;
    if (found) whileHidden(found); else if (answer === null) lost(GONE);
    timer = setTimeout(peek, RETRY);
  }

  const follow = () => { if (document.hidden) peek(); else open(); };
  document.addEventListener("visibilitychange", follow);
  follow();
}

// Says so where there is no pipeline of the name in the address.
async function unknown() {
  const answer = await fetch(about("/snapshot.json")).catch(() => null);
  if (answer?.status !== 404) return;
  at("cause").textContent = await answer.text();
  at("all").hidden = false;
}

let last = null;

// The newest snapshot.
export const newest = () => last;

// What the top of a page says of one pipeline.
export function head(shot, page = "") {
  const { state, cause } = shot.verdict, name = chosen === null ? "" : `${chosen}: `;
  const flow = `${name}${shot.topic} → ${shot.table}`;
  last = shot;
  document.title = `${page ? `${page} · ` : ""}${state} · ${flow}`;
  at("title").textContent = flow;
  at("group").textContent = `group ${shot.group}, window ${span(shot.window_seconds)}`;
  verdict(state, cause);
  at("when").textContent = `${moment(shot.time)} ${zone(shot.time)}`;
  problems(shot.errors.map((each) => [`${each.source}: ${each.message}`, each.hint]));
  at("all").hidden = chosen === null;
}

// For a page about one pipeline: its head at each look, and `begin` at the first.
export function showHead(page, begin) {
  let begun = false;
  listen({
    snapshot: (shot) => {
      head(shot, page);
      if (!begun) begin();
      begun = true;
    },
    whileHidden: (shot) => { if (!shot.pipelines) head(shot, page); },
    // Of several pipelines one has to be chosen.
    overview: (found) => { location.replace(`${location.pathname}?pipeline=${encodeURIComponent(Object.keys(found.pipelines)[0])}`); },
  });
}

// Which pipelines there are, to change to another one.
async function choices() {
  const names = await ask("/pipelines.json").catch(() => []);
  if (names.length < 2) return;
  const all = location.pathname === "/" ? [["", "all"]] : [];
  at("pipeline").replaceChildren(...[...all, ...names.map((name) => [name, name])].map(([value, label]) => {
    const option = node("option", label);
    Object.assign(option, { value, selected: value === (chosen ?? "") });
    return option;
  }));
  at("pipeline").addEventListener("change", (event) => {
    location.href = event.target.value ? `${location.pathname}?pipeline=${encodeURIComponent(event.target.value)}` : location.pathname;
  });
  at("which").hidden = false;
}

choices();
for (const link of document.querySelectorAll("nav a[data-page]")) {
  const here = link.pathname === location.pathname;
  if (here) link.setAttribute("aria-current", "page");
  if (chosen !== null) link.href = about(link.pathname);
}
