// The last ten minutes: what was told, four charts of it, a line of text under each, and the same as a table.

import { bytes, clock, count, rate, say, seconds, share } from "./words.js";

const KEPT_SECONDS = 600;
const LEAST_SECONDS = 60; // on the axis, however little is known
const GAP_SECONDS = 4; // a line is not drawn over a longer silence
const BIN_SECONDS = 30; // a row of the table
const HEIGHT = 190;
const COLUMNS = ["at", "process", "kernel", "budget", "running", "waiting", "wait", "sent", "rate", "used"];

const element = (id) => document.getElementById(id);
const style = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

// One array a column, as uPlot wants them; null is a gap.
export class History {
  constructor() {
    this.columns = Object.fromEntries(COLUMNS.map((name) => [name, []]));
  }

  get length() {
    return this.columns.at.length;
  }

  last(name) {
    return this.columns[name].at(-1);
  }

  // A sample comes in the order of docs/reference/admin.md. One that is known already, or is of a clock that has been
  // set back, takes the place of all that are not before it.
  add([atMs, process, kernel, budget, running, waiting, wait, sent]) {
    const { columns } = this;
    const at = atMs / 1000;
    while (this.length && this.last("at") >= at) this.#drop(-1);
    const elapsed = at - this.last("at");
    const broken = this.length > 0 && (elapsed > GAP_SECONDS || sent < this.last("sent"));
    if (broken) this.#push({ at: this.last("at") + 0.001 });
    const known = this.length > 0 && !broken && this.last("sent") !== null;
    this.#push({
      at, process, kernel, budget, running, waiting, wait, sent,
      rate: known ? (sent - this.last("sent")) / elapsed : null,
      used: process + kernel,
    });
    while (columns.at[0] < at - KEPT_SECONDS) this.#drop(0);
  }

  most(name) {
    return this.columns[name].reduce((most, each) => (each > most ? each : most), 0);
  }

  #push(row) {
    for (const name of COLUMNS) this.columns[name].push(row[name] ?? null);
  }

  #drop(at) {
    for (const name of COLUMNS) this.columns[name].splice(at, 1);
  }
}

function axes(format, space) {
  const line = { stroke: style("--line"), width: 1 };
  const shared = { stroke: style("--quiet"), font: "11px system-ui, sans-serif", grid: line, ticks: { show: false } };
  return [
    { ...shared, space: 74, values: (_, splits) => splits.map(clock), grid: { show: false }, size: 30, gap: 8 },
    { ...shared, size: 66, gap: 6, space: 36, values: (_, splits) => splits.map(format), ...space },
  ];
}

const inBytes = { incrs: Array.from({ length: 16 }, (_, at) => [1, 2, 5].map((each) => each * 10 ** at)).flat() };
const whole = { incrs: [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000] };

// Each chart: where, what is drawn (a name of a column, as it is called, its colour, how it is filled), and how a value
// is written. Of the stacked ones the sum is drawn first, and what it is made of over it.
const CHARTS = [
  {
    id: "memory", format: bytes, space: inBytes, least: 1e6,
    series: [
      { name: "used", label: "process", of: "process", colour: "--one", filled: true },
      { name: "kernel", label: "kernel", colour: "--two", filled: true },
      { name: "budget", label: "budget", colour: "--limit", dash: [6, 4] },
    ],
  },
  { id: "rate", format: rate, space: inBytes, least: 1000, series: [{ name: "rate", label: "sent", colour: "--one", filled: true }] },
  {
    id: "gate", format: count, space: whole, least: 4,
    series: [
      { name: "running", label: "running", colour: "--one", filled: true },
      { name: "waiting", label: "waiting", colour: "--two" },
    ],
  },
  { id: "wait", format: seconds, least: 2, series: [{ name: "wait", label: "waits", colour: "--two", filled: true }] },
];

export class Charts {
  #history;
  #plots = [];
  #closer = false; // the memory chart shows what is used, and not the whole budget
  #binned = 0;

