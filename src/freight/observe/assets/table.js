// The running downloads, a row each, in the order that is wished for; and how downloads have ended.

import { summary } from "./queue.js";
import { bytes, count, many, rate, say, seconds, share } from "./words.js";

const STALLED_SECONDS = 5; // nothing has gone out for so long
const LATELY_MS = 5000; // what a rate is the average of; the server's own is that of a minute

const text = (one, other) => one.localeCompare(other, "en", { numeric: true });

// Each column: what it is called, what that means, what rows are sorted by, and whether the largest come first.
const COLUMNS = [
  { name: "client", label: "Client", title: "The address that the request came from", by: (row) => row.client },
  { name: "target", label: "Target", title: "What was asked for", by: (row) => row.target },
  { name: "progress", label: "Progress", title: "How much of it the kernel has taken", by: (row) => row.part, falling: true },
  { name: "rate", label: "Rate", title: "What the client took in the last five seconds", number: true, by: (row) => row.rate, falling: true },
  { name: "left", label: "Left", title: "How long the rest takes at this rate", number: true, by: (row) => row.left ?? Infinity },
  { name: "window", label: "Window", title: "The memory that the kernel has for it, of what it may have", number: true, by: (row) => row.queue, falling: true },
  { name: "state", label: "State", title: "Sending, waiting for the disk, or stalled: its client takes nothing", by: (row) => row.trouble, falling: true },
];

