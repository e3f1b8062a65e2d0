// A shopper's days: what they did below, what Nudge decided above, and which came of which.
// A drawing for the eye, and the same as a list. Next: shopper.js.

import { bar, draw, make } from "./dom.js";
import { day, money, percent, time } from "./words.js";

const DID = ["purchase", "return", "cart", "click", "view"];
const ACTS = ["coupon", "reminder", "nothing"];
const STEP = 11, TALLEST = 6, SIDE = 14, LIST = 12;

export function timeline(outlook) {
  const decided = outlook.decisions.filter((one) => one.kind === "decide");
  const marks = [
    ...outlook.behaviours.map((one) => ({ at: Date.parse(one.at), kind: one.kind, up: false })),
    ...decided.map((one) => ({ at: Date.parse(one.decided_at), kind: one.action, up: true })),
  ];
  if (!marks.length && !outlook.decisions.length) {
    return [make("p", { class: "soft" }, "Nothing happened yet.")];
  }
  const picture = make("div", { class: "picture" });
  const redraw = () => picture.replaceChildren(drawing(picture, marks, decided, outlook));
  new ResizeObserver(redraw).observe(picture);
  return [...(marks.length ? [picture, legend(marks)] : []), list(outlook)];
}

function drawing(picture, marks, decided, outlook) {
  const width = Math.max(280, picture.clientWidth);
  const times = marks.map((mark) => mark.at);
  const outcomes = decided.flatMap((one) => one.outcomes.map((each) => Date.parse(each.event_at)));
  const last = Math.max(Date.parse(outlook.asked_at), ...times, ...outcomes);
  const span = Math.max(last - Math.min(...times, last), 86400000);
  const x = (at) => SIDE + ((at - (last - span)) / span) * (width - 2 * SIDE);
  const label = `${outlook.behaviours.length} behaviours and ${decided.length} decisions; ` +
    "the list below tells the same";
  const stacked = stack(x, marks);
  const above = 30 + STEP * tallest(stacked, true);
  const below = above + 44 + STEP * tallest(stacked, false);
  const height = below + 30;
  return draw("svg", { viewBox: `0 0 ${width} ${height}`, width, height, role: "img",
    "aria-label": label },
    axis(x, last - span, last, width, above, below),
    links(x, decided, above, below),
    stacked.map((mark) => draw("g", {}, draw("title", {}, `${mark.kind}, ${time(mark.at)}`),
      shape(mark.kind, x(mark.at), (mark.up ? above : below) - 7 - mark.place * STEP))));
}

// Two lanes, their names and some dates.
function axis(x, first, last, width, above, below) {
  const num = Math.max(2, Math.min(6, Math.floor(width / 130)));
  const ticks = Array.from({ length: num }, (_, i) => first + ((last - first) * i) / (num - 1));
  const anchor = (i) => (i === 0 ? "start" : i === num - 1 ? "end" : "middle");
  const labels = ticks.map((at, i) => (i === num - 1 ? "now" : day(at)));
  const name = (y, text) => draw("text", { x: SIDE - 8, y, class: "lane" }, text);
  return [
    name(14, "What Nudge decided"),
    name(above + 30, "What the shopper did"),
    ...[above, below].map((y) => draw("line", { x1: 6, x2: width - 6, y1: y, y2: y, class: "axis" })),
    ...ticks.flatMap((at, i) => [
      draw("line", { x1: x(at), x2: x(at), y1: below, y2: below + 6, class: "axis" }),
      draw("text", { x: x(at), y: below + 22, "text-anchor": anchor(i), class: "date" },
        labels[i] === labels[i - 1] ? "" : labels[i]),
    ]),
  ];
}

// From each decision to the events that cited it.
function links(x, decided, above, below) {
  return decided.flatMap((one) => one.outcomes.map((outcome) => {
    const from = x(Date.parse(one.decided_at)), to = x(Date.parse(outcome.event_at));
    const words = `${one.action} of ${day(one.decided_at)} led to ${outcome.kind}, ` +
      `${day(outcome.event_at)}`;
    return draw("g", { class: "link" }, draw("title", {}, words),
      draw("path", { d: `M${from} ${above} C${from} ${above + 44} ${to} ${below - 56} ${to} ${below - 15}` }),
      draw("circle", { cx: to, cy: below - 7, r: 8 }));
  }));
}

// Marks that would cover each other stand upon each other.
function stack(x, marks) {
  const heights = new Map();
  return marks.map((mark) => {
    const key = `${mark.up} ${Math.round(x(mark.at) / STEP)}`;
    const place = heights.get(key) ?? 0;
    heights.set(key, place + 1);
    return { ...mark, place: Math.min(place, TALLEST - 1) };
  });
}

const tallest = (stacked, up) =>
  Math.max(1, ...stacked.filter((mark) => mark.up === up).map((mark) => mark.place + 1));

