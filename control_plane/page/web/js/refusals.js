// What the server says against a request, for people: its names for fields become the page's.

import { Refusal } from "./api.js";

const VERB = /^(must|is|are|has|have|contains|cannot|can)\b/;

/** `label`: of the field that is meant, where the page shows one. */
export function sentence(error, label = null) {
  if (!(error instanceof Refusal)) return "The control plane cannot be reached. Is it still running?";
  const again = error.status === 503 && error.retryAfter ? ` Try again in ${error.retryAfter} s.` : "";
  return capital(plain(error, label)) + again;
}

function plain({ message, field }, label) {
  const reason = field && message.startsWith(`${field}: `) ? message.slice(field.length + 2) : message;
  if (reason === message || !field) return message;
  if (VERB.test(reason)) return `${label ?? named(field)} ${reason}`;
  return label ? reason : `${named(field)}: ${reason}`;
}

/** "params.encode.gop_s" -> "gop s": for a field that the page does not show. */
const named = (field) => field.split(".").at(-1).replaceAll("_", " ");

function capital(words) {
  const text = words.charAt(0).toUpperCase() + words.slice(1);
  return /[.!?]$/.test(text) ? text : `${text}.`;
}
