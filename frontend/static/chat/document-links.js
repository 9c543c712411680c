// Where does a reader open the document behind a source? The server says so for each turn, once a source is opened, to those who may open it.

import { readDocuments } from "./api.js";
import { element } from "./dom.js";
import { icon } from "./icons.js";
import { t } from "./messages.js";

/** Whether this person may open any document of the bot; the page says so of each bot. A page that never says it shows no links. */
let permitted = false;

/** @param {boolean} allowed */
export function permitDocuments(allowed) {
  permitted = allowed;
}

/**
 * What adds the link of a source to a paragraph: the server is asked once a turn, and again where it could not be reached.
 * @param {string | null} turn
 * @returns {((source: import("./turn.js").Source, place: HTMLElement) => Promise<void>) | null} null where there are no links to add.
 */
export function documentLinks(turn) {
  if (!permitted || !turn) return null;
  let asked = null;
  const added = new WeakSet();
  return async (source, place) => {
    asked ??= readDocuments(turn).then((data) => new Map(data.documents.map((found) => [found.source, found.url])));
    const addresses = await asked.catch(() => (asked = null));
    const url = addresses?.get(source.id);
    if (!url || added.has(place)) return;
    added.add(place);
    place.prepend(drawLink(url, source.page));
  };
}

function drawLink(url, page) {
  const text = page ? t("sources.document_open_page", { page }) : t("sources.document_open");
  return element("a", { href: url, target: "_blank", rel: "noopener", class: "with-icon" }, text, icon("open"));
}
