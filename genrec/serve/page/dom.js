// Elements made of text and attributes, never of markup: what comes from data can only be read, not run.

/** The element of an id of the page. */
export const byId = (id) => document.getElementById(id);

/**
 * A new element. `properties` are set on it ("class", "for", "role" and "aria-..." as attributes, "on..." as listeners);
 * children are elements or texts.
 */
export function make(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (value === undefined || value === null) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name in element && !name.startsWith("aria")) element[name] = value;
    else element.setAttribute(name, value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

/** Show a text, or hide the element where there is none. */
export function tell(element, text) {
  element.textContent = text;
  element.hidden = !text;
}

/** Let a screen reader say something. */
export function announce(text) {
  byId("said").textContent = text;
}

/** A bar between two numbers of a scale; the scale holds zero. */
export function bar(value, scale, kind = "") {
  const low = Math.min(0, ...scale);
  const span = Math.max(0, ...scale) - low || 1;
  const fill = make("i", { class: `${kind} ${value < 0 ? "against" : ""}` });
  fill.style.left = `${(100 * (Math.min(0, value) - low)) / span}%`;
  fill.style.width = `${(100 * Math.abs(value)) / span}%`;
  return make("div", { class: "bar", "aria-hidden": "true" }, fill);
}

/** A number with a real minus sign; with `signed`, a plus too. */
export function figure(value, signed = false) {
  if (value === null) return "−∞"; // JSON has no infinity
  const text = Math.abs(value).toFixed(2);
  if (Number(text) === 0) return text;
  return (value < 0 ? "−" : signed ? "+" : "") + text;
}

/** "1 product", "1,204 products". */
export const counted = (number, one, many = `${one}s`) => `${number.toLocaleString("en")} ${number === 1 ? one : many}`;

/** The name of a product for people. */
export const nameOf = (item) => item.title || item.item_id;
