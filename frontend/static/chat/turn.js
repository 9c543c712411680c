// What is a turn, and how does each event change it? Pure: no DOM, no network.

/**
 * @typedef {{kind: string, id: string, title: string, text: string, score?: number, document?: string, url?: string | null, page?: number, marks?: [number, number][]}} Source
 * @typedef {{code: string, message: string, retryable: boolean, details?: Record<string, unknown>}} TurnError
 * @typedef {"waiting" | "running" | "finished" | "failed"} Phase
 * @typedef {object} Turn
 * @property {string} key Names the turn in this page, before the server has given it an id.
 * @property {string | null} id
 * @property {string} bot
 * @property {string | null} conversation
 * @property {string} question
 * @property {Phase} phase "waiting" until the server says that the turn has started.
 * @property {number} seq Number of the last event applied; the server counts from 1.
 * @property {string} answer
 * @property {boolean} answered
 * @property {string | null} skill
 * @property {Source[]} sources
 * @property {string[]} suggestions
 * @property {{question: string, options: string[]} | null} clarify
 * @property {string | null} queue Queue of the people who take over.
 * @property {boolean} stopping The person asked to stop; the server has not yet confirmed.
 * @property {boolean} stopped
 * @property {boolean} degraded
 * @property {TurnError | null} error
 * @property {Record<string, number>} timings In milliseconds.
 * @property {number} vote 1, -1, or 0 for none.
 */

let keys = 0;

/**
 * A turn that has been asked and not yet started.
 * @param {{question: string, bot: string, conversation?: string | null}} asked
 * @returns {Turn}
 */
export function newTurn({ question, bot, conversation = null }) {
  keys += 1;
  return {
    key: `${Date.now().toString(36)}-${keys}-${Math.random().toString(36).slice(2, 8)}`,
    id: null, bot, conversation, question, phase: "waiting", seq: 0,
    answer: "", answered: true, skill: null, sources: [], suggestions: [], clarify: null, queue: null,
    stopping: false, stopped: false, degraded: false, error: null, timings: {}, vote: 0,
  };
}

/**
 * A turn as `GET /api/v1/conversations/{id}` lists it. The events of one that still runs can be resumed.
 * @param {Record<string, any>} row
 * @param {{bot: string, conversation: string}} place
 * @returns {Turn}
 */
export function turnFromRow(row, { bot, conversation }) {
  const turn = { ...newTurn({ question: row.question, bot, conversation }), id: row.turn };
  if (row.state === "running") return { ...turn, phase: "running" };
  if (row.state === "failed") return failTurn({ ...turn, answer: row.answer }, row.error);
  return { ...finish(turn, row), vote: row.vote ?? 0 };
}

/** Whether the event comes after one that has not been seen: the turn must be resumed from its last number. */
export function missesEvents(turn, event) {
  return event.seq > turn.seq + 1;
}

/**
 * The turn after the event. An event seen before changes nothing, so that a replay may overlap.
 * @param {Turn} turn
 * @param {Record<string, any>} event
 * @returns {Turn}
 */
export function applyEvent(turn, event) {
  if (event.seq <= turn.seq) return turn;
  const next = { ...turn, id: event.turn, seq: event.seq };
  switch (event.type) {
    case "turn_started":
      return { ...next, phase: "running", conversation: event.conversation };
    case "skill_chosen":
      return { ...next, skill: event.skill };
    case "sources_found":
      return { ...next, sources: event.sources };
    case "text_delta":
      return { ...next, answer: turn.answer + event.text };
    case "clarify":
      return { ...next, clarify: { question: event.question, options: event.options } };
    case "handed_over":
      return { ...next, queue: event.queue };
    case "turn_finished":
      return finish(next, event);
    case "turn_failed":
      return { ...next, phase: "failed", stopping: false, error: event.error };
    default:
      return next;
  }
}

/** The turn, ended by an error that no event of its own told. */
export function failTurn(turn, error) {
  return { ...turn, phase: "failed", stopping: false, error };
}

/** Whether the turn has come to its end. */
export function isOver(turn) {
  return turn.phase === "finished" || turn.phase === "failed";
}

function finish(turn, fields) {
  return {
    ...turn, phase: "finished", stopping: false, error: null,
    conversation: fields.conversation ?? turn.conversation,
    answer: fields.answer, answered: Boolean(fields.answered), skill: fields.skill ?? null,
    sources: fields.sources ?? [], suggestions: fields.suggestions ?? [],
    degraded: Boolean(fields.degraded), stopped: Boolean(fields.stopped), timings: fields.timings_ms ?? {},
  };
}
