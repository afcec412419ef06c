// The running downloads, one row each, in the order that the reader chose; and the outcomes of all downloads.

import { bytes, count, plural, rate, seconds, setText, share } from "./format.js";
import { summary } from "./queue.js";

const STALLED_SECONDS = 5; // without progress: the download is shown as stalled
const RATE_MS = 5000; // the time that a rate is averaged over; the server's own rate is that of a minute

const compareText = (one, other) => one.localeCompare(other, "en", { numeric: true });

// Each column: its label, what it means, what rows are sorted by, and whether the largest come first.
const COLUMNS = [
  { name: "client", label: "Client", title: "The address that the request came from", by: (row) => row.client },
  { name: "target", label: "Target", title: "The path that the client requested", by: (row) => row.target },
  { name: "progress", label: "Progress", title: "How much of it was handed to the kernel", by: (row) => row.part, falling: true },
  { name: "rate", label: "Rate", title: "What the client received in the last five seconds, on average", number: true, by: (row) => row.rate, falling: true },
  { name: "left", label: "Left", title: "The time for the rest at this rate", number: true, by: (row) => row.left ?? Infinity },
  { name: "window", label: "Window", title: "The kernel memory in use for it, and the most that it may use", number: true, by: (row) => row.queue, falling: true },
  { name: "state", label: "State", title: "Sending, waiting for the disk, or stalled: the client receives nothing", by: (row) => row.severity, falling: true },
];

const MEANINGS = {
  completed: "The client acknowledged the whole response.",
  refused: "No slot: the queue was full, or the wait was too long. The response said when to retry.",
  "peer-gone": "The client closed the connection.",
  stalled: "The client received nothing for --idle-timeout, or for a quarter of that while requests waited.",
  "too-slow": "The client received less than --min-rate.",
  drained: "The server stopped, and --shutdown-timeout had passed.",
  changed: "The file changed while it was sent.",
  "short-read": "The file ended before its stated length.",
  "disk-timeout": "The file system did not answer for --disk-timeout.",
  error: "The disk or freight failed: see the log.",
};

const element = (id) => document.getElementById(id);

function make(name, about = {}) {
  return Object.assign(document.createElement(name), about);
}

function makeRow() {
  const row = make("tr");
  row.setAttribute("role", "row");
  const cells = {};
  for (const { name, label, number } of COLUMNS) {
    const cell = row.insertCell();
    cell.setAttribute("role", "cell");
    cell.className = name;
    cells[name] = cell;
    if (number) {
      cell.classList.add("n");
      cell.dataset.label = label;
    }
  }
  const [bar, text, target, mark] = [make("progress"), make("span"), make("bdi"), make("span", { className: "mark" })];
  cells.progress.append(bar, text);
  cells.target.append(target);
  cells.state.append(mark);
  return { row, cells, bar, text, target, mark };
}

// Bytes per second; null after only one sample.
function averageRate(recent) {
  const first = recent[0];
  const last = recent.at(-1);
  return last.atMs > first.atMs ? Math.max(0, last.received - first.received) / ((last.atMs - first.atMs) / 1000) : null;
}

export class Downloads {
  #frame = null; // the last one
  #rows = []; // the values of each download in it
  #rowElements = new Map(); // by download
  #groupElements = new Map(); // the head row of each client's downloads, by client
  #body = document.querySelector("#downloads tbody");
  #sort = null; // a column; null: by start
  #reversed = false;
  #heads = new Map();

