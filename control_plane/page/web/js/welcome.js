// What to do when nothing runs.

import { copyBox, h } from "./dom.js";

const SERVER = "http://127.0.0.1:2939";

export function welcome() {
  return h("section.empty", {},
    h("div.lead", {},
      h("h1", {}, "Nothing is running yet"),
      h("p", {}, "A stream takes live video, puts every frame through a ComfyUI workflow, and gives you the result some milliseconds later. Three ways to see one:")),
    h("div.ways", {},
      way("Your camera", "No server, nothing to install: this page sends your camera’s pictures and shows what comes back.",
        h("p", {}, h("a.button.primary", { href: "#/start/camera/edges" }, "Try it with my camera"))),
      way("A test pattern", "A trickle server and a moving picture, in a second terminal of this machine. Then start a stream between the two channels.",
        copyBox(`source .venv/bin/activate\ncomfytrickle trickle-server &\ncomfytrickle publish testsrc ${SERVER}/in`),
        h("p", {}, h("a.button", { href: `#/start/channel/invert/${encodeURIComponent(SERVER)}` }, "Start a stream on it"))),
      way("The demo", "Everything at once, with every frame checked. It has a control plane of its own and prints where its page is.",
        copyBox("./scripts/launch_pool.sh --demo"), h("p.small.soft", {}, "In the folder of the checkout."))));
}

function way(title, words, ...more) {
  return h("div.panel", {}, h("h2", {}, title), h("p.soft", {}, words), ...more);
}
