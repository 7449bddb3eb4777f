// Why a product is recommended: fetched when it is asked for.

import { request } from "./api.js";
import { bar, counted, figure, make, nameOf } from "./dom.js";

const PARTS = {
  ids: ["Semantic ids", "the language model, code by code"],
  dense: ["Dense head", "the product as a whole against the history"],
  transitions: ["Transition table", "what customers took next, counted"],
};
const SHOWN = 5; // products of the history, before the rest is asked for

/** A button that opens `panel` with the reasons for an item of a list, and closes it. */
export function whyButton(list, item, panel) {
  const button = make("button", { type: "button", class: "quiet", "aria-expanded": "false", "aria-controls": panel.id, "aria-label": `Why ${nameOf(item)}` }, "Why?");
  const toggle = async () => {
    const opens = panel.hidden;
    panel.hidden = !opens;
    button.setAttribute("aria-expanded", String(opens));
    if (opens && !panel.dataset.filled) await fill(panel, list, item);
  };
  button.addEventListener("click", toggle);
  panel.addEventListener("keydown", (event) => {
    if (event.key === "Escape") (toggle(), button.focus());
  });
  button.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && !panel.hidden) toggle();
  });
  return button;
}

async function fill(panel, list, item) {
  panel.dataset.filled = "yes";
  panel.setAttribute("aria-busy", "true");
  panel.replaceChildren(make("p", { class: "muted wait" }, "Asking the model…"));
  try {
    const why = await request("/v1/why", { body: { history: list.asked.history, item_id: item.item_id, model: list.model } });
    panel.replaceChildren(...(why.source === "model" ? [parts(why), influences(why)] : [popular(why)]), path(why));
  } catch (error) {
    delete panel.dataset.filled; // the next opening tries again
    panel.replaceChildren(make("p", { class: "problem", role: "alert" }, error.message));
  }
  panel.setAttribute("aria-busy", "false");
}

function parts(why) {
  const scale = why.parts.map(({ points }) => points);
  const rows = why.parts.map(({ name, share, points }) => {
    const [title, meaning] = PARTS[name] ?? [name, ""];
    return make(
      "div",
      { class: "part" },
      make("dt", {}, title, make("span", { class: "muted small" }, ` ${meaning}, ${Math.round(100 * share)}% of the score`)),
      make("dd", {}, bar(points, scale, name), make("span", { class: "number" }, figure(points, true))),
    );
  });
  const sum = [figure(why.even_score), ...why.parts.map(({ points }) => (points < 0 ? "− " : "+ ") + figure(Math.abs(points)))];
  return make(
    "section",
    {},
    make("h4", {}, why.ranked ? "What the generator's score is made of" : "What the score is made of"),
    make("dl", { class: "parts" }, ...rows),
    make("p", { class: "muted small" }, `Log units above an even choice among all products (${figure(why.even_score)}): ${sum.join(" ")} = ${figure(why.score)}.`),
    ...(why.ranked ? [make("p", { class: "muted small" }, "The list is in the order of a ranking model, which reads this score among many others; the score in the list is its own.")] : []),
  );
}

function influences(why) {
  const scale = why.history.map(({ fall }) => fall);
  const rows = why.history.map((one) =>
    make("li", {}, make("span", { class: "name" }, nameOf(one)), make("div", { class: "measure" }, bar(one.fall, scale), make("span", { class: "number" }, figure(one.fall, true)))),
  );
  const list = make("ol", { class: "influences" }, ...rows.slice(0, SHOWN));
  const section = make("section", {}, make("h4", {}, "What it comes from in the history"), make("p", { class: "muted small" }, "How far the score would fall without each product."), list);
  if (rows.length > SHOWN) {
    const more = make("button", { type: "button", class: "quiet", onclick: () => (list.append(...rows.slice(SHOWN)), more.remove(), rows[SHOWN].scrollIntoView({ block: "nearest" })) }, `Show all ${rows.length}`);
    section.append(more);
  }
  return section;
}

function popular(why) {
  return make("section", {}, make("h4", {}, "What the score is made of"), make("p", {}, `Popularity alone (${figure(why.score)}): there is no history to go by.`));
}

function path(why) {
  const steps = why.path.map(({ codes, words, title, num_items }, level) => {
    const name = title !== null ? title || why.item_id : words.join(" · ") || "No typical words";
    const repeated = level > 0 && title !== null && why.path[level - 1].title !== null;
    return make(
      "li",
      {},
      make("code", { "aria-label": `Code ${codes[level]}` }, String(codes[level])),
      make("span", { class: "name" }, repeated ? "the same product" : name),
      make("span", { class: "muted small" }, num_items === 1 ? "only this product" : counted(num_items, "product")),
    );
  });
  return make("section", {}, make("h4", {}, "Path of its semantic id"), make("ol", { class: "path" }, ...steps));
}
