// How a stream's sound goes, in a sentence.

import { count, plural } from "./words.js";

const NAMES = { aac: "AAC", opus: "Opus", mp2: "MP2", mp3: "MP3", ac3: "AC-3" };
const WAYS = {
  "passed on": "is passed on as it came",
  encoded: "is encoded anew",
  workflow: "goes through the workflow",
  off: "is not wanted, and left out",
};
const LOST = {
  damaged: "damaged",
  late: "too late: silence went out in their place",
  off: "not wanted",
  stale: "had waited too long for a first picture",
};

/** null: nothing is known yet. */
export function soundInWords({ audio, detail, frames }) {
  const { audio: track } = detail;
  if (audio.in === null || !(track || audio.in || frames.in)) return null;
  if (!track) return audio.in || audio.out ? `${units(audio.in)} in, ${count(audio.out)} out` + troubles(audio) + "." : "none comes in.";
  const name = track.codec_in === null ? "Silence" : (NAMES[track.codec_in] ?? track.codec_in);
  const tracks = track.tracks > 1 ? `, ${track.tracks} tracks,` : "";
  const way = WAYS[track.way] ?? track.way;
  const out = track.way === "off" ? "" : `; ${units(audio.in)} in, ${count(audio.out)} out`;
  return `${name}${tracks} ${way}${out}${troubles(audio, track.way)}.`;
}

/** Whether something is amiss with it. */
export const soundSuffers = ({ audio, detail }) =>
  Boolean(audio.silence || audio.unheard || audio.dropped?.damaged || audio.dropped?.late || (detail.audio && audio.dropped?.stale));

export const lostSound = ({ audio }) => Object.values(audio.dropped).reduce((sum, n) => sum + n, 0);

const units = (n) => (n === null ? count(n) : `${count(n)} ${n === 1 ? "unit" : "units"}`);

function troubles(audio, way) {
  const words = [];
  if (audio.silence) words.push(`${units(audio.silence)} of silence ${audio.silence === 1 ? "fills a gap" : "fill gaps"}`);
  if (audio.unheard) words.push(`${plural(audio.unheard, "piece", "pieces")} went out without the workflow, which is too slow`);
  for (const [cause, n] of Object.entries(audio.dropped ?? {})) {
    if (n && !(way === "off" && cause === "off")) words.push(`${count(n)} ${LOST[cause] ?? cause}`);
  }
  return words.map((part) => `; ${part}`).join("");
}
