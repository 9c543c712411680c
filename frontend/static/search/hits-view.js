// What does a result look like? Title, where it stands, the sentences that were found with their words marked, tags.

import { element } from "../chat/dom.js";
import { icon } from "../chat/icons.js";
import { safeUrl } from "../chat/markdown.js";
import { marked } from "../chat/marks.js";
import { t } from "../chat/messages.js";

const BEGINNING = 200;

/**
 * @param {import("./api.js").Hit} hit
 * @param {{kb: string, may_explain: boolean}} page
 * @param {import("./state.js").SearchState} state
 * @param {(name: string, value: string) => void} onToggle
 * @param {import("./summary-view.js").SummaryBox} box
 * @param {boolean} isAmongWords Whether other results have the words, so that it says something if this one has none.
 * @returns {HTMLElement}
 */
export function drawHit(hit, page, state, onToggle, box, isAmongWords) {
  return element(
    "li", { class: "hit" },
    element("h2", { class: "hit-title" }, element("a", { href: documentAddress(hit, page.kb) }, hit.title || hit.document)),
    element("p", { class: "hit-meta" }, ...metaOf(hit, isAmongWords)),
    element("p", { class: "hit-text" }, ...textOf(hit)),
    footOf(hit, page, state, onToggle, box),
    box.place,
  );
}

/** Where a document is read; what was found is marked there: the sentences that have the words, or all of a passage near in meaning. */
export function documentAddress(hit, kb) {
  const sentences = hit.highlights?.filter((snippet) => snippet.marks.length) ?? [];
  const places = sentences.length ? sentences.map(({ start, end }) => [hit.start + start, hit.start + end]) : [[hit.start, hit.end]];
  const at = hit.end ? `?at=${places.map((place) => place.join("-")).join(",")}` : "";
  return `/search/${encodeURIComponent(kb)}/documents/${encodeURIComponent(hit.document)}/${at}`;
}

function metaOf(hit, isAmongWords) {
  const isByMeaning = isAmongWords && hit.words_found === false;
  const parts = [hit.date, hit.category, hit.author, pagesOf(hit), hit.heading, isByMeaning && t("search.by_meaning")];
  return parts.filter(Boolean).map((part) => element("span", {}, part));
}

function pagesOf({ page, page_end: last }) {
  if (!page) return "";
  return last > page ? t("search.pages", { first: page, last }) : t("search.page", { page });
}

/** The found sentences, or how the document begins where nothing was searched for. */
function textOf(hit) {
  if (!hit.highlights.length) return [shortened(hit.text)];
  const pieces = hit.highlights.map((snippet) => [...marked(snippet)]);
  return pieces.flatMap((piece, place) => (place ? [element("span", { class: "hit-gap" }, " … "), ...piece] : piece));
}

function shortened(text) {
  const line = text.replace(/\s+/g, " ").trim();
  return [...line].length > BEGINNING ? `${[...line].slice(0, BEGINNING).join("")}…` : line;
}

function footOf(hit, page, state, onToggle, box) {
  const url = hit.url && safeUrl(hit.url);
  const links = [
    box.button,
    url && element("a", { class: "with-icon", href: url, target: "_blank", rel: "noopener noreferrer" }, t("search.original"), icon("open")),
    page.may_explain && state.q && element("a", { href: explainAddress(hit, page, state) }, t("search.explain")),
  ].filter(Boolean);
  const tags = hit.tags.map((tag) => element("button", { type: "button", class: "tag", "aria-pressed": String(state.tags.includes(tag)), onclick: () => onToggle("tags", tag) }, tag));
  return element("p", { class: "hit-foot" }, ...tags, ...links);
}

function explainAddress(hit, page, state) {
  return `/admin/retrieval/explain/${encodeURIComponent(page.kb)}/?${new URLSearchParams({ q: state.q, document: hit.document })}`;
}
