// The server: addresses relative to this page, the key, and errors in plain English.

const BASE = new URL("./", document.baseURI);
const KEY = "moss-audio-key";

export class ServerError extends Error {
  constructor(message, { status = 0, code = "", retryAfter = 0 } = {}) {
    super(message);
    Object.assign(this, { status, code, retryAfter });
  }
}

export const isAbort = (error) => error?.name === "AbortError";

let askForKey = async () => null;
/** `ask(wrong)` gives a key, or null if somebody does not want to. */
export const onKeyWanted = (ask) => (askForKey = ask);
const shownKey = () => sessionStorage.getItem(KEY) || "";

/** A WebSocket at a path; a key can only go among its sub-protocols. */
export function socket(path) {
  const url = new URL(path, BASE);
  url.protocol = url.protocol.replace("http", "ws");
  const key = shownKey();
  try {
    return new WebSocket(url, key ? ["realtime", `openai-insecure-api-key.${key}`] : ["realtime"]);
  } catch {
    throw new ServerError(
      "A browser cannot send this key for a live session: it takes letters, digits and - . _ ~ only. Files work.",
    );
  }
}

/** A request; gives the Response. Raises ServerError, or AbortError after `signal`. */
export async function call(path, { form, json, signal } = {}) {
  for (let tried = false; ; tried = true) {
    const headers = {};
    if (shownKey()) headers.Authorization = `Bearer ${shownKey()}`;
    if (json) headers["Content-Type"] = "application/json";
    const body = form ?? (json && JSON.stringify(json));
    let answer;
    try {
      answer = await fetch(new URL(path, BASE), {
        method: body ? "POST" : "GET", headers, body, signal, cache: "no-store",
      });
    } catch (error) {
      if (isAbort(error)) throw error;
      throw new ServerError("The server does not answer. Check that it is running, then try again.", {
        code: "unreachable",
      });
    }
    if (answer.ok) return answer;
    const error = await told(answer);
    if (answer.status !== 401) throw error;
    const key = await askForKey(tried || Boolean(shownKey()));
    if (key === null) throw error;
    sessionStorage.setItem(KEY, key);
  }
}

async function told(answer) {
  let error = {};
  try {
    error = (await answer.json()).error ?? {};
  } catch {
    // a proxy's own page
  }
  const status = answer.status;
  const retryAfter = Number(answer.headers.get("retry-after")) || 0;
  return new ServerError(plain(status, error.code, error.message, retryAfter), {
    status, code: error.code, retryAfter,
  });
}

function plain(status, code, message, retryAfter) {
  const later = retryAfter ? `Try again in ${retryAfter} s.` : "Try again in a moment.";
  if (status === 401) return "This server asks for a key.";
  if (code === "audio_too_long") return `This recording is too long for the server: ${message}.`;
  if (status === 413) return `This file is too large for the server: ${message ?? "send a smaller one"}.`;
  if (status === 429) return `You have many requests under way. ${later}`;
  if (code === "shutting_down") return "The server is shutting down. Try again when it is back.";
  if (status === 503) return `The server is busy. ${later}`;
  if (status === 502 || status === 504) return "The server behind this address does not answer.";
  return sentence(message) || `The server answered with status ${status}.`;
}

export function sentence(text = "") {
  const whole = text.trim();
  if (!whole) return "";
  const first = /^[a-z]+[ ,:]/.test(whole) ? whole[0].toUpperCase() : whole[0]; // not of a file's name
  return first + whole.slice(1) + (/[.!?]$/.test(whole) ? "" : ".");
}

/** A form with a file and fields; a list is repeated. */
export function form(file, name, fields) {
  const made = new FormData();
  for (const [key, value] of Object.entries(fields)) {
    for (const one of [value].flat()) made.append(key, one);
  }
  made.append("file", file, name);
  return made;
}

/** The JSON of server-sent events; an error among them is raised. */
export async function* events(answer) {
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    let piece;
    try {
      piece = await reader.read();
    } catch (error) {
      if (isAbort(error)) throw error;
      throw new ServerError("The connection to the server broke.", { code: "unreachable" });
    }
    if (piece.done) return;
    const parts = (rest + piece.value).split("\n\n");
    rest = parts.pop();
    for (const part of parts) {
      const data = part.startsWith("data: ") ? part.slice(6) : "";
      if (!data || data === "[DONE]") continue;
      const event = JSON.parse(data);
      if (event.error) throw new ServerError(sentence(event.error.message), event.error);
      yield event;
    }
  }
}
