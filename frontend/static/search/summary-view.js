// What does a document, or a list of results, say in a few sentences? Asked for by a button, shown beside what it sums up.

import { ApiError } from "../chat/api.js";
import { element } from "../chat/dom.js";
import { icon } from "../chat/icons.js";
import { hasMessage, t } from "../chat/messages.js";
import { readSummary } from "./api.js";
import { documentAddress } from "./hits-view.js";

const WAYS = ["extraction", "generator"];

/** A button and a box that it opens. Both stay the same elements; `draw` fills them anew, in the language in use. */
export class SummaryBox {
  /**
   * @param {{kb: string, may_write: boolean}} page
   * @param {{document: string} | {state: import("./state.js").SearchState}} what
   */
  constructor(page, what) {
    this.page = page;
    this.what = what;
    this.by = WAYS[0];
    this.isOpen = false;
    this.summary = null;
    this.failure = null;
    /** @type {AbortController | null} */
    this.asking = null;
    this.button = element("button", { type: "button", class: "link with-icon", onclick: () => this.#toggle() });
    this.place = element("div", { class: "digest", "aria-live": "polite" });
    this.draw();
  }

  /** Whoever is waited for is left. */
  close() {
    this.asking?.abort();
    this.isOpen = false;
  }

  draw() {
    const isOfResults = "state" in this.what;
    this.button.replaceChildren(icon("lines"), t(isOfResults ? "summary.of_results" : "summary.of_document"));
    this.button.setAttribute("aria-expanded", String(this.isOpen));
    this.place.hidden = !this.isOpen;
    const hadFocus = this.place.contains(document.activeElement);
    this.place.setAttribute("aria-busy", String(Boolean(this.asking)));
    this.place.replaceChildren(...(this.isOpen ? [this.#head(isOfResults), ...this.#body(isOfResults)].filter(Boolean) : []));
    if (hadFocus) this.place.querySelector("[aria-pressed=true]")?.focus();
  }

  #toggle() {
    if (this.isOpen) {
      this.close();
      return this.draw();
    }
    this.isOpen = true;
    return this.summary ? this.draw() : this.#ask(this.by);
  }

  async #ask(by) {
    this.asking?.abort();
    const asking = (this.asking = new AbortController());
    this.by = by;
    this.failure = null;
    this.draw();
    try {
      this.summary = await readSummary(this.page.kb, this.what, { by, signal: asking.signal });
    } catch (error) {
      if (asking.signal.aborted) return;
      this.failure = error instanceof ApiError ? error.error : { code: "internal", message: "" };
    }
    if (this.asking !== asking) return;
    this.asking = null;
    this.draw();
  }

  /** What it is, and the choice between the texts' own sentences and written ones where there is one. */
  #head(isOfResults) {
    const { hits, documents } = this.summary ?? {};
    const title = isOfResults && hits ? t("summary.title_of_results", { hits, documents }) : t("summary.title");
    const ways = WAYS.map((way) => element("button", { type: "button", "aria-pressed": String(this.by === way), onclick: () => this.by !== way && this.#ask(way) }, t(`summary.${way}`)));
    const choice = this.page.may_write && element("div", { role: "group", class: "segments", "aria-label": t("summary.ways") }, ...ways);
    return element("div", { class: "digest-head" }, element("h2", {}, title), choice);
  }

  #body(isOfResults) {
    if (this.failure) return [this.#drawFailure()];
    const isWriting = this.asking && this.by === "generator";
    const waits = this.asking && element("p", { class: "faint", role: "status" }, t(isWriting ? "summary.writing" : "summary.loading"));
    if (!this.summary) return [waits];
    if (!this.summary.sentences.length) return [waits, element("p", { class: "faint" }, t("summary.empty"))];
    const text = isOfResults ? this.#byDocument() : element("p", {}, ...this.#sentences(this.summary.sentences));
    return [waits, text, !waits && this.#note()];
  }

  /** Sentences of one document that follow each other, and where they come from. */
  #byDocument() {
    const runs = [];
    for (const one of this.summary.sentences) {
      if (runs.at(-1)?.[0].document === one.document) runs.at(-1).push(one);
      else runs.push([one]);
    }
    const items = runs.map((run) => element("li", {}, ...this.#sentences(run), " ", element("a", { class: "digest-source", href: documentAddress(run[0], this.page.kb) }, run[0].title || run[0].document)));
    return element("ul", {}, ...items);
  }

  /** Each leads to the place where it, or what supports it, stands. */
  #sentences(sentences) {
    return sentences.flatMap((one, place) => {
      const document = one.document ?? this.what.document;
      const link = element("a", { class: "digest-sentence", href: documentAddress({ ...one, document }, this.page.kb) }, one.text);
      const isChinese = /[\u3400-\u9fff]/.test(one.text);
      return place && !isChinese ? [" ", link] : [link];
    });
  }

  #note() {
    if (this.summary.by === "generator") return element("p", { class: "faint" }, t(this.summary.degraded ? "summary.cut" : "summary.checked"));
    if (this.by === "generator") return element("p", { class: "faint" }, t(this.summary.degraded ? "summary.away" : "summary.unsupported"));
    return null;
  }

  #drawFailure() {
    const { code, message } = this.failure;
    const name = hasMessage(`error.summary.${code}`) ? `error.summary.${code}` : "error.summary.internal";
    const again = element("button", { type: "button", class: "button", onclick: () => this.#ask(this.by) }, icon("again"), t("common.retry"));
    return element("div", { class: "digest-failure", role: "alert" }, element("p", {}, t(name, { message })), again);
  }
}
