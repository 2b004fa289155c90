// Numbers and times as text, as the terminal view writes them.

import { isWell } from "/parts.js";

const NONE = "–";
const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const short = new Intl.NumberFormat("en", { maximumSignificantDigits: 3 });

export const count = (value) => value === null ? NONE : whole.format(value);

export function number(value) {
  return value === null ? NONE : Math.abs(value) >= 1000 ? whole.format(value) : short.format(value);
}

export function rate(value) {
  if (value > 0 && value < 0.005) return "<0.01/s";
  return value === null ? NONE : `${value > 0 && value < 10 ? value.toFixed(value >= 0.095 ? 1 : 2) : count(value)}/s`;
}

export function seconds(value) {
  if (value === null) return NONE;
  if (value < 0.9995) return value ? `${(value * 1000).toFixed(0)} ms` : "0 s";
  if (value < 99.95) return `${value.toFixed(1)} s`;
  const all = Math.round(value), two = (n) => String(Math.floor(n)).padStart(2, "0");
  if (all < 3600) return `${Math.floor(all / 60)}m${two(all % 60)}s`;
  if (all < 86400) return `${Math.floor(all / 3600)}h${two(all % 3600 / 60)}m`;
  return `${Math.floor(all / 86400)}d${two(all % 86400 / 3600)}h`;
}

// A time that somebody has chosen, as exact as it is.
export const span = (value) => value < 120 ? `${value} s` : seconds(value);

export function size(bytes) {
  if (bytes === null) return NONE;
  const unit = ["B", "KiB", "MiB", "GiB"].findIndex((_, power) => bytes < 1024 ** (power + 1));
  return unit < 1 ? `${bytes} B` : `${short.format(bytes / 1024 ** unit)} ${["B", "KiB", "MiB", "GiB"][unit]}`;
}

// Of one of a snapshot's partitions, or of all. A lag that is as old as batches are is there while all is well.
export function drained({ lag_records: lag, lag_seconds: old, drained_in_seconds: left }, { tolerable_lag_seconds: tolerable, verdict }) {
  if (lag === 0) return "now";
  if ((old !== null && old <= tolerable) || (left === null && isWell(verdict.state))) return "steadily";
  return left === null ? "not soon" : `in ${seconds(left)}`;
}

// kind: count, rate or seconds.
export const format = (value, kind) => ({ count, rate, seconds })[kind](value);

const powers = (from, to) => Array.from({ length: to - from + 1 }, (_, at) => 10 ** (from + at)).flatMap((unit) => [unit, 2 * unit, 5 * unit]);

// By kind: the steps that an axis may have.
export const TICKS = {
  count: powers(0, 15),
  rate: powers(-2, 15),
  seconds: [...powers(-3, 0), 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 28800, 43200, ...powers(0, 6).map((days) => days * 86400)],
};
const UNITS = {
  count: [[1e4, 1, ""], [1e7, 1e3, "k"], [1e10, 1e6, "M"], [Infinity, 1e9, "G"]],
  seconds: [[1, 0.001, " ms"], [120, 1, " s"], [7200, 60, " min"], [172800, 3600, " h"], [Infinity, 86400, " d"]],
};

// The labels of an axis, no two of them the same. step: between two of `values`.
export function axis(values, step, kind) {
  const top = Math.max(...values.map(Math.abs));
  const [, size, unit] = (UNITS[kind] ?? UNITS.count).find(([below]) => top < below);
  const part = step / size;
  const digits = [0, 1, 2, 3].find((each) => Math.abs(part * 10 ** each - Math.round(part * 10 ** each)) < 1e-6) ?? 3;
  return values.map((value) => value ? `${(value / size).toFixed(digits)}${unit}` : "0");
}

const DAY = 86400;

// time: seconds since the epoch. step: of the axis, in seconds. zone: undefined is that of the browser.
export function clock(time, step, zone) {
  const at = new Date(time * 1000);
  if (step >= DAY) return at.toLocaleDateString([], { month: "short", day: "numeric", timeZone: zone });
  const second = step < 60 ? { second: "2-digit" } : {};
  return at.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", hourCycle: "h23", timeZone: zone, ...second });
}

// With the day, where it is not today.
export function moment(time) {
  const at = new Date(time * 1000), today = at.toDateString() === new Date().toDateString();
  return `${today ? "" : `${at.toLocaleDateString([], { month: "short", day: "numeric" })} `}${clock(time, 1)}`;
}

// The zone of the browser, in which all pages tell the time.
export const zone = (time) => new Date(time * 1000).toLocaleTimeString("en", { timeZoneName: "short" }).split(" ").at(-1);
