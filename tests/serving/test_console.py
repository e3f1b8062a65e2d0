"""The console in a real browser, over a real service with keys."""

from __future__ import annotations

import base64
import json
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import polars as pl
import pytest

from feature_repo.events import EVENT_SCHEMA
from feature_repo.experiments import Arm, Experiment
from feature_repo.exposures import Experiments
from feature_repo.ingest import ingest
from feature_repo.ledger import Decision, Ledger
from feature_repo.settings import DAY, Settings, SystemClock
from feature_repo.warehouse import Warehouse
from serving import keys
from tests.conftest import copy_home, shop_env
from tests.serving.browser import Page, browse, find_browser
from tests.serving.conftest import purchase, write_model
from tests.serving.process import bentoml_serve

PROGRAM = find_browser()
pytestmark = pytest.mark.skipif(PROGRAM is None, reason="no Chromium is installed (apt: chromium)")

ATTACK = '"><img src=x onerror="window.hacked=1"><script>window.hacked=2</script>'
HOSTILE = "x/<b onmouseover=hacked()>'\"&#?%41 \u202e"


@dataclass(frozen=True)
class Served:
    """A running service over a shop of its own."""

    address: str
    reads: str
    """A key of the scope read."""
    ledger: Ledger
    regular: str
    """A shopper who was decided about, and then bought."""
    known: dict[str, Any]
    """The outlook of that shopper."""


