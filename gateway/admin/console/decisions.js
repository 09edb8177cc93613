// The latest decisions as they come: every refusal, and a sample of what passed.

import { get } from "./api.js";
import { decision } from "./decision.js";
import { fill, h } from "./dom.js";
import { filterForm } from "./filters.js";
import { clock, number, tookMs } from "./format.js";
import { button, chip, loading, nothing, status } from "./parts.js";
import { t } from "./words.js";

const EVERY = 1.2;
const OVERLAP = 2; // seconds: workers tell one after the other
const MOST = 400;
const CAN_HOVER = matchMedia("(hover: hover)");
const COLUMNS = ["time", "reason", "request", "route", "subject", "client", "duration"];

const keyOf = (each) => `${each.request_id} ${each.ended}`;

export function decisions({ me, poll, parts, parameters }) {
  let opened = parts[0] ?? null;
  let filters = new URLSearchParams(parameters);
  let shown = new Map(); // key to {decision, row}
  let waiting = new Map(); // what came while paused
  let seen = new Map(); // key to the time of those that may come again
  let latest = 0;
  let isPaused = false;
  let isFirst = true;
  let generation = 0;

  const body = h("tbody", { on: { pointerleave: () => isPaused || setPaused(false) } });
  const foot = h("div", { class: "foot" }, loading());
  const list = h(
    "div",
    { class: "scroll list" },
    h(
      "table",
      { class: "decisions" },
      h("caption", { class: "unseen" }, t("page.decisions")),
      h(
        "thead",
        {},
        h(
          "tr",
          {},
          COLUMNS.map((name) => h("th", { scope: "col", class: name }, t(`decision.${name}`))),
        ),
      ),
      body,
    ),
    foot,
  );
  const detail = h("aside", { class: "detail", "aria-label": t("decision.title"), tabindex: "-1", hidden: true });
  const pause = h("button", {
    type: "button",
    "aria-pressed": "false",
    on: { click: () => setPaused(!isPaused && !waiting.size) },
  });
  const light = h("span", { class: "live" });
  const { form, read } = filterForm(filters, (next) => travel(opened, next));
  const element = h(
    "div",
    { class: "decisions-page" },
    h("div", { class: "title" }, h("h1", {}, t("page.decisions")), light, pause),
    form,
    h("div", { class: "split" }, list, detail),
  );

  const poller = poll(async (signal) => {
    const mine = generation;
    const asked = { ...Object.fromEntries(filters), since: latest ? latest - OVERLAP : "", limit: isFirst ? 200 : 100 };
    const answer = await get("/decisions", asked, signal);
    if (mine === generation) take(answer);
  }, EVERY);

  function take(answer) {
    isFirst = false;
    for (const each of answer.decisions.toReversed()) {
      latest = Math.max(latest, each.ended);
      if (seen.has(keyOf(each))) continue;
      seen.set(keyOf(each), each.ended);
      if (isHeld()) waiting.set(keyOf(each), each);
      else add(each);
    }
    for (const [key, ended] of seen) if (ended < latest - OVERLAP) seen.delete(key);
    for (const key of waiting.keys()) if (waiting.size > MOST) waiting.delete(key);
    tell();
  }

  /** Say whether rows stay where they are: also under a mouse that is about to click one. */
  const isHeld = () => isPaused || (body.rows.length > 0 && CAN_HOVER.matches && body.matches(":hover"));

  function add(each) {
    const row = rowOf(each);
    shown.set(keyOf(each), { each, row });
    body.prepend(row);
    while (shown.size > MOST) {
      const [[key, oldest]] = shown;
      if (oldest.row.contains(document.activeElement)) break;
      oldest.row.remove();
      shown.delete(key);
    }
  }

  function rowOf(each) {
    const link = h(
      "a",
      { href: hashOf(each.request_id, filters) },
      h("b", { class: "method" }, each.method),
      " ",
      each.path,
    );
    const cells = {
      time: [clock(each.time)],
      reason: [status(each.status), " ", chip(each.reason)],
      request: [link],
      route: [each.route ?? h("span", { class: "quiet" }, t("decision.no_route"))],
      subject: [each.subject ?? h("span", { class: "quiet" }, t("decision.nobody"))],
      client: [each.client],
      duration: [tookMs(each.duration_ms)],
    };
    return h(
      "tr",
      {
        "data-id": each.request_id,
        class: each.request_id === opened ? "open" : null,
        on: {
          click: (event) => event.target.closest("a") || String(getSelection()) || travel(each.request_id, filters),
        },
      },
      COLUMNS.map((name) => h("td", { class: name, title: name === "request" ? each.path : null }, cells[name])),
    );
  }

  function tell() {
    light.className = isPaused ? "live off" : "live";
    light.textContent = t(isPaused ? "decisions.paused" : "decisions.live");
    pause.textContent = waiting.size
      ? t("decisions.waiting", { n: number(waiting.size) })
      : t(isPaused ? "decisions.go_on" : "decisions.pause");
    pause.setAttribute("aria-pressed", String(isPaused));
    const { keep, sample } = me.gateway.decisions;
    if (keep === 0) fill(foot, nothing(t("decisions.off"), t("decisions.off_text")));
    else if (isFirst) fill(foot, loading());
    else if (shown.size)
      fill(
        foot,
        h("p", { class: "quiet end" }, t("decisions.end", { keep: number(keep), sample: number(sample * 100, 2) })),
      );
    else if ([...filters].length)
      fill(
        foot,
        nothing(t("decisions.none_match"), t("decisions.none_match_text")),
        h(
          "p",
          { class: "middle" },
          button(t("decisions.clear"), () => travel(null, new URLSearchParams())),
        ),
      );
    else fill(foot, nothing(t("decisions.none"), t("decisions.none_text")));
  }

  function setPaused(value) {
    isPaused = value;
    if (!isPaused) {
      for (const each of waiting.values()) add(each);
      waiting = new Map();
    }
    tell();
  }

  function open(id) {
    opened = id;
    for (const { row } of shown.values()) row.classList.toggle("open", row.dataset.id === id);
    element.classList.toggle("with-detail", id !== null);
    detail.hidden = id === null;
    if (id === null) return;
    decision(detail, id, { me, close });
    if (!list.checkVisibility()) detail.focus(); // on a phone it takes the place of the list
  }

  function close() {
    const row = [...body.rows].find((each) => each.dataset.id === opened);
    travel(null, filters);
    row?.querySelector("a").focus();
  }

  function travel(id, next) {
    const hash = hashOf(id, next);
    if (location.hash !== hash) location.hash = hash;
  }

  function move(to) {
    if (String(to.parameters) !== String(filters)) {
      filters = new URLSearchParams(to.parameters);
      read(filters);
      [shown, waiting, seen, latest, isFirst] = [new Map(), new Map(), new Map(), 0, true];
      generation += 1;
      fill(body);
      tell();
      poller.now();
    }
    const id = to.parts[0] ?? null;
    if (id !== opened) open(id);
  }

  /** Go to the row below or above, and show it too where one is shown already. */
  function step(by) {
    const rows = [...body.rows];
    const current = rows.findIndex(
      (row) =>
        row.contains(document.activeElement) || (row.dataset.id === opened && !body.contains(document.activeElement)),
    );
    const row = rows[Math.min(rows.length - 1, Math.max(0, current + by))];
    if (!row) return false;
    row.querySelector("a").focus();
    row.scrollIntoView({ block: "nearest" });
    if (opened !== null) travel(row.dataset.id, filters);
    return true;
  }

  tell();
  if (opened !== null) open(opened);
  return {
    element,
    move,
    keys: {
      j: () => step(1),
      k: () => step(-1),
      p: () => setPaused(!isPaused && !waiting.size) ?? true,
      Escape: () => opened !== null && (close() ?? true),
    },
  };
}

function hashOf(id, filters) {
  const query = String(filters);
  return `#/decisions${id === null ? "" : `/${encodeURIComponent(id)}`}${query ? `?${query}` : ""}`;
}
