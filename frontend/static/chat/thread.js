// How is the conversation shown? Its turns in order, the newest in sight as long as the person wants it there.

import { element } from "./dom.js";
import { icon, mark } from "./icons.js";
import { localized, t } from "./messages.js";
import { TurnView } from "./turn-view.js";

/** Closer to the end than this counts as being there, in CSS pixels. */
const NEAR_END_PX = 48;

/** @typedef {{slug: string, name: string, greeting: Record<string, string>, suggestions: Record<string, string[]>}} Bot */

/** The scrolling middle of the page. */
export class Thread {
  /**
   * @param {{scroller: HTMLElement, content: HTMLElement, latest: HTMLElement}} places
   * @param {import("./turn-view.js").TurnActions} actions
   */
  constructor({ scroller, content, latest }, actions) {
    Object.assign(this, { scroller, content, latest, actions, follows: true, lastTop: 0 });
    /** @type {Map<string, TurnView>} */
    this.views = new Map();
    /** @type {Map<string, import("./turn.js").Turn>} Changes to draw with the next frame. */
    this.changes = new Map();
    latest.append(icon("latest"));
    latest.addEventListener("click", () => this.showLatest());
    scroller.addEventListener("scroll", () => this.#noticeScroll(), { passive: true });
    content.addEventListener("click", () => this.#noticeUse(), { capture: true });
    const grown = new ResizeObserver(() => this.#followGrowth());
    grown.observe(content);
    grown.observe(scroller);
  }

  /** Shows these turns alone, or the bot's greeting when there are none. */
  showTurns(turns, bot) {
    this.views.clear();
    this.changes.clear();
    this.content.replaceChildren(turns.length ? element("ol", { class: "turns" }) : this.#drawGreeting(bot));
    for (const turn of turns) this.#add(turn);
    this.showLatest("instant");
  }

  /** Shows one new turn below the others. */
  addTurn(turn) {
    if (this.views.size === 0) this.content.replaceChildren(element("ol", { class: "turns" }));
    this.#add(turn);
    this.showLatest();
  }

  /** Follows a change of a turn that is shown; drawn once a frame however many events come. */
  updateTurn(turn) {
    if (this.changes.size === 0) requestAnimationFrame(() => this.#drawChanges());
    this.changes.set(turn.key, turn);
  }

  /** Takes a turn away, as when another one is asked in its place. */
  removeTurn(turn) {
    this.views.get(turn.key)?.node.remove();
    this.views.delete(turn.key);
  }

  /** Shows a sentence instead of turns, with what can be done about it. */
  showNotice(text, ...buttons) {
    this.views.clear();
    this.content.replaceChildren(element("div", { class: "notice" }, element("p", {}, text), buttons.length > 0 && element("div", { class: "row" }, ...buttons)));
  }

  /** Scrolls to the end and stays there while it grows. */
  showLatest(behavior = "auto") {
    this.follows = true;
    this.latest.hidden = true;
    this.lastTop = 0;
    this.scroller.scrollTo({ top: this.scroller.scrollHeight, behavior });
  }

  #add(turn) {
    const view = new TurnView(turn, this.actions);
    this.views.set(turn.key, view);
    this.content.querySelector(".turns").append(view.node);
  }

  #drawChanges() {
    for (const turn of this.changes.values()) this.views.get(turn.key)?.show(turn);
    this.changes.clear();
  }

  /**
   * Only going up ends the following: a scroll of our own is told a frame late, when the text may have grown again and
   * the end be further away.
   */
  #noticeScroll() {
    const { scrollTop, clientHeight, scrollHeight } = this.scroller;
    const isAtEnd = scrollHeight - scrollTop - clientHeight < NEAR_END_PX;
    if (isAtEnd) this.follows = true;
    else if (scrollTop < this.lastTop) this.follows = false;
    this.lastTop = scrollTop;
    this.latest.hidden = this.follows || isAtEnd;
  }

  /** What the person opens in a finished conversation must not slide away under the pointer. */
  #noticeUse() {
    if (!this.content.querySelector("[aria-busy=true]")) this.follows = false;
  }

  #followGrowth() {
    if (this.follows) this.scroller.scrollTop = this.scroller.scrollHeight;
    else this.#noticeScroll();
  }

  #drawGreeting(bot) {
    const questions = localized(bot.suggestions) ?? [];
    const cards = questions.map((question) => element("li", {}, element("button", { type: "button", class: "choice", onclick: () => this.actions.onAsk(question) }, question, icon("chevron"))));
    return element(
      "section", { class: "greeting" },
      element("div", { class: "greeting-mark" }, mark()),
      element("h1", {}, localized(bot.greeting) ?? t("greeting.default")),
      cards.length > 0 && element("h2", { class: "part-title" }, t("greeting.suggestions")),
      cards.length > 0 && element("ul", { class: "cards" }, ...cards),
    );
  }
}
