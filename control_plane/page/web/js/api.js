// Calls to the control plane, with the token where one is needed.

import { byId } from "./dom.js";

const KEY = "comfytrickle-token";

/** The server said no. `field`: which part of the request is meant, if it said so. */
export class Refusal extends Error {
  constructor(status, body, retryAfter) {
    super(body?.error ?? `the server answered ${status}`);
    this.status = status;
    this.field = body?.field ?? null;
    this.nodeErrors = body?.node_errors ?? null;
    this.quarantine = body?.quarantine ?? null;
    this.retryAfter = retryAfter;
  }
}

export const address = (path) => new URL(path.replace(/^\//, ""), document.baseURI);
export const streamPath = (id, what) => `/stream/${encodeURIComponent(id)}/${what}`;
export const token = () => sessionStorage.getItem(KEY);

/** As UTF-8, one character for each byte: the only text that headers and btoa take. */
const asBytes = (text) => String.fromCharCode(...new TextEncoder().encode(text));

/** What a WebSocket offers: a browser cannot give it headers. */
export function subprotocols() {
  if (token() === null) return [];
  const text = btoa(asBytes(token()));
  const safe = text.replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
  return ["comfytrickle", `bearer.${safe}`];
}

let asking = null;

/** While the token is asked for: a promise of its end; else null. */
export const asksForToken = () => asking;

/** Asks for the token, once for all who need it at the same time. */
function askForToken(wrong) {
  asking ??= new Promise((resolve) => {
    const dialog = byId("token-dialog");
    const form = dialog.querySelector("form");
    const problem = byId("token-problem");
    problem.hidden = !wrong;
    problem.textContent = "That token is not the right one.";
    form.reset();
    dialog.oncancel = (event) => event.preventDefault(); // nothing works without it
    form.onsubmit = () => {
      sessionStorage.setItem(KEY, form.elements.token.value);
      asking = null;
      resolve();
    };
    dialog.showModal();
  });
  return asking;
}

/** The answer, whatever its status, except that a 401 asks for the token and tries again. */
export async function request(method, path, { body, signal } = {}) {
  for (;;) {
    const used = token();
    const headers = {};
    if (used !== null) headers.Authorization = `Bearer ${asBytes(used)}`;
    if (body !== undefined) headers["Content-Type"] = "application/json";
    const answer = await fetch(address(path), {
      method,
      headers,
      signal,
      body: body === undefined ? undefined : JSON.stringify(body),
      cache: "no-store",
    });
    if (answer.status !== 401) return answer;
    if (used === token()) await askForToken(used !== null);
  }
}

/** The JSON of the answer. Throws Refusal, or TypeError when the server cannot be reached. */
export async function call(method, path, body, { signal } = {}) {
  const answer = await request(method, path, { body, signal });
  if (answer.ok) return answer.json();
  throw await refusal(answer);
}

export async function refusal(answer) {
  const retryAfter = Number(answer.headers.get("Retry-After")) || null;
  let body = null;
  try {
    body = await answer.json();
  } catch {
    // a proxy's page, or nothing: the status has to do
  }
  return new Refusal(answer.status, body, retryAfter);
}