@pytest.fixture(scope="module")
def served(shop, tmp_path_factory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("console")
    settings = Settings(home=folder / "shop")
    copy_home(shop.settings.home, settings.home)
    warehouse, clock = Warehouse(settings.warehouse), SystemClock(settings.home)
    prepare(warehouse, clock.now())
    env = shop_env(settings.home) | bundles(shop, settings, folder)
    file = folder / "keys.json"
    reads, writes = (
        keys.make(file, scope, scope, now=time.time())[1] for scope in ("read", "write")
    )
    env |= {"NUDGE_SERVING_KEYS_FILE": str(file), "NUDGE_SERVING_MODEL_STALE_DAYS": "100000"}
    with bentoml_serve(env, folder / "log") as address:
        header = {"Authorization": f"Bearer {writes}"}
        with httpx.Client(base_url=address, headers=header, timeout=60) as client:
            regular = live(client, warehouse)
            known = client.get("/outlook", params={"user_id": regular}).json()
        yield Served(address, reads, Ledger(warehouse), regular, known)


def prepare(warehouse: Warehouse, now: int) -> None:
    """A shopper and an item with names that would like to be markup, and an experiment."""
    at = now - 3 * DAY
    odd = [
        purchase("evil-1", HOSTILE, ATTACK[:60], at, text=ATTACK),
        purchase("evil-2", HOSTILE, ATTACK[:60], at + DAY, text=ATTACK),
    ]
    ingest(warehouse, pl.DataFrame(odd, schema=EVENT_SCHEMA), source="test", now=now)
    arms = (Arm(name="control", share=0.5, policy="nothing"), Arm(name="treated", share=0.5))
    Experiments(warehouse).start(Experiment(name="coupons in spring", arms=arms), now - DAY)
    remember(warehouse, now)


def remember(warehouse: Warehouse, now: int) -> None:
    """Decisions of weeks ago about those who buy most, and a purchase that came of one."""
    bought = warehouse.events(kinds=["purchase"])
    ledger, came = Ledger(warehouse), []
    for user in bought["user_id"].value_counts(sort=True)["user_id"].to_list()[:20]:
        for days, action in ((75, "reminder"), (52, "nothing"), (33, "coupon")):
            ledger.write(decided(f"past-{user}-{days}", user, now - days * DAY, action))
        item, decision_id = bought.filter(user_id=user)["item_id"][0], f"past-{user}-33"
        at, name = now - 29 * DAY, f"came-{user}"
        came.append(purchase(name, user, item, at, quantity=2, decision_id=decision_id))
    frame = pl.DataFrame(came, schema=EVENT_SCHEMA)
    ingest(warehouse, frame, source="test", now=now)
    ledger.attach_outcomes(frame)


def decided(decision_id: str, user_id: str, at: int, action: str) -> Decision:
    """A decision as the ledger keeps it."""
    chances = dict.fromkeys(("nothing", "reminder", "coupon"), 0.05) | {action: 0.9}
    return Decision(
        decision_id=decision_id,
        kind="decide",
        user_id=user_id,
        decided_at=at,
        model_version="m",
        feature_version="f",
        policy="threshold:earlier",
        action=action,
        probabilities=chances,
        scores={"leave_90d": 0.4, "purchase_30d": 0.5},
        reason="decided weeks ago",
        notices=(),
        campaign_id="default",
        cost_micros=0,
        request={},
    )


def bundles(shop, settings: Settings, folder: Path) -> dict[str, str]:
    from feature_repo.retrieval import schema
    from serving.promote import keep_campaign, save_policy
    from training.policies import Threshold

    registered = {name: schema(name, shop.settings) for name in ("shopper", "item")}
    write_model(folder / "model", registered)
    policy = Threshold(coupon_threshold=0.3, reminder_threshold=0.1, epsilon=0.1)
    save_policy(folder / "policy", policy, shop.clock.now())
    keep_campaign(settings, "default", {})
    return {
        "NUDGE_SERVING_BUNDLE": str(folder / "model"),
        "NUDGE_SERVING_POLICY": str(folder / "policy"),
    }


def live(client: httpx.Client, warehouse: Warehouse) -> str:
    """Decide about some shoppers; one of those who get an action buys, citing the decision."""
    bought = warehouse.events(kinds=["purchase"])
    often = bought["user_id"].value_counts(sort=True)["user_id"].to_list()
    regular = ""
    for user in [*often[:20], HOSTILE]:
        answer = client.post("/decide", json={"user_id": user}).json()
        if not regular and answer["action"] == "coupon":
            regular = user
            item = bought.filter(user_id=user)["item_id"][-1]
            event = {"event_id": "came-of-it", "kind": "purchase", "user_id": user}
            event |= {"item_id": item, "order_id": "o-1", "quantity": 2, "price": 7.5}
            event |= {"decision_id": answer["decision_id"]}
            assert client.post("/events", json=event).json()["accepted"] == 1
    view = {"event_id": "evil-3", "kind": "view", "user_id": HOSTILE, "item_id": ATTACK[:60]}
    assert client.post("/events", json=view).json()["accepted"] == 1
    assert regular, "nobody got a coupon"
    return regular


@pytest.fixture
def page(served, tmp_path) -> Iterator[Page]:
    """The console in a laptop's window, before any key was given."""
    with browse(PROGRAM, tmp_path / "browser") as page:
        page.resize(1366, 850)
        page.open(f"{served.address}/console")
        yield page


def unlock(page: Page, served: Served) -> None:
    """Give the key as a person does."""
    page.wait("!document.querySelector('#key-form').hidden")
    page.type("#key", served.reads)
    page.enter()
    page.wait("document.querySelector('#found a')")
    page.said.clear()  # what was asked before, and refused


def choose(page: Page, user_id: str) -> None:
    """Type an id and press Enter."""
    page.type("#prefix", user_id)
    page.enter()
    page.wait("document.querySelector('#who')")


def keep(page: Page, name: str) -> None:
    """A picture to look at, where one is asked for."""
    if folder := os.environ.get("CONSOLE_PICTURES"):
        page.picture(Path(folder) / f"{name}.png")


def test_a_degraded_service_says_what_of_it_is_old(page, served):
    page.open("about:blank")
    page.send("Fetch.enable", patterns=[{"urlPattern": "*/ready"}])
    page.send("Page.navigate", url=f"{served.address}/console")
    paused = page.hear("Fetch.requestPaused")
    ready = httpx.get(f"{served.address}/ready").json() | {"stale": ["catalogue", "model"]}
    page.send(
        "Fetch.fulfillRequest",
        requestId=paused["requestId"],
        responseCode=200,
        body=base64.b64encode(json.dumps(ready).encode()).decode(),
    )
    page.wait("document.querySelector('#health').className === 'odd'")
    assert "Degraded: items are of an earlier day; the model's" in page.text("#health")


def test_without_a_key_the_page_shows_nothing_of_the_shop_and_asks_for_one(page, served):
    page.wait("!document.querySelector('#alert').hidden")
    keep(page, "locked")
    assert "needs an API key" in page.text("#alert")
    assert served.regular not in page.text()
    page.type("#key", "nudge_000000000000_wrong")
    page.enter()
    page.wait("document.querySelector('#alert')?.innerText.includes('not live')")
    unlock(page, served)
    page.wait("document.querySelector('#alert').hidden")
    assert page.do("Object.keys(localStorage).length") == 0
    assert page.do("document.cookie") == ""
    assert served.reads not in page.do("document.documentElement.outerHTML")
    page.wait("!document.body.innerText.includes('Needs an API key')")


def test_a_shopper_is_found_and_everything_of_them_is_shown(page, served):
    unlock(page, served)
    page.type("#prefix", served.regular[:-1])
    page.wait("document.querySelector('#found-title')?.innerText.includes('begin like')")
    links = "[...document.querySelectorAll('#found a')]"
    page.do(f"{links}.find(a => a.innerText === '{served.regular}').click()")
    page.wait("document.querySelector('#who')")
    page.wait("document.querySelector('#experiments h3')")
    keep(page, "laptop")
    if folder := os.environ.get("CONSOLE_PICTURES"):
        page.resize(1240, 1500)
        page.do("document.activeElement.blur()")
        page.picture(Path(folder) / "console.png", is_whole=False)
        page.resize(1366, 850)
    shown, known = page.text("#shopper"), served.known
    assert page.text("#who") == served.regular
    for risk in known["risk"]:
        assert risk["reason"].partition(": ")[2] in shown
    for step in known["next_actions"]:
        assert step["kind"].replace("leave", "leaves") in shown
        assert f"in about {round(step['days'])} days" in shown or step["kind"] == "leave"
    for item in known["items"]:
        assert (item["text"] or item["item_id"]) in shown
    for one in known["weighed"]["alternatives"]:
        assert one["action"] in shown
        assert f"not now: {one['blocked']}" in shown or one["blocked"] is None
    assert "nothing was drawn, kept or reserved" in shown
    assert "Decided: coupon → purchase 15.00" in shown
    marks = page.do("document.querySelectorAll('.picture .mark').length")
    decided = [one for one in known["decisions"] if one["kind"] == "decide"]
    assert len(decided) == 4
    assert marks == len(known["behaviours"]) + len(decided)
    outcomes = sum(len(one["outcomes"]) for one in decided)
    assert page.do("document.querySelectorAll('.link').length") == outcomes == 2
    page.do("document.querySelector('details').open = true")
    assert decided[0]["reason"] in page.text("#shopper")
    assert page.faults == []


def test_the_shop_stands_beside_the_shopper(page, served):
    unlock(page, served)
    page.wait("document.querySelector('.budget')")
    budget = page.text("#budgets")
    assert "default" in budget
    spent = served.ledger.spent_micros("default", _now(served)) / 1e6
    assert f"{spent:.2f} of 50.00 spent" in budget
    assert "coupons in spring" in page.wait("document.querySelector('#experiments h3')?.innerText")
    assert "Nothing to compare yet" in page.text("#experiments")
    assert page.text("#health").startswith("Serving")
    assert "refreshed" in page.text("#health")
    assert "hand" in page.text("#service")


def _now(served: Served) -> int:
    from datetime import datetime

    return round(datetime.fromisoformat(served.known["asked_at"]).timestamp() * 1e6)


def test_names_that_would_like_to_be_markup_stay_text(page, served):
    unlock(page, served)
    choose(page, HOSTILE)
    keep(page, "hostile")
    assert page.do("document.querySelector('#who').textContent") == HOSTILE
    assert page.do(f"document.querySelector('.days').textContent.includes({ATTACK!r})")
    assert page.do("typeof window.hacked") == "undefined"
    assert (
        page.do("document.querySelectorAll('#shopper img, #shopper script, b[onmouseover]').length")
        == 0
    )
    address = page.do("location.href")
    page.open("about:blank")
    page.open(address)
    page.wait("document.querySelector('#who')")
    assert page.do("document.querySelector('#who').textContent") == HOSTILE
    assert page.faults == []


def test_a_shopper_nobody_knows_is_called_unknown(page, served):
    unlock(page, served)
    choose(page, "nobody-of-this-name")
    keep(page, "unknown")
    shown = page.text("#shopper")
    assert "Not known" in shown
    assert "nothing is known of this shopper" in shown
    assert "Nothing happened yet" in shown
    page.type("#prefix", "nobody-of-this-name")
    page.wait("document.querySelector('#found-title')?.innerText.includes('No shopper')")


def test_looking_asks_by_get_alone_asks_nobody_else_and_writes_nothing(page, served):
    before = [one.decision_id for one in served.ledger.decisions(limit=1000)]
    assert {method for method, _ in page.requests} == {"GET"}
    unlock(page, served)
    for user in (served.regular, HOSTILE, "nobody"):
        choose(page, user)
    time.sleep(0.5)
    page.do("1")
    assert {method for method, _ in page.requests} == {"GET"}
    assert all(url.startswith(served.address) for _, url in page.requests)
    assert served.reads not in " ".join(url for _, url in page.requests)
    assert [one.decision_id for one in served.ledger.decisions(limit=1000)] == before


def test_a_service_that_went_away_is_told(page, served):
    unlock(page, served)
    page.send(
        "Network.emulateNetworkConditions",
        offline=True,
        latency=0,
        downloadThroughput=-1,
        uploadThroughput=-1,
    )
    page.type("#prefix", served.regular)
    page.enter()
    page.wait("document.querySelector('#shopper')?.innerText.includes('does not answer')")
    keep(page, "away")


def test_a_phone_shows_it_in_one_column_and_nothing_hangs_over(page, served):
    page.resize(390, 844)
    unlock(page, served)
    choose(page, served.regular)
    keep(page, "phone")
    assert page.do("document.documentElement.scrollWidth") <= 390
    lefts = (
        "[...document.querySelectorAll('main section')].map(s => s.getBoundingClientRect().left)"
    )
    assert len({round(left) for left in page.do(lefts)}) == 1


def test_it_can_be_used_by_keys_alone_and_read_aloud(page, served):
    unlock(page, served)
    page.do("document.querySelector('#prefix').focus()")
    page.press("Tab", 9)
    page.press("Tab", 9)
    first = page.do("document.activeElement.innerText")
    assert page.do("document.activeElement.closest('#found') !== null")
    page.enter()
    assert page.wait("document.querySelector('#who')?.innerText") == first
    unnamed = "[...document.querySelectorAll('input')].filter(i => !i.labels.length).length"
    assert page.do(unnamed) == 0
    bare = "[...document.querySelectorAll('svg[role=img], .meter')]"
    assert page.do(f"{bare}.every(e => e.getAttribute('aria-label'))")
    assert page.do("document.documentElement.lang") == "en"


CONTRAST = """
[...document.querySelectorAll('body *')].filter(e => [...e.childNodes].some(
    n => n.nodeType === 3 && n.textContent.trim()) && e.getClientRects().length
    && !e.closest('svg')).map(e => {
  const rgb = text => (text.match(/[\\d.]+/g) ?? []).map(Number);
  const light = c => c.slice(0, 3).map(v => v / 255).map(
    v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  let behind = e, ground = [0, 0, 0, 0];
  while (behind && (ground = rgb(getComputedStyle(behind).backgroundColor))[3] === 0)
    behind = behind.parentElement;
  const pair = [light(rgb(getComputedStyle(e).color)), light(behind ? ground : [255, 255, 255])];
  return [(Math.max(...pair) + 0.05) / (Math.min(...pair) + 0.05), e.className, e.innerText];
}).filter(found => found[0] < 4.5)
"""


def test_every_word_stands_out_from_its_ground(page, served):
    page.wait("!document.querySelector('#alert').hidden")
    assert page.do(CONTRAST) == []
    unlock(page, served)
    for user in (served.regular, "nobody"):
        choose(page, user)
        page.wait(f"document.querySelector('#who')?.innerText === '{user}'")
        assert page.do(CONTRAST) == []
