// The recommended products, of one model or of two side by side.

import { request } from "./api.js";
import { announce, bar, byId, counted, figure, make, nameOf } from "./dom.js";
import { add, beside, question, whom } from "./question.js";
import { whyButton } from "./why.js";

const lists = byId("lists");
let running = new AbortController();
let models = [];
let isTwo = false;

/** The models as GET /v1/models gives them. */
export function useModels(known) {
  models = known;
}

/** Ask for the recommendations and show them; what was shown stays until they are there. */
export async function showLists() {
  running.abort();
  running = new AbortController();
  const { signal } = running;
  if (!whom()) {
    lists.replaceChildren(card("No customer yet", "Type a customer’s id, then press Enter."));
    lists.setAttribute("aria-busy", "false");
    return;
  }
  lists.setAttribute("aria-busy", "true");
  if (!lists.querySelector(".list")) drawPlaceholders();
  try {
    const shown = await Promise.all(["service", beside()].filter(Boolean).map((model) => ask(model, signal)));
    draw(shown);
  } catch (error) {
    if (error.name === "AbortError") return; // a newer question is on its way
    drawProblem(error);
  }
  lists.setAttribute("aria-busy", "false");
}

async function ask(model, signal) {
  const asked = question();
  const { name } = whom();
  asked.k = Math.min(asked.k, models[0].items);
  asked.model = model;
  const answer = await request("/v1/recommend", { body: asked, signal });
  const ids = answer.items.map(({ item_id }) => `item_id=${encodeURIComponent(item_id)}`).join("&");
  const known = ids ? (await request(`/v1/items?${ids}`, { signal })).items : [];
  const about = new Map(known.map((item) => [item.item_id, item]));
  return { ...answer, model, asked, customer: name, items: answer.items.map((item) => ({ categories: [], ...about.get(item.item_id), ...item })) };
}

function draw(shown) {
  const points = shown.flatMap((list) => list.items.map((item) => above(item, list)));
  const places = shown.map((list) => new Map(list.items.map((item, place) => [item.item_id, place])));
  isTwo = shown.length > 1;
  const hadFocus = lists.contains(document.activeElement);
  const columns = shown.map((list, column) => {
    const other = places[1 - column];
    const rows = list.items.map((item, place) => row(list, item, place, points, other));
    return make(
      "section",
      { class: "list", "aria-label": heading(list) },
      make("header", {}, make("h2", {}, heading(list)), make("p", { class: "muted small" }, isTwo ? `${nameOfModel(list)}. ${note(list)}` : note(list))),
      list.items.length ? make("ol", { class: "items" }, ...rows) : nothing(list),
    );
  });
  lists.classList.toggle("two", isTwo);
  lists.replaceChildren(...columns);
  if (hadFocus) lists.focus({ preventScroll: true }); // what had it is gone
  announce(shown.map((list) => `${heading(list)}: ${counted(list.items.length, "product")}.`).join(" "));
}

function row(list, item, place, points, other) {
  const panel = make("div", { class: "why", hidden: true, id: `why-${list.model}-${place}`, role: "region", "aria-label": `Why ${nameOf(item)}` });
  const actions = make("div", { class: "actions" }, whyButton(list, item, panel));
  if (!list.customer) {
    const known = { item_id: item.item_id, title: item.title, categories: item.categories };
    actions.append(
      make("button", { type: "button", class: "quiet", "aria-label": `Add ${nameOf(item)} to the basket`, onclick: () => add(known) }, "Add to basket"),
    );
  }
  if (other) actions.append(make("span", { class: "muted small there" }, other.has(item.item_id) ? `No. ${other.get(item.item_id) + 1} in the other list` : "Only in this list"));
  return make(
    "li",
    { class: "card" },
    make(
      "div",
      { class: "item" },
      make("span", { class: "rank", "aria-hidden": "true" }, String(place + 1)),
      make("div", { class: "text" }, make("h3", {}, nameOf(item)), make("p", { class: "muted small" }, item.categories.join(" › "))),
      make("div", { class: "score" }, make("span", { class: "unseen" }, "Score "), make("span", {}, figure(item.score)), bar(above(item, list), points)),
    ),
    actions,
    panel,
  );
}

/** How far the score is above an even choice among all products; 0 where it is not. */
const above = (item, list) => Math.max(0, item.score + Math.log(models.find((one) => one.model === list.model).items));
const nameOfModel = (list) => models.find((one) => one.model === list.model).name;

function heading(list) {
  if (isTwo) return list.model === "service" ? "The endpoint’s model" : "The model beside it";
  if (list.customer) return `For customer ${list.customer}`;
  return list.asked.history.length ? "For this basket" : "Popular products";
}

function note(list) {
  const unknown = list.unknown.length ? ` ${counted(list.unknown.length, "product")} of the history not in the catalogue.` : "";
  if (list.source === "model") return `Score: log-probability. Bars count from an even choice among all products.${unknown}`;
  if (list.source === "popular") return `The most popular products come first: there is no history to go by.${unknown}`;
  return `Nothing may come out.${unknown}`;
}

const nothing = () => card("No product", "The filters let nothing through. Remove a category, or let products of the history come again.");

const card = (title, text, ...more) => make("div", { class: "card message" }, make("h2", {}, title), make("p", {}, text), ...more);

function drawPlaceholders() {
  const rows = Array.from({ length: Number(byId("k").value) }, () => make("li", { class: "card placeholder" }, make("span"), make("span")));
  lists.replaceChildren(make("section", { class: "list", "aria-hidden": "true" }, make("header", {}, make("h2", {}, " "), make("p", {}, " ")), make("ol", { class: "items" }, ...rows)));
}

function drawProblem(error) {
  const again = make("button", { type: "button", class: "primary", onclick: () => showLists() }, "Try again");
  const shown = card(error.retry ? "No answer" : "This cannot be answered", error.message, error.retry ? again : null);
  shown.setAttribute("role", "alert");
  lists.classList.remove("two");
  lists.replaceChildren(shown);
}
