"""Thirty days of a shop that lets Nudge decide who gets a coupon: ``make demo-intervention``.

Simulated people meet the real endpoint: each morning it decides, each evening it is told what they
did. A first policy acts, partly by chance; a second one is learnt from what came of it, judged by
the log, tried in an experiment, and promoted if the log speaks for it. All of it by the commands of
docs/, each shown before it runs; the shop knows the truth about its people, so the page at the end
says what was possible.

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
from demo_shop import Shop
from demo_stage import HOME, Service, Story, console, run
from demo_twins import COSTS, MARGIN
from feature_repo.experiments import Kept
from feature_repo.exposures import Experiments
from feature_repo.settings import Settings, SystemClock, microseconds
from feature_repo.warehouse import Warehouse
from feature_repo.world import World
from serving.settings import Promotion

START, ITEMS = "2025-01-01T00:00:00", 120
POLICY = "uplift_budget"
TERMS = ("--window-days", "5", "--margin", f"{MARGIN:g}")
"""How a policy is learnt and tried: what counts after a decision."""
REFUSED = 2
"""How a command ends that says no."""


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
    """Of a day: enough for a coupon for half of those who are asked about."""
    epochs: int

    @property
    def days(self) -> int:
        """In all."""
        return self.collect + self.trial + self.after


LONG = Plan(shoppers=2_600, past_days=320, collect=18, trial=6, after=6, budget=21.0, epochs=2)
TINY = Plan(shoppers=300, past_days=300, collect=8, trial=2, after=1, budget=2.5, epochs=1)


def load(story: Story, plan: Plan, seed: int) -> Shop:
    """The shop's past, in the warehouse and in the lives of its people."""
    shape = ("--shoppers", str(plan.shoppers), "--items", str(ITEMS), "--days", str(plan.past_days))
    with story.step("The past of a simulated shop enters the warehouse") as results:
        run(*STORE, "simulate", *shape, "--seed", str(seed), "--start", START)
        world = World(seed, plan.shoppers, ITEMS, microseconds(START))
        past = world.run(plan.past_days)
        SystemClock(HOME).move_to(world.now)
        shop = Shop(world, past, plan.budget)
        results.append(f"{past.height:,} events, {len(shop.customers):,} customers")
    with story.step("Features, and a model of the risk to leave") as results:
        run(*STORE, "rollup")
        run("feast", "apply")
        run(*STORE, "materialize")
        run(*TRAINING, "fit", "shopper", "--size", "tiny", *model_settings(plan.epochs))
        results.append("the shopper recipe, smallest size, of two tasks")
    return shop


def model_settings(epochs: int) -> list[str]:
    """What the demonstration asks of the model: the risk to leave, and recommendations to show."""
    asked = (
        'tasks=["next_item","retention"]',
        "task_weights=[1.0,1.0]",
        "task_shares=[1.0,0.3]",
        f"optim.num_epochs={epochs}",
    )
    return [word for one in asked for word in ("--set", one)]


def promote_first(story: Story, plan: Plan) -> None:
    """The first policy: a coupon above a risk, most decisions left to chance. No reminders."""
    limits = ("--daily-budget", f"{plan.budget:g}", "--cap-num", "1", "--cap-days", "6")
    with story.step("A first policy: coupons above a risk, and much left to chance") as results:
        run(*SERVING, "promote", "shopper", "--policy", "epsilon=0.9", *limits)
        costs = [word for a, cost in COSTS.items() for word in ("--cost", f"{a}={cost:g}")]
        run(*SERVING, "campaign", "set", "default", *costs, "--channel", "reminder=letters")
        run(*SERVING, "campaign", "cap", "letters", "--num", "0", "--days", "1")
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
            day, profit = len(shop.books.profit), shop.books.profit[-1]
            console.print(
                f"  day {day:2}: {acted} actions, {spent:.2f} of {shop.budget:g}, "
                f"profit {profit:,.2f}"
            )
        results.append(
            f"{len(shop.decided) - before:,} decisions, {shop.num_events - told:,} events"
        )
    return Chapter(title, first, first + days)


def begin_trial(story: Story, settings: Settings) -> Kept | None:
    """One turn of the loop: the experiment that it began, None where the log does not tell."""
    with story.step("A turn: a second policy is learnt, judged by the log, and tried") as results:
        run(*SERVING, "turn", "--policy", POLICY, *TERMS)
        found = Experiments(Warehouse(settings.warehouse)).running()
        results.append(f"experiment {found[0].experiment.name}" if found else "no experiment yet")
    return found[0] if found else None


def end_trial(story: Story, trial: Kept, settings: Settings) -> str:
    """What the experiment found; the turn acts on it, or else the trial ends with its days."""
    name = trial.experiment.name
    with story.step("A turn, and what the experiment says") as results:
        run(*SERVING, "turn", "--policy", POLICY, *TERMS)
        said = run(*SERVING, "experiment", "analyse", name)
        experiments = Experiments(Warehouse(settings.warehouse))
        if experiments.get(name).stopped_at is None:
            run(*SERVING, "experiment", "stop", name, "--reason", "its days are over")
        results.append(str(experiments.get(name).stop_reason))
    return said


def decide_on(story: Story, settings: Settings) -> None:
    """Learn once more from all that is known now, and promote it if it passes the gate."""
    with story.step("The policy is learnt again, and promoted if the log speaks for it") as results:
        run(*TRAINING, "policy", POLICY, *TERMS, ends=(0, 1))
        run(*SERVING, "promote", POLICY, ends=(0, REFUSED))
        goes_on = is_learnt(settings)
        results.append("promoted" if goes_on else "kept back: the first policy goes on")


def is_learnt(settings: Settings) -> bool:
    """Whether a learnt policy was promoted."""
    promoted = Promotion.read(settings.home)
    return promoted is not None and promoted.judged is not None


def main() -> None:
    """Tell the story."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--tiny", action="store_true", help="a few shoppers and days")
    parser.add_argument("--open", action="store_true", help="show the page in a browser")
    parser.add_argument("--seed", type=int, default=7, help="of the simulated people")
    asked = parser.parse_args()
    if (HOME / "warehouse.db").exists():
        raise SystemExit(f"{HOME} holds a shop already; give an empty NUDGE_HOME")
    plan, story, settings = TINY if asked.tiny else LONG, Story(), Settings()
    shop = load(story, plan, asked.seed)
    promote_first(story, plan)
    said = ""
    with Service() as service:
        chapters = [live(story, "Collect", shop, service, plan.collect)]
        trial = begin_trial(story, settings)
        title = "Collect on" if trial is None else "Trial"
        chapters.append(live(story, title, shop, service, plan.trial))
        if trial is not None:
            said = end_trial(story, trial, settings)
    if not is_learnt(settings):
        decide_on(story, settings)
    shop.goes_on = is_learnt(settings)
    with Service() as service:
        chapters.append(live(story, "After", shop, service, plan.after))
    with story.step("Estimates beside what came") as results:
        run(*SERVING, "promotions")
        results.append("each promotion, as told or not")
    page = write(HOME / "intervention.html", Told(shop, chapters, said, HOME))
    console.print()
    console.print(story.table())
    console.print(f"The page: {page}", soft_wrap=True)
    if asked.open:
        webbrowser.open(page.as_uri())


if __name__ == "__main__":
    main()
