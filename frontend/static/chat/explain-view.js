// Why was the question answered like this? Shows the server's explanation to those whom the server tells.

import { readExplanation } from "./api.js";
import { element } from "./dom.js";
import { icon } from "./icons.js";
import { hasMessage, t } from "./messages.js";
import { kindName } from "./sources-view.js";

/** Whether this person may see why the bot answered; the page says so of each bot. */
let permitted = false;

/** @param {boolean} allowed */
export function permitExplanations(allowed) {
  permitted = allowed;
}

/**
 * The disclosures of a turn: one, or none where this person may not see it.
 * @param {string} turn
 * @returns {HTMLElement[]}
 */
export function drawExplanations(turn) {
  return permitted ? [drawDisclosure(turn)] : [];
}

function drawDisclosure(turn) {
  const body = element("div", { class: "explain-body" }, element("p", { class: "faint" }, t("explain.loading")));
  const load = async (event) => {
    if (!event.target.open || body.dataset.loaded) return;
    try {
      body.replaceChildren(drawExplanation(await readExplanation(turn)));
      body.dataset.loaded = "yes";
    } catch {
      body.replaceChildren(element("p", { class: "faint" }, t("explain.failed")));
    }
  };
  return element("details", { class: "explain", ontoggle: load }, element("summary", {}, icon("chevron"), t("explain.title")), body);
}

/** Each skill with its claim and how it came to it, then where the time went. */
function drawExplanation({ trace, timings_ms: timings }) {
  const skills = Object.entries(trace ?? {}).map(([skill, claim]) => part(kindName(skill), claim));
  return element("div", { class: "explain-parts" }, ...skills, part(t("explain.timings"), timings));
}

function part(title, value) {
  return element("section", {}, element("h4", {}, title), drawValue(value));
}

/** Any JSON value: objects as pairs, lists of alike objects as tables, the rest as text. */
function drawValue(value) {
  if (value === null || value === undefined || value === "") return element("span", { class: "faint" }, "–");
  if (typeof value === "boolean") return element("span", {}, t(value ? "explain.yes" : "explain.no"));
  if (typeof value === "number") return element("span", { class: "number" }, String(Number(value.toPrecision(4))));
  if (Array.isArray(value)) return drawList(value);
  return typeof value === "object" ? drawPairs(value) : element("span", {}, String(value));
}

/** What people call a field of the explanation; one that nobody has named as it is stored. */
function nameOf(name) {
  return hasMessage(`explain.name.${name}`) ? t(`explain.name.${name}`) : name.replaceAll("_", " ");
}

function drawPairs(value) {
  const pairs = Object.entries(value).flatMap(([name, part]) => [element("dt", {}, nameOf(name)), element("dd", {}, drawValue(part))]);
  return element("dl", { class: "pairs" }, ...pairs);
}

function drawList(list) {
  if (list.length === 0) return drawValue(null);
  const isFlat = (row) => row && typeof row === "object" && !Array.isArray(row) && Object.values(row).every((part) => typeof part !== "object" || part === null);
  if (list.every(isFlat)) return drawTable(list);
  return element("ul", { class: "values" }, ...list.map((part) => element("li", {}, drawValue(part))));
}

function drawTable(rows) {
  const names = [...new Set(rows.flatMap(Object.keys))];
  const head = element("tr", {}, ...names.map((name) => element("th", { scope: "col" }, nameOf(name))));
  const lines = rows.map((row) => element("tr", {}, ...names.map((name) => element("td", {}, drawValue(row[name])))));
  return element("div", { class: "table-scroll", tabindex: "0" }, element("table", {}, element("thead", {}, head), element("tbody", {}, ...lines)));
}
