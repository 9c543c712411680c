// What does the person see of the connection? Nothing while it works; the honest state while it does not.

import { announce } from "./announce.js";
import { element } from "./dom.js";
import { t } from "./messages.js";

/** A connection that comes up this quickly is not worth a word. */
const PATIENCE_MS = 700;

/** A line above the question box. */
export class ConnectionView {
  /** @param {HTMLElement} place @param {() => void} onRetry */
  constructor(place, onRetry) {
    Object.assign(this, { place, onRetry, connection: { state: "connecting", retryAt: null }, wasLost: false });
  }

  /** @param {import("./socket.js").Connection} connection */
  show(connection) {
    this.connection = connection;
    clearTimeout(this.timer);
    if (connection.state === "open") this.#showOpen();
    else this.timer = setTimeout(() => this.draw(), this.place.hasChildNodes() ? 0 : PATIENCE_MS);
  }

  /** Draws the line again, as the seconds go by or the language changes. */
  draw() {
    clearTimeout(this.timer);
    const { state, retryAt } = this.connection;
    if (state === "open") return this.place.replaceChildren();
    this.wasLost = true;
    const seconds = retryAt ? Math.max(1, Math.ceil((retryAt - Date.now()) / 1000)) : 0;
    this.#write(state, t(`connection.${state}`, { count: seconds }), state === "waiting");
    if (state === "waiting") this.timer = setTimeout(() => this.draw(), 500);
  }

  #showOpen() {
    if (!this.wasLost) return this.place.replaceChildren();
    this.wasLost = false;
    this.#write("open", t("connection.back"), false);
    this.timer = setTimeout(() => this.place.replaceChildren(), 1600);
  }

  #write(state, text, canRetry) {
    const known = this.place.firstElementChild;
    if (known?.dataset.state === state) {
      known.querySelector(".connection-text").textContent = text;
      return;
    }
    announce(text);
    this.place.replaceChildren(
      element(
        "p", { class: "connection", "data-state": state },
        element("span", { class: "connection-dot" }), element("span", { class: "connection-text" }, text),
        canRetry && element("button", { type: "button", class: "link", onclick: this.onRetry }, t("connection.now")),
      ),
    );
  }
}
