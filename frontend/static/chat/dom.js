// How are DOM nodes made? Text always enters as text nodes, never as HTML.

/**
 * Makes an element. Properties that begin with "on" are listeners, `class` and attributes with a dash or of SVG are set
 * as attributes, true sets an empty attribute, false, null and undefined set nothing.
 * @param {string} tag
 * @param {Record<string, unknown>} [properties]
 * @param {...(Node | string | null | undefined | false)} children Those that are empty are left out.
 * @returns {HTMLElement}
 */
export function element(tag, properties = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) setProperty(node, name, value);
  node.append(...children.filter((child) => child !== null && child !== undefined && child !== false && child !== ""));
  return node;
}

/**
 * Finds an element that the template promises; a missing one is a programming error.
 * @param {string} id
 * @returns {HTMLElement}
 */
export function byId(id) {
  const node = document.getElementById(id);
  if (!node) throw new Error(`The page has no #${id}`);
  return node;
}

/**
 * Reads what Django's `json_script` put into the page.
 * @param {string} id
 * @returns {any}
 */
export function pageData(id) {
  return JSON.parse(byId(id).textContent ?? "null");
}

/** Puts text on the clipboard; also where the page is not served over https and `navigator.clipboard` is absent. */
export async function copyText(text) {
  if (navigator.clipboard) return navigator.clipboard.writeText(text);
  const area = element("textarea", { class: "visually-hidden", readonly: true, "aria-hidden": "true" });
  area.value = text;
  document.body.append(area);
  area.select();
  const copied = document.execCommand("copy");
  area.remove();
  if (!copied) throw new Error("The browser refused to copy");
}

function setProperty(node, name, value) {
  if (value === false || value === null || value === undefined) return;
  if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
  else node.setAttribute(name, value === true ? "" : String(value));
}
