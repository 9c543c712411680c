// Where does everything come together? Reads the page's data, builds the parts and carries words between them.

import { announce } from "./announce.js";
import { ApiError, readConversation } from "./api.js";
import { Composer } from "./composer.js";
import { ConnectionView } from "./connection-view.js";
import { Dialogue } from "./dialogue.js";
import { permitDocuments } from "./document-links.js";
import { byId, element, pageData } from "./dom.js";
import { permitExplanations } from "./explain-view.js";
import { History } from "./history.js";
import { icon, mark } from "./icons.js";
import { beginLanguage, onLanguageChange, switchLanguage, t, translatePage } from "./messages.js";
import { Sidebar } from "./sidebar.js";
import { ChatSocket } from "./socket.js";
import { tabMemory } from "./storage.js";
import { Thread } from "./thread.js";
import { failTurn, isOver, turnFromRow } from "./turn.js";

/** @typedef {import("./turn.js").Turn} Turn */

/** The chat page: one bot, one open conversation, and what still runs. */
class ChatPage {
  constructor() {
    this.bots = pageData("chat-bots");
    const view = tabMemory.read("view", null);
    const wished = new URLSearchParams(location.search).get("bot") ?? pageData("chat-bot");
    this.bot = this.bots.find((bot) => bot.slug === wished) ?? this.bots[0];
    /** @type {string | null} */
    this.conversation = view && view.bot === this.bot?.slug ? view.conversation : null;
    /** @type {Map<string, Turn>} The turns on the page by key, in order. */
    this.shown = new Map();
  }

  start() {
    beginLanguage(pageData("chat-language"));
    this.#drawShell();
    if (!this.bot) return this.thread.showNotice(t("bot.none"));
    this.#connect();
    this.#openConversation(this.conversation);
    this.composer.text = tabMemory.read("draft", "");
    window.addEventListener("pagehide", () => this.dialogue.remember());
    document.addEventListener("visibilitychange", () => document.hidden || this.dialogue.socket.reconnectNow());
    this.composer.focus();
  }

  // Parts

  #drawShell() {
    for (const place of document.querySelectorAll("[data-icon]")) place.prepend(place.dataset.icon === "mark" ? mark() : icon(place.dataset.icon));
    this.thread = new Thread(
      { scroller: byId("scroller"), content: byId("thread"), latest: byId("latest") },
      { onAsk: (question) => this.ask(question), onRetry: (turn) => this.#retry(turn), onEdit: (turn) => this.#edit(turn), onVote: (turn, vote) => this.#replace({ ...turn, vote }) },
    );
    this.composer = new Composer(
      { form: byId("composer"), field: byId("question"), button: byId("send"), counter: byId("counter") },
      { limit: pageData("chat-max-question-chars"), onAsk: (question) => this.ask(question), onStop: () => this.#stop(), onDraft: (text) => tabMemory.write("draft", text || null) },
    );
    this.history = new History(() => this.sidebar.draw());
    this.sidebar = new Sidebar(
      { aside: byId("sidebar"), list: byId("conversations"), toggle: byId("sidebar-toggle"), scrim: byId("scrim"), main: byId("main") },
      this.history,
      { onOpen: (entry) => this.#openEntry(entry), botName: (slug) => (this.bots.length > 1 ? (this.bots.find((bot) => bot.slug === slug)?.name ?? slug) : null) },
    );
    this.connection = new ConnectionView(byId("connection"), () => this.dialogue.socket.reconnectNow());
    this.#drawBotChoice();
    for (const button of document.querySelectorAll("[data-action='new']")) button.addEventListener("click", () => this.#begin());
    byId("sidebar-close").addEventListener("click", () => this.sidebar.setOpen(false));
    byId("language").addEventListener("click", switchLanguage);
    onLanguageChange(() => this.#redraw());
    translatePage();
    this.sidebar.draw(this.conversation);
  }

  #drawBotChoice() {
    const place = byId("bot");
    if (this.bots.length < 2) return place.replaceChildren(element("span", { class: "bot-name" }, this.bot?.name ?? ""));
    const options = this.bots.map((bot) => element("option", { value: bot.slug, selected: bot.slug === this.bot.slug }, bot.name));
    const choice = element("select", { class: "bot-choice", "aria-label": t("bot.label") }, ...options);
    choice.addEventListener("change", () => this.#switchBot(choice.value));
    place.replaceChildren(choice);
  }

  #redraw() {
    translatePage();
    this.#drawBotChoice();
    this.composer.draw();
    this.sidebar.draw();
    this.sidebar.drawToggle();
    byId("connection").replaceChildren();
    this.connection.draw();
    if (this.bot && !this.isLoading) this.thread.showTurns([...this.shown.values()], this.bot);
  }

  #connect() {
    permitExplanations(this.bot.may_explain);
    permitDocuments(this.bot.may_open_documents);
    const scheme = location.protocol === "https:" ? "wss:" : "ws:";
    const url = `${scheme}//${location.host}/ws/bots/${encodeURIComponent(this.bot.slug)}/`;
    this.dialogue = new Dialogue({
      bot: this.bot.slug,
      connect: (listeners) => new ChatSocket(url, listeners),
      memory: tabMemory,
      onTurn: (turn) => this.#turnChanged(turn),
      onUnknown: (turn) => this.#recover(turn),
      onConnection: (connection) => this.connection.show(connection),
    });
  }

  // Asking

  /** Asks in the open conversation; one question at a time. */
  ask(question) {
    if (this.#running() || !this.bot) return;
    const turn = this.dialogue.ask(question, this.conversation);
    this.shown.set(turn.key, turn);
    this.thread.addTurn(turn);
    this.#drawRunning();
    this.composer.focus();
  }

  #retry(turn) {
    if (this.#running()) return;
    if (turn.phase === "failed") {
      this.shown.delete(turn.key);
      this.thread.removeTurn(turn);
    }
    this.ask(turn.question);
  }

  #edit(turn) {
    this.composer.text = turn.question;
    this.composer.field.focus();
  }

  #stop() {
    const turn = this.#running();
    if (turn) this.dialogue.stop(turn);
  }

  #running() {
    return [...this.shown.values()].find((turn) => !isOver(turn));
  }

