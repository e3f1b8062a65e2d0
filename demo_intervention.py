"""Thirty days of a shop that lets Nudge decide who gets a coupon: ``make demo-intervention``.

Simulated people meet the real endpoint: each morning it decides, each evening it is told what they
did. A first policy acts, partly by chance; a second one is learnt from what came of it, judged by
the log, tried in an experiment, and promoted if it wins. All of it by the commands of docs/, each
shown before it runs; the shop knows the truth about its people, so the page at the end says what
was possible.

    python demo_intervention.py            in an empty NUDGE_HOME
    python demo_intervention.py --tiny     a few shoppers and days

Next: ``demo_shop.py`` for the people, ``demo_page.py`` for the page.
"""

from __future__ import annotations

import argparse
import webbrowser
from dataclasses import dataclass

from demo import SERVING, STORE, TRAINING
from demo_learn import WINDOW_DAYS, Judged, judge, keep, learn, past, promote
from demo_page import Chapter, Told, write
from demo_shop import RESERVED, Shop
from demo_stage import HOME, Service, Story, console, run
from feature_repo.settings import Settings, SystemClock, microseconds
from feature_repo.world import World

SEED, START, ITEMS = 7, "2025-01-01T00:00:00", 120
EXPERIMENT = "challenger"


@dataclass(frozen=True)
class Plan:
    """How large the shop is, and when what happens."""

    shoppers: int
    past_days: int
    collect: int
    """Days until the second policy is learnt."""
    trial: int
    """Days of its experiment."""
    after: int
    """Days under whichever won."""
    exploring: float
    """Budget of a day of the collection."""
    budget: float
    """And of a day after it."""
    epochs: int

    @property
    def days(self) -> int:
        """In all."""
        return self.collect + self.trial + self.after


LONG = Plan(
    shoppers=3_000,
    past_days=320,
    collect=16,
    trial=9,
    after=5,
    exploring=700.0,
    budget=150.0,
    epochs=2,
)
TINY = Plan(
    shoppers=300, past_days=300, collect=8, trial=2, after=1, exploring=100.0, budget=30.0, epochs=1
)


def load(story: Story, plan: Plan) -> Shop:
    """The shop's past, in the warehouse and in the lives of its people."""
    shape = ("--shoppers", str(plan.shoppers), "--items", str(ITEMS), "--days", str(plan.past_days))
    with story.step("The past of a simulated shop enters the warehouse") as results:
        run(*STORE, "simulate", *shape, "--seed", str(SEED), "--start", START)
        world = World(SEED, plan.shoppers, ITEMS, microseconds(START))
        past = world.run(plan.past_days)
        SystemClock(HOME).move_to(world.now)
        shop = Shop(world, past, plan.exploring)
        results.append(f"{past.height:,} events, {len(shop.customers):,} customers")
    with story.step("Features, and a model of the risk to leave") as results:
        run(*STORE, "rollup")
        run("feast", "apply")
        run(*STORE, "materialize")
        epochs = f"optim.num_epochs={plan.epochs}"
        run(*TRAINING, "fit", "shopper", "--size", "tiny", "--set", epochs)
        results.append("the shopper recipe, smallest size")
    return shop


def promote_first(story: Story, plan: Plan) -> None:
    """The first policy: a coupon above a risk, most decisions left to chance. No reminders."""
    limits = ("--daily-budget", f"{plan.exploring:g}", "--cap-num", "1", "--cap-days", "6")
    with story.step("A first policy: coupons above a risk, and much left to chance") as results:
        run(*SERVING, "promote", "shopper", "--policy", "epsilon=0.9", *limits)
        costs = [word for a, cost in RESERVED.items() for word in ("--cost", f"{a}={cost:g}")]
        run(*SERVING, "campaign", "set", "default", *costs, "--channel", "reminder=letters")
        run(*SERVING, "campaign", "cap", "letters", "--num", "0", "--days", "1")
        results.append(f"budget {plan.exploring:g} a day, one action a shopper within six days")


def live(story: Story, title: str, shop: Shop, service: Service, days: int) -> Chapter:
    """Some days through the endpoint."""
    clock, first = SystemClock(HOME), len(shop.books.profit)
    with story.step(f"{title}: days {first + 1} to {first + days}") as results:
        before, told = len(shop.decided), shop.num_events
        for _ in range(days):
            shop.live(service.address, clock)
            spent, acted = shop.books.spent[-1], sum(
                one.action != "nothing" for one in shop.decided if one.day == shop.decided[-1].day
            )  # fmt: skip
            day, profit = len(shop.books.profit), shop.books.profit[-1]
            console.print(
                f"  day {day:2}: {acted} actions, {spent:.2f} of {shop.budget:g}, "
                f"profit {profit:,.2f}"
            )
        results.append(
            f"{len(shop.decided) - before:,} decisions, {shop.num_events - told:,} events"
        )
    return Chapter(title, first, first + days)


