// The page: three views (start, recording, result) and what leads from one to the next.

import { call, isAbort, onKeyWanted, ServerError } from "./api.js";
import { Ask } from "./ask.js";
import { $, clock, el, mebibytes, save, span } from "./dom.js";
import { transcribe, understand, written } from "./hear.js";
import { Captions } from "./captions.js";
import { watchKeys } from "./keys.js";
import { Live, transcriptOf } from "./live.js";
import { Player } from "./player.js";
import { TranscriptView } from "./transcript.js";

const FORMATS = { text: "txt", srt: "srt", vtt: "vtt", json: "json", textgrid: "TextGrid" };
const HEALTH_MS = 10_000;
const CAPTION_S = 300; // a caption is about a prompt's length of sound

let limits = null;
let clip = null; // {file, name}
let results = {}; // transcript, timeline
let run = null; // AbortController of what is being heard
let live = null;

const transcript = new TranscriptView((time) => player.seek(time));
const player = new Player({
  ontime: (time) => {
    transcript.light(time, !player.media.paused);
    ask.tellPart();
  },
});
const ask = new Ask(() => ({ file: clip?.file, sound: player.sound, duration: player.duration, time: player.time }));
const captions = new Captions();

// ------------------------------------------------------------------------------------ messages

function notice(text) {
  $("notice-text").textContent = text;
  $("notice").hidden = !text;
}

const message = (error) => (error instanceof ServerError ? error.message : `Something failed on this page: ${error.message}`);

function view(name) {
  for (const id of ["start", "recording", "result"]) $(id).hidden = id !== name;
  document.body.dataset.view = name;
}

onKeyWanted((wrong) => new Promise((resolve) => {
  const dialog = $("key-dialog");
  $("key-error").textContent = "The server does not know this key.";
  $("key-error").hidden = !wrong;
  $("key").value = "";
  dialog.returnValue = "";
  dialog.onclose = () => resolve(dialog.returnValue === "ok" ? $("key").value.trim() : null);
  if (!dialog.open) dialog.showModal();
}));
$("key-form").addEventListener("submit", () => $("key-dialog").close("ok"));
$("key-cancel").addEventListener("click", () => $("key-dialog").close(""));

// -------------------------------------------------------------------------------------- health

let model = "";

async function about() {
  try {
    const { data } = await (await call("v1/models")).json();
    [{ id: model, limits }] = data;
    $("limits").textContent = `Up to ${mebibytes(limits.body_bytes)} and ${span(limits.audio_seconds)}.`;
    $("version").textContent = `moss-audio ${(await (await call("version")).json()).version}`;
  } catch (error) {
    if (error.code !== "unreachable") notice(message(error));
  }
}

async function health() {
  let state = "down";
  let text = "Server unreachable";
  try {
    const answer = await fetch(new URL("health/ready", document.baseURI), { cache: "no-store" });
    const { status } = await answer.json();
    state = answer.ok ? "ok" : "busy";
    text = { ok: "Ready", full: "Busy", draining: "Shutting down" }[status] ?? "Not ready";
    if (!limits) await about();
  } catch {
    // it says so
  }
  $("status").dataset.state = state;
  const told = model && state !== "down" ? `${text} · ${model}` : text;
  if ($("status-text").textContent !== told) $("status-text").textContent = told;
}

// --------------------------------------------------------------------------------------- files

function accept(file) {
  if (!file) return;
  if (limits && file.size > limits.body_bytes) {
    notice(`${file.name} has ${mebibytes(file.size)}; this server takes up to ${mebibytes(limits.body_bytes)}.`);
  } else if (!file.size) {
    notice(`${file.name} is empty.`);
  } else hear(file, file.name);
}

