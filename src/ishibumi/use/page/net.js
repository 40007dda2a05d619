// Requests to the server that this page came from. A key, where the server wants one, is kept for this tab only.
const dialog = document.querySelector("#key");
let asking = null;

function askForKey() {
  asking ??= new Promise((resolve) => {
    dialog.querySelector("form").onsubmit = (event) => {
      event.preventDefault();
      sessionStorage.setItem("key", document.querySelector("#key-field").value);
      dialog.close();
      asking = null;
      resolve();
    };
    dialog.oncancel = (event) => event.preventDefault();
    dialog.showModal();
  });
  return asking;
}

export async function send(path, options = {}) {
  const key = sessionStorage.getItem("key");
  const headers = { ...options.headers, ...(key ? { authorization: `Bearer ${key}` } : {}) };
  const reply = await fetch(path, { ...options, headers });
  if (reply.status !== 401) return reply;
  await askForKey();
  return send(path, options);
}

export async function get(path) {
  const reply = await send(path);
  if (!reply.ok) throw new Error((await reply.json()).error.message);
  return reply.json();
}

// The chunks of a chat reply as they come; throws an Error with a status where the server refuses.
export async function* chat(model, question, signal) {
  const body = JSON.stringify({ model, messages: [{ role: "user", content: question }], stream: true });
  const reply = await send("/v1/chat/completions", { method: "POST", headers: { "content-type": "application/json" }, body, signal });
  if (!reply.ok) throw Object.assign(new Error((await reply.json()).error.message), { status: reply.status });
  const reader = reply.body.pipeThrough(new TextDecoderStream()).getReader();
  let held = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    const events = (held + value).split("\n\n");
    held = events.pop();
    for (const event of events) {
      const data = event.slice("data: ".length);
      if (data === "[DONE]") return;
      const told = JSON.parse(data);
      if (told.error) throw new Error(told.error.message);
      yield told;
    }
  }
}
