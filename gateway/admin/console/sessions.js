// Who is logged in, and ending it.

import { get, path, post, remove } from "./api.js";
import { h } from "./dom.js";
import { day, moment, number, since } from "./format.js";
import { ask, change, code, field, nothing, readOnly, say, table } from "./parts.js";
import { t } from "./words.js";

const LEVELS = ["subject", "client", "session", "token", "issuer", "everything"];
const NAMELESS = ["issuer", "everything"];

export function sessions({ me, parts, load }) {
  if (!me.gateway.has_sessions) {
    return {
      element: h("div", {}, h("h1", {}, t("page.sessions")), nothing(t("sessions.off"), t("sessions.off_text"))),
    };
  }
  let subject = parts[0] ?? "";
  const input = h("input", {
    type: "search",
    name: "subject",
    value: subject,
    autocomplete: "off",
    autocapitalize: "off",
    spellcheck: "false",
    placeholder: "alice",
  });
  const form = h(
    "form",
    {
      class: "search",
      role: "search",
      on: {
        submit: (event) => {
          event.preventDefault();
          const hash = input.value ? `#/sessions/${encodeURIComponent(input.value)}` : "#/sessions";
          if (location.hash === hash) refresh();
          else location.hash = hash;
        },
      },
    },
    field(t("sessions.subject"), input, t("sessions.subject_text")),
    h("button", { type: "submit", class: "main" }, t("sessions.find")),
  );
  const found = h("div", { class: "found" });

  function refresh() {
    if (!subject) return found.replaceChildren(nothing(t("sessions.ask"), t("sessions.ask_text")));
    return load(
      found,
      () => get(`/subjects${path(subject)}/sessions`),
      ({ sessions }) =>
        sessions.length
          ? listed(me, subject, sessions, refresh)
          : nothing(t("sessions.none", { subject }), t("sessions.none_text")),
    );
  }

  refresh();
  return {
    element: h("div", {}, h("h1", {}, t("page.sessions")), h("div", { class: "panel" }, form), found, revoking(me)),
    move(to) {
      subject = to.parts[0] ?? "";
      input.value = subject;
      refresh();
    },
  };
}

function listed(me, subject, sessions, refresh) {
  const columns = ["device", "client", "address", "last_used", "created", "expires", "scope", "generation", "id"].map(
    (name) => ({ name: t(`session.${name}`) }),
  );
  columns.push({ name: h("span", { class: "unseen" }, t("session.actions")), class: "action" });
  const when = (at) => h("time", { title: moment(at) }, since(at));
  const rows = sessions
    .toSorted((a, b) => b.last_used_at - a.last_used_at)
    .map((each) => [
      each.device ?? h("span", { class: "quiet" }, t("session.no_device")),
      code(each.client_id),
      h("span", { class: "whole" }, each.address || "–"),
      when(each.last_used_at),
      when(each.created_at),
      each.expires_at ? h("time", {}, day(each.expires_at)) : "–",
      each.scope || "–",
      number(each.generation),
      h("code", { class: "id", title: each.id }, each.id),
      change(me, t("session.end"), () => endOne(each, refresh), {
        class: "plain danger",
        "aria-label": t("session.end_this", { device: each.device ?? each.id }),
      }),
    ]);
  return h(
    "section",
    {},
    h(
      "div",
      { class: "title" },
      h("h2", {}, t("sessions.of", { subject, n: number(sessions.length) })),
      change(me, t("sessions.end_all"), () => endAll(subject, refresh), { class: "danger" }),
    ),
    readOnly(me),
    table(t("sessions.of", { subject, n: sessions.length }), columns, rows),
  );
}

function endOne(session, refresh) {
  ask({
    title: t("session.end_title"),
    text: t("session.end_text", { device: session.device ?? session.id, subject: session.subject }),
    action: t("session.end"),
    async work() {
      await remove(`/sessions${path(session.id)}`);
      say(t("session.ended"));
      refresh();
    },
  });
}

function endAll(subject, refresh) {
  const why = h(
    "select",
    { name: "why" },
    ["admin", "credential_change"].map((value) => h("option", { value }, t(`sessions.why_${value}`))),
  );
  ask({
    title: t("sessions.end_title"),
    text: t("sessions.end_text", { subject }),
    action: t("sessions.end_all"),
    typed: subject,
    typedLabel: t("sessions.type_subject"),
    fields: [field(t("sessions.why"), why)],
    async work() {
      const at = `/subjects${path(subject)}`;
      const { ended } = why.value === "admin" ? await remove(`${at}/sessions`) : await post(`${at}/credential-change`);
      say(t("sessions.ended", { n: number(ended) }));
      refresh();
    },
  });
}

/** Return the part that makes void what was issued until now. */
function revoking(me) {
  const level = h(
    "select",
    { name: "level", on: { change: () => adapt() } },
    LEVELS.map((value) => h("option", { value }, t(`level.${value}`))),
  );
  const plain = { autocomplete: "off", autocapitalize: "off", spellcheck: "false" };
  const name = h("input", { ...plain, name: "name" });
  const issuer = h("input", { ...plain, name: "issuer", placeholder: me.gateway.issuer ?? "" });
  const named = field(t("revoke.name"), name);
  const issued = field(t("revoke.issuer"), issuer, t("revoke.issuer_text"));
  const told = h("p", { class: "quiet" });
  function adapt() {
    named.hidden = NAMELESS.includes(level.value);
    name.required = !named.hidden;
    issued.hidden = level.value === "everything";
    told.textContent = t(`level.${level.value}_text`);
  }
  adapt();
  return h(
    "details",
    { class: "panel revoke" },
    h("summary", {}, h("h2", {}, t("revoke.title"))),
    h("p", { class: "quiet" }, t("revoke.text")),
    readOnly(me),
    h(
      "form",
      {
        class: "search",
        on: {
          submit: (event) => {
            event.preventDefault();
            confirm();
          },
        },
      },
      field(t("revoke.level"), level),
      named,
      issued,
      h(
        "button",
        {
          type: "submit",
          class: "danger",
          disabled: me.role !== "write",
          title: me.role === "write" ? null : t("read.only"),
        },
        t("revoke.go"),
      ),
    ),
    told,
  );

  function confirm() {
    const what = { level: level.value };
    if (!named.hidden) what.name = name.value;
    if (!issued.hidden && issuer.value) what.issuer = issuer.value;
    const typed = what.name ?? what.issuer ?? me.gateway.issuer;
    ask({
      title: t("revoke.title"),
      text: t(`level.${what.level}_text`),
      action: t("revoke.go"),
      typed,
      typedLabel: t(what.name === undefined ? "revoke.type_issuer" : "revoke.type_name"),
      async work(form) {
        if (what.level === "everything") what.confirm = form.elements.typed.value;
        await post("/revocations", what);
        name.value = "";
        say(t("revoke.done"));
      },
    });
  }
}
