// A chart of what a statement answers: its first column to the right, the numbers of the others as lines; where
// the first column is no time and no number, the numbers of one as bars.

import { colour } from "/charts.js";
import { node } from "/parts.js";
import { clock, number } from "/words.js";

const HEIGHT = 260, MOST_LINES = 8, TIME = /^(Nullable\(|LowCardinality\()*(Date|DateTime)/;
let drawn = null;

const utc = (text) => Date.parse(`${text.replace(" ", "T")}${text.includes(":") ? "" : "T00:00:00"}Z`) / 1000;

// The places of the rows along the axis.
function places({ types, numbers, rows }) {
  if (TIME.test(types[0])) return { kind: "time", of: rows.map((row) => utc(row[0] ?? "")) };
  if (numbers[0]) return { kind: "number", of: rows.map((row) => Number(row[0])) };
  return { kind: "name", of: rows.map((_, index) => index) };
}

// found: names, types, numbers (whether a column has some) and rows of an answer.
export function columnsChart(place, found) {
  drawn?.destroy();
  drawn = null;
  place.replaceChildren();
  const x = found.rows.length > 1 ? places(found) : null, bars = x?.kind === "name";
  const columns = found.names.map((name, index) => ({ name, index })).filter(({ index }) => index > 0 && found.numbers[index]).slice(0, bars ? 1 : MOST_LINES);
  if (x === null || !columns.length) return;
  const order = x.of.map((_, index) => index).filter((index) => Number.isFinite(x.of[index])).sort((a, b) => x.of[a] - x.of[b]);
  if (order.length < 2) return;
  const values = columns.map(({ index }) => order.map((row) => found.rows[row][index] === null ? null : Number(found.rows[row][index])));
  const figure = node("figure", node("figcaption", `${columns.map(({ name }) => name).join(", ")} by ${found.names[0]}`)), plot = node("div", "", "plot tall");
  const legend = node("ul", "", "legend");
  legend.append(...columns.map(({ name }, index) => {
    const item = node("li", node("span", "", `swatch c${index + 1}`));
    item.append(` ${name}`);
    return item;
  }));
  figure.append(legend, plot);
  place.append(figure);
  const style = { stroke: () => colour("--quiet"), font: "11px system-ui, sans-serif", ticks: { show: false }, grid: { stroke: () => colour("--line"), width: 1 } };
  const label = (at) => Number.isInteger(at) && order[at] !== undefined ? (found.rows[order[at]][0] ?? "null").slice(0, 14) : "";
  drawn = new uPlot({
    width: plot.clientWidth, height: HEIGHT, padding: [10, 26, 0, 0], legend: { show: false }, cursor: { y: false },
    scales: { x: { time: x.kind === "time", range: (u, min, max) => bars ? [-0.6, max + 0.6] : [min, max] }, y: { range: (u, min, max) => [Math.min(0, min ?? 0), Math.max(1e-9, (max ?? 1) * 1.08)] } },
    axes: [
      { ...style, size: 26, space: bars ? 90 : 60, ...(bars ? { incrs: [1, 2, 5, 10, 20, 50, 100, 200, 500], values: (u, splits) => splits.map(label) } : {}), ...(x.kind === "time" ? { values: (u, splits, axis, room, step) => splits.map((time) => clock(time, step, "UTC")) } : {}) },
      { ...style, values: (u, splits) => splits.map(number), size: (u, texts) => 16 + 6.4 * Math.max(3, ...(texts ?? []).map((each) => each.length)) },
    ],
    series: [{}, ...columns.map((_, index) => ({
      stroke: () => colour(`--c${index + 1}`), width: 1.7, points: { show: false },
      ...(bars ? { fill: () => colour(`--c${index + 1}`), paths: uPlot.paths.bars({ size: [0.7, 60] }) } : {}),
    }))],
    tzDate: (time) => uPlot.tzDate(new Date(time * 1000), "Etc/UTC"),
  }, [order.map((index) => x.of[index]), ...values], plot);
  new ResizeObserver(() => { if (drawn && plot.isConnected) drawn.setSize({ width: plot.clientWidth, height: HEIGHT }); }).observe(plot);
}
