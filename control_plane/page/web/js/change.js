// Changing a stream while it runs: knobs, size and rate, another workflow.

import { call, streamPath } from "./api.js";
import { h, say, setText } from "./dom.js";
import { choice, clearAll, controlOf, field, fillParams, number, ON_ERROR, params, showRefusal, sizeFields } from "./fields.js";
import { knobsView } from "./knobs.js";
import { sentence } from "./refusals.js";
import { workflowField } from "./workflow_field.js";

const HINT = "What you turn is applied at once.";

/** {element, update(status), close()} */
export function changeView(id) {
  let engine = "";
  let revision = null; // of what the fields show; null: not read yet
  let edited = false;
  let running = true;
  let busy = false;
  let sending = 0; // changes that were not answered yet
  let told = 0; // the revision of the last status
  const enable = () => (button.disabled = busy || !running);
  const edit = () => (edited = true);
  const workflow = workflowField({ engine: () => engine, onEdit: edit, optional: false });
  const knobs = knobsView(turn, (words) => (words ? sayOfKnobs(`Not applied: ${words}`, true) : sayOfKnobs(HINT, false)));
  const knobsResult = h("p.small.soft", { role: "status" }, HINT);
  const result = h("p.result", { role: "status", hidden: true });
  const button = h("button.primary", {}, "Apply");
  const form = h("form.stack", { noValidate: true, onsubmit: apply, oninput: edit },
    h("div.fields", {}, sizeFields(), field("Most frames", number("params.max_framerate", { min: 0.1, max: 240, step: "any", placeholder: "no limit" }), "per second"),
      field("When a node fails", choice("params.on_error", ON_ERROR))),
    workflow.element, result,
    h("p.row.end", {}, h("button", { type: "button", onclick: () => read(true) }, "As it runs"), button));
  const element = h("div.stack", {},
    h("section.stack", {}, h("h3", {}, "Knobs"), knobs.element, knobsResult),
    h("section.stack", {}, h("h3", {}, "Workflow, size and rate"), form));

  /** What runs now, into the fields. */
  async function read(all) {
    try {
      const answer = await call("GET", streamPath(id, "params"));
      revision = answer.revision;
      engine = answer.params.engine;
      if (all) {
        edited = false;
        fillParams(form, answer.params);
        workflow.set(JSON.stringify(answer.params.prompt, null, 2));
      }
      await knobs.show(answer.params.prompt, engine);
    } catch (error) {
      show(sentence(error), true);
    }
  }

  async function send(change) {
    sending += 1;
    try {
      const answer = await call("POST", streamPath(id, "params"), { params: change });
      revision = answer.revision;
      return answer;
    } finally {
      sending -= 1;
    }
  }

  /** Somebody else may have changed it; what this page sent is its own. */
  function catchUp() {
    if (revision === null || !running || sending || told <= revision) return;
    revision = told;
    sayOfKnobs(`Revision ${revision} runs: it was changed elsewhere.`, false);
    if (edited) show(`It was changed elsewhere: revision ${revision} runs. What you have typed is still here.`, false);
    read(!edited);
  }

  async function turn(graph) {
    try {
      const { revision: now } = await send({ prompt: graph });
      if (!edited) workflow.set(JSON.stringify(graph, null, 2));
      sayOfKnobs(`Revision ${now} runs.`, false);
    } catch (error) {
      sayOfKnobs(`Not applied: ${knobs.inWords(error) ?? sentence(error, "The workflow")}`, true);
      throw error;
    } finally {
      catchUp();
    }
  }

  function sayOfKnobs(words, bad) {
    knobsResult.classList.toggle("problem", bad);
    knobsResult.classList.toggle("soft", !bad);
    setText(knobsResult, words);
  }

  async function apply(event) {
    event.preventDefault();
    clearAll(form);
    const change = params(form);
    if (workflow.value) change.prompt = workflow.value;
    busy = true;
    enable();
    try {
      const answer = await send(change);
      show(`${answer.message.replace(/^./, (c) => c.toUpperCase())}: revision ${answer.revision} runs.`, false);
      await read(true);
    } catch (error) {
      if (error.nodeErrors || /prompts?$/.test(error.field ?? "")) {
        workflow.show(error);
        show("Not applied: the old workflow goes on. " + sentence(error, "The workflow"), true);
      } else {
        if (error.field) showRefusal(form, error);
        show(`Not applied: ${sentence(error, controlOf(form, error.field).label)}`, true);
      }
    } finally {
      busy = false;
      enable();
      catchUp();
    }
  }

  function show(words, bad) {
    result.hidden = false;
    result.classList.toggle("bad", bad);
    result.textContent = words;
    say(words);
  }

  read(true);
  return {
    element,
    update(status) {
      running = status.running;
      enable();
      told = status.params_revision;
      catchUp();
    },
    close() {
      knobs.close();
      workflow.close();
    },
  };
}
