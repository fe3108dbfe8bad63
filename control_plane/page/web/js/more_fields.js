// The settings of a start that most leave alone, folded away.

import { choice, field, number, ON_ERROR } from "./fields.js";
import { h } from "./dom.js";

const DROP = [["latest", "Skip to the newest frame"], ["never", "Hold the source back"]];
const WHILE_LOADING = [["old", "The old workflow goes on"], ["notice", "The source's picture, dark, with a wheel"]];
const PRESETS = ["ultrafast", "superfast", "veryfast", "faster", "fast", "medium", "slow", "slower", "veryslow"];
const AUDIO = [["auto", "As it comes"], ["aac", "AAC"], ["opus", "Opus"], ["none", "No sound"]];

const url = (name) => h("input", { name, type: "url", placeholder: "none" });
const group = (title, ...fields) => h("fieldset.group", {}, h("legend", {}, title), h("div.fields", {}, fields));

export function moreFields() {
  const presets = PRESETS.map((name) => [name, name === "superfast" ? `${name} (default)` : name]);
  const preset = choice("params.encode.preset", presets);
  preset.value = "superfast";
  return h("details", {}, h("summary", {}, "More settings"),
    h("div.stack", {},
      group("Pace and trouble",
        field("When the workflow is too slow", choice("params.drop", DROP)),
        field("Most frames", number("params.max_framerate", { min: 0.1, max: 240, step: "any", placeholder: "no limit" }), "per second"),
        field("When a node fails", choice("params.on_error", ON_ERROR)),
        field("After failed frames", number("params.on_error_after", { min: 1, max: 10000, step: 1, placeholder: "30" }), "so many in a row"),
        field("While another workflow loads", choice("params.while_loading", WHILE_LOADING)),
        field("Wait for the source", number("params.appear_timeout_s", { min: 0, step: "any", placeholder: "120" }), "seconds, to appear"),
        field("End without frames", number("params.idle_timeout_s", { min: 1, step: "any", placeholder: "never" }), "after seconds")),
      group("Video and sound that go out",
        field("Encoder preset", preset),
        field("Quality", number("params.encode.crf", { min: 0, max: 51, step: "any", placeholder: "23" }), "crf, 0 is best"),
        field("Bit rate", number("params.encode.bitrate", { min: 10000, max: 200000000, step: 1, placeholder: "by quality" }), "bits per second"),
        field("Keyframe each", number("params.encode.gop_s", { min: 0.1, max: 10, step: "any", placeholder: "1" }), "seconds"),
        field("Sound", choice("params.encode.audio", AUDIO)),
        field("Bit rate of sound", number("params.encode.audio_bitrate", { min: 16000, max: 320000, step: 1, placeholder: "128000" }), "bits per second")),
      group("Channels beside the video",
        field("Control", url("control_url")), field("Events", url("events_url")), field("Data", url("data_url")))));
}
