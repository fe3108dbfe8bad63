// Before and after, one over the other or side by side. Both halves are of the same frame.

import { h, setText } from "./dom.js";
import { Frames, IN, OUT, Painter } from "./frames.js";
import { healthOf, isSoundAlone } from "./words.js";

// How to compare, and which pictures that needs: what goes out may fail while something comes in.
const MODES = [
  ["slider", "Slider", "both"],
  ["sides", "Side by side", "both"],
  ["before", "Before", "in"],
  ["after", "After", "out"],
];
const FPS = 30;
const WIDTH = 960; // no more pixels than a screen shows

let lastMode = "slider"; // it stays from one stream to the next

/** Why there is no picture yet. */
function whyNone(status) {
  if (!status.running) return "This stream has ended.";
  if (isSoundAlone(status)) return "Sound alone: no picture comes with it.";
  return `Waiting for pictures: ${waitsFor(status)}`;
}

function waitsFor(status) {
  const { tone, sentence } = healthOf(status);
  if (tone === "ok") return "they come at any moment.";
  return sentence.replace(/^Ready(;|, but) /, "").replace(/^./, (c) => c.toLowerCase());
}

/** {element, update(status), close()}. `running`: whether it does; `onPicture(picture)` is told of each that was drawn. */
export function compareView(id, running, onPicture) {
  const canvases = [IN, OUT].map((side) =>
    h("canvas", { width: 16, height: 9, role: "img", data: { side: side === IN ? "in" : "out" },
      aria: { label: side === IN ? "The picture as it comes in" : "The picture as it goes out" } }));
  const mark = h("p.mark", { hidden: true }, "Not what the workflow made: a node failed, or it still loads");
  const nothing = h("p.nothing", {}, "Waiting for pictures …"); // as long as there are none
  const range = h("input", { type: "range", min: 0, max: 100, value: 50, aria: { label: "How much of the picture shows what came in, in percent" } });
  const screen = h("div.screen", { data: { empty: "yes" } },
    h("figure.before", {}, canvases[IN], h("figcaption", {}, "Before")),
    h("figure.after", {}, canvases[OUT], h("figcaption", {}, "After")),
    h("div.seam"), mark, nothing, range);
  const buttons = MODES.map(([mode, label]) =>
    h("button", { type: "button", data: { mode }, onclick: () => setMode(mode) }, label));
  const bar = h("div.row.spread", {}, h("div.segments", { role: "group", aria: { label: "How to compare" } }, buttons));
  const element = h("section.compare", { aria: { label: "Pictures" } }, screen, bar);

  range.addEventListener("input", () => screen.style.setProperty("--at", `${range.value}%`));

  const painter = new Painter(canvases, (picture) => {
    nothing.hidden = true;
    delete screen.dataset.empty;
    mark.hidden = !picture.marked;
    const { width, height } = canvases[picture.side === IN ? IN : OUT];
    screen.style.setProperty("--shape", `${width} / ${height}`);
    onPicture(picture);
  });

  let frames = null;
  let side = null; // which pictures are asked for; null: none

  function watch() {
    const wanted = running && !document.hidden ? MODES.find(([mode]) => mode === lastMode)[2] : null;
    if (wanted === side) return;
    frames?.close();
    side = wanted;
    frames = side && new Frames(id, { side, fps: FPS, width: WIDTH }, { frame: (picture) => painter.paint(picture) });
  }

  function setMode(mode) {
    lastMode = mode;
    element.dataset.mode = mode;
    for (const button of buttons) button.setAttribute("aria-pressed", button.dataset.mode === mode);
    watch();
  }

  document.addEventListener("visibilitychange", watch);
  setMode(lastMode);
  return {
    element,
    bar,
    update(status) {
      running = status.running;
      setText(nothing, whyNone(status));
      watch();
    },
    close() {
      document.removeEventListener("visibilitychange", watch);
      running = false;
      watch();
    },
  };
}
