// What the server tells, shown. The stream is /events: docs/reference/admin.md has its form.

import { Charts, History } from "./charts.js";
import { Downloads, showEnded } from "./table.js";
import { bytes, count, many, rate, say, seconds, share } from "./words.js";

const RETRY_MS = 5000; // a browser comes back by itself, but not after a refusal
const NEARLY = 0.9; // of the budget

const element = (id) => document.getElementById(id);
const past = new History();
const charts = new Charts(past);
const downloads = new Downloads();

let stream = null;
let retry = 0;
let known = ""; // the id of the last event
let latest = null; // the last frame
let paused = false;

function state(name, text) {
  document.querySelector("main").classList.toggle("stale", name === "lost" || name === "opening");
  element("state").dataset.state = name;
  say(element("state"), text); // a live region: so only what changes is said
}

function connect() {
  clearTimeout(retry);
  stream?.close();
  stream = new EventSource(known ? `events?after=${known}` : "events");
  stream.addEventListener("history", (event) => {
    known = event.lastEventId;
    for (const sample of JSON.parse(event.data)) past.add(sample);
    if (!paused) charts.draw();
  });
  stream.addEventListener("now", (event) => {
    known = event.lastEventId;
    latest = JSON.parse(event.data);
    past.add(latest.sample);
    if (!paused) show();
  });
  stream.addEventListener("error", ({ currentTarget }) => {
    const refused = currentTarget.readyState === EventSource.CLOSED;
    state("lost", refused ? "Refused, trying again" : "No answer, trying again");
    if (refused) retry = setTimeout(connect, RETRY_MS);
  });
}

function show() {
  const { draining, version, started, rows, omitted } = latest;
  const [atMs] = latest.sample;
  if (paused) state("paused", "Paused");
  else if (draining) state("draining", "Stopping");
  else state("live", "Live");
  say(element("about"), `${version}, up ${seconds(Math.max(0, atMs / 1000 - started))}`);
  element("about").title = `since ${new Date(started * 1000).toLocaleString()}`;
  tiles();
  charts.draw();
  downloads.show(rows, atMs);
  showEnded(latest);
  const all = rows.length + omitted;
  say(element("downloads-count"), all ? count(all) : "");
  say(element("omitted"), omitted ? `And ${many(omitted, "other", "others")} that began later.` : "");
  document.title = all ? `${count(all)} running \u2013 freight` : "freight";
}

function tiles() {
  const [, growth, kernel, budget, running, waiting, wait, sent] = latest.sample;
  const used = growth + kernel;
  const nearly = used > NEARLY * budget;
  element("memory").closest("div").classList.toggle("warn", nearly);
  say(element("memory"), bytes(used));
  say(element("memory-more"), `${share(used, budget)} of ${bytes(budget)}${nearly ? ", nearly spent" : ""}`);
  say(element("running"), count(running));
  say(
    element("running-more"),
    `of ${many(latest.slots, "slot", "slots")}, ${many(latest.connections, "connection", "connections")}`,
  );
  say(element("waiting"), count(waiting));
  say(element("waiting-more"), `${waiting ? `the oldest for ${seconds(wait)}, ` : ""}${count(latest.refused)} refused so far`);
  const speed = past.last("rate");
  say(element("rate"), speed === null ? "\u2013" : rate(speed));
  say(element("rate-more"), `${bytes(sent)} since the start`);
}

element("pause").addEventListener("click", ({ currentTarget }) => {
  paused = !paused;
  currentTarget.setAttribute("aria-pressed", String(paused));
  if (paused) state("paused", "Paused");
  else if (latest) show();
});

// A page that nobody sees holds no stream: what it missed comes when it is looked at again.
document.addEventListener("visibilitychange", () => {
  if (document.hidden) {
    clearTimeout(retry);
    stream?.close();
  } else connect();
});

if (!document.hidden) connect();
