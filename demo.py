"""The story of one shop, from its files to a decision and what became of it: ``make demo``.

It does what a user does: each step is a command of README.md or a request over HTTP, shown before
it runs. The shop is the real `uci_online_retail` when ``NUDGE_DATA`` or ``../shared/data`` holds
it, else a simulated one, and the story says which.

    python demo.py              the whole story, on the shop in NUDGE_HOME
    python demo.py --tiny       on a small simulated shop, with a small model
    python demo.py --keep       and leave the server running at the end

Next: ``demo_stage.py`` for how it is told.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
import uuid
from pathlib import Path
from typing import Any

from rich.table import Table

from demo_stage import HOME, ROOT, Service, Story, console, run

SHOP = "uci_online_retail"
STORE, TRAINING, SERVING = (
    (sys.executable, "-m", name) for name in ("feature_repo", "training", "serving")
)


def find_real_shop() -> Path | None:
    """Folder of the real shop's files, if this machine has them."""
    places = [os.environ.get("NUDGE_DATA"), ROOT.parent / "shared" / "data"]
    folders = [Path(place) / SHOP for place in places if place]
    return next((folder for folder in folders if folder.is_dir()), None)


def load(story: Story, tiny: bool) -> None:
    """Events, features, and the proof that both reads agree."""
    folder = None if tiny else find_real_shop()
    with story.step("A shop's events enter the warehouse") as results:
        if folder is not None:
            console.print(f"The shop is real: {SHOP}, in {folder}.")
            said = run(*STORE, "import", str(folder), "--mapping", SHOP)
        else:
            console.print(f"The shop is simulated: {SHOP} is not at hand, or not asked for.")
            shoppers, items = ("60", "120") if tiny else ("600", "600")
            said = run(*STORE, "simulate", "--shoppers", shoppers, "--items", items)
        counts = re.findall(r"(read|accepted|duplicates|rejected)\W+([\d,]+)", said)
        results.append(", ".join(f"{count} {name}" for name, count in counts))
        if ("accepted", "0") in counts:
            console.print("This shop knew all of it before: an event counts once by its id.")
        if not (HOME / "clock").exists():
            run(*STORE, "clock", "--last")
        results.append(f"the shop's clock shows {run(*STORE, 'clock').strip()}")
    with story.step("Feast learns the features, and the online store is filled") as results:
        run(*STORE, "rollup")
        run("feast", "apply")
        results.append(run(*STORE, "materialize").strip().splitlines()[-1])
    with story.step("Online rows equal offline rows of the same moment") as results:
        results.append(run(*STORE, "parity").strip())


def train(story: Story, tiny: bool) -> Path:
    """A model for both questions and a LoRA run in one Ray session; the folder of the first."""
    options = ("--workers", "1", *(("--size", "tiny") if tiny else ()))
    with story.step("Ray Train fits the model, then LoRA moves its text encoder") as results:
        said = run(*TRAINING, "fit", "shopper", "text_lora", *options)
        results += re.findall(r"(?:shopper|text_lora)-\S+", said)[::2]
    with story.step("The model is measured beside its floors, on days it never saw") as results:
        run(*TRAINING, "evaluate", "shopper")
        folder = (HOME / "runs" / "latest" / "shopper").resolve()
        results += show_floors(json.loads((folder / "report.json").read_text()))
    return folder


def show_floors(report: dict[str, Any]) -> list[str]:
    """Print the test's tables; a line for each question."""
    next_item, lines = report["next_item"], []
    questions = {"next basket": (next_item["test"][next_item["headline"]], "ndcg@10", "recall@10")}
    for head, found in report["retention"].items():
        questions[head] = (next(iter(found["test"].values())), "auc", "log_loss")
    for steps, found in list(report["next_actions"].get("test", {}).items())[:1]:
        questions[f"next actions, {steps}"] = (found, "log_loss", "accuracy")
    for question, (found, *metrics) in questions.items():
        table = Table(question, *metrics, title=f"test: {found['num_examples']:,} examples")
        for source, values in found["sources"].items():
            table.add_row(source, *(f"{values[metric]['value']:.3f}" for metric in metrics))
        console.print(table)
        model, best = found["sources"]["model"], found["differences"][metrics[0]]
        lines.append(
            f"{question}: {metrics[0]} {model[metrics[0]]['value']:.3f}, "
            f"{best['value']:+.3f} to {best['floor']}: {best['verdict']}"
        )
    return lines


def find_regular() -> tuple[str, str]:
    """A shopper with some orders, the last not long ago, and the lightest kind of event known."""
    import polars as pl

    from feature_repo.settings import Settings
    from feature_repo.warehouse import Warehouse

    events = Warehouse(Settings().warehouse).events(kinds=["cart", "purchase"])
    kind = "cart" if "cart" in events["kind"] else "purchase"
    bought, orders = events.filter(kind="purchase"), pl.col("order_id").n_unique()
    shoppers = bought.group_by("user_id").agg(orders, pl.col("event_at").max())
    regulars = shoppers.filter(pl.col("order_id").is_between(4, 12)).sort("event_at", "user_id")
    return str(regulars["user_id"][int(0.7 * regulars.height)]), kind


