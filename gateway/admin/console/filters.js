// The form that says which decisions are shown.

import { get } from "./api.js";
import { fill, h } from "./dom.js";
import { t } from "./words.js";

const FILTERS = ["reason", "subject", "route", "client", "request_id"];
const OFFERED = ["reason", "route"]; // there are few, and they are known
const PAUSE = 400; // ms, while somebody types

/** Return the form of the filters. `changed` gets those that are not empty; `read` shows others. */
export function filterForm(filters, changed) {
  const inputs = FILTERS.map((name) =>
    h("input", {
      type: "search",
      name,
      value: filters.get(name) ?? "",
      autocomplete: "off",
      autocapitalize: "off",
      spellcheck: "false",
      placeholder: t(`decision.${name}`),
      "aria-label": t(`decision.${name}`),
      list: OFFERED.includes(name) ? `known-${name}` : null,
    }),
  );
  const outcomes = ["", "refuse", "allow"].map((value) =>
    h(
      "label",
      {},
      h("input", { type: "radio", name: "outcome", value, checked: (filters.get("outcome") ?? "") === value }),
      h("span", {}, t(`decisions.outcome_${value || "all"}`)),
    ),
  );
  const known = OFFERED.map((name) => h("datalist", { id: `known-${name}` }));
  let timer = null;
  const form = h(
    "form",
    {
      class: "filters",
      role: "search",
      "aria-label": t("decisions.filters"),
      on: {
        submit: (event) => {
          event.preventDefault();
          tell();
        },
        input: () => {
          clearTimeout(timer);
          timer = setTimeout(tell, PAUSE);
        },
      },
    },
    h("fieldset", { class: "segments" }, h("legend", { class: "unseen" }, t("decisions.outcome")), outcomes),
    inputs,
    known,
  );
  function tell() {
    clearTimeout(timer);
    changed(
      new URLSearchParams(
        [...new FormData(form)].map(([name, value]) => [name, value.trim()]).filter(([, value]) => value),
      ),
    );
  }
  Promise.all([get("/counters"), get("/routes", { limit: 200 })]).then(
    ([counters, { routes }]) => {
      fill(
        known[0],
        Object.keys(counters.decisions).map((value) => h("option", { value })),
      );
      fill(
        known[1],
        routes.map(({ id }) => h("option", { value: id })),
      );
    },
    () => {},
  ); // only what is offered to choose from: the failure is told where it matters
  return {
    form,
    read(next) {
      for (const input of inputs) if (input !== document.activeElement) input.value = next.get(input.name) ?? "";
      for (const label of outcomes) label.firstChild.checked = (next.get("outcome") ?? "") === label.firstChild.value;
    },
  };
}