/** Show a clip and hear it. `known`: its transcript, where it was transcribed live. */
async function hear(file, name, known = null) {
  run?.abort();
  const mine = (run = new AbortController());
  notice("");
  clip = { file, name };
  results = {};
  transcript.clear();
  ask.clear();
  $("caption").replaceChildren();
  $("events").replaceChildren();
  for (const id of ["export-transcript", "export-events"]) $(id).hidden = true;
  view("result");
  $("main").focus({ preventScroll: true });
  progress("Opening…");
  const playable = await player.load(file, name);
  if (mine.signal.aborted) return;
  const { duration } = player;
  if (limits && duration > limits.audio_seconds) {
    end(mine);
    transcript.message(`This recording is ${span(duration)} long; the server takes up to ${span(limits.audio_seconds)}.`);
    return;
  }
  if (!playable) transcript.message("This browser cannot play the file; the server can still read it.");
  try {
    if (known) shown(known);
    else await words(file, name, mine.signal);
    await sounds(file, name, mine.signal);
    await caption(file, name, mine.signal);
  } catch (error) {
    if (!isAbort(error)) notice(message(error));
  } finally {
    end(mine);
  }
}

async function words(file, name, signal) {
  progress("Listening to the words…", 0);
  let heard = [];
  const started = $("transcript").childElementCount;
  try {
    const result = await transcribe(file, name, {
      signal,
      onpart: (segments) => {
        transcript.append(segments);
        heard = heard.concat(segments.flatMap((segment) => segment.words));
        player.lanes.setWords(heard);
      },
      onprogress: (seconds) => progress(`Heard ${clock(seconds)} of ${clock(player.duration)}`, seconds),
    });
    shown(result);
  } catch (error) {
    if (signal.aborted && clip?.file !== file) throw error;
    const again = el("button", { type: "button", class: "button small", onclick: () => hear(file, name) }, "Try again");
    const text = isAbort(error) ? "Stopped." : message(error);
    const line = el("p", { class: isAbort(error) ? "muted" : "error" }, `${text} `, again);
    if ($("transcript").childElementCount > started) $("transcript").append(line);
    else $("transcript").replaceChildren(line);
    if (isAbort(error) || error.status !== 422) throw isAbort(error) ? error : new Handled();
    throw new Handled();
  }
}

/** An error that is on the page already. */
class Handled extends Error {
  name = "AbortError";
}

function shown(result) {
  results.transcript = result;
  player.showLength(result.duration);
  player.lanes.setWords(result.words ?? []);
  transcript.show(result);
  $("export-transcript").hidden = !result.text;
}

async function sounds(file, name, signal) {
  progress("Listening to the sounds…");
  $("events").replaceChildren(skeleton());
  const result = await within($("events"), () => understand("events", file, name, signal));
  if (!result) return;
  results.timeline = result;
  player.lanes.setEvents(result.events);
  $("export-events").hidden = !result.events.length;
  $("events").replaceChildren(result.events.length
    ? el("ul", { class: "event-list" }, ...result.events.map((event) => el("li", {},
      el("button", { type: "button", class: "stamp", onclick: () => player.seek(event.start),
        "aria-label": `Go to ${clock(event.start, true)}` }, clock(event.start, true)),
      el("span", {}, event.label))))
    : el("p", { class: "muted" }, "No sounds were named."));
}

async function caption(file, name, signal) {
  if (player.duration > CAPTION_S) {
    $("caption").replaceChildren(el("span", { class: "muted" }, `For recordings up to ${span(CAPTION_S)}. You can ask about a part.`));
    return;
  }
  progress("Writing a caption…");
  $("caption").replaceChildren(skeleton());
  const result = await within($("caption"), () => understand("captions", file, name, signal));
  if (result) $("caption").replaceChildren(result.text || el("span", { class: "muted" }, "Nothing to describe."));
}

/** What `work` gives; an error is told in its own place, and the others go on. */
async function within(place, work) {
  try {
    return await work();
  } catch (error) {
    if (isAbort(error)) place.replaceChildren();
    else place.replaceChildren(el("span", { class: "error" }, message(error)));
    if (isAbort(error)) throw error;
    return null;
  }
}

const skeleton = () => el("span", { class: "skeleton", "aria-hidden": "true" });

