// How do questions become turns over a socket that may drop? Asks, stops, resumes, and remembers what still runs.

import { applyEvent, failTurn, isOver, missesEvents, newTurn } from "./turn.js";

/** @typedef {import("./turn.js").Turn} Turn */

const MOST_TRIES = 3;
const SILENCE_MS = 20_000;
const SAVE_EVERY_MS = 250;
const LIVE = "live";

/**
 * The live turns of one bot. A question waits until the socket is open, is sent, and is sent again when the socket drops
 * before the server has named the turn: asking twice is better than losing a question. Once named, the turn is resumed.
 */
export class Dialogue {
  /**
   * @param {object} parts
   * @param {string} parts.bot
   * @param {(listeners: object) => import("./socket.js").ChatSocket} parts.connect
   * @param {import("./storage.js").Storage} parts.memory Survives a reload.
   * @param {(turn: Turn) => void} parts.onTurn A turn has changed.
   * @param {(turn: Turn) => void} parts.onUnknown The server no longer has the events of this turn.
   * @param {(connection: import("./socket.js").Connection) => void} parts.onConnection
   */
  constructor({ bot, connect, memory, onTurn, onUnknown, onConnection }) {
    Object.assign(this, { bot, memory, onTurn, onUnknown });
    /** @type {Map<string, Turn>} */
    this.live = new Map();
    /** @type {Map<string, number>} Turns whose resume is unanswered, and the number that they were resumed from. */
    this.resumes = new Map();
    this.tries = new Map();
    this.asked = null;
    for (const turn of memory.read(LIVE, [])) if (turn.bot === bot) this.live.set(turn.key, turn);
    this.socket = connect({
      onOpen: () => this.#opened(),
      onFrame: (frame) => this.#received(frame),
      onLost: (isFinal) => this.#lost(isFinal),
      onState: onConnection,
    });
    this.watchdog = setInterval(() => this.#checkSilence(), SILENCE_MS / 4);
  }

  /** Live turns, oldest first. @returns {Turn[]} */
  get turns() {
    return [...this.live.values()];
  }

  /** Asks a question. @returns {Turn} */
  ask(question, conversation) {
    const turn = newTurn({ question, bot: this.bot, conversation });
    this.#keep(turn);
    if (this.socket.isOpen) this.#askNext();
    else this.socket.reconnectNow();
    return turn;
  }

  /** Follows a turn that runs on the server and that this page did not start. */
  follow(turn) {
    this.#keep(turn);
    if (this.socket.isOpen) this.#resume(turn);
  }

  /** Stops a turn; one that never left this page ends here. */
  stop(turn) {
    if (!turn.id && this.asked !== turn.key) return this.#end({ ...turn, phase: "finished", answered: false, stopped: true });
    this.#keep({ ...turn, stopping: true });
    if (turn.id && this.socket.isOpen) this.socket.send({ type: "stop", turn: turn.id });
  }

  /** Ends a turn with what was found out elsewhere (the conversation read over HTTP). */
  settle(turn) {
    this.#end(turn);
  }

  /** Writes the live turns of this bot down at once, as before the page goes away. */
  remember() {
    clearTimeout(this.saving);
    this.saving = null;
    const others = this.memory.read(LIVE, []).filter((turn) => turn.bot !== this.bot);
    const all = [...others, ...this.live.values()];
    this.memory.write(LIVE, all.length ? all : null);
  }

  /** Lets go of the socket; live turns stay remembered and go on at the server. */
  close() {
    clearInterval(this.watchdog);
    this.remember();
    this.socket.close();
  }

  #opened() {
    for (const turn of this.turns) if (turn.id) this.#resume(turn);
    this.#askNext();
  }

  #lost(isFinal) {
    this.asked = null;
    this.resumes.clear();
    const isHopeless = (turn) => !turn.id && (isFinal || (this.tries.get(turn.key) ?? 0) >= MOST_TRIES);
    for (const turn of this.turns.filter(isHopeless)) this.#end(failTurn(turn, { code: "connection_lost", message: "", retryable: true }));
  }

  #received(frame) {
    if (frame.type === "error") return this.#refused(frame);
    const turn = this.#turnOf(frame);
    if (!turn) return;
    if (missesEvents(turn, frame)) return this.#resume(turn);
    this.resumes.delete(turn.key);
    if (turn.key === this.asked) this.asked = null;
    const next = applyEvent(turn, frame);
    if (next === turn) return;
    if (isOver(next)) this.#end(next);
    else this.#keep(next);
    if (frame.type === "turn_started" && next.stopping) this.socket.send({ type: "stop", turn: next.id });
    if (this.asked === null) this.#askNext();
  }

  #turnOf(frame) {
    const known = this.turns.find((turn) => turn.id === frame.turn);
    if (known) return known;
    return frame.type === "turn_started" && this.asked ? this.live.get(this.asked) : undefined;
  }

  #refused({ error, turn: id }) {
    const named = id ?? error.details?.turn;
    const resumed = [...this.resumes.keys()].map((key) => this.live.get(key)).find((turn) => turn && (!named || turn.id === named));
    if (resumed && (error.code === "not_found" || !this.asked)) {
      this.resumes.delete(resumed.key);
      return this.onUnknown(resumed);
    }
    const asked = this.asked && this.live.get(this.asked);
    if (!asked) return;
    this.asked = null;
    this.#end(failTurn(asked, error));
    this.#askNext();
  }

  #askNext() {
    const turn = this.turns.find((each) => each.phase === "waiting");
    if (!turn || this.asked || !this.socket.isOpen) return;
    this.asked = turn.key;
    this.tries.set(turn.key, (this.tries.get(turn.key) ?? 0) + 1);
    this.socket.send({ type: "ask", text: turn.question, ...(turn.conversation && { conversation: turn.conversation }) });
  }

  #resume(turn) {
    if (this.resumes.get(turn.key) === turn.seq) return;
    this.resumes.set(turn.key, turn.seq);
    if (turn.stopping) this.socket.send({ type: "stop", turn: turn.id });
    this.socket.send({ type: "resume", turn: turn.id, after: turn.seq });
  }

  #checkSilence() {
    const isRunning = this.turns.some((turn) => turn.id || turn.key === this.asked);
    if (isRunning && this.socket.isOpen && Date.now() - this.socket.lastFrameAt > SILENCE_MS) this.socket.drop();
  }

  #keep(turn) {
    this.live.set(turn.key, turn);
    this.#save();
    this.onTurn(turn);
  }

  #end(turn) {
    this.live.delete(turn.key);
    this.tries.delete(turn.key);
    this.#save();
    this.onTurn(turn);
  }

  #save() {
    this.saving ??= setTimeout(() => this.remember(), SAVE_EVERY_MS);
  }
}
