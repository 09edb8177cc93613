// The page around the pages: who is signed in, where to go, and what is wrong with the connection.

import { Failure, get, hasToken, keep, signals } from "./api.js";
import { choices } from "./choices.js";
import { decisions } from "./decisions.js";
import { fill, h, svg } from "./dom.js";
import { explain } from "./explain.js";
import { keys } from "./keys.js";
import { overview } from "./overview.js";
import { badge, button, failed, loading, whyNot } from "./parts.js";
import { poll } from "./polling.js";
import { routes } from "./routes.js";
import { sessions } from "./sessions.js";
import { settings } from "./settings.js";
import { takeKeys, tellShortcuts } from "./shortcuts.js";
import { signIn } from "./sign_in.js";
import { t } from "./words.js";

// Name, page, key after `g`, drawing.
const PAGES = [
  ["overview", overview, "o", "M3 13h3l2-7 4 12 2-5h3"],
  ["decisions", decisions, "d", "M3 5h14M3 10h14M3 15h9"],
  ["explain", explain, "e", "M7 7.5a3 3 0 1 1 4.5 2.6c-.9.5-1.5 1-1.5 2M10 15.5v.2"],
  ["sessions", sessions, "s", "M10 9a3 3 0 1 0 0-6 3 3 0 0 0 0 6zM4 17a6 6 0 0 1 12 0"],
  ["routes", routes, "r", "M3 10h5l3-5h6M8 10l3 5h6"],
  ["keys", keys, "k", "M7 13a3 3 0 1 0 0-6 3 3 0 0 0 0 6zM10 10h7v3M14 10v2"],
  ["settings", settings, "c", "M3 6h8M15 6h2M3 14h2M9 14h8M13 4v4M7 12v4"],
];
const LETTERS = Object.fromEntries(PAGES.map(([name, , letter]) => [letter, name]));

let me = null;
let shell = null; // {main, banner, links}, while somebody is signed in
let page = null; // {name, element, stop, move, keys}

const icon = (d) =>
  svg("svg", { viewBox: "0 0 20 20", width: "18", height: "18", "aria-hidden": "true" }, svg("path", { d }));

async function start() {
  fill(document.body, loading());
  try {
    me = await get("/me");
    draw();
  } catch (failure) {
    if (!(failure instanceof Failure)) throw failure;
    if (failure.status === 401) askWho(hasToken() ? failure : null);
    else fill(document.body, h("main", { class: "alone" }, failed(failure, start)));
  }
}

function leave() {
  page?.stop();
  page = shell = null;
  for (const dialog of document.querySelectorAll("dialog")) dialog.close();
}

function askWho(failure) {
  leave();
  me = null;
  keep(null);
  document.title = `${t("sign_in.title")} · ${t("title")}`;
  fill(
    document.body,
    signIn(
      failure,
      choices(() => askWho(failure)),
      (mine) => {
        me = mine;
        draw();
        shell.main.focus({ preventScroll: true });
      },
    ),
  );
}

