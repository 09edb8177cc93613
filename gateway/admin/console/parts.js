// What several pages are made of: chips, tables, tellings of nothing and of failures, dialogs.

import { fill, h, svg } from "./dom.js";
import { BROKEN, PASSED } from "./rates.js";
import { t, word } from "./words.js";

/** Return the chip of a reason. Passed is quiet, refused is amber, broken is red: and the word says it, too. */
export function chip(reason, href) {
  const kind = PASSED.has(reason) ? "passed" : BROKEN.has(reason) ? "failed" : "refused";
  return href ? h("a", { class: `chip ${kind}`, href }, reason) : h("span", { class: `chip ${kind}` }, reason);
}

export const status = (number) => h("span", { class: number >= 500 ? "status broken" : "status" }, String(number));

export const badge = (kind, text) => h("span", { class: `badge ${kind}` }, text);

export function button(label, click, attributes = {}) {
  return h("button", { type: "button", ...attributes, on: { click } }, label);
}

/** Return a button that changes something: for those who may only read it is off, and says why. */
export function change(me, label, click, attributes = {}) {
  if (me.role === "write") return button(label, click, attributes);
  return button(label, () => {}, { ...attributes, disabled: true, title: t("read.only") });
}

export const readOnly = (me) => me.role !== "write" && h("p", { class: "remark" }, t("read.only"));

let fields = 0;

export function field(label, input, hint) {
  input.id = `field-${++fields}`;
  if (hint) input.setAttribute("aria-describedby", `${input.id}-hint`);
  return h(
    "div",
    { class: "field" },
    h("label", { for: input.id }, label),
    input,
    hint && h("small", { id: `${input.id}-hint` }, hint),
  );
}

/** Return a table. `columns` are [{name, class}], `rows` rows of cells. */
export function table(caption, columns, rows) {
  return h(
    "div",
    { class: "scroll", tabindex: "0", role: "region", "aria-label": caption },
    h(
      "table",
      {},
      h("caption", { class: "unseen" }, caption),
      h(
        "thead",
        {},
        h(
          "tr",
          {},
          columns.map(({ name, ...more }) => h("th", { scope: "col", ...more }, name)),
        ),
      ),
      h(
        "tbody",
        {},
        rows.map((cells) =>
          h(
            "tr",
            {},
            cells.map((cell, index) =>
              h(
                "td",
                {
                  class: columns[index].class,
                  "data-label": typeof columns[index].name === "string" ? columns[index].name : null,
                },
                cell,
              ),
            ),
          ),
        ),
      ),
    ),
  );
}

/** Return terms with what they stand for. Those without a value are left out. */
export function facts(pairs) {
  const told = pairs.filter(([, value]) => value !== null && value !== undefined && value !== "" && value !== false);
  return h(
    "dl",
    { class: "facts" },
    told.map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value))),
  );
}

/** Return prose of the API in English, in which `…` is code. */
export function prose(text) {
  const parts = text.replace(/\[([^\]]*)\]\([^)]*\)/g, "$1").split("`");
  return h(
    "span",
    { lang: "en" },
    parts.map((part, index) => (index % 2 ? h("code", {}, part) : part)),
  );
}

export const code = (text) => h("code", {}, text);

export function nothing(title, text) {
  return h("div", { class: "nothing" }, drawing(), h("h2", {}, title), text && h("p", {}, text));
}

function drawing() {
  return svg(
    "svg",
    { viewBox: "0 0 48 32", width: "72", height: "48", class: "arch", "aria-hidden": "true" },
    svg("path", { d: "M2 30h44M10 30V18a14 14 0 0 1 28 0v12M18 30V18a6 6 0 0 1 12 0v12" }),
  );
}

export const loading = () =>
  h("div", { class: "loading", role: "status" }, h("i"), h("i"), h("i"), h("span", { class: "unseen" }, t("loading")));

/** Return words for a failure. */
export function whyNot(failure) {
  const known = { 0: "fail.network", 403: "fail.403", 404: "fail.404", 429: "fail.429", 503: "fail.503" }[
    failure.status
  ];
  const words = known ? t(known) : t("fail.other", { status: failure.status });
  return failure.message && failure.status !== 0 ? [words, " ", h("q", { lang: "en" }, failure.message)] : [words];
}

export function failed(failure, again) {
  return h(
    "div",
    { class: "nothing", role: "alert" },
    drawing(),
    h("h2", {}, t("fail.title")),
    h("p", {}, whyNot(failure)),
    again && button(t("retry"), again),
  );
}

const said = h("div", { class: "said", role: "status", "aria-live": "polite" });

/** Say what was done, for a while, wherever the reader is. */
export function say(text, kind = "good") {
  if (!said.isConnected) document.body.append(said);
  const words = h("p", { class: kind }, text);
  said.append(words);
  setTimeout(() => words.remove(), 8000);
}

/** Ask in a dialog, and do `work(form)` if the answer is yes; what fails is told there.
 *
 * With `typed` the button works once that was typed: what cannot be taken back is not done by a slip.
 */
export function ask({ title, text, action, typed, typedLabel, fields = [], work }) {
  const go = h("button", { type: "submit", class: "danger", disabled: Boolean(typed) }, action);
  const name = typed && h("input", { name: "typed", autocomplete: "off", autocapitalize: "off", spellcheck: "false" });
  name?.addEventListener("input", () => (go.disabled = name.value !== typed));
  const told = h("p", { class: "bad", role: "alert" });
  const form = h(
    "form",
    { on: { submit: send } },
    h("h2", { id: "dialog-title" }, title),
    text && h("p", {}, text),
    fields,
    name && field(typedLabel, name, h("code", {}, typed)),
    told,
    h(
      "div",
      { class: "actions" },
      button(t("cancel"), () => dialog.close()),
      go,
    ),
  );
  const dialog = h("dialog", { "aria-labelledby": "dialog-title", on: { close: () => dialog.remove() } }, form);
  async function send(event) {
    event.preventDefault();
    go.disabled = true;
    try {
      await work(form);
      dialog.close();
    } catch (failure) {
      fill(told, whyNot(failure));
      go.disabled = false;
    }
  }
  document.body.append(dialog);
  dialog.showModal();
}

export const endReason = (name) => word("ended", name);
