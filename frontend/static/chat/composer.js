// How is a question typed? A box that grows, knows its limit, and never sends half of a Chinese word.

import { icon } from "./icons.js";
import { t } from "./messages.js";

/** The counter appears when this share of the limit is used. */
const NEAR_LIMIT = 0.9;
const TALLEST_PX = 200;

/** The form at the foot of the page. */
export class Composer {
  /**
   * @param {{form: HTMLFormElement, field: HTMLTextAreaElement, button: HTMLButtonElement, counter: HTMLElement}} places
   * @param {{limit: number, onAsk: (question: string) => void, onStop: () => void, onDraft: (text: string) => void}} options
   */
  constructor(places, options) {
    Object.assign(this, places, options, { isRunning: false, isComposing: false });
    this.form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#press();
    });
    this.field.addEventListener("input", () => this.#changed());
    this.field.addEventListener("keydown", (event) => this.#keyed(event));
    this.field.addEventListener("compositionstart", () => (this.isComposing = true));
    this.field.addEventListener("compositionend", () => (this.isComposing = false));
    this.draw();
  }

  /** The text typed so far; characters are counted as the server counts them, an emoji as one. */
  get text() {
    return this.field.value;
  }

  set text(text) {
    this.field.value = text;
    this.#changed();
  }

  /** Makes ready to type; not where that would push a keyboard over the answer unasked. */
  focus() {
    if (window.matchMedia("(pointer: fine)").matches) this.field.focus({ preventScroll: true });
  }

  /** While a turn runs, the button stops it. */
  setRunning(isRunning) {
    if (isRunning === this.isRunning) return;
    this.isRunning = isRunning;
    this.draw();
  }

  /** Draws button and counter again, also after a change of language. */
  draw() {
    const count = [...this.text.trim()].length;
    const name = this.isRunning ? "stop" : "send";
    this.button.replaceChildren(icon(name));
    this.button.dataset.action = name;
    this.button.setAttribute("aria-label", t(`composer.${name}`));
    this.button.title = t(`composer.${name}`);
    this.button.disabled = !this.isRunning && (count === 0 || count > this.limit);
    const left = this.limit - count;
    this.counter.textContent = count < this.limit * NEAR_LIMIT ? "" : t(left < 0 ? "composer.over" : "composer.left", { count: Math.abs(left) });
    this.counter.classList.toggle("over", left < 0);
    this.field.setAttribute("aria-invalid", String(left < 0));
  }

  /**
   * Enter that ends a composition chooses a word and must not send. Safari fires `compositionend` before that keydown,
   * and marks it with the key code 229 only.
   */
  #keyed(event) {
    if (event.key !== "Enter" || event.shiftKey || event.altKey) return;
    if (event.isComposing || this.isComposing || event.keyCode === 229) return;
    event.preventDefault();
    if (!this.isRunning) this.#press();
  }

  #press() {
    if (this.button.disabled) return;
    if (this.isRunning) return this.onStop();
    const question = this.text.trim();
    this.text = "";
    this.onAsk(question);
  }

  #changed() {
    this.field.style.height = "auto";
    this.field.style.height = `${Math.min(this.field.scrollHeight, TALLEST_PX)}px`;
    this.onDraft(this.text);
    this.draw();
  }
}
