// Asks again and again, but never a gateway that is in trouble more than it can take, and never for a tab nobody sees.

import { Failure } from "./api.js";

const LONGEST = 30;

/** Call `work(signal)` every so many seconds while the tab is seen.
 *
 * `tell(failure, retryAt)` hears of each failure, and of the end of a row of them with null. Returns {stop, now}.
 */
export function poll(work, seconds, tell) {
  const ended = new AbortController();
  let timer = null;
  let isBusy = false;
  let failures = 0;

  async function round() {
    clearTimeout(timer);
    if (isBusy || ended.signal.aborted || document.hidden) return;
    isBusy = true;
    let pause = seconds;
    try {
      await work(ended.signal);
      if (!ended.signal.aborted) tell(null, null);
      failures = 0;
    } catch (error) {
      if (ended.signal.aborted) return;
      if (!(error instanceof Failure)) throw error;
      failures += 1;
      pause = Math.max(error.retryAfter ?? 0, Math.min(LONGEST, seconds * 2 ** failures) * (0.75 + Math.random() / 2));
      tell(error, Date.now() / 1000 + pause);
    } finally {
      isBusy = false;
      if (!ended.signal.aborted) timer = setTimeout(round, pause * 1000);
    }
  }

  document.addEventListener("visibilitychange", round, { signal: ended.signal });
  round();
  return {
    now: round,
    stop() {
      ended.abort();
      clearTimeout(timer);
    },
  };
}
