// The running downloads, a row each, and how downloads have ended.

import { bytes, count, rate, say, seconds, share } from "./words.js";

const STILL_SECONDS = 5; // nothing has gone out for so long: it stands still
const LATELY_MS = 5000; // what a rate is the average of; the server's own is that of a minute
const NAMES = ["client", "target", "progress", "rate", "left", "window", "state"];
const LABELS = { rate: "Rate", left: "Left", window: "Window" };

const MEANINGS = {
  completed: "All that was promised went out.",
  refused: "No slot: the line was full, or the wait too long. They were told when to come back.",
  "peer-gone": "The client closed the connection.",
  stalled: "The client took nothing for --idle-timeout.",
  "too-slow": "The client took less than --min-rate.",
  drained: "The server was stopped, and --drain was over.",
  changed: "The file was changed while it was sent.",
  "short-read": "The file ended before its length.",
  error: "The disk failed, or freight did: see the log.",
};

function makeRow() {
  const row = document.createElement("tr");
  row.setAttribute("role", "row");
  const cells = {};
  for (const name of NAMES) {
    const cell = row.insertCell();
    cell.setAttribute("role", "cell");
    cell.className = name;
    cells[name] = cell;
    if (name in LABELS) {
      cell.classList.add("n");
      cell.dataset.label = LABELS[name];
    }
  }
  const bar = document.createElement("progress");
  const text = document.createElement("span");
  cells.progress.append(bar, text);
  const target = document.createElement("bdi");
  cells.target.append(target);
  const mark = document.createElement("span");
  mark.className = "mark";
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
  #rows = [];
  #seen = new Map(); // of each download: what had gone out, since when no more has, and what its client took lately
  #body = document.querySelector("#downloads tbody");

  show(told, nowMs) {
    while (this.#rows.length > told.length) this.#rows.pop().row.remove();
    while (this.#rows.length < told.length) {
      const made = makeRow();
      this.#rows.push(made);
      this.#body.append(made.row);
    }
    const seen = new Map();
    told.forEach((each, at) => {
      const [began, client, target, sent, , , , queue] = each;
      const key = `${began} ${client} ${target}`;
      const before = this.#seen.get(key);
      const since = before && before.sent === sent ? before.since : nowMs;
      const lately = (before?.lately ?? []).filter((one) => one.atMs >= nowMs - LATELY_MS);
      lately.push({ atMs: nowMs, taken: sent - queue });
      seen.set(key, { sent, since, lately });
      this.#fill(this.#rows[at], each, (nowMs - since) / 1000, speed(lately) ?? each[5]);
    });
    this.#seen = seen;
    document.getElementById("downloads").hidden = told.length === 0;
    document.getElementById("nobody").hidden = told.length > 0;
  }

  #fill(made, told, stillSeconds, perSecond) {
    const [, client, target, sent, of, average, window, queue, runsSeconds, blockedOn] = told;
    const { cells, bar, text, mark } = made;
    say(cells.client, client);
    say(made.target, target);
    cells.target.title = target;
    if (of === null) {
      bar.removeAttribute("value");
      say(text, `${bytes(sent)}, length not stated`);
    } else {
      bar.max = Math.max(1, of);
      bar.value = sent;
      say(text, `${share(sent, of)} of ${bytes(of)}`);
    }
    bar.setAttribute("aria-label", `${target} for ${client}`);
    // A page that has just been opened has seen nothing yet, but the rate says who has never taken anything.
    const never = average === 0 && runsSeconds >= STILL_SECONDS;
    const still = blockedOn === "client" && (never || stillSeconds >= STILL_SECONDS);
    const left = of === null || still || perSecond <= 0 ? null : (of - sent + queue) / perSecond;
    say(cells.rate, perSecond > 0 ? rate(perSecond) : "\u2013");
    say(cells.left, left === null ? "\u2013" : seconds(left));
    say(cells.window, window === null ? bytes(queue) : `${bytes(queue)} / ${bytes(window)}`);
    const state = blockedOn === "disk" ? "disk" : still ? "still" : "sending";
    mark.dataset.state = state;
    say(mark, { disk: "waits for disk", still: never ? "stalled" : `stalled ${seconds(stillSeconds)}`, sending: "sending" }[state]);
  }
}

export function showEnded({ completed, refused, aborted }) {
  const body = document.querySelector("#ended tbody");
  for (const [name, number] of Object.entries({ completed, refused, ...aborted })) {
    let row = [...body.rows].find((each) => each.dataset.name === name);
    if (!row) {
      row = body.insertRow();
      row.dataset.name = name;
      const head = document.createElement("th");
      head.scope = "row";
      head.textContent = name;
      row.append(head);
      row.insertCell().className = "n";
      row.insertCell().textContent = MEANINGS[name] ?? "";
    }
    say(row.cells[1], count(number));
    row.classList.toggle("none", number === 0);
  }
}