def second(story: Story, plan: Plan, settings: Settings) -> tuple[Judged, str]:
    """A policy learnt from the log so far, and what the log says of it; its tag."""
    with story.step("A second policy is learnt from the log, and judged by it") as results:
        log = past(settings)
        judged = judge(log, plan.budget)
        results += show(judged)
        tag = keep(learn(log), settings)
        results.append(f"kept as {tag}")
    return judged, tag


def show(judged: Judged) -> list[str]:
    """Print what the log says; the lines."""
    lines = [
        f"{judged.num_rows:,} decisions it did not learn from, worth {judged.effective:,.0f}",
        f"it would have earned {judged.own.value:.3f} a decision, "
        f"the served one {judged.served.value:.3f}",
        f"lead {judged.lead.value:+.3f} ({judged.lead.low:+.3f} to {judged.lead.high:+.3f})",
        *(f"refused: {reason}" for reason in judged.refusals),
    ]
    for line in lines:
        console.print(f"  {line}", soft_wrap=True)
    return lines


def begin_trial(story: Story, plan: Plan, tag: str) -> None:
    """Half of the shoppers to each policy, and the budget that is meant to last."""
    with story.step("An experiment deals the shoppers to both policies") as results:
        arms = ("--arm", "first:0.5", "--arm", f"second:0.5:{tag}")
        more = ("--metric", "purchase", "--metric", "profit", "--window-days", str(WINDOW_DAYS))
        run(*SERVING, "campaign", "set", "default", "--daily-budget", f"{plan.budget:g}")
        run(*SERVING, "experiment", "start", EXPERIMENT, *arms, *more)
        results.append(f"half of the shoppers each, budget {plan.budget:g} a day from now on")


def end_trial(story: Story) -> str:
    """What the experiment found."""
    with story.step("What the experiment says") as results:
        run(*SERVING, "experiment", "status", EXPERIMENT)
        said = run(*SERVING, "experiment", "analyse", EXPERIMENT)
        run(*SERVING, "experiment", "stop", EXPERIMENT, "--reason", "the trial is over")
        results.append("see its page")
    return said


def decide_on(story: Story, plan: Plan, settings: Settings) -> tuple[Judged, bool]:
    """Learn once more from all that is known now; promote what the log does not speak against."""
    with story.step(
        "The policy is learnt again from all of it, and promoted if it passes"
    ) as results:
        log = past(settings)
        judged = judge(log, plan.budget)
        results += show(judged)
        if judged.passes:
            promote(keep(learn(log), settings), settings)
        results.append("promoted" if judged.passes else "kept back: the first policy goes on")
    return judged, judged.passes


def main() -> None:
    """Tell the story."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--tiny", action="store_true", help="a few shoppers and days")
    parser.add_argument("--open", action="store_true", help="show the page in a browser")
    asked = parser.parse_args()
    if (HOME / "warehouse.db").exists():
        raise SystemExit(f"{HOME} holds a shop already; give an empty NUDGE_HOME")
    plan, story, settings = TINY if asked.tiny else LONG, Story(), Settings()
    shop = load(story, plan)
    promote_first(story, plan)
    chapters = []
    with Service() as service:
        chapters.append(live(story, "Collect", shop, service, plan.collect))
        judged, tag = second(story, plan, settings)
        begin_trial(story, plan, tag)
        shop.budget = plan.budget
        chapters.append(live(story, "Trial", shop, service, plan.trial))
        said = end_trial(story)
    judged_again, goes_on = decide_on(story, plan, settings)
    shop.serves = "second" if goes_on else "first"
    with Service() as service:
        chapters.append(live(story, "After", shop, service, plan.after))
    told = Told(
        shop=shop,
        chapters=chapters,
        verdict=said,
        judged=(judged, judged_again),
        goes_on=goes_on,
        seed=SEED,
    )
    page = write(HOME / "intervention.html", told)
    console.print()
    console.print(story.table())
    console.print(f"The page: {page}", soft_wrap=True)
    if asked.open:
        webbrowser.open(page.as_uri())


if __name__ == "__main__":
    main()