  constructor(history) {
    this.#history = history;
    this.#make();
    // The colours are read when a chart is made.
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.#make());
    const sized = new ResizeObserver((entries) => {
      for (const { target, contentRect } of entries) {
        const at = CHARTS.findIndex(({ id }) => `${id}-chart` === target.id);
        if (contentRect.width > 0) this.#plots[at].setSize({ width: contentRect.width, height: HEIGHT });
      }
    });
    for (const { id } of CHARTS) sized.observe(element(`${id}-chart`));
    element("closer").addEventListener("click", ({ currentTarget }) => {
      this.#closer = !this.#closer;
      currentTarget.setAttribute("aria-pressed", String(this.#closer));
      this.#plots[0].setSeries(3, { show: !this.#closer });
    });
    element("as-table").addEventListener("toggle", () => this.#tabulate(true));
  }

  draw() {
    CHARTS.forEach((chart, at) => this.#plots[at].setData(this.#data(chart)));
    this.#describe();
    this.#tabulate(false);
  }

  #data({ series }) {
    return ["at", ...series.map(({ name }) => name)].map((name) => this.#history.columns[name]);
  }

  #make() {
    for (const plot of this.#plots) plot.destroy();
    this.#plots = CHARTS.map((chart) => new uPlot(this.#options(chart), this.#data(chart), element(`${chart.id}-chart`)));
    if (this.#closer) this.#plots[0].setSeries(3, { show: false });
  }

  #options({ id, format, space, least, series }) {
    const { columns } = this.#history;
    // Where no pointer is, the legend has the last moment.
    const written = (of, write) => (_plot, _value, _at, index) => {
      const value = columns[of][index ?? columns.at.length - 1];
      return value === null || value === undefined ? "\u2013" : write(value);
    };
    return {
      width: element(`${id}-chart`).clientWidth || 300,
      height: HEIGHT,
      padding: [8, 8, 0, 0],
      cursor: { drag: { x: false, y: false }, y: false, sync: { key: "freight" }, points: { size: 7 } },
      scales: {
        x: { range: (_, first, last) => [first, Math.max(last, first + LEAST_SECONDS)] },
        y: { range: (_, __, most) => [0, Math.max(least, most * 1.08)] },
      },
      axes: axes(format, space),
      series: [
        { label: "at", value: written("at", clock) },
        ...series.map(({ name, label, of = name, colour, filled, dash }) => ({
          label,
          dash,
          stroke: style(colour),
          fill: filled ? style(`${colour}-fill`) : undefined,
          width: 1.5,
          points: { show: false },
          value: written(of, format),
        })),
      ],
    };
  }

  #describe() {
    const past = this.#history;
    if (!past.length || past.last("used") === null) return;
    const now = (name) => past.last(name);
    const used = `${bytes(now("used"))} of ${bytes(now("budget"))} (${share(now("used"), now("budget"))})`;
    say(element("memory-text"), `${used} now, ${bytes(past.most("used"))} at most.`);
    say(element("rate-text"), `${rate(now("rate") ?? 0)} now, ${rate(past.most("rate"))} at most.`);
    say(
      element("gate-text"),
      `${count(now("running"))} running and ${count(now("waiting"))} waiting now, ` +
        `${count(past.most("running"))} and ${count(past.most("waiting"))} at most.`,
    );
    say(element("wait-text"), `${seconds(now("wait"))} now, ${seconds(past.most("wait"))} at most.`);
  }

  // A row for each half minute. Not made anew in between: who reads it would lose the place.
  #tabulate(opened) {
    const details = element("as-table");
    const { columns } = this.#history;
    const bin = Math.floor((columns.at.at(-1) ?? 0) / BIN_SECONDS);
    if (!details.open || (!opened && bin === this.#binned)) return;
    this.#binned = bin;
    const rows = new Map();
    columns.at.forEach((at, index) => {
      if (columns.used[index] !== null) rows.set(Math.floor(at / BIN_SECONDS), index);
    });
    const written = { process: bytes, kernel: bytes, budget: bytes, running: count, waiting: count, wait: seconds, rate };
    details.querySelector("tbody").replaceChildren(
      ...[...rows.values()].reverse().map((index) => {
        const row = document.createElement("tr");
        const head = document.createElement("th");
        head.scope = "row";
        head.textContent = clock(columns.at[index]);
        row.append(head);
        for (const [name, write] of Object.entries(written)) {
          const value = columns[name][index];
          row.insertCell().textContent = value === null ? "\u2013" : write(value);
        }
        return row;
      }),
    );
  }
}
