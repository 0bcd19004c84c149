// Small helpers: elements, times, sizes.

export const $ = (id) => document.getElementById(id);

/** An element with attributes (`class`, `data-i`, ...), listeners (`onclick`) and children. */
export function el(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (value !== undefined && value !== false) made.setAttribute(name, value);
  }
  made.append(...children);
  return made;
}

/** 3723.4 -> "1:02:03", with tenths "1:02:03.4". */
export function clock(seconds, tenths = false) {
  const all = Math.max(0, tenths ? Math.floor(seconds * 10 + 1e-6) / 10 : Math.floor(seconds + 1e-6));
  const h = Math.floor(all / 3600);
  const m = Math.floor((all % 3600) / 60);
  const s = (all % 60).toFixed(tenths ? 1 : 0).padStart(tenths ? 4 : 2, "0");
  return h ? `${h}:${String(m).padStart(2, "0")}:${s}` : `${m}:${s}`;
}

/** 10800 -> "3 h", 90 -> "1.5 min". */
export function span(seconds) {
  if (seconds >= 3600) return `${+(seconds / 3600).toFixed(1)} h`;
  return seconds >= 60 ? `${+(seconds / 60).toFixed(1)} min` : `${+seconds.toFixed(1)} s`;
}

export const mebibytes = (bytes) => `${Math.max(1, Math.round(bytes / 2 ** 20))} MB`;

/** Ask the browser to save a text as a file. */
export function save(blob, name) {
  const url = URL.createObjectURL(blob);
  el("a", { href: url, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}

/** Index of the last of `items` (by `start`) that has begun at a time; -1 if none has. */
export function begun(items, time) {
  let low = 0;
  let high = items.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (items[middle].start <= time + 1e-4) low = middle + 1;
    else high = middle;
  }
  return low - 1;
}
