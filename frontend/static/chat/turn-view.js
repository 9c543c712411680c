// What does one turn look like? A question and its answer in every state it can be in.

import { documentLinks } from "./document-links.js";
import { copyText, element } from "./dom.js";
import { drawExplanations } from "./explain-view.js";
import { FeedbackView } from "./feedback-view.js";
import { icon, mark } from "./icons.js";
import { MarkdownView } from "./markdown-view.js";
import { hasMessage, t } from "./messages.js";
import { drawSources, kindName } from "./sources-view.js";
import { showToast } from "./toast.js";
import { isOver } from "./turn.js";

/** @typedef {import("./turn.js").Turn} Turn */
/**
 * @typedef {object} TurnActions
 * @property {(question: string) => void} onAsk
 * @property {(turn: Turn) => void} onRetry
 * @property {(turn: Turn) => void} onEdit
 * @property {(turn: Turn, vote: number) => void} onVote
 */

/** Draws a turn once and follows its changes. */
export class TurnView {
  /** @param {Turn} turn @param {TurnActions} actions */
  constructor(turn, actions) {
    this.actions = actions;
    this.status = element("div", { class: "status" });
    this.notes = element("div", { class: "notes" });
    this.markdown = new MarkdownView();
    this.rest = element("div", { class: "rest" });
    this.answer = element(
      "article", { class: "answer", "aria-label": t("turn.answer") },
      element("div", { class: "answer-mark" }, mark()),
      element("div", { class: "answer-body" }, this.status, this.notes, this.markdown.node, this.rest),
    );
    const question = element("div", { class: "question" }, element("span", { class: "visually-hidden" }, `${t("turn.question")}: `), element("p", {}, turn.question));
    this.node = element("li", { class: "turn" }, question, this.answer);
    this.show(turn);
  }

  /** @param {Turn} turn */
  show(turn) {
    this.turn = turn;
    this.answer.dataset.kind = kindOf(turn);
    this.answer.setAttribute("aria-busy", String(!isOver(turn)));
    this.status.replaceChildren(...drawStatus(turn));
    const text = turn.answer || (turn.clarify?.question ?? "");
    this.markdown.show(text);
    this.markdown.node.hidden = !text;
    this.#drawRest(turn);
  }

  /** Notes and what follows the text change rarely: they are drawn only when they do, so that focus stays. */
  #drawRest(turn) {
    const form = JSON.stringify([turn.phase, turn.stopped, turn.clarify, turn.queue, turn.error]);
    if (form === this.drawn) return;
    this.drawn = form;
    this.notes.replaceChildren(...drawNotes(turn));
    this.rest.replaceChildren(...(isOver(turn) ? this.#drawEnd(turn) : []));
  }

  #drawEnd(turn) {
    if (turn.phase === "failed") return [this.#drawFailure(turn)];
    const parts = [];
    const further = turn.suggestions.length > 0 && this.#drawChoices(turn.answered ? "suggestions.related" : "suggestions.nearest", turn.suggestions);
    if (turn.stopped) parts.push(note("stop", t(turn.answer ? "turn.stopped" : "turn.stopped_empty")));
    if (turn.clarify) parts.push(this.#drawChoices("suggestions.options", turn.clarify.options));
    if (turn.queue) parts.push(note("person", t("turn.handed_over")));
    if (turn.sources.length) parts.push(drawSources(turn.sources, turn.answer, documentLinks(turn.id)));
    if (further && !turn.answered) parts.push(further);
    if (turn.id) parts.push(...this.#drawActions(turn));
    if (turn.stopped) parts.push(this.#againButton(turn));
    if (further && turn.answered) parts.push(further);
    return parts;
  }

  #drawFailure(turn) {
    const { code, message, retryable } = turn.error;
    const text = hasMessage(`error.${code}`) ? t(`error.${code}`) : message || t("error.internal");
    const edit = element("button", { type: "button", class: "button plain", onclick: () => this.actions.onEdit(this.turn) }, icon("pen"), t("turn.edit"));
    return element("div", { class: "failure", role: "alert" }, note("warning", text), element("div", { class: "row" }, retryable && this.#againButton(turn, "common.retry"), edit));
  }

  #againButton(turn, label = "turn.ask_again") {
    return element("button", { type: "button", class: "button", onclick: () => this.actions.onRetry(turn) }, icon("again"), t(label));
  }

  #drawChoices(title, questions) {
    const buttons = questions.map((question) => element("li", {}, element("button", { type: "button", class: "choice", onclick: () => this.actions.onAsk(question) }, question, icon("chevron"))));
    return element("section", { class: "part choices", "aria-label": t(title) }, element("h3", { class: "part-title" }, t(title)), element("ul", {}, ...buttons));
  }

  #drawActions(turn) {
    const feedback = new FeedbackView(turn, (vote) => this.actions.onVote(this.turn, vote));
    const copy = element("button", { type: "button", class: "icon-button", "aria-label": t("turn.copy"), title: t("turn.copy"), onclick: () => this.#copy(copy) }, icon("copy"));
    const bar = element("div", { class: "actions" }, turn.answer && copy, feedback.buttons, element("span", { class: "meta" }, metaText(turn)));
    return [bar, feedback.form, ...drawExplanations(turn.id)];
  }

  async #copy(button) {
    try {
      await copyText(this.turn.answer);
    } catch {
      return showToast(t("turn.copy_failed"));
    }
    button.replaceChildren(icon("check"));
    showToast(t("turn.copied"));
    setTimeout(() => button.replaceChildren(icon("copy")), 1600);
  }
}

/** Which of the four looks the turn has. A stopped turn, a question back and a person taking over are no missing answers. */
function kindOf(turn) {
  if (!isOver(turn)) return "live";
  if (turn.phase === "failed") return "failed";
  return turn.answered || turn.stopped || turn.clarify || turn.queue ? "answered" : "unanswered";
}

/** What is said of the turn by its skill and its time, such as "FAQ · 0.3 s". */
function metaText(turn) {
  const seconds = (turn.timings.total ?? 0) / 1000;
  const time = seconds > 0 ? t("turn.seconds", { count: seconds < 1 ? seconds.toFixed(2) : seconds.toFixed(1) }) : "";
  return [turn.skill && kindName(turn.skill), time].filter(Boolean).join(" · ");
}

function drawStatus(turn) {
  if (isOver(turn) || (turn.answer && !turn.stopping)) return [];
  const name = turn.stopping ? "stopping" : turn.phase === "waiting" ? "sending" : turn.skill ? "writing" : "searching";
  return [element("span", { class: "dots" }, element("i"), element("i"), element("i")), element("span", {}, t(`turn.${name}`))];
}

function drawNotes(turn) {
  if (turn.phase !== "finished") return [];
  const notes = [];
  if (kindOf(turn) === "unanswered") notes.push(note("question", t("turn.unanswered")));
  if (turn.degraded) notes.push(note("info", t("turn.degraded")));
  return notes;
}

function note(name, text) {
  return element("p", { class: `note note-${name}` }, icon(name), element("span", {}, text));
}
