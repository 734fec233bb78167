"use strict";

const talk = document.getElementById("talk");
const form = document.getElementById("form");
const picture = document.getElementById("picture");
const question = document.getElementById("question");
const note = document.getElementById("note");
const send = document.getElementById("send");
const stop = document.getElementById("stop");

let chat = null; // the name of this conversation
let waiting = null; // the picture that goes with the next question
let leaving = null; // ends the answer that is coming

async function told(response) {
  if (response.ok) return response.json();
  const problem = await response.json().catch(() => ({}));
  throw new Error(typeof problem.detail === "string" ? problem.detail : `HTTP ${response.status}`);
}

async function conversation() {
  chat ??= (await told(await fetch("chats", { method: "POST" }))).chat;
  return chat;
}

function bubble(kind, text) {
  const item = document.createElement("li");
  item.className = kind;
  item.append(text); // text, never markup
  talk.append(item);
  item.scrollIntoView({ block: "end" });
  return item;
}

picture.addEventListener("change", async () => {
  const [file] = picture.files;
  waiting = null;
  if (!file) return;
  note.textContent = "Uploading …";
  try {
    const url = `chats/${await conversation()}/picture`;
    const seen = await told(await fetch(url, { method: "PUT", body: file }));
    waiting = file;
    note.textContent = `${file.name}: ${seen.width} x ${seen.height} pixels`;
  } catch (error) {
    note.textContent = error.message;
  }
  picture.value = "";
});

form.addEventListener("submit", async (submitted) => {
  submitted.preventDefault();
  const text = question.value;
  const asked = bubble("you", text);
  if (waiting) {
    const shown = document.createElement("img");
    shown.alt = waiting.name;
    shown.src = URL.createObjectURL(waiting);
    asked.prepend(shown);
  }
  const said = bubble("model", "");
  leaving = new AbortController();
  [question.value, note.textContent, send.hidden, stop.hidden] = ["", "", true, false];
  try {
    const response = await fetch(`chats/${await conversation()}/questions`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ question: text }),
      signal: leaving.signal,
    });
    if (!response.ok) await told(response);
    await listen(response, said);
  } catch (error) {
    if (error.name === "AbortError") said.append(" …");
    else wrong(said, error.message);
  }
  [send.hidden, stop.hidden] = [false, true];
  question.focus();
});

stop.addEventListener("click", () => leaving?.abort());

async function listen(response, said) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let held = "";
  for (let piece = await reader.read(); !piece.done; piece = await reader.read()) {
    held += piece.value;
    const events = held.split("\n\n");
    held = events.pop();
    for (const lines of events) happen(lines, said);
  }
}

function happen(lines, said) {
  const [, name, json] = /^event: (\w+)\ndata: (.*)$/.exec(lines);
  const data = JSON.parse(json);
  if (name === "words") said.append(data.text);
  if (name === "withdrawn") said.textContent = "";
  if (name === "withdrawn" || name === "failed") wrong(said, data.message);
  if (name === "end") {
    waiting = null;
    const cost = document.createElement("small");
    cost.textContent = data.tokens ? `${data.tokens} tokens` : "";
    said.append(cost);
  }
  said.scrollIntoView({ block: "end" });
}

function wrong(said, message) {
  said.classList.add("wrong");
  said.append(said.textContent ? `\n${message}` : message);
}
