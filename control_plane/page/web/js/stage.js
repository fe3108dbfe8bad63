// One stream, large.

import { call, streamPath } from "./api.js";
import { cameraBar } from "./camera_bar.js";
import { changeView } from "./change.js";
import { compareView } from "./compare.js";
import { detailsView } from "./details.js";
import { h, say, setText } from "./dom.js";
import { logView } from "./log.js";
import { plotsView } from "./plots.js";
import { sentence } from "./refusals.js";
import { lostSound, soundInWords, soundSuffers } from "./sound.js";
import { listen, store } from "./store.js";
import { storyView } from "./story.js";
import { tabsView } from "./tabs.js";
import { textsView } from "./texts.js";
import { count, dropped, endInWords, errorInWords, healthOf, isSoundAlone, ms, plural, rate, uptime } from "./words.js";

const STOP_WAIT_S = 15; // the budgets of a stop end before

const TILES = [
  ["Frames per s", (s) => [rate(s.fps.out), `${rate(s.fps.in)} come in`]],
  ["Latency", (s) => [`${ms(s.latency_ms.total?.p50)} ms`, `p99 ${ms(s.latency_ms.total?.p99)} ms`]],
  ["Dropped", (s) => [count(dropped(s)), s.frames.in ? `of ${count(s.frames.in)} frames` : "frames"]],
  ["Restarts", (s) => [count(s.restarts), s.node_errors ? plural(s.node_errors, "node error", "node errors") : "no node errors"], (s) => s.restarts && "warn"],
  ["Running for", (s) => [uptime(s), s.width ? `${s.width} × ${s.height}` : ""]],
];

const TILES_OF_SOUND = [
  ["Sound", (s) => [count(s.audio.out), `units out, ${count(s.audio.in)} in`]],
  ["Silence", (s) => [count(s.audio.silence), "units fill gaps"]],
  ["Dropped", (s) => [count(lostSound(s)), `of ${count(s.audio.in)} units`]],
  ...TILES.slice(3),
];

/** {element, close()} */
export function stageView(id) {
  const ending = new AbortController();
  const gone = () => [h("h1", {}, id), h("p.soft", {}, "There is no such stream (any more). "), h("p", {}, h("a", { href: "#/" }, "All streams"))];
  const element = h("article.stage", { aria: { label: `Stream ${id}` } });
  let parts = null;

  function build() {
    const health = h("span.health");
    const sentence = h("p.soft");
    const why = h("p.result.bad", { hidden: true });
    const where = h("span.soft.small");
    const sound = h("p.soft.small.number", { hidden: true });
    const texts = textsView(id);
    const again = h("a.button", { href: `#/start/again/${encodeURIComponent(id)}`, hidden: true }, "Start again");
    const stop = h("button.danger", { type: "button", onclick: () => stopIt(stop, why) }, "Stop");
    const camera = cameraBar(id);
    const compare = compareView(id, store.get(id).running, (picture) => camera.seen(picture));
    compare.bar.append(camera.element);
    const plots = plotsView();
    const cells = TILES.map(() => {
      const [name, cell] = [h("dt"), h("dd")];
      return [name, cell, h("div.tile", {}, name, cell)];
    });
    const tabs = tabsView("About this stream", [
      ["Change", () => changeView(id)],
      ["Story", () => storyView(id)],
      ["Log", () => logView(id)],
      ["Details", () => detailsView(id)],
    ]);
    element.replaceChildren(
      h("header.stage-head", {},
        h("p.small", {}, h("a", { href: "#/" }, "← All streams")),
        h("div.row.spread.tight", {}, h("div.row", {}, h("h1", {}, id), health, where), h("div.row", {}, again, stop)), sentence, why),
      h("div.columns", {},
        h("div.stack", {}, h("section.panel.stack", {}, compare.element, sound), h("dl.tiles", {}, cells.map(([, , tile]) => tile)), texts.element),
        plots.element),
      tabs.element);
    parts = { health, sentence, why, where, stop, again, sound, texts, compare, camera, plots, cells, tabs, word: null };
  }

  function update() {
    const status = store.get(id);
    if (!status) {
      if (store.loaded) {
        close();
        element.replaceChildren(...gone());
      }
      return;
    }
    if (!parts) build();
    const { word, tone, sentence } = healthOf(status);
    if (parts.word !== null && parts.word !== word) say(`${id}: ${word}. ${sentence}`);
    parts.word = word;
    parts.health.dataset.tone = tone;
    setText(parts.health, word);
    setText(parts.sentence, status.running ? sentence : endInWords(status));
    setText(parts.where, [status.engine, status.device].filter(Boolean).join(" on "));
    parts.stop.hidden = !status.running;
    parts.again.hidden = status.running;
    showSound(status);
    showWhy(status);
    tick();
    for (const part of [parts.compare, parts.camera, parts.tabs]) part.update(status);
  }

  function showSound(status) {
    const words = soundInWords(status);
    parts.sound.hidden = words === null;
    parts.sound.dataset.tone = soundSuffers(status) ? "warn" : "";
    setText(parts.sound, `Sound: ${words}`);
  }

  function showWhy(status) {
    const error = status.last_error;
    const troubled = error && ["failed", "restarting", "degraded", "stalled"].includes(status.health);
    parts.why.hidden = !troubled;
    if (!troubled) return;
    setText(parts.why, errorInWords(error));
  }

  function tick() {
    const status = store.get(id);
    if (!status || !parts) return;
    (isSoundAlone(status) ? TILES_OF_SOUND : TILES).forEach(([title, values, tone], n) => {
      const [large, small] = values(status);
      const [name, cell, tile] = parts.cells[n];
      setText(name, title);
      const text = `${large}\n${small}`;
      if (cell.dataset.text !== text) {
        cell.dataset.text = text;
        cell.replaceChildren(large, h("small", {}, small));
      }
      tile.dataset.tone = tone?.(status) || "";
    });
    const history = store.histories.get(id);
    if (history && !document.hidden) parts.plots.update(history);
  }

  async function stopIt(button, why) {
    button.disabled = true;
    button.textContent = "Stopping …";
    try {
      const answer = await call("POST", `${streamPath(id, "stop")}?wait=${STOP_WAIT_S}`);
      say(answer.message);
    } catch (error) {
      why.hidden = false;
      why.textContent = sentence(error);
    }
    button.disabled = false;
    button.textContent = "Stop";
  }

  function close() {
    for (const part of [parts?.compare, parts?.camera, parts?.plots, parts?.texts, parts?.tabs]) part?.close();
    parts = null;
  }

  listen(["list", "change"], ending.signal, ({ detail }) => (detail === null || detail === id) && update());
  listen(["tick"], ending.signal, tick);
  update();
  return {
    element,
    close() {
      ending.abort();
      close();
    },
  };
}
