// The page of the topic's newest messages. It joins no group and commits nothing.

import { detail, list } from "/detail.js";
import { about, ask, showHead } from "/frame.js";
import { at, node } from "/parts.js";
import { count, moment, seconds, size } from "/words.js";

const SHORT = 160;
const time = (ms) => ms ? moment(ms / 1000) : "none";
const brief = (text) => text.slice(0, SHORT).replaceAll(/\s+/g, " ");

async function choose(short) {
  if (short.cut) at("one").replaceChildren(node("p", "Reading …", "quiet"));
  try {
    show(short.cut ? await ask(about("/message.json", { place: `${short.partition}/${short.offset}` })) : short);
  } catch (error) {
    at("one").replaceChildren(node("p", error.message, "bad"));
  }
}

function show(message) {
  detail([
    ["place", `${message.partition}/${message.offset}`], ["in Kafka", time(message.timestamp)], ["key", message.key],
    ["size", size(message.size)], ...message.headers.map(([name, value]) => [`header ${name}`, value]),
  ], message.value);
}

async function find() {
  at("found").textContent = "reading …";
  try {
    const found = await ask(about("/messages.json", { count: at("count").value, grep: at("grep").value }));
    const slow = found.slow ? `, while the pattern was searched for in ${found.slow}` : "";
    const cut = found.whole ? "" : `; ended for want of time${slow}: there may be more`;
    at("found").textContent = `${count(found.messages.length)} of ${found.topic}, ${count(found.looked)} read in ${seconds(found.seconds)}${cut}`;
    list(["place<", "time<", "key<", "size", "value<"], found.messages.map((each) => [
      `${each.partition}/${each.offset}`, () => choose(each), [time(each.timestamp), "left"],
      [brief(each.key), "long left code"], size(each.size), [brief(each.value), "left code brief"],
    ]), !found.whole ? "Nothing was found in time." : at("grep").value ? "No message matches." : "The topic has no messages: `nrtctl produce` sends some.");
  } catch (error) {
    at("found").textContent = error.message;
  }
}

at("find").addEventListener("submit", (event) => { event.preventDefault(); find(); });
at("count").addEventListener("change", find);
showHead("Messages", find);
