// Which parts of a text are marked? The server counts in characters, JavaScript in UTF-16 units: the text is cut as the server sees it.

import { element } from "./dom.js";

/**
 * The text as nodes and strings, with a `mark` element for each span (end exclusive, in order).
 * @param {{text: string, marks?: [number, number][]}} piece
 */
export function* marked({ text, marks = [] }) {
  const characters = [...text];
  let done = 0;
  for (const [start, end] of marks) {
    yield characters.slice(done, start).join("");
    yield element("mark", {}, characters.slice(start, end).join(""));
    done = end;
  }
  yield characters.slice(done).join("");
}
