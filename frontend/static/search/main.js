// Where does the search page come together? The address says what is searched for; each change of it asks the server and draws anew.

import { ApiError } from "../chat/api.js";
import { byId, element, pageData } from "../chat/dom.js";
import { icon, mark } from "../chat/icons.js";
import { beginLanguage, hasMessage, onLanguageChange, switchLanguage, t, translatePage } from "../chat/messages.js";
import { readHits } from "./api.js";
import { FacetsView, valueName } from "./facets-view.js";
import { drawHit } from "./hits-view.js";
import "./messages.js";
import { chosen, cleared, readState, toggled, writeState } from "./state.js";
import { SummaryBox } from "./summary-view.js";

const WINDOW = 100; // hits that a search ranks and counts, as the server has it

class SearchPage {
  constructor() {
    this.page = pageData("search-page");
    this.state = readState(location.search);
    this.answer = null;
    this.failure = null;
    /** @type {AbortController | null} */
    this.asking = null;
    /** @type {Map<string, SummaryBox>} By document; that of the results has no id. */
    this.boxes = new Map();
  }

  start() {
    beginLanguage(pageData("search-language"));
    for (const place of document.querySelectorAll("[data-icon]")) place.prepend(place.dataset.icon === "mark" ? mark() : icon(place.dataset.icon));
    this.query = byId("query");
    this.facets = new FacetsView(byId("facets"), { onToggle: (name, value) => this.go(toggled(this.state, name, value)), onDay: (name, value) => this.go({ ...this.state, [name]: value, month: "" }) });
    byId("form").addEventListener("submit", (event) => (event.preventDefault(), this.#submit()));
    this.query.addEventListener("search", () => this.query.value === "" && this.state.q && this.#submit());
    byId("narrow").addEventListener("click", () => this.#showFacets(byId("facets").dataset.open !== "true"));
    byId("language").addEventListener("click", switchLanguage);
    onLanguageChange(() => this.draw());
    window.addEventListener("popstate", () => this.#show(readState(location.search)));
    document.addEventListener("keydown", (event) => this.#key(event));
    this.#show(this.state);
    if (!this.state.q && matchMedia("(hover: hover)").matches) this.query.focus();
  }

  /** Goes on to another search, in the address too. */
  go(state) {
    const address = writeState(state);
    if (address === writeState(this.state) && !this.failure) return;
    history.pushState(null, "", address ? `?${address}` : location.pathname);
    this.#show(state);
  }

  #submit() {
    const q = this.query.value.trim();
    this.go(q === this.state.q ? this.state : { ...this.state, q, sort: "relevance" });
    if (q) this.query.blur();
    window.scrollTo({ top: 0 });
  }

  async #show(state) {
    this.state = state;
    this.query.value = state.q;
    await this.#ask(null);
  }

  /** Asks for a page of hits; whatever was still asked for before is dropped. */
  async #ask(cursor) {
    this.asking?.abort();
    const asking = (this.asking = new AbortController());
    this.#setBusy(true);
    try {
      const answer = await readHits(this.page.kb, this.state, { cursor, signal: asking.signal });
      if (asking.signal.aborted) return;
      const before = cursor ? this.answer.hits : [];
      if (!cursor) this.#forgetSummaries();
      this.answer = { ...answer, hits: [...before, ...answer.hits] };
      this.failure = null;
      this.draw();
      if (cursor) byId("hits").children[before.length]?.querySelector("a").focus();
    } catch (error) {
      if (asking.signal.aborted) return;
      this.failure = error instanceof ApiError ? error.error : { code: "internal", message: "" };
      if (!cursor) this.answer = null;
      this.draw();
    }
    if (this.asking === asking) this.#setBusy(false);
  }

  #setBusy(isBusy) {
    byId("found").setAttribute("aria-busy", String(isBusy));
    if (isBusy && !this.answer) byId("summary").textContent = t("search.loading");
  }

  // Drawing

  draw() {
    translatePage();
    document.title = this.state.q ? `${this.state.q} · ${this.page.name}` : t("search.title", { name: this.page.name });
    this.query.placeholder = t("search.placeholder", { name: this.page.name });
    byId("summary").textContent = this.#summary();
    byId("summary").classList.toggle("summary-none", this.#isByMeaningAlone());
    byId("narrow-count").textContent = chosen(this.state).length || "";
    this.#drawSort();
    this.#drawChosen();
    if (this.answer) this.facets.draw(this.state, this.answer.facets);
    const hits = this.answer?.hits ?? [];
    for (const box of this.boxes.values()) box.draw();
    byId("hits").replaceChildren(...hits.map((hit) => drawHit(hit, this.page, this.state, (name, value) => this.go(toggled(this.state, name, value)), this.#box(hit.document), !this.#isByMeaningAlone())));
    this.#drawSummary();
    byId("only-meaning").hidden = !this.#isByMeaningAlone();
    byId("after").replaceChildren(...this.#after(hits).filter(Boolean));
  }

  #summary() {
    const total = this.answer?.total ?? 0;
    if (!this.answer || !total) return "";
    if (this.#isByMeaningAlone()) return t("search.no_words");
    const words = this.answer.with_words ?? total;
    if (this.state.q && words && words < total && total < WINDOW) return t("search.some_words", { words: words.toLocaleString(), rest: (total - words).toLocaleString() });
    if (this.state.q && total >= WINDOW) return t("search.best", { count: total });
    return total === 1 ? t("search.count.one") : t("search.count", { count: total.toLocaleString() });
  }

  /** Whether no document has the words: something is near in meaning to anything, also to what means nothing. */
  #isByMeaningAlone() {
    return Boolean(this.state.q && this.answer?.total && !this.answer.degraded && this.answer.with_words === 0);
  }

  /** The box of a document, or of the results. */
  #box(document = "") {
    if (!this.boxes.has(document)) this.boxes.set(document, new SummaryBox(this.page, document ? { document } : { state: this.state }));
    return this.boxes.get(document);
  }

  #forgetSummaries() {
    for (const box of this.boxes.values()) box.close();
    this.boxes.clear();
  }

  #drawSummary() {
    const isThere = this.state.q && this.answer?.total && !this.#isByMeaningAlone();
    byId("sum-up").replaceChildren(...(isThere ? [this.#box().button] : []));
    byId("digest").replaceChildren(...(isThere ? [this.#box().place] : []));
  }

  #drawSort() {
    const place = byId("sort");
    if (!this.state.q || !this.answer?.total || this.#isByMeaningAlone()) return place.replaceChildren();
    const buttons = ["relevance", "date"].map((sort) =>
      element("button", { type: "button", "aria-pressed": String(this.state.sort === sort), onclick: () => this.go({ ...this.state, sort }) }, t(`search.sort.${sort}`)),
    );
    return place.replaceChildren(element("div", { role: "group", class: "segments", "aria-label": t("search.sort") }, ...buttons));
  }

  #drawChosen() {
    const chips = chosen(this.state).map(([name, value]) =>
      element("button", { type: "button", class: "chip", "aria-label": t("search.remove", { value: valueName(name, value) }), onclick: () => this.go(toggled(this.state, name, value)) }, valueName(name, value), icon("cross")),
    );
    const clear = chips.length > 1 && element("button", { type: "button", class: "link", onclick: () => this.go(cleared(this.state)) }, t("search.clear"));
    byId("chosen").replaceChildren(...chips, ...(clear ? [clear] : []));
  }

  #after(hits) {
    if (this.failure) return [this.#drawFailure()];
    if (!this.answer) return [];
    const degraded = this.answer.degraded && element("p", { class: "faint" }, t("search.degraded"));
    if (!hits.length) return [degraded, this.#drawNone()];
    const more = this.answer.next && element("button", { type: "button", class: "button", onclick: () => this.#ask(this.answer.next) }, t("search.more"));
    return [degraded, more || (hits.length > 10 && element("p", { class: "faint" }, t("search.end")))];
  }

  #drawNone() {
    const { q } = this.state, isNarrowed = chosen(this.state).length > 0;
    const says = q ? t("search.none", { text: q }) : t(isNarrowed ? "search.none_here" : "search.empty");
    const advice = isNarrowed ? t("search.none_filters") : q && t("search.none_advice");
    const clear = isNarrowed && element("button", { type: "button", class: "button", onclick: () => this.go(cleared(this.state)) }, t("search.clear"));
    return element("div", { class: "notice" }, element("p", { class: "notice-title" }, says), advice && element("p", {}, advice), clear);
  }

  #drawFailure() {
    const { code, message } = this.failure;
    const name = hasMessage(`error.search.${code}`) ? `error.search.${code}` : "error.search.internal";
    const again = element("button", { type: "button", class: "button", onclick: () => this.#ask(this.answer ? this.answer.next : null) }, icon("again"), t("common.retry"));
    const signIn = element("a", { class: "button", href: `/admin/login/?next=${encodeURIComponent(location.pathname + location.search)}` }, t("search.sign_in"));
    return element("div", { class: "notice", role: "alert" }, element("p", {}, t(name, { message })), code === "not_authenticated" ? signIn : again);
  }

  // Keys

  #showFacets(isOpen) {
    byId("facets").dataset.open = String(isOpen);
    byId("narrow").setAttribute("aria-expanded", String(isOpen));
  }

  /** "/" goes to the box, arrows go from the box through the results. */
  #key(event) {
    const isTyping = event.target instanceof HTMLInputElement;
    if (event.key === "/" && !isTyping && !event.ctrlKey && !event.metaKey && !event.altKey) {
      event.preventDefault();
      this.query.select();
    } else if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      this.#step(event, event.key === "ArrowDown" ? 1 : -1);
    }
  }

  #step(event, by) {
    const stops = [this.query, ...byId("hits").querySelectorAll(".hit-title a")];
    const at = stops.indexOf(event.target);
    const next = stops[at + by];
    if (at < 0 || !next) return;
    event.preventDefault();
    next.focus();
  }
}

new SearchPage().start();
