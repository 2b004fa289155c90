// One message or dead letter in depth, and the list that leads to it.

import { at, node, table } from "/parts.js";

// facts: [name, text] of what is known; text: of the message, shown as it is.
export function detail(facts, text, more = []) {
  const list = node("dl", "");
  for (const [name, said] of facts) {
    if (said === "" || said === null || said === undefined) continue;
    list.append(node("dt", name), node("dd", said));
  }
  const content = node("pre", text ?? "null");
  content.tabIndex = 0;
  content.ariaLabel = "value";
  at("one").replaceChildren(list, content, ...more);
  at("detail").scrollTop = 0;
  at("detail").focus({ preventScroll: true });
  at("detail").scrollIntoView({ block: "nearest" });
}

// rows: [text of the link, what choosing it does, further cells].
export function list(headings, rows, empty) {
  table(at("list"), headings, rows.map(([text, choose, ...cells]) => {
    const button = node("button", text, "link");
    button.type = "button";
    button.addEventListener("click", async () => {
      for (const each of document.querySelectorAll("#list [aria-current]")) each.removeAttribute("aria-current");
      button.setAttribute("aria-current", "true");
      await choose();
    });
    return [[button, "left"], ...cells];
  }), empty);
}
