// Where requests go: the routes with what they ask for, the upstreams with how they are.

import { get } from "./api.js";
import { requirements } from "./decision.js";
import { fill, h } from "./dom.js";
import { number } from "./format.js";
import { badge, button, chip, loading, nothing } from "./parts.js";
import { PASSED } from "./rates.js";
import { t, word } from "./words.js";

const EVERY = 5;
const PAGE = 50;

export function routes({ poll, parameters }) {
  let offset = 0;
  let told = "";
  const unfolded = new Set();
  const search = h("input", {
    type: "search",
    name: "search",
    value: parameters.get("search") ?? "",
    autocomplete: "off",
    spellcheck: "false",
    placeholder: t("routes.search"),
    "aria-label": t("routes.search"),
    on: {
      input: () => {
        offset = 0;
        poller.now();
      },
    },
  });
  const upstreams = h("div", { class: "cards" }, loading());
  const list = h("div", {}, loading());
  const pages = h("div", { class: "row pages" });

  const poller = poll(async (signal) => {
    const [{ upstreams: all }, found] = await Promise.all([
      get("/upstreams", {}, signal),
      get("/routes", { search: search.value.trim(), limit: PAGE, offset }, signal),
    ]);
    // Only what has changed is drawn anew: nobody's place is lost.
    const now = JSON.stringify([all, found]);
    if (now === told || list.contains(document.activeElement)) return;
    told = now;
    fill(upstreams, all.length ? all.map(upstream) : nothing(t("upstreams.none")));
    fill(
      list,
      found.routes.length
        ? found.routes.map((each) => route(each, unfolded))
        : nothing(t(search.value ? "routes.none_match" : "routes.none")),
    );
    turn(found);
  }, EVERY);

  function turn({ total, routes: shown }) {
    const go = (by) => () => {
      offset += by;
      poller.now();
    };
    fill(
      pages,
      h(
        "span",
        { class: "quiet" },
        t("routes.shown", {
          from: number(shown.length ? offset + 1 : 0),
          to: number(offset + shown.length),
          total: number(total),
        }),
      ),
      offset > 0 && button(t("previous"), go(-PAGE), { class: "plain" }),
      offset + shown.length < total && button(t("next"), go(PAGE), { class: "plain" }),
    );
  }

  return {
    element: h(
      "div",
      {},
      h("h1", {}, t("page.routes")),
      h("h2", {}, t("upstreams.title")),
      upstreams,
      h("div", { class: "title" }, h("h2", {}, t("routes.title")), search),
      list,
      pages,
    ),
  };
}

function upstream(each) {
  const worst = each.targets.some((target) => !target.healthy || target.ejected);
  return h(
    "section",
    { class: "panel upstream" },
    h(
      "div",
      { class: "title" },
      h("h3", {}, each.name),
      each.circuit ? badge(each.circuit === "closed" ? "good" : "bad", t(`circuit.${each.circuit}`)) : null,
      worst && badge("warn", t("upstreams.degraded")),
    ),
    h("ul", { class: "targets" }, each.targets.map(target)),
    h(
      "p",
      { class: "quiet counts" },
      [
        ["connects", each.connects],
        ["retries", each.retries],
        ["health_checks", each.health_checks],
      ]
        .filter(([, counts]) => counts && Object.values(counts).some(Boolean))
        .map(([name, counts]) =>
          h(
            "span",
            {},
            t(`upstreams.${name}`),
            " ",
            Object.entries(counts)
              .filter(([, count]) => count)
              .map(([result, count]) => `${word("result", result)} ${number(count)}`)
              .join(", "),
          ),
        ),
    ),
  );
}

function stateOf({ ejected, healthy, is_checked: isChecked }) {
  if (ejected) return ["bad", "ejected"];
  if (!healthy) return ["bad", "unhealthy"];
  return isChecked ? ["good", "healthy"] : ["plain", "unchecked"];
}

function target(each) {
  const [kind, state] = stateOf(each);
  return h(
    "li",
    {},
    h("code", {}, each.name),
    badge(kind, t(`target.${state}`)),
    h("small", {}, t("target.connections", { busy: number(each.busy), idle: number(each.idle) })),
  );
}

function route(each, unfolded) {
  const toggle = (event) => (event.target.open ? unfolded.add(each.id) : unfolded.delete(each.id));
  const counts = Object.entries(each.decisions)
    .filter(([, count]) => count)
    .sort((a, b) => b[1] - a[1]);
  const total = counts.reduce((all, [, count]) => all + count, 0);
  const refused = counts.filter(([name]) => !PASSED.has(name)).reduce((all, [, count]) => all + count, 0);
  return h(
    "details",
    { class: "panel route", open: unfolded.has(each.id), on: { toggle } },
    h(
      "summary",
      {},
      h("b", {}, each.id),
      h("code", {}, each.methods ? `${each.methods.join(" ")} ` : "", each.path),
      badge(each.access === "public" ? "write" : "plain", t(`access.${each.access}`)),
      h("span", { class: "quiet arrow" }, each.own ? t("route.own") : `→ ${each.upstream}`),
      h("span", { class: "number" }, number(total), h("small", {}, t("routes.refused", { n: number(refused) }))),
    ),
    h(
      "div",
      { class: "columns" },
      requirements(each),
      h(
        "div",
        {},
        h("h3", {}, t("routes.decisions")),
        counts.length
          ? h(
              "ul",
              { class: "chips" },
              counts.map(([name, count]) =>
                h(
                  "li",
                  {},
                  chip(name, `#/decisions?${new URLSearchParams({ route: each.id, reason: name })}`),
                  " ",
                  number(count),
                ),
              ),
            )
          : h("p", { class: "quiet" }, t("overview.no_requests")),
      ),
    ),
  );
}
