// What goes on: rates and times of the last minutes, and totals since the start.

import { get } from "./api.js";
import { Panel, WINDOW } from "./charts.js";
import { fill, h } from "./dom.js";
import { bytes, lasting, number, percent, short, since, took } from "./format.js";
import { chip, endReason, facts, loading } from "./parts.js";
import { PASSED, quantile, rates, sum } from "./rates.js";
import { t, word } from "./words.js";

const EVERY = 2;
const RECENT = 30; // seconds, over which quantiles and shares are taken: of two seconds they would only flicker
const SMOOTH = 7; // for rates; a few requests a second would else be nothing but spikes
const SHOWN = 6;

const history = []; // of this tab; who comes back to the page sees what it had seen

export function overview({ poll }) {
  const element = h("div", {}, h("h1", {}, t("page.overview")), loading());
  let view = null;
  poll(async (signal) => {
    const now = await get("/counters", {}, signal);
    history.push(now);
    while (history[0].at < now.at - WINDOW - RECENT) history.shift();
    if (view === null) fill(element, h("h1", {}, t("page.overview")), (view = views()).element);
    view.show();
  }, EVERY);
  return { element };
}

function views() {
  const panel = new Panel();
  const timing = ["added", "upstream", "request"];
  const perSecond = (value) => short(value);
  const charts = [
    panel.chart(t("overview.requests"), "stack", perSecond, t("per_second")),
    panel.chart(t("overview.refusals"), "stack", perSecond, t("per_second")),
    ...timing.map((name) => panel.chart(t(`overview.${name}`), "lines", took, t("overview.quantiles"))),
    panel.chart(t("overview.exchanges"), "stack", perSecond, t("per_second")),
    panel.chart(t("overview.staleness"), "lines", took),
  ];
  const tiles = h("dl", { class: "tiles" });
  const totals = h("div", { class: "columns" });
  const element = h(
    "div",
    { class: "overview" },
    tiles,
    h(
      "div",
      { class: "charts" },
      charts.map((each) => each.element),
    ),
    totals,
  );
  return {
    element,
    show() {
      const now = history.at(-1);
      fill(tiles, tilesOf(now));
      const times = history.map((each) => each.at);
      panel.show(times, now.at, [
        outcomes(),
        refusals(),
        ...timing.map(quantiles),
        exchanges(),
        [{ label: t("overview.age"), tone: 1, values: history.map((each) => each.revocation_staleness) }],
      ]);
      if (!totals.contains(document.activeElement)) fill(totals, totalsOf(now));
    },
  };
}

/** Return for each answer how `members` of it grew in the seconds before. */
function grown(members) {
  return history.map((each, index) => {
    const from = before(each.at - SMOOTH, index);
    return from && rates(from, each, members);
  });
}

function outcomes() {
  const each = grown((counters) => counters.requests);
  const part = (names) => each.map((grown) => grown && names.reduce((total, name) => total + (grown[name] ?? 0), 0));
  return [
    { label: t("outcome.served"), tone: 1, values: part(["1xx", "2xx", "3xx"]) },
    { label: t("outcome.4xx"), tone: 2, values: part(["4xx", "499"]) },
    { label: t("outcome.5xx"), tone: 3, values: part(["5xx"]) },
  ];
}

const tones = new Map([
  ["rotated", 1],
  ["repeated", 5],
  ["recovered", 4],
]); // others keep the first they get

function refusals() {
  const each = grown((counters) => counters.decisions);
  return ranked(
    each,
    (name) => !PASSED.has(name),
    (name) => `#/decisions?reason=${encodeURIComponent(name)}`,
  );
}

function exchanges() {
  return ranked(grown((counters) => counters.exchanges));
}

/** Return series of the names that count most, and one of all others. */
function ranked(each, isShown = () => true, href = () => null) {
  const totals = {};
  for (const grown of each)
    for (const [name, rate] of Object.entries(grown ?? {}))
      if (isShown(name)) totals[name] = (totals[name] ?? 0) + rate;
  const names = Object.keys(totals)
    .filter((name) => totals[name] > 0)
    .sort((a, b) => totals[b] - totals[a]);
  const first = names.slice(0, SHOWN - 1).sort();
  const rest = names.slice(SHOWN - 1);
  const values = (parts) => each.map((grown) => grown && parts.reduce((total, name) => total + (grown[name] ?? 0), 0));
  paint(first);
  const series = first.map((name) => ({
    label: name,
    tone: tones.get(name),
    values: values([name]),
    href: href(name),
  }));
  if (rest.length || !first.length)
    series.push({ label: t(first.length ? "others" : "none"), tone: 0, values: values(rest) });
  return series;
}

/** Give colours to names that are shown together: each keeps its own, unless another has it. */
function paint(names) {
  const taken = new Set();
  const bare = names.filter((name) => {
    const isFree = tones.has(name) && !taken.has(tones.get(name));
    if (isFree) taken.add(tones.get(name));
    return !isFree;
  });
  for (const name of bare) {
    tones.set(
      name,
      [2, 5, 4, 6, 3, 1].find((tone) => !taken.has(tone)),
    );
    taken.add(tones.get(name));
  }
}

