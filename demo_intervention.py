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
from demo_page import Chapter, Told, write
from demo_shop import RESERVED, Shop
from demo_stage import HOME, Service, Story, console, run
from feature_repo.settings import SystemClock, microseconds
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
    budget: float
    epochs: int

    @property
    def days(self) -> int:
        """In all."""
        return self.collect + self.trial + self.after


LONG = Plan(shoppers=1_500, past_days=320, collect=12, trial=12, after=6, budget=40.0, epochs=2)
TINY = Plan(shoppers=150, past_days=300, collect=4, trial=3, after=1, budget=10.0, epochs=1)


def load(story: Story, plan: Plan) -> Shop:
    """The shop's past, in the warehouse and in the lives of its people."""
    shape = ("--shoppers", str(plan.shoppers), "--items", str(ITEMS), "--days", str(plan.past_days))
    with story.step("The past of a simulated shop enters the warehouse") as results:
        run(*STORE, "simulate", *shape, "--seed", str(SEED), "--start", START)
        world = World(SEED, plan.shoppers, ITEMS, microseconds(START))
        past = world.run(plan.past_days)
        customers = past.filter(kind="purchase")["user_id"].unique().to_list()
        SystemClock(HOME).move_to(world.now)
        results.append(f"{past.height:,} events, {len(customers):,} customers")
    with story.step("Features, and a model of the risk to leave") as results:
        run(*STORE, "rollup")
        run("feast", "apply")
        run(*STORE, "materialize")
        epochs = f"optim.num_epochs={plan.epochs}"
        run(*TRAINING, "fit", "shopper", "--size", "tiny", "--set", epochs)
        results.append("the shopper recipe, smallest size")
    return Shop(world, customers, plan.budget)


def promote_first(story: Story, plan: Plan) -> None:
    """The first policy: a coupon above a risk, half of all decisions left to chance."""
    limits = ("--daily-budget", f"{plan.budget:g}", "--cap-num", "1", "--cap-days", "6")
    with story.step("A first policy: coupons above a risk, and much left to chance") as results:
        run(*SERVING, "promote", "shopper", "--policy", "epsilon=0.5", *limits)
        costs = [word for a, cost in RESERVED.items() for word in ("--cost", f"{a}={cost:g}")]
        run(*SERVING, "campaign", "set", "default", *costs)
        results.append(f"budget {plan.budget:g} a day, one action a shopper within six days")


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
            console.print(
                f"  day {len(shop.books.profit):2}: {acted} actions, {spent:.2f} of the budget, "
                f"profit {shop.books.profit[-1]:,.2f}"
            )
        results.append(
            f"{len(shop.decided) - before:,} decisions, {shop.num_events - told:,} events"
        )
    return Chapter(title, first, first + days)


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
    plan, story = TINY if asked.tiny else LONG, Story()
    shop = load(story, plan)
    promote_first(story, plan)
    chapters, said = [], ""
    with Service() as service:
        chapters.append(live(story, "Collect", shop, service, plan.collect))
        with story.step(
            "An experiment deals shoppers to the first policy and to another"
        ) as results:
            arms = ("--arm", "first:0.5", "--arm", "other:0.5:coupon_threshold=0.3,epsilon=0.1")
            more = ("--metric", "purchase", "--metric", "profit", "--window-days", "7")
            run(*SERVING, "experiment", "start", EXPERIMENT, *arms, *more)
            results.append("half of the shoppers each")
        chapters.append(live(story, "Trial", shop, service, plan.trial))
        with story.step("What the experiment says") as results:
            said = run(*SERVING, "experiment", "analyse", EXPERIMENT)
            run(*SERVING, "experiment", "stop", EXPERIMENT, "--reason", "the trial is over")
            results.append(said.strip().splitlines()[0])
        chapters.append(live(story, "After", shop, service, plan.after))
    told = Told(shop=shop, chapters=chapters, budget=plan.budget, verdict=said, seed=SEED)
    page = write(HOME / "intervention.html", told)
    console.print()
    console.print(story.table())
    console.print(f"The page: {page}", soft_wrap=True)
    if asked.open:
        webbrowser.open(page.as_uri())


if __name__ == "__main__":
    main()
