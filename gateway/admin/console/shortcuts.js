// Single keys, for those who want them.

import { h } from "./dom.js";
import { button } from "./parts.js";
import { t } from "./words.js";

const KEY = "console.shortcuts";
const PATIENCE = 1500; // ms, between `g` and a letter

const areOn = () => localStorage.getItem(KEY) !== "off";

/** Take keys from now on. `letters` lead to pages; `shown()` is {main, page} while there is something to see. */
export function takeKeys(letters, shown) {
  let ledAt = 0;
  addEventListener("keydown", (event) => {
    const { key } = event;
    const isTyping = event.target.closest?.("input, textarea, select, dialog");
    const now = shown();
    if (now === null || isTyping || event.ctrlKey || event.metaKey || event.altKey || !areOn()) return;
    const isLed = Date.now() - ledAt < PATIENCE;
    ledAt = key === "g" ? Date.now() : 0;
    if (isLed && Object.hasOwn(letters, key)) location.hash = `#/${letters[key]}`;
    else if (key === "?") tellShortcuts(letters);
    else if (key === "/") now.main.querySelector("input")?.focus();
    else if (!now.page?.keys?.[key]?.(event)) return;
    event.preventDefault();
  });
}

/** Show all keys, and a switch: who speaks to a computer does not want them. */
export function tellShortcuts(letters) {
  const row = (name, ...pressed) =>
    h(
      "div",
      {},
      h(
        "dt",
        {},
        pressed.map((each) => h("kbd", {}, each)),
      ),
      h("dd", {}, name),
    );
  const isOn = h("input", {
    type: "checkbox",
    checked: areOn(),
    on: {
      change: (event) => localStorage.setItem(KEY, event.target.checked ? "on" : "off"),
    },
  });
  const dialog = h(
    "dialog",
    { "aria-labelledby": "dialog-title", on: { close: () => dialog.remove() } },
    h("h2", { id: "dialog-title" }, t("shortcuts")),
    h(
      "dl",
      { class: "shortcuts" },
      Object.entries(letters).map(([letter, name]) => row(t(`page.${name}`), "g", letter)),
      row(t("shortcut.next"), "j"),
      row(t("shortcut.previous"), "k"),
      row(t("shortcut.open"), "Enter"),
      row(t("shortcut.close"), "Esc"),
      row(t("decisions.pause"), "p"),
      row(t("shortcut.search"), "/"),
    ),
    h("label", { class: "check" }, isOn, t("shortcut.on")),
    h(
      "div",
      { class: "actions" },
      button(t("close"), () => dialog.close()),
    ),
  );
  document.body.append(dialog);
  dialog.showModal();
}
