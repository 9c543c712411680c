// How does the page ask the server? One call for a page of hits: of a search, or of the archive where nothing is searched for.

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
 */

/**
 * @param {string} kb
 * @param {import("./state.js").SearchState} state
 * @param {{cursor?: string | null, signal?: AbortSignal}} [more]
 * @returns {Promise<{hits: Hit[], total: number, facets: Record<string, {value: string, count: number}[]>, next: string | null, degraded: boolean}>}
 */
export async function readHits(kb, state, { cursor = null, signal } = {}) {
  const query = new URLSearchParams(writeState(state));
  query.set("k", String(PAGE));
  if (state.q) query.set("group", "document");
  if (cursor) query.set("cursor", cursor);
  const path = `/api/v1/kbs/${encodeURIComponent(kb)}/${state.q ? "search" : "archive"}?${query}`;
  const response = await fetch(path, { headers: { Accept: "application/json" }, signal }).catch((error) => {
    if (error.name === "AbortError") throw error;
    return null;
  });
  if (!response) throw new ApiError(0, { code: "connection_lost", message: "", retryable: true });
  const data = await response.json().catch(() => null);
  if (!response.ok || !data) throw new ApiError(response.status, data?.error ?? { code: "internal", message: "", retryable: true });
  return data;
}
