// Asks the admin API. The token is in memory, and in sessionStorage of this tab so that a reload keeps it: nowhere else.

const PREFIX = "api/v1";
const KEY = "console.token";
const SECONDS = 20;

let token = sessionStorage.getItem(KEY);

/** Hears `unauthorized` when the token, or its lack, is not enough any more. */
export const signals = new EventTarget();

/** What went wrong: `status` is 0 where nobody answered. */
export class Failure extends Error {
  constructor(status, body, retryAfter) {
    super(body?.error_description ?? "");
    this.status = status;
    this.error = body?.error ?? "";
    this.retryAfter = retryAfter;
  }
}

export function keep(value) {
  token = value;
  if (value) sessionStorage.setItem(KEY, value);
  else sessionStorage.removeItem(KEY);
}

export const hasToken = () => Boolean(token);

export const get = (path, parameters = {}, signal) => ask("GET", path + query(parameters), undefined, signal);
export const post = (path, body = {}) => ask("POST", path, body);
export const remove = (path, parameters = {}) => ask("DELETE", path + query(parameters));

/** Return a path with its parts escaped: of a subject nothing is a slash or a question mark. */
export const path = (...parts) => "/" + parts.map(encodeURIComponent).join("/");

function query(parameters) {
  const told = Object.entries(parameters).filter(([, value]) => value !== "" && value !== null && value !== undefined);
  return told.length ? `?${new URLSearchParams(told)}` : "";
}

async function ask(method, target, body, signal) {
  const headers = { Accept: "application/json" };
  if (token) headers.Authorization = `Bearer ${token}`;
  if (body !== undefined) headers["Content-Type"] = "application/json";
  const patience = AbortSignal.timeout(SECONDS * 1000);
  let response;
  let answer = null;
  try {
    response = await fetch(PREFIX + target, {
      method,
      headers,
      body: body === undefined ? undefined : JSON.stringify(body),
      cache: "no-store",
      credentials: "same-origin", // also what lets a browser show its certificate
      redirect: "error",
      referrerPolicy: "no-referrer",
      signal: signal ? AbortSignal.any([signal, patience]) : patience,
    });
    const text = await response.text();
    if (text && response.headers.get("Content-Type")?.startsWith("application/json")) answer = JSON.parse(text);
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new Failure(response?.ok === false ? response.status : 0, null);
  }
  if (response.ok) return answer;
  const failure = new Failure(response.status, answer, Number(response.headers.get("Retry-After")) || null);
  if (response.status === 401 && target !== "/me")
    signals.dispatchEvent(new CustomEvent("unauthorized", { detail: failure }));
  throw failure;
}