function quantiles(name) {
  const values = (q) =>
    history.map((each, index) => {
      const from = before(each.at - RECENT, index);
      return from === null ? null : quantile(q, from.seconds[name], each.seconds[name]);
    });
  return [
    [0.5, "p50", 1],
    [0.95, "p95", 2],
    [0.99, "p99", 4],
  ].map(([q, label, tone]) => ({ label, tone, values: values(q) }));
}

/** Return the oldest answer since a time, before `index`; null without one. */
function before(at, index) {
  let first = index;
  // Where another number of workers has answered, totals do not compare.
  while (first > 0 && history[first - 1].at >= at && history[first - 1].answered === history[index].answered) first--;
  return first < index ? history[first] : null;
}

function tilesOf(now) {
  const from = before(now.at - RECENT, history.length - 1);
  const requests = from && rates(from, now, (each) => each.requests);
  const decisions = from && rates(from, now, (each) => each.decisions);
  const all = requests && sum(requests);
  const refused = decisions && sum(Object.fromEntries(Object.entries(decisions).filter(([name]) => !PASSED.has(name))));
  const cpu = from && (now.cpu_seconds - from.cpu_seconds) / (now.at - from.at);
  const workers = now.workers;
  const missing = workers ? workers.unready + workers.missing : 0;
  const tile = (name, value, note, kind) =>
    h(
      "div",
      { class: kind ? `tile ${kind}` : "tile" },
      h("dt", {}, t(`tile.${name}`)),
      h("dd", {}, value, note && h("small", {}, note)),
    );
  return [
    tile("requests", short(all), t("per_second")),
    tile("refused", all ? percent(refused / sum(decisions)) : percent(null), t("of_all")),
    tile("added", from ? took(quantile(0.95, from.seconds.added, now.seconds.added)) : took(null), "p95"),
    tile("connections", number(now.connections), now.tunnels ? t("tile.tunnels", { n: number(now.tunnels) }) : null),
    tile(
      "revocations",
      number(now.revocations),
      now.revocation_staleness === null ? t("never") : t("tile.news", { duration: took(now.revocation_staleness) }),
      now.revocation_staleness === null ? "attention" : "",
    ),
    workers
      ? tile(
          "workers",
          `${workers.ready}/${workers.ready + missing}`,
          workers.draining ? t("tile.draining", { n: workers.draining }) : t("ready"),
          missing ? "attention" : "",
        )
      : tile("workers", "1", t("ready")),
    tile("cpu", cpu === null ? percent(null) : percent(cpu), bytes(now.memory_bytes)),
    tile(
      "reload",
      t(now.reload.successful ? "reload.good" : "reload.bad"),
      since(now.reload.at),
      now.reload.successful ? "" : "attention",
    ),
  ];
}

function totalsOf(now) {
  const reasons = Object.entries(now.decisions)
    .filter(([, count]) => count)
    .sort((a, b) => b[1] - a[1]);
  const most = reasons.filter(([name]) => !PASSED.has(name))[0]?.[1] ?? 1;
  const bar = ([name, count]) =>
    h(
      "tr",
      {},
      h("td", {}, chip(name, `#/decisions?reason=${encodeURIComponent(name)}`)),
      h(
        "td",
        { class: "bar" },
        !PASSED.has(name) && h("meter", { min: 0, max: most, value: count, "aria-hidden": "true" }),
      ),
      h("td", { class: "number" }, number(count)),
    );
  const counts = (members, prefix) =>
    Object.entries(members)
      .filter(([, count]) => count)
      .map(([name, count]) => [word(prefix, name), number(count)]);
  const group = (title, pairs) =>
    h("section", {}, h("h3", {}, title), pairs.length ? facts(pairs) : h("p", { class: "quiet" }, t("none")));
  return [
    h(
      "section",
      { class: "panel" },
      h("h2", {}, t("overview.since_start")),
      reasons.length
        ? h(
            "table",
            { class: "bars" },
            h("caption", { class: "unseen" }, t("overview.since_start")),
            h("tbody", {}, reasons.map(bar)),
          )
        : h("p", { class: "quiet" }, t("overview.no_requests")),
    ),
    h(
      "section",
      { class: "panel groups" },
      h("h2", {}, t("overview.more")),
      group(t("overview.sessions"), [
        [t("overview.opened"), number(now.sessions_opened)],
        ...Object.entries(now.sessions_ended)
          .filter(([, count]) => count)
          .map(([name, count]) => [endReason(name), number(count)]),
      ]),
      group(t("overview.logins"), counts(now.logins, "result")),
      group(t("overview.exchanges"), counts(now.exchanges, "result")),
      group(t("overview.traffic"), [
        [t("overview.bytes_in"), bytes(now.request_bytes)],
        [t("overview.bytes_out"), bytes(now.response_bytes)],
        [t("overview.store_errors"), number(now.store_errors)],
        [t("overview.cpu"), lasting(now.cpu_seconds)],
      ]),
    ),
  ];
}
