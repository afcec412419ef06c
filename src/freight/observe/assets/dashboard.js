// The page: it shows the events of /events. docs/reference/admin.md has their format.

import { Charts, History } from "./charts.js";
import { showWaiting, summary } from "./queue.js";
import { Downloads, showEnded } from "./table.js";
import { bytes, clock, count, lastPart, plural, rate, seconds, setText, share } from "./format.js";

const RETRY_MS = 5000; // after a refusal, when a browser does not reconnect by itself
const NEARLY_SPENT = 0.9; // of the budget

const element = (id) => document.getElementById(id);
const past = new History();
const charts = new Charts(past);
const downloads = new Downloads();

let stream = null;
let retryTimer = 0;
let lastEventId = "";
let latest = null; // the last frame
let paused = false;

function setState(name, text) {
  document.querySelector("main").classList.toggle("stale", name === "lost" || name === "opening");
  element("state").dataset.state = name;
  setText(element("state"), text); // a live region: a screen reader speaks only changes
}

function connect() {
  clearTimeout(retryTimer);
  stream?.close();
  stream = new EventSource(lastEventId ? `events?after=${lastEventId}` : "events");
  stream.addEventListener("open", () => past.streamOpened());
  stream.addEventListener("history", (event) => {
    lastEventId = event.lastEventId;
    for (const sample of JSON.parse(event.data)) past.add(sample);
    if (!paused) charts.draw();
  });
  stream.addEventListener("now", (event) => {
    lastEventId = event.lastEventId;
    latest = JSON.parse(event.data);
    past.add(latest.sample);
    past.identify(latest);
    setText(element("banner"), "");
    if (!paused) show();
  });
  stream.addEventListener("error", ({ currentTarget }) => {
    const refused = currentTarget.readyState === EventSource.CLOSED;
    setState("lost", refused ? "Refused, trying again" : "No answer, trying again");
    if (latest) setText(element("banner"), `No answer since ${clock(latest.sample[0] / 1000)}. The figures are from then.`);
    if (refused) retryTimer = setTimeout(connect, RETRY_MS);
  });
}

function show() {
  const { draining, rows, omitted } = latest;
  if (paused) setState("paused", "Paused");
  else if (draining) setState("draining", "Stopping");
  else setState("live", "Live");
  showIdentity();
  showTiles();
  showUnresponsive();
  showLostLines();
  charts.draw();
  showWaiting(latest);
  downloads.show(latest);
  showEnded(latest);
  const all = rows.length + omitted;
  document.title = `freight ${lastPart(latest.path)}: ${count(all)} running`;
}

// A browser may have the dashboards of several servers open.
function showIdentity() {
  const { path, urls, pid, memory, workers, version, started, sample } = latest;
  setText(document.querySelector("h1"), lastPart(path));
  document.querySelector("h1").title = path;
  const addresses = urls.map((each) => each.replace(/^http:[/][/]/, "").replace(/[/]$/, ""));
  const parts = [...addresses, `pid ${pid}`, memory];
  if (workers > 1) parts.push(`${workers} workers`);
  parts.push(`freight ${version}`, `up ${seconds(Math.max(0, sample[0] / 1000 - started))}`);
  setText(element("about"), parts.join(" \u00b7 "));
  element("about").title = `since ${new Date(started * 1000).toLocaleString()}`;
}

function showTiles() {
  const [, growth, kernel, budget, running, waiting, wait, sent] = latest.sample;
  const used = growth + kernel;
  const tile = element("memory").closest("div");
  tile.classList.toggle("over", used > budget);
  tile.classList.toggle("warn", used > NEARLY_SPENT * budget && used <= budget);
  setText(element("memory"), bytes(used));
  const spent = used > budget ? ", over budget" : used > NEARLY_SPENT * budget ? ", nearly spent" : "";
  setText(element("memory-more"), `${share(used, budget)} of ${latest.memory}${spent}`);
  setText(element("running"), count(running));
  setText(
    element("running-more"),
    `of ${plural(latest.slots, "slot", "slots")}, ${plural(latest.connections, "connection", "connections")}`,
  );
  setText(element("waiting"), count(waiting));
  const waits = waiting ? `the oldest for ${seconds(wait)}: ${summary(latest.waiting_for)}` : "";
  setText(element("waiting-more"), waits || `${count(latest.refused)} rejected so far`);
  element("waiting").closest("div").classList.toggle("warn", waiting > 0);
  const speed = past.last("rate");
  setText(element("rate"), speed === null ? "\u2013" : rate(speed));
  setText(element("rate-more"), `${bytes(sent)} since the start`);
}

function showUnresponsive() {
  const failed = latest.unresponsive.map(([path, since]) => `${path} (for ${seconds(since)})`).join(", ");
  setText(element("unresponsive"), failed ? `File systems that do not answer: ${failed}.` : "");
}

// The log itself reports lost lines only when it can be written again.
function showLostLines() {
  const lost = latest.log_lost;
  const why = "the log could not be written, or its reader was too slow";
  setText(element("log-lost"), lost ? `The log has lost ${plural(lost, "line", "lines")} since the start: ${why}.` : "");
}

element("pause").addEventListener("click", ({ currentTarget }) => {
  paused = !paused;
  currentTarget.classList.toggle("on", paused);
  setText(currentTarget, paused ? "Resume" : "Pause");
  if (paused) setState("paused", "Paused");
  else if (latest) show();
});

// A hidden page closes its stream, and gets what it missed when it is shown again.
document.addEventListener("visibilitychange", () => {
  if (document.hidden) {
    clearTimeout(retryTimer);
    stream?.close();
  } else connect();
});

if (!document.hidden) connect();
