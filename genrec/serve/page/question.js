// What is asked: a basket or a customer, filters, and the model beside the one in service.

import { request } from "./api.js";
import { announce, byId, counted, make, nameOf, tell } from "./dom.js";
import { startSearch } from "./search.js";

const KEY = "genrec-basket";
const basket = JSON.parse(sessionStorage.getItem(KEY) ?? "[]"); // products, oldest first
const chosen = new Set(); // categories
let known = new Set(); // all categories
let customer = null; // {id, history} of the customer whose recommendations are shown
let looking = new AbortController(); // for the history of a customer
let changed = () => {};

/** Let the controls work; `whenChanged()` is called after each change of what is asked. */
export function startQuestion(whenChanged) {
  changed = whenChanged;
  startSearch(add);
  for (const radio of document.getElementsByName("who")) radio.addEventListener("change", showWho);
  byId("clear-basket").addEventListener("click", () => (basket.splice(0), showBasket(), byId("search").focus()));
  byId("question").addEventListener("submit", (event) => (event.preventDefault(), showCustomer()));
  byId("add-category").addEventListener("click", addCategory);
  byId("category").addEventListener("keydown", (event) => {
    if (event.key === "Enter") (event.preventDefault(), addCategory());
  });
  byId("category").addEventListener("input", () => {
    tell(byId("category-problem"), "");
    if (known.has(byId("category").value)) addCategory(); // taken from the list of proposals
  });
  for (const id of ["keep-seen", "k", "beside"]) byId(id).addEventListener("change", () => (showFilters(), changed()));
  if (matchMedia("(max-width: 760px)").matches) byId("filters").open = false;
  for (const radio of document.getElementsByName("who")) radio.checked = radio.value === "basket"; // also after a reload
  drawBasket();
  showFilters();
}

/** Fill in what the endpoint knows: categories, models. */
export async function fillIn() {
  const [{ categories }, { models }] = await Promise.all([request("/v1/categories"), request("/v1/models")]);
  known = new Set(categories.map(({ name }) => name));
  byId("categories").replaceChildren(
    ...categories.map(({ name, items }) => make("option", { value: name, label: counted(items, "product") })),
  );
  const [service, ...others] = models;
  byId("in-service").textContent = service.name;
  byId("in-service").title = `${service.name}, ${counted(service.items, "product")}, ${service.model_key}`;
  byId("beside").replaceChildren(
    make("option", { value: "" }, others.length ? "Show one model" : "No other model"),
    ...others.map(({ model, name }) => make("option", { value: model }, name)),
  );
  byId("beside").disabled = !others.length;
  byId("beside-note").textContent = others.length
    ? "Both lists for the same question, side by side."
    : "Only one model is loaded. Start the endpoint with --beside RUN to compare it with another one.";
  return models;
}

/**
 * Whom the recommendations are for, {name, history}; null where no customer was named. A customer is asked for by the
 * history, not by the id: what is looked at here is not a list that the customer saw (an experiment would count it).
 */
export function whom() {
  if (isBasket()) return { name: "", history: basket.map(({ item_id }) => item_id) };
  return customer && { name: customer.id, history: customer.history };
}

const isBasket = () => byId("customer-panel").hidden;

/** The question for POST /v1/recommend, without the model. */
export function question() {
  const asked = { history: whom().history, k: Number(byId("k").value), keep_seen: byId("keep-seen").checked };
  if (chosen.size) asked.allow = { categories: [...chosen] };
  return asked;
}

/** The other model to show, "" for none. */
export const beside = () => byId("beside").value;

/** Put a product into the basket. */
export function add(item) {
  basket.push(item);
  announce(`${nameOf(item)} added. ${counted(basket.length, "product")} in the basket.`);
  showBasket();
}

function remove(place) {
  const [item] = basket.splice(place, 1);
  announce(`${nameOf(item)} taken out. ${counted(basket.length, "product")} in the basket.`);
  showBasket();
  const buttons = byId("basket").querySelectorAll("button");
  (buttons[basket.length - place] ?? buttons[buttons.length - 1] ?? byId("search")).focus();
}

function showBasket() {
  sessionStorage.setItem(KEY, JSON.stringify(basket));
  drawBasket();
  changed();
}

function drawBasket() {
  const rows = basket.map((item, place) =>
    product(
      item,
      make(
        "button",
        { type: "button", class: "quiet square", "aria-label": `Take out ${nameOf(item)}`, onclick: () => remove(place) },
        "×",
      ),
    ),
  );
  byId("basket").replaceChildren(...rows.reverse()); // newest first
  byId("basket-count").textContent = basket.length ? `${basket.length}, newest first` : "";
  byId("basket-empty").hidden = basket.length > 0;
  byId("clear-basket").hidden = !basket.length;
}

function showWho() {
  const isBasket = document.querySelector("[name=who]:checked").value === "basket";
  byId("basket-panel").hidden = !isBasket;
  byId("customer-panel").hidden = isBasket;
  changed();
}

async function showCustomer() {
  const id = byId("customer").value.trim();
  if (!id) {
    byId("customer").focus();
    return;
  }
  looking.abort();
  looking = new AbortController();
  byId("customer-panel").setAttribute("aria-busy", "true");
  try {
    const { history, items } = await request("/v1/history", { body: { user_id: id }, signal: looking.signal });
    customer = { id, history };
    drawHistory(items, history.length, "Nothing is known of this customer: the most popular products are shown.");
  } catch (error) {
    if (error.name === "AbortError") return; // another customer was asked for
    customer = null;
    drawHistory([], 0, error.message);
  }
  byId("customer-panel").setAttribute("aria-busy", "false");
  changed();
}

function drawHistory(items, length, note) {
  byId("history").replaceChildren(...items.reverse().map((item) => product(item))); // newest first
  byId("history-count").textContent = length ? `${length.toLocaleString("en")}, newest first` : "";
  tell(byId("history-empty"), length ? "" : note);
}

function product(item, button = null) {
  const text = make("span", { class: "text" }, make("span", { class: "name" }, nameOf(item)));
  if (item.categories.length) text.append(make("span", { class: "muted small" }, item.categories.join(" › ")));
  return make("li", {}, text, button);
}

function addCategory() {
  const name = byId("category").value.trim();
  const found = known.has(name) ? name : [...known].find((one) => one.toLowerCase() === name.toLowerCase());
  if (!name) return;
  if (!found) {
    tell(byId("category-problem"), `No category is called “${name}”. Choose one of the list.`);
    return;
  }
  tell(byId("category-problem"), "");
  chosen.add(found);
  byId("category").value = "";
  showFilters();
  changed();
}

function showFilters() {
  const chips = [...chosen].map((name) =>
    make(
      "li",
      {},
      make(
        "button",
        { type: "button", class: "chip", "aria-label": `Remove ${name}`, onclick: () => dropCategory(name) },
        name,
        make("span", { "aria-hidden": "true" }, "×"),
      ),
    ),
  );
  byId("chosen").replaceChildren(...chips);
  const set = [chosen.size ? counted(chosen.size, "category", "categories") : "", byId("keep-seen").checked ? "seen kept" : ""];
  byId("filters-set").textContent = set.filter(Boolean).join(", ");
}

function dropCategory(name) {
  chosen.delete(name);
  showFilters();
  byId("category").focus();
  changed();
}
