// The microphone -> /v1/realtime -> captions while somebody speaks.

import { ServerError, sentence, socket } from "./api.js";
import { base64, wav } from "./sound.js";

const RATE = 24_000;
const LAST_WORDS_MS = 60_000; // that the last turns may take after the end
const TRANSCRIPTION = "conversation.item.input_audio_transcription.";

/** A microphone, or a ServerError that says what to do. */
async function microphone() {
  if (!navigator.mediaDevices?.getUserMedia) {
    throw new ServerError(
      isSecureContext
        ? "This browser gives no microphone to pages. You can drop a file instead."
        : "Browsers give the microphone only to pages at https or at localhost. Open this server at http://localhost, put https in front of it, or drop a file.",
    );
  }
  const wanted = { channelCount: 1, echoCancellation: false, noiseSuppression: false, autoGainControl: true };
  try {
    return await navigator.mediaDevices.getUserMedia({ audio: wanted });
  } catch (error) {
    throw new ServerError(
      {
        NotAllowedError: "The microphone was not allowed. Allow it in the browser's address bar, then press Record again.",
        NotFoundError: "No microphone was found. Plug one in, or drop a file.",
        NotReadableError: "Another program holds the microphone. Close that, then press Record again.",
      }[error.name] ?? `The microphone does not work: ${error.message}.`,
      { code: "microphone" },
    );
  }
}

/** One recording with its captions.
 *
 * `items`: turns in order, {id, start (s), text, stable (characters), final, words, failed}.
 * `onchange()` after each event, `onlevel(peak, seconds)` ten times a second, `onlost()` when the
 * connection breaks. */
export class Live {
  items = [];
  seconds = 0;
  #parts = [];
  #waiting = []; // messages until the session is set up
  #open = new Set(); // ids of turns that are committed and not transcribed
  #closing = null;
  #ended = false;

  constructor({ onchange, onlevel, onlost }) {
    Object.assign(this, { onchange, onlevel, onlost });
  }

  async start() {
    this.stream = await microphone();
    try {
      await this.#listen();
      await this.#connect();
    } catch (error) {
      this.discard();
      throw error;
    }
  }

  async #listen() {
    this.context = new AudioContext({ sampleRate: RATE });
    let source;
    try {
      source = this.context.createMediaStreamSource(this.stream);
    } catch {
      this.context.close(); // a browser that does not resample: the server does
      this.context = new AudioContext();
      source = this.context.createMediaStreamSource(this.stream);
    }
    this.rate = this.context.sampleRate;
    await this.context.audioWorklet.addModule(new URL("capture.worklet.js", import.meta.url));
    this.node = new AudioWorkletNode(this.context, "capture", { numberOfOutputs: 0 });
    this.node.port.onmessage = ({ data }) => this.#heard(data);
    source.connect(this.node);
    await this.context.resume();
    this.stream.getTracks()[0].addEventListener("ended", () => this.#lost("The microphone was unplugged."));
  }

