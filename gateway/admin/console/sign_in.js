// Who is there: a token, that goes nowhere but into the requests of this tab.

import { Failure, get, keep } from "./api.js";
import { fill, h, svg } from "./dom.js";
import { field, whyNot } from "./parts.js";
import { t } from "./words.js";

export function signIn(failure, choices, done) {
  const token = h("input", {
    type: "password",
    name: "token",
    autocomplete: "off",
    autocapitalize: "off",
    spellcheck: "false",
    required: true,
    autofocus: true,
  });
  const told = h("p", { class: "bad", role: "alert" }, failure && why(failure));
  const go = h("button", { type: "submit", class: "main" }, t("sign_in.go"));

  async function send(event) {
    event.preventDefault();
    const value = token.value.trim().replace(/^Bearer\s+/i, "");
    if (!value) return token.focus();
    if (!/^[\x21-\x7e]+$/.test(value)) return fill(told, t("sign_in.no_token"));
    go.disabled = true;
    keep(value);
    try {
      const me = await get("/me");
      token.value = "";
      done(me);
    } catch (error) {
      if (!(error instanceof Failure)) throw error;
      keep(null);
      fill(told, why(error));
      go.disabled = false;
      token.select();
    }
  }

  return h(
    "main",
    { class: "alone" },
    h(
      "form",
      { class: "panel sign-in", on: { submit: send } },
      h(
        "div",
        { class: "brand" },
        svg(
          "svg",
          { viewBox: "0 0 32 32", width: "34", height: "34", "aria-hidden": "true" },
          svg("path", { d: "M9 25V13a7 7 0 0 1 14 0v12M16 25v-8" }),
        ),
      ),
      h("h1", {}, t("sign_in.title")),
      h("p", { class: "quiet" }, t("sign_in.text")),
      field(t("sign_in.token"), token, t("sign_in.kept")),
      told,
      go,
      choices,
    ),
  );
}

const why = (failure) =>
  failure.status === 401
    ? [t("sign_in.refused"), " ", failure.message && h("q", { lang: "en" }, failure.message)]
    : whyNot(failure);
