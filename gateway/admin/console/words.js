// Every text of the console, in the language that was chosen.

import en from "./en.js";
import ko from "./ko.js";

export const LANGUAGES = { en: "English", ko: "한국어" };
const TEXTS = { en, ko };
const KEY = "console.language";

export let language = chosen();
document.documentElement.lang = language;

function chosen() {
  const kept = localStorage.getItem(KEY);
  if (kept in TEXTS) return kept;
  return navigator.languages.map((each) => each.slice(0, 2)).find((each) => each in TEXTS) ?? "en";
}

export function speak(name) {
  language = name;
  document.documentElement.lang = name;
  localStorage.setItem(KEY, name);
}

/** Return a text, with `{name}` replaced. */
export function t(key, values = {}) {
  const text = TEXTS[language][key];
  if (text === undefined) throw new Error(`no text ${key}`);
  return text.replace(/\{(\w+)\}/g, (_, name) => String(values[name]));
}

/** Return a text for a word of the API; the word itself, if it is new. */
export function word(prefix, name) {
  return TEXTS[language][`${prefix}.${name}`] ?? name;
}
