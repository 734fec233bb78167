// What OpenAI's client for node does against either base: JSON on standard output.
import OpenAI from "openai";

const { GLM_KEY, GLM_BASE, MODEL, URL: url } = process.env;
const client = new OpenAI({ apiKey: GLM_KEY, baseURL: GLM_BASE });
const content = [
  { type: "text", text: "Describe the picture." },
  { type: "image_url", image_url: { url } },
];
const ask = { model: MODEL, messages: [{ role: "user", content }] };

const answer = await client.chat.completions.create(ask);
const stream = await client.chat.completions.create({ ...ask, stream: true, stream_options: { include_usage: true } });
let streamed = "";
const finish = [];
let total = null;
for await (const chunk of stream) {
  for (const choice of chunk.choices) {
    streamed += choice.delta.content ?? "";
    if (choice.finish_reason) finish.push(choice.finish_reason);
  }
  total = chunk.usage?.total_tokens ?? total;
}
const { data } = await client.models.list();
console.log(
  JSON.stringify({
    id: answer.id,
    object: answer.object,
    model: answer.model,
    models: data.length,
    text: answer.choices[0].message.content,
    streamed,
    finish,
    usage: [answer.usage.total_tokens, total],
  }),
);
