/** The demo's page: forms to calls, calls to rows of a table, a count for each server, and what each of them answers to a fan-out. */
import { call, errorOfLeg, methods, msOfLeg, RpcError } from "./rpc.js";

const $ = (id) => document.getElementById(id);
const settings = $("settings");
const protocolNames = { connect: "Connect", grpc_web: "gRPC-Web" };

/** Rows kept in the table. */
const maxRows = 200;

/** By name: how many calls each server has answered, and where that stands. */
const servers = new Map();
let calls = 0;
/** What cancels the stream that was started last, while it runs. */
let streaming;

for (const name of ["demo-1", "demo-2", "demo-3"]) {
  server(name);
  $("failing").append(new Option(name, name));
  answer(name);
}
const [{ nextHopProtocol }] = performance.getEntriesByType("navigation");
$("version").textContent = nextHopProtocol === "h2" ? "HTTP/2" : "HTTP/1.1";

$("greet").addEventListener("submit", async (event) => {
  event.preventDefault();
  const message = { name: event.target.elements.name.value };
  const times = Number(event.submitter?.value) || 1;
  for (let i = 0; i < times; i++) await run("Greet", methods.greet, message);
});

$("countDown").addEventListener("submit", async (event) => {
  event.preventDefault();
  const { from, intervalMs } = event.target.elements;
  const own = new AbortController();
  streaming = own;
  $("cancel").disabled = false;
  await run(
    "CountDown",
    methods.countDown,
    { from: Number(from.value), intervalMs: Number(intervalMs.value) },
    { signal: own.signal },
  );
  if (streaming === own) $("cancel").disabled = true;
});

$("getStats").addEventListener("submit", async (event) => {
  event.preventDefault();
  const { failing, delayMs } = event.target.elements;
  for (const name of servers.keys()) answer(name, "…", "");
  const seen = new Set();
  const onLeg = (leg) => {
    const { backend } = leg.info;
    seen.add(backend);
    server(backend);
    count(backend, servers.get(backend).calls + 1);
    const error = errorOfLeg(leg);
    const { calls = 0, uptimeSeconds = 0 } = leg.reply ?? {};
    const text = error
      ? `${error.code}: ${error.message}`
      : `${plural(calls, "call")} in ${plural(uptimeSeconds, "second")}`;
    answer(backend, duration(msOfLeg(leg)), text, error ? "bad" : "ok");
    return error === undefined;
  };
  await run("GetStats", methods.getStats, { fail: failing.value, delayMs: Number(delayMs.value) }, { onLeg });
  for (const name of servers.keys()) if (!seen.has(name)) answer(name, "", "no answer", "bad");
});

$("fail").addEventListener("click", () => run("CountDown", methods.countDown, { from: 0, intervalMs: 0 }));

$("cancel").addEventListener("click", () => streaming.abort());

$("clear").addEventListener("click", () => {
  $("calls").replaceChildren();
  for (const { element } of servers.values()) element.classList.remove("last");
  for (const name of servers.keys()) count(name, 0);
  showTable(false);
});

settings.addEventListener("submit", (event) => event.preventDefault());

/** Makes a call and shows how it goes. `onLeg` is told each answer of a fan-out, and says whether it is a success. Doesn't throw. */
async function run(name, method, message, { signal, onLeg } = {}) {
  const protocol = settings.elements.protocol.value;
  const timeoutMs = Number(settings.elements.timeoutMs.value);
  const row = addRow(name, protocol);
  const replies = [];
  const startedAt = performance.now();
  const onHead = (headers) => {
    const name = headers.get("x-endpoint");
    if (name === null || onLeg) return; // Manifold's own answer, or one of many servers
    row.server.textContent = name;
    count(name, server(name).calls + 1);
    mark(name);
  };
  const onMessage = (reply) => {
    if (replies.length === 0) row.first.textContent = duration(performance.now() - startedAt);
    if (onLeg) {
      const legs = (reply.legs ?? []).map((leg) => `${leg.info.backend} ${onLeg(leg) ? "ok" : "failed"}`);
      row.server.textContent = plural(replies.length + legs.length, "server");
      replies.push(...legs);
    } else replies.push(reply.greeting ?? reply.number);
    row.reply.textContent = shorten(replies, onLeg ? ", " : " ");
  };
  let status = "ok";
  let why = "";
  try {
    await call(protocol, method, message, { timeoutMs, signal, onHead, onMessage });
  } catch (error) {
    [status, why] = describe(error, signal);
  }
  row.time.textContent = duration(performance.now() - startedAt);
  row.status.textContent = status;
  row.status.className = status === "ok" ? "ok" : "bad";
  if (why !== "") row.reply.textContent = replies.length === 0 ? why : `${shorten(replies)}: ${why}`;
  $("announcement").textContent = `${name}: ${status}. ${row.reply.textContent}`;
}

/** A status and a text. Only an RpcError comes from a server. */
function describe(error, signal) {
  if (error instanceof RpcError) return [error.code, error.message];
  if (signal?.aborted) return ["canceled", "canceled on this page"];
  return ["unavailable", `no answer: ${error.message}`];
}

/** The newest is on top. */
function addRow(method, protocol) {
  calls++;
  const row = document.createElement("tr");
  const cell = (text, className) => {
    const element = row.insertCell();
    element.textContent = text;
    element.className = className;
    return element;
  };
  cell(calls, "number");
  cell(method, "");
  cell(protocolNames[protocol], "");
  const parts = {
    server: cell("", ""),
    status: cell("…", ""),
    first: cell("", "number"),
    time: cell("", "number"),
    reply: cell("", "reply"),
  };
  $("calls").prepend(row);
  while ($("calls").rows.length > maxRows) $("calls").lastChild.remove();
  showTable(true);
  return parts;
}

function showTable(shown) {
  $("scroll").hidden = !shown;
  $("none").hidden = shown;
  $("clear").disabled = !shown;
}

/** A server's tile, made where it isn't there yet. */
function server(name) {
  if (!servers.has(name)) {
    const element = document.createElement("li");
    const calls = document.createElement("span");
    const number = document.createElement("b");
    const unit = document.createElement("small");
    number.textContent = "0";
    unit.textContent = " calls";
    calls.append(number, unit);
    element.append(name, calls);
    $("servers").append(element);
    servers.set(name, { element, number, calls: 0 });
  }
  return servers.get(name);
}

function count(name, number) {
  servers.get(name).calls = number;
  servers.get(name).number.textContent = number;
}

function mark(name) {
  for (const [each, { element }] of servers) element.classList.toggle("last", each === name);
}

/** A server's answer to a fan-out: the time it took, and what it says. Nothing is shown of one that hasn't been asked. */
function answer(name, time = "", text = "", className = "") {
  let element = [...$("answers").children].find((each) => each.dataset.server === name);
  if (element === undefined) {
    element = document.createElement("li");
    element.dataset.server = name;
    element.append(document.createElement("b"), document.createElement("small"), document.createElement("span"));
    $("answers").append(element);
  }
  const [label, elapsed, says] = element.children;
  label.textContent = name;
  elapsed.textContent = time;
  says.textContent = text;
  element.className = className;
}

function shorten(replies, between = " ") {
  const shown = replies.length <= 24 ? replies : [...replies.slice(0, 12), "…", ...replies.slice(-12)];
  return shown.join(between);
}

function plural(number, unit) {
  return `${number} ${unit}${number === 1 ? "" : "s"}`;
}

function duration(ms) {
  return ms < 1_000 ? `${ms.toFixed(1)} ms` : `${(ms / 1_000).toFixed(2)} s`;
}
