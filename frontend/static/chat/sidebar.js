// Which conversations can be gone back to? The list at the side: open, rename, remove.

import { element } from "./dom.js";
import { icon } from "./icons.js";
import { groupByDay } from "./history.js";
import { t } from "./messages.js";
import { showToast } from "./toast.js";
import { longMemory } from "./storage.js";

const NARROW = window.matchMedia("(max-width: 860px)");

/** The side column; on a narrow screen a drawer over the page. */
export class Sidebar {
  /**
   * @param {{aside: HTMLElement, list: HTMLElement, toggle: HTMLElement, scrim: HTMLElement, main: HTMLElement}} places
   * @param {import("./history.js").History} history
   * @param {{onOpen: (entry: import("./history.js").Entry) => void, botName: (slug: string) => string | null}} options
   */
  constructor(places, history, options) {
    Object.assign(this, places, options, { history, current: null });
    this.toggle.addEventListener("click", () => this.setOpen(!this.isOpen));
    this.scrim.addEventListener("click", () => this.setOpen(false));
    this.aside.addEventListener("keydown", (event) => event.key === "Escape" && NARROW.matches && this.setOpen(false));
    NARROW.addEventListener("change", () => this.#beginOpen());
    this.#beginOpen();
  }

  /** Opens or closes; on a wide screen the choice is remembered. */
  setOpen(isOpen) {
    this.isOpen = isOpen;
    if (!NARROW.matches) longMemory.write("sidebar", isOpen);
    document.body.dataset.sidebar = isOpen ? "open" : "closed";
    this.aside.inert = !isOpen;
    this.main.inert = isOpen && NARROW.matches;
    this.scrim.hidden = !(isOpen && NARROW.matches);
    this.drawToggle();
    if (NARROW.matches) (isOpen ? this.aside.querySelector("button") : this.toggle).focus();
  }

  /** Closes the drawer of a narrow screen, as after a choice. */
  closeDrawer() {
    if (NARROW.matches && this.isOpen) this.setOpen(false);
  }

  drawToggle() {
    const label = t(this.isOpen ? "sidebar.hide" : "sidebar.show");
    this.toggle.setAttribute("aria-label", label);
    this.toggle.setAttribute("aria-expanded", String(this.isOpen));
    this.toggle.title = label;
  }

  /** Draws the list. @param {string | null} current The conversation that is open. */
  draw(current = this.current) {
    this.current = current;
    const groups = groupByDay(this.history.entries, new Date());
    if (groups.length === 0) return this.list.replaceChildren(element("p", { class: "faint sidebar-empty" }, t("sidebar.empty")));
    this.list.replaceChildren(
      ...groups.map(({ name, entries }) =>
        element("section", {}, element("h2", { class: "sidebar-day" }, t(`sidebar.${name}`)), element("ul", {}, ...entries.map((entry) => this.#drawEntry(entry)))),
      ),
    );
  }

  #beginOpen() {
    this.isOpen = !NARROW.matches && longMemory.read("sidebar", true);
    document.body.dataset.sidebar = this.isOpen ? "open" : "closed";
    this.aside.inert = !this.isOpen;
    this.main.inert = false;
    this.scrim.hidden = true;
    this.drawToggle();
  }

  #drawEntry(entry) {
    const bot = this.botName(entry.bot);
    const open = element(
      "button", { type: "button", class: "entry-open", title: entry.title, "aria-current": entry.id === this.current ? "true" : null, onclick: () => this.onOpen(entry) },
      element("span", { class: "entry-title" }, entry.title), bot && element("span", { class: "entry-bot" }, bot),
    );
    const row = element("li", { class: "entry" }, open);
    row.append(
      smallButton("pen", `${t("sidebar.rename")}: ${entry.title}`, () => this.#editName(row, entry)),
      smallButton("bin", `${t("sidebar.remove")}: ${entry.title}`, () => this.#remove(entry)),
    );
    return row;
  }

  #editName(row, entry) {
    const field = element("input", { class: "field", value: entry.title, "aria-label": t("sidebar.rename_label") });
    let isDone = false;
    const done = (keep) => {
      if (isDone) return;
      isDone = true;
      if (keep && field.value.trim() !== entry.title) this.history.rename(entry.id, field.value);
      this.draw();
    };
    field.addEventListener("blur", () => done(true));
    field.addEventListener("keydown", (event) => {
      if (event.key === "Enter" && !event.isComposing && event.keyCode !== 229) done(true);
      if (event.key !== "Escape") return;
      event.stopPropagation();
      done(false);
    });
    row.replaceChildren(field);
    field.select();
  }

  #remove(entry) {
    const undo = this.history.remove(entry.id);
    showToast(t("sidebar.removed"), { label: t("common.undo"), act: undo });
  }
}

function smallButton(name, label, act) {
  return element("button", { type: "button", class: "icon-button small", "aria-label": label, title: label, onclick: act }, icon(name));
}
