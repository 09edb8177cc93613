// Builds elements. A string is only ever text, an attribute is one of a list, a link leads into the console:
// nothing that came in a request can become markup, whatever it says.

const ATTRIBUTES = new Set([
  "autocapitalize",
  "autocomplete",
  "autofocus",
  "checked",
  "class",
  "cols",
  "colspan",
  "disabled",
  "for",
  "hidden",
  "href",
  "id",
  "inputmode",
  "lang",
  "list",
  "max",
  "maxlength",
  "method",
  "min",
  "name",
  "open",
  "placeholder",
  "readonly",
  "required",
  "role",
  "rows",
  "scope",
  "selected",
  "spellcheck",
  "step",
  "tabindex",
  "title",
  "type",
  "value",
  "d",
  "fill",
  "height",
  "preserveAspectRatio",
  "viewBox",
  "width",
]);
const SVG = "http://www.w3.org/2000/svg";

/** Return an element. `on` holds listeners; null, undefined and false leave an attribute or a child out. */
export function h(tag, attributes, ...children) {
  return filled(document.createElement(tag), attributes, children);
}

export function svg(tag, attributes, ...children) {
  return filled(document.createElementNS(SVG, tag), attributes, children);
}

function filled(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (name === "on") for (const [event, listener] of Object.entries(value)) element.addEventListener(event, listener);
    else if (value !== null && value !== undefined && value !== false)
      set(element, name, value === true ? "" : String(value));
  }
  element.append(...children.flat(Infinity).filter(isThere));
  return element;
}

function set(element, name, value) {
  if (!ATTRIBUTES.has(name) && !/^(aria|data)-[a-z-]+$/.test(name)) throw new Error(`no attribute ${name}`);
  if (name === "href" && !value.startsWith("#")) throw new Error("a link leads into the console");
  element.setAttribute(name, value);
}

const isThere = (child) => child !== null && child !== undefined && child !== false;

/** Replace what is in an element. */
export function fill(element, ...children) {
  element.replaceChildren(...children.flat(Infinity).filter(isThere));
  return element;
}
