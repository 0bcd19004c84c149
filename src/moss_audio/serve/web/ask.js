// Questions about the clip, each with those before it.

import { call, events, isAbort, ServerError } from "./api.js";
import { $, clock, el } from "./dom.js";
import { base64, wav } from "./sound.js";

const IDEAS = ["What is this about?", "How many people speak?", "What is in the background?"];
const MOST_S = 300; // of sound in a question; a longer clip is asked about around where it plays

/** `clip()` gives {file, sound, duration, time}. */
export class Ask {
  constructor(clip) {
    this.clip = clip;
    $("ask-form").addEventListener("submit", (event) => {
      event.preventDefault();
      if (this.running) this.running.abort();
      else this.#submit($("question").value);
    });
    $("ask-clear").addEventListener("click", () => this.clear());
    this.clear();
  }

  clear() {
    this.running?.abort();
    this.turns = [];
    $("history").replaceChildren();
    $("ask-clear").hidden = true;
    $("ideas").replaceChildren(...IDEAS.map((idea) =>
      el("button", { type: "button", class: "idea", onclick: () => this.#submit(idea) }, idea)));
    this.tellPart();
  }

  get busy() {
    return Boolean(this.running);
  }

  cancel() {
    this.running?.abort();
  }

  /** The part of the clip that a question now would be about; null for all of it. */
  #part() {
    const { sound, duration, time } = this.clip();
    if (!sound || duration <= MOST_S) return null;
    const from = Math.max(0, Math.min(time - MOST_S / 2, duration - MOST_S));
    return [from, from + MOST_S];
  }

  tellPart() {
    const part = this.#part();
    const told = part ? `About ${clock(part[0])} to ${clock(part[1])}, around where you are.` : "";
    if ($("ask-part").textContent !== told) $("ask-part").textContent = told;
  }

  async #audio() {
    const { file, sound } = this.clip();
    const part = this.#part();
    if (!sound) return base64(await file.arrayBuffer());
    const [from, to] = part ?? [0, Infinity];
    const pcm = sound.pcm.subarray(from * sound.rate, to * sound.rate);
    return base64(await wav(sound.rate, pcm).arrayBuffer());
  }

  async #submit(text) {
    const question = text.trim();
    if (!question || this.running) return;
    const running = (this.running = new AbortController());
    $("question").value = "";
    $("ideas").replaceChildren();
    $("ask-clear").hidden = false;
    $("send").textContent = "Stop";
    const answer = el("p", { class: "answer waiting" }, "Thinking…");
    $("history").append(el("p", { class: "question" }, question), answer);
    answer.scrollIntoView({ block: "nearest" });
    try {
      const reply = await this.#reply(question, answer, running.signal);
      this.turns.push([question, reply]);
      if (!reply) answer.textContent = "(no answer)";
    } catch (error) {
      if (isAbort(error)) {
        answer.append(" (stopped)");
        if (answer.classList.contains("waiting")) answer.textContent = "Stopped.";
      } else {
        answer.textContent = error instanceof ServerError ? error.message : `This failed: ${error.message}`;
        answer.classList.add("error");
      }
      if (!$("question").value && !isAbort(error)) $("question").value = question;
    } finally {
      answer.classList.remove("waiting");
      if (this.running === running) this.running = null;
      $("send").textContent = "Ask";
    }
  }

  async #reply(question, answer, signal) {
    const sound = { type: "input_audio", input_audio: { data: await this.#audio(), format: "wav" } };
    const asked = [...this.turns.map(([one]) => one), question];
    const messages = asked.flatMap((one, i) => [
      { role: "user", content: i ? one : [sound, { type: "text", text: one }] },
      ...(i < this.turns.length ? [{ role: "assistant", content: this.turns[i][1] }] : []),
    ]);
    const response = await call("v1/chat/completions", { json: { messages, stream: true }, signal });
    let text = "";
    for await (const event of events(response)) {
      text += event.choices?.[0]?.delta?.content ?? "";
      if (!text) continue;
      answer.classList.remove("waiting");
      answer.textContent = text;
      answer.scrollIntoView({ block: "nearest" });
    }
    return text.trim();
  }
}
