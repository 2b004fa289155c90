// The page of the numbers: `course`, the series so far, then a `point` and a `snapshot` at each look. Of
// several pipelines, `courses` and `overview` come first; `?pipeline=NAME` chooses one in depth.

import { Chart } from "/charts.js";
import { head, listen } from "/frame.js";
import { bar, spark } from "/marks.js";
import { headOfAll, overview } from "/overview.js";
import { ascending, at, breaking, grown, node, table, tiles, withOthers } from "/parts.js";
import { LIVE, Ranges } from "/ranges.js";
import { count, drained, number, rate, seconds } from "/words.js";

const MOST = 600, SPARK = 60, LINES = 15, REASONS = 7;
const CHARTS = {
  flow: ["Records a second", "rate", [["in", "produced_per_second", 1], ["out", "consumed_per_second", 2], ["rejected", "dead_letters_per_second", 3]]],
  lag: ["Lag, records", "count", [["lag", "lag_records", 1]]],
  latency: ["Latency, produced to stored", "seconds", [["p50", "p50", 1], ["p95", "p95", 4], ["p99", "p99", 3]]],
  age: ["Age of the newest row, and of the oldest record in the lag", "seconds", [["newest row", "freshness_seconds", 2], ["oldest in lag", "lag_seconds", 4]]],
  reasons: ["Dead letters a second, by reason", "rate", []],
  inserts: ["Inserts a second", "rate", [["inserts", "batches_per_second", 1]]],
  parts: ["Active parts", "count", [["parts", "parts", 5]]],
  consumers: ["Consumers", "count", [["members", "consumers", 6]]],
};
const REASON = "reason ";
let course = {}, courses = null, shots = {}, shot = null, past = null;
const charts = new Map();

// The same names as a course has: view/history.py.
function series(metric, each) {
  return `metric ${metric.name} ${Object.entries(each.dimensions).map(([k, v]) => `${k}=${v}`).join(",")}`;
}

function remember(point) { course = grown(course, point, MOST); }

// What the charts show: the looks since the page opened and before, or the range that was asked for.
function shown() {
  if (ranges.now === LIVE) {
    const reasons = Object.fromEntries(Object.keys(course).filter((name) => name.startsWith(REASON))
      .map((name) => [name.slice(REASON.length), course[name]]).filter(([, values]) => values.some(Boolean)));
    return { series: course, reasons: withOthers(reasons, REASONS), empty: "The first numbers come within seconds." };
  }
  return { ...(past ?? { series: {}, reasons: {} }), empty: past ? "There is no data for this period." : "Reading …" };
}

function draw() {
  const { series: of, reasons, empty } = shown(), times = of.time ?? [];
  for (const [id, [title, kind, lines]] of Object.entries(CHARTS)) {
    if (!charts.has(id)) charts.set(id, new Chart(at("charts"), id, title, kind));
    const values = lines.map(([name, key, style]) => ({ name, style, values: of[key] ?? times.map(() => null) }));
    if (id === "reasons") Object.entries(reasons).forEach(([name, each], index) => values.push({ name, style: index + 1, values: each }));
    charts.get(id).show(times, values, id === "reasons" && times.length ? "No dead letters." : empty);
  }
}

function now() {
  tiles([
    ["in", rate(shot.produced_per_second)], ["out", rate(shot.consumed_per_second)],
    ["lag, records", count(shot.lag_records)], ["oldest in lag", seconds(shot.lag_seconds)],
    ["drained", shot.lag_records === null ? "–" : drained(shot, shot)],
    ["newest row", seconds(shot.freshness_seconds)],
    ["latency p99", seconds(shot.end_to_end_latency_seconds.p99)],
    ["rows stored", count(shot.stored)], ["dead letters", count(shot.dead_letters)],
  ]);
}

function partitions() {
  const most = Math.max(0, ...shot.lag.map((each) => each.lag_records));
  const headings = ["partition", "lag", "", "oldest", "drained", "in", "out", "committed", "log end"];
  table(at("partitions"), headings, shot.lag.map((each) => [
    String(each.partition), count(each.lag_records), bar(each.lag_records, most),
    seconds(each.lag_seconds), drained(each, shot),
    rate(each.produced_per_second), rate(each.consumed_per_second),
    count(each.committed), count(each.log_end),
  ]), "Kafka has not answered.");
}