function shape(kind, x, y) {
  const mark = `mark ${kind}`;
  if (kind === "coupon") return draw("path", { d: `M${x} ${y - 6} L${x + 6} ${y} L${x} ${y + 6} L${x - 6} ${y} Z`, class: mark });
  if (kind === "reminder") return draw("rect", { x: x - 4.5, y: y - 4.5, width: 9, height: 9, class: mark });
  if (kind === "return") return draw("path", { d: `M${x - 4} ${y - 4} L${x + 4} ${y + 4} M${x + 4} ${y - 4} L${x - 4} ${y + 4}`, class: mark });
  return draw("circle", { cx: x, cy: y, r: kind === "purchase" ? 5 : 3.5, class: mark });
}

function legend(marks) {
  const kinds = new Set(marks.map((mark) => mark.kind));
  const known = [...ACTS, ...DID].filter((kind) => kinds.delete(kind));
  const item = (kind) => make("li", {},
    draw("svg", { width: 14, height: 14, "aria-hidden": "true" }, shape(kind, 7, 7)), kind);
  return make("ul", { class: "legend", "aria-hidden": "true" }, ...[...known, ...kinds].map(item),
    make("li", {}, draw("svg", { width: 14, height: 14 }, draw("circle", { cx: 7, cy: 7, r: 6, class: "ring" })),
      "came of a decision"));
}

// The newest first; each line says in words what the drawing shows.
function list(outlook) {
  const lines = [
    ...grouped(outlook.behaviours).map((one) => ({ at: one.at, made: () => behaviour(one, outlook) })),
    ...outlook.decisions.map((one) => ({ at: one.decided_at, made: () => decision(one) })),
  ].sort((a, b) => Date.parse(b.at) - Date.parse(a.at));
  const made = lines.map((line) => line.made());
  const rest = made.splice(LIST);
  const all = make("ol", { class: "days" }, ...made);
  if (!rest.length) return all;
  const more = make("button", { type: "button", class: "quiet", onclick: () => {
    all.append(...rest);
    more.remove();
    rest[0].setAttribute("tabindex", "-1");
    rest[0].focus();
  } }, `Show ${rest.length} more`);
  return make("div", {}, all, more);
}

// Lines of one order are one line.
function grouped(behaviours) {
  const orders = new Map();
  return behaviours.filter((one) => {
    const key = one.order_id === null ? null : `${one.kind} ${one.order_id}`;
    if (key !== null && orders.has(key)) {
      orders.get(key).push(one);
      return false;
    }
    if (key !== null) orders.set(key, [one]);
    return true;
  }).map((one) => ({ ...one, lines: orders.get(`${one.kind} ${one.order_id}`) ?? [one] }));
}

function behaviour(one, outlook) {
  const title = (each) => outlook.titles[each.item_id] ?? each.item_id ?? "";
  const pieces = (each) => (each.quantity > 1 ? `${each.quantity} × ` : "");
  const names = one.lines.slice(0, 3).map((each) => pieces(each) + title(each)).filter(Boolean);
  const more = one.lines.length > 3 ? `, and ${one.lines.length - 3} more` : "";
  const worth = one.lines.reduce((sum, each) => sum + (each.amount ?? 0), 0);
  return make("li", { class: `did ${one.kind}` }, when(one.at),
    make("span", {}, make("b", {}, one.kind), names.length ? ` ${names.join(", ")}${more}` : "",
      worth ? make("span", { class: "soft" }, ` ${money(worth)}`) : ""));
}

function decision(one) {
  const isAction = one.kind === "decide";
  const head = isAction ? `Decided: ${one.action}` : one.kind === "predict" ? "Asked for its risk"
    : `Recommended ${Object.keys(one.scores).length} items`;
  const inside = make("details", {}, make("summary", {}, make("b", {}, head), outcomes(one)),
    make("p", {}, one.reason),
    isAction ? probabilities(one) : null,
    make("p", { class: "soft" }, `${one.policy === "none" ? "" : `policy ${one.policy} · `}`,
      one.campaign_id === null ? "" : `campaign ${one.campaign_id} · cost ${money(one.cost)} · `,
      ...Object.entries(one.arms).map(([name, arm]) => `arm ${arm} of ${name} · `),
      `decision ${one.decision_id}`));
  return make("li", { class: `decided ${one.action ?? one.kind}` }, when(one.decided_at), inside);
}

function probabilities(one) {
  return make("ul", { class: "odds" }, ...Object.entries(one.probabilities).map(([action, share]) =>
    make("li", {}, make("span", {}, action), bar(share, `${action} ${percent(share)}`, action),
      make("span", { class: "figure" }, percent(share)))));
}

function outcomes(one) {
  if (!one.outcomes.length) return null;
  const worth = (each) => (each.value ? ` ${money(each.value)}` : "");
  const told = one.outcomes.map((each) => `${each.kind}${worth(each)} on ${day(each.event_at)}`);
  return make("span", { class: "outcome" }, ` → ${told.join(", ")}`);
}

const when = (at) => make("time", { datetime: at }, time(at));
