// One shopper: who it is, what is likely, what would be decided, what would be shown.
// Next: shop.js.

import { bar, make } from "./dom.js";
import { timeline } from "./timeline.js";
import { TASKS, ago, count, money, percent, within } from "./words.js";

export function shopper(outlook) {
  return [
    make("section", { "aria-labelledby": "who" }, make("h2", { id: "who", class: "who" }, outlook.user_id),
      make("p", { class: "facts" }, facts(outlook)), notices(outlook)),
    make("div", { class: "pair" },
      card("What is likely", risk(outlook)),
      card("What would be decided now", weighed(outlook.weighed))),
    card("Time line", timeline(outlook)),
    ...(outlook.next_actions.length ? [card("What comes next", ahead(outlook.next_actions))] : []),
    card("What would be recommended", items(outlook.items)),
  ];
}

function card(title, content) {
  return make("section", {}, make("h3", {}, title), ...content);
}

function facts(outlook) {
  const known = outlook.features, told = [];
  if (!outlook.known) return "Not known: no event of this shopper was ever seen.";
  if (known.tenure_days != null) told.push(`first seen ${ago(known.tenure_days)}`);
  if (known.num_orders != null) told.push(count(known.num_orders, "order"));
  if (known.recency_days_purchase != null) told.push(`last one ${ago(known.recency_days_purchase)}`);
  if (known.mean_gap_days != null) told.push(`one every ${count(Math.max(1, Math.round(known.mean_gap_days)), "day")}`);
  if (known.average_order_value != null) told.push(`${money(known.average_order_value)} an order`);
  return told.length ? told.join(" · ") : "Nothing is known but the id.";
}

function notices(outlook) {
  if (!outlook.notices.length) return null;
  return make("ul", { class: "notices" }, ...outlook.notices.map((text) => make("li", {}, text)));
}

function risk(outlook) {
  const spends = Object.entries(outlook.amounts).map(([task, amount]) =>
    make("div", { class: "risk" },
      make("p", {}, TASKS[task] ?? task, make("span", { class: "big" }, money(amount)))));
  return [...outlook.risk.map((one) => {
    const name = TASKS[one.task] ?? one.task;
    return make("div", { class: "risk" },
      make("p", {}, name, make("span", { class: "big" }, percent(one.probability))),
      bar(one.probability, `${name}: ${percent(one.probability)}`, one.task),
      make("p", { class: "soft" }, rhythm(one.reason)));
  }), ...spends];
}

// One line a step: when, what it is about, and the chance of each kind.
function ahead(steps) {
  return [make("ol", { class: "ahead" }, ...steps.map((one) => make("li", {},
    make("p", {}, make("b", {}, one.kind === "leave" ? "leaves" : one.kind),
      make("span", { class: "soft" }, one.kind === "leave" ? "" : ` ${within(one.days)}` +
        (one.category === null ? "" : ` · ${one.category} ${percent(one.category_probability)}`))),
    make("ul", { class: "odds" }, ...Object.entries(one.probabilities)
      .filter(([, chance]) => chance >= 0.05)
      .sort(([, one], [, other]) => other - one)
      .map(([kind, chance]) => make("li", {}, make("span", {}, kind === "leave" ? "leaves" : kind),
        bar(chance, `${kind} ${percent(chance)}`), make("span", { class: "figure" }, percent(chance)))))))),
  make("p", { class: "soft" }, "Kinds under 5 % are left out. Who leaves does nothing more within the model's horizon.")];
}

// After the first colon: the probability itself is shown beside it.
function rhythm(reason) {
  const place = reason.indexOf(": ");
  return place < 0 ? reason : reason.slice(place + 2);
}

function weighed(one) {
  const sure = Math.max(...one.alternatives.map((each) => each.probability)) >= 0.9999;
  return [
    make("p", { class: "choice" }, sure ? "" : "most likely ", make("b", {}, one.likeliest)),
    make("ul", { class: "odds" }, ...one.alternatives.map((each) =>
      make("li", { class: each.blocked ? "blocked" : "" }, make("span", {}, each.action),
        bar(each.probability, `${each.action} ${percent(each.probability)}`, each.action),
        make("span", { class: "figure" }, percent(each.probability)),
        each.blocked ? make("p", {}, `not now: ${each.blocked}`) : null))),
    make("p", {}, one.reason),
    make("p", { class: "soft" }, `policy ${one.policy} · campaign ${one.campaign_id}`,
      ...Object.entries(one.arms).map(([name, arm]) => ` · arm ${arm} of ${name}`)),
    make("p", { class: "soft" }, "Only weighed: nothing was drawn, kept or reserved."),
  ];
}

function items(found) {
  if (!found.length) return [make("p", { class: "soft" }, "No item may be shown.")];
  return [make("ol", { class: "items" }, ...found.map((one) =>
    make("li", {}, make("span", { class: "title" }, one.text ?? one.item_id,
      one.is_new ? make("span", { class: "tag" }, "new") : null),
    make("span", { class: "figure" }, one.price === null ? "" : money(one.price)),
    make("span", { class: "soft why" }, one.reason,
      one.probability < 1 ? ` · here with a chance of ${percent(one.probability)}` : ""))))];
}