  #drawRunning() {
    this.composer.setRunning(Boolean(this.#running()));
  }

  #turnChanged(turn) {
    const before = this.shown.get(turn.key);
    if (turn.conversation && turn.phase === "running" && turn.seq === 1) this.history.remember({ id: turn.conversation, bot: turn.bot, title: turn.question });
    if (!before) return;
    if (turn.conversation && !this.conversation) this.#setConversation(turn.conversation);
    this.#replace(turn);
    if (turn.phase === "finished" && before.phase !== "finished") announce(turn.answer || t(turn.stopped ? "turn.stopped_empty" : "turn.unanswered"));
    this.#drawRunning();
  }

  #replace(turn) {
    this.shown.set(turn.key, turn);
    this.thread.updateTurn(turn);
  }

  /** The events of the turn are gone from the server: its conversation may still hold the answer. */
  async #recover(turn) {
    const rows = await readConversation(turn.conversation).then((data) => data.turns, () => []);
    const row = rows.find((each) => each.turn === turn.id);
    const found = row && turnFromRow(row, turn);
    if (found && isOver(found)) this.dialogue.settle({ ...found, key: turn.key });
    else this.dialogue.settle(failTurn(turn, { code: "turn_lost", message: "", retryable: true }));
  }

  // Conversations

  #begin() {
    this.sidebar.closeDrawer();
    this.#openConversation(null);
    this.composer.focus();
  }

  #openEntry(entry) {
    this.sidebar.closeDrawer();
    if (entry.bot !== this.bot.slug) {
      if (!this.bots.some((bot) => bot.slug === entry.bot)) return this.thread.showNotice(t("thread.missing"));
      this.#useBot(entry.bot);
    }
    this.#openConversation(entry.id);
  }

  #switchBot(slug) {
    this.#useBot(slug);
    this.#openConversation(null);
  }

  #useBot(slug) {
    this.dialogue.close();
    this.bot = this.bots.find((bot) => bot.slug === slug);
    window.history.replaceState(null, "", `?bot=${encodeURIComponent(slug)}`);
    this.#drawBotChoice();
    this.#connect();
  }

  #setConversation(id) {
    this.conversation = id;
    tabMemory.write("view", { bot: this.bot.slug, conversation: id });
    this.sidebar.draw(id);
  }

  /** Shows a conversation: what the server has of it, and what still runs; null begins a new one. */
  async #openConversation(id) {
    this.#setConversation(id);
    this.#showTurns(this.dialogue.turns.filter((turn) => turn.conversation === id));
    if (!id) return;
    this.isLoading = true;
    if (this.shown.size === 0) this.thread.showNotice(t("thread.loading"));
    try {
      const { turns } = await readConversation(id);
      if (this.conversation === id) this.#showTurns(this.#merge(turns, id));
    } catch (error) {
      if (this.conversation === id && this.shown.size === 0) this.#showUnreadable(id, error);
    } finally {
      if (this.conversation === id) this.isLoading = false;
    }
  }

  /** Rows of the server, with the live state of those that this page follows, and live turns that have no row yet. */
  #merge(rows, conversation) {
    const live = [...this.shown.values()];
    const listed = rows.map((row) => live.find((turn) => turn.id === row.turn) ?? turnFromRow(row, { bot: this.bot.slug, conversation }));
    return [...listed, ...live.filter((turn) => !listed.includes(turn))];
  }

  #showTurns(turns) {
    this.isLoading = false;
    this.shown = new Map(turns.map((turn) => [turn.key, turn]));
    this.thread.showTurns(turns, this.bot);
    for (const turn of turns) if (turn.phase === "running" && !this.dialogue.live.has(turn.key)) this.dialogue.follow(turn);
    this.#drawRunning();
  }

  #showUnreadable(id, error) {
    const isGone = error instanceof ApiError && error.status >= 400 && error.status < 500;
    const again = element("button", { type: "button", class: "button", onclick: () => this.#openConversation(id) }, icon("again"), t("common.retry"));
    const forget = element("button", { type: "button", class: "button", onclick: () => (this.history.remove(id), this.#begin()) }, icon("bin"), t("sidebar.remove"));
    this.thread.showNotice(t(isGone ? "thread.missing" : "thread.unreachable"), isGone ? forget : again);
  }
}

new ChatPage().start();
