// The page: which of its three views is shown, and in which language.
import { showExamples } from "./ask.js";
import { showExam } from "./exam.js";
import { get } from "./net.js";
import { showTraining } from "./training.js";
import { speak } from "./words.js";

const VIEWS = ["ask", "training", "exam"];
const viewNow = () => (VIEWS.includes(location.hash.slice(1)) ? location.hash.slice(1) : null);

async function show() {
  const view = viewNow() ?? "ask";
  for (const name of VIEWS) {
    document.querySelector(`section#${name}`).hidden = name !== view;
    document.querySelector(`nav a[href="#${name}"]`).ariaCurrent = name === view ? "page" : "false";
  }
  if (view === "ask") showExamples(); // not waited for: a question can be asked without them
  if (view === "training") await showTraining(() => viewNow() === "training");
  if (view === "exam") await showExam();
}

for (const button of document.querySelectorAll("[data-speak]"))
  button.onclick = () => {
    localStorage.setItem("language", button.dataset.speak);
    speak(button.dataset.speak);
  };
addEventListener("hashchange", show);

speak(localStorage.getItem("language") ?? (navigator.language.startsWith("ja") ? "ja" : "en"));
const run = await get("/api/run");
if (!viewNow() && !run.finished) location.hash = "training";
else await show();
performance.mark("ready");
document.documentElement.dataset.ready = "yes";
