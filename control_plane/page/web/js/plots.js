// The last three minutes as plots. The axis says how long ago; what moves is the line alone.

import uPlot from "../vendor/uplot/uPlot.esm.js";
import { h } from "./dom.js";
import { KEPT_S } from "./history.js";
import { themeChanges } from "./theme.js";
import { DROPS, ms, rate } from "./words.js";

const HEIGHT = 132;

const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

/** One plot. `lines(history)`: [{label, colour, values, dash}], the same labels as long as it can. */
class Plot {
  #uplot = null;
  #made = ""; // for which lines and theme
  #lines = [];
  #data = [[]];

  constructor(title, unit, format, lines, least) {
    this.format = format;
    this.lines = lines;
    this.least = least;
    this.keys = h("span.row");
    this.box = h("div.plot-box");
    this.element = h("figure.plot", { data: { title } },
      h("figcaption", {}, h("strong", {}, title, " ", h("span.soft.small", {}, unit)), this.keys), this.box);
  }

  update(history, now) {
    this.#lines = this.lines(history);
    this.#data = [history.times.map((t) => t - now), ...this.#lines.map((line) => line.values)];
    this.element.dataset.points = history.times.length;
    const wanted = [document.documentElement.dataset.theme, ...this.#lines.map((l) => l.label)].join();
    if (!this.#uplot || wanted !== this.#made) {
      this.#made = wanted;
      this.#make();
    } else {
      this.#uplot.setData(this.#data);
    }
    this.#showKeys(this.#uplot?.cursor.idx);
  }

  resize() {
    const width = this.box.clientWidth;
    if (this.#uplot && width && width !== this.#uplot.width) this.#uplot.setSize({ width, height: HEIGHT });
  }

  close() {
    this.#uplot?.destroy();
    this.#uplot = null;
  }

  #make() {
    this.close();
    const axis = {
      stroke: colour("--soft"), font: "11px system-ui, sans-serif", ticks: { show: false },
      grid: { stroke: colour("--line"), width: 1 },
    };
    this.#uplot = new uPlot({
      width: Math.max(200, this.box.clientWidth),
      height: HEIGHT,
      legend: { show: false },
      cursor: { y: false, drag: { x: false, y: false }, points: { size: 7 } },
      padding: [6, 18, 0, 0],
      scales: {
        x: { time: false, range: [-KEPT_S, 0] },
        y: { range: (_u, _low, high) => [0, Math.max(this.least, (high ?? 0) * 1.12)] },
      },
      axes: [
        { ...axis, size: 26, splits: () => [-180, -120, -60, 0],
          values: (_u, at) => at.map((s) => (s === 0 ? "now" : `${-s / 60} min`)) },
        { ...axis, size: 38, space: 30, values: (_u, at) => at.map((v) => String(+v.toFixed(2))) },
      ],
      series: [{}, ...this.#lines.map((line) => ({
        label: line.label, stroke: colour(line.colour), width: 1.8, dash: line.dash, points: { show: false },
        spanGaps: false, fill: line.fill ? `${colour(line.colour)}22` : undefined,
      }))],
      hooks: { setCursor: [(u) => this.#showKeys(u.cursor.idx)] },
    }, this.#data, this.box);
    this.keys.replaceChildren(...this.#lines.map((line) => {
      const key = h("span.key", {}, `${line.label} `, h("b"));
      key.style.setProperty("--key", `var(${line.colour})`);
      return key;
    }));
  }

  /** The values under the pointer, else the newest. */
  #showKeys(at) {
    [...this.keys.children].forEach((key, n) => {
      const values = this.#lines[n]?.values ?? [];
      key.lastElementChild.textContent = this.format(values[at ?? values.length - 1]);
    });
  }
}

const column = (label, colour, name, more = {}) => (history) => ({ label, colour, values: history.columns[name], ...more });
const all = (...makers) => (history) => makers.map((make) => make(history));

function dropLines(history) {
  if (!history.drops.size) return [{ label: "none", colour: "--plot-7", values: history.times.map(() => 0) }];
  return [...history.drops].map(([cause, values]) => {
    const [label, colour] = DROPS[cause] ?? [cause, "--plot-7"];
    return { label, colour, values, fill: true };
  });
}

/** {element, update(history), close()} */
export function plotsView() {
  const plots = [
    new Plot("Frames", "per second", rate,
      all(column("in", "--plot-6", "fpsIn", { dash: [5, 4] }), column("out", "--plot-1", "fpsOut", { fill: true })), 10),
    new Plot("Latency", "ms", ms,
      all(column("decode", "--plot-6", "decode"), column("workflow", "--plot-2", "engine"),
        column("encode", "--plot-3", "encode"), column("all, p99", "--plot-4", "total", { dash: [5, 4] })), 10),
    new Plot("Dropped frames", "per second", rate, dropLines, 2),
  ];
  const element = h("section.plots.panel", { aria: { label: "The last three minutes" } }, plots.map((p) => p.element));
  let history = null;
  const draw = () => history && plots.forEach((plot) => plot.update(history, performance.now() / 1000));
  const sizes = new ResizeObserver(() => plots.forEach((plot) => plot.resize()));
  sizes.observe(element);
  themeChanges.addEventListener("change", draw);
  return {
    element,
    update(given) {
      history = given;
      draw();
    },
    close() {
      sizes.disconnect();
      themeChanges.removeEventListener("change", draw);
      plots.forEach((plot) => plot.close());
    },
  };
}
