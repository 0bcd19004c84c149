// Rows under the waveform: seconds, words, sounds. Only what is in view is in the page.

import { $, begun, clock, el } from "./dom.js";

const STEPS = [0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60, 120, 300, 600, 1800];
const TICK_PX = 72;
const EVENT_PX = 30;

export class Lanes {
  pixels = 1; // a second

  constructor(onseek) {
    this.onseek = onseek;
    this.clear();
    for (const id of ["word-lane", "event-lane"]) {
      $(id).addEventListener("click", (event) => {
        const target = event.target.closest("button");
        if (target) this.onseek(Number(target.dataset.start));
      });
    }
  }

  clear() {
    this.words = [];
    this.events = [];
    this.layers = 0;
    this.lit = -1;
    for (const id of ["ticks", "word-lane", "event-lane"]) $(id).replaceChildren();
  }

  setWords(words) {
    this.words = words;
    this.draw();
  }

  /** Sounds may overlap: each goes to the first line on which there is room. */
  setEvents(events) {
    const ends = [];
    this.events = [...events].sort((a, b) => a.start - b.start).map((event) => {
      let line = ends.findIndex((end) => end <= event.start);
      if (line < 0) line = ends.length;
      ends[line] = event.end;
      return { ...event, line };
    });
    this.layers = ends.length;
    this.draw();
  }

  layout(pixels, duration) {
    Object.assign(this, { pixels, duration });
    // a fraction less than what the waveform rounds up to, so that both scroll to the same end
    $("lanes").style.width = `${Math.ceil(pixels * duration)}px`;
    this.draw();
  }

  draw() {
    if (!this.duration) return;
    const view = $("scroller");
    const margin = view.clientWidth / 2;
    const from = (view.scrollLeft - margin) / this.pixels;
    const to = (view.scrollLeft + view.clientWidth + margin) / this.pixels;
    $("ticks").replaceChildren(...this.#ticks(from, to));
    // words do not overlap, but one may begin before the view
    const first = Math.max(0, begun(this.words, from) - 1);
    const words = [];
    for (let i = first; i < this.words.length && this.words[i].start < to; i++) words.push(this.#word(i));
    $("word-lane").replaceChildren(...words);
    const seen = this.events.filter((event) => event.end >= from && event.start <= to);
    $("event-lane").replaceChildren(...seen.map((event) => this.#event(event)));
    $("event-lane").style.height = `${Math.max(1, this.layers) * EVENT_PX}px`;
    $("event-lane").hidden = !this.layers;
    $("word-lane").hidden = !this.words.length;
  }

  *#ticks(from, to) {
    const step = STEPS.find((one) => one * this.pixels >= TICK_PX) ?? STEPS.at(-1);
    for (let i = Math.max(0, Math.floor(from / step)); i * step <= Math.min(to, this.duration); i++) {
      const tick = el("span", {}, clock(i * step, step < 1));
      tick.style.left = `${i * step * this.pixels}px`;
      yield tick;
    }
  }

  #placed(item, attributes, text) {
    const width = Math.max(3, (item.end - item.start) * this.pixels - 1.5);
    const made = el("button", {
      type: "button", tabindex: "-1", "data-start": item.start,
      title: `${text}, ${clock(item.start, true)} to ${clock(item.end, true)}`, ...attributes,
    }, fits(text, width) ? text : "");
    made.style.left = `${item.start * this.pixels}px`;
    made.style.width = `${width}px`;
    return made;
  }

  #word(i) {
    const word = this.words[i];
    return this.#placed(word, { "data-i": i, class: i === this.lit ? "lit" : "" }, word.text);
  }

  #event(event) {
    const made = this.#placed(event, { "data-end": event.end }, event.label);
    made.style.top = `${event.line * EVENT_PX}px`;
    // the label of what began before the view stays in view
    const hidden = $("scroller").scrollLeft - event.start * this.pixels;
    const width = (event.end - event.start) * this.pixels;
    if (hidden > 0 && width - hidden > LEAST_PX) made.style.paddingLeft = `${hidden + 8}px`;
    return made;
  }

  light(time) {
    const at = playing(this.words, time);
    if (at !== this.lit) {
      const lane = $("word-lane");
      lane.querySelector(".lit")?.classList.remove("lit");
      lane.querySelector(`[data-i="${at}"]`)?.classList.add("lit");
      this.lit = at;
    }
    for (const chip of $("event-lane").children) {
      const on = time >= Number(chip.dataset.start) && time < Number(chip.dataset.end);
      chip.classList.toggle("lit", on);
    }
  }
}

const LEAST_PX = 60; // so wide a bar has its text even where not all of it can be seen
const pen = document.createElement("canvas").getContext("2d");

/** Whether a text can stand in a bar; else the bar is shown without. */
function fits(text, width) {
  if (width >= LEAST_PX) return true;
  pen.font = `12px ${getComputedStyle(document.body).fontFamily}`;
  return pen.measureText(text).width <= width;
}

const LINGER_S = 0.15;

/** Index of the word that is said at a time, or has just been; -1 for none. */
export function playing(words, time) {
  const at = begun(words, time);
  return at >= 0 && time <= words[at].end + LINGER_S ? at : -1;
}
