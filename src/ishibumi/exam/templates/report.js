"use strict";
// Without this script the page still shows everything in the language that it opens in.
const root = document.documentElement;
root.classList.add("js");
const all = (selector, within = document) => [...within.querySelectorAll(selector)];
const search = document.querySelector("#search");

function speak(language) {
  root.dataset.language = root.lang = language;
  for (const button of all("[data-speak]")) button.setAttribute("aria-pressed", String(button.dataset.speak === language));
  if (search) search.placeholder = search.ariaLabel = search.dataset[language];
}
for (const button of all("[data-speak]")) button.addEventListener("click", () => speak(button.dataset.speak));
speak(root.dataset.language);

// Documents: a row is shown if it fits the filter and the search; a document if one of its rows is.
let wrongOnly = false;
const plain = (text) => text.normalize("NFKC").toLowerCase();
const rows = all(".documents > details").map((element) => ({
  element,
  head: plain(element.querySelector("summary").textContent),
  answers: all("tr[data-right]", element).map((row) => ({ row, text: plain(row.textContent) })),
}));

function filter() {
  const wanted = plain(search.value.trim());
  let numShown = 0;
  for (const { element, head, answers } of rows) {
    let any = false;
    for (const { row, text } of answers) {
      row.hidden = (wrongOnly && row.dataset.right === "yes") || !(head.includes(wanted) || text.includes(wanted));
      any = any || !row.hidden;
    }
    element.hidden = !any;
    numShown += any;
  }
  document.querySelector("#none-found").hidden = numShown > 0;
}
if (search) {
  search.addEventListener("input", filter);
  for (const button of all("[data-show]"))
    button.addEventListener("click", () => {
      wrongOnly = button.dataset.show === "wrong";
      for (const other of all("[data-show]")) other.setAttribute("aria-pressed", String(other === button));
      filter();
    });
}
// On paper nothing can be opened.
addEventListener("beforeprint", () => all("details").forEach((element) => (element.open = true)));
