// How is a short note shown that goes away by itself? One at a time, said to screen readers too.

import { byId, element } from "./dom.js";

const STAYS_MS = 3_000;
const STAYS_WITH_ACTION_MS = 7_000;
let timer = 0;

/**
 * @param {string} text
 * @param {{label: string, act: () => void} | null} [action]
 */
export function showToast(text, action = null) {
  const place = byId("toast");
  const hide = () => place.replaceChildren();
  const press = () => {
    hide();
    action.act();
  };
  clearTimeout(timer);
  place.replaceChildren(
    element("div", { class: "toast" }, element("span", {}, text), action && element("button", { type: "button", class: "link", onclick: press }, action.label)),
  );
  timer = setTimeout(hide, action ? STAYS_WITH_ACTION_MS : STAYS_MS);
}
