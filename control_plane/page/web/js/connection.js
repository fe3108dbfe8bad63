// Says when the control plane cannot be reached, and when it can again.

import { asksForToken } from "./api.js";
import { byId, setText } from "./dom.js";
import { store } from "./store.js";

const GRACE_MS = 1500; // a connection that is made again at once is not worth a word
const BACK_MS = 6000; // so long it is said that it is back

let since = null; // Date.now() of the loss, once it is worth a word

export const isLost = () => since !== null;
export const lostSince = () => since;

/** For as long as the page lives. `onChange()`: it was lost, or is back. */
export function watchConnection(onChange) {
  const banner = byId("banner");
  let timer = 0;

  function show(words, back) {
    setText(banner, words);
    banner.classList.toggle("back", back);
    banner.hidden = false;
  }

  function look() {
    clearTimeout(timer);
    const at = Date.now();
    if (!store.connected) {
      timer = setTimeout(() => {
        if (asksForToken()) return asksForToken().then(look); // nothing is lost: somebody has to type
        since ??= at;
        show("Not connected to the control plane: what you see is no longer live. Trying again …", false);
        onChange();
      }, isLost() ? 0 : GRACE_MS);
      return;
    }
    if (!isLost()) return;
    since = null;
    show("Connected again: what you see is live.", true);
    onChange();
    timer = setTimeout(() => (banner.hidden = true), BACK_MS);
  }

  store.addEventListener("connected", look);
  look();
}
