// The keyboard, wherever it is not needed for typing.

import { $ } from "./dom.js";

const STEP_S = 2;

export function watchKeys({ clip, recording }) {
  const { player, transcript, ask } = clip;
  addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || $("key-dialog").open) return;
    if (event.key === "Escape") {
      if (ask.busy) ask.cancel();
      else clip.cancel();
      if (event.target.matches("input")) event.target.blur();
      return;
    }
    if (event.target.matches("input, textarea, select")) return;
    if (recording() || $("result").hidden) return;
    const actions = {
      " ": () => !event.target.matches("button, a, summary") && (player.toggle(), true),
      "/": () => ($("question").focus(), true),
      ArrowLeft: () => move(-1),
      ArrowRight: () => move(1),
      Home: () => event.target.id === "wave" && (player.seek(0), true),
      End: () => event.target.id === "wave" && (player.seek(player.duration), true),
    };
    const move = (direction) => {
      if (event.shiftKey) {
        const start = transcript.neighbour(player.time, direction);
        if (start !== null) player.seek(start);
      } else player.seek(player.time + direction * STEP_S);
      return true;
    };
    if (actions[event.key]?.()) event.preventDefault();
  });
}
