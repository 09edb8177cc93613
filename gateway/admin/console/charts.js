// Graphs of the last minutes, drawn by hand. Whoever does not see them has the numbers in the legend and in a table.

import { fill, h, svg } from "./dom.js";
import { clock } from "./format.js";
import { t } from "./words.js";

export const WINDOW = 600;
const SPANS = [60, 120, 300, WINDOW];
const [WIDTH, HEIGHT] = [600, 100];
const GAP = 15;
const ROWS = 12;

/** Charts that are drawn together have one cursor: what happened at the same time is seen at once. */
export class Panel {
  charts = [];
  #cursor = null;

  /** `kind` is "lines" or "stack"; `format` writes a value. */
  chart(title, kind, format, note) {
    const chart = new Chart(title, kind, format, note, (at) => this.point(at));
    this.charts.push(chart);
    return chart;
  }

  point(at) {
    this.#cursor = at;
    for (const each of this.charts) each.point(at);
  }

  /** Draw: `shown` has for each chart its series, [{label, tone, values, href}]. Values are null where there are none. */
  show(times, until, shown) {
    this.charts.forEach((each, index) => each.show(times, until, shown[index]));
    this.point(this.#cursor);
  }
}

class Chart {
  #times = [];
  #series = [];
  #until = 0;
  #span = WINDOW;

