// Why would this request be allowed, or refused? The token is asked with once, and is gone with the page.

import { Failure, post } from "./api.js";
import { fill, h } from "./dom.js";
import { moment } from "./format.js";
import { chip, code, failed, field, loading, nothing, status, whyNot } from "./parts.js";
import { t, word } from "./words.js";

const METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"];
const MARKS = { ok: "✓", no: "✗", note: "·", pass: "✓", fail: "✗", info: "·" };

export function explain({ parameters }) {
  const plain = { autocomplete: "off", autocapitalize: "off", spellcheck: "false" };
  const method = h("input", {
    ...plain,
    name: "method",
    value: parameters.get("method") ?? "GET",
    list: "methods",
    required: true,
  });
  const url = h("input", {
    ...plain,
    name: "url",
    inputmode: "url",
    value: parameters.get("url") ?? "",
    placeholder: "https://api.example/orders/7",
    required: true,
  });
  // Not type=password where it can be masked without: a browser would offer to keep it.
  const isMasked = CSS.supports("-webkit-text-security", "disc");
  const token = h("input", {
    ...plain,
    name: "token",
    type: isMasked ? "text" : "password",
    class: "masked",
    placeholder: "eyJ…",
  });
  const headers = h("textarea", { ...plain, name: "headers", rows: 2, placeholder: "Accept: text/html" });
  const peer = h("input", { ...plain, name: "peer", value: parameters.get("peer") ?? "", placeholder: "127.0.0.1" });
  const asked = Number(parameters.get("at"));
  const at = asked > 0 && h("input", { type: "checkbox", name: "at", checked: true });
  const told = h("p", { class: "bad", role: "alert" });
  const go = h("button", { type: "submit", class: "main" }, t("explain.go"));
  const result = h(
    "section",
    { class: "result", "aria-label": t("explain.result"), "aria-live": "polite" },
    nothing(t("explain.empty"), t("explain.empty_text")),
  );

  async function send(event) {
    event.preventDefault();
    const lines = headers.value.split("\n").filter((line) => line.trim());
    const wrong = lines.find((line) => !/^[^:\s]+:/.test(line));
    if (wrong) return fill(told, t("explain.bad_header"));
    fill(told);
    const question = { method: method.value.trim().toUpperCase(), url: url.value.trim() };
    const value = token.value.trim().replace(/^Bearer\s+/i, "");
    if (value) question.token = value;
    if (lines.length)
      question.headers = lines.map((line) => [
        line.slice(0, line.indexOf(":")),
        line.slice(line.indexOf(":") + 1).trim(),
      ]);
    if (peer.value.trim()) question.peer = peer.value.trim();
    if (at && at.checked) question.at = asked;
    go.disabled = true;
    fill(result, loading());
    try {
      fill(result, told_of(await post("/explain", question)));
    } catch (failure) {
      if (!(failure instanceof Failure)) throw failure;
      if ([400, 413, 422].includes(failure.status)) fill(told, whyNot(failure));
      fill(result, failed(failure));
    } finally {
      go.disabled = false;
    }
  }

  const clear = () => (token.value = "");
  addEventListener("pagehide", clear);
  const form = h(
    "form",
    { class: "panel ask", on: { submit: send } },
    h("div", { class: "pair" }, field(t("explain.method"), method), field(t("explain.url"), url)),
    field(t("explain.token"), token, t("explain.token_kept")),
    h(
      "details",
      { open: Boolean(parameters.get("peer") || asked) },
      h("summary", {}, t("explain.more")),
      field(t("explain.headers"), headers, t("explain.headers_text")),
      field(t("explain.peer"), peer),
      at && h("label", { class: "check" }, at, t("explain.at", { time: moment(asked) })),
    ),
    told,
    go,
    h(
      "datalist",
      { id: "methods" },
      METHODS.map((value) => h("option", { value })),
    ),
  );
  const element = h(
    "div",
    {},
    h("h1", {}, t("page.explain")),
    h("p", { class: "quiet lead" }, t("explain.text")),
    h("div", { class: "explain" }, form, result),
  );
  return {
    element,
    stop() {
      clear();
      removeEventListener("pagehide", clear);
      fill(result);
    },
  };
}

function told_of(answer) {
  const isRefused = answer.verdict === "deny";
  return [
    h(
      "div",
      { class: `panel outcome ${isRefused ? "bad" : "good"}` },
      h(
        "p",
        { class: "verdict" },
        h("strong", {}, t(`explain.${answer.verdict}`)),
        answer.status && status(answer.status),
        answer.reason && chip(answer.reason),
      ),
      answer.detail && h("p", { lang: "en" }, answer.detail),
      h(
        "p",
        { class: "quiet" },
        answer.route
          ? [
              t("explain.on_route"),
              " ",
              h("a", { href: `#/routes?search=${encodeURIComponent(answer.route)}` }, answer.route),
            ]
          : t("decision.no_route"),
      ),
    ),
    answer.disagreements.length > 0 &&
      h("div", { class: "banner" }, h("p", {}, t("explain.disagreements"), " ", answer.disagreements.join("; "))),
    steps(answer.steps),
    answer.response && h("section", { class: "panel" }, h("h2", {}, t("explain.response")), response(answer.response)),
    answer.forwarded &&
      h(
        "section",
        { class: "panel" },
        h("h2", {}, t("explain.forwarded", { upstream: answer.forwarded.upstream })),
        h("p", { class: "quiet" }, answer.forwarded.targets.join(", ")),
        h("pre", {}, answer.forwarded.head.join("\n")),
        answer.forwarded.removed.length > 0 &&
          h(
            "p",
            {},
            t("explain.removed"),
            " ",
            answer.forwarded.removed.map((each) => [code(each), " "]),
          ),
      ),
  ];
}

function steps(all) {
  const groups = [];
  for (const step of all) {
    const last = groups.at(-1);
    const by = step.authenticator ?? "";
    if (last?.section === step.section && last.by === by) last.steps.push(step);
    else groups.push({ section: step.section, by, steps: [step] });
  }
  return h(
    "ol",
    { class: "panel steps", "aria-label": t("explain.steps") },
    groups.map((group) =>
      h(
        "li",
        {},
        h("h3", {}, word("section", group.section), group.by && h("small", {}, t("explain.by", { name: group.by }))),
        h(
          "ul",
          {},
          group.steps.map((step) =>
            h(
              "li",
              { class: step.result },
              h("span", { class: "mark", "aria-hidden": "true" }, MARKS[step.result] ?? "·"),
              h("span", { class: "unseen" }, word("result", step.result)),
              h("span", { class: "what", lang: "en" }, step.name),
              h("span", { class: "detail-text", lang: "en" }, step.detail),
            ),
          ),
        ),
      ),
    ),
  );
}

function response({ status, headers, body }) {
  const head = [`HTTP/1.1 ${status}`, ...Object.entries(headers).map(([name, value]) => `${name}: ${value}`)];
  return h("pre", {}, [...head, "", JSON.stringify(body, null, 2)].join("\n"));
}
