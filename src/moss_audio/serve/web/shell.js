// What frames the page: the view that is shown, messages, the server's state and limits, the key.

import { call, onKeyWanted, ServerError } from "./api.js";
import { $, mebibytes, span } from "./dom.js";

const HEALTH_MS = 10_000;
const STATES = { ok: "Ready", full: "Busy", draining: "Shutting down" };

/** Of the server, once it has told them: {body_bytes, audio_seconds}. */
export let limits = null;
let model = "";

export function view(name) {
  for (const id of ["start", "recording", "result"]) $(id).hidden = id !== name;
  document.body.dataset.view = name;
}

/** A message above everything; none takes it away. */
export function notice(text = "") {
  $("notice-text").textContent = text;
  $("notice").hidden = !text;
}

/** An error in plain English. */
export function message(error) {
  if (error.code === "unreachable") health();
  return error instanceof ServerError ? error.message : `Something failed on this page: ${error.message}`;
}

/** Ask the server for its model and limits; with that, for a key where it wants one. */
export async function meet() {
  const { data } = await (await call("v1/models")).json();
  [{ id: model, limits }] = data;
  $("limits").textContent = `Up to ${mebibytes(limits.body_bytes)} and ${span(limits.audio_seconds)}.`;
  $("version").textContent = `moss-audio ${(await (await call("version")).json()).version}`;
}

let refused = false; // somebody did not give a key: it is not asked for again and again

async function health() {
  let state = "down";
  let text = "Server unreachable";
  try {
    const answer = await fetch(new URL("health/ready", document.baseURI), { cache: "no-store" });
    const { status } = await answer.json();
    state = answer.ok ? "ok" : "busy";
    text = STATES[status] ?? "Not ready";
    if (!limits && !refused) await meet();
  } catch (error) {
    refused ||= error.status === 401;
    if (error.status) notice(message(error));
  }
  $("status").dataset.state = state;
  const told = model && state !== "down" ? `${text} · ${model}` : text;
  if ($("status-text").textContent !== told) $("status-text").textContent = told;
}

function wantedKey(wrong) {
  const dialog = $("key-dialog");
  $("key-error").hidden = !wrong;
  $("key").value = "";
  dialog.returnValue = "";
  return new Promise((resolve) => {
    dialog.onclose = () => {
      refused = dialog.returnValue !== "ok";
      resolve(refused ? null : $("key").value.trim());
    };
    if (!dialog.open) dialog.showModal();
  });
}

export function start() {
  onKeyWanted(wantedKey);
  $("key-form").addEventListener("submit", (event) => {
    event.preventDefault();
    $("key-dialog").close("ok");
  });
  $("key-cancel").addEventListener("click", () => $("key-dialog").close(""));
  $("notice-close").addEventListener("click", () => notice());
  view("start");
  health();
  setInterval(() => document.hidden || health(), HEALTH_MS);
  document.addEventListener("visibilitychange", () => document.hidden || health());
}
