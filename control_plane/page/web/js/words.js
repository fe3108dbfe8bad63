// Numbers and states in words.

const HEALTH = {
  loading: ["Loading", "wait", "The workflow is being loaded."],
  waiting: ["Waiting", "wait", "Ready, but no frame arrives from the source."],
  ok: ["Running well", "ok", "Frames come in and go out."],
  degraded: ["Struggling", "warn", "It runs, but some frames or pieces of sound are damaged, fail, or are dropped for want of time."],
  stalled: ["Stalled", "bad", "Frames arrive and none comes out."],
  restarting: ["Restarting", "warn", "Its worker died; the next one is about to take over."],
  failed: ["Failed", "bad", "It is over, and not as it should be."],
  ended: ["Ended", "off", "It is over, as it should be."],
};

// Of a stream that brings no pictures.
const HEALTH_OF_SOUND = {
  waiting: "Ready, but no sound arrives from the source.",
  ok: "Sound comes in and goes out; there is no picture with it.",
  stalled: "Sound arrives and none comes out.",
};

// What ended it, by the server's word for it; a signal or an exit code is added.
const EXIT = {
  clean: "It ended by itself.",
  requested: "It was stopped, and all that was on its way came out.",
  source_ended: "Its source ended, and all that was on its way came out.",
  startup_error: "It could not start.",
  startup_timeout: "It did not start in time.",
  unresponsive: "It was hung, and was ended for that.",
  nonzero: "Its program broke off with an error.",
  signalled: "Something killed it from outside, such as the system when memory ran out.",
  killed_by_us: "It did not end in time when it was asked to, and was killed.",
};

const SOURCE = {
  connecting: "connecting to the source",
  waiting: "the source channel is not there yet",
  retrying: "the source cannot be reached; trying again",
};

export const DROPS = {
  damaged: ["damaged", "--plot-4"],
  undecodable: ["undecodable", "--plot-5"],
  latest: ["too slow", "--plot-2"],
  framerate: ["over the rate", "--plot-6"],
  error: ["node failed", "--plot-3"],
  encode: ["encoder", "--plot-7"],
  sink: ["sink away", "--plot-1"],
};

/** Whether nothing but sound has come. */
export const isSoundAlone = ({ audio, detail, frames }) => Boolean(detail.audio && audio.in && !frames.in && !frames.out);

/** {word, tone, sentence} for a status. */
export function healthOf(status) {
  const [word, tone, sentence] = HEALTH[status.health] ?? [status.health, "off", ""];
  if (status.state === "draining") return { word: "Stopping", tone: "wait", sentence: "What is on its way comes out first." };
  if (status.health === "waiting" && !status.subscribe_url) {
    return { word, tone, sentence: "Ready; no camera and no program sends it pictures." };
  }
  if (status.health === "waiting" && SOURCE[status.source]) {
    return { word, tone, sentence: `Ready; ${SOURCE[status.source]}.` };
  }
  return { word, tone, sentence: (isSoundAlone(status) && HEALTH_OF_SOUND[status.health]) || sentence };
}

/** How a stream, or one of its workers, ended: with the signal or the exit code that says more. */
export function endInWords(end) {
  const { exit_cause: cause } = end;
  if (cause === "nonzero" && saidWhy(end)) return "It could not go on, and said why.";
  const words = EXIT[cause] ?? (cause ? `It ended: ${cause}.` : "It ended.");
  const signal = end.signal ?? end.exit_signal;
  const code = end.exit_code ? `exit code ${end.exit_code}` : null;
  return signal || code ? words.replace(/\.$/, ` (${signal ?? code}).`) : words;
}

/** Of a status: an error ended it that is not only the death of its worker. */
const saidWhy = ({ health, last_error: error }) => health === "failed" && Boolean(error) && error.kind !== "worker";

const KINDS = {
  startup: "At its start",
  workflow: "In its workflow",
  source: "At its source",
  sink: "At its sink",
  decode: "Reading its video",
  encode: "Writing its video",
  device: "On its device",
  internal: "An error of ours",
  hung: "It was hung",
};
const DIED = /\bthe worker ended: (\w+) \((?:exit code )?([^)]*)\)/;

/** What went wrong, and where. `error`: a status's last_error, or a death. */
export function errorInWords(error) {
  const words = error.message.replace(DIED, (_, cause, how) => `its worker is gone: ${deathInWords(cause, how)}`);
  const type = error.node_type ? ` (${error.node_type})` : "";
  if (error.node_id !== null && error.node_id !== undefined) return `Node ${error.node_id}${type}: ${words}`;
  return KINDS[error.kind] ? `${KINDS[error.kind]}: ${words}` : words.replace(/^./, (c) => c.toUpperCase());
}

function deathInWords(cause, how) {
  const code = /^-?\d+$/.test(how);
  const end = endInWords({ exit_cause: cause, exit_code: code ? Number(how) : null, signal: code ? null : how });
  return end.replace(/^./, (c) => c.toLowerCase()).replace(/\.$/, "");
}

const NONE = "–"; // not known; never shown as 0

export function rate(value) {
  return value === null || value === undefined ? NONE : value.toFixed(1);
}

export function ms(value) {
  if (value === null || value === undefined) return NONE;
  return value < 10 ? value.toFixed(1) : Math.round(value).toString();
}

export function count(value) {
  return value === null || value === undefined ? NONE : value.toLocaleString("en");
}

export function bytes(value) {
  if (value === null || value === undefined) return NONE;
  const units = ["B", "kB", "MB", "GB", "TB"];
  let at = 0;
  for (; value >= 1000 && at < units.length - 1; at += 1) value /= 1000;
  return `${value < 10 && at ? value.toFixed(1) : Math.round(value)} ${units[at]}`;
}

export function duration(seconds) {
  if (seconds === null || seconds === undefined) return NONE;
  const whole = Math.floor(seconds);
  const [h, m, s] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
  if (h) return `${h} h ${m} min`;
  return m ? `${m} min ${s} s` : `${s} s`;
}

/** Since the start, going on between two events; stands still at the end. */
export function uptime(status) {
  const since = status.running ? (performance.now() - status.heardAt) / 1000 : 0;
  return duration(status.uptime_s + since);
}

export function dropped(status) {
  return Object.values(status.frames.dropped).reduce((sum, n) => sum + n, 0);
}

export function clock(iso) {
  return iso === null ? NONE : new Date(iso).toLocaleTimeString([], { hour12: false });
}

export const plural = (n, one, many) => `${n} ${n === 1 ? one : many}`;