def show_items(title: str, items: list[dict[str, Any]], before: list[str] | None = None) -> None:
    """Recommended items as a table, with their rank of before when that is given."""
    ranks = {item_id: str(rank) for rank, item_id in enumerate(before or [], 1)}
    table = Table("rank", *(["before"] if ranks else []), "item", "text", "why", title=title)
    for item in items:
        was = [ranks.get(item["item_id"], "-")] if ranks else []
        table.add_row(str(item["rank"]), *was, item["item_id"], item["text"], item["reason"])
    console.print(table)


def show_steps(title: str, steps: list[dict[str, Any]]) -> str:
    """The next steps as a table; the first in words."""
    kinds = list(steps[0]["probabilities"])
    table = Table("step", "in days", *kinds, "category", title=title)
    for step in steps:
        chances = (f"{step['probabilities'][kind]:.2f}" for kind in kinds)
        table.add_row(str(step["step"]), f"{step['days']:.0f}", *chances, step["category"] or "-")
    console.print(table)
    first = steps[0]
    chance = first["probabilities"][first["kind"]]
    return f"next: {first['kind']} {chance:.2f}, in about {first['days']:.0f} days"


def happened(kind: str, user_id: str, item: dict[str, Any], **more: Any) -> dict[str, Any]:
    """An event of now, as a shop's site would send it."""
    event_id = f"demo-{uuid.uuid4().hex}"
    if kind == "purchase":
        more["order_id"] = event_id
    more |= {"item_id": item["item_id"], "quantity": 1, "price": item["price"]}
    return {"event_id": event_id, "kind": kind, "user_id": user_id, "event_at": None, **more}


def converse(story: Story, service: Service, user_id: str, kind: str) -> None:
    """One shopper: answers, an event that changes them, an outcome found again."""
    wanted = {"user_id": user_id, "num_items": 100}
    with story.step("One shopper: recommendations, risk, next actions, decision") as results:
        before = service.ask("POST", "/recommend", wanted)["items"]
        show_items(f"what {user_id} will want next", before[:5])
        risk = service.ask("POST", "/predict", {"user_id": user_id})
        for head, probability in risk["probabilities"].items():
            console.print(f"  {head} {probability:.2f}: {risk['reasons'][head]}")
            results.append(f"{head} {probability:.2f}")
        results.append(show_steps(f"what {user_id} will do next", risk["next_actions"]))
        decided = service.ask("POST", "/decide", {"user_id": user_id})
        console.print(f"  [bold]{decided['action']}[/]: {decided['reason']}")
        results.append(f"{decided['action']}, drawn with probability {decided['probability']:.2f}")
    with story.step("An event changes the next answer") as results:
        item = before[min(49, len(before) - 1)]
        service.ask("POST", "/events", happened(kind, user_id, item))
        after = service.ask("POST", "/recommend", wanted)["items"]
        same = [each for each in after[5:] if each["item_id"] == item["item_id"]]
        show_items("after it", after[:5] + same, [each["item_id"] for each in before])
        ranks = {each["item_id"]: each["rank"] for each in after}
        moved = sum(ranks.get(each["item_id"]) != each["rank"] for each in before[:20])
        results.append(f"{kind} of {item['item_id']}: {moved} of the first 20 change their rank,")
        results.append(f"its own from {item['rank']} to {ranks.get(item['item_id'], 'over 100')}")
        new = service.ask("POST", "/predict", {"user_id": user_id})["probabilities"]
        results += [
            f"{head} {risk['probabilities'][head]:.2f}, then {new[head]:.2f}" for head in new
        ]
    with story.step("An outcome finds its decision in the ledger") as results:
        cited = {"decision_id": decided["decision_id"]}
        service.ask("POST", "/events", happened("purchase", user_id, after[0], **cited))
        run(*SERVING, "outcomes", "--decision", decided["decision_id"])
        kept = service.ask("GET", f"/decisions/{decided['decision_id']}")
        results += [f"{kept['action']}, then {one['kind']}" for one in kept["outcomes"]]
        assert kept["outcomes"], "the ledger lost the outcome"


def main() -> None:
    """Tell the story."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--tiny", action="store_true", help="small simulated shop, small model")
    parser.add_argument("--keep", action="store_true", help="leave the server running")
    told = parser.parse_args()
    story = Story()
    load(story, told.tiny)
    folder = train(story, told.tiny)
    with story.step("The model is promoted and served at the shop's own time") as results:
        run(*SERVING, "promote", "shopper")
        service = Service()
        ready = service.ask("GET", "/ready")
        results.append(f"{ready['num_items']:,} items as of {ready['catalogue_at'][:10]}")
    with service:
        converse(story, service, *find_regular())
        if told.keep:
            service.keep()
    console.print()
    console.print(story.table())
    console.print(f"The report, with plots: {folder / 'report.html'}", soft_wrap=True)
    if told.keep:
        console.print(f"The server still runs: {service.address}/docs")
        console.print(f"  to look at one shopper and the shop: {service.address}/console")
        console.print(f"  kill {service.process.pid} ends it")
    else:
        console.print("To serve it again, and try it on http://127.0.0.1:3000/docs and /console :")
        console.print("  source .venv/bin/activate && bentoml serve serving.service:Nudge")


if __name__ == "__main__":
    main()
