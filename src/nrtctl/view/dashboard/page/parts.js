// What both pages are made of. Everything that comes is put on the page as text, never as markup.

const STATES = { "ok": "good", "falling behind": "warn", "idle": "unknown", "paused": "unknown", "unknown": "unknown" };

export const at = (id) => document.getElementById(id);

// What needs nobody's attention.
export const isWell = (state) => state === "ok" || state === "idle";

// good, warn, unknown or bad.
export const level = (state) => STATES[state] ?? "bad";

// What is not seen, or turns the order of what is, as the terminal shows it: as its escape.
const UNSEEN = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff]/g;

function escaped(character) {
  const code = character.charCodeAt(0);
  return code < 256 ? `\\x${code.toString(16).padStart(2, "0")}` : `\\u${code.toString(16).padStart(4, "0")}`;
}

export function node(name, content, style = "") {
  const made = document.createElement(name);
  if (content instanceof Node) made.append(content); else made.textContent = String(content ?? "").replace(UNSEEN, escaped);
  if (style) made.className = style;
  return made;
}

// A heading that ends in "<" is left-justified. A cell is text, a node, or [either, style].
export function table(place, headings, rows, empty) {
  if (!rows.length) { place.replaceChildren(node("p", empty, "quiet")); return; }
  const made = node("table", "", `cells ${headings.length > 6 ? "many" : headings.length > 4 ? "wide" : ""}`), names = headings.map((each) => each.replace(/<$/, ""));
  if (headings.some(Boolean)) {
    const head = made.createTHead().insertRow();
    headings.forEach((each, index) => {
      const cell = node("th", names[index], each.endsWith("<") ? "left" : "");
      cell.scope = "col";
      head.append(names[index] ? cell : node("td", ""));
    });
  }
  const body = made.createTBody();
  for (const row of rows) {
    const line = body.insertRow();
    row.forEach((cell, index) => {
      const made = Array.isArray(cell) ? node("td", ...cell) : node("td", cell);
      made.dataset.name = names[index];
      line.append(made);
    });
  }
  place.replaceChildren(made);
}

export function tiles(shown) {
  at("tiles").replaceChildren(...shown.map(([name, value]) => {
    const tile = node("div", node("span", name, "quiet"), "tile");
    tile.append(node("b", value));
    return tile;
  }));
}

// found: [message, hint or null] of what does not answer.
export function problems(found) {
  at("problems").replaceChildren(...found.map(([message, hint]) =>
    node("li", `${message}${hint ? ` (${hint})` : ""}`)));
  at("problems").hidden = !found.length;
}

// The series with one more look of `point`, `most` at most. Where the clock was put back, what it had called later goes.
export function grown(course, point, most) {
  const times = course.time ?? [], first = times.findIndex((time) => time >= point.time);
  if (times.at(-1) === point.time) return course;
  const length = first < 0 ? times.length : first;
  return Object.fromEntries(Object.entries(point).map(([name, value]) =>
    [name, [...(course[name] ?? Array(length).fill(null)).slice(0, length), value].slice(-most)]));
}

// The series since the clock was put back the last time.
export function ascending(course) {
  const from = (course.time ?? []).findLastIndex((time, index, times) => index > 0 && time <= times[index - 1]);
  return from < 0 ? course : Object.fromEntries(Object.entries(course).map(([name, values]) => [name, values.slice(from)]));
}

// Series by name, those with most in them first; beyond `most` they are one together, as those of a time range are.
export function withOthers(series, most) {
  const sum = (values) => values.reduce((all, each) => all + (each ?? 0), 0);
  const sorted = Object.entries(series).sort(([, one], [, other]) => sum(other) - sum(one));
  const others = sorted.slice(most).map(([, values]) => values);
  if (others.length < 2) return Object.fromEntries(sorted);
  const together = others[0].map((_, at) => others.every((each) => each[at] === null) ? null : sum(others.map((each) => each[at])));
  return { ...Object.fromEntries(sorted.slice(0, most)), "other reasons": together };
}

// Text that may go on in the next line behind a slash.
export function breaking(text) {
  const made = node("span", "");
  text.split("/").forEach((piece, index) => made.append(...index ? ["/", document.createElement("wbr")] : [], piece));
  return made;
}
