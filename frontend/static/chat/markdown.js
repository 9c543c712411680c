// Which small part of Markdown do answers use? Text in, plain data out; markdown-view.js makes nodes of it.

/**
 * @typedef {{type: "text" | "code", text: string} | {type: "break"}
 *   | {type: "strong" | "em", children: Inline[]} | {type: "link", url: string, children: Inline[]}} Inline
 * @typedef {{type: "paragraph" | "heading", children: Inline[]} | {type: "code", text: string}
 *   | {type: "list", ordered: boolean, start: number, items: Block[][]}} Block
 */

const FENCE = /^\s{0,3}```/;
const HEADING = /^\s{0,3}#{1,6}\s+(.*?)\s*#*$/;
const ITEM = /^(\s{0,3})([-*+•]|\d{1,3}[.)])\s+(.*)$/;
const DEEPEST_LIST = 4;

/**
 * Paragraphs (a line break stays one), headings, lists, fenced code; inside them bold, emphasis, code and links.
 * Everything else is text as it was written. An unfinished mark, as while an answer streams, is text too.
 * @param {string} text
 * @returns {Block[]}
 */
export function parseMarkdown(text) {
  return parseLines(text.replace(/\r\n?/g, "\n").split("\n"), 0);
}

/**
 * @param {string} text
 * @returns {Inline[]}
 */
export function parseInline(text) {
  /** @type {Inline[]} */
  const parts = [];
  let plain = "";
  const flush = () => {
    if (plain) parts.push({ type: "text", text: plain });
    plain = "";
  };
  for (let at = 0; at < text.length; ) {
    const found = inlineAt(text, at);
    if (found) {
      flush();
      parts.push(found.part);
      at += found.length;
    } else {
      plain += text[at];
      at += 1;
    }
  }
  flush();
  return parts;
}

/** The address if it may be linked (web, mail, or a path of this site), else null. Scripts and data never may. */
export function safeUrl(address) {
  const url = address.trim();
  if (/^(https?:\/\/|mailto:)[^\s<>"]+$/i.test(url)) return url;
  return /^\/(?![/\\])[^\s<>"\\]*$/.test(url) ? url : null;
}

function parseLines(lines, depth) {
  /** @type {Block[]} */
  const blocks = [];
  for (let at = 0; at < lines.length; ) {
    const read = readCode(lines, at) ?? readHeading(lines, at) ?? readList(lines, at, depth) ?? readParagraph(lines, at, depth);
    if (read.block) blocks.push(read.block);
    at = read.next;
  }
  return blocks;
}

function readCode(lines, at) {
  if (!FENCE.test(lines[at])) return null;
  let end = at + 1;
  while (end < lines.length && !FENCE.test(lines[end])) end += 1;
  return { block: { type: "code", text: lines.slice(at + 1, end).join("\n") }, next: end + 1 };
}

function readHeading(lines, at) {
  const heading = HEADING.exec(lines[at]);
  return heading && { block: { type: "heading", children: parseInline(heading[1]) }, next: at + 1 };
}

function readParagraph(lines, at, depth) {
  if (!lines[at].trim()) return { block: null, next: at + 1 };
  let end = at + 1;
  while (end < lines.length && lines[end].trim() && !startsBlock(lines[end], depth)) end += 1;
  const children = lines.slice(at, end).flatMap((line, index) => [
    ...(index ? [{ type: "break" }] : []),
    ...parseInline(line.trim()),
  ]);
  return { block: { type: "paragraph", children }, next: end };
}

function startsBlock(line, depth) {
  return FENCE.test(line) || HEADING.test(line) || (depth < DEEPEST_LIST && ITEM.test(line));
}

function readList(lines, at, depth) {
  const first = ITEM.exec(lines[at]);
  if (!first || depth >= DEEPEST_LIST) return null;
  const ordered = /\d/.test(first[2]);
  const items = [];
  while (at < lines.length) {
    const item = ITEM.exec(lines[at]);
    if (!item || /\d/.test(item[2]) !== ordered) break;
    const { content, next } = readItem(lines, at, item);
    items.push(parseLines(content, depth + 1));
    at = next;
  }
  return { block: { type: "list", ordered, start: ordered ? parseInt(first[2], 10) : 1, items }, next: at };
}

/** The lines of one item: those indented below it belong to it; blank lines only where more of the list follows. */
function readItem(lines, at, item) {
  const indent = item[1].length;
  const content = [item[3]];
  let next = at + 1;
  while (next < lines.length) {
    const line = lines[next];
    const isInside = line.trim() ? /^\s*/.exec(line)[0].length >= indent + 2 : continuesAfterBlank(lines, next, indent);
    if (!isInside) break;
    content.push(line.slice(Math.min(indent + item[2].length + 1, /^\s*/.exec(line)[0].length)));
    next += 1;
  }
  return { content, next };
}

function continuesAfterBlank(lines, at, indent) {
  const following = lines.slice(at).find((line) => line.trim());
  return following !== undefined && (ITEM.test(following) || /^\s*/.exec(following)[0].length >= indent + 2);
}

function inlineAt(text, at) {
  const rest = text.slice(at);
  switch (text[at]) {
    case "`":
      return matched(/^`([^`\n]+)`/.exec(rest), ([, code]) => ({ type: "code", text: code }));
    case "*":
      return (
        matched(/^\*\*(?=\S)(.+?)(?<=\S)\*\*(?!\*)/.exec(rest), ([, inner]) => ({ type: "strong", children: parseInline(inner) })) ??
        matched(/^\*(?=[^\s*])([^*\n]+?)(?<=\S)\*(?!\*)/.exec(rest), ([, inner]) => ({ type: "em", children: parseInline(inner) }))
      );
    case "[":
      return linkAt(rest);
    case "h":
      return /[\w]/.test(text[at - 1] ?? "") ? null : bareLinkAt(rest);
    default:
      return null;
  }
}

function matched(match, make) {
  return match && { part: make(match), length: match[0].length };
}

function linkAt(rest) {
  const match = /^\[([^\][\n]+)\]\(([^()\s]+(?:\([^()\s]*\)[^()\s]*)*)\)/.exec(rest);
  const url = match && safeUrl(match[2]);
  return url && matched(match, () => ({ type: "link", url, children: [{ type: "text", text: match[1] }] }));
}

/** A web address in running text; it ends before Chinese text and before punctuation that closes a sentence. */
function bareLinkAt(rest) {
  const match = /^https?:\/\/[\w\-.~:/?#@!$&'*+,;=%()]+/.exec(rest);
  if (!match) return null;
  const url = match[0].replace(/[.,;:!?'*]+$/, "").replace(/\)$/, (end) => (match[0].includes("(") ? end : ""));
  return url.length > "https://".length ? { part: { type: "link", url, children: [{ type: "text", text: url }] }, length: url.length } : null;
}
