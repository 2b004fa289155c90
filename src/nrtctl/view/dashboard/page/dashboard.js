// Shows what /events sends: `course`, the series so far, then a `snapshot` at each look. Of several
// pipelines, `courses` and `overview` come first; `?pipeline=NAME` chooses one in depth.

import { bar, lineChart, readable, spark } from "/charts.js";
import { overview } from "/overview.js";
import { at, level, node, problems, table, tiles } from "/parts.js";
import { count, drained, number, rate, seconds } from "/words.js";

const MOST = 600, SPARK = 60, RETRY = 5000;
const chosen = new URLSearchParams(location.search).get("pipeline");
const query = chosen === null ? "" : `?pipeline=${encodeURIComponent(chosen)}`;
let course = {}, courses = {}, shot = null;

// The same names as a course has: view/history.py.
function series(metric, each) {
  return `metric ${metric.name} ${Object.entries(each.dimensions).map(([k, v]) => `${k}=${v}`).join(",")}`;
}

function remember() {
  const names = ["time", "produced_per_second", "consumed_per_second", "stored_per_second",
    "dead_letters_per_second", "lag_records", "lag_seconds", "freshness_seconds"];
  const values = Object.fromEntries(names.map((name) => [name, shot[name]]));
  Object.assign(values, shot.end_to_end_latency_seconds);
  for (const metric of shot.metrics) {
    for (const each of metric.values) values[series(metric, each)] = each.value;
  }
  const length = (course.time ?? []).length;
  course = Object.fromEntries(Object.entries(values).map(([name, value]) =>
    [name, [...(course[name] ?? Array(length).fill(null)), value].slice(-MOST)]));
}

function charts() {
  const of = (name) => course[name] ?? [], times = of("time");
  lineChart(at("chart-flow"), [
    { name: "in", values: of("produced_per_second"), style: "one" },
    { name: "out", values: of("consumed_per_second"), style: "two" },
    { name: "rejected", values: of("dead_letters_per_second"), style: "three" },
  ], times, rate);
  lineChart(at("chart-lag"), [{ name: "lag", values: of("lag_records"), style: "one" }], times, count);
  lineChart(at("chart-latency"), [
    { name: "p50", values: of("p50"), style: "one" },
    { name: "p95", values: of("p95"), style: "four" },
    { name: "p99", values: of("p99"), style: "three" },
  ], times, seconds);
  lineChart(at("chart-age"), [
    { name: "newest row", values: of("freshness_seconds"), style: "two" },
    { name: "oldest in lag", values: of("lag_seconds"), style: "four" },
  ], times, seconds);
}

function head() {
  const { state, cause } = shot.verdict, name = chosen === null ? "" : `${chosen}: `;
  const flow = `${name}${shot.topic} → ${shot.table}`;
  document.title = `${state} · ${flow}`;
  at("title").textContent = flow;
  at("group").textContent = `group ${shot.group}, window ${shot.window_seconds} s`;
  at("state").textContent = state;
  at("state").className = `state ${level(state)}`;
  at("cause").textContent = cause;
  at("when").textContent = new Date(shot.time * 1000).toLocaleTimeString();
  problems(shot.errors.map((each) => [`${each.source}: ${each.message}`, each.hint]));
}

function now() {
  tiles([
    ["in", rate(shot.produced_per_second)], ["out", rate(shot.consumed_per_second)],
    ["lag, records", count(shot.lag_records)], ["oldest in lag", seconds(shot.lag_seconds)],
    ["drained", shot.lag_records === null ? "–" : drained(shot)],
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
    seconds(each.lag_seconds), drained(each),
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
      rows.push([[name, "long left"], [`${number(each.value)} ${metric.unit}${mark}`, each.level], drawn]);
    }
  }
  table(at("metrics"), ["metric<", "value", ""], rows, "No values.");
}

function show() {
  for (const draw of [head, now, charts, partitions, consumers, letters, inserts, breakdown, metrics]) draw();
}

function connect() {
  const events = new EventSource(`/events${query}`);
  events.addEventListener("course", (event) => { course = JSON.parse(event.data); });
  events.addEventListener("snapshot", (event) => {
    shot = JSON.parse(event.data);
    if ((course.time ?? []).at(-1) !== shot.time) remember();
    document.body.classList.remove("lost");
    at("all").hidden = chosen === null;
    show();
  });
  events.addEventListener("courses", (event) => { courses = JSON.parse(event.data); });
  events.addEventListener("overview", (event) => {
    document.body.classList.remove("lost");
    overview(JSON.parse(event.data).pipelines, courses);
  });
  events.addEventListener("error", () => {
    document.body.classList.add("lost");
    at("state").textContent = "not connected";
    at("state").className = "state bad";
    at("cause").textContent = "nrtctl dashboard does not answer; trying again";
    if (events.readyState !== EventSource.CLOSED) return;
    if (chosen !== null) unknown();
    setTimeout(connect, RETRY);
  });
}

// Says so where there is no pipeline of the name in the address.
async function unknown() {
  const answer = await fetch(`/snapshot.json${query}`).catch(() => null);
  if (answer?.status !== 404) return;
  at("cause").textContent = await answer.text();
  at("all").hidden = false;
}

for (const svg of document.querySelectorAll("figure svg")) readable(svg, () => shot && charts());
addEventListener("resize", () => shot && charts());
connect();
