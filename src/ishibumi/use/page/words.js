// Every sentence of the page in both languages, and the one place where text gets into it: as text, never as HTML.
const WORDS = {
  skip: ["本文へ", "Skip to content"],
  views: ["表示", "Views"],
  language: ["言語", "Language"],
  ask: ["きく", "Ask"],
  training: ["学習", "Training"],
  exam: ["試験", "Exam"],
  ask_title: ["一度の質問で、3通りの答え", "One question, three answers"],
  ask_lead: [
    "文書を刻んだモデル、元のモデル、検索つきの元のモデルに同時にききます。",
    "Asks the model that your documents were engraved into, the base before it, and the base with a search.",
  ],
  question: ["質問", "Question"],
  question_hint: ["文書に書かれていることをきいてみてください", "Ask about something that your documents say"],
  send: ["きく", "Ask"],
  stop: ["止める", "Stop"],
  examples: ["質問の例", "Examples of questions"],
  model_engraved: ["刻んだモデル", "Engraved"],
  model_base: ["元のモデル", "Base"],
  model_retrieval: ["検索＋元のモデル", "Base with search"],
  how_engraved: ["文書を見ずに、記憶から", "from memory, without the documents"],
  how_base: ["文書を見ずに、例を示して", "without the documents, shown examples"],
  how_retrieval: ["検索した文書を読んで", "reads what the search found"],
  source: ["出典", "Source"],
  read_documents: ["読んだ文書", "What it read"],
  quote_found: ["この文は文書にあります", "This sentence stands in the document"],
  quote_missing: ["この文は文書に見つかりません", "This sentence is not in the document"],
  source_missing: ["この題の文書はありません", "No document has this title"],
  no_answer: ["答えがありません", "No answer"],
  trust: [
    "確信 {0} %。試験では、このくらい確かな答えの {1} % が正解でした。",
    "Confidence {0} %: of the exam's answers as sure as this, {1} % were right.",
  ],
  took: ["{0} 秒", "{0} s"],
  stopped: ["止めました", "Stopped"],
  near: ["この質問に近い文書", "Documents nearest to the question"],
  no_model: [
    "モデルはまだ仕上がっていません。「学習」で様子を見られます。",
    "The model is not finished yet. See how it goes under Training.",
  ],
  failed: ["サーバーの返事: {0}", "The server says: {0}"],
  offline: ["サーバーに接続できません。", "The server cannot be reached."],
  training_title: ["学習のようす", "How training goes"],
  stages: ["段階", "Stages"],
  stage_corpus: ["文書", "corpus"],
  stage_knowledge: ["言い換えと質問", "knowledge"],
  stage_cpt: ["継続事前学習", "engraving"],
  stage_sft: ["チャット調整", "chat tuning"],
  stage_before: ["学習前の試験", "exam of the base"],
  stage_exam: ["試験", "exam"],
  stage_report: ["レポート", "report"],
  state_done: ["済み", "done"],
  state_running: ["実行中", "running"],
  state_waiting: ["まだ", "to come"],
  no_training: ["まだ学習は始まっていません。", "Training has not begun yet."],
  live: ["学習中", "training"],
  quiet: ["最後のステップから {0} 秒", "last step {0} s ago"],
  loss: ["損失", "loss"],
  step: ["ステップ", "step"],
  known: ["学習用の質問の正答", "training questions known"],
  speed: ["トークン/秒", "tokens/s"],
  left: ["残り", "left"],
  tokens: ["トークン", "tokens"],
  epoch: ["{0} 周目", "epoch {0}"],
  curve: ["損失は {0} から {1} へ", "loss from {0} to {1}"],
  exam_title: ["試験", "The exam"],
  exam_lead: [
    "訓練とは別の言い回しの質問に、答えが含まれていれば正解です。",
    "Questions in other wording than training's. A reply counts if it contains the answer.",
  ],
  no_exam: ["まだ試験の結果はありません。", "There is no exam yet."],
  of: ["{0} / {1}", "{0} / {1}"],
  by_document: ["文書ごとの結果", "By document"],
  wrong_only: ["間違いだけ", "Only what was not learned"],
  search: ["文書や質問をさがす", "Find documents or questions"],
  expected: ["正解", "Answer"],
  right: ["正解", "right"],
  wrong: ["不正解", "wrong"],
  tag_training: ["訓練の質問", "training's own"],
  tag_reversed: ["逆向き", "reversed"],
  tag_combined: ["組み合わせ", "combined"],
  tag_unanswerable: ["答えのない質問", "unanswerable"],
  tag_generated: ["自動生成", "generated"],
  read_document: ["文書を読む", "Read the document"],
  ask_again: ["もう一度きく", "Ask again"],
  none_found: ["該当する文書はありません。", "No document fits."],
  forgetting: ["忘れたこと", "What was forgotten"],
  forgetting_lead: [
    "一般の文章の読みにくさ（パープレキシティ）が、学習の前後でどう変わったか。1倍なら変化なし。",
    "How much harder general text became to predict (perplexity). × 1 is unharmed.",
  ],
  language_ja: ["日本語", "Japanese"],
  language_en: ["英語", "English"],
  close: ["閉じる", "Close"],
  key_title: ["API キーが必要です", "This server needs its API key"],
  key_field: ["API キー", "API key"],
  key_send: ["開く", "Open"],
};

export const language = () => document.documentElement.lang;

export function word(key, ...values) {
  const text = WORDS[key][language() === "ja" ? 0 : 1];
  return text.replace(/\{(\d)\}/g, (_, n) => values[n]);
}

// Shows a sentence in an element, now and after every change of language.
export function say(element, key, ...values) {
  element.dataset.t = key;
  element.dataset.values = JSON.stringify(values);
  element.textContent = word(key, ...values);
  return element;
}

export function speak(chosen) {
  document.documentElement.lang = chosen;
  for (const e of document.querySelectorAll("[data-t]")) e.textContent = word(e.dataset.t, ...JSON.parse(e.dataset.values ?? "[]"));
  for (const e of document.querySelectorAll("[data-label]")) e.ariaLabel = word(e.dataset.label);
  for (const e of document.querySelectorAll("[data-placeholder]")) e.placeholder = word(e.dataset.placeholder);
  for (const e of document.querySelectorAll("[data-speak]")) e.ariaPressed = String(e.dataset.speak === chosen);
}

// An element with a class and children; strings become text.
export function make(tag, name = "", ...children) {
  const element = document.createElement(tag);
  if (name) element.className = name;
  element.append(...children);
  return element;
}

export const made = (tag, name, key, ...values) => say(make(tag, name), key, ...values);
