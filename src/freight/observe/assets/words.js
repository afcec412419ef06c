// Numbers as people read them. Pure.

const UNITS = ["B", "kB", "MB", "GB", "TB", "PB", "EB"]; // as freight top has them

export function bytes(count) {
  let at = 0;
  while (count >= 999.5 && at < UNITS.length - 1) {
    count /= 1000;
    at += 1;
  }
  return `${at === 0 ? Math.round(count) : count.toFixed(count >= 99.95 ? 0 : 1)} ${UNITS[at]}`;
}

export const rate = (perSecond) => `${bytes(perSecond)}/s`;

export const count = (number) => Math.round(number).toLocaleString("en");

export const share = (part, whole) => `${Math.floor((100 * part) / Math.max(1, whole))}%`;

export function seconds(number) {
  if (number < 10) return `${number.toFixed(1)} s`;
  if (number < 120) return `${Math.round(number)} s`;
  const minutes = Math.round(number / 60);
  if (minutes < 120) return `${minutes} min`;
  const hours = Math.floor(minutes / 60);
  return hours < 48 ? `${hours} h ${minutes % 60} min` : `${Math.floor(hours / 24)} d ${hours % 24} h`;
}

export const clock = (epochSeconds) => new Date(epochSeconds * 1000).toTimeString().slice(0, 8);

export const many = (number, one, more) => `${count(number)} ${number === 1 ? one : more}`;

// Writing only what differs keeps a screen reader's place, and costs no layout.
export function say(element, text) {
  if (element.textContent !== text) element.textContent = text;
}
