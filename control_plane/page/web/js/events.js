// GET /events, read with fetch: an EventSource could not send the token.

import { refusal, request } from "./api.js";
import { readPieces } from "./lines.js";

const PAUSES_MS = [300, 1000, 2000, 5000];

/**
 * Follows the events for as long as the page lives. `on.streams`, `on.state`, `on.gone`, `on.health`
 * get the data; `on.connected(bool)` says whether what is shown is live.
 */
export async function follow(on) {
  let attempt = 0;
  for (;;) {
    try {
      const answer = await request("GET", "/events");
      if (!answer.ok) throw await refusal(answer);
      await readPieces(answer.body, "\n\n", (block) => {
        attempt = 0;
        on.connected(true);
        dispatch(block, on);
      });
    } catch (error) {
      console.debug("events:", error.message); // shown as "not connected"; it is tried again
    }
    on.connected(false);
    await new Promise((go) => setTimeout(go, PAUSES_MS[Math.min(attempt++, PAUSES_MS.length - 1)]));
  }
}

function dispatch(block, on) {
  let name = "message";
  const data = [];
  for (const line of block.split("\n")) {
    if (line.startsWith("event: ")) name = line.slice(7);
    else if (line.startsWith("data: ")) data.push(line.slice(6));
  }
  if (data.length && on[name]) on[name](JSON.parse(data.join("\n")));
}
