// Asks once a second what is new, and puts it in its place. Without this script the page is the same after a reload.
"use strict";

const EVERY = 1000;
const AFTER_FAILURE = 3000;
const requests = document.getElementById("requests");
const live = document.getElementById("live");
const fold = document.getElementById("fold");
let token = requests.dataset.token;
let panel = "";

// The server escapes whatever came in a request, and the page's policy lets no markup run anything.
function made(html) {
  const template = document.createElement("template");
  template.innerHTML = html;
  return template.content.firstElementChild;
}

function say(state, words) {
  if (live.textContent !== words) live.textContent = words;
  live.dataset.state = state;
}

function put(article) {
  const old = document.getElementById(article.id);
  if (!old) {
    const number = Number(article.id.slice(1));
    const next = [...requests.children].find((one) => Number(one.id.slice(1)) < number);
    if (!requests.children.length) article.firstElementChild.open = true;
    requests.insertBefore(article, next || null);
    return;
  }
  // What is unfolded stays so, and what has the focus keeps it.
  old.className = article.className;
  const [summary, body] = old.firstElementChild.children;
  const [newSummary, newBody] = article.firstElementChild.children;
  summary.replaceChildren(...newSummary.childNodes);
  const unfolded = [...body.querySelectorAll("details")].map((one) => one.open);
  newBody.querySelectorAll("details").forEach((one, place) => { one.open = Boolean(unfolded[place]); });
  body.replaceWith(newBody);
}

function show(news) {
  token = news.token;
  const order = new Set(news.order);
  for (const one of [...requests.children]) if (!order.has(one.id)) one.remove();
  for (const html of news.entries.reverse()) put(made(html));
  if (panel !== news.panel) document.getElementById("panel").innerHTML = panel = news.panel;
  document.getElementById("empty").hidden = news.total > 0;
  document.getElementById("nothing").hidden = news.total === 0 || news.order.length > 0;
  const models = document.querySelector("select[name=model]");
  const known = new Set([...models.options].map((one) => one.value));
  for (const name of news.models) if (!known.has(name)) models.add(new Option(name, name));
}

async function look() {
  let wait = EVERY;
  if (!document.hidden) {
    try {
      const query = new URLSearchParams(location.search);
      query.set("since", token);
      const answer = await fetch(`/page/news?${query}`);
      if (answer.status === 200) show(await answer.json());
      say("on", "Live");
    } catch {
      say("off", "The emulator does not answer");
      wait = AFTER_FAILURE;
    }
  }
  setTimeout(look, wait);
}

for (const choice of document.querySelectorAll(".bar select")) {
  choice.addEventListener("change", () => choice.form.requestSubmit());
}
document.querySelector(".bar [type=submit]").hidden = true;

fold.hidden = false;
fold.addEventListener("click", () => {
  const unfold = fold.textContent === "Unfold all";
  for (const one of requests.querySelectorAll(":scope > article > details")) one.open = unfold;
  fold.textContent = unfold ? "Fold all" : "Unfold all";
});

for (const button of document.querySelectorAll(".copy")) {
  button.hidden = false;
  button.addEventListener("click", async () => {
    await navigator.clipboard.writeText(button.parentElement.querySelector("pre").textContent);
    button.textContent = "Copied";
    setTimeout(() => { button.textContent = "Copy"; }, 1500);
  });
}

if (requests.dataset.live !== undefined) look();
else say("off", "Older requests");
