// The search for products: a combobox (WAI-ARIA Authoring Practices, "Editable Combobox With List Autocomplete").

import { request } from "./api.js";
import { announce, byId, counted, make, nameOf } from "./dom.js";

const WAIT_MS = 120; // after the last letter
const SHOWN = 8;

const input = byId("search");
const list = byId("found");
let options = []; // products in the list
let active = -1;
let running = new AbortController();
let timer = 0;

/** Let the field search; `take(item)` is called with a product that is chosen. */
export function startSearch(take) {
  input.addEventListener("input", () => {
    clearTimeout(timer);
    timer = setTimeout(() => look(take), WAIT_MS);
  });
  input.addEventListener("keydown", (event) => onKey(event, take));
  input.addEventListener("focus", () => options.length && input.value.trim() && open(true));
  input.addEventListener("blur", () => open(false));
  list.addEventListener("mousedown", (event) => event.preventDefault()); // the field keeps the focus
}

async function look(take) {
  running.abort();
  running = new AbortController();
  const { signal } = running;
  const text = input.value.trim();
  if (!text) {
    fill([], "", take);
    return;
  }
  try {
    const { items } = await request(`/v1/items?limit=${SHOWN}&q=${encodeURIComponent(text)}`, { signal });
    fill(items, items.length ? "" : `No title with “${text}”.`, take);
    announce(items.length ? `${counted(items.length, "product")} found; arrow keys choose.` : "No product found.");
  } catch (error) {
    if (error.name !== "AbortError") fill([], error.message, take);
  }
}

function fill(items, note, take) {
  options = items;
  active = -1;
  input.removeAttribute("aria-activedescendant");
  const rows = items.map((item, place) => {
    const about = item.categories.length ? item.categories.join(" › ") : item.item_id;
    return make(
      "li",
      { id: `found-${place}`, role: "option", "aria-selected": "false", onclick: () => choose(place, take) },
      make("span", { class: "name" }, nameOf(item)),
      make("span", { class: "muted small" }, item.in_stock ? about : `${about} · out of stock`),
    );
  });
  if (note) rows.push(make("li", { class: "muted note", role: "option", "aria-disabled": "true" }, note));
  list.replaceChildren(...rows);
  open(rows.length > 0 && document.activeElement === input);
}

function open(shown) {
  list.hidden = !shown;
  input.setAttribute("aria-expanded", String(shown));
}

function onKey(event, take) {
  if (event.key === "ArrowDown" || event.key === "ArrowUp") {
    event.preventDefault();
    if (!options.length) return;
    open(true);
    move((active + (event.key === "ArrowDown" ? 1 : active < 0 ? 0 : -1) + options.length) % options.length);
  } else if (event.key === "Enter") {
    event.preventDefault(); // the form has a button for customers
    if (!list.hidden && options.length) choose(Math.max(active, 0), take);
  } else if (event.key === "Escape") {
    if (list.hidden) input.value = "";
    open(false);
    event.preventDefault();
  }
}

function move(place) {
  list.children[active]?.setAttribute("aria-selected", "false");
  active = place;
  const row = list.children[active];
  row.setAttribute("aria-selected", "true");
  row.scrollIntoView({ block: "nearest" });
  input.setAttribute("aria-activedescendant", row.id);
}

function choose(place, take) {
  const item = options[place];
  input.value = "";
  running.abort();
  fill([], "", take);
  take(item);
}
