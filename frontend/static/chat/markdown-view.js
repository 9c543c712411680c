// How is an answer drawn while it grows? Blocks that did not change keep their nodes, so that a selection survives.

import { element } from "./dom.js";
import { parseMarkdown } from "./markdown.js";

/** An element that shows Markdown text and can be given longer text again and again. */
export class MarkdownView {
  constructor() {
    this.node = element("div", { class: "prose" });
    this.drawn = [];
  }

  /** Shows the text, redrawing from the first block that differs. */
  show(text) {
    const blocks = parseMarkdown(text);
    const forms = blocks.map((block) => JSON.stringify(block));
    const same = forms.findIndex((form, index) => form !== this.drawn[index]);
    const keep = same === -1 ? forms.length : same;
    while (this.node.childNodes.length > keep) this.node.lastChild.remove();
    this.node.append(...blocks.slice(keep).map(drawBlock));
    this.drawn = forms;
  }
}

function drawBlock(block) {
  switch (block.type) {
    case "code":
      return element("pre", { tabindex: "0" }, element("code", {}, block.text));
    case "heading":
      return element("p", { class: "prose-heading" }, ...block.children.map(drawInline));
    case "list":
      return drawList(block);
    default:
      return element("p", {}, ...block.children.map(drawInline));
  }
}

function drawList({ ordered, start, items }) {
  const rows = items.map((blocks) => element("li", {}, ...blocks.flatMap(drawItemBlock)));
  return element(ordered ? "ol" : "ul", { start: ordered && start !== 1 ? start : null }, ...rows);
}

/** A paragraph that begins an item needs no paragraph of its own: lists stay tight. */
function drawItemBlock(block, index) {
  return index === 0 && block.type === "paragraph" ? block.children.map(drawInline) : [drawBlock(block)];
}

function drawInline(part) {
  switch (part.type) {
    case "text":
      return document.createTextNode(part.text);
    case "break":
      return element("br");
    case "code":
      return element("code", {}, part.text);
    case "link":
      return element("a", { href: part.url, target: "_blank", rel: "noopener noreferrer" }, ...part.children.map(drawInline));
    default:
      return element(part.type, {}, ...part.children.map(drawInline));
  }
}