/** What is under way; `seconds` of the clip that are done, where that is known. */
function progress(text, seconds) {
  $("progress").hidden = false;
  $("progress-text").textContent = text;
  const bar = $("progress-bar");
  if (seconds && player.duration) bar.value = Math.min(1, seconds / player.duration);
  else bar.removeAttribute("value");
}

function end(mine) {
  if (run !== mine) return;
  run = null;
  $("progress").hidden = true;
}

// ------------------------------------------------------------------------------------- exports

function exports(place, formats, result, suffix) {
  $(place).replaceChildren(...formats.map((format) => el("button", {
    type: "button", class: "button small", "data-format": format,
    onclick: async () => {
      try {
        const base = clip.name.replace(/\.[^.]+$/, "") || "recording";
        save(await written(result(), format), `${base}${suffix}.${FORMATS[format]}`);
      } catch (error) {
        notice(message(error));
      }
    },
  }, FORMATS[format])));
}
exports("export-transcript", Object.keys(FORMATS), () => results.transcript, "");
exports("export-events", ["srt", "json", "textgrid"], () => results.timeline, "-sounds");

// ----------------------------------------------------------------------------------- recording

async function record() {
  notice("");
  $("record").disabled = true;
  try {
    if (!limits) await about();
    const session = new Live({
      onchange: () => captions.show(session.items),
      onlevel: (peak, seconds) => captions.level(peak, seconds),
      onlost: (reason) => {
        notice(`${reason} What was recorded is kept.`);
        finish();
      },
    });
    captions.clear();
    await session.start();
    live = session;
    view("recording");
    $("stop").focus();
  } catch (error) {
    view("start");
    notice(message(error));
  } finally {
    $("record").disabled = false;
  }
}

async function finish() {
  const session = live;
  if (!session) return;
  live = null;
  $("recording-title").textContent = "Finishing…";
  $("stop").disabled = true;
  try {
    const file = await session.finish();
    if (session.seconds < 0.2) {
      view("start");
      notice("Nothing was recorded.");
      return;
    }
    const failed = session.items.find((item) => item.failed);
    const known = session.complete && !failed ? transcriptOf(session.items, session.seconds) : null;
    const stamp = new Date().toTimeString().slice(0, 5).replace(":", ".");
    await hear(file, `Recording ${stamp}.wav`, known);
  } finally {
    $("recording-title").textContent = "Listening";
    $("stop").disabled = false;
  }
}

function discard() {
  live?.discard();
  live = null;
  view("start");
}

function again() {
  run?.abort();
  run = null;
  $("progress").hidden = true;
  ask.clear();
  player.clear();
  clip = null;
  notice("");
  view("start");
  $("choose").focus();
}

// -------------------------------------------------------------------------------------- wiring

$("choose").addEventListener("click", () => $("file").click());
$("file").addEventListener("change", () => {
  accept($("file").files[0]);
  $("file").value = "";
});
$("record").addEventListener("click", record);
$("stop").addEventListener("click", finish);
$("discard").addEventListener("click", discard);
$("again").addEventListener("click", again);
$("cancel").addEventListener("click", () => run?.abort());
$("notice-close").addEventListener("click", () => notice(""));

let over = 0;
addEventListener("dragenter", () => document.body.classList.toggle("dropping", ++over > 0));
addEventListener("dragleave", () => document.body.classList.toggle("dropping", --over > 0));
addEventListener("dragover", (event) => event.preventDefault());
addEventListener("drop", (event) => {
  event.preventDefault();
  over = 0;
  document.body.classList.remove("dropping");
  if (!live) accept(event.dataTransfer.files[0]);
});
addEventListener("beforeunload", (event) => {
  if (live) event.preventDefault();
});

watchKeys({
  player, transcript,
  recording: () => live,
  cancel: () => (ask.busy ? ask.cancel() : run?.abort()),
});

view("start");
about().then(health);
setInterval(() => document.hidden || health(), HEALTH_MS);
document.addEventListener("visibilitychange", () => document.hidden || health());
