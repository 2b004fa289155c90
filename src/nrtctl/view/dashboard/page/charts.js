// Charts of uPlot that share their cursor and their zoom. Values are oldest first; null is a gap.

import { node } from "/parts.js";
import { TICKS, axis, clock, format, moment } from "/words.js";

const LOWEST = 120, SYNC = "charts", LEAST = { count: 1, rate: 1, seconds: 0.01 };
const all = [];
let zoomed = null, told = () => {};

// A colour of the style sheet, as it is now.
export const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const passes = (type) => type === "mousemove" || type === "mouseleave";

// The places of values beside which there are none: a line would not show them.
function alone(u, series) {
  const values = u.data[series], gap = (at) => (values[at] ?? null) === null;
  return [...values.keys()].filter((at) => !gap(at) && gap(at - 1) && gap(at + 1));
}

// Calls `tell` with whether a part of the time is shown, at each change.
export function onZoom(tell) { told = tell; }

export function unzoom() { zoom(null); }

function zoom(to) {
  zoomed = to;
  for (const each of all) each.rescale();
  told(zoomed !== null);
}

// kind: of its values, a name of LEAST. lines: [{name, values, style}], style 1 to 8.
export class Chart {
  constructor(place, id, title, kind) {
    this.kind = kind;
    this.names = "";
    this.hidden = new Set();
    this.times = [];
    this.figure = node("figure", node("figcaption", title));
    this.figure.id = `chart-${id}`;
    this.legend = node("ul", "", "legend");
    this.plot = node("div", "", "plot");
    this.none = node("p", "", "none quiet");
    this.tip = node("div", "", "tip");
    this.tip.hidden = true;
    Object.assign(this.plot, { tabIndex: 0, role: "slider", ariaLabel: title, ariaValueMin: "0", ariaValueMax: "0", ariaValueNow: "0" });
    this.plot.addEventListener("keydown", (event) => this.key(event));
    this.plot.addEventListener("blur", () => this.point(-1));
    this.figure.append(this.legend, this.plot, this.none);
    place.append(this.figure);
    new ResizeObserver(() => this.fit()).observe(this.plot);
    all.push(this);
  }

  // empty: what is said where no value is known.
  show(times, lines, empty) {
    this.times = times;
    this.lines = lines;
    const names = JSON.stringify(lines.map((line) => line.name));
    if (names !== this.names) { this.names = names; this.build(); }
    const known = lines.some((line) => line.values.some((value) => value !== null));
    this.none.textContent = known ? "" : empty;
    this.u.setData([times, ...lines.map((line) => line.values)]);
    this.plot.ariaValueMax = String(Math.max(0, times.length - 1));
    this.read();
  }

  build() {
    this.u?.destroy();
    this.legend.replaceChildren(...this.lines.map((line, at) => this.item(line, at)));
    const axisStyle = { stroke: () => colour("--quiet"), font: "11px system-ui, sans-serif", ticks: { show: false }, grid: { stroke: () => colour("--line"), width: 1 } };
    this.u = new uPlot({
      ...this.size(), legend: { show: false },
      padding: [10, 26, 0, 0],
      cursor: {
        sync: { key: SYNC, setSeries: false, filters: { pub: passes, sub: passes } }, y: false,
        drag: { x: true, y: false, setScale: false }, points: { size: 7 },
        bind: { dblclick: () => () => { unzoom(); return null; } },
      },
      scales: { x: { time: true, range: (u, min, max) => zoomed ?? (max > min ? [min, max] : [min - 30, max + 1]) }, y: { range: (u, min, max) => [0, this.top(max)] } },
      axes: [
        { ...axisStyle, size: 26, space: 70, values: (u, splits, at, space, step) => splits.map((time) => clock(time, step)) },
        { ...axisStyle, space: 34, incrs: TICKS[this.kind], values: (u, splits, at, space, step) => axis(splits, step, this.kind), size: (u, values) => 16 + 6.4 * Math.max(3, ...(values ?? []).map((each) => each.length)) },
      ],
      series: [{}, ...this.lines.map((line, at) => ({
        stroke: () => colour(`--c${line.style}`), width: 1.7, show: !this.hidden.has(line.name), points: { show: true, size: 4, width: 0, fill: () => colour(`--c${line.style}`), filter: alone }, dash: at > 3 ? [6, 3] : undefined,
      }))],
      hooks: { setCursor: [() => this.read()], setSelect: [(u) => this.selected(u)] },
    }, [this.times, ...this.lines.map((line) => line.values)], this.plot);
    this.u.over.append(this.tip);
  }

