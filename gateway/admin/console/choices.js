// Switches for the language and the colours.

import { h } from "./dom.js";
import { LANGUAGES, language, speak, t } from "./words.js";

/** Return switches for the language and the colours. Both are remembered; they say nothing about anybody. */
export function choices(again) {
  const theme = document.documentElement.dataset.theme ?? "auto";
  const option = (value, label, now) => h("option", { value, selected: value === now }, label);
  return h(
    "div",
    { class: "choices" },
    h(
      "select",
      {
        "aria-label": t("language"),
        on: {
          change: (event) => {
            speak(event.target.value);
            again();
          },
        },
      },
      Object.entries(LANGUAGES).map(([name, label]) => option(name, label, language)),
    ),
    h(
      "select",
      { "aria-label": t("theme"), on: { change: (event) => paint(event.target.value) } },
      ["auto", "light", "dark"].map((name) => option(name, t(`theme.${name}`), theme)),
    ),
  );
}

function paint(name) {
  if (name === "auto") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = name;
  localStorage.setItem("console.theme", name);
}
