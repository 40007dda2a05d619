// The loss as it falls, stage by stage; asked for again while the view is open.
import { get } from "./net.js";
import { language, make, made } from "./words.js";

const SECONDS_BETWEEN = 2;
const SVG = "http://www.w3.org/2000/svg";

export async function showTraining(isOpen) {
  const [run, stages] = await Promise.all([get("/api/run"), get("/api/training")]);
  showStages(run.stages);
  const box = document.querySelector("#curves");
  if (stages.length) box.replaceChildren(...stages.reverse().map(curve));
  else box.replaceChildren(made("p", "lead", "no_training"));
  if (isOpen() && run.stages.report !== "done") setTimeout(() => isOpen() && showTraining(isOpen), 1000 * SECONDS_BETWEEN);
}

function showStages(states) {
  const items = Object.entries(states).map(([stage, state]) =>
    make("li", state, made("b", "", `stage_${stage}`), made("small", "", `state_${state}`)),
  );
  document.querySelector("#stages").replaceChildren(...items);
}

function curve(stage) {
  const live = stage.live && made("span", "live", "live");
  const element = make("article", "curve");
  const head = make("h3", "", made("span", "", `stage_${stage.stage}`), ...(live ? [" ", live] : []));
  head.id = `curve-${stage.stage}`;
  element.setAttribute("aria-labelledby", head.id);
  element.append(head);
  if (!stage.steps.length) return element;
  const first = stage.steps[0][1].toFixed(2);
  const last = stage.steps.at(-1)[1].toFixed(2);
  const facts = make("dl", "facts", fact("loss", last), fact("step", `${stage.step} / ${stage.num_steps}`));
  if (stage.known != null) facts.append(fact("known", `${Math.round(100 * stage.known)} %`));
  if (stage.tokens_per_second) facts.append(fact("speed", Math.round(stage.tokens_per_second).toLocaleString(language())));
  if (stage.live && stage.seconds_left !== null) facts.append(fact("left", duration(stage.seconds_left)));
  else facts.append(fact("tokens", stage.tokens.toLocaleString(language())));
  const quiet = stage.live && stage.seconds_since > 60 ? [made("p", "check missing", "quiet", Math.round(stage.seconds_since))] : [];
  const figure = make("figure", "", chart(stage), made("figcaption", "sr", "curve", first, last));
  element.append(facts, ...quiet, figure);
  return element;
}

const fact = (key, value) => make("div", "", made("dt", "", key), make("dd", "", value));

function duration(seconds) {
  const minutes = Math.floor(seconds / 60);
  const units = language() === "ja" ? ["時間", "分", "秒"] : [" h", " min", " s"];
  if (minutes >= 60) return `${Math.floor(minutes / 60)}${units[0]} ${minutes % 60}${units[1]}`;
  return minutes ? `${minutes}${units[1]} ${Math.round(seconds % 60)}${units[2]}` : `${Math.round(seconds)}${units[2]}`;
}

// Loss over steps: the steps as they were, faint, and their running mean; a dashed line where an epoch begins.
function chart({ steps, epochs, num_steps }) {
  const top = Math.max(...steps.map(([, loss]) => loss)) * 1.05;
  const x = (step) => (num_steps > 1 ? (100 * (step - 1)) / (num_steps - 1) : 50);
  const y = (loss) => 100 - (100 * loss) / top;
  const box = make("div", "plot");
  const svg = shape("svg", { viewBox: "0 0 100 100", preserveAspectRatio: "none", "aria-hidden": "true" });
  for (const tick of ticks(top)) {
    svg.append(shape("line", { class: "grid", x1: 0, x2: 100, y1: y(tick), y2: y(tick) }));
    box.append(label("y", String(tick), "top", y(tick)));
  }
  epochs.forEach((step, n) => {
    svg.append(shape("line", { class: "epoch", x1: x(step), x2: x(step), y1: 0, y2: 100 }));
    box.append(place(made("span", "x-top", "epoch", n + 2), "left", x(step)));
  });
  const points = (row) => row.map(([step, loss]) => `${x(step).toFixed(2)},${y(loss).toFixed(2)}`).join(" ");
  svg.append(shape("polyline", { class: "raw", points: points(steps) }), shape("polyline", { class: "smooth", points: points(smoothed(steps)) }));
  const [step, loss] = smoothed(steps).at(-1);
  box.append(svg, place(place(make("i", "now"), "left", x(step)), "top", y(loss)));
  box.append(label("x", "1", "left", 0), label("x end", String(num_steps), "left", 100));
  return box;
}

function smoothed(steps) {
  let mean = steps[0][1];
  return steps.map(([step, loss]) => [step, (mean += 0.25 * (loss - mean))]);
}

function ticks(top) {
  const size = [0.1, 0.2, 0.5, 1, 2, 5, 10].find((each) => top / each <= 5) ?? 20;
  return Array.from({ length: Math.floor(top / size) + 1 }, (_, n) => Number((n * size).toFixed(1)));
}

const label = (name, text, side, percent) => place(make("span", name, text), side, percent);

function place(element, side, percent) {
  element.style[side] = `${percent}%`;
  return element;
}

function shape(tag, attributes) {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  return element;
}
