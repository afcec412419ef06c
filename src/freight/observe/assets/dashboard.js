// What the server tells, shown. The stream is /events: docs/reference/admin.md has its form.

import { Charts, History } from "./charts.js";
import { showWaiting, summary } from "./queue.js";
import { Downloads, showEnded } from "./table.js";
import { bytes, clock, count, many, named, rate, say, seconds, share } from "./words.js";

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
  stream.addEventListener("open", () => past.joined());
  stream.addEventListener("history", (event) => {
    known = event.lastEventId;
    for (const sample of JSON.parse(event.data)) past.add(sample);
    if (!paused) charts.draw();
  });
  stream.addEventListener("now", (event) => {
    known = event.lastEventId;
    latest = JSON.parse(event.data);
    past.add(latest.sample);
    past.of(latest);
    say(element("banner"), "");
    if (!paused) show();
  });
  stream.addEventListener("error", ({ currentTarget }) => {
    const refused = currentTarget.readyState === EventSource.CLOSED;
    state("lost", refused ? "Refused, trying again" : "No answer, trying again");
    if (latest) say(element("banner"), `Not answering since ${clock(latest.sample[0] / 1000)}; the figures are of then.`);
    if (refused) retry = setTimeout(connect, RETRY_MS);
  });
}

function show() {
  const { draining, rows, omitted } = latest;
  if (paused) state("paused", "Paused");
  else if (draining) state("draining", "Stopping");
  else state("live", "Live");
  identify();
  tiles();
  log();
  charts.draw();
  showWaiting(latest);
  downloads.show(latest);
  showEnded(latest);
  const all = rows.length + omitted;
  document.title = `freight ${named(latest.path)}: ${count(all)} running`;
}

// Which server it is: a browser may have several of them open.
function identify() {
  const { path, urls, pid, memory, workers, version, started, sample } = latest;
  say(document.querySelector("h1"), named(path));
  document.querySelector("h1").title = path;
  const places = urls.map((each) => each.replace(/^http:[/][/]/, "").replace(/[/]$/, ""));
  const parts = [...places, `pid ${pid}`, memory];
  if (workers > 1) parts.push(`${workers} workers`);
  parts.push(`freight ${version}`, `up ${seconds(Math.max(0, sample[0] / 1000 - started))}`);
  say(element("about"), parts.join(" \u00b7 "));
  element("about").title = `since ${new Date(started * 1000).toLocaleString()}`;
}

function tiles() {
  const [, growth, kernel, budget, running, waiting, wait, sent] = latest.sample;
  const used = growth + kernel;
  const tile = element("memory").closest("div");
  tile.classList.toggle("over", used > budget);
  tile.classList.toggle("warn", used > NEARLY * budget && used <= budget);
  say(element("memory"), bytes(used));
  const spent = used > budget ? ", over budget" : used > NEARLY * budget ? ", nearly spent" : "";
  say(element("memory-more"), `${share(used, budget)} of ${latest.memory}${spent}`);
  say(element("running"), count(running));
  say(
    element("running-more"),
    `of ${many(latest.slots, "slot", "slots")}, ${many(latest.connections, "connection", "connections")}`,
  );
  say(element("waiting"), count(waiting));
  const waits = waiting ? `the oldest for ${seconds(wait)}: ${summary(latest.waiting_for)}` : "";
  say(element("waiting-more"), waits || `${count(latest.refused)} refused so far`);
  element("waiting").closest("div").classList.toggle("warn", waiting > 0);
  const speed = past.last("rate");
  say(element("rate"), speed === null ? "\u2013" : rate(speed));
  say(element("rate-more"), `${bytes(sent)} since the start`);
}

// A log that has lost lines says so in itself as soon as it can: until then nobody knows but who looks here.
function log() {
  const lost = latest.log_lost;
  const why = "it could not be written, or its reader was too slow";
  say(element("log-lost"), lost ? `The log has lost ${many(lost, "line", "lines")} since the start: ${why}.` : "");
}

element("pause").addEventListener("click", ({ currentTarget }) => {
  paused = !paused;
  currentTarget.classList.toggle("on", paused);
  say(currentTarget, paused ? "Resume" : "Pause");
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
