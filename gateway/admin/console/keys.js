// What tokens are verified and signed with, how old it is, and until when certificates are good.

import { get } from "./api.js";
import { fill, h } from "./dom.js";
import { lasting, moment, number, percent } from "./format.js";
import { badge, code, facts, loading, nothing, table } from "./parts.js";
import { t, word } from "./words.js";

const EVERY = 10;
const [SOON, VERY_SOON] = [21 * 86400, 7 * 86400];

export function keys({ poll }) {
  const content = h("div", { class: "pile" }, loading());
  poll(async (signal) => fill(content, whole(await get("/keys", {}, signal))), EVERY);
  return { element: h("div", {}, h("h1", {}, t("page.keys")), content) };
}

function whole({ authenticators, own, certificates }) {
  return [
    h("h2", {}, t("keys.authenticators")),
    authenticators.length
      ? h("div", { class: "cards" }, authenticators.map(authenticator))
      : nothing(t("keys.no_authenticators")),
    h("h2", {}, t("keys.own")),
    h("p", { class: "quiet" }, t("keys.own_text")),
    own.length
      ? table(
          t("keys.own"),
          [{ name: t("key.kid") }, { name: t("key.alg") }, { name: t("key.status") }, { name: t("key.age") }],
          own.map((key) => [
            code(key.kid),
            key.alg,
            badge(key.status === "current" ? "good" : "plain", t(`key.${key.status}`)),
            key.status === "next" && key.signs_from
              ? t("key.from", { time: moment(key.signs_from) })
              : h("span", { class: "whole" }, lasting(key.age)),
          ]),
        )
      : h("p", { class: "panel quiet" }, t("keys.no_own")),
    h("h2", {}, t("keys.certificates")),
    certificates.length
      ? table(
          t("keys.certificates"),
          [{ name: t("certificate.listener") }, { name: t("certificate.expires") }, { name: t("certificate.left") }],
          certificates.map(certificate),
        )
      : h("p", { class: "panel quiet" }, t("keys.no_certificates")),
  ];
}

function authenticator(each) {
  const looked = each.cache && each.cache.hits + each.cache.misses;
  const failed = each.fetches?.failed ?? 0;
  return h(
    "section",
    { class: "panel" },
    h(
      "div",
      { class: "title" },
      h("h3", {}, each.name),
      failed > 0 && badge("warn", t("keys.failed", { n: number(failed) })),
    ),
    facts([
      [t("authenticator.issuer"), each.issuer && code(each.issuer)],
      [
        t("authenticator.source"),
        ["own", "discovery"].includes(each.source) ? t(`authenticator.${each.source}`) : code(each.source),
      ],
      [
        t("authenticator.age"),
        each.is_fetched &&
          (each.age === null ? t("authenticator.not_fetched") : t("ago", { duration: lasting(each.age) })),
      ],
      [
        t("authenticator.fetches"),
        each.fetches &&
          Object.entries(each.fetches)
            .map(([name, count]) => `${word("result", name)} ${number(count)}`)
            .join(", "),
      ],
      [
        t("authenticator.cache"),
        each.cache &&
          t("authenticator.cached", {
            n: number(each.cache.entries),
            share: looked ? percent(each.cache.hits / looked) : "–",
          }),
      ],
    ]),
    each.keys.length
      ? h(
          "ul",
          { class: "chips" },
          each.keys.map((key) => h("li", {}, code(key.kid ?? "–"), h("small", {}, key.alg))),
        )
      : h("p", { class: "quiet" }, t("keys.none")),
  );
}

function certificate({ listener, expires_at }) {
  const left = expires_at - Date.now() / 1000;
  const kind = left < VERY_SOON ? "bad" : left < SOON ? "warn" : "good";
  return [code(listener), moment(expires_at), badge(kind, left > 0 ? lasting(left) : t("certificate.over"))];
}
