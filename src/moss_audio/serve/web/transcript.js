// The transcript as text: sentences with their times, words that can be clicked, the playing one lit.

import { $, clock, el } from "./dom.js";
import { playing } from "./lanes.js";

const AT_ONCE = 150; // sentences that are put into the page between two frames

export class TranscriptView {
  constructor(onseek) {
    this.root = $("transcript");
    this.onseek = onseek;
    this.root.addEventListener("click", (event) => {
      const target = event.target.closest("[data-start]");
      if (target && getSelection().isCollapsed) onseek(Number(target.dataset.start));
    });
    this.clear();
  }

  clear() {
    this.words = [];
    this.spans = [];
    this.lit = -1;
    this.turn = 0;
    this.root.replaceChildren();
  }

  message(...children) {
    this.clear();
    this.root.replaceChildren(el("p", { class: "muted" }, ...children));
  }

  /** A line below what there is. */
  note(kind, ...children) {
    this.root.append(el("p", { class: kind }, ...children));
  }

  /** Further sentences of a recording that is being heard. */
  append(segments) {
    for (const segment of segments) this.root.append(this.#segment(segment));
  }

  /** All of a transcript, in pieces, so that an hour of it does not hold the page up. */
  async show(result) {
    const before = this.root.scrollTop;
    this.clear();
    const turn = (this.turn = Symbol("turn"));
    const segments = result.segments?.length
      ? result.segments
      : [{ text: result.text, start: null, words: result.words ?? [] }];
    if (!result.text) {
      this.message("No speech was heard.");
      return;
    }
    for (let i = 0; i < segments.length; i += AT_ONCE) {
      if (i) await new Promise(requestAnimationFrame);
      if (this.turn !== turn) return;
      this.root.append(...segments.slice(i, i + AT_ONCE).map((one) => this.#segment(one)));
      if (!i) this.root.scrollTop = before;
    }
  }

  #segment(segment) {
    const text = el("p", {});
    let rest = segment.text;
    for (const word of segment.words ?? []) {
      // the text has the spaces; a word that is not spelt in it keeps its place all the same
      const at = rest.indexOf(word.text);
      if (at > 0) text.append(rest.slice(0, at));
      else if (at < 0 && text.childNodes.length) text.append(" ");
      const span = el("span", { class: "word", "data-start": word.start }, word.text);
      text.append(span);
      this.words.push(word);
      this.spans.push(span);
      rest = at < 0 ? rest : rest.slice(at + word.text.length);
    }
    text.append(rest);
    const row = el("div", { class: "sentence" });
    if (segment.start !== null) {
      row.append(el("button", {
        type: "button", class: "stamp", "data-start": segment.start,
        "aria-label": `Go to ${clock(segment.start, true)}`,
      }, clock(segment.start)));
    }
    row.append(text);
    return row;
  }

  light(time, follow) {
    const at = playing(this.words, time);
    if (at === this.lit) return;
    this.spans[this.lit]?.classList.remove("lit");
    this.lit = at;
    const span = this.spans[at];
    if (!span) return;
    span.classList.add("lit");
    if (!follow) return;
    const box = this.root.getBoundingClientRect();
    const place = span.getBoundingClientRect();
    if (place.top < box.top || place.bottom > box.bottom) {
      this.root.scrollTop += place.top - box.top - box.height / 3;
    }
  }

  /** Start of the word before (-1) or after (1) a time; null if there is none. */
  neighbour(time, direction) {
    const found = direction > 0
      ? this.words.find((word) => word.start > time + 0.01)
      : this.words.findLast((word) => word.start < time - 0.01);
    return found?.start ?? null;
  }
}
