// The buttons that choose a time range, and what the server has of it.

import { onZoom, unzoom } from "/charts.js";
import { about, ask, keep, parameter } from "/frame.js";
import { at, node } from "/parts.js";

const LEAST = 5000, SHORT = 80;
const NAMES = { live: "live", "5m": "5 min", "15m": "15 min", "1h": "1 h", "6h": "6 h", "24h": "24 h" };

export const LIVE = "live";

export class Ranges {
  // offered: the first is the one without a word in the address. show: called with what is known; null: nothing yet.
  constructor(offered, show) {
    this.first = offered[0];
    this.show = show;
    this.path = "/past.json";
    this.timer = 0;
    this.now = offered.includes(parameter("range")) ? parameter("range") : this.first;
    for (const name of offered) {
      const button = node("button", NAMES[name]);
      Object.assign(button, { type: "button", value: name });
      button.addEventListener("click", () => this.choose(name));
      at("ranges").append(button);
    }
    onZoom((is) => { at("unzoom").hidden = !is; });
    at("unzoom").addEventListener("click", unzoom);
  }

  choose(name) {
    this.now = name;
    keep("range", name === this.first ? null : name);
    for (const button of at("ranges").children) button.ariaPressed = String(button.value === name);
    unzoom();
    this.show(null);
    this.load("reading …");
  }

  // Asks for the range anew, each time that one more of its steps has ended.
  async load(note) {
    clearTimeout(this.timer);
    const wanted = this.now;
    if (wanted === LIVE) { this.say(""); return; }
    if (note) this.say(note);
    try {
      const found = await ask(about(this.path, { range: wanted }));
      if (wanted !== this.now) return;
      const step = found.step_seconds;
      const [lost] = Object.entries(found.errors ?? {}), others = Object.keys(found.errors ?? {}).length - 1;
      const said = lost && lost[1].length <= SHORT ? `: ${lost[1]}` : "";
      const why = lost ? `; nothing is known of ${lost[0]}${others ? ` and ${others} more` : ""}${said}` : "";
      this.say(`counted from the rows, a value for each ${step < 60 ? `${step} s` : `${step / 60} min`}${why}`);
      this.show(found);
      this.timer = setTimeout(() => this.load(""), Math.max(LEAST, step * 1000));
    } catch (error) {
      if (wanted === this.now) this.say(error.message, true);
    }
  }

  say(text, failed = false) {
    at("charts-note").replaceChildren(text);
    if (!failed) return;
    const button = node("button", "Try again");
    button.type = "button";
    button.addEventListener("click", () => this.load("reading …"));
    at("charts-note").append(" ", button);
  }
}
