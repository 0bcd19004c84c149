// What the server hears in a file: its words as they are known, its sounds, a caption.

import { call, events, form } from "./api.js";

/** A transcript with word times. `onpart(segments)`, `onprogress(seconds)`: as it is heard. */
export async function transcribe(file, name, { onpart, onprogress, signal }) {
  const fields = {
    response_format: "verbose_json", stream: "true", "timestamp_granularities[]": ["word", "segment"],
  };
  const answer = await call("v1/audio/transcriptions", { form: form(file, name, fields), signal });
  let segments = [];
  for await (const event of events(answer)) {
    if (event.type === "transcript.text.segment") segments.push(event);
    else if (event.type === "transcript.progress") {
      onpart(segments);
      segments = [];
      onprogress(event.seconds);
    } else if (event.type === "transcript.text.done") return event.result;
  }
  throw new Error("the answer ended too early");
}

/** The timeline of sounds, or a caption (`what`: "events", "captions"), as the server's result. */
export async function understand(what, file, name, signal) {
  const answer = await call(`v1/audio/${what}`, { form: form(file, name, {}), signal });
  const { usage: _, ...result } = await answer.json();
  return result;
}
