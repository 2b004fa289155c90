// Small marks within tables, as SVG: a bar and a sparkline. What has axes is drawn by charts.js.

const NS = "http://www.w3.org/2000/svg";

function element(name, attributes) {
  const made = document.createElementNS(NS, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  return made;
}

export function bar(part, whole) {
  const svg = element("svg", { viewBox: "0 0 100 10", preserveAspectRatio: "none", "aria-hidden": "true" });
  const share = whole > 0 ? Math.min(1, Math.max(0, part / whole)) : 0;
  svg.append(element("rect", { width: 100, height: 10, rx: 2, class: "back" }));
  if (share) svg.append(element("rect", { width: Math.max(1, share * 100), height: 10, rx: 2, class: "bar" }));
  return svg;
}

// values: oldest first; null is a gap.
export function spark(values) {
  const svg = element("svg", { viewBox: "0 0 100 20", preserveAspectRatio: "none", class: "spark", "aria-hidden": "true" });
  const top = Math.max(1e-12, ...values.map((value) => value ?? 0));
  let drawn = "", pen = false;
  values.forEach((value, at) => {
    if (value === null) { pen = false; return; }
    const x = values.length < 2 ? 100 : at / (values.length - 1) * 100;
    drawn += `${pen ? "L" : "M"}${x.toFixed(1)} ${(19 - value / top * 18).toFixed(1)}`;
    if (!pen && (values[at + 1] ?? null) === null) drawn += "h1";
    pen = true;
  });
  svg.append(element("path", { d: drawn }));
  return svg;
}
