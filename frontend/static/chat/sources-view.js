// What does an answer rest on? Its sources: each a line with title and snippet that opens to the whole text.

import { element } from "./dom.js";
import { icon } from "./icons.js";
import { safeUrl } from "./markdown.js";
import { marked } from "./marks.js";
import { hasMessage, t } from "./messages.js";

const SHOWN_AT_FIRST = 3;
const SNIPPET_CHARS = 140;

/**
 * @param {import("./turn.js").Source[]} sources
 * @param {string} answer A source that is the answer word for word shows no snippet: it has just been read.
 * @param {ReturnType<typeof import("./document-links.js").documentLinks>} addLink Adds the link to the source's document, where there is one.
 * @returns {HTMLElement}
 */
export function drawSources(sources, answer, addLink = null) {
  const rows = sources.map((source, index) => drawSource(source, index, source.text.trim() === answer.trim() ? "" : snippet(source.text), addLink));
  const list = element("ol", { class: "sources" }, ...rows.slice(0, SHOWN_AT_FIRST));
  const section = element("section", { class: "part", "aria-label": t("sources.title") }, element("h3", { class: "part-title" }, t("sources.title")), list);
  const rest = rows.slice(SHOWN_AT_FIRST);
  if (rest.length) section.append(moreButton(list, rest));
  return section;
}

/** The name of a kind of source or skill; a kind of a project's own is shown as it is called. */
export function kindName(kind) {
  return hasMessage(`kind.${kind}`) ? t(`kind.${kind}`) : kind;
}

function moreButton(list, rest) {
  const button = element("button", { type: "button", class: "link" }, t("sources.more", { count: rest.length }));
  button.addEventListener("click", () => {
    list.append(...rest);
    button.remove();
    rest[0].querySelector("summary").focus();
  });
  return button;
}

function drawSource(source, index, preview, addLink) {
  const title = source.title || source.document || kindName(source.kind);
  const links = element("p", { class: "source-links" }, originalLink(source));
  const opened = addLink && ((event) => event.target.open && addLink(source, links));
  return element(
    "li", { class: "source" },
    element(
      "details", { ontoggle: opened },
      element(
        "summary", {},
        element("span", { class: "source-number" }, String(index + 1)),
        element("span", { class: "source-head" }, element("span", { class: "source-title" }, title), preview && element("span", { class: "source-snippet" }, preview)),
        element("span", { class: "badge" }, kindName(source.kind)),
        icon("chevron"),
      ),
      element("div", { class: "source-body" }, element("p", { class: "source-text" }, ...marked(source)), documentLine(source, title), links),
    ),
  );
}

function snippet(text) {
  const line = text.replace(/\s+/g, " ").trim();
  return line.length > SNIPPET_CHARS ? `${line.slice(0, SNIPPET_CHARS)}…` : line;
}

function documentLine(source, title) {
  const name = source.document && source.document !== title ? `${t("sources.document")}: ${source.document}` : "";
  const parts = [name, source.page && t("sources.page", { page: source.page })].filter(Boolean);
  return parts.length ? element("p", { class: "faint" }, parts.join(" · ")) : null;
}

function originalLink(source) {
  const url = source.url && safeUrl(source.url);
  if (!url) return null;
  return element("a", { href: url, target: "_blank", rel: "noopener noreferrer", class: "with-icon" }, t("sources.open"), icon("open"));
}
