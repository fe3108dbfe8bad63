// The form that starts a stream.

import { call, streamPath } from "./api.js";
import { canUseCamera, feed, openCamera } from "./camera.js";
import { h, say } from "./dom.js";
import { choice, clearAll, field, fillParams, params, showAt, showRefusal, sizeFields } from "./fields.js";
import { moreFields } from "./more_fields.js";
import { sentence } from "./refusals.js";
import { listen, store } from "./store.js";
import { workflowField } from "./workflow_field.js";

const BESIDE = ["control_url", "events_url", "data_url"];

/** {element, close()}. `wish`: what to begin with, such as {source: "camera", example: "edges"}, or
 *  {again: ID}: as that stream was started, with the changes that it took. */
export function startView(wish = {}) {
  const ending = new AbortController();
  const workflow = workflowField({ engine: () => engine.value });
  const engine = choice("params.engine", [["", "The default one"]], { onchange: () => workflow.recheck() });
  const subscribe = h("input", { name: "subscribe_url", type: "url", placeholder: "http://127.0.0.1:2939/in", value: wish.subscribe ?? "" });
  const publish = h("input", { name: "publish_url", type: "url", placeholder: "http://127.0.0.1:2939/out", value: wish.publish ?? "" });
  const kinds = [["channel", "A trickle channel", "Video that is published to a server"], ["camera", "My camera", "This browser sends its pictures"]].map(
    ([value, label, hint]) => h("label", {}, h("input", { type: "radio", name: "source", value, checked: value === (wish.source ?? "channel"), onchange: showSource }), label, h("span.hint", {}, hint)));
  const look = h("video.camera-look", { muted: true, autoplay: true, playsInline: true, hidden: true, aria: { label: "Your camera" } });
  const cameraWords = h("p.small.soft", { role: "status" });
  const cameraBox = h("div.stack", {}, look, cameraWords);
  const channelBox = field("Source channel", subscribe, "its URL; it may appear later");
  const problem = h("p.result.bad", { role: "alert", hidden: true });
  const button = h("button.primary", {}, "Start");

  const hint = h("p.soft", { role: "status", hidden: !wish.again });
  const form = h("form", { noValidate: true, onsubmit: start, aria: { labelledby: "start-title" } },
    h("div.stack", {},
      h("section.panel.stack", {},
        h("fieldset", {}, h("legend", {}, "Where the pictures come from"), h("div.choice", {}, kinds)),
        channelBox, cameraBox,
        field("Sink channel", publish, "where the result is published; empty: only this page shows it")),
      h("section.panel.stack", {},
        h("h2", {}, "How"),
        h("div.fields", {}, field("Engine", engine), field("Name", h("input", { name: "gateway_request_id", placeholder: "made for you", autocomplete: "off" }))),
        h("div.fields", {}, sizeFields()), moreFields())),
    h("section.panel.stack", {}, h("h2", {}, "What is done with them"), workflow.element),
    h("div.whole.stack", {}, problem, h("p.row.end", {}, h("a.button", { href: "#/" }, "Cancel"), button)));
  const element = h("section.start", {}, h("h1", { id: "start-title" }, wish.again ? "Start again" : "Start a stream"), hint, form);

  let media = null;
  let wanted = null; // an engine that was not known yet
  const chosen = () => form.elements.source.value;

  async function showSource() {
    const camera = chosen() === "camera";
    channelBox.hidden = camera;
    cameraBox.hidden = !camera;
    if (!camera) return releaseCamera();
    cameraWords.textContent = canUseCamera() ? "Asking your browser for the camera …" : "";
    try {
      const opened = await openCamera();
      if (ending.signal.aborted || chosen() !== "camera" || media) return opened.getTracks().forEach((t) => t.stop());
      media = opened;
      look.srcObject = media;
      look.hidden = false;
      cameraWords.textContent = "Your pictures go to this control plane, for as long as this page is open.";
    } catch (error) {
      cameraWords.textContent = error.message;
    }
  }

  function releaseCamera() {
    media?.getTracks().forEach((track) => track.stop());
    media = null;
    look.srcObject = null;
    look.hidden = true;
  }

  function showEngines() {
    const names = Object.entries(store.health?.engines ?? {});
    const chosenOne = wanted ?? engine.value;
    engine.replaceChildren(...names.map(([name, e]) =>
      h("option", { value: e.default ? "" : name }, name + (e.default ? " (default)" : "") + (e.ready ? "" : ", still loading"))));
    engine.value = store.health?.engines?.[chosenOne]?.default ? "" : chosenOne;
    if (engine.selectedIndex < 0) engine.selectedIndex = 0;
  }

  /** What a stream ran with, into all fields. Its name is free again once it has ended. */
  async function fillFrom(id) {
    const [{ params: given }, status] = await Promise.all([
      call("GET", streamPath(id, "params")), call("GET", streamPath(id, "status"))]);
    if (ending.signal.aborted) return;
    fillParams(form, given);
    wanted = given.engine;
    showEngines();
    wanted = null;
    form.elements.gateway_request_id.value = status.running ? "" : id;
    subscribe.value = status.subscribe_url ?? "";
    publish.value = status.publish_url ?? "";
    for (const name of BESIDE) form.elements[name].value = status[name] ?? "";
    form.elements.source.value = status.subscribe_url === null ? "camera" : "channel";
    workflow.set(JSON.stringify(given.prompt, null, 2));
    showSource();
    hint.textContent = `Filled in with what ${id} ran with last.`;
  }

  async function start(event) {
    event.preventDefault();
    problem.hidden = true;
    clearAll(form);
    const camera = chosen() === "camera";
    if (camera && !media) return fail("There is no camera yet. " + cameraWords.textContent);
    const body = { gateway_request_id: form.elements.gateway_request_id.value.trim(), params: params(form) };
    if (!camera) body.subscribe_url = subscribe.value.trim();
    if (!camera && !body.subscribe_url) return void showAt(form, "subscribe_url", "Is needed: an http or https URL.");
    if (publish.value.trim()) body.publish_url = publish.value.trim();
    for (const name of BESIDE) if (form.elements[name].value.trim()) body[name] = form.elements[name].value.trim();
    if (workflow.value) body.params.prompt = workflow.value;
    button.disabled = true;
    try {
      const answer = await call("POST", "/stream/start", body);
      store.put(await call("GET", streamPath(answer.request_id, "status")));
      if (camera) {
        const mine = media;
        media = null; // the feed owns it from here on
        await feed(answer.request_id, mine, { width: Number(body.params.width), height: Number(body.params.height) });
      }
      say("The stream was started.");
      location.hash = `#/stream/${encodeURIComponent(answer.request_id)}`;
    } catch (error) {
      refused(error);
    } finally {
      button.disabled = false;
    }
  }

  function refused(error) {
    if (error.nodeErrors || /prompts?$/.test(error.field ?? "")) return workflow.show(error);
    if (error.field && showRefusal(form, error)) return;
    const deaths = error.quarantine?.deaths?.length;
    fail(sentence(error) + (deaths ? ` Its workers died ${deaths} times.` : ""));
  }

  function fail(words) {
    problem.textContent = words;
    problem.hidden = false;
    problem.scrollIntoView({ block: "nearest" });
  }

  listen(["health"], ending.signal, showEngines);
  showEngines();
  showSource();
  if (wish.example) workflow.load(wish.example);
  if (wish.again) fillFrom(wish.again).catch((error) => fail(sentence(error)));
  return {
    element,
    close() {
      ending.abort();
      workflow.close();
      releaseCamera();
    },
  };
}
