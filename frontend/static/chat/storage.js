// What does the browser remember, and what if it refuses to? JSON values under names of our own.

const PREFIX = "wenlu.";

/** JSON values in `localStorage` or `sessionStorage`; private modes and full disks lose memory, never the page. */
export class Storage {
  /** @param {() => globalThis.Storage} area Called late: some browsers throw on the mere mention of the area. */
  constructor(area) {
    this.area = area;
  }

  /**
   * @template T
   * @param {string} name
   * @param {T} otherwise
   * @returns {T}
   */
  read(name, otherwise) {
    try {
      const text = this.area().getItem(PREFIX + name);
      return text === null ? otherwise : JSON.parse(text);
    } catch {
      return otherwise;
    }
  }

  /** Keeps a value; null or undefined forgets the name. Returns whether it was kept. */
  write(name, value) {
    try {
      if (value === null || value === undefined) this.area().removeItem(PREFIX + name);
      else this.area().setItem(PREFIX + name, JSON.stringify(value));
      return true;
    } catch {
      return false;
    }
  }
}

/** Until the person clears it: language, list of conversations. */
export const longMemory = new Storage(() => window.localStorage);

/** Until the tab closes, over reloads: the open conversation, running turns, the draft. */
export const tabMemory = new Storage(() => window.sessionStorage);
