// Beside the pictures of a stream that has no source channel: its camera, and how long a picture takes
// from the camera to this screen.

import { feed, feedOf, openCamera, stopFeeding } from "./camera.js";
import { h, setText } from "./dom.js";

const SHOWN = 20; // pictures over which the time is taken

/** {element, update(status), seen(picture), close()} */
export function cameraBar(id) {
  const words = h("span.soft.small.number", { role: "status" });
  const button = h("button.slim", { type: "button", onclick: toggle });
  // A line of its own, the button first: the words change their width, and it must stay in place.
  const element = h("div.row.camera", { hidden: true }, button, words);
  let status = null;
  let times = [];
  let problem = null;
  let shownAt = 0;

  async function toggle() {
    problem = null;
    if (feedOf(id)) {
      stopFeeding(id);
    } else {
      button.disabled = true;
      try {
        await feed(id, await openCamera(), status);
      } catch (error) {
        problem = error.message;
      }
      button.disabled = false;
    }
    show();
  }

  function show() {
    element.hidden = !status || status.subscribe_url !== null || !status.running;
    const mine = feedOf(id);
    setText(button, mine ? "Camera off" : "Use my camera");
    if (problem || mine?.problem) return setText(words, problem ?? mine.problem);
    if (!mine) return setText(words, "No camera of yours feeds it.");
    const late = times.length ? `, ${Math.round(times.toSorted((a, b) => a - b)[times.length >> 1])} ms from camera to screen` : "";
    const lost = mine.dropped ? `, ${mine.dropped} dropped` : "";
    setText(words, `Your camera: ${mine.sent} sent${lost}${late}`);
  }

  return {
    element,
    update(given) {
      status = given;
      if (!status.running) stopFeeding(id);
      show();
    },
    seen(picture) {
      if (!feedOf(id) || picture.side === 0 || !picture.time) return;
      times = [...times.slice(1 - SHOWN), Date.now() - picture.time * 1000];
      if (performance.now() - shownAt < 1000) return;
      shownAt = performance.now();
      show();
    },
    close() {},
  };
}
