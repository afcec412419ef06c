// The requests that wait for a slot, and why: docs/reference/admin.md has the reasons.

import { count, many, say, seconds } from "./words.js";

// What it is called here, and what it means.
const REASONS = {
  "per-client": ["client limit", "Its client runs as many downloads as --per-client allows."],
  slots: ["slots", "Every slot is taken: --memory has room for no more downloads."],
  memory: ["memory", "Slots are left, but all memory is in use or reserved: for downloads that run, for connections, for small answers."],
  connections: ["connections", "Connections wait to be accepted: what comes free makes room for them first."],
  express: ["small answers", "The slots for small answers are taken, and downloads wait for the others."],
  listings: ["listings", "All the memory for directory listings is in use."],
  turn: ["turn", "A slot is free, and it is for a request that came before."],
  draining: ["stopping", "The server was being stopped."],
};

const name = (reason) => REASONS[reason]?.[0] ?? reason;

// How many there are of each reason, the most frequent first: "12 memory, 3 client limit".
export function summary(numbers) {
  const sorted = Object.entries(numbers).sort(([, one], [, other]) => other - one);
  return sorted.map(([reason, number]) => `${count(number)} ${name(reason)}`).join(", ");
}

function makeRow() {
  const row = document.createElement("tr");
  row.setAttribute("role", "row");
  const cells = ["place", "client", "target", "waits", "reason"].map((each) => {
    const cell = row.insertCell();
    cell.setAttribute("role", "cell");
    cell.className = each;
    return cell;
  });
  cells[0].classList.add("n");
  cells[0].dataset.label = "Place";
  cells[3].classList.add("n");
  cells[3].dataset.label = "Waited";
  cells[2].append(document.createElement("bdi"));
  const mark = document.createElement("span");
  mark.className = "mark";
  cells[4].append(mark);
  return row;
}

export function showWaiting({ waiting, waiting_omitted: omitted, waiting_for: reasons }) {
  const all = waiting.length + omitted;
  document.getElementById("waiting-section").hidden = all === 0;
  if (all === 0) return;
  say(document.getElementById("waiting-count"), count(all));
  explain(reasons);
  const body = document.querySelector("#waiters tbody");
  while (body.rows.length > waiting.length) body.deleteRow(-1);
  while (body.rows.length < waiting.length) body.append(makeRow());
  waiting.forEach(([client, target, waits, place, reason], at) => {
    const { cells } = body.rows[at];
    say(cells[0], count(place));
    say(cells[1], client);
    say(cells[2].firstChild, target);
    cells[2].title = target;
    say(cells[3], seconds(waits));
    const mark = cells[4].firstChild;
    say(mark, name(reason));
    mark.dataset.reason = reason;
    mark.title = REASONS[reason]?.[1] ?? "";
  });
  say(document.getElementById("waiting-omitted"), omitted ? `And ${many(omitted, "other", "others")}.` : "");
}

// Each reason once, in a sentence.
function explain(reasons) {
  const list = document.getElementById("reasons");
  const sorted = Object.entries(reasons).sort(([, one], [, other]) => other - one);
  while (list.children.length > sorted.length) list.lastChild.remove();
  while (list.children.length < sorted.length) list.append(document.createElement("li"));
  sorted.forEach(([reason, number], at) => {
    say(list.children[at], `${count(number)} ${name(reason)}: ${REASONS[reason]?.[1] ?? ""}`);
  });
}
