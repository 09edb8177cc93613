// Numbers and times as people of the chosen language write them.

import { language, t } from "./words.js";

export const NONE = "–";

export function number(value, digits = 0) {
  return value === null || value === undefined
    ? NONE
    : value.toLocaleString(language, { maximumFractionDigits: digits });
}

/** A number of which only the first digits are of interest: 0.05, 1.2, 38, 1.2K. */
export function short(value) {
  if (value === null || value === undefined) return NONE;
  if (value >= 10000) return value.toLocaleString(language, { notation: "compact", maximumFractionDigits: 1 });
  return value.toLocaleString(language, { maximumFractionDigits: value < 1 ? 2 : value < 10 ? 1 : 0 });
}

export function percent(part) {
  if (part === null || !Number.isFinite(part)) return NONE;
  return part.toLocaleString(language, { style: "percent", maximumFractionDigits: part < 0.1 ? 1 : 0 });
}

export function bytes(value) {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let step = 0;
  for (; value >= 1024 && step < units.length - 1; step++) value /= 1024;
  return `${number(value, value < 10 && step ? 1 : 0)} ${units[step]}`;
}

/** A short duration: 180 µs, 2.5 ms, 1.2 s. */
export function took(seconds) {
  if (seconds === null || seconds === undefined || !Number.isFinite(seconds)) return NONE;
  if (seconds < 0.001) return `${number(seconds * 1e6)} µs`;
  if (seconds < 1) return `${number(seconds * 1e3, seconds < 0.1 ? 1 : 0)} ms`;
  return `${number(seconds, seconds < 10 ? 1 : 0)} s`;
}

export function tookMs(ms) {
  return ms === null || ms === undefined ? NONE : took(ms / 1000);
}

/** A long duration in its largest unit: 45 s, 3 min, 5 h, 9 d. */
export function lasting(seconds) {
  if (seconds === null || seconds === undefined) return NONE;
  const [size, unit] = [
    [86400, "days"],
    [3600, "hours"],
    [60, "minutes"],
  ].find(([each]) => seconds >= each * 2) ?? [1, "seconds"];
  return t(`unit.${unit}`, { n: number(Math.floor(seconds / size)) });
}

export function since(at) {
  return t("ago", { duration: lasting(Math.max(0, Date.now() / 1000 - at)) });
}

export function clock(at) {
  return new Date(at * 1000).toLocaleTimeString(language, {
    hour: "2-digit",
    minute: "2-digit",
    second: "2-digit",
    hourCycle: "h23",
  });
}

/** A time to the minute. */
export function day(at) {
  return new Date(at * 1000).toLocaleString(language, { dateStyle: "medium", timeStyle: "short", hourCycle: "h23" });
}

export function moment(at) {
  return new Date(at * 1000).toLocaleString(language, { dateStyle: "medium", timeStyle: "medium", hourCycle: "h23" });
}
