// Ask once: three models answer side by side.
import { chat, get } from "./net.js";
import { documentLink, showSource, splitCitation } from "./source.js";
import { make, made, say } from "./words.js";

const MODELS = ["engraved", "base", "retrieval"];
const form = document.querySelector("#question-form");
const field = document.querySelector("#question");
const button = document.querySelector("#send");
const problem = document.querySelector("#ask-problem");
let stopping = null;

export async function ask(question) {
  stopping?.abort();
  const mine = (stopping = new AbortController());
  field.value = question;
  problem.hidden = true;
  say(button, "stop");
  const cards = MODELS.map(card);
  const answers = document.querySelector("#answers");
  answers.replaceChildren(...cards.map((each) => each.element));
  answers.hidden = false;
  const near = showNear(question, cards[2].source);
  await Promise.all([near, ...cards.map((each) => answer(each, question, mine))]).catch(tell);
  if (stopping === mine) {
    stopping = null;
    say(button, "send");
  }
}

function card(model) {
  const title = made("h3", "", `model_${model}`);
  title.id = `answer-${model}`;
  const text = make("p", "answer");
  const trust = make("p", "trust");
  const source = make("div", "source");
  const time = make("p", "time");
  const element = make("article", `card ${model}`, title, made("p", "how", `how_${model}`), text, trust, source, time);
  element.setAttribute("aria-labelledby", title.id);
  element.setAttribute("aria-live", "polite");
  return { model, element, text, trust, source, time };
}

async function answer({ model, element, text, trust, source, time }, question, stopper) {
  const started = performance.now();
  let reply = "";
  element.ariaBusy = "true"; // read out when it is whole
  try {
    for await (const chunk of chat(model, question, stopper.signal)) {
      reply += chunk.choices[0]?.delta.content ?? "";
      if (chunk.ishibumi) showTrust(trust, chunk.ishibumi);
      const parts = splitCitation(reply);
      text.textContent = parts.answer;
      text.classList.toggle("long", parts.answer.length > 48);
      if (parts.title) showSource(source, parts, false);
    }
    const parts = splitCitation(reply);
    if (parts.title) await showSource(source, parts, true);
    if (!parts.answer) say(text, "no_answer").classList.add("none");
    say(time, "took", ((performance.now() - started) / 1000).toFixed(1));
  } catch (error) {
    if (error.name === "AbortError") say(time, "stopped");
    else {
      stopper.abort(); // the others would fail the same way
      throw error;
    }
  } finally {
    element.ariaBusy = "false";
  }
}

// How sure the model is, and what that was worth in the exam; nothing where the exam does not say.
function showTrust(box, { confidence, share_right }) {
  if (share_right !== null) say(box, "trust", percent(confidence), percent(share_right));
}

// «43»; «99.6» where rounding would promise certainty.
function percent(share) {
  const value = 100 * share;
  return value >= 99 && value < 100 ? Math.min(value, 99.9).toFixed(1) : value.toFixed(0);
}

function tell(error) {
  document.querySelector("#answers").hidden = true;
  document.querySelector("#near").hidden = true;
  problem.hidden = false;
  if (error.status === 409) say(problem, "no_model");
  else if (error instanceof TypeError) say(problem, "offline");
  else say(problem, "failed", error.message);
}

async function showNear(question, box) {
  const heads = await get(`/api/near?question=${encodeURIComponent(question)}`);
  document.querySelector("#near-list").replaceChildren(...heads.map((head) => make("li", "", documentLink(head))));
  document.querySelector("#near").hidden = heads.length === 0;
  const read = heads.filter((head) => head.read);
  if (read.length) box.replaceChildren(made("h4", "", "read_documents"), ...read.map((head) => documentLink(head)));
}

export async function showExamples() {
  const { documents } = await get("/api/exam");
  const asked = documents.flatMap((each) => each.questions.filter((q) => q.split === "held_out").slice(0, 1));
  const chips = asked.slice(-3).map((each) => {
    const chip = make("button", "chip", each.question);
    chip.type = "button";
    chip.lang = each.language;
    chip.onclick = () => ask(each.question);
    return make("li", "", chip);
  });
  document.querySelector("#examples").replaceChildren(...chips);
}

form.onsubmit = (event) => {
  event.preventDefault();
  if (stopping) stopping.abort();
  else ask(field.value.trim());
};
field.onkeydown = (event) => {
  // Enter sends, but not the one that ends the input of kanji.
  if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
    event.preventDefault();
    if (!stopping) form.requestSubmit();
  }
};
