// Was the answer helpful? Two thumbs; the lower one asks what was wrong.

import { sendFeedback } from "./api.js";
import { element } from "./dom.js";
import { icon } from "./icons.js";
import { t } from "./messages.js";
import { showToast } from "./toast.js";

const MOST_CHARS = 1000;

/** The thumbs of one turn, as `buttons`, and under the answer the `form`. */
export class FeedbackView {
  /**
   * @param {import("./turn.js").Turn} turn
   * @param {(vote: number) => void} onVote The server has taken the vote.
   */
  constructor(turn, onVote) {
    Object.assign(this, { turn, onVote, vote: turn.vote });
    this.up = this.#thumb(1, "up");
    this.down = this.#thumb(-1, "down");
    this.buttons = element("span", { class: "thumbs", role: "group", "aria-label": t("feedback.label") }, this.up, this.down);
    this.form = element("div");
    this.#mark();
  }

  #thumb(vote, name) {
    const label = t(`feedback.${name}`);
    return element("button", { type: "button", class: "icon-button", "aria-label": label, title: label, onclick: () => this.#cast(vote) }, icon(name));
  }

  async #cast(vote) {
    if (vote === this.vote) return;
    const before = this.vote;
    this.vote = vote;
    this.#mark();
    this.form.replaceChildren();
    try {
      await sendFeedback(this.turn.id, vote);
    } catch {
      this.vote = before;
      this.#mark();
      return showToast(t("feedback.failed"));
    }
    this.onVote(vote);
    if (vote === -1) this.#askWhy();
    else showToast(t("feedback.thanks"));
  }

  #mark() {
    this.up.setAttribute("aria-pressed", String(this.vote === 1));
    this.down.setAttribute("aria-pressed", String(this.vote === -1));
  }

  #askWhy() {
    const comment = element("textarea", { class: "field", rows: "2", maxlength: MOST_CHARS, "aria-label": t("feedback.comment"), placeholder: t("feedback.comment") });
    const send = element("button", { type: "submit", class: "button" }, t("feedback.send"));
    const skip = element("button", { type: "button", class: "button plain", onclick: () => this.#close() }, t("feedback.skip"));
    const submit = (event) => {
      event.preventDefault();
      this.#sendComment(comment.value.trim());
    };
    this.form.replaceChildren(element("form", { class: "feedback", onsubmit: submit }, comment, element("div", { class: "row" }, send, skip)));
    comment.focus();
  }

  async #sendComment(comment) {
    try {
      if (comment) await sendFeedback(this.turn.id, -1, comment);
    } catch {
      return showToast(t("feedback.failed"));
    }
    this.#close();
    showToast(t("feedback.thanks"));
  }

  #close() {
    this.form.replaceChildren();
    this.down.focus();
  }
}
