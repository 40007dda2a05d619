// The exam by document: what was learned, what was not, and what was forgotten on the way.
import { ask } from "./ask.js";
import { get } from "./net.js";
import { documents, openDocument } from "./source.js";
import { make, made, say } from "./words.js";

const ARMS = ["engraved", "base", "retrieval"];
const MAIN = ["held_out", "generated"]; // the splits that the report's figure may be about
const search = document.querySelector("#search");
const wrongOnly = document.querySelector("#wrong-only");
let rows = [];

export async function showExam() {
  const { documents: examined, forgetting } = await get("/api/exam");
  const all = examined.flatMap((each) => each.questions);
  const asked = MAIN.map((split) => all.filter((each) => each.split === split)).find((each) => each.length) ?? [];
  say(document.querySelector("#exam-lead"), examined.length ? "exam_lead" : "no_exam");
  document.querySelector("#scores").replaceChildren(...(asked.length ? ARMS.map((arm) => score(arm, asked)) : []));
  document.querySelector("#forgetting").replaceChildren(...(forgetting.length ? forgotten(forgetting) : []));
  for (const each of [document.querySelector("#by-document"), document.querySelector("#exam .tools")]) each.hidden = !examined.length;
  rows = examined.map((each) => ({ each, element: details(each), text: plain(JSON.stringify(each)) }));
  document.querySelector("#documents").replaceChildren(...rows.map((row) => row.element), made("p", "empty", "none_found"));
  filter();
}

const isRight = (question, arm) => question.replies[arm]?.right === true;

function bar(share, name) {
  const inner = make("i", name);
  inner.style.width = `${100 * share}%`;
  return make("span", "bar", inner);
}

function score(arm, asked) {
  const sat = asked.filter((each) => each.replies[arm]);
  const right = sat.filter((each) => isRight(each, arm)).length;
  const figure = made("span", "figure", "of", right, sat.length);
  return make("div", `score ${arm}`, made("span", "name", `model_${arm}`), bar(sat.length ? right / sat.length : 0, arm), figure);
}

function forgotten(forgetting) {
  const items = forgetting.map(({ language, before, after, ratio }) =>
    make("div", "", made("dt", "", `language_${language}`), make("dd", "", `× ${ratio.toFixed(2)}`, make("small", "", `${before.toFixed(1)} → ${after.toFixed(1)}`))),
  );
  return [made("h3", "", "forgetting"), made("p", "lead", "forgetting_lead"), make("dl", "facts", ...items)];
}

function details(each) {
  const own = each.questions.filter((question) => question.split !== "training");
  const squares = make("span", "squares", ...own.map((question) => make("i", isRight(question, "engraved") ? "right" : "")));
  squares.ariaHidden = "true";
  const title = make("span", "title", each.title);
  title.lang = each.language;
  const figure = made("span", "figure", "of", own.filter((question) => isRight(question, "engraved")).length, own.length);
  const summary = make("summary", "", title, make("time", "", each.date ?? ""), squares, figure);
  const read = made("button", "link", "read_document");
  read.type = "button";
  read.onclick = () => openDocument(each.id, "");
  return make("details", "", summary, make("div", "inside", read, ...each.questions.map((question) => asked(question, each.id))));
}

function asked(question, id) {
  const right = isRight(question, "engraved");
  const text = make("p", "question", question.question);
  text.lang = question.language;
  if (question.split !== "held_out") text.append(" ", made("small", "tag", `tag_${question.split}`));
  const again = made("button", "link", "ask_again");
  again.type = "button";
  again.onclick = () => {
    location.hash = "ask";
    ask(question.question);
  };
  const gold = make("p", "gold", made("span", "label", "expected"), " ", question.answer);
  const replies = ARMS.filter((arm) => question.replies[arm]).map((arm) => reply(arm, question.replies[arm], id));
  const row = make("section", `asked ${right ? "is-right" : "is-wrong"}`, text, gold, make("ul", "replies", ...replies), again);
  return row;
}

function reply(arm, { reply, quoted, cited, right }, id) {
  const mark = make("span", "mark", right ? "○" : "×");
  mark.ariaHidden = "true";
  const text = make("span", "reply", reply || "–");
  const item = make("li", `${arm} ${right ? "right" : "wrong"}`, mark, made("span", "sr", right ? "right" : "wrong"), made("span", "label", `model_${arm}`), text);
  if (quoted) {
    const quote = make("button", "link quote", `【${cited}】«${quoted}»`);
    quote.type = "button";
    quote.onclick = async () => openDocument((await documents()).find((each) => each.title === cited)?.id ?? id, quoted);
    item.append(quote);
  }
  return item;
}

const plain = (text) => text.normalize("NFKC").toLowerCase();

function filter() {
  const wanted = plain(search.value.trim());
  let shown = 0;
  for (const { each, element, text } of rows) {
    const all = each.questions.every((question) => question.split === "training" || isRight(question, "engraved"));
    element.hidden = !text.includes(wanted) || (wrongOnly.checked && all);
    element.classList.toggle("wrong-only", wrongOnly.checked);
    shown += !element.hidden;
  }
  document.querySelector("#documents .empty").hidden = shown > 0 || !rows.length;
}

search.oninput = filter;
wrongOnly.onchange = filter;
