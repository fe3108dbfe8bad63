// A workflow: an example, a file, or pasted; checked by the server while it is written.

import { call, Refusal } from "./api.js";
import { debounced, freshId, h, say } from "./dom.js";
import { nodeErrorList } from "./node_errors.js";
import { sentence } from "./refusals.js";

const PAUSE_MS = 400;
const SOUND = /"SaveAudioTensor"/;

const title = (name) => name.replaceAll("_", " ").replace(/^./, (c) => c.toUpperCase());

/** {element, value, set(text), show(error), load(example), close()}. `engine()`: which one checks. */
export function workflowField({ engine, onEdit = () => {}, optional = true }) {
  const id = freshId("workflow");
  const select = h("select", { aria: { label: "Example workflow" }, onchange: () => select.value && load(select.value) },
    h("option", { value: "" }, "Choose an example …"));
  const file = h("input", { type: "file", accept: ".json,application/json", onchange: readFile });
  const text = h("textarea.code", {
    id, name: "params.prompt", spellcheck: false, autocomplete: "off", wrap: "off", rows: 14,
    placeholder: optional ? "Paste a workflow in API format, or leave it empty: then the picture passes unchanged." : "",
    aria: { describedby: `${id}-verdict` },
  });
  const verdict = h("div.verdict", { id: `${id}-verdict`, role: "status" });
  const element = h("div.workflow", {},
    h("div.sources", {},
      h("label", {}, "Example", select),
      h("label", {}, "From a file", file)),
    h("label", { htmlFor: id }, "Workflow ", h("span.hint", {}, "JSON, ComfyUI's API format: LoadTensor is the frame that comes in, SaveTensor the one that goes out")),
    text, verdict);

  let checking = null;
  const check = debounced(runCheck, PAUSE_MS);
  text.addEventListener("input", () => {
    select.value = "";
    onEdit();
    check();
  });

  async function fillExamples() {
    const { examples } = await call("GET", "/examples");
    const groups = [["Small ones", false], ["With models, for a real ComfyUI", true]];
    for (const [label, models] of groups) {
      const options = examples.filter((e) => e.models === models)
        .map((e) => h("option", { value: e.name }, `${title(e.name)}: ${e.shows}`));
      if (options.length) select.append(h("optgroup", { label }, options));
    }
  }
  runCheck();
  const filled = fillExamples().catch((error) => show(error));

  async function load(name) {
    await filled;
    try {
      set(JSON.stringify(await call("GET", `/examples/${encodeURIComponent(name)}`), null, 2));
      select.value = name;
      onEdit();
    } catch (error) {
      show(error);
    }
  }

  async function readFile() {
    const [chosen] = file.files;
    if (!chosen) return;
    select.value = "";
    set(await chosen.text());
    onEdit();
  }

  function set(value) {
    text.value = value;
    runCheck();
  }

  async function runCheck() {
    checking?.abort();
    const mine = (checking = new AbortController());
    if (!text.value.trim()) return fine(optional ? "Empty: every frame passes unchanged." : "");
    try {
      const body = { prompt: text.value, engine: engine() || undefined };
      const answer = await call("POST", "/workflow/validate", body, { signal: mine.signal });
      if (answer.valid) fine("This workflow can run.", answer.converted);
      else show(new Refusal(400, answer, null));
    } catch (error) {
      if (!mine.signal.aborted) show(error);
    }
  }

  function fine(words, converted = []) {
    text.removeAttribute("aria-invalid");
    verdict.replaceChildren(...[
      words && h("p.fine", {}, words),
      SOUND.test(text.value) ? h("p.small.soft", {}, "It works on the sound, which this page does not play: name a sink channel, and pull or play that.") : null,
      converted.length ? h("ul.small.soft", {}, converted.map((line) => h("li", {}, line))) : null,
    ].filter(Boolean));
  }

  /** What is wrong, as a whole and with each node. */
  function show(error) {
    text.setAttribute("aria-invalid", "true");
    const words = sentence(error, "The workflow");
    verdict.replaceChildren(h("p.problem", {}, words), ...nodeErrorList(error.nodeErrors, text));
  }

  return {
    element,
    get value() {
      return text.value.trim();
    },
    set,
    load,
    show(error) {
      show(error);
      text.focus();
      say(sentence(error, "The workflow"));
    },
    recheck: () => runCheck(),
    close: () => checking?.abort(),
  };
}
