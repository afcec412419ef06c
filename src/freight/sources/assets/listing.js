"use strict";
// What a script adds to a listing: local times, links and commands to copy, a filter that answers at once.
(() => {
  const find = (selector, within = document) => within.querySelector(selector);
  const make = (name, properties, ...children) => {
    const element = Object.assign(document.createElement(name), properties);
    element.append(...children);
    return element;
  };
  const rows = [...document.querySelectorAll("tbody tr:not(.parent)")];
  const message = find("#found");
  document.title += ` – ${location.host}`;

  // Show the times, which the page has in UTC, in the reader's time zone; in a short form on a narrow page.
  const twoDigits = (number) => String(number).padStart(2, "0");
  const narrow = matchMedia("(max-width: 40rem)");
  const months = "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split(" ");
  const now = new Date();
  const times = [...document.querySelectorAll("time")].map((time) => [time, new Date(time.dateTime)]);
  const showTimes = () => {
    for (const [time, at] of times) {
      const [year, month, day] = [at.getFullYear(), at.getMonth(), at.getDate()];
      const clock = `${twoDigits(at.getHours())}:${twoDigits(at.getMinutes())}`;
      time.textContent = narrow.matches
        ? `${day} ${months[month]} ${year === now.getFullYear() ? clock : year}`
        : `${year}-${twoDigits(month + 1)}-${twoDigits(day)} ${clock}`;
    }
  };
  showTimes();
  narrow.addEventListener("change", showTimes);
  const zone = find(".zone");
  zone.parentElement.title = `In your time: ${Intl.DateTimeFormat().resolvedOptions().timeZone}`;
  zone.remove();
  const ago = new Intl.RelativeTimeFormat("en", { numeric: "auto" });
  const units = [["year", 31557600], ["month", 2629800], ["day", 86400], ["hour", 3600], ["minute", 60], ["second", 1]];
  const addTitle = (time) => {
    const seconds = (new Date(time.dateTime) - now) / 1000;
    const [unit, size] = units.find(([, size]) => Math.abs(seconds) >= size) ?? units[5];
    time.title = `${time.dateTime.slice(0, 19).replace("T", " ")} UTC, ${ago.format(Math.trunc(seconds / size), unit)}`;
  };

  // Links and commands. Characters that a shell would interpret are percent-encoded: only an IPv6 URL needs quotes.
  const quote = (word) => (/^[\w@%+=:,./~-]+$/.test(word) ? word : `"${word}"`);
  const urlOf = (row) =>
    find("a", row).href.replace(/[!$&'()*;]/g, (sign) => `%${sign.charCodeAt().toString(16).toUpperCase()}`);
  const linesOf = (row) => {
    const url = urlOf(row);
    if (find(".dir", row)) return [url];
    const last = url.slice(url.lastIndexOf("/") + 1);
    let name = last;
    try {
      name = decodeURIComponent(last);
    } catch {} // not UTF-8
    // Without -o, curl saves under the name as in the URL, with its escapes.
    const target = name === last || /[\x00-\x1f\x7f"$`\\!]/.test(name) ? "-O" : `-o ${quote(name)}`;
    return [url, `wget -c ${quote(url)}`, `curl -f -C - ${target} ${quote(url)}`];
  };

  const copyText = async (text) => {
    try {
      await navigator.clipboard.writeText(text);
      return true;
    } catch {
      // Without HTTPS there is no clipboard API, but a selection can be copied.
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
    if (!(await copyText(text))) return false;
    button.classList.add("done");
    message.textContent = "Copied.";
    setTimeout(() => {
      button.classList.remove("done");
      if (message.textContent === "Copied.") message.textContent = "";
    }, 2000);
    return true;
  };
  const toggleCommands = (row, button) => {
    const open = button.getAttribute("aria-expanded") !== "true";
    button.setAttribute("aria-expanded", open);
    if (!open) return row.nextElementSibling.remove();
    const cell = make("td", { colSpan: 4 });
    for (const line of linesOf(row)) {
      const copyButton = make("button", { type: "button", textContent: "Copy" });
      copyButton.addEventListener("click", () => copy(copyButton, line));
      cell.append(make("div", {}, make("code", { textContent: line }), copyButton));
    }
    row.after(make("tr", { className: "more" }, cell));
  };
  // Add buttons to a row when it is pointed at or focused, and to all rows at once on a device without a pointer.
  const makeButton = (title, label, onclick) => {
    const element = make("button", { type: "button", title, onclick });
    element.setAttribute("aria-label", label);
    return element;
  };
  const addButtons = (row) => {
    if (row.cells.length > 3) return;
    const name = find("bdi", row).textContent;
    const link = makeButton("Copy link", `Copy link to ${name}`, async () => {
      if (!(await copy(link, urlOf(row))) && more.getAttribute("aria-expanded") !== "true") toggleCommands(row, more);
    });
    const more = makeButton("Commands: wget, curl", `Commands for ${name}`, () => toggleCommands(row, more));
    more.setAttribute("aria-expanded", "false");
    row.append(make("td", { className: "t" }, link, more));
    const time = find("time", row);
    if (time) addTitle(time);
  };
  const entryRows = new Set(rows);
  const onReach = (event) => {
    const row = event.target.closest("tr");
    if (entryRows.has(row)) addButtons(row);
  };
  find("tbody").addEventListener("pointerover", onReach);
  find("tbody").addEventListener("focusin", onReach);
  if (matchMedia("(hover: none)").matches) rows.forEach(addButtons);
  find("thead tr").append(make("th", { className: "t", scope: "col" }, make("span", { className: "away", textContent: "Copy" })));

  // The filter: of the rows on this page while the reader types, of all entries (the form asks the server) on Enter.
  const form = find("[role=search]");
  if (!form) return;
  const input = form.elements.filter;
  const [serverFilter, total] = [input.defaultValue.toLowerCase(), Number(form.dataset.all)];
  const names = rows.map((row) => find("bdi", row).textContent.toLowerCase());
  const filter = () => {
    const wanted = input.value.toLowerCase();
    let count = 0;
    document.querySelectorAll("[aria-expanded=true]").forEach((button) => button.click());
    rows.forEach((row, index) => {
      row.hidden = !names[index].includes(wanted);
      count += !row.hidden;
    });
    const complete = total === rows.length && wanted.includes(serverFilter);
    const searched = serverFilter ? "names" : `${total.toLocaleString("en")} names`;
    const rest = complete ? "" : ` on this page. Press Enter to filter all ${searched}`;
    const shown = `${count ? count.toLocaleString("en") : "None"} of ${rows.length.toLocaleString("en")}`;
    message.textContent = wanted === serverFilter ? "" : `${shown}${rest}.`;
    return complete;
  };
  input.addEventListener("input", () => {
    if (serverFilter && !input.value) form.requestSubmit();
    else filter();
  });
  form.addEventListener("submit", (event) => {
    if (!input.value && !serverFilter) event.preventDefault();
    if (!input.value || !filter() || input.value.toLowerCase() === serverFilter) return;
    event.preventDefault(); // the page has all entries: focus the first that is shown
    find("tbody tr:not(.parent,[hidden]) a")?.focus();
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
  addEventListener("pageshow", () => input.value !== input.defaultValue && filter()); // after Back, the form is filled
})();
