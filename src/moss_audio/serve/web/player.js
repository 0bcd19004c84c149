// The clip: waveform, zoom, the rows under it, and where the playing is.

import WaveSurfer from "./vendor/wavesurfer.esm.js";
import { $, clock } from "./dom.js";
import { Lanes } from "./lanes.js";
import { decode, peaks } from "./sound.js";

const HEIGHT = 96; // the server's content policy knows the style sheet with this height
const READABLE = 220; // pixels a second at which words can be read
const CLOSEST = 800;
const EDGE = 90; // pixels: what is sought is not put against the right edge

/** `ontime(seconds)` follows the playing, and each seek. */
export class Player {
  duration = 0;
  sound = null; // {rate, pcm}, where the browser could decode it

  constructor({ ontime }) {
    this.ontime = ontime;
    this.media = $("media");
    this.lanes = new Lanes((time) => this.seek(time));
    $("play").addEventListener("click", () => this.toggle());
    $("zoom").addEventListener("input", () => this.#zoom());
    $("scroller").addEventListener("scroll", () => this.#scrolled($("scroller").scrollLeft));
    new ResizeObserver(() => this.#layout()).observe($("scroller"));
    document.documentElement.addEventListener("theme", () => this.wave?.setOptions(colours()));
    for (const kind of ["play", "pause", "ended"]) {
      this.media.addEventListener(kind, () => this.#playing());
    }
    for (const kind of ["seeking", "timeupdate", "seeked"]) {
      this.media.addEventListener(kind, () => this.#tell());
    }
  }

  /** Show a file, and play it where this browser can. */
  async load(blob, name) {
    this.clear();
    const url = (this.url = URL.createObjectURL(blob));
    $("clip-name").textContent = name;
    $("length").textContent = "…";
    const playable = await this.#metadata(url);
    if (this.url !== url) return;
    this.media.hidden = !(playable && this.media.videoWidth);
    $("play").disabled = !playable;
    this.#rows(playable);
    if (!playable) return;
    const { duration } = this.media;
    const sound = await decode(blob, duration);
    if (this.url !== url) return;
    this.sound = sound;
    this.#show(duration, sound ? peaks(sound) : new Float32Array([0, 0]));
  }

  #metadata(url) {
    return new Promise((resolve) => {
      this.media.onloadedmetadata = () => resolve(Number.isFinite(this.media.duration) && this.media.duration > 0);
      this.media.onerror = () => resolve(false);
      this.media.src = url;
    });
  }

  #rows(there) {
    for (const id of ["wave", "scroller", "zoom-label"]) $(id).hidden = !there;
    $("unplayable").hidden = there;
  }

  /** Rows without a waveform, for a file that only the server can read. */
  showLength(duration) {
    if (this.duration) return;
    $("scroller").hidden = $("zoom-label").hidden = false;
    this.#show(duration, null);
  }

  #show(duration, heights) {
    this.duration = duration;
    $("length").textContent = clock(duration, duration < 60);
    $("wave").setAttribute("aria-valuemax", duration.toFixed(1));
    $("zoom").value = this.#slider(Math.max(this.#fit(), READABLE));
    if (heights) {
      this.wave = WaveSurfer.create({
        container: $("wave"), height: HEIGHT, media: this.media, peaks: [heights], duration, url: this.url,
        minPxPerSec: this.#pixels(), barWidth: 2, barGap: 1, barRadius: 2, normalize: true, cursorWidth: 2,
        hideScrollbar: true, dragToSeek: true, autoCenter: false, ...colours(),
      });
      this.wave.on("scroll", (_from, _to, left) => {
        if (Math.abs($("scroller").scrollLeft - left) > 1) $("scroller").scrollLeft = left;
      });
      this.wave.on("error", () => {}); // a load that gave way to another
      this.wave.on("interaction", () => this.#tell());
    }
    this.#layout();
    this.#tell();
  }

  clear() {
    this.media.pause();
    this.wave?.destroy();
    if (this.url) URL.revokeObjectURL(this.url);
    Object.assign(this, { wave: null, url: null, duration: 0, sound: null });
    this.media.removeAttribute("src");
    this.lanes.clear();
    this.#rows(true);
    $("now").textContent = "0:00.0";
  }

  get time() {
    return this.media.currentTime;
  }

  seek(time) {
    if (!this.wave) return;
    this.#reveal(time); // first, else the waveform scrolls it to the very edge
    this.wave.setTime(Math.max(0, Math.min(time, this.duration)));
    this.#tell();
  }

  toggle() {
    if (!this.wave) return;
    if (this.media.paused) this.media.play().catch(() => {});
    else this.media.pause();
  }

  #playing() {
    const on = !this.media.paused && !this.media.ended;
    $("play").classList.toggle("on", on);
    $("play").setAttribute("aria-label", on ? "Pause" : "Play");
    if (on) this.#follow();
  }

  #follow() {
    if (this.media.paused) return;
    this.#tell();
    requestAnimationFrame(() => this.#follow());
  }

  #tell() {
    const time = this.media.currentTime;
    $("now").textContent = clock(time, true);
    $("wave").setAttribute("aria-valuenow", time.toFixed(1));
    $("wave").setAttribute("aria-valuetext", `${clock(time)} of ${clock(this.duration)}`);
    this.lanes.light(time);
    this.ontime(time);
  }

  #fit() {
    return $("scroller").clientWidth / Math.max(this.duration, 0.01);
  }

  // the slider is logarithmic, from all of the clip to CLOSEST pixels a second
  #pixels() {
    const fit = this.#fit();
    return fit * (Math.max(CLOSEST, fit) / fit) ** ($("zoom").value / 100);
  }

  #slider(pixels) {
    const fit = this.#fit();
    return fit >= CLOSEST ? 0 : (100 * Math.log(pixels / fit)) / Math.log(CLOSEST / fit);
  }

  #zoom() {
    if (!this.duration) return;
    const middle = this.time;
    this.wave?.zoom(this.#pixels());
    this.#layout();
    this.#reveal(middle, true);
  }

  #scrolled(left) {
    if (this.wave && Math.abs(this.wave.getScroll() - left) > 1) this.wave.setScroll(left);
    this.lanes.draw();
  }

  #reveal(time, always = false) {
    const view = $("scroller");
    const at = time * this.lanes.pixels;
    const inside = at >= view.scrollLeft && at <= view.scrollLeft + view.clientWidth - EDGE;
    if (always || !inside) view.scrollLeft = at - view.clientWidth / 3;
  }

  #layout() {
    if (!this.duration) return;
    this.lanes.layout(Math.max(this.#fit(), this.#pixels()), this.duration);
  }
}

function colours() {
  const style = getComputedStyle(document.documentElement);
  const value = (name) => style.getPropertyValue(name).trim();
  return { waveColor: value("--wave"), progressColor: value("--accent"), cursorColor: value("--accent") };
}
