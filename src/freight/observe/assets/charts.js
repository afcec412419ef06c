// The last ten minutes: the samples, four charts of them with a line of text each, and the same data as a table.

import { axisBytes, bytes, clock, count, rate, setText, seconds, share, zone } from "./format.js";

const KEPT_SECONDS = 600;
const LEAST_SECONDS = 10; // the shortest time axis
const GAP_SECONDS = 4; // a longer time without samples is a gap in the lines
const BIN_SECONDS = 30; // a row of the table
const HEIGHT = 190;
const COLUMNS = ["at", "process", "kernel", "budget", "running", "waiting", "wait", "sent", "rate", "used"];

const element = (id) => document.getElementById(id);
const style = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

// The samples as one array for each column, as uPlot needs them; null is a gap.
export class History {
  #lastBefore = 0; // the time of the last sample before the current stream was opened
  #server = null; // identifies the current server

  constructor() {
    this.columns = Object.fromEntries(COLUMNS.map((name) => [name, []]));
    this.restarts = []; // when another server took over, in seconds since the epoch
    this.budget = ""; // the budget as the operator wrote it
  }

  get length() {
    return this.columns.at.length;
  }

  last(name) {
    return this.columns[name].at(-1);
  }

  // A stream was opened: its samples may be another server's.
  streamOpened() {
    this.#lastBefore = this.last("at") ?? 0;
  }

