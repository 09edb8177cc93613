// One decision: what was decided, what that means, and what to do about it.

import { Failure, get, path } from "./api.js";
import { fill, h } from "./dom.js";
import { moment, since, tookMs } from "./format.js";
import { button, chip, code, facts, failed, loading, prose, status } from "./parts.js";
import { PASSED } from "./rates.js";
import { t } from "./words.js";

/** Show a decision in an element. `close` is for the button that ends it. */
export async function decision(element, id, { me, close }) {
  const top = (more) =>
    h(
      "div",
      { class: "title" },
      h("h2", {}, t("decision.title")),
      more,
      button("×", close, { class: "close plain", "aria-label": t("close") }),
    );
  element.dataset.id = id;
  fill(element, top(), loading());
  try {
    const answer = await get(`/decisions${path(id)}`);
    if (element.dataset.id !== id) return;
    fill(element, top(), whole(answer, me));
  } catch (failure) {
    if (!(failure instanceof Failure)) throw failure;
    if (element.dataset.id !== id) return;
    const told =
      failure.status === 404
        ? h("p", { class: "quiet" }, t("decision.gone"))
        : failed(failure, () => decision(element, id, { me, close }));
    fill(element, top(), told);
  }
}

function whole({ decision: it, meaning, advice, route }, me) {
  const also = (name, value) => [
    code(value),
    " ",
    h("a", { class: "also", href: `#/decisions?${new URLSearchParams({ [name]: value })}` }, t("decision.more")),
  ];
  return [
    h("p", { class: "verdict" }, status(it.status), " ", chip(it.reason)),
    h("p", { class: "request" }, h("b", {}, it.method), " ", it.path),
    it.detail && h("p", { class: "because", lang: "en" }, it.detail),
    (meaning || advice) &&
      facts([
        [t("decision.meaning"), meaning && prose(meaning)],
        [t("decision.advice"), advice && advice !== "–" && prose(advice)],
      ]),
    h(
      "p",
      { class: "row" },
      h("a", { class: "button main", href: `#/explain?${question(it, route, me)}` }, t("decision.explain")),
    ),
    h("h3", {}, t("decision.who")),
    facts([
      [
        t("decision.subject"),
        it.subject ? also("subject", it.subject) : h("span", { class: "quiet" }, t("decision.nobody_proven")),
      ],
      [t("decision.authenticator"), it.authenticator && code(it.authenticator)],
      [t("decision.token_id"), it.token_id && code(it.token_id)],
      [
        t("decision.session"),
        it.session && [
          code(it.session),
          " ",
          it.subject &&
            me.gateway.has_sessions &&
            h("a", { class: "also", href: `#/sessions/${encodeURIComponent(it.subject)}` }, t("decision.sessions")),
        ],
      ],
      ...Object.entries(it.claims ?? {}).map(([name, value]) => [
        code(name),
        typeof value === "string" ? value : JSON.stringify(value),
      ]),
      [t("decision.client"), also("client", it.client)],
      [t("decision.user_agent"), it.user_agent],
    ]),
    h("h3", {}, t("decision.where")),
    facts([
      [t("decision.time"), [moment(it.time), h("small", {}, since(it.time))]],
      [t("decision.duration"), tookMs(it.duration_ms)],
      [t("decision.added"), it.added_ms !== null && tookMs(it.added_ms)],
      [t("decision.upstream_took"), it.upstream_ms !== null && tookMs(it.upstream_ms)],
      [t("decision.upstream"), it.upstream && code(it.upstream)],
      [t("decision.target"), it.target && code(it.target)],
      [t("decision.protocol"), it.protocol],
      [t("decision.request_id"), code(it.request_id)],
      [t("decision.trace_id"), it.trace_id && code(it.trace_id)],
    ]),
    h("h3", {}, t("decision.route")),
    route
      ? requirements(route)
      : h("p", { class: "quiet" }, t(it.route ? "decision.route_gone" : "decision.no_route_text")),
  ];
}

/** Return what a route asks of a request. */
export function requirements(route) {
  const list = (items) =>
    items.length > 0 &&
    h(
      "ul",
      {},
      items.map((each) => h("li", {}, code(each))),
    );
  return facts([
    [t("route.id"), [code(route.id), route.own && h("small", {}, t("route.own"))]],
    [
      t("route.match"),
      [
        route.methods?.join(", ") ?? t("route.any_method"),
        " ",
        code(route.path),
        " ",
        h("small", {}, route.hosts.join(", ") || t("route.any_host")),
      ],
    ],
    [t("route.access"), t(`access.${route.access}`)],
    [t("route.token_from"), list(route.token_from)],
    [t("route.authenticators"), list(route.authenticators)],
    [
      t("route.require"),
      list(route.require) || (route.access !== "public" && h("span", { class: "quiet" }, t("route.no_require"))),
    ],
    [t("route.rate_limits"), list(route.rate_limits)],
  ]);
}

/** Return the question of Explain about the same request; a decision does not keep its host. */
function question(it, route, me) {
  const host = route?.hosts.find((each) => !each.includes("*")) ?? hostOf(me.gateway.issuer) ?? "localhost";
  const asked = { method: it.method, url: `https://${host}${it.path}`, peer: it.client };
  return new URLSearchParams(PASSED.has(it.reason) ? asked : { ...asked, at: String(Math.floor(it.time)) });
}

function hostOf(issuer) {
  return issuer && URL.canParse(issuer) ? new URL(issuer).host : null;
}
