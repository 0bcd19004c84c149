// Live captions: what is certain in the text's colour, what may still change in grey; and the level.

import { $, clock, el } from "./dom.js";

const BAR = 4; // pixels of the level's bars with their gap

export class Captions {
  constructor() {
    this.rows = new Map();
    this.levels = [];
  }

  clear() {
    this.rows.clear();
    this.levels = [];
    for (const row of [...$("captions").querySelectorAll("p.turn")]) row.remove();
    $("captions-hint").hidden = false;
    $("recording-time").textContent = "0:00";
  }

  show(items) {
    const box = $("captions");
    const below = box.scrollHeight - box.scrollTop - box.clientHeight < 40;
    for (const item of items) {
      const text = item.final ?? item.text;
      let row = this.rows.get(item.id);
      if (!row && !text && !item.failed) continue;
      if (!row) {
        const parts = { stable: el("span", { class: "stable" }), unstable: el("span", { class: "unstable", "aria-hidden": "true" }) };
        row = { ...parts, line: el("p", { class: "turn" }, parts.stable, parts.unstable) };
        this.rows.set(item.id, row);
        box.append(row.line);
        $("captions-hint").hidden = true;
      }
      const certain = item.final === null ? item.stable : text.length;
      put(row.stable, item.failed || text.slice(0, certain));
      put(row.unstable, item.failed ? "" : text.slice(certain));
      row.line.classList.toggle("error", Boolean(item.failed));
      row.line.hidden = !text && !item.failed;
    }
    if (below) box.scrollTop = box.scrollHeight;
  }

  level(peak, seconds) {
    $("recording-time").textContent = clock(seconds);
    const canvas = $("level");
    const width = canvas.clientWidth;
    const ratio = devicePixelRatio || 1;
    canvas.width = width * ratio;
    canvas.height = 56 * ratio;
    this.levels.push(peak);
    const bars = Math.floor(width / BAR);
    this.levels.splice(0, Math.max(0, this.levels.length - bars));
    const paint = canvas.getContext("2d");
    paint.scale(ratio, ratio);
    paint.fillStyle = getComputedStyle(document.documentElement).getPropertyValue("--accent");
    this.levels.forEach((value, i) => {
      const height = Math.max(2, 52 * Math.sqrt(value));
      paint.beginPath();
      paint.roundRect(width - (this.levels.length - i) * BAR, 28 - height / 2, BAR - 1.5, height, 1.25);
      paint.fill();
    });
  }
}

function put(element, text) {
  if (element.textContent !== text) element.textContent = text;
}
