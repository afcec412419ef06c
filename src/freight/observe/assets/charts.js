// The last ten minutes: what was told, four charts of it, a line of text under each, and the same as a table.

import { bytes, clock, count, rate, round, say, seconds, share, zone } from "./words.js";

const KEPT_SECONDS = 600;
const LEAST_SECONDS = 10; // on the axis, however little is known
const GAP_SECONDS = 4; // a line is not drawn over a longer silence
const BIN_SECONDS = 30; // a row of the table
const HEIGHT = 190;
const COLUMNS = ["at", "process", "kernel", "budget", "running", "waiting", "wait", "sent", "rate", "used"];

const element = (id) => document.getElementById(id);
const style = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

// One array a column, as uPlot wants them; null is a gap.
export class History {
  #joined = 0; // the last moment that was known when the present stream began
  #server = null; // which one it is

  constructor() {
    this.columns = Object.fromEntries(COLUMNS.map((name) => [name, []]));
    this.restarts = []; // when another server was there, in seconds since the epoch
    this.budget = ""; // the budget as it was given
  }

  get length() {
    return this.columns.at.length;
  }

  last(name) {
    return this.columns[name].at(-1);
  }

  // A stream has begun: what comes may be another server's.
  joined() {
    this.#joined = this.last("at") ?? 0;
  }

  // The frame of the last sample: says which server all of this stream is of, which may have begun in its midst.
  of({ pid, started, memory }) {
    const server = `${pid} ${started}`;
    if (this.#server !== null && this.#server !== server) this.restarts.push(Math.max(started, this.#joined + 0.001));
    this.#server = server;
    this.budget = memory;
    while (this.restarts[0] < this.columns.at[0]) this.restarts.shift();
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

  // From when to when the charts go, whatever is known.
  covered() {
    const last = this.last("at") ?? Date.now() / 1000;
    return [Math.min(this.columns.at[0] ?? last, last - LEAST_SECONDS), last];
  }

  // The largest of the present server.
  most(name) {
    const began = this.restarts.at(-1) ?? 0;
    return this.columns[name].reduce((most, each, at) => (each > most && this.columns.at[at] >= began ? each : most), 0);
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
// is written, there and at the axis. Of the stacked ones the sum is drawn first, and what it is made of over it.
const CHARTS = [
  {
    id: "memory", format: bytes, axis: round, space: inBytes, least: 1e6,
    series: [
      { name: "used", label: "process", of: "process", colour: "--one", filled: true },
      { name: "kernel", label: "kernel", colour: "--two", filled: true },
      { name: "budget", label: "budget", colour: "--limit", dash: [6, 4] },
    ],
  },
  {
    id: "rate", format: rate, axis: (value) => `${round(value)}/s`, space: inBytes, least: 1000,
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
      this.draw(); // at another scale
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

  #options({ id, format, axis, space, least, series }) {
    const past = this.#history;
    const { columns } = past;
    // Where no pointer is, the legend has the last moment.
    const written = (of, write) => (_plot, _value, _at, index) => {
      const value = columns[of][index ?? columns.at.length - 1];
      if (value === null || value === undefined) return "\u2013";
      return of === "budget" && value === past.last("budget") ? past.budget : write(value);
    };
    // The scale is that of the present server: one before it may have had another budget.
    const most = () => Math.max(...series.map(({ name }) => (this.#closer && name === "budget" ? 0 : past.most(name))));
    return {
      width: element(`${id}-chart`).clientWidth || 300,
      height: HEIGHT,
      padding: [8, 30, 0, 0], // half a label of time fits
      cursor: { drag: { x: false, y: false }, y: false, sync: { key: "freight" }, points: { size: 7 } },
      scales: {
        x: { range: () => past.covered() },
        y: { range: () => [0, Math.max(least, most() * 1.08)] },
      },
      axes: axes(axis, space),
      hooks: { draw: [(plot) => this.#mark(plot)] },
      series: [
        { label: "time", value: written("at", clock) },
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

  // A line where another server was there, and when.
  #mark({ ctx, bbox, valToPos }) {
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
      const said = `restarted ${clock(at)}`;
      const gap = 4 * devicePixelRatio;
      const fits = left + gap + ctx.measureText(said).width < bbox.left + bbox.width;
      ctx.textAlign = fits ? "left" : "right";
      ctx.fillText(said, fits ? left + gap : left - gap, bbox.top + gap);
    }
    ctx.restore();
  }

  #describe() {
    const past = this.#history;
    if (!past.length || past.last("used") === null) return;
    const covered = past.last("at") - past.columns.at[0];
    say(element("time-title"), `The last ${covered < 9.5 ? `${Math.max(1, Math.round(covered))} s` : seconds(covered)}`);
    say(element("zone"), `times in ${zone()}`);
    const now = (name) => past.last(name);
    const used = `${bytes(now("used"))} of ${past.budget} (${share(now("used"), now("budget"))})`;
    say(element("memory-text"), past.most("used") && past.budget ? `${used}, peak ${bytes(past.most("used"))}` : "");
    say(element("rate-text"), past.most("rate") ? `${rate(now("rate") ?? 0)}, peak ${rate(past.most("rate"))}` : "");
    const queued = past.most("waiting") ? `; ${count(now("waiting"))} waiting, peak ${count(past.most("waiting"))}` : "";
    const ran = past.most("running") || past.most("waiting");
    say(element("gate-text"), ran ? `${count(now("running"))} running, peak ${count(past.most("running"))}${queued}` : "");
    say(element("wait-text"), past.most("wait") ? `${seconds(now("wait"))}, peak ${seconds(past.most("wait"))}` : "");
  }

  // A row for each half minute. Not made again in between: a reader would lose the place.
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
