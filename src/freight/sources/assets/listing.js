"use strict";
// What only a browser can add to a listing: local times, links and commands to copy, a filter that answers at once.
(() => {
  const one = (selector, within = document) => within.querySelector(selector);
  const make = (name, properties, ...children) => {
    const element = Object.assign(document.createElement(name), properties);
    element.append(...children);
    return element;
  };
  const rows = [...document.querySelectorAll("tbody tr:not(.parent)")];
  const found = one("#found");
  document.title += ` – ${location.host}`;

  // Times come in UTC, and are the reader's from here on: short ones where the page is narrow.
  const two = (number) => String(number).padStart(2, "0");
  const narrow = matchMedia("(max-width: 40rem)");
  const months = "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split(" ");
  const now = new Date();
  const times = [...document.querySelectorAll("time")].map((time) => [time, new Date(time.dateTime)]);
  const tell = () => {
    for (const [time, at] of times) {
      const [year, month, day] = [at.getFullYear(), at.getMonth(), at.getDate()];
      const clock = `${two(at.getHours())}:${two(at.getMinutes())}`;
      time.textContent = narrow.matches
        ? `${day} ${months[month]} ${year === now.getFullYear() ? clock : year}`
        : `${year}-${two(month + 1)}-${two(day)} ${clock}`;
    }
  };
  tell();
  narrow.addEventListener("change", tell);
  const zone = one(".zone");
  zone.parentElement.title = `In your time: ${Intl.DateTimeFormat().resolvedOptions().timeZone}`;
  zone.remove();
  const ago = new Intl.RelativeTimeFormat("en", { numeric: "auto" });
  const units = [["year", 31557600], ["month", 2629800], ["day", 86400], ["hour", 3600], ["minute", 60], ["second", 1]];
  const date = (time) => {
    const seconds = (new Date(time.dateTime) - now) / 1000;
    const [unit, size] = units.find(([, size]) => Math.abs(seconds) >= size) ?? units[5];
    time.title = `${time.dateTime.slice(0, 19).replace("T", " ")} UTC, ${ago.format(Math.trunc(seconds / size), unit)}`;
  };

  // Links and commands. What a shell reads as its own is escaped, so that the URL needs no quotes (but for IPv6).
  const quoted = (word) => (/^[\w@%+=:,./~-]+$/.test(word) ? word : `"${word}"`);
  const address = (row) =>
    one("a", row).href.replace(/[!$&'()*;]/g, (sign) => `%${sign.charCodeAt().toString(16).toUpperCase()}`);
  const lines = (row) => {
    const url = address(row);
    if (one(".dir", row)) return [url];
    const last = url.slice(url.lastIndexOf("/") + 1);
    let name = last;
    try {
      name = decodeURIComponent(last);
    } catch {} // not UTF-8
    // curl saves under the name as it is in the URL, escapes and all.
    const target = name === last || /[\x00-\x1f\x7f"$`\\!]/.test(name) ? "-O" : `-o ${quoted(name)}`;
    return [url, `wget -c ${quoted(url)}`, `curl -f -C - ${target} ${quoted(url)}`];
  };

  const copied = async (text) => {
    try {
      await navigator.clipboard.writeText(text);
      return true;
    } catch {
      // Without HTTPS there is no clipboard but by a selection.
      const area = make("textarea", { value: text, className: "away" });
      const focused = document.activeElement;
      document.body.append(area);
      area.select();
      const done = document.execCommand("copy");
      area.remove();
      focused?.focus();
      return done;
    }
  };
  const copy = async (button, text) => {
    if (!(await copied(text))) return false;
    button.classList.add("done");
    found.textContent = "Copied.";
    setTimeout(() => {
      button.classList.remove("done");
      if (found.textContent === "Copied.") found.textContent = "";
    }, 2000);
    return true;
  };
  const show = (row, button) => {
    const open = button.getAttribute("aria-expanded") !== "true";
    button.setAttribute("aria-expanded", open);
    if (!open) return row.nextElementSibling.remove();
    const cell = make("td", { colSpan: 4 });
    for (const line of lines(row)) {
      const again = make("button", { type: "button", textContent: "Copy" });
      again.addEventListener("click", () => copy(again, line));
      cell.append(make("div", {}, make("code", { textContent: line }), again));
    }
    row.after(make("tr", { className: "more" }, cell));
  };
  // A row gets its buttons when it is pointed at or focused, and at once where nothing can point.
  const button = (title, label, act) => {
    const element = make("button", { type: "button", title, onclick: act });
    element.setAttribute("aria-label", label);
    return element;
  };
  const equip = (row) => {
    if (row.cells.length > 3) return;
    const name = one("bdi", row).textContent;
    const link = button("Copy link", `Copy link to ${name}`, async () => {
      if (!(await copy(link, address(row))) && more.getAttribute("aria-expanded") !== "true") show(row, more);
    });
    const more = button("Commands: wget, curl", `Commands for ${name}`, () => show(row, more));
    more.setAttribute("aria-expanded", "false");
    row.append(make("td", { className: "t" }, link, more));
    const time = one("time", row);
    if (time) date(time);
  };
  const own = new Set(rows);
  const reached = (event) => {
    const row = event.target.closest("tr");
    if (own.has(row)) equip(row);
  };
  one("tbody").addEventListener("pointerover", reached);
  one("tbody").addEventListener("focusin", reached);
  if (matchMedia("(hover: none)").matches) rows.forEach(equip);
  one("thead tr").append(make("th", { className: "t", scope: "col" }, make("span", { className: "away", textContent: "Copy" })));

  // The filter: by what is here while one types, by all that there is (the form asks the server) on Enter.
  const form = one("form");
  if (!form) return;
  const input = form.elements.filter;
  const [asked, all] = [input.defaultValue.toLowerCase(), Number(form.dataset.all)];
  const names = rows.map((row) => one("bdi", row).textContent.toLowerCase());
  const filter = () => {
    const wanted = input.value.toLowerCase();
    let count = 0;
    document.querySelectorAll("[aria-expanded=true]").forEach((button) => button.click());
    rows.forEach((row, index) => {
      row.hidden = !names[index].includes(wanted);
      count += !row.hidden;
    });
    const whole = all === rows.length && wanted.includes(asked);
    const rest = whole ? "" : ` on this page. Press Enter to filter all ${asked ? "names" : `${all.toLocaleString("en")} names`}`;
    const shown = `${count ? count.toLocaleString("en") : "None"} of ${rows.length.toLocaleString("en")}`;
    found.textContent = wanted === asked ? "" : `${shown}${rest}.`;
    return whole;
  };
  input.addEventListener("input", () => {
    if (asked && !input.value) form.requestSubmit();
    else filter();
  });
  form.addEventListener("submit", (event) => {
    if (!input.value && !asked) event.preventDefault();
    if (!input.value || !filter() || input.value.toLowerCase() === asked) return;
    event.preventDefault(); // all of it is here: on to the first that is shown
    one("tbody tr:not(.parent,[hidden]) a")?.focus();
  });
  addEventListener("keydown", (event) => {
    if (event.key === "/" && !/^(INPUT|TEXTAREA)$/.test(document.activeElement.tagName)) {
      event.preventDefault();
      input.focus();
    } else if (event.key === "Escape" && document.activeElement === input && input.value !== input.defaultValue) {
      input.value = input.defaultValue;
      filter();
    }
  });
  addEventListener("pageshow", () => input.value !== input.defaultValue && filter()); // a form that came back filled
})();