  #heard({ pcm, peak, last }) {
    if (pcm.byteLength && !this.#ended) {
      this.#parts.push(pcm);
      this.seconds += pcm.byteLength / 2 / this.rate;
      this.#send({ type: "input_audio_buffer.append", audio: base64(pcm) });
      this.onlevel(peak, this.seconds);
    }
    if (last) this.#flushed?.();
  }

  #flushed = null;

  #connect() {
    return new Promise((resolve, reject) => {
      this.ws = socket("v1/realtime?intent=transcription");
      this.ws.onmessage = ({ data }) => {
        const event = JSON.parse(data);
        if (event.type === "session.created") {
          this.ws.send(JSON.stringify({ type: "session.update", session: this.#session() }));
        } else if (event.type === "session.updated" && this.#waiting) {
          for (const message of this.#waiting) this.ws.send(message);
          this.#waiting = null;
          resolve();
        } else this.#event(event);
      };
      this.ws.onclose = ({ reason }) => {
        if (this.#waiting) {
          reject(new ServerError("The server has no place for a live session at the moment. Try again in a while, or drop a file.", { code: "refused" }));
        } else this.#lost(sentence(reason) || "The connection to the server was lost.");
      };
    });
  }

  #session() {
    return {
      type: "transcription",
      audio: { input: { format: { type: "audio/pcm", rate: this.rate }, turn_detection: { type: "server_vad" } } },
      include: ["item.input_audio_transcription.hypothesis"],
    };
  }

  #send(message) {
    const text = JSON.stringify(message);
    if (this.#waiting) this.#waiting.push(text);
    else if (this.ws.readyState === WebSocket.OPEN) this.ws.send(text);
  }

  #item(id) {
    let item = this.items.find((one) => one.id === id);
    if (!item) {
      item = { id, start: null, text: "", delta: "", stable: 0, final: null, words: [], failed: "" };
      this.items.push(item);
    }
    return item;
  }

  #event(event) {
    const kind = event.type.startsWith(TRANSCRIPTION) ? event.type.slice(TRANSCRIPTION.length) : event.type;
    const item = event.item_id ? this.#item(event.item_id) : null;
    if (kind === "input_audio_buffer.speech_started") item.start = event.audio_start_ms / 1000;
    else if (kind === "input_audio_buffer.committed") this.#open.add(event.item_id);
    else if (kind === "delta") {
      item.delta += event.delta;
      if (!item.text.startsWith(item.delta)) item.text = item.delta;
      item.stable = Math.max(item.stable, item.delta.length);
    } else if (kind === "hypothesis") {
      // what was sent as a delta is not taken back
      item.text = event.text.startsWith(item.delta) ? event.text : item.delta;
      item.stable = Math.max(event.stable_chars, item.delta.length);
    } else if (kind === "completed") {
      Object.assign(item, { final: event.transcript, words: event.words ?? [] });
      this.#open.delete(event.item_id);
    } else if (kind === "failed") {
      item.failed = sentence(event.error?.message) || "This turn could not be transcribed.";
      this.#open.delete(event.item_id);
    }
    const last = kind === "input_audio_buffer.committed" || kind === "error";
    if (last && this.#closing) this.#closing.committed = true;
    this.#settle();
    this.onchange();
  }

  #settle() {
    if (this.#closing?.committed && !this.#open.size) this.#closing.resolve();
  }

  #lost(reason) {
    if (this.#ended) return;
    if (this.#closing) this.#closing.resolve();
    else this.onlost(reason);
  }

  /** End the recording; gives its WAV file once the last words are there. */
  async finish() {
    const flushed = new Promise((resolve) => (this.#flushed = resolve));
    this.node.port.postMessage("last");
    await Promise.race([flushed, new Promise((resolve) => setTimeout(resolve, 500))]);
    this.#silence();
    if (this.ws.readyState === WebSocket.OPEN) {
      await new Promise((resolve) => {
        this.#closing = { resolve, committed: false };
        this.#send({ type: "input_audio_buffer.commit" });
        setTimeout(resolve, LAST_WORDS_MS);
      });
    }
    this.discard();
    return wav(this.rate, ...this.#parts);
  }

  /** Whether each turn has its transcript. */
  get complete() {
    return !this.#open.size && this.items.every((item) => item.final !== null || (item.start === null && !item.failed));
  }

  #silence() {
    this.stream?.getTracks().forEach((track) => track.stop());
    if (this.context && this.context.state !== "closed") this.context.close();
  }

  discard() {
    this.#ended = true;
    this.#silence();
    this.ws?.close();
  }
}

/** The turns of a recording as a transcript, in the form in which the server writes results. */
export function transcriptOf(items, duration) {
  const segments = [];
  for (const item of items) {
    if (!item.final) continue;
    const start = item.start ?? segments.at(-1)?.end ?? 0;
    const words = item.words.map(({ word, start: from, end }) => ({
      text: word, start: milli(start + from), end: milli(start + end),
    }));
    segments.push({
      text: item.final, start: words[0]?.start ?? milli(start), end: words.at(-1)?.end ?? milli(duration), words,
    });
  }
  return {
    type: "transcript",
    text: segments.map((segment) => segment.text).join(" "),
    duration: milli(duration),
    segments,
    words: segments.flatMap((segment) => segment.words),
  };
}

const milli = (seconds) => Math.round(1000 * seconds) / 1000;
