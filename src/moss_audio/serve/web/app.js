// The page: what leads from one view (start, recording, result) to the next.

import { Captions } from "./captions.js";
import { Clip } from "./clip.js";
import { $, mebibytes } from "./dom.js";
import { watchKeys } from "./keys.js";
import { Live, transcriptOf } from "./live.js";
import { limits, meet, message, notice, start, view } from "./shell.js";

const SHORTEST_S = 0.2;

const clip = new Clip();
const captions = new Captions();
let live = null;

function accept(file) {
  if (!file || live) return;
  if (limits && file.size > limits.body_bytes) {
    const most = mebibytes(limits.body_bytes);
    notice(`${file.name} has ${mebibytes(file.size)}; this server takes up to ${most}.`);
  } else if (!file.size) notice(`${file.name} is empty.`);
  else clip.hear(file, file.name);
}

async function record() {
  notice();
  $("record").disabled = true;
  try {
    if (!limits) await meet();
    const session = new Live({
      onchange: () => captions.show(session.items),
      onlevel: (peak, seconds) => captions.level(peak, seconds),
      onlost: (reason) => finish(`${reason} What was recorded until then is kept.`),
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

async function finish(trouble = "") {
  const session = live;
  if (!session) return;
  live = null;
  $("recording-title").textContent = "Finishing…";
  $("stop").disabled = true;
  try {
    const file = await session.finish();
    if (session.seconds < SHORTEST_S) {
      view("start");
      notice(trouble || "Nothing was recorded.");
      return;
    }
    // where a turn has no transcript, all of it is heard again as a file
    const known = session.complete ? transcriptOf(session.items, session.seconds) : null;
    const time = new Date().toTimeString().slice(0, 5).replace(":", ".");
    const heard = clip.hear(file, `Recording ${time}.wav`, known);
    if (trouble) notice(trouble);
    await heard;
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
  clip.close();
  view("start");
  $("choose").focus();
}

$("choose").addEventListener("click", () => $("file").click());
$("file").addEventListener("change", () => {
  accept($("file").files[0]);
  $("file").value = "";
});
$("record").addEventListener("click", record);
$("stop").addEventListener("click", () => finish());
$("discard").addEventListener("click", discard);
$("again").addEventListener("click", again);

let over = 0;
const dragged = (change) => {
  over = change ? over + change : 0;
  document.body.classList.toggle("dropping", over > 0 && !live);
};
addEventListener("dragenter", () => dragged(1));
addEventListener("dragleave", () => dragged(-1));
addEventListener("dragover", (event) => event.preventDefault());
addEventListener("drop", (event) => {
  event.preventDefault();
  dragged(0);
  accept(event.dataTransfer.files[0]);
});
addEventListener("beforeunload", (event) => live && event.preventDefault());

watchKeys({ clip, recording: () => live });
start();
