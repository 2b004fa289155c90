// The page of several pipelines: a row each, which leads to the pipeline in depth, and charts with a line each.

import { Chart } from "/charts.js";
import { verdict } from "/frame.js";
import { bar, spark } from "/marks.js";
import { at, grown, isWell, level, node, problems, tiles } from "/parts.js";
import { count, moment, rate, seconds, span, zone } from "/words.js";

const MOST = 600, SPARK = 60, NAMED = 3, MOST_LINES = 8;
const CHARTS = {
  in: ["In, records per second", "rate", "produced_per_second"],
  out: ["Out, records per second", "rate", "consumed_per_second"],
  lag: ["Lag, records", "count", "lag_records"],
  latency: ["Latency p99, produced to stored", "seconds", "p99"],
  letters: ["Dead letters a second", "rate", "dead_letters_per_second"],
  age: ["Age of the oldest record in the lag", "seconds", "lag_seconds"],
};
const charts = new Map();
const WORST = ["good", "unknown", "warn", "bad"];
let lines = new Map();
const COLUMNS = ["pipeline", "state", "lag", "", "oldest", "in", "out", "out over time", "newest row",
  "p99", "stored", "dead letters"];

const sum = (a, b) => a + b, largest = (a, b) => Math.max(a, b);

// What all pipelines have together, as far as it is known.
function together(shots, name, add, format) {
  const known = shots.map((shot) => shot[name]).filter((value) => value !== null);
  const least = known.length && known.length < shots.length ? "≥ " : "";
  return `${least}${format(known.length ? known.reduce(add) : null)}`;
}

// Few are named, of many it is said how many they are.
function inShort(wrong) {
  const names = new Map();
  for (const [name, { verdict }] of wrong) names.set(verdict.state, [...(names.get(verdict.state) ?? []), name]);
  return [...names].map(([state, of]) => `${of.length > NAMED ? of.length : of.join(", ")} ${state}`).join("; ");
}

// What the top of the page says of all pipelines.
export function headOfAll(shots) {
  const all = Object.entries(shots), one = all[0][1];
  const wrong = all.filter(([, shot]) => !isWell(shot.verdict.state));
  const worst = Math.max(...all.map(([, shot]) => WORST.indexOf(level(shot.verdict.state))));
  const said = wrong.length ? `${wrong.length} of ${all.length} not ok` : all.every(([, shot]) => shot.verdict.state === "idle") ? "all idle" : "all ok";
  document.title = `${said} · ${all.length} pipelines`;
  at("title").textContent = `${all.length} pipelines`;
  at("group").textContent = `window ${span(one.window_seconds)}`;
  verdict(said, inShort(wrong));
  at("state").className = `state ${WORST[worst]}`;
  const time = Math.max(...all.map(([, shot]) => shot.time));
  at("when").textContent = `${moment(time)} ${zone(time)}`;
}

// What several say is said once.
function errors(shots) {
  const names = new Map(), hints = new Map();
  for (const [name, shot] of Object.entries(shots)) {
    for (const each of shot.errors) {
      const text = `${each.source}: ${each.message}`;
      names.set(text, [...(names.get(text) ?? []), name]);
      hints.set(text, each.hint);
    }
  }
  const every = Object.keys(shots).length;
  problems([...names].map(([text, said]) =>
    [said.length === every ? text : `${said.join(", ")}: ${text}`, hints.get(text)]));
}

// A row whose link stays the same element: a click that is under way when a look comes is not lost.
function added(body, name) {
  const line = body.insertRow(), link = node("a", name), about = node("small", "", "quiet");
  link.href = `/?pipeline=${encodeURIComponent(name)}`;
  const first = node("td", link, "left name");
  first.append(about);
  line.append(first);
  const cells = COLUMNS.slice(1).map((each) => {
    const cell = node("td", "");
    cell.dataset.name = each;
    line.append(cell);
    return cell;
  });
  return { about, cells };
}

function fill({ about, cells }, shot, most, course) {
  const { state, cause } = shot.verdict;
  const dead = shot.dead_letters_per_second ? ` +${rate(shot.dead_letters_per_second)}` : "";
  about.textContent = state === "ok" ? `${shot.topic} → ${shot.table}` : cause;
  cells[0].className = "left";
  const shown = [
    node("span", state, `state ${level(state)}`), count(shot.lag_records), bar(shot.lag_records ?? 0, most),
    seconds(shot.lag_seconds), rate(shot.produced_per_second), rate(shot.consumed_per_second),
    spark(course), seconds(shot.freshness_seconds),
    seconds(shot.end_to_end_latency_seconds.p99), count(shot.stored), `${count(shot.dead_letters)}${dead}`,
  ];
  shown.forEach((each, index) => cells[index].replaceChildren(each));
}

