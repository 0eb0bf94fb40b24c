// The chat of a NEXUS server on any page, by one script tag:
//   <script src="https://nexus.example.com/widget.js" data-topic="support" data-title="Help" defer></script>
(() => {
  const script = document.currentScript;
  const server = new URL(script.src).origin;
  const { topic, title = "Ask us", key, placeholder = "Your question", greeting } = script.dataset;

  const host = document.createElement("div");
  const root = host.attachShadow({ mode: "open" });
  const make = (tag, props, ...children) => {
    const e = Object.assign(document.createElement(tag), props);
    e.append(...children);
    return e;
  };

  const style = make("style", { textContent: `
    :host { all: initial; position: fixed; right: 1rem; bottom: 1rem; z-index: 2147483000; font: 16px/1.45 system-ui, sans-serif; color-scheme: light dark; }
    button { font: inherit; cursor: pointer; border: 0; border-radius: 1.5rem; padding: .7rem 1.1rem; background: #1d4ed8; color: #fff; }
    button:focus-visible, input:focus-visible { outline: 3px solid #f59e0b; outline-offset: 2px; }
    section { display: flex; flex-direction: column; width: min(22rem, calc(100vw - 2rem)); height: min(30rem, calc(100vh - 2rem));
      background: Canvas; color: CanvasText; border: 1px solid #8888; border-radius: .8rem; overflow: hidden; box-shadow: 0 8px 30px #0004; }
    section[hidden], button[hidden] { display: none; }
    header { display: flex; justify-content: space-between; align-items: center; padding: .5rem .5rem .5rem 1rem; background: #1d4ed8; color: #fff; }
    h2 { font-size: 1rem; margin: 0; }
    [role=log] { flex: 1; overflow-y: auto; padding: 1rem; }
    p { margin: 0 0 .6rem; padding: .5rem .8rem; border-radius: .8rem; max-width: 85%; width: fit-content; white-space: pre-wrap; overflow-wrap: anywhere; }
    .me { margin-left: auto; background: #1d4ed8; color: #fff; }
    .bot { background: #8883; }
    form { display: flex; gap: .5rem; padding: .6rem; border-top: 1px solid #8888; }
    input { flex: 1; min-width: 0; font: inherit; padding: .5rem .7rem; border: 1px solid #888; border-radius: 1.5rem; background: Canvas; color: CanvasText; }
    header button { padding: .3rem .7rem; background: transparent; }` });

  const list = make("div", { tabIndex: 0 });
  list.setAttribute("role", "log");
  list.setAttribute("aria-label", title);
  const input = make("input", { type: "text", placeholder, maxLength: 4000, required: true, autocomplete: "off" });
  input.setAttribute("aria-label", placeholder);
  const form = make("form", {}, input, make("button", { type: "submit", textContent: "Ask" }));
  const close = make("button", { type: "button", textContent: "✕" });
  close.setAttribute("aria-label", "Close");
  const panel = make("section", { hidden: true }, make("header", {}, make("h2", { textContent: title }), close), list, form);
  panel.setAttribute("role", "dialog");
  panel.setAttribute("aria-label", title);
  const opener = make("button", { type: "button", textContent: title });
  opener.setAttribute("aria-expanded", "false");

  const say = (who, text) => {
    const line = make("p", { className: who, textContent: text });
    list.append(line);
    line.scrollIntoView({ block: "end" });
    return line;
  };
  const show = (open) => {
    panel.hidden = !open;
    opener.hidden = open;
    opener.setAttribute("aria-expanded", String(open));
    (open ? input : opener).focus();
  };

  const ask = async (prompt) => {
    const headers = { "Content-Type": "application/json" };
    if (key) headers["X-API-Key"] = key;
    const res = await fetch(server + "/api/interact", {
      method: "POST", headers, body: JSON.stringify(topic ? { prompt, topic } : { prompt }),
    });
    const body = await res.json();
    if (!res.ok) throw new Error(body.detail || res.statusText);
    return body.response || "This takes longer than usual. Please ask again in a moment.";
  };

  opener.onclick = () => show(true);
  close.onclick = () => show(false);
  panel.onkeydown = (e) => { if (e.key === "Escape") show(false); };
  form.onsubmit = async (e) => {
    e.preventDefault();
    const prompt = input.value.trim();
    if (!prompt) return;
    input.value = "";
    say("me", prompt);
    const line = say("bot", "…");
    try {
      line.textContent = await ask(prompt);
    } catch (err) {
      line.textContent = err instanceof TypeError ? "The service cannot be reached. Please try again." : err.message;
    }
    line.scrollIntoView({ block: "end" });
  };

  root.append(style, opener, panel);
  if (greeting) say("bot", greeting);
  document.body.append(host);
})();
