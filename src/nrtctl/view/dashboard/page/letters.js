// The page of dead letters: reasons over time, the newest, and one in depth, which can be mended.

import { Chart } from "/charts.js";
import { detail, list } from "/detail.js";
import { fixes } from "/fixes.js";
import { about, ask, hasToken, keep, parameter, showHead } from "/frame.js";
import { at, node } from "/parts.js";
import { Ranges } from "/ranges.js";
import { count, moment, size } from "/words.js";

const chart = new Chart(at("charts"), "reasons", "Dead letters a second, by reason", "rate");

function draw(past) {
  const times = past?.series.time ?? [], reasons = Object.entries(past?.reasons ?? {});
  chart.show(times, reasons.map(([name, values], index) => ({ name, values, style: index + 1 })), past ? "No dead letters within this time." : "Reading …");
}

const time = (ms) => ms ? moment(ms / 1000) : "none";

async function choose(place) {
  at("one").replaceChildren(node("p", "Reading …", "quiet"));
  try {
    const letter = await ask(about("/letter.json", { place }));
    const faults = letter.said.map((each) => node("li", each));
    const wrong = node("ul", "");
    wrong.append(...faults);
    const past = letter.history.map((each) => `${time(each.at)}: ${each.outcome}${each.reason ? `, ${each.reason}` : ""}${each.error ? `: ${each.error}` : ""}`);
    detail([
      ["place", `${letter.topic} ${letter.partition}/${letter.offset}`], ["reason", letter.reason], ["field", letter.field],
      ["wrong fields", faults.length ? wrong : ""], ["error", letter.error], ["in Kafka", time(letter.timestamp)], ["rejected", time(letter.rejected_at)],
      ["tried", past.join("; ")], ["purged", letter.purged_at ? time(letter.purged_at) : ""], ["key", letter.key], ...letter.headers.map(([name, value]) => [`header ${name}`, value]),
    ], letter.value, [...letter.cut ? [node("p", "Only the beginning; `nrtctl dlq show` prints all of it.", "quiet")] : [], ...letter.purged_at ? [] : [fixes(letter, place, find)]]);
  } catch (error) {
    at("one").replaceChildren(node("p", error.message, "bad"));
  }
}

async function find() {
  const asked = { reason: at("reason").value, text: at("text").value };
  for (const [name, value] of Object.entries(asked)) keep(name, value || null);
  at("found").textContent = "reading …";
  try {
    const found = await ask(about(hasToken() ? "/searched-letters.json" : "/letters.json", asked));
    options(found.reasons, asked.reason);
    const all = Object.values(found.reasons).reduce((sum, each) => sum + each, 0);
    at("found").textContent = `${count(found.letters.length)} shown, ${count(all)} in all`;
    list(["place<", "rejected<", "reason<", "field<", "size", "value<"], found.letters.map((each) => [
      `${each.partition}/${each.offset}`, () => choose(`${each.incarnation}/${each.partition}/${each.offset}`),
      [time(each.rejected_at), "left"], [each.reason, "long left"], [each.field, "long left"], size(each.bytes),
      [each.purged ? "(purged)" : each.preview ?? (hasToken() ? "null" : "…"), "left code brief"],
    ]), asked.reason || asked.text ? "No dead letter matches: remove a condition." : "There are no dead letters: each message became a row.");
  } catch (error) {
    at("found").textContent = error.message;
  }
}

function options(reasons, chosen) {
  const all = [["", "all"], ...Object.entries(reasons).map(([name, number]) => [name, `${name} (${count(number)})`])];
  at("reason").replaceChildren(...all.map(([value, label]) => {
    const option = node("option", label);
    option.value = value;
    option.selected = value === chosen;
    return option;
  }));
}

const first = parameter("reason") ?? "";
options(first ? { [first]: 0 } : {}, first);
at("text").value = parameter("text") ?? "";
at("text-label").hidden = !hasToken();
at("find").addEventListener("submit", (event) => { event.preventDefault(); find(); });
at("reason").addEventListener("change", find);
const ranges = new Ranges(["1h", "5m", "15m", "6h", "24h"], draw);
showHead("Dead letters", () => {
  ranges.choose(ranges.now);
  find();
});
