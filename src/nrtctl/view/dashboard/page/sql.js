// The page that runs a reading statement: its rows as a table, and as a chart where there are numbers.

import { columnsChart } from "/columns.js";
import { about, ask, newest, showHead } from "/frame.js";
import { at, node, table } from "/parts.js";
import { count, seconds } from "/words.js";

const KEPT = "nrtctl-statement", WIDE = 40;

async function run() {
  const statement = at("statement").value;
  sessionStorage.setItem(KEPT, statement);
  at("run").disabled = true;
  at("found").textContent = "running …";
  try {
    const found = await ask(about("/sql.json"), { method: "POST", body: statement });
    const more = found.more ? `; there are more, of which ${count(found.rows.length)} are shown` : "";
    at("found").textContent = `${count(found.rows.length)} ${found.rows.length === 1 ? "row" : "rows"} in ${seconds(found.seconds)}${more}`;
    columnsChart(at("charts"), found);
    const headings = found.names.map((name, index) => found.numbers[index] ? name : `${name}<`);
    table(at("rows"), headings, found.rows.map((row) => row.map((cell, index) => {
      const style = found.numbers[index] ? "" : (cell ?? "").length > WIDE ? "long left" : "left";
      return [cell === null ? node("i", "null", "quiet") : cell, style];
    })), "The statement returned no rows.");
  } catch (error) {
    at("found").textContent = "";
    at("charts").replaceChildren();
    at("rows").replaceChildren(node("p", error.message, "bad"));
  }
  at("run").disabled = false;
}

const example = (name) => `SELECT toStartOfMinute(_inserted_at) AS minute, count() AS rows\nFROM ${name}\nWHERE _inserted_at >= now() - INTERVAL 1 HOUR\nGROUP BY minute ORDER BY minute`;

at("statement").value ||= sessionStorage.getItem(KEPT) ?? "";
at("ask").addEventListener("submit", (event) => { event.preventDefault(); run(); });
at("statement").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) { event.preventDefault(); run(); }
});
showHead("SQL", () => { at("statement").value ||= example(newest().table); });