  // The frame of the last sample identifies the server of the whole stream, which may have started during it.
  identify({ pid, started, memory }) {
    const server = `${pid} ${started}`;
    if (this.#server !== null && this.#server !== server) this.restarts.push(Math.max(started, this.#lastBefore + 0.001));
    this.#server = server;
    this.budget = memory;
    while (this.restarts[0] < this.columns.at[0]) this.restarts.shift();
  }

  // A sample has the order of docs/reference/admin.md. If it is not later than the last one (it was sent before, or the
  // clock was set back), it replaces all samples that are not earlier.
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

  // The start and the end of the time axis.
  timeRange() {
    const last = this.last("at") ?? Date.now() / 1000;
    return [Math.min(this.columns.at[0] ?? last, last - LEAST_SECONDS), last];
  }

  // The largest value of the current server.
  peak(name) {
    const started = this.restarts.at(-1) ?? 0;
    return this.columns[name].reduce((peak, each, at) => (each > peak && this.columns.at[at] >= started ? each : peak), 0);
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

// Each chart has an id, series (column, label, colour, fill), and formats of a value in the legend and at the axis.
// Stacked series: the sum is drawn first, and its parts over it.
const CHARTS = [
  {
    id: "memory", format: bytes, axis: axisBytes, space: inBytes, least: 1e6,
    series: [
      { name: "used", label: "process", of: "process", colour: "--one", filled: true },
      { name: "kernel", label: "kernel", colour: "--two", filled: true },
      { name: "budget", label: "budget", colour: "--limit", dash: [6, 4] },
    ],
  },
  {
    id: "rate", format: rate, axis: (value) => `${axisBytes(value)}/s`, space: inBytes, least: 1000,
    series: [{ name: "rate", label: "sent", colour: "--one", filled: true }],
  },
  {
    id: "gate", format: count, axis: count, space: whole, least: 4,
    series: [
      { name: "running", label: "running", colour: "--one", filled: true },
      { name: "waiting", label: "waiting", colour: "--two" },
    ],
  },
  {
    id: "wait", format: seconds, axis: seconds, least: 2,
    series: [{ name: "wait", label: "oldest wait", colour: "--two", filled: true }],
  },
];

export class Charts {
  #history;
  #plots = [];
  #budgetHidden = false; // the scale of the memory chart is then that of the memory in use
  #lastBin = 0;

  constructor(history) {
    this.#history = history;
    this.#make();
    // A chart reads the colours when it is made.
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.#make());
    const observer = new ResizeObserver((entries) => {
      for (const { target, contentRect } of entries) {
        const at = CHARTS.findIndex(({ id }) => `${id}-chart` === target.id);
        if (contentRect.width > 0) this.#plots[at].setSize({ width: contentRect.width, height: HEIGHT });
      }
    });
    for (const { id } of CHARTS) observer.observe(element(`${id}-chart`));
    element("hide-budget").addEventListener("click", ({ currentTarget }) => {
      this.#budgetHidden = !this.#budgetHidden;
      currentTarget.setAttribute("aria-pressed", String(this.#budgetHidden));
      this.#plots[0].setSeries(3, { show: !this.#budgetHidden });
      this.draw(); // with another scale
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
    if (this.#budgetHidden) this.#plots[0].setSeries(3, { show: false });
  }

  #options({ id, format, axis, space, least, series }) {
    const past = this.#history;
    const { columns } = past;
    // Without a pointer on the chart, the legend shows the last sample.
    const legend = (of, write) => (_plot, _value, _at, index) => {
      const value = columns[of][index ?? columns.at.length - 1];
      if (value === null || value === undefined) return "\u2013";
      return of === "budget" && value === past.last("budget") ? past.budget : write(value);
    };
    // The scale is that of the current server: the one before may have had another budget.
    const top = () => Math.max(...series.map(({ name }) => (this.#budgetHidden && name === "budget" ? 0 : past.peak(name))));
    return {
      width: element(`${id}-chart`).clientWidth || 300,
      height: HEIGHT,
      padding: [8, 30, 0, 0], // half of a time label fits
      cursor: { drag: { x: false, y: false }, y: false, sync: { key: "freight" }, points: { size: 7 } },
      scales: {
        x: { range: () => past.timeRange() },
        y: { range: () => [0, Math.max(least, top() * 1.08)] },
      },
      axes: axes(axis, space),
      hooks: { draw: [(plot) => this.#markRestarts(plot)] },
      series: [
        { label: "time", value: legend("at", clock) },
        ...series.map(({ name, label, of = name, colour, filled, dash }) => ({
          label,
          dash,
          stroke: style(colour),
          fill: filled ? style(`${colour}-fill`) : undefined,
          width: 1.5,
          points: { show: false },
          value: legend(of, format),
        })),
      ],
    };
  }

  // A line and the time where another server took over.
  #markRestarts({ ctx, bbox, valToPos }) {
    ctx.save();
    ctx.strokeStyle = ctx.fillStyle = style("--quiet");
    ctx.lineWidth = devicePixelRatio;
    ctx.font = `${11 * devicePixelRatio}px system-ui, sans-serif`;
    ctx.textBaseline = "top";
    for (const at of this.#history.restarts) {
      const left = Math.round(valToPos(at, "x", true));
      if (left < bbox.left || left > bbox.left + bbox.width) continue;
      ctx.setLineDash([2 * devicePixelRatio, 3 * devicePixelRatio]);
      ctx.beginPath();
      ctx.moveTo(left, bbox.top);
      ctx.lineTo(left, bbox.top + bbox.height);
      ctx.stroke();
      const label = `restarted ${clock(at)}`;
      const gap = 4 * devicePixelRatio;
      const fits = left + gap + ctx.measureText(label).width < bbox.left + bbox.width;
      ctx.textAlign = fits ? "left" : "right";
      ctx.fillText(label, fits ? left + gap : left - gap, bbox.top + gap);
    }
    ctx.restore();
  }

  #describe() {
    const past = this.#history;
    if (!past.length || past.last("used") === null) return;
    const covered = past.last("at") - past.columns.at[0];
    setText(element("time-title"), `The last ${covered < 9.5 ? `${Math.max(1, Math.round(covered))} s` : seconds(covered)}`);
    setText(element("zone"), `times in ${zone()}`);
    const now = (name) => past.last(name);
    const used = `${bytes(now("used"))} of ${past.budget} (${share(now("used"), now("budget"))})`;
    setText(element("memory-text"), past.peak("used") && past.budget ? `${used}, peak ${bytes(past.peak("used"))}` : "");
    setText(element("rate-text"), past.peak("rate") ? `${rate(now("rate") ?? 0)}, peak ${rate(past.peak("rate"))}` : "");
    const queued = past.peak("waiting") ? `; ${count(now("waiting"))} waiting, peak ${count(past.peak("waiting"))}` : "";
    const ran = past.peak("running") || past.peak("waiting");
    setText(element("gate-text"), ran ? `${count(now("running"))} running, peak ${count(past.peak("running"))}${queued}` : "");
    setText(element("wait-text"), past.peak("wait") ? `${seconds(now("wait"))}, peak ${seconds(past.peak("wait"))}` : "");
  }

  // One row for each 30 s. Between those the rows are not replaced, so that a reader keeps the position.
  #tabulate(opened) {
    const details = element("as-table");
    const { columns } = this.#history;
    const bin = Math.floor((columns.at.at(-1) ?? 0) / BIN_SECONDS);
    if (!details.open || (!opened && bin === this.#lastBin)) return;
    this.#lastBin = bin;
    const rows = new Map();
    columns.at.forEach((at, index) => {
      if (columns.used[index] !== null) rows.set(Math.floor(at / BIN_SECONDS), index);
    });
    const formats = { process: bytes, kernel: bytes, budget: bytes, running: count, waiting: count, wait: seconds, rate };
    details.querySelector("tbody").replaceChildren(
      ...[...rows.values()].reverse().map((index) => {
        const row = document.createElement("tr");
        const head = document.createElement("th");
        head.scope = "row";
        head.textContent = clock(columns.at[index]);
        row.append(head);
        for (const [name, write] of Object.entries(formats)) {
          const value = columns[name][index];
          row.insertCell().textContent = value === null ? "\u2013" : write(value);
        }
        return row;
      }),
    );
  }
}