function table(names) {
  const made = node("table", "", "pipelines"), top = made.createTHead().insertRow();
  COLUMNS.forEach((each, index) => top.append(node("th", each, index < 2 ? "left" : "")));
  const body = made.createTBody();
  lines = new Map(names.map((name) => [name, added(body, name)]));
  at("pipelines").replaceChildren(made);
}

// Adds this look to the series, if they do not have it yet.
function remember(shots, courses) {
  for (const [name, shot] of Object.entries(shots)) {
    const point = { ...shot, p99: shot.end_to_end_latency_seconds.p99 }, series = ["time", ...Object.values(CHARTS).map(([, , key]) => key)];
    courses[name] = grown(courses[name] ?? {}, Object.fromEntries(series.map((each) => [each, point[each]])), MOST);
  }
}

// The newest looks of all are beside each other, whenever each was first seen.
function ofLooks(courses, key) {
  const length = Math.max(0, ...Object.values(courses).map(({ time }) => time.length));
  const whole = (values) => [...Array(length - values.length).fill(null), ...values];
  const times = Object.values(courses).find(({ time }) => time.length === length)?.time ?? [];
  return { times, of: (name) => whole(courses[name]?.[key] ?? []) };
}

// Steps end at the same times for all; one may have been counted a step later than another.
function ofRange(pasts, key) {
  const times = [...new Set(Object.values(pasts).flatMap(({ time }) => time))].sort((a, b) => a - b);
  return { times, of: (name) => {
    const at = new Map((pasts[name]?.time ?? []).map((time, index) => [time, index]));
    return times.map((time) => pasts[name]?.[key]?.[at.get(time)] ?? null);
  } };
}

// The pipelines that have lines, in the file's order: where they are many, those through which most goes.
function busiest(names, series) {
  const sum = (name) => ["produced_per_second", "consumed_per_second"].flatMap((key) => series[name]?.[key] ?? []).reduce((all, each) => all + (each ?? 0), 0);
  if (names.length <= MOST_LINES) return names;
  const through = new Map(names.map((name) => [name, sum(name)]));
  const most = new Set([...names].sort((a, b) => through.get(b) - through.get(a)).slice(0, MOST_LINES));
  return names.filter((name) => most.has(name));
}

function draw(names, series, live, empty) {
  const shown = busiest(names, series), of = shown.length < names.length ? `, the ${shown.length} busiest of ${names.length}` : "";
  for (const [id, [title, kind, key]] of Object.entries(CHARTS)) {
    if (!charts.has(id)) charts.set(id, new Chart(at("charts"), id, title, kind));
    const chart = charts.get(id), { times, of: values } = live ? ofLooks(series, key) : ofRange(series, key);
    chart.figure.querySelector("figcaption").textContent = `${title}${of}`;
    chart.show(times, shown.map((name, index) => ({ name, style: index + 1, values: values(name) })), empty);
  }
}

// courses: name of a pipeline to its series, which go on growing here. past: of a time range; null: it is being read;
// undefined: the looks are shown.
export function overview(shots, courses, past) {
  const all = Object.values(shots), most = Math.max(0, ...all.map((shot) => shot.lag_records ?? 0));
  if (!all.length) return;
  const live = past === undefined;
  remember(shots, courses);
  headOfAll(shots);
  errors(shots);
  tiles([
    ["in", together(all, "produced_per_second", sum, rate)],
    ["out", together(all, "consumed_per_second", sum, rate)],
    ["lag, records", together(all, "lag_records", sum, count)],
    ["oldest in lag", together(all, "lag_seconds", largest, seconds)],
    ["rows stored", together(all, "stored", sum, count)],
    ["dead letters", together(all, "dead_letters", sum, count)],
  ]);
  const names = Object.keys(shots);
  if (String(names) !== String([...lines.keys()])) table(names);
  for (const name of names) {
    const course = live ? courses[name].consumed_per_second.slice(-SPARK) : past?.pipelines[name]?.consumed_per_second;
    fill(lines.get(name), shots[name], most, course ?? []);
  }
  at("overview").hidden = false;
  at("depth").hidden = true;
  at("charts").classList.add("six");
  draw(names, live ? courses : past?.pipelines ?? {}, live, live ? "The first numbers come within seconds." : past ? "There is no data for this period." : "Reading …");
}
