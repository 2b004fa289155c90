// Numbers and times as text, as the terminal view writes them.

const NONE = "–";
const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const short = new Intl.NumberFormat("en", { maximumSignificantDigits: 3 });

export const count = (value) => value === null ? NONE : whole.format(value);

export function number(value) {
  return value === null ? NONE : Math.abs(value) >= 1000 ? whole.format(value) : short.format(value);
}

export function rate(value) {
  return value === null ? NONE : `${value > 0 && value < 10 ? value.toFixed(1) : count(value)}/s`;
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

const TOLERABLE = 5;

// Of a snapshot, or of one of its partitions. A lag that is as old as batches are is there while all is well.
export function drained({ lag_records: lag, lag_seconds: old, drained_in_seconds: left }) {
  if (lag === 0 || left !== null) return lag === 0 ? "now" : `in ${seconds(left)}`;
  return old !== null && old <= TOLERABLE ? "steadily" : "not soon";
}
