// The requests that wait for a slot, and why. docs/reference/admin.md has the reasons.

import { count, plural, seconds, setText } from "./format.js";

// Each reason: its name on this page, and what it means.
const REASONS = {
  "max-per-client": ["client limit", "Its client runs as many downloads as --max-per-client allows."],
  slots: ["slots", "Every slot is in use: --memory allows no more downloads at once."],
  memory: ["memory", "Slots are free, but all memory is in use or reserved: by running downloads, connections, or small answers."],
  connections: ["connections", "Connections wait to be accepted, and get free memory first."],
  express: ["small answers", "The slots for small answers are in use, and downloads wait for the others."],
  listings: ["listings", "All the memory for directory listings is in use."],
  turn: ["turn", "A slot is free, but an earlier request gets it."],
  draining: ["stopping", "The server was stopping."],
};

const name = (reason) => REASONS[reason]?.[0] ?? reason;

// The number of requests for each reason, the most frequent first: "12 memory, 3 client limit".
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
  setText(document.getElementById("waiting-count"), count(all));
  explain(reasons);
  const body = document.querySelector("#waiters tbody");
  while (body.rows.length > waiting.length) body.deleteRow(-1);
  while (body.rows.length < waiting.length) body.append(makeRow());
  waiting.forEach(([client, target, waits, place, reason], at) => {
    const { cells } = body.rows[at];
    setText(cells[0], count(place));
    setText(cells[1], client);
    setText(cells[2].firstChild, target);
    cells[2].title = target;
    setText(cells[3], seconds(waits));
    const mark = cells[4].firstChild;
    setText(mark, name(reason));
    mark.dataset.reason = reason;
    mark.title = REASONS[reason]?.[1] ?? "";
  });
  setText(document.getElementById("waiting-omitted"), omitted ? `And ${plural(omitted, "other", "others")}.` : "");
}

// One sentence for each reason.
function explain(reasons) {
  const list = document.getElementById("reasons");
  const sorted = Object.entries(reasons).sort(([, one], [, other]) => other - one);
  while (list.children.length > sorted.length) list.lastChild.remove();
  while (list.children.length < sorted.length) list.append(document.createElement("li"));
  sorted.forEach(([reason, number], at) => {
    setText(list.children[at], `${count(number)} ${name(reason)}: ${REASONS[reason]?.[1] ?? ""}`);
  });
}