function draw() {
  leave();
  const main = h("main", { id: "main", tabindex: "-1" });
  const banner = h("div", { class: "banner", role: "alert", hidden: true });
  const links = PAGES.map(([name, , , d]) =>
    h("a", { href: `#/${name}`, "data-page": name }, icon(d), t(`page.${name}`)),
  );
  const side = h(
    "header",
    { class: "side" },
    h(
      "a",
      { class: "brand", href: "#/overview" },
      svg(
        "svg",
        { viewBox: "0 0 32 32", width: "26", height: "26", "aria-hidden": "true" },
        svg("path", { d: "M9 25V13a7 7 0 0 1 14 0v12M16 25v-8" }),
      ),
      h("span", {}, t("title")),
    ),
    h(
      "button",
      {
        type: "button",
        class: "menu",
        "aria-expanded": "false",
        "aria-controls": "side-more",
        on: { click: () => unfold(!side.classList.contains("open")) },
      },
      t("menu"),
    ),
    h(
      "div",
      { id: "side-more" },
      h("nav", { "aria-label": t("nav") }, links),
      h(
        "div",
        { class: "who" },
        h("p", {}, h("b", {}, me.actor), badge(me.role, t(`role.${me.role}`))),
        choices(draw),
        h(
          "div",
          { class: "row" },
          hasToken() &&
            button(
              t("sign_out"),
              () => {
                leave();
                keep(null);
                location.hash = "";
                start();
              },
              { class: "plain" },
            ),
          button(t("shortcuts"), () => tellShortcuts(LETTERS), { class: "plain", "aria-keyshortcuts": "?" }),
        ),
        h("p", { class: "quiet" }, `${me.gateway.version} · ${t(me.gateway.compiled ? "compiled" : "pure")}`),
      ),
    ),
  );
  function unfold(isOpen) {
    side.classList.toggle("open", isOpen);
    side.querySelector(".menu").setAttribute("aria-expanded", String(isOpen));
  }
  shell = { main, banner, links, unfold };
  const skip = h(
    "a",
    {
      class: "skip",
      href: "#main",
      on: {
        click: (event) => {
          event.preventDefault();
          main.focus();
        },
      },
    },
    t("skip"),
  );
  fill(document.body, skip, side, h("div", { class: "stage" }, banner, main));
  show();
}

/** Return where the address leads: `#/decisions/abc?reason=x`. */
function place() {
  const [path, query = ""] = location.hash.replace(/^#\/?/, "").split("?");
  const [name, ...parts] = path.split("/").map(decoded);
  const isKnown = PAGES.some(([each]) => each === name);
  return { name: isKnown ? name : "overview", parts, parameters: new URLSearchParams(query) };
}

function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

function show() {
  if (shell === null) return;
  const to = place();
  if (page?.name === to.name && page.move) return page.move(to);
  const isFirst = page === null;
  page?.stop();
  tell(null);
  const pollers = [];
  const context = {
    me,
    ...to,
    poll(work, seconds) {
      const poller = poll(work, seconds, (failure, at) => tell(failure, at, poller?.now));
      pollers.push(poller);
      return poller;
    },
    async load(target, work, shown) {
      fill(target, loading());
      try {
        const answer = await work();
        fill(target, shown(answer));
      } catch (failure) {
        if (!(failure instanceof Failure)) throw failure;
        fill(
          target,
          failed(failure, () => context.load(target, work, shown)),
        );
      }
    },
  };
  const made = PAGES.find(([name]) => name === to.name)[1](context);
  page = {
    name: to.name,
    ...made,
    stop() {
      pollers.forEach((each) => each.stop());
      made.stop?.();
    },
  };
  fill(shell.main, made.element);
  document.title = `${t(`page.${to.name}`)} · ${t("title")}`;
  for (const link of shell.links) {
    if (link.dataset.page === to.name) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  shell.unfold(false);
  scrollTo(0, 0);
  if (!isFirst && (document.activeElement === document.body || shell.links.includes(document.activeElement)))
    shell.main.focus({ preventScroll: true });
}

let counting = null;

function tell(failure, at, again) {
  if (shell === null) return;
  clearInterval(counting);
  shell.banner.hidden = failure === null;
  if (failure === null) return fill(shell.banner);
  const left = h("span", { "aria-live": "off" });
  const count = () => (left.textContent = t("retry.in", { seconds: Math.max(0, Math.ceil(at - Date.now() / 1000)) }));
  count();
  counting = setInterval(count, 1000);
  fill(shell.banner, h("p", {}, whyNot(failure), " ", left), button(t("retry"), again));
}

addEventListener("hashchange", show);
takeKeys(LETTERS, () => (shell === null ? null : { main: shell.main, page }));
signals.addEventListener("unauthorized", (event) => askWho(event.detail));
start();
