// Requests to the endpoint, with the token of this tab.

import { byId, tell } from "./dom.js";

const KEY = "genrec-token";
let asking = null; // a promise of the token, while its dialog is open

/** What went wrong, in words for the reader. `retry`: the same request may succeed later. */
export class Problem extends Error {
  constructor(message, retry) {
    super(message);
    this.retry = retry;
  }
}

/**
 * The JSON of an answer. Asks for the token where there is none, and again where it is refused.
 * Throws Problem, or an AbortError where `signal` says so.
 */
export async function request(path, { body, signal } = {}) {
  for (;;) {
    const token = sessionStorage.getItem(KEY) ?? (await askForToken(""));
    signal?.throwIfAborted();
    const answer = await send(path, body, token, signal);
    if (answer.status !== 401) return read(answer);
    if (sessionStorage.getItem(KEY) === token) sessionStorage.removeItem(KEY);
    if (!sessionStorage.getItem(KEY)) await askForToken("The endpoint refused this token. Look for typing errors, then try again.");
  }
}

/** Open the dialog of the token; a promise of what is typed. */
export function askForToken(problem) {
  asking ??= new Promise((resolve) => {
    const dialog = byId("token");
    const value = byId("token-value");
    value.value = "";
    tell(byId("token-problem"), problem);
    const end = (token) => {
      asking = null;
      sessionStorage.setItem(KEY, token);
      dialog.close();
      resolve(token);
    };
    byId("token-form").onsubmit = (event) => (event.preventDefault(), end(value.value.trim()));
    dialog.oncancel = (event) => {
      event.preventDefault();
      const kept = sessionStorage.getItem(KEY);
      if (kept) end(kept); // without one, nothing can be shown
    };
    dialog.showModal();
  });
  return asking;
}

async function send(path, body, token, signal) {
  const headers = { Authorization: `Bearer ${encoded(token)}` };
  if (body !== undefined) headers["Content-Type"] = "application/json";
  try {
    return await fetch(path, {
      method: body === undefined ? "GET" : "POST",
      headers,
      body: body === undefined ? undefined : JSON.stringify(body),
      signal,
      cache: "no-store",
      redirect: "error",
    });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem("The endpoint does not answer. Check that it runs and that the network is there.", true);
  }
}

/** A header holds no other characters; a token that has them is refused, not an error of the browser. */
const encoded = (token) => token.replace(/[^\x21-\x7e]/g, "?");

async function read(answer) {
  let content;
  try {
    content = await answer.json();
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem(`The endpoint gave no readable answer (status ${answer.status}).`, true);
  }
  if (answer.ok) return content;
  const busy = answer.status === 429 || answer.status >= 500;
  const said = typeof content.detail === "string" ? content.detail : `status ${answer.status}`;
  throw new Problem(busy ? `The endpoint could not answer now: ${said}.` : `The endpoint refused this: ${said}.`, busy);
}