const MEANINGS = {
  completed: "All that was promised went out.",
  refused: "No slot: the queue was full, or the wait too long. The client was told when to come back.",
  "peer-gone": "The client closed the connection.",
  stalled: "The client took nothing for --idle-timeout.",
  "too-slow": "The client took less than --min-rate.",
  drained: "The server was stopped, and --drain was over.",
  changed: "The file was changed while it was sent.",
  "short-read": "The file ended before its length.",
  error: "The disk failed, or freight did: see the log.",
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

// Bytes a second; null: one moment is not enough to tell.
function speed(lately) {
  const first = lately[0];
  const last = lately.at(-1);
  return last.atMs > first.atMs ? Math.max(0, last.taken - first.taken) / ((last.atMs - first.atMs) / 1000) : null;
}

export class Downloads {
  #told = null; // the last frame
  #rows = []; // what is known of each download in it
  #made = new Map(); // the rows of the table, by download
  #groups = new Map(); // those above each client's, by client
  #body = document.querySelector("#downloads tbody");
  #sort = null; // a column; none: as they began
  #turned = false;
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
      this.#turned = false;
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

  show(told) {
    const nowMs = told.sample[0];
    const before = new Map(this.#rows.map((row) => [row.key, row]));
    this.#told = told;
    this.#rows = told.rows.map((each) => this.#read(each, before, nowMs));
    this.#arrange();
  }

  // One more click turns the order round, and a third goes back to how it was.
  #choose(column) {
    if (this.#sort !== column) [this.#sort, this.#turned] = [column, false];
    else if (!this.#turned) this.#turned = true;
    else [this.#sort, this.#turned] = [null, false];
    element("order").value = this.#sort?.name ?? "";
    this.#arrange();
  }

  #read([id, client, target, sent, of, average, window, queue, runsSeconds, blockedOn], before, nowMs) {
    const key = `${id} ${client} ${target}`;
    const past = before.get(key);
    const since = past && past.sent === sent ? past.since : nowMs;
    const lately = (past?.lately ?? []).filter((one) => one.atMs >= nowMs - LATELY_MS);
    if (lately.at(-1)?.atMs !== nowMs) lately.push({ atMs: nowMs, taken: sent - queue });
    // A page that has just been opened has seen nothing yet, but the rate says which has never taken anything.
    const never = average === 0 && runsSeconds >= STALLED_SECONDS;
    const stillSeconds = never ? runsSeconds : (nowMs - since) / 1000;
    const stalled = blockedOn === "client" && stillSeconds >= STALLED_SECONDS;
    const perSecond = stalled ? 0 : (speed(lately) ?? average);
    return {
      key, client, target, sent, of, window, queue, since, lately, stalled,
      part: of === null ? -1 : sent / Math.max(1, of),
      rate: perSecond,
      left: of === null || perSecond <= 0 ? null : (of - sent + queue) / perSecond,
      disk: blockedOn === "disk",
      stillSeconds,
      trouble: stalled ? 2 + stillSeconds : blockedOn === "disk" ? 1 : 0,
    };
  }

  #arrange() {
    if (this.#told === null) return;
    const wanted = element("filter").value.trim().toLowerCase();
    const found = this.#rows.filter((row) => `${row.client}\n${row.target}`.toLowerCase().includes(wanted));
    const ordered = this.#ordered(found);
    const pressed = (id) => element(id).getAttribute("aria-pressed") === "true";
    const lines = pressed("grouped") ? this.#inGroups(ordered) : ordered.map((row) => this.#line(row));
    const keys = new Set(this.#rows.map(({ key }) => key));
    for (const key of this.#made.keys()) if (!keys.has(key)) this.#made.delete(key);
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
      const sign = Boolean(falling) === this.#turned ? 1 : -1;
      ordered.sort((one, other) => {
        const [first, second] = [by(one), by(other)];
        return sign * (typeof first === "string" ? text(first, second) : first < second ? -1 : first > second ? 1 : 0);
      });
    }
    if (element("stalled").getAttribute("aria-pressed") === "true") {
      ordered.sort((one, other) => Number(other.stalled) - Number(one.stalled));
    }
    return ordered;
  }

  // The rows of each client beneath a line about it, the client with the most first.
  #inGroups(rows) {
    const groups = new Map();
    for (const row of rows) groups.set(row.client, [...(groups.get(row.client) ?? []), row]);
    const known = new Map(this.#told.clients.map(([client, running, waiting, perSecond]) => [client, { running, waiting, perSecond }]));
    const totals = (client, own) =>
      known.get(client) ?? { running: own.length, waiting: 0, perSecond: own.reduce((sum, row) => sum + row.rate, 0) };
    const sorted = [...groups].map(([client, own]) => ({ client, own, of: totals(client, own) }));
    sorted.sort((one, other) => other.of.running - one.of.running);
    return sorted.flatMap(({ client, own, of }) => [this.#group(client, of), ...own.map((row) => this.#line(row))]);
  }

  #group(client, { running, waiting, perSecond }) {
    let row = this.#groups.get(client);
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
      if (this.#groups.size > 200) this.#groups.clear();
      this.#groups.set(client, row);
    }
    const parts = [`${count(running)} running`];
    if (waiting) parts.push(`${count(waiting)} waiting`);
    parts.push(rate(perSecond));
    say(row.querySelector("span"), parts.join(", "));
    return row;
  }

  #line(row) {
    let made = this.#made.get(row.key);
    if (made === undefined) {
      made = makeRow();
      this.#made.set(row.key, made);
    }
    const { cells, bar, text, target, mark } = made;
    say(cells.client, row.client);
    say(target, row.target);
    cells.target.title = row.target;
    if (row.of === null) {
      bar.removeAttribute("value");
      say(text, `${bytes(row.sent)}, length not stated`);
    } else {
      bar.max = Math.max(1, row.of);
      bar.value = row.sent;
      say(text, `${share(row.sent, row.of)} of ${bytes(row.of)}`);
    }
    bar.setAttribute("aria-label", `${row.target} for ${row.client}`);
    say(cells.rate, row.rate > 0 ? rate(row.rate) : "\u2013");
    say(cells.left, row.left === null ? "\u2013" : seconds(row.left));
    say(cells.window, row.window === null ? bytes(row.queue) : `${bytes(row.queue)} / ${bytes(row.window)}`);
    mark.dataset.state = row.disk ? "disk" : row.stalled ? "still" : "sending";
    say(mark, row.disk ? "waits for disk" : row.stalled ? `stalled ${seconds(row.stillSeconds)}` : "sending");
    return made.row;
  }

  #describe(filtered, found) {
    const { omitted } = this.#told;
    const shown = this.#rows.length;
    element("downloads").hidden = element("tools").hidden = shown === 0;
    element("nobody").hidden = shown > 0;
    for (const [column, head] of this.#heads) {
      if (column !== this.#sort) head.removeAttribute("aria-sort");
      else head.setAttribute("aria-sort", Boolean(column.falling) === this.#turned ? "ascending" : "descending");
    }
    say(element("downloads-count"), shown ? count(shown + omitted) : "");
    const parts = [];
    if (filtered) parts.push(`${many(found, "download matches", "downloads match")}.`);
    if (omitted) {
      parts.push(`These are the ${count(shown)} that began first; ${many(omitted, "other runs", "others run")} too. status lists up to 1,000.`);
    }
    say(element("omitted"), parts.join(" "));
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
    say(row.cells[1], count(number));
    if (name === "refused" && number) say(row.cells[2], `${MEANINGS.refused} By reason: ${summary(reasons)}.`);
    row.classList.toggle("none", number === 0);
  }
}