function consumers() {
  const group = shot.consumers;
  at("group-state").textContent = group ? group.state.replaceAll("_", " ") : "";
  table(at("consumers"), ["client<", "host<", "partitions<"], (group?.members ?? []).map((each) => [
    [each.client_id, "long left"], [each.host.replace(/^\//, ""), "left"],
    [each.partitions.join(", "), "long left"],
  ]), group ? "No consumer is running." : "Kafka has not answered.");
}

function letters() {
  const reasons = Object.entries(shot.dead_letters_by_reason);
  const most = Math.max(0, ...reasons.map(([, value]) => value));
  table(at("letters"), ["reason<", "messages", "", "per second"], reasons.map(([reason, value]) => [
    [reason, "long left"], count(value), bar(value, most),
    rate(shot.dead_letters_by_reason_per_second[reason] ?? null),
  ]), shot.dead_letters === null ? "ClickHouse has not answered." : "None.");
}

function inserts() {
  const { batches, parts } = shot, rows = [];
  if (batches) {
    rows.push(["batches in the window", `${count(batches.count)}, ${rate(batches.per_second)}`, ""],
      ["rows in a batch: mean, most", `${count(batches.rows_mean)}, ${count(batches.rows_max)}`, ""],
      ["time to insert, mean", seconds(batches.insert_seconds), ""]);
  }
  if (parts) {
    const most = parts.most_in_a_partition;
    rows.push(["active parts", count(parts.active), ""],
      ["most in a partition", count(most), bar(most, parts.refused_from)],
      ["inserts slow down from", count(parts.delayed_from), ""],
      ["inserts are refused from", count(parts.refused_from), ""]);
  }
  table(at("inserts"), ["", "", ""], rows, "ClickHouse has not answered.");
}

function breakdown() {
  const by = shot.by;
  at("by-panel").hidden = !by;
  if (!by) return;
  at("by-title").textContent = `By ${by.column}${by.more ? `, ${by.more} more` : ""}`;
  table(at("by"), [`${by.column}<`, "rows", "per second", "p50", "p95", "p99"], by.slices.map((each) => {
    const found = each.end_to_end_latency_seconds;
    return [[each.value, "long left"], count(each.rows), rate(each.per_second),
      seconds(found.p50), seconds(found.p95), seconds(found.p99)];
  }), by.error ?? "No rows in the window.");
}

function metrics() {
  at("metrics-panel").hidden = !shot.metrics.length;
  const rows = [];
  for (const metric of shot.metrics) {
    if (metric.error !== null) { rows.push([[`${metric.name}: ${metric.error}`, "long left crit"], "", ""]); continue; }
    const most = Math.max(0, ...metric.values.map((each) => Math.abs(each.value ?? 0)));
    for (const each of metric.values) {
      const name = [metric.name, ...Object.values(each.dimensions)].join(" · ");
      const mark = { ok: "", warn: " !", crit: " !!" }[each.level];
      const drawn = metric.display === "bar" ? bar(Math.abs(each.value ?? 0), most)
        : metric.display === "sparkline" ? spark((course[series(metric, each)] ?? []).slice(-SPARK)) : "";
      rows.push([[name, "long left"], [breaking(`${number(each.value)} ${metric.unit}${mark}`), each.level], drawn]);
    }
  }
  const pieces = Array.from({ length: Math.max(1, Math.ceil(rows.length / LINES)) }, () => node("div", ""));
  pieces.forEach((piece, index) => table(piece, ["metric<", "value", ""], rows.slice(index * LINES, (index + 1) * LINES), "No values."));
  at("metrics").replaceChildren(...pieces);
}

function show() {
  if (ranges.now === LIVE) draw();
  head(shot);
  for (const each of [now, partitions, consumers, letters, inserts, breakdown, metrics]) each();
}

// Of several pipelines there are courses, and no course.
const together = () => overview(shots, courses, ranges.now === LIVE ? undefined : past);
const ranges = new Ranges([LIVE, "5m", "15m", "1h", "6h", "24h"], (found) => { past = found; if (courses === null) draw(); else together(); });
listen({
  course: (found) => { course = ascending(found); ranges.choose(ranges.now); },
  point: remember,
  snapshot: (found) => { shot = found; show(); },
  courses: (found) => { courses = Object.fromEntries(Object.entries(found).map(([name, each]) => [name, ascending(each)])); ranges.path = "/pasts.json"; ranges.choose(ranges.now); },
  overview: (found) => { shots = found.pipelines; together(); },
  whileHidden: (found) => { if (found.pipelines) headOfAll(found.pipelines); else head(found); },
});
