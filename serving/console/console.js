// The page: asks the service, shows the answers, and says what went wrong. It sends GET alone.

import { make, show } from "./dom.js";
import { budgets, experiments, service } from "./shop.js";
import { shopper } from "./shopper.js";
import { time } from "./words.js";

const KEY = "nudge-key", REFRESH_MS = 30000, WAIT_MS = 200;
const place = (id) => document.getElementById(id);

class Refused extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

// Asking

async function ask(path, parameters = {}) {
  const query = new URLSearchParams(parameters).toString();
  const key = sessionStorage.getItem(KEY);
  const headers = key ? { Authorization: `Bearer ${key}` } : {};
  let answer;
  try {
    answer = await fetch(query ? `${path}?${query}` : path, { headers, cache: "no-store" });
  } catch {
    throw new Refused(0, "The service does not answer. Is it running?");
  }
  if (answer.ok) return answer;
  const problem = await answer.json().catch(() => ({}));
  throw new Refused(answer.status, problem.message ?? `The service answered ${answer.status}.`);
}

const read = async (path, parameters) => (await ask(path, parameters)).json();

// Telling what went wrong

function alertOf(error) {
  const box = place("alert");
  box.hidden = error === null;
  if (error === null) return;
  const needsKey = error.status === 401 || error.status === 403;
  if (needsKey && !document.querySelector("#key-form:not([hidden])")) openKey(true);
  const had = sessionStorage.getItem(KEY);
  const words = error.status === 401
    ? had ? "This API key is not live: unknown, expired or revoked." : "This service needs an API key."
    : error.message;
  show(box, words);
}

// The latest question about a place is the one whose answer it shows.
const turns = new Map();

async function into(box, work) {
  const turn = (turns.get(box) ?? 0) + 1;
  turns.set(box, turn);
  try {
    const content = await work();
    if (turns.get(box) === turn) show(box, content);
    return turns.get(box) === turn;
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    if (turns.get(box) !== turn) return false;
    if (error.status === 401 || error.status === 403) {
      alertOf(error);
      show(box, make("p", { class: "soft" }, "Needs an API key."));
    } else {
      show(box, make("p", { class: "fault" }, error.message));
    }
    return false;
  }
}

// The shop

const STALE = {
  catalogue: "items are of an earlier day",
  model: "the model's training data is old",
  schema: "the feature registry was changed",
  clock: "the machine's clock was set back",
};

async function health() {
  const line = place("health");
  try {
    const ready = await read("ready");
    const odd = ready.stale.map((flag) => STALE[flag] ?? flag).join("; ");
    line.className = odd ? "odd" : "well";
    show(line, odd ? `Degraded: ${odd}` : "Serving", ` · model ${ready.model} · policy ${ready.policy}`,
      ` · refreshed ${time(ready.catalogue_at)}`);
    show(place("service"), service(ready));
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    line.className = "down";
    show(line, error.status ? `Not ready: ${error.message}` : error.message);
    show(place("service"), make("p", { class: "fault" }, error.message));
  }
}

async function openPage(event, name) {
  if (!sessionStorage.getItem(KEY)) return;  // the link itself does
  event.preventDefault();
  const page = await ask("experiments/page", { name });
  const address = URL.createObjectURL(await page.blob());
  make("a", { href: address, download: `${name}.html` }).click();
  setTimeout(() => URL.revokeObjectURL(address), 10000);
}

async function shop() {
  const [isOpen] = await Promise.all([
    into(place("budgets"), async () => budgets(await read("campaigns"))),
    into(place("experiments"), async () => experiments(await read("experiments"), openPage)),
    health(),
  ]);
  if (isOpen) alertOf(null);
}

// Shoppers

async function find() {
  const prefix = place("prefix").value;
  await into(place("found"), async () => {
    const { shoppers } = await read("shoppers", { prefix });
    show(place("found-title"), !shoppers.length ? "No shopper's id begins like that."
      : prefix ? "Ids that begin like that:" : "For example:");
    return shoppers.map((id) => make("li", {},
      make("a", { href: `#${encodeURIComponent(id)}` }, id)));
  });
}

const chosen = () => {
  try {
    return decodeURIComponent(location.hash.slice(1));
  } catch {
    return "";
  }
};

async function open() {
  const id = chosen(), box = place("shopper");
  if (!id) {
    show(box, make("section", { class: "empty" }, make("p", {}, "Choose a shopper to see their days, " +
      "what is likely, and what would be decided about them.")));
    return;
  }
  document.title = `${id} · Nudge console`;
  show(box, make("p", { class: "soft" }, "Asking …"));
  if (await into(box, async () => shopper(await read("outlook", { user_id: id })))) alertOf(null);
}

// The key

function openKey(isOpen) {
  place("key-form").hidden = !isOpen;
  place("key-open").setAttribute("aria-expanded", String(isOpen));
  if (isOpen) place("key").focus();
}

const start = () => Promise.all([shop(), find(), open()]);

place("key-open").addEventListener("click", () => openKey(place("key-form").hidden));
place("key-form").addEventListener("submit", (event) => {
  event.preventDefault();
  sessionStorage.setItem(KEY, place("key").value.trim());
  place("key").value = "";
  alertOf(null);
  openKey(false);
  start();
});
place("key-forget").addEventListener("click", () => {
  sessionStorage.removeItem(KEY);
  openKey(false);
  start();
});
place("find").addEventListener("submit", (event) => {
  event.preventDefault();
  const id = place("prefix").value;
  if (id.trim()) location.hash = encodeURIComponent(id);
});
let waiting;
place("prefix").addEventListener("input", () => {
  clearTimeout(waiting);
  waiting = setTimeout(find, WAIT_MS);
});
window.addEventListener("hashchange", open);
setInterval(() => document.hidden || shop(), REFRESH_MS);
start();
