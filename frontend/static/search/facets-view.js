// What can results be narrowed by? Values with their counts, an archive by month, and two days.

import { element } from "../chat/dom.js";
import { language, hasMessage, t } from "../chat/messages.js";

const SHOWN = 8;
const NAMES = ["category", "tags", "author", "language"];

/** The name of a value as people say it. */
export function valueName(name, value) {
  if (name === "language" && hasMessage(`language.${value}`)) return t(`language.${value}`);
  if (name === "month") return monthName(value);
  if (name === "since" || name === "until") return `${t(`facet.${name}`)} ${value}`;
  return value;
}

/** The column of filters. Values of a filter that is in use are those that there were before it was, so that another can be added. */
export class FacetsView {
  /**
   * @param {HTMLElement} place
   * @param {{onToggle: (name: string, value: string) => void, onDay: (name: string, value: string) => void}} callbacks
   */
  constructor(place, callbacks) {
    this.place = place;
    this.callbacks = callbacks;
    this.known = {};
    this.knownFor = null;
    this.open = new Set();
  }

  /** @param {import("./state.js").SearchState} state @param {Record<string, {value: string, count: number}[]>} facets */
  draw(state, facets) {
    if (this.knownFor !== state.q) [this.known, this.knownFor] = [{}, state.q];
    for (const [name, values] of Object.entries(facets)) if (!state[name]?.length || !this.known[name]) this.known[name] = values;
    const focused = document.activeElement?.dataset?.key;
    this.place.replaceChildren(...[this.#archive(state), ...NAMES.map((name) => this.#values(name, state)), this.#dates(state)].filter(Boolean));
    if (focused) this.place.querySelector(`[data-key="${CSS.escape(focused)}"]`)?.focus();
  }

  #values(name, state) {
    const values = withChosen(this.known[name] ?? [], state[name]);
    if (values.length < 2 && !state[name].length) return null;
    const isOpen = this.open.has(name);
    const rows = values.slice(0, isOpen ? undefined : SHOWN).map((one) => this.#value(name, one, state[name].includes(one.value)));
    const rest = values.length - rows.length;
    const more = rest > 0 && element("button", { type: "button", class: "link facet-more", onclick: () => this.#showAll(name, state) }, t("facet.more", { count: rest }));
    return this.#section(name, element("ul", {}, ...rows.map((row) => element("li", {}, row))), more);
  }

  #showAll(name, state) {
    this.open.add(name);
    this.draw(state, {});
    this.place.querySelectorAll(`[data-facet="${name}"] button`)[SHOWN]?.focus();
  }

  /** Months by year: the newest year, and the one that is looked into, are open. */
  #archive(state) {
    const months = withChosen(this.known.month ?? [], state.month ? [state.month] : []);
    if (months.length < 2 && !state.month) return null;
    const years = Map.groupBy ? Map.groupBy(months, (one) => one.value.slice(0, 4)) : grouped(months);
    const first = [...years.keys()][0];
    const parts = [...years].map(([year, some]) => {
      const rows = some.map((one) => element("li", {}, this.#value("month", one, state.month === one.value)));
      const total = some.reduce((sum, one) => sum + (one.count ?? 0), 0);
      const isOpen = year === first || state.month.startsWith(year) || this.open.has(year);
      const summary = element("summary", {}, element("span", {}, t("facet.year", { year })), element("span", { class: "facet-count" }, String(total)));
      const details = element("details", { open: isOpen }, summary, element("ul", {}, ...rows));
      details.addEventListener("toggle", () => (details.open ? this.open.add(year) : this.open.delete(year)));
      return details;
    });
    return this.#section("month", ...parts);
  }

  #value(name, { value, count }, isChosen) {
    return element(
      "button", { type: "button", class: "facet", "data-key": `${name}=${value}`, "aria-pressed": String(isChosen), onclick: () => this.callbacks.onToggle(name, value) },
      element("span", { class: "facet-name" }, name === "month" ? shortMonth(value) : valueName(name, value)),
      count !== undefined && element("span", { class: "facet-count" }, String(count)),
    );
  }

  #dates(state) {
    const fields = ["since", "until"].map((name) => {
      const input = element("input", { type: "date", class: "field", value: state[name], "data-key": name, min: name === "until" ? state.since || null : null });
      input.addEventListener("change", () => this.callbacks.onDay(name, input.value));
      return element("label", {}, element("span", {}, t(`facet.${name}`)), input);
    });
    return this.#section("dates", element("div", { class: "facet-dates" }, ...fields));
  }

  #section(name, ...content) {
    return element("section", { class: "facet-group", "data-facet": name }, element("h2", {}, t(`facet.${name}`)), ...content);
  }
}

/** The values with those that are chosen among them, even where nothing has them now. */
function withChosen(values, chosen) {
  const missing = chosen.filter((value) => !values.some((one) => one.value === value));
  return [...missing.map((value) => ({ value })), ...values];
}

function grouped(months) {
  const years = new Map();
  for (const one of months) years.set(one.value.slice(0, 4), [...(years.get(one.value.slice(0, 4)) ?? []), one]);
  return years;
}

function monthName(value) {
  const [year, month] = value.split("-").map(Number);
  if (!year || !month) return value;
  return t("facet.month_name", { year, month, name: nameOfMonth(year, month, "long") });
}

function shortMonth(value) {
  const [year, month] = value.split("-").map(Number);
  return nameOfMonth(year, month, "long");
}

function nameOfMonth(year, month, style) {
  return new Date(year, month - 1, 1).toLocaleDateString(language() === "zh" ? "zh-CN" : "en", { month: style });
}
