// Documents: the source of an answer, and the dialog in which a document is read with the quoted sentence marked.
import { get } from "./net.js";
import { make, made } from "./words.js";

let heads = null;
export const documents = () => (heads ??= get("/api/documents"));

// 【title】«sentence» answer, as knowledge/citation.py reads it.
export function splitCitation(reply) {
  const cited = /^\s*【([^】]*)(?:】\s*(?:【[^】]*】\s*)*([^]*))?/.exec(reply);
  const [title, rest] = cited ? [cited[1].trim(), cited[2] ?? ""] : ["", reply];
  const quoted = /^\s*«([^»]*)(?:»([^]*))?/.exec(rest);
  return quoted ? { title, quote: quoted[1].trim(), answer: (quoted[2] ?? "").trim() } : { title, quote: "", answer: rest.trim() };
}

export function documentLink(head, quote = "") {
  const button = make("button", "link", head.title);
  button.type = "button";
  button.lang = head.language;
  button.onclick = () => open(head.id, quote);
  return make("span", "document-link", button, ...(head.date ? [make("time", "", head.date)] : []));
}

// The source under an answer; once the reply is whole, whether title and sentence are really there.
export async function showSource(box, { title, quote }, isWhole) {
  const head = (await documents()).find((each) => each.title === title);
  const parts = [made("h4", "", "source"), head ? documentLink(head, quote) : make("span", "document-link", `【${title}】`)];
  if (quote) parts.push(make("blockquote", "", quote));
  if (isWhole && !head) parts.push(made("p", "check missing", "source_missing"));
  if (isWhole && head && quote) {
    const { text } = await get(`/api/documents/${encodeURIComponent(head.id)}`);
    const found = text.includes(quote);
    parts.push(made("p", found ? "check" : "check missing", found ? "quote_found" : "quote_missing"));
  }
  box.replaceChildren(...parts);
}

async function open(id, quote) {
  const found = await get(`/api/documents/${encodeURIComponent(id)}`);
  document.querySelector("#document-date").textContent = found.date ?? "";
  const title = document.querySelector("#document-title");
  title.textContent = found.title;
  title.lang = found.language;
  const text = document.querySelector("#document-text");
  text.lang = found.language;
  const at = quote ? found.text.indexOf(quote) : -1;
  const parts = at < 0 ? [found.text] : [found.text.slice(0, at), make("mark", "", quote), found.text.slice(at + quote.length)];
  text.replaceChildren(...parts);
  document.querySelector("#document").showModal();
  text.querySelector("mark")?.scrollIntoView({ block: "center" });
}

export { open as openDocument };
