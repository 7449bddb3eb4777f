// The page: what is asked on the left, what is recommended on the right.

import { askForToken } from "./api.js";
import { byId, make } from "./dom.js";
import { showLists, useModels } from "./lists.js";
import { fillIn, startQuestion } from "./question.js";

let isReady = false; // the models and categories are there

byId("change-token").addEventListener("click", async () => {
  await askForToken("");
  start();
});

startQuestion(() => (isReady ? showLists() : start()));
start();

async function start() {
  try {
    useModels(await fillIn());
    isReady = true;
    await showLists();
  } catch (error) {
    const again = make("button", { type: "button", class: "primary", onclick: start }, "Try again");
    const message = make("div", { class: "card message", role: "alert" }, make("h2", {}, "No answer"), make("p", {}, error.message), again);
    byId("lists").replaceChildren(message);
    byId("lists").setAttribute("aria-busy", "false");
  }
}
