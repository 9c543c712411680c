// How does the page ask the server? For a page of hits, of a search or of the archive where nothing is searched for, and for summaries.

import { ApiError } from "../chat/api.js";
import { writeState } from "./state.js";

const PAGE = 10;

/**
 * @typedef {object} Hit
 * @property {string} document
 * @property {string} title
 * @property {string} text
 * @property {{text: string, marks: [number, number][]}[]} highlights
 * @property {string | null} date
 * @property {boolean} [words_found]
 */

/**
 * @param {string} kb
 * @param {import("./state.js").SearchState} state
 * @param {{cursor?: string | null, signal?: AbortSignal}} [more]
 * @returns {Promise<{hits: Hit[], total: number, facets: Record<string, {value: string, count: number}[]>, next: string | null, degraded: boolean, with_words?: number}>}
 */
export async function readHits(kb, state, { cursor = null, signal } = {}) {
  const query = new URLSearchParams(writeState(state));
  query.set("k", String(PAGE));
  if (state.q) query.set("group", "document");
  if (cursor) query.set("cursor", cursor);
  const path = `/api/v1/kbs/${encodeURIComponent(kb)}/${state.q ? "search" : "archive"}?${query}`;
  return ask(path, signal);
}

/**
 * @typedef {object} Summary
 * @property {{text: string, document?: string, title?: string, start: number, end: number}[]} sentences
 * @property {"extraction" | "generator"} by
 * @property {boolean} degraded
 * @property {number} [hits]
 * @property {number} [documents]
 */

/**
 * What a document says, or what the best hits of a search say to its question; `by` a generator where that is asked for.
 * @param {string} kb
 * @param {{document: string} | {state: import("./state.js").SearchState}} what
 * @param {{by?: "extraction" | "generator", signal?: AbortSignal}} [more]
 * @returns {Promise<Summary>}
 */
export function readSummary(kb, what, { by = "extraction", signal } = {}) {
  const query = new URLSearchParams("document" in what ? "" : writeState(what.state));
  query.delete("sort");
  query.set("by", by);
  const place = "document" in what ? `documents/${encodeURIComponent(what.document)}` : "search";
  return ask(`/api/v1/kbs/${encodeURIComponent(kb)}/${place}/summary?${query}`, signal);
}

async function ask(path, signal) {
  const response = await fetch(path, { headers: { Accept: "application/json" }, signal }).catch((error) => {
    if (error.name === "AbortError") throw error;
    return null;
  });
  if (!response) throw new ApiError(0, { code: "connection_lost", message: "", retryable: true });
  const data = await response.json().catch(() => null);
  if (!response.ok || !data) throw new ApiError(response.status, data?.error ?? { code: "internal", message: "", retryable: true });
  return data;
}
