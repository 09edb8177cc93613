// Makes rates and quantiles of two answers of /counters: totals that only grow, until a gateway is started again.

export const PASSED = new Set(["allow", "allow_stale", "preflight"]);

/** What is answered with 5xx: not the client's fault. */
export const BROKEN = new Set([
  "circuit_open",
  "connect_timeout",
  "connection_limit",
  "first_byte_timeout",
  "idle_timeout",
  "internal_error",
  "keys_unavailable",
  "login_saturated",
  "login_unavailable",
  "no_healthy_target",
  "request_limit",
  "shutting_down",
  "stale_revocations",
  "store_unavailable",
  "unavailable",
  "unconfirmed",
  "unsupported_transfer_coding",
  "unsupported_version",
  "upstream_closed",
  "upstream_malformed",
  "upstream_saturated",
  "upstream_unreachable",
]);

/** Return the growth per second of each member; null where there is no telling. */
export function rates(before, after, members) {
  const seconds = after.at - before.at;
  const grown = {};
  for (const [name, total] of Object.entries(members(after))) {
    const growth = total - (members(before)[name] ?? 0);
    if (growth < 0 || seconds <= 0) return null;
    grown[name] = growth / seconds;
  }
  return grown;
}

export const sum = (numbers) => Object.values(numbers).reduce((total, each) => total + each, 0);

/** Return an estimate of a quantile of what came between two histograms; null if nothing did. */
export function quantile(q, before, after) {
  const grown = after.counts.map((count, index) => count - (before?.counts[index] ?? 0));
  const total = sum(grown);
  if (total <= 0 || grown.some((each) => each < 0)) return null;
  let rank = q * total;
  for (const [index, count] of grown.entries()) {
    if (count > 0 && rank <= count) {
      const from = index ? after.bounds[index - 1] : 0;
      const to = after.bounds[index] ?? from; // of the last bucket nobody knows the end
      return from + (to - from) * (rank / count);
    }
    rank -= count;
  }
  return after.bounds.at(-1);
}
