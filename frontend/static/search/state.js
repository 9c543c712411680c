// What is searched for? The page's address holds it all, so that it can be shared, and Back goes back.

export const LISTS = ["category", "tags", "author", "language"];
export const SINGLES = ["month", "since", "until"];

/**
 * @typedef {object} SearchState
 * @property {string} q Empty looks through all documents, newest first.
 * @property {"relevance" | "date"} sort
 * @property {string[]} category
 * @property {string[]} tags
 * @property {string[]} author
 * @property {string[]} language
 * @property {string} month YYYY-MM, or empty
 * @property {string} since YYYY-MM-DD, or empty
 * @property {string} until YYYY-MM-DD, or empty
 */

/** @param {string} address The query string of the page. @returns {SearchState} */
export function readState(address) {
  const given = new URLSearchParams(address);
  const state = { q: (given.get("q") ?? "").trim(), sort: given.get("sort") === "date" ? "date" : "relevance" };
  for (const name of LISTS) state[name] = [...new Set(given.getAll(name).filter(Boolean))];
  for (const name of SINGLES) state[name] = given.get(name) ?? "";
  return state;
}

/** The query string of a state; what is as usual is left out. @param {SearchState} state */
export function writeState(state) {
  const written = new URLSearchParams();
  if (state.q) written.set("q", state.q);
  if (state.q && state.sort !== "relevance") written.set("sort", state.sort);
  for (const name of LISTS) for (const value of state[name]) written.append(name, value);
  for (const name of SINGLES) if (state[name]) written.set(name, state[name]);
  return written.toString();
}

/** The state with one value of a filter chosen, or taken away where it was. @param {SearchState} state */
export function toggled(state, name, value) {
  if (!LISTS.includes(name)) return { ...state, [name]: state[name] === value ? "" : value };
  const without = state[name].filter((each) => each !== value);
  return { ...state, [name]: without.length < state[name].length ? without : [...without, value] };
}

/** The state without any filter. @param {SearchState} state */
export function cleared(state) {
  return { ...readState(""), q: state.q, sort: state.sort };
}

/** Every filter that is chosen, as [name, value]. @param {SearchState} state */
export function chosen(state) {
  return [...LISTS.flatMap((name) => state[name].map((value) => [name, value])), ...SINGLES.filter((name) => state[name]).map((name) => [name, state[name]])];
}
