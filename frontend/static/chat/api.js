// How does the page talk to the HTTP API? Four calls, one kind of error.

const ROOT = "/api/v1";

/** What the server answered instead of what was asked for; `status` 0 means that it could not be reached. */
export class ApiError extends Error {
  /** @param {number} status @param {{code: string, message: string, retryable: boolean}} error */
  constructor(status, error) {
    super(error.message);
    this.status = status;
    this.error = error;
  }
}

/** A conversation with its turns, oldest first. */
export function readConversation(id) {
  return call(`/conversations/${encodeURIComponent(id)}`);
}

/** Records a vote, 1 or -1, with an optional comment; a later vote replaces the earlier one. */
export function sendFeedback(turn, vote, comment = "") {
  return call(`/turns/${encodeURIComponent(turn)}/feedback`, { vote, ...(comment && { comment }) });
}

/** Where the documents behind the turn's sources are read: of those that this person may open. */
export function readDocuments(turn) {
  return call(`/turns/${encodeURIComponent(turn)}/documents`);
}

/** Why the turn was answered as it was; not everyone may see that. */
export function readExplanation(turn) {
  return call(`/turns/${encodeURIComponent(turn)}/explain`);
}

async function call(path, body) {
  const response = await fetch(ROOT + path, body ? posting(body) : { headers: { Accept: "application/json" } }).catch(() => null);
  if (!response) throw new ApiError(0, { code: "connection_lost", message: "", retryable: true });
  const data = await response.json().catch(() => null);
  if (!response.ok) throw new ApiError(response.status, data?.error ?? { code: "internal", message: "", retryable: response.status >= 500 });
  return data;
}

/** A signed-in person's session is checked against Django's CSRF token; others need none. */
function posting(body) {
  const token = document.querySelector('meta[name="csrf-token"]')?.content;
  return {
    method: "POST",
    headers: { Accept: "application/json", "Content-Type": "application/json", ...(token && { "X-CSRFToken": token }) },
    body: JSON.stringify(body),
  };
}
