// Charts as SVG, drawn anew at each snapshot. Values are oldest first; null is a gap.

const NS = "http://www.w3.org/2000/svg";
const TOP = 18, BOTTOM = 18, RIGHT = 4;

export function element(name, attributes = {}, text = "") {
  const made = document.createElementNS(NS, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  if (text) made.textContent = text;
  return made;
}

// A round number that is not below the largest value.
function ceiling(value) {
  if (!(value > 0)) return 1;
  const unit = 10 ** Math.floor(Math.log10(value));
  return unit * ([1, 2, 2.5, 5].find((step) => unit * step >= value * 0.999999) ?? 10);
}

function path(values, x, y) {
  let drawn = "", pen = false;
  values.forEach((value, at) => {
    if (value === null) { pen = false; return; }
    drawn += `${pen ? "L" : "M"}${x(at).toFixed(1)} ${y(value).toFixed(1)}`;
    if (!pen && (values[at + 1] ?? null) === null) drawn += "h1";
    pen = true;
  });
  return drawn;
}

// lines: [{name, values, style}]; times: seconds since the epoch, one for each value.
export function lineChart(svg, lines, times, format) {
  const width = svg.clientWidth || 400, height = svg.clientHeight || 176, count = times.length;
  const top = ceiling(Math.max(0, ...lines.flatMap((line) => line.values.map((v) => v ?? 0))));
  const x = (at) => count < 2 ? width - RIGHT : at / (count - 1) * (width - RIGHT);
  const y = (value) => TOP + (1 - value / top) * (height - TOP - BOTTOM);
  svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
  const parts = [];
  for (const share of [0, 0.5, 1]) {
    const level = y(top * share);
    parts.push(element("line", { x1: 0, x2: width, y1: level, y2: level, class: "grid" }));
    if (share) parts.push(element("text", { x: 2, y: level - 3 }, format(top * share)));
  }
  for (const line of lines) parts.push(element("path", { d: path(line.values, x, y), class: line.style }));
  const read = svg.dataset.at !== undefined && count > 0;
  const at = read ? Math.round(Number(svg.dataset.at) * (count - 1)) : count - 1;
  if (read) parts.push(element("line", { x1: x(at), x2: x(at), y1: TOP, y2: height - BOTTOM, class: "cursor" }));
  let right = width - RIGHT;
  for (const line of [...lines].reverse()) {
    const text = `${line.name} ${format(line.values[at] ?? null)}`;
    parts.push(element("text", { x: right, y: 11, "text-anchor": "end", class: line.style }, text));
    right -= 6.6 * text.length + 8;
  }
  if (count) {
    const clock = (time) => new Date(time * 1000).toLocaleTimeString();
    parts.push(element("text", { x: 2, y: height - 4 }, clock(times[0])));
    parts.push(element("text", { x: width - RIGHT, y: height - 4, "text-anchor": "end" }, clock(times[at])));
  }
  const now = lines.map((line) => `${line.name} ${format(line.values[count - 1] ?? null)}`);
  svg.setAttribute("aria-label", now.join(", "));
  svg.replaceChildren(...parts);
}

// The pointer reads the chart; `again` draws it.
export function readable(svg, again) {
  svg.addEventListener("pointermove", (event) => {
    const box = svg.getBoundingClientRect();
    svg.dataset.at = Math.min(1, Math.max(0, (event.clientX - box.left) / (box.width - RIGHT)));
    again();
  });
  svg.addEventListener("pointerleave", () => { delete svg.dataset.at; again(); });
}

export function bar(part, whole) {
  const svg = element("svg", { viewBox: "0 0 100 10", preserveAspectRatio: "none", "aria-hidden": "true" });
  const share = whole > 0 ? Math.min(1, Math.max(0, part / whole)) : 0;
  svg.append(element("rect", { width: 100, height: 10, rx: 2, class: "back" }));
  if (share) svg.append(element("rect", { width: Math.max(1, share * 100), height: 10, rx: 2, class: "bar" }));
  return svg;
}

export function spark(values) {
  const svg = element("svg", { viewBox: "0 0 100 20", preserveAspectRatio: "none", class: "spark", "aria-hidden": "true" });
  const top = Math.max(1e-12, ...values.map((v) => v ?? 0));
  const x = (at) => values.length < 2 ? 100 : at / (values.length - 1) * 100;
  svg.append(element("path", { d: path(values, x, (v) => 19 - v / top * 18), class: "one" }));
  return svg;
}