  constructor() {
    const order = element("order");
    order.append(make("option", { value: "", textContent: "age" }));
    for (const column of COLUMNS) {
      const head = make("th", { scope: "col", title: column.title });
      head.setAttribute("role", "columnheader");
      head.classList.toggle("n", column.number === true);
      const button = make("button", { type: "button", textContent: column.label });
      button.addEventListener("click", () => this.#choose(column));
      head.append(button);
      document.querySelector("#downloads thead tr").append(head);
      this.#heads.set(column, head);
      order.append(make("option", { value: column.name, textContent: column.label.toLowerCase() }));
    }
    order.addEventListener("change", () => {
      this.#sort = COLUMNS.find(({ name }) => name === order.value) ?? null;
      this.#reversed = false;
      this.#arrange();
    });
    for (const id of ["stalled", "grouped"]) {
      element(id).addEventListener("click", ({ currentTarget }) => {
        currentTarget.setAttribute("aria-pressed", String(currentTarget.getAttribute("aria-pressed") !== "true"));
        this.#arrange();
      });
    }
    element("filter").addEventListener("input", () => this.#arrange());
  }

  show(frame) {
    const nowMs = frame.sample[0];
    const before = new Map(this.#rows.map((row) => [row.key, row]));
    this.#frame = frame;
    this.#rows = frame.rows.map((each) => this.#read(each, before, nowMs));
    this.#arrange();
  }

  // A second click reverses the order, and a third restores the order by start.
  #choose(column) {
    if (this.#sort !== column) [this.#sort, this.#reversed] = [column, false];
    else if (!this.#reversed) this.#reversed = true;
    else [this.#sort, this.#reversed] = [null, false];
    element("order").value = this.#sort?.name ?? "";
    this.#arrange();
  }

  #read([id, client, target, sent, of, average, window, queue, runsSeconds, blockedOn, worker], before, nowMs) {
    const key = `${worker} ${id}`;
    const past = before.get(key);
    const since = past && past.sent === sent ? past.since : nowMs;
    const recent = (past?.recent ?? []).filter((one) => one.atMs >= nowMs - RATE_MS);
    if (recent.at(-1)?.atMs !== nowMs) recent.push({ atMs: nowMs, received: sent - queue });
    // A page that has just been opened has no earlier samples, but a rate of 0 shows a client that received nothing yet.
    const neverReceived = average === 0 && runsSeconds >= STALLED_SECONDS;
    const stalledSeconds = neverReceived ? runsSeconds : (nowMs - since) / 1000;
    const stalled = blockedOn === "client" && stalledSeconds >= STALLED_SECONDS;
    const perSecond = stalled ? 0 : (averageRate(recent) ?? average);
    return {
      key, client, target, sent, of, window, queue, since, recent, stalled,
      part: of === null ? -1 : sent / Math.max(1, of),
      rate: perSecond,
      left: of === null || perSecond <= 0 ? null : (of - sent + queue) / perSecond,
      disk: blockedOn === "disk",
      stalledSeconds,
      severity: stalled ? 2 + stalledSeconds : blockedOn === "disk" ? 1 : 0,
    };
  }

  #arrange() {
    if (this.#frame === null) return;
    const wanted = element("filter").value.trim().toLowerCase();
    const found = this.#rows.filter((row) => `${row.client}\n${row.target}`.toLowerCase().includes(wanted));
    const ordered = this.#ordered(found);
    const pressed = (id) => element(id).getAttribute("aria-pressed") === "true";
    const lines = pressed("grouped") ? this.#inGroups(ordered) : ordered.map((row) => this.#line(row));
    const keys = new Set(this.#rows.map(({ key }) => key));
    for (const key of this.#rowElements.keys()) if (!keys.has(key)) this.#rowElements.delete(key);
    const { children } = this.#body;
    if (children.length !== lines.length || lines.some((line, at) => children[at] !== line)) {
      this.#body.replaceChildren(...lines);
    }
    this.#describe(wanted !== "", found.length);
  }

  #ordered(rows) {
    const ordered = [...rows];
    const { by, falling } = this.#sort ?? {};
    if (by) {
      const sign = Boolean(falling) === this.#reversed ? 1 : -1;
      ordered.sort((one, other) => {
        const [first, second] = [by(one), by(other)];
        return sign * (typeof first === "string" ? compareText(first, second) : first < second ? -1 : first > second ? 1 : 0);
      });
    }
    if (element("stalled").getAttribute("aria-pressed") === "true") {
      ordered.sort((one, other) => Number(other.stalled) - Number(one.stalled));
    }
    return ordered;
  }

  // The rows of each client below a head row, the client with the most downloads first.
  #inGroups(rows) {
    const groups = new Map();
    for (const row of rows) groups.set(row.client, [...(groups.get(row.client) ?? []), row]);
    const known = new Map(this.#frame.clients.map(([client, running, waiting, perSecond]) => [client, { running, waiting, perSecond }]));
    const totals = (client, own) =>
      known.get(client) ?? { running: own.length, waiting: 0, perSecond: own.reduce((sum, row) => sum + row.rate, 0) };
    const sorted = [...groups].map(([client, own]) => ({ client, own, of: totals(client, own) }));
    sorted.sort((one, other) => other.of.running - one.of.running);
    return sorted.flatMap(({ client, own, of }) => [this.#group(client, of), ...own.map((row) => this.#line(row))]);
  }

  #group(client, { running, waiting, perSecond }) {
    let row = this.#groupElements.get(client);
    if (row === undefined) {
      row = make("tr", { className: "group" });
      row.setAttribute("role", "row");
      const head = make("th", { scope: "rowgroup", colSpan: COLUMNS.length });
      head.setAttribute("role", "rowheader");
      const button = make("button", { type: "button", textContent: client, title: "Show only this client" });
      button.addEventListener("click", () => {
        element("filter").value = element("filter").value === client ? "" : client;
        this.#arrange();
      });
      head.append(button, " ", make("span"));
      row.append(head);
      if (this.#groupElements.size > 200) this.#groupElements.clear();
      this.#groupElements.set(client, row);
    }
    const parts = [`${count(running)} running`];
    if (waiting) parts.push(`${count(waiting)} waiting`);
    parts.push(rate(perSecond));
    setText(row.querySelector("span"), parts.join(", "));
    return row;
  }

  #line(row) {
    let elements = this.#rowElements.get(row.key);
    if (elements === undefined) {
      elements = makeRow();
      this.#rowElements.set(row.key, elements);
    }
    const { cells, bar, text, target, mark } = elements;
    setText(cells.client, row.client);
    setText(target, row.target);
    cells.target.title = row.target;
    if (row.of === null) {
      bar.removeAttribute("value");
      setText(text, `${bytes(row.sent)}, length not stated`);
    } else {
      bar.max = Math.max(1, row.of);
      bar.value = row.sent;
      setText(text, `${share(row.sent, row.of)} of ${bytes(row.of)}`);
    }
    bar.setAttribute("aria-label", `${row.target} for ${row.client}`);
    setText(cells.rate, row.rate > 0 ? rate(row.rate) : "\u2013");
    setText(cells.left, row.left === null ? "\u2013" : seconds(row.left));
    setText(cells.window, row.window === null ? bytes(row.queue) : `${bytes(row.queue)} / ${bytes(row.window)}`);
    mark.dataset.state = row.disk ? "disk" : row.stalled ? "stalled" : "sending";
    setText(mark, row.disk ? "waits for disk" : row.stalled ? `stalled ${seconds(row.stalledSeconds)}` : "sending");
    return elements.row;
  }

  #describe(filtered, found) {
    const { omitted } = this.#frame;
    const shown = this.#rows.length;
    element("downloads").hidden = element("tools").hidden = shown === 0;
    element("no-downloads").hidden = shown > 0;
    for (const [column, head] of this.#heads) {
      if (column !== this.#sort) head.removeAttribute("aria-sort");
      else head.setAttribute("aria-sort", Boolean(column.falling) === this.#reversed ? "ascending" : "descending");
    }
    setText(element("downloads-count"), shown ? count(shown + omitted) : "");
    const parts = [];
    if (filtered) parts.push(`${plural(found, "download matches", "downloads match")}.`);
    if (omitted) {
      parts.push(`These ${count(shown)} started first; ${plural(omitted, "other runs", "others run")} too. /status lists up to 1,000.`);
    }
    setText(element("omitted"), parts.join(" "));
  }
}

export function showEnded({ completed, refused, refused_for: reasons, aborted }) {
  const body = document.querySelector("#ended tbody");
  for (const [name, number] of Object.entries({ completed, refused, ...aborted })) {
    let row = [...body.rows].find((each) => each.dataset.name === name);
    if (!row) {
      row = body.insertRow();
      row.dataset.name = name;
      row.append(make("th", { scope: "row", textContent: name }));
      row.insertCell().className = "n";
      row.insertCell().textContent = MEANINGS[name] ?? "";
    }
    setText(row.cells[1], count(number));
    if (name === "refused" && number) setText(row.cells[2], `${MEANINGS.refused} By reason: ${summary(reasons)}.`);
    row.classList.toggle("none", number === 0);
  }
}
