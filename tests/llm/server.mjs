// Configures the outside LLM server (@copilotkit/aimock, an OpenAI-compatible server that is not ours): what its
// "model" decides. Answers echo the tools' results, so that a test can look for their nonces in them.
//
//   node server.mjs        prints {"url": …} when it listens, and ends with its standard input
import { LLMock } from "@copilotkit/aimock";

const TOOLS = [
  [/system health/i, "maintenance__system_health_check", () => ({})],
  [/resource usage|disk usage/i, "maintenance__monitor_resource_usage", () => ({})],
  [/site\.open_gate/i, "site__open_gate", (text) => ({ who: /for (\w+)/.exec(text)[1] })],
  [/exchange rate/i, "site__exchange_rate", (text) => ({ currency: /\b([A-Z]{3})\b/.exec(text)[1] })],
];

const textOf = (content) =>
  typeof content === "string" ? content : (content ?? []).map((part) => part.text ?? "").join("");
const names = (request) => (request.tools ?? []).map((tool) => tool.function.name);
const prompt = (request) => textOf(request.messages.findLast((message) => message.role === "user")?.content);
const wish = (request) => /^Request: (.*)$/m.exec(prompt(request))?.[1] ?? "";

const decides = (request) => Boolean(request.response_format) || names(request).includes("final_result");

function decide(request) {
  const now = /^Local time now: (\S+)$/m.exec(prompt(request))?.[1];
  const before = /not before (\d\d:\d\d:\d\d)/.exec(wish(request))?.[1];
  const until = now && before ? now.slice(0, 11) + before + now.slice(19) : undefined;
  const decision =
    until && Date.parse(until) > Date.parse(now)
      ? { action: "postpone", until, reason: "the request says so" }
      : { action: "act", reason: "it is due" };
  if (request.response_format) return { content: JSON.stringify(decision) };
  return { toolCalls: [{ name: "final_result", arguments: JSON.stringify(decision) }] };
}

function act(request) {
  const lastUser = request.messages.findLastIndex((message) => message.role === "user");
  const results = request.messages.slice(lastUser).filter((message) => message.role === "tool");
  if (results.length) return { content: "Here is what I found. " + results.map((r) => textOf(r.content)).join(" ") };
  const text = wish(request);
  const calls = TOOLS.filter(([pattern, name]) => pattern.test(text) && names(request).includes(name));
  if (!calls.length) return { content: `Reminder: ${text}` };
  return { toolCalls: calls.map(([, name, args]) => ({ name, arguments: JSON.stringify(args(text)) })) };
}

// Embeddings are the server's own, made of each text; texts are read by their first sentence.
const reads = (request) => JSON.stringify(request.response_format ?? {}).includes("key_points");

function read(request) {
  const text = /<text>\n([^]*?)\n<\/text>/.exec(prompt(request))?.[1] ?? "";
  const summary = /^[^.]*\./.exec(text)?.[0] ?? text;
  const found = { summary, entities: [], categories: [], key_points: [summary], language: "en" };
  return { content: JSON.stringify(found) };
}

function respond(request) {
  if (reads(request)) return read(request);
  return decides(request) ? decide(request) : act(request);
}

const chaos = { rateLimitRate: Number(process.env.RATE_LIMITED ?? "0") };
const server = new LLMock({ host: "127.0.0.1", port: 0, chaos, journalMaxEntries: 0 });
server.on({ predicate: (request) => !request.embeddingInput }, respond);
await server.start();
console.log(JSON.stringify({ url: server.url }));
process.stdin.on("end", () => server.stop().then(() => process.exit(0)));
process.stdin.resume();
