// All streams at a glance; a welcome where there is none.

import { h, setText } from "./dom.js";
import { Frames, IN, OUT, Painter } from "./frames.js";
import { lostSound } from "./sound.js";
import { listen, store } from "./store.js";
import { dropped, count, endInWords, errorInWords, healthOf, isSoundAlone, ms, rate, uptime } from "./words.js";
import { welcome } from "./welcome.js";

const THUMB = { side: "out", fps: 4, width: 400 };
const SPARK_S = 60;

const FIGURES_OF_SOUND = [
  ["units in → out", (s) => `${count(s.audio.in)} → ${count(s.audio.out)}`],
  ["of silence", (s) => count(s.audio.silence)],
  ["dropped", (s) => count(lostSound(s))],
];

const FIGURES = [
  ["fps in → out", (s) => `${rate(s.fps.in)} → ${rate(s.fps.out)}`],
  ["ms p50 / p99", (s) => `${ms(s.latency_ms.total?.p50)} / ${ms(s.latency_ms.total?.p99)}`],
  ["dropped", (s) => count(dropped(s))],
];

/** {element, close()} */
export function overviewView() {
  const ending = new AbortController();
  const element = h("div.overview");
  let cards = new Map(); // id -> card

  function arrange() {
    if (!store.loaded) return;
    const { running, ended } = store.sorted();
    const kept = new Map();
    for (const status of [...running, ...ended]) {
      const old = cards.get(status.request_id);
      kept.set(status.request_id, old?.running === status.running ? old : makeCard(status));
      if (old && kept.get(status.request_id) !== old) old.close();
    }
    for (const [id, card] of cards) if (!kept.has(id)) card.close();
    cards = kept;
    const of = (list) => list.map((s) => cards.get(s.request_id).element);
    element.replaceChildren(...[
      h("h1.unseen", {}, "Streams"),
      running.length ? h("section.cards", { aria: { label: "Running streams" } }, of(running)) : welcome(),
      ended.length ? h("section.stack", {}, h("h2", {}, "Ended lately"), h("div.cards", {}, of(ended))) : null,
    ].filter(Boolean));
    for (const card of cards.values()) card.update();
  }

  listen(["list"], ending.signal, arrange);
  listen(["change"], ending.signal, ({ detail }) => cards.get(detail)?.update());
  listen(["tick"], ending.signal, () => cards.forEach((card) => card.tick()));
  arrange();
  return {
    element,
    close() {
      ending.abort();
      cards.forEach((card) => card.close());
    },
  };
}

function makeCard({ request_id: id, running }) {
  const canvas = h("canvas", { hidden: true, width: 16, height: 9 });
  const nothing = h("span", {}, "No picture yet");
  const picture = h("div.picture", { aria: { hidden: true } }, nothing, canvas);
  const health = h("span.health");
  const restarts = h("span.small.soft");
  const where = h(running ? "p.small.soft.clip" : "p.small.soft");
  const why = h("p.why", { hidden: true });
  const cells = FIGURES.map(() => [h("dt"), h("dd")]);
  const line = h("polyline");
  const spark = h("svg", { viewBox: `0 0 ${SPARK_S} 32`, preserveAspectRatio: "none", "aria-hidden": "true" }, line);
  const element = h(running ? "a.card" : "a.card.ended", { href: `#/stream/${encodeURIComponent(id)}`, data: { stream: id } }, picture,
    h("div.facts", {},
      h("div.row.spread.one-line", {}, h("span.name.clip", {}, id), health),
      running ? h("dl.figures", {}, cells.map((cell) => h("div", {}, cell))) : null,
      running ? spark : null, why,
      h("div.row.spread", {}, where, restarts)));

  const painter = new Painter({ [IN]: canvas, [OUT]: canvas }, () => (canvas.hidden = false));
  let frames = null;
  let seen = false;
  function watch() {
    const wanted = running && seen && !document.hidden;
    if (wanted === Boolean(frames)) return;
    frames?.close();
    frames = wanted ? new Frames(id, THUMB, { frame: (p) => painter.paint(p) }) : null;
  }
  const sight = new IntersectionObserver((entries) => {
    seen = entries.at(-1).isIntersecting;
    watch();
  });
  if (running) sight.observe(element);
  document.addEventListener("visibilitychange", watch);

  function update() {
    const status = store.get(id);
    if (!status) return;
    const { word, tone } = healthOf(status);
    health.dataset.tone = tone;
    setText(health, word);
    const alone = isSoundAlone(status);
    setText(nothing, alone ? "Sound alone" : "No picture yet");
    (alone ? FIGURES_OF_SOUND : FIGURES).forEach(([name, value], n) => {
      setText(cells[n][0], name);
      setText(cells[n][1], value(status));
    });
    setText(restarts, status.restarts ? `${status.restarts}× restarted` : "");
    const bad = !status.running && status.health === "failed";
    why.hidden = !bad;
    setText(why, bad ? (status.last_error ? errorInWords(status.last_error) : endInWords(status)) : "");
    tick();
  }

  function tick() {
    const status = store.get(id);
    if (!status) return;
    const on = [status.engine, status.device].filter(Boolean).join(" on ");
    setText(where, status.running ? `${on}, ${uptime(status)}` : endInWords(status));
    const history = store.histories.get(id);
    if (!running || !history?.times.length) return;
    const now = performance.now() / 1000;
    const top = Math.max(10, ...history.columns.fpsOut.map((v) => v ?? 0)) * 1.1;
    const points = history.times.map((t, n) => [SPARK_S + t - now, history.columns.fpsOut[n]])
      .filter(([x, v]) => x >= 0 && v !== null)
      .map(([x, v]) => `${x.toFixed(1)},${(31 - (30 * v) / top).toFixed(1)}`);
    line.setAttribute("points", points.join(" "));
  }

  return {
    element,
    running,
    update,
    tick,
    close() {
      sight.disconnect();
      document.removeEventListener("visibilitychange", watch);
      seen = false;
      watch();
    },
  };
}
