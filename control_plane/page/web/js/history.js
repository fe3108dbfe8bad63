// The last minutes of one stream, a point a second.

export const KEPT_S = 180;

export class History {
  times = []; // seconds of performance.now()
  columns = {
    fpsIn: [], fpsOut: [], decode: [], engine: [], encode: [], total: [],
  };
  drops = new Map(); // cause -> per second; of the same length as times
  #before = null; // totals at the last point

  /** `status` null: nothing is known of this second. */
  add(now, status) {
    const latency = (stage, quantile) => status?.latency_ms[stage]?.[quantile] ?? null;
    const flows = status?.fps.in > 0; // the quantiles of frames long past are no news
    const point = {
      fpsIn: status?.fps.in ?? null,
      fpsOut: status?.fps.out ?? null,
      decode: flows ? latency("decode", "p50") : null,
      engine: flows ? latency("engine", "p50") : null,
      encode: flows ? latency("encode", "p50") : null,
      total: flows ? latency("total", "p99") : null,
    };
    for (const [name, value] of Object.entries(point)) this.columns[name].push(value);
    this.#addDrops(now, status);
    this.times.push(now);
    this.#forget(now - KEPT_S - 2);
  }

  #addDrops(now, status) {
    const totals = status?.frames.dropped ?? null;
    for (const cause of Object.keys(totals ?? {})) {
      if (!this.drops.has(cause)) this.drops.set(cause, this.times.map(() => 0));
    }
    const before = this.#before;
    const seconds = before ? Math.max(0.2, now - before.now) : null;
    for (const [cause, values] of this.drops) {
      const grown = totals && before ? (totals[cause] ?? 0) - (before.totals[cause] ?? 0) : null;
      values.push(grown === null ? null : Math.max(0, grown / seconds));
    }
    if (totals) this.#before = { now, totals: { ...totals } };
  }

  #forget(oldest) {
    let old = 0;
    while (old < this.times.length && this.times[old] < oldest) old += 1;
    if (!old) return;
    this.times.splice(0, old);
    for (const values of [...Object.values(this.columns), ...this.drops.values()]) values.splice(0, old);
  }
}
