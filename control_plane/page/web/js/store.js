// What is known of all streams, and their last minutes. Filled by the events; the views listen.

import { follow } from "./events.js";
import { History } from "./history.js";
import { Said } from "./said.js";

class Store extends EventTarget {
  streams = new Map(); // id -> status, with `heardAt`: when, by this machine's clock
  histories = new Map(); // id -> History
  texts = new Map(); // id -> Said, of those that said something
  health = null;
  connected = false;
  loaded = false; // the first list has come

  begin() {
    follow({
      streams: ({ streams }) => this.#replace(streams),
      state: (status) => this.#set(status, "change"),
      gone: ({ request_id: id }) => this.#forget(id),
      health: (health) => {
        this.health = health;
        this.#tell("health");
      },
      texts: (data) => this.#hear(data),
      connected: (connected) => {
        if (connected === this.connected) return;
        this.connected = connected;
        this.#tell("connected");
      },
    });
    setInterval(() => this.#sample(), 1000);
  }

  get(id) {
    return this.streams.get(id) ?? null;
  }

  /** Running ones in order of their start, then those that ended, the latest first. */
  sorted() {
    const all = [...this.streams.values()];
    const running = all.filter((s) => s.running).sort((a, b) => a.started_at.localeCompare(b.started_at));
    const ended = all.filter((s) => !s.running);
    ended.sort((a, b) => (b.ended_at ?? "").localeCompare(a.ended_at ?? ""));
    return { running, ended };
  }

  /** A status that was asked for: of a stream that this page has just started. */
  put(status) {
    this.#set(status, "change");
  }

  #replace(streams) {
    this.streams.clear();
    this.texts.clear(); // the last ones are told anew
    for (const status of Object.values(streams)) this.#set(status, null);
    for (const id of this.histories.keys()) if (!this.streams.has(id)) this.histories.delete(id);
    this.loaded = true;
    this.#tell("list");
    this.#tell("texts");
  }

  #hear(data) {
    const id = data.request_id;
    if (!this.texts.has(id)) this.texts.set(id, new Said());
    this.texts.get(id).take(data);
    this.#tell("texts", id);
  }

  #set(status, event) {
    const known = this.streams.get(status.request_id);
    if (known && known.started_at > status.started_at) return; // of one that had this id before
    status.heardAt = performance.now();
    this.streams.set(status.request_id, status);
    if (!known || known.started_at !== status.started_at) {
      if (known) this.texts.delete(status.request_id);
      if (known || !this.histories.has(status.request_id)) {
        this.histories.set(status.request_id, new History());
      }
    }
    if (event === null) return;
    this.#tell(known && known.running === status.running ? "change" : "list", status.request_id);
  }

  #forget(id) {
    this.streams.delete(id);
    this.histories.delete(id);
    this.texts.delete(id);
    this.#tell("list", id);
  }

  #sample() {
    const now = performance.now() / 1000;
    for (const [id, status] of this.streams) {
      if (status.running) this.histories.get(id)?.add(now, this.connected ? status : null);
    }
    this.#tell("tick");
  }

  #tell(name, id = null) {
    this.dispatchEvent(new CustomEvent(name, { detail: id }));
  }
}

export const store = new Store();

/** Calls `work` on each of these events until the signal aborts. */
export function listen(names, signal, work) {
  for (const name of names) store.addEventListener(name, work, { signal });
}
