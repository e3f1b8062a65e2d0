// The shop beside the shopper: budgets, experiments, the service. Next: console.js.

import { bar, make } from "./dom.js";
import { count, day, money, percent, time } from "./words.js";

export function budgets(answer) {
  if (!answer.campaigns.length) {
    return [make("p", { class: "soft" }, "No campaign yet. Promoting a model makes one.")];
  }
  return answer.campaigns.map((one) => {
    const total = one.total_budget === null ? ""
      : ` · ${money(one.spent_total)} of ${money(one.total_budget)} in all`;
    const share = one.daily_budget > 0 ? one.spent_today / one.daily_budget : 0;
    return make("div", { class: "budget" },
      make("p", {}, make("b", {}, one.campaign_id),
        make("span", { class: "figure" }, `${money(one.left_today)} ${answer.currency} left`)),
      bar(share, `${percent(share)} of today's budget is spent`, share >= 1 ? "spent" : ""),
      make("p", { class: "soft" },
        `${money(one.spent_today)} of ${money(one.daily_budget)} spent on ` +
        `${count(one.num_today, "action")}${total}`));
  });
}

export function experiments(answer, open) {
  if (!answer.experiments.length) {
    return [make("p", { class: "soft" }, "None is running. ",
      make("code", {}, "python -m serving experiment start"), " begins one.")];
  }
  return answer.experiments.map((one) => {
    const all = one.arms.reduce((sum, arm) => sum + arm.num_shoppers, 0);
    return make("div", { class: "experiment" },
      make("h3", {}, one.name),
      make("p", { class: "soft" }, `decided by ${one.metric} · since ${day(one.started_at)} · ` +
        `${count(all, "shopper")}`),
      make("ul", { class: "odds" }, ...one.arms.map((arm, place) => make("li", {},
        make("span", {}, `${arm.arm} `, place || arm.arm === "control" ? "" : make("span", { class: "tag" }, "control")),
        bar(all ? arm.num_shoppers / all : 0, `${arm.arm}: ${count(arm.num_shoppers, "shopper")}`),
        make("span", { class: "figure" }, arm.num_shoppers.toLocaleString("en-GB"))))),
      ...one.verdict.map((line) => make("p", { class: "verdict" }, line)),
      one.has_page ? make("p", {}, make("a", {
        href: `experiments/page?name=${encodeURIComponent(one.name)}`,
        onclick: (event) => open(event, one.name),
      }, "Its page, with plots")) : null);
  });
}

export function service(ready) {
  const rows = [
    ["model", `${ready.model} ${ready.model_version}`],
    ["policy", `${ready.policy} ${ready.policy_version}`],
    ["items", `${ready.num_items.toLocaleString("en-GB")} as of ${day(ready.catalogue_at)}`],
    ["the shop's time", time(ready.asked_at)],
  ];
  return [make("dl", {}, ...rows.flatMap(([name, value]) =>
    [make("dt", {}, name), make("dd", {}, value)]))];
}
