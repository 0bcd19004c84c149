// A clip and what is heard in it: its transcript, its sounds, its caption, and all of that as files.

import { call, isAbort } from "./api.js";
import { Ask } from "./ask.js";
import { $, clock, el, save, span } from "./dom.js";
import { transcribe, understand } from "./hear.js";
import { Player } from "./player.js";
import { limits, message, notice, view } from "./shell.js";
import { TranscriptView } from "./transcript.js";

const EXTENSIONS = { text: "txt", srt: "srt", vtt: "vtt", json: "json", textgrid: "TextGrid" };
const CAPTION_S = 300; // of what is longer a caption is written when somebody wants it

export class Clip {
  #run = null; // AbortController of what is being heard

  constructor() {
    this.transcript = new TranscriptView((time) => this.player.seek(time));
    this.player = new Player({
      ontime: (time) => {
        this.transcript.light(time, !this.player.media.paused);
        this.ask.tellPart();
      },
    });
    this.ask = new Ask(() => {
      const { sound, duration, time } = this.player;
      return { file: this.file, sound, duration, time };
    });
    this.#exports("export-transcript", Object.keys(EXTENSIONS), "", () => this.words);
    this.#exports("export-events", ["srt", "json", "textgrid"], "-sounds", () => this.sounds);
    $("cancel").addEventListener("click", () => this.cancel());
  }

  /** Show a file and hear it. `known`: its transcript, where it was transcribed live. */
  async hear(file, name, known = null) {
    this.close();
    const run = (this.#run = new AbortController());
    Object.assign(this, { file, name });
    view("result");
    $("main").focus({ preventScroll: true });
    this.#progress("Opening…");
    for (const id of ["caption", "events"]) $(id).replaceChildren(skeleton());
    await this.player.load(file, name);
    if (run.signal.aborted) return;
    try {
      if (this.#tooLong()) return;
      if (known) this.#shown(known);
      else if (!(await this.#transcribe(run.signal))) return;
      await this.#sounds(run.signal);
      if (this.player.duration <= CAPTION_S) await this.#caption(run.signal);
      else this.#offerCaption();
    } catch (error) {
      if (!isAbort(error)) notice(message(error));
    } finally {
      if (this.#run === run) this.cancel();
    }
  }

  cancel() {
    this.#run?.abort();
    this.#run = null;
    $("progress").hidden = true;
    for (const one of document.querySelectorAll("#result .skeleton")) one.remove();
  }

  close() {
    this.cancel();
    Object.assign(this, { file: null, words: null, sounds: null });
    this.player.clear();
    this.transcript.clear();
    this.ask.clear();
    notice();
    for (const id of ["caption", "events"]) $(id).replaceChildren();
    for (const id of ["export-transcript", "export-events"]) $(id).hidden = true;
  }

  #tooLong() {
    const { duration } = this.player;
    if (!limits || duration <= limits.audio_seconds) return false;
    this.transcript.message(el("span", { class: "error" },
      `This recording is ${span(duration)} long; the server takes up to ${span(limits.audio_seconds)}.`));
    return true;
  }

  /** Whether there is a transcript; if not, the page says why. */
  async #transcribe(signal) {
    const { file, name, player } = this;
    let heard = [];
    this.#progress("Listening to the words…");
    try {
      this.#shown(await transcribe(file, name, {
        signal,
        onpart: (segments) => {
          this.transcript.append(segments);
          heard = heard.concat(segments.flatMap((segment) => segment.words));
          player.lanes.setWords(heard);
        },
        onprogress: (seconds) =>
          this.#progress(`Heard ${clock(seconds)} of ${clock(player.duration)}`, seconds),
      }));
      return true;
    } catch (error) {
      if (this.file !== file) throw error; // another clip is shown
      const again = () => this.hear(file, name);
      this.transcript.note(
        isAbort(error) ? "muted" : "error", isAbort(error) ? "Stopped. " : `${message(error)} `,
        el("button", { type: "button", class: "button small", onclick: again }, "Try again"));
      return false;
    }
  }

  #shown(result) {
    this.words = result;
    this.player.showLength(result.duration);
    this.player.lanes.setWords(result.words ?? []);
    this.transcript.show(result);
    $("export-transcript").hidden = !result.text;
  }

  async #sounds(signal) {
    this.#progress("Listening to the sounds…");
    const result = await this.#understand("events", signal);
    if (!result) return;
    this.sounds = result;
    this.player.lanes.setEvents(result.events);
    $("export-events").hidden = !result.events.length;
    $("events").replaceChildren(result.events.length
      ? el("ul", { class: "event-list" }, ...result.events.map((event) => this.#sound(event)))
      : el("p", { class: "muted" }, "No sounds were named."));
  }

  #sound(event) {
    return el("li", {},
      el("button", {
        type: "button", class: "stamp", onclick: () => this.player.seek(event.start),
        "aria-label": `Go to ${clock(event.start, true)}`,
      }, clock(event.start, true)),
      el("span", {}, event.label));
  }

  async #caption(signal) {
    this.#progress("Writing a caption…");
    const result = await this.#understand("captions", signal);
    if (result) $("caption").replaceChildren(result.text || el("span", { class: "muted" }, "Nothing to describe."));
  }

  #offerCaption() {
    const write = async () => {
      const run = (this.#run ??= new AbortController());
      await this.#caption(run.signal).catch(() => {}); // it was cancelled
      if (this.#run === run) this.cancel();
    };
    $("caption").replaceChildren(
      el("button", { type: "button", class: "button small", onclick: write }, "Describe the whole recording"));
  }

  /** A result; where there is none, its place says why, and the others go on. */
  async #understand(what, signal) {
    const place = $(what === "events" ? "events" : "caption");
    place.replaceChildren(skeleton());
    const { file, name } = this;
    try {
      return await understand(what, file, name, signal);
    } catch (error) {
      if (this.file !== file) throw error;
      place.replaceChildren(...(isAbort(error) ? [] : [el("span", { class: "error" }, message(error))]));
      if (isAbort(error)) throw error;
      return null;
    }
  }

  /** What is under way; `seconds` of the clip that are done, where that is known. */
  #progress(text, seconds) {
    $("progress").hidden = false;
    $("progress-text").textContent = text;
    const bar = $("progress-bar");
    if (seconds && this.player.duration) bar.value = Math.min(1, seconds / this.player.duration);
    else bar.removeAttribute("value");
  }

  #exports(place, formats, suffix, result) {
    $(place).replaceChildren(...formats.map((format) => el("button", {
      type: "button", class: "button small", "data-format": format,
      onclick: () => this.#save(result(), format, suffix),
    }, EXTENSIONS[format])));
  }

  /** A result as a file, as the server writes it. */
  async #save(result, format, suffix) {
    const base = this.name.replace(/\.[^.]+$/, "") || "recording";
    try {
      const answer = await call("v1/audio/formats", { json: { result, response_format: format } });
      save(await answer.blob(), `${base}${suffix}.${EXTENSIONS[format]}`);
    } catch (error) {
      notice(message(error));
    }
  }
}

const skeleton = () => el("span", { class: "skeleton", "aria-hidden": "true" });
