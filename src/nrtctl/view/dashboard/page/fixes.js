// A dead letter mended: a fix of its text, or as SQL, that is tried before the letter is sent again.

import { about, ask } from "/frame.js";
import { node } from "/parts.js";
import { count } from "/words.js";

const TEXT = "text", SQL = "sql";
// Of letters by their place: what was written and not sent yet.
const drafts = new Map();

const TRIED = {
  rejected: ({ reason }) => `It would remain a dead letter: ${reason}.`,
  already: () => "It is a row already, since a replay was interrupted: Replay removes the dead letter.",
  later: () => "The consumer has not come to its offset again yet, and will decide about it: nothing can be replayed before.",
  beside: () => "It is a single row of a message whose other rows are stored: `nrtctl replay load` loads the message again as a whole.",
  gone: () => "It is no longer a dead letter: search again.",
};
const REPLAYED = {
  ...TRIED,
  stored: ({ table }) => `It is stored in ${table}, and is no longer a dead letter.`,
  rejected: ({ reason }) => `It was rejected again, and remains a dead letter: ${reason}.`,
  already: ({ table }) => `It was in ${table} already, and is no longer a dead letter.`,
};
// Functions of a fix that give another result each time: what is shown is not what Replay stores.
const varying = (names) => names.length ? ` Replay stores other values than these: ${names.map((each) => `${each}()`).join(", ")} ${names.length === 1 ? "gives" : "give"} another result each time.` : "";
const tried = (found) => found.fate === "stored"
  ? `It would be ${found.more ? "more than " : ""}${found.rows.length === 1 ? "a row" : `${count(found.rows.length)} rows`} of ${found.table}.${varying(found.varying)}`
  : TRIED[found.fate](found);

function quoted(text) { return `'${text.replaceAll("'", "'\\''")}'`; }

// What the same is in a terminal.
function command(letter, draft) {
  const which = letter.replay;
  if (draft.how === TEXT) return `${which} --edit --execute`;
  const fix = draft.sql.trim() === "value" ? "" : ` --fix ${quoted(draft.sql)}`;
  return `${which}${fix}\n${which}${fix} --execute`;
}

function button(text, act, type = "button") {
  const made = node("button", text);
  made.type = type;
  if (act) made.addEventListener("click", act);
  return made;
}

function listed(texts) {
  const made = node("ul", "");
  made.append(...texts.map((each) => node("li", each)));
  return made;
}

// The rows that a fix makes of the message, each as a list of its columns.
function rows({ names, rows: found }) {
  return found.map((row) => {
    const made = node("dl", "", "row");
    names.forEach((name, index) => made.append(node("dt", name), node("dd", row[index] ?? "NULL")));
    return made;
  });
}

// letter: as /letter.json says. place: of it. sent: called once it has been sent again.
export function fixes(letter, place, sent) {
  const whole = letter.text !== null, draft = drafts.get(place) ?? { how: whole ? TEXT : SQL, text: letter.text ?? "", sql: "value" };
  const form = node("form", "", "fix"), choice = node("div", "", "choice"), area = node("textarea", ""), said = node("p", "", "quiet"), answer = node("div", "", "answer"), terminal = node("pre", "", "command");
  const trying = button("Try", null, "submit"), sending = button("Replay", () => send());
  const label = node("label", ""), named = node("span", ""), note = node("p", "", "quiet");
  label.append(named, area);
  form.ariaLabel = "Mend it";
  choice.role = "group";
  choice.ariaLabel = "What to change";
  said.role = "status";
  Object.assign(area, { rows: 8, spellcheck: false });
  // A text area has line ends of its own: what it would change cannot be edited in it.
  area.value = letter.text ?? "";
  const editable = whole && area.value === letter.text;
  if (!editable) draft.how = SQL;
  const ways = { [TEXT]: button("Its text", () => change(TEXT)), [SQL]: button("By SQL", () => change(SQL)) };
  ways[TEXT].disabled = !editable;
  choice.append(ways[TEXT], ways[SQL]);

  // As it is asked for: text that was not changed is the value as it is.
  const asked = () => draft.how === SQL ? ["sql", draft.sql] : draft.text === letter.text ? ["value", ""] : ["text", draft.text];

  function changed() {
    drafts.set(place, draft);
    sending.disabled = true;
    said.textContent = "";
    answer.replaceChildren();
    terminal.textContent = command(letter, draft);
  }

  function change(how) {
    draft.how = how;
    for (const [name, each] of Object.entries(ways)) each.ariaPressed = String(name === how);
    named.textContent = how === TEXT ? "The value" : "SQL that makes the value";
    note.textContent = how === SQL ? "It may use value, key, headers, reason and field, as in replaceOne(value, 'a', 'b')." : "";
    if (!editable) note.textContent += ` ${letter.cut ? "The value is too long to be edited as text here." : whole ? "The value has line ends that a page would change, so it is not edited as text." : "The value is not text and cannot be edited."}`;
    area.value = draft[how];
    changed();
  }

  async function run(path, show) {
    const [how, body] = asked(), held = document.activeElement;
    for (const each of [trying, sending, area, ...Object.values(ways)]) each.disabled = true;
    answer.replaceChildren();
    said.className = "quiet";
    said.textContent = "asking …";
    let found = null;
    try {
      found = await ask(about(path, { place, how }), { method: "POST", body });
    } catch (error) {
      said.textContent = error.message;
      said.className = "bad";
    }
    trying.disabled = area.disabled = ways[SQL].disabled = false;
    ways[TEXT].disabled = !editable;
    if (found) show(found);
    if (form.contains(held)) held.focus();
  }

  function tell(found, texts) {
    said.textContent = texts;
    said.className = found.fate === "stored" || found.fate === "already" ? "good" : "bad";
  }

  const attempt = () => run("/try-letter.json", (found) => {
    tell(found, tried(found));
    sending.disabled = found.fate !== "stored" && found.fate !== "already";
    if (found.fate === "stored") answer.replaceChildren(...rows(found));
    if (found.fate === "rejected") {
      const field = found.field && !found.faults.length ? [`field ${found.field}`] : [];
      answer.replaceChildren(listed([...found.faults, ...field, ...found.error ? [found.error] : []]));
    }
  });

  const send = () => run("/replay-letter.json", (found) => {
    tell(found, REPLAYED[found.fate](found));
    const gone = found.fate === "stored" || found.fate === "already" || found.fate === "gone";
    if (gone) drafts.delete(place);
    for (const each of [trying, area, ...Object.values(ways)]) each.disabled ||= gone;
    sent();
  });

  area.addEventListener("input", () => { draft[draft.how] = area.value; changed(); });
  area.addEventListener("keydown", (event) => { if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) { event.preventDefault(); attempt(); } });
  form.addEventListener("submit", (event) => { event.preventDefault(); attempt(); });
  const bar = node("div", "", "bar"), inTerminal = node("details", node("summary", "In a terminal"));
  bar.append(trying, sending, said);
  inTerminal.append(terminal);
  form.append(node("h3", "Mend it"), node("p", "Try shows what the pipeline would make of it, and changes nothing. Replay sends it again.", "quiet"), choice, label, note, bar, answer, inTerminal);
  change(draft.how);
  return form;
}
