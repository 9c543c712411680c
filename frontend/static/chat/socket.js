// How does the page stay connected? A WebSocket that comes back by itself, with growing pauses.

const FIRST_PAUSE_MS = 400;
const LONGEST_PAUSE_MS = 15_000;
const PAUSE_GROWTH = 1.8;
/** The server closes with 4400-4499 what no later try can mend: an unknown bot, no permission. */
const isFinal = (code) => code >= 4400 && code < 4500;

/**
 * @typedef {{state: "connecting" | "open" | "waiting" | "offline" | "refused", retryAt: number | null}} Connection
 * `waiting` until `retryAt` (milliseconds since 1970), `offline` while the browser has no network.
 */

/** A JSON socket that reconnects until it is closed by us. */
export class ChatSocket {
  /**
   * @param {string} url
   * @param {{onOpen: () => void, onFrame: (frame: any) => void, onLost: (isFinal: boolean) => void, onState: (state: Connection) => void}} listeners
   */
  constructor(url, listeners) {
    this.url = url;
    this.listeners = listeners;
    this.failures = 0;
    this.lastFrameAt = 0;
    this.watch = new AbortController();
    window.addEventListener("online", () => this.reconnectNow(), { signal: this.watch.signal });
    window.addEventListener("offline", () => this.drop(), { signal: this.watch.signal });
    this.#connect();
  }

  /** Whether a frame can be sent right now. */
  get isOpen() {
    return this.socket?.readyState === WebSocket.OPEN;
  }

  /** Sends a frame; the caller checks `isOpen` and keeps what cannot be sent. */
  send(frame) {
    this.socket.send(JSON.stringify(frame));
  }

  /** Tries again at once instead of after the pause. */
  reconnectNow() {
    if (this.socket || this.watch.signal.aborted) return;
    this.failures = 0;
    this.#connect();
  }

  /** Gives up this connection and makes a new one: for a link that looks open and is silent. */
  drop() {
    this.#lost(0);
  }

  /** Ends for good. */
  close() {
    this.watch.abort();
    this.#forget();
  }

  #connect() {
    this.#forget();
    this.#say("connecting");
    const socket = new WebSocket(this.url);
    this.socket = socket;
    socket.onopen = () => this.#opened();
    socket.onmessage = (message) => this.#received(message.data);
    socket.onclose = (closing) => this.#lost(closing.code);
  }

  #opened() {
    this.failures = 0;
    this.lastFrameAt = Date.now();
    this.#say("open");
    this.listeners.onOpen();
  }

  #received(data) {
    this.lastFrameAt = Date.now();
    this.listeners.onFrame(JSON.parse(data));
  }

  #lost(code) {
    this.#forget();
    this.listeners.onLost(isFinal(code));
    if (isFinal(code)) return this.#say("refused");
    const pause = Math.min(LONGEST_PAUSE_MS, FIRST_PAUSE_MS * PAUSE_GROWTH ** this.failures) * (0.75 + Math.random() / 2);
    this.failures += 1;
    this.timer = setTimeout(() => this.#connect(), pause);
    this.#say(navigator.onLine ? "waiting" : "offline", Date.now() + pause);
  }

  #forget() {
    clearTimeout(this.timer);
    if (!this.socket) return;
    this.socket.onopen = this.socket.onmessage = this.socket.onclose = null;
    this.socket.close();
    this.socket = null;
  }

  #say(state, retryAt = null) {
    this.listeners.onState({ state, retryAt });
  }
}