  constructor(title, kind, format, note, point) {
    this.title = title;
    this.kind = kind;
    this.format = format;
    this.drawing = svg("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", role: "img" });
    this.ticks = [0, 1, 2].map(() => h("span", { class: "tick", "aria-hidden": "true" }));
    this.cursor = h("div", { class: "cursor", hidden: true });
    this.legend = h("ul", { class: "legend" });
    this.time = h("span", { class: "chart-time" });
    this.begin = h("span");
    this.plot = h(
      "div",
      {
        class: "plot",
        on: {
          pointermove: (event) => point(this.#timeAt(event)),
          pointerleave: () => point(null),
        },
      },
      this.drawing,
      this.ticks,
      this.cursor,
    );
    this.table = h("div", { class: "scroll" });
    this.details = h(
      "details",
      { class: "as-table", on: { toggle: () => this.#tell() } },
      h("summary", {}, t("chart.table")),
      this.table,
    );
    this.element = h(
      "figure",
      { class: "panel chart" },
      h("figcaption", {}, h("h2", {}, title), note && h("span", { class: "quiet" }, note), this.time),
      this.plot,
      h("div", { class: "axis", "aria-hidden": "true" }, this.begin, h("span", {}, t("chart.now"))),
      this.legend,
      this.details,
    );
  }

  show(times, until, series) {
    [this.#times, this.#until, this.#series] = [times, until, series];
    const tops = this.kind === "stack" ? stacked(series) : series.map((each) => each.values);
    const most = Math.max(0, ...tops.flat().filter((value) => value !== null));
    const top = ceiling(most);
    this.#span = SPANS.find((each) => until - times[0] <= each) ?? WINDOW;
    this.begin.textContent = t("ago", { duration: t("unit.minutes", { n: this.#span / 60 }) });
    const x = (index) => WIDTH * (1 - (until - times[index]) / this.#span);
    const y = (value) => HEIGHT * (1 - value / top);
    const grid = [0, 0.5, 1].map((part) => svg("path", { class: "grid", d: `M0 ${HEIGHT * part}H${WIDTH}` }));
    const runs = runsOf(times, tops);
    const shapes = series.map((each, number) => {
      const below = number ? tops[number - 1] : null;
      return runs(tops[number]).map((run) => shape(this.kind, each.tone, run, x, y, tops[number], below));
    });
    fill(this.drawing, grid, shapes.reverse());
    this.ticks.forEach((tick, index) => {
      tick.textContent = most ? this.format(top * (1 - index / 2)) : index === 2 ? this.format(0) : "";
      tick.style.top = `${index * 50}%`;
    });
    this.drawing.setAttribute(
      "aria-label",
      t("chart.summary", { title: this.title, values: this.#told(times.length - 1) }),
    );
    this.#tell();
  }

  /** Show the values at a time, and where it is; null for the latest. */
  point(at) {
    const index = at === null ? this.#times.length - 1 : nearest(this.#times, at);
    const isPointed = at !== null && index >= 0;
    this.cursor.hidden = !isPointed;
    this.time.textContent = isPointed ? clock(this.#times[index]) : "";
    if (isPointed) this.cursor.style.left = `${100 * (1 - (this.#until - this.#times[index]) / this.#span)}%`;
    if (!this.legend.contains(document.activeElement))
      fill(
        this.legend,
        this.#series.map((each) => this.#entry(each, index)),
      );
  }

  #entry({ label, tone, values, href }, index) {
    const name = href ? h("a", { href }, label) : h("span", {}, label);
    return h("li", {}, h("i", { class: `swatch tone-${tone}` }), name, h("b", {}, this.format(values[index] ?? null)));
  }

  #told(index) {
    return this.#series.map((each) => `${each.label} ${this.format(each.values[index] ?? null)}`).join(", ");
  }

  #tell() {
    if (!this.details.open) return;
    const last = this.#times
      .map((_, index) => index)
      .filter((index) => (this.#times.length - 1 - index) % 5 === 0)
      .slice(-ROWS)
      .reverse();
    fill(
      this.table,
      h(
        "table",
        {},
        h(
          "thead",
          {},
          h(
            "tr",
            {},
            h("th", { scope: "col" }, t("decision.time")),
            this.#series.map((each) => h("th", { scope: "col", class: "number" }, each.label)),
          ),
        ),
        h(
          "tbody",
          {},
          last.map((index) =>
            h(
              "tr",
              {},
              h("td", {}, clock(this.#times[index])),
              this.#series.map((each) => h("td", { class: "number" }, this.format(each.values[index] ?? null))),
            ),
          ),
        ),
      ),
    );
  }

  #timeAt(event) {
    const box = this.plot.getBoundingClientRect();
    return this.#until - this.#span * (1 - (event.clientX - box.left) / box.width);
  }
}

function stacked(series) {
  const tops = [];
  for (const each of series) {
    const below = tops.at(-1);
    tops.push(each.values.map((value, index) => (value === null ? null : value + (below?.[index] ?? 0))));
  }
  return tops;
}

/** Return what splits values where some are missing: nobody knows what was between. */
function runsOf(times) {
  return (values) => {
    const runs = [];
    let run = [];
    for (const [index, value] of values.entries()) {
      const isGap = value === null || (index && times[index] - times[index - 1] > GAP);
      if (isGap && run.length) runs.push(run);
      if (isGap) run = [];
      if (value !== null) run.push(index);
    }
    return run.length ? [...runs, run] : runs;
  };
}

function shape(kind, tone, run, x, y, tops, below) {
  const over = run.map((index) => `${x(index).toFixed(1)} ${y(tops[index]).toFixed(1)}`).join("L");
  const line = svg("path", { class: `line tone-${tone}`, d: run.length > 1 ? `M${over}` : `M${over}h1` });
  if (kind !== "stack") return line;
  const under = run
    .toReversed()
    .map((index) => `${x(index).toFixed(1)} ${y(below?.[index] ?? 0).toFixed(1)}`)
    .join("L");
  return [svg("path", { class: `area tone-${tone}`, d: `M${over}L${under}Z` }), line];
}

/** Return the next round number: the axis does not jump with each value. */
function ceiling(most) {
  if (most <= 0) return 1;
  const power = 10 ** Math.floor(Math.log10(most));
  return [1, 2, 4, 6, 8, 10].map((each) => each * power).find((each) => each >= most);
}

function nearest(times, at) {
  let best = -1;
  for (const [index, time] of times.entries())
    if (best < 0 || Math.abs(time - at) < Math.abs(times[best] - at)) best = index;
  return best;
}
