// The configuration that is in force, and reading it again.

import { Failure, get, post } from "./api.js";
import { fill, h } from "./dom.js";
import { moment, since } from "./format.js";
import { badge, change, code, failed, loading, readOnly, say } from "./parts.js";
import { t } from "./words.js";

const [PAUSE, ROUNDS] = [700, 20];

export function settings({ me, load }) {
  let isHere = true;
  const status = h("section", { class: "panel" });
  const tree = h("div", { class: "config" });
  const search = h("input", {
    type: "search",
    placeholder: t("settings.search"),
    "aria-label": t("settings.search"),
    autocomplete: "off",
    spellcheck: "false",
    on: { input: () => narrow() },
  });

  function refresh() {
    return load(
      tree,
      () => get("/config"),
      (answer) => {
        tell(answer);
        queueMicrotask(narrow);
        return Object.entries(answer.config).map(([name, value]) => section(name, value));
      },
    );
  }

  function tell({ file, reload }) {
    fill(
      status,
      h(
        "div",
        { class: "title" },
        h("h2", {}, t("settings.reload")),
        change(me, t("settings.reload_now"), again, { class: "main" }),
      ),
      h(
        "p",
        { class: "row" },
        badge(reload.successful ? "good" : "bad", t(reload.successful ? "reload.good" : "reload.bad")),
        file && code(file),
        reload.at && h("span", {}, moment(reload.at)),
        reload.at && h("small", {}, since(reload.at)),
      ),
      reload.mistakes.length > 0 &&
        h(
          "ul",
          { class: "mistakes", lang: "en" },
          reload.mistakes.map((each) => h("li", {}, code(each))),
        ),
      readOnly(me),
    );
  }

  /** Ask for a reload, and wait until it has an outcome; without one in time nothing had changed. */
  async function again() {
    try {
      const before = await get("/config");
      await post("/reload");
      fill(status, loading());
      let answer = before;
      for (
        let round = 0;
        round < ROUNDS && isHere && JSON.stringify(answer.reload) === JSON.stringify(before.reload);
        round++
      ) {
        await new Promise((done) => setTimeout(done, PAUSE));
        answer = await get("/config");
      }
      if (!isHere) return;
      const isNew = JSON.stringify(answer.reload) !== JSON.stringify(before.reload);
      say(
        t(!answer.reload.successful ? "settings.rejected" : isNew ? "settings.reloaded" : "settings.unchanged"),
        answer.reload.successful ? "good" : "bad",
      );
      await refresh();
    } catch (failure) {
      if (!(failure instanceof Failure)) throw failure;
      fill(status, failed(failure, refresh));
    }
  }

  function narrow() {
    const wanted = search.value.trim().toLowerCase();
    for (const each of tree.querySelectorAll("details")) {
      each.hidden = !each.textContent.toLowerCase().includes(wanted);
      if (wanted) each.open = true;
    }
  }

  refresh();
  return {
    element: h(
      "div",
      {},
      h("h1", {}, t("page.settings")),
      status,
      h("div", { class: "title" }, h("h2", {}, t("settings.config")), search),
      h("p", { class: "quiet" }, t("settings.text")),
      tree,
    ),
    stop: () => (isHere = false),
  };
}

function section(name, value) {
  return h(
    "details",
    { class: "panel", open: true },
    h("summary", {}, h("h3", {}, name)),
    h("pre", { tabindex: "0" }, yaml(value, "")),
  );
}

/** Return a value as YAML, with its names and values told apart. */
function yaml(value, indent) {
  if (Array.isArray(value) && value.some((each) => each !== null && typeof each === "object")) {
    return value.map((each) => [`${indent}- `, dedented(yaml(each, `${indent}  `), indent)]);
  }
  if (value !== null && typeof value === "object" && !Array.isArray(value)) {
    const entries = Object.entries(value);
    if (!entries.length) return [`${indent}{}\n`];
    return entries.map(([name, each]) => [
      indent,
      h("span", { class: "name" }, `${name}:`),
      isNested(each) ? ["\n", yaml(each, `${indent}  `)] : [" ", scalar(each), "\n"],
    ]);
  }
  return [indent, scalar(value), "\n"];
}

const isNested = (value) =>
  value !== null &&
  typeof value === "object" &&
  (Array.isArray(value)
    ? value.some((each) => each !== null && typeof each === "object")
    : Object.keys(value).length > 0);

function dedented(lines, indent) {
  const flat = lines.flat(Infinity);
  if (typeof flat[0] === "string") flat[0] = flat[0].slice(indent.length + 2);
  return flat;
}

function scalar(value) {
  const kind = value === null ? "none" : typeof value;
  return h("span", { class: `value ${kind}` }, typeof value === "string" ? plain(value) : JSON.stringify(value));
}

const plain = (text) =>
  /^[\w./*:<>@-][\w ./*:<>@-]*$/.test(text) && !/^(true|false|null|[\d.]+)$|: | $/.test(text)
    ? text
    : JSON.stringify(text);
