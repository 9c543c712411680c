// Which conversations has this person had? People without an account have only this device's memory.

import { longMemory } from "./storage.js";

/** @typedef {{id: string, bot: string, title: string, time: number}} Entry `time`: last question, ms since 1970. */

const NAME = "conversations";
const MOST_ENTRIES = 200;
const TITLE_CHARS = 80;

/** The list of own conversations, newest first, shared by all tabs. */
export class History {
  /** @param {() => void} onChange Also called when another tab changes the list. */
  constructor(onChange) {
    this.onChange = onChange;
    window.addEventListener("storage", (event) => event.key?.endsWith(NAME) && onChange());
  }

  /** @returns {Entry[]} */
  get entries() {
    return longMemory.read(NAME, []);
  }

  /** Adds a conversation, or moves a known one to the top; a name it already has stays. */
  remember({ id, bot, title }) {
    const known = this.entries.find((entry) => entry.id === id);
    const entry = known ?? { id, bot, title: shortTitle(title) };
    this.#write([{ ...entry, time: Date.now() }, ...this.entries.filter((each) => each.id !== id)]);
  }

  rename(id, title) {
    if (!title.trim()) return;
    this.#write(this.entries.map((entry) => (entry.id === id ? { ...entry, title: shortTitle(title) } : entry)));
  }

  /** Forgets a conversation; returns what brings it back to its place. */
  remove(id) {
    const entry = this.entries.find((each) => each.id === id);
    this.#write(this.entries.filter((each) => each.id !== id));
    return () => entry && this.#write([...this.entries, entry].sort((a, b) => b.time - a.time));
  }

  #write(entries) {
    longMemory.write(NAME, entries.slice(0, MOST_ENTRIES));
    this.onChange();
  }
}

/**
 * The entries by day, newest first, empty groups left out.
 * @param {Entry[]} entries
 * @param {Date} now
 * @returns {{name: "today" | "yesterday" | "week" | "earlier", entries: Entry[]}[]}
 */
export function groupByDay(entries, now) {
  const midnight = new Date(now.getFullYear(), now.getMonth(), now.getDate());
  const daysBack = (days) => new Date(midnight.getFullYear(), midnight.getMonth(), midnight.getDate() - days).getTime();
  const borders = [["today", daysBack(0)], ["yesterday", daysBack(1)], ["week", daysBack(7)], ["earlier", -Infinity]];
  const groupOf = (entry) => borders.find(([, since]) => entry.time >= since)[0];
  return borders
    .map(([name]) => ({ name, entries: entries.filter((entry) => groupOf(entry) === name) }))
    .filter((group) => group.entries.length > 0);
}

function shortTitle(text) {
  const line = text.trim().replace(/\s+/g, " ");
  const letters = [...line];
  return letters.length > TITLE_CHARS ? `${letters.slice(0, TITLE_CHARS).join("")}…` : line;
}
