// Numbers as text. Pure, except setText.

const UNITS = ["B", "kB", "MB", "GB", "TB", "PB", "EB"]; // decimal, three digits: as in freight top
const SPACE = "\u00a0";

function scaled(count) {
  let at = 0;
  while (count >= 999.5 && at < UNITS.length - 1) {
    count /= 1000;
    at += 1;
  }
  return [at === 0 ? Math.round(count).toString() : count.toFixed(count < 9.995 ? 2 : count < 99.95 ? 1 : 0), UNITS[at]];
}

export const bytes = (count) => scaled(count).join(SPACE);

export const rate = (perSecond) => `${bytes(perSecond)}/s`;

// For an axis, whose numbers are round: without decimals that are 0.
export function axisBytes(count) {
  const [number, unit] = scaled(count);
  return `${Number(number)}${SPACE}${unit}`;
}

export const count = (number) => Math.round(number).toLocaleString("en");

export const share = (part, whole) => `${Math.floor((100 * part) / Math.max(1, whole))}%`;

export function seconds(number) {
  if (number < 9.95) return `${number.toFixed(1)}${SPACE}s`;
  if (number < 120) return `${Math.round(number)}${SPACE}s`;
  const minutes = Math.round(number / 60);
  if (minutes < 120) return `${minutes}${SPACE}min`;
  const hours = Math.floor(minutes / 60);
  return hours < 48
    ? `${hours}${SPACE}h ${minutes % 60}${SPACE}min`
    : `${Math.floor(hours / 24)}${SPACE}d ${hours % 24}${SPACE}h`;
}

export const clock = (epochSeconds) => new Date(epochSeconds * 1000).toTimeString().slice(0, 8);

// The browser's time zone: UTC+01:00.
export function zone() {
  const minutes = -new Date().getTimezoneOffset();
  const two = (number) => String(Math.floor(number)).padStart(2, "0");
  return minutes === 0 ? "UTC" : `UTC${minutes < 0 ? "\u2212" : "+"}${two(Math.abs(minutes) / 60)}:${two(Math.abs(minutes) % 60)}`;
}

export const plural = (number, one, more) => `${count(number)}${SPACE}${number === 1 ? one : more}`;

// The last part of a path: the name of a server.
export const lastPart = (path) => path.split("/").filter(Boolean).pop() ?? (path || "freight");

// Write only text that differs: a screen reader keeps its position, and no layout is needed. Hide an empty paragraph.
export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
  if (element.tagName === "P" && element.hidden !== (text === "")) element.hidden = text === "";
}