  item(line, at) {
    const button = node("button", node("span", "", `swatch c${line.style}`)), value = node("b", "");
    button.type = "button";
    button.ariaPressed = String(!this.hidden.has(line.name));
    button.append(node("span", line.name), value);
    button.addEventListener("click", () => {
      const shown = this.hidden.delete(line.name);
      if (!shown) this.hidden.add(line.name);
      button.ariaPressed = String(shown);
      this.u.setSeries(at + 1, { show: shown });
    });
    return node("li", button);
  }

  top(max) {
    const least = LEAST[this.kind], top = Math.max(least, (max ?? 0) * 1.08);
    return this.kind === "count" ? Math.ceil(top) : top;
  }

  fit() {
    const { width, height } = this.size();
    if (this.u && (width !== this.u.width || height !== this.u.height)) this.u.setSize({ width, height });
  }

  size() {
    return { width: Math.max(120, this.plot.clientWidth), height: Math.max(LOWEST, this.plot.clientHeight) };
  }

  rescale() {
    if (this.u && this.times.length) this.u.setScale("x", { min: this.times[0], max: this.times.at(-1) });
  }

  selected(u) {
    const { left, width } = u.select;
    if (width > 4) zoom([u.posToVal(left, "x"), u.posToVal(left + width, "x")]);
    u.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
  }

  // The values under the cursor; without one the newest.
  read() {
    if (!this.u) return;
    const under = this.u.cursor.idx, at = under ?? this.times.length - 1;
    const values = this.lines.map((line) => format(line.values[at] ?? null, this.kind));
    this.legend.querySelectorAll("b").forEach((place, index) => { place.textContent = values[index]; });
    const time = this.times[at] === undefined ? "" : moment(this.times[at]);
    this.plot.ariaValueNow = String(Math.max(0, at));
    this.plot.ariaValueText = `${time}: ${this.lines.map((line, index) => `${line.name} ${values[index]}`).join(", ")}`;
    const here = under !== null && under !== undefined && (this.u.over.matches(":hover") || document.activeElement === this.plot);
    this.tip.hidden = !here;
    if (!here) return;
    this.tip.replaceChildren(node("strong", time), ...this.lines.map((line, index) => {
      const row = node("span", node("span", "", `swatch c${line.style}`));
      row.append(node("span", line.name), node("b", values[index]));
      return row;
    }));
    const room = this.u.over.clientWidth, left = this.u.cursor.left, wide = this.tip.offsetWidth;
    this.tip.style.left = `${Math.max(0, left + wide + 16 > room ? left - wide - 12 : left + 12)}px`;
  }

  // Puts the cursor on a value, in all charts; -1 takes it away.
  point(at) {
    const left = at < 0 ? -10 : this.u.valToPos(this.times[at], "x");
    this.u?.setCursor({ left, top: at < 0 ? -10 : 20 }, true, true);
  }

  key(event) {
    const last = this.times.length - 1, at = this.u.cursor.idx ?? last, far = event.shiftKey ? 10 : 1;
    const to = { ArrowLeft: at - far, ArrowRight: at + far, Home: 0, End: last }[event.key];
    if (event.ctrlKey || event.metaKey || event.altKey || last < 0) return;
    if (to !== undefined) this.point(Math.min(last, Math.max(0, to)));
    else if (event.key === "+" || event.key === "=") this.narrow(at, 0.5);
    else if (event.key === "-") this.narrow(at, 2);
    else if (event.key === "0" || event.key === "Escape") unzoom();
    else return;
    event.preventDefault();
  }

  narrow(at, by) {
    const [first, last] = [this.times[0], this.times.at(-1)], { min, max } = this.u.scales.x;
    const half = (max - min) * by / 2, middle = this.times[at];
    if (half * 2 >= last - first) unzoom();
    else if (half > 1) zoom([Math.max(first, middle - half), Math.min(last, middle + half)]);
  }
}

matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
  for (const each of all) each.u?.redraw(false, true);
});
