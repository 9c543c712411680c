// What do screen readers hear? Finished answers and changes of the connection, politely, once each.

import { byId } from "./dom.js";

/** Says the text when the reader pauses. */
export function announce(text) {
  byId("announcer").textContent = text;
}
