"""A user's own table: known effects and values are found, and what cannot be told is refused."""

from __future__ import annotations

import os
import re
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from typer.testing import CliRunner

from training.__main__ import app
from training.benchmarks import offpolicy, treatments, uplift
from training.benchmarks.table import read_features

DATA = Path(os.environ.get("NUDGE_DATA", Path(__file__).parents[3] / "shared" / "data"))
ASKED = ("--treatment", "mail", "--outcome", "bought", "--base", "linear")
LOGGED = ("--action", "shown", "--reward", "paid", "--propensity", "chance")
ACTIONS = ("blue", "green", "red")


def run(*options: object) -> str:
    columns = {"COLUMNS": "300"}
    found = CliRunner().invoke(app, ["benchmark", *map(str, options)], env=columns)
    text = " ".join(re.sub("[│╭╰─╮╯]", " ", found.output).split())
    return text if found.exit_code == 0 else f"FAILED {text}"


def people(num: int = 6_000, is_drawn: bool = True) -> pl.DataFrame:
    """A mail makes the young buy (+.3) and the old not; `is_drawn`: by a coin."""
    rng = np.random.default_rng(5)
    age = rng.integers(18, 80, num)
    chance = np.full(num, 0.5) if is_drawn else np.where(age < 49, 0.8, 0.2)
    sent = rng.random(num) < chance
    bought = rng.random(num) < 0.2 + 0.3 * sent * (age < 49)
    return pl.DataFrame(
        {
            "age": age,
            "country": rng.choice(["FR", "NL"], num),
            "mail": np.where(sent, "mail", "none"),
            "bought": bought.astype(int),
            "spent": bought * rng.gamma(2.0, 10.0, num),
            "chance": np.where(sent, chance, 1 - chance),
        }
    )


def decisions(num: int = 4_000) -> pl.DataFrame:
    """Red pays 3, green 2, blue 1, whatever the shopper; shown .2, .3 and .5 of the time."""
    rng = np.random.default_rng(6)
    chances = np.array([0.5, 0.3, 0.2])
    action = rng.choice(3, num, p=chances)
    frame = pl.DataFrame(
        {
            "shown": np.array(ACTIONS)[action],
            "paid": 1.0 + action + rng.normal(size=num),
            "chance": chances[action],
            "visits": rng.poisson(3.0, num),
        }
    )
    own = {"own_blue": 0.25, "own_green": 0.25, "own_red": 0.5}
    return frame.with_columns(**{name: pl.lit(value) for name, value in own.items()})


def kept(tmp_path: Path, frame: pl.DataFrame, name: str = "own.parquet") -> Path:
    path = tmp_path / name
    frame.write_csv(path) if path.suffix == ".csv" else frame.write_parquet(path)
    return path


def asked(tmp_path: Path, frame: pl.DataFrame, **more: object) -> uplift.Uplift:
    question = treatments.Question(
        treatment="mail",
        outcome="bought",
        learners=("t_learner",),
        bases=("boosting",),
        num_bootstrap=50,
        **more,
    )
    return uplift.uplift(treatments.read(kept(tmp_path, frame), question), question)


def test_effects_of_everybody_and_of_segments_are_the_known_ones(tmp_path):
    frame = people().with_columns(young=pl.col("age") < 49)
    found = asked(tmp_path, frame, segments=("young",), features=("age", "country"))
    share = (frame["age"] < 49).mean()
    everybody = found.effects[0]
    assert everybody.low < 0.3 * share < everybody.high
    old, young = found.segments["young"]
    assert young.low < 0.3 < young.high
    assert old.low < 0 < old.high


def test_a_learner_finds_whom_the_mail_changes_and_the_floors_do_not(tmp_path):
    scores = asked(tmp_path, people(), features=("age", "country")).metrics["mail"]
    assert scores["t_learner, boosting"]["qini_by_perfect_curve"].low > 0
    assert scores[uplift.AVERAGE]["qini_by_perfect_curve"].value == pytest.approx(0, abs=1e-9)
    assert scores[uplift.RANDOM]["qini_by_perfect_curve"].low < 0


def test_costs_decide_whom_to_treat(tmp_path):
    asked_of = {"value": 1.0, "costs": {"mail": 0.15}, "features": ("age", "country")}
    gains = dict(asked(tmp_path, people(), **asked_of).gains)
    all_, some = gains["everybody gets mail"], gains["t_learner, boosting: at most 100%"]
    assert 0.4 < some.share < 0.6
    assert some.value > all_.value + 1.96 * all_.error


def test_logged_chances_mend_what_was_not_drawn_evenly(tmp_path):
    frame = people(is_drawn=False)
    plain = asked(tmp_path, frame, features=("country",))
    known = asked(tmp_path, frame, features=("country",), propensity="chance")
    truth = 0.3 * (frame["age"] < 49).mean()
    assert not plain.effects[0].low < truth < plain.effects[0].high
    assert known.effects[0].low < truth < known.effects[0].high


def test_a_treatment_that_features_foretell_is_told_so_and_chances_are_estimated(tmp_path):
    found = asked(tmp_path, people(is_drawn=False), features=("age",))
    assert any(note.startswith("NOT DRAWN AT RANDOM") for note in found.table.notes)
    assert found.table.chances is not None


def test_several_splits_are_averaged_and_a_seed_gives_the_same_again(tmp_path):
    frame = people(800)
    one, two, again = (asked(tmp_path, frame, num_seeds=num) for num in (1, 2, 2))
    name, metric = "t_learner, boosting", "qini_unnormalised"
    values = [found.metrics["mail"][name][metric].value for found in (one, two, again)]
    assert values[0] != values[1] == values[2]


def test_the_command_prints_what_it_found_and_writes_a_page(tmp_path):
    path, page = kept(tmp_path, people(2_000), "mails.csv"), tmp_path / "page.html"
    said = run("uplift", path, *ASKED, "--segment", "country", "--cost", 0.1, "--output", page)
    assert "Qini, by perfect curve" in said
    assert "the surest order is that of" in said
    text = page.read_text()
    assert text.count("<svg") == 5
    assert "treating costs mail 0.1" in text
    assert "&#x27;spent&#x27; seems to come with" in text


def test_a_column_that_comes_with_the_outcome_is_left_out_unless_it_is_named():
    frame = people(500)
    found = read_features(frame, None, ("mail", "bought", "chance"), "bought", "own")
    assert found.columns == ("age", "country")
    named = read_features(frame, ["spent"], ("mail", "bought"), "bought", "own")
    assert named.columns == ("spent",)


@pytest.mark.parametrize(
    ("change", "options", "said"),
    [
        ({}, ("--outcome", "sold"), "has no column 'sold'; it has age, country"),
        ({"mail": pl.lit("mail")}, (), "is 'mail' in all 600 rows"),
        ({"bought": pl.lit(1)}, (), "is 1 in all rows"),
        ({"bought": pl.lit("yes")}, (), "must hold numbers"),
        ({"mail": pl.when(pl.col("age") > 20).then("mail")}, (), "is empty in"),
        ({"chance": pl.lit(0.0)}, ("--propensity", "chance"), "not in (0, 1] in 600 of 600 rows"),
        ({"chance": pl.lit(0.9)}, ("--propensity", "chance"), "and should weigh 1"),
        ({}, ("--control", "letter"), "there is no arm 'letter'"),
        ({}, ("--feature", "mail"), "'mail' is no feature"),
        ({}, ("--cost", "letter=2"), "--cost 'letter=2' is none"),
        ({}, ("--learner", "z_learner"), "there is no learner 'z_learner'"),
        ({"key": pl.int_range(600).cast(pl.String)}, ("--segment", "key"), "600 different values"),
    ],
)
def test_a_table_that_cannot_be_asked_is_refused_with_the_reason(tmp_path, change, options, said):
    frame = people(600)
    if isinstance(change.get("mail"), pl.Expr) and "empty" in said:
        change = {"mail": pl.when(pl.col("age") > 20).then(pl.col("mail"))}
    path = kept(tmp_path, frame.with_columns(**change))
    found = run("uplift", path, *ASKED, *options)
    assert found.startswith("FAILED")
    assert said in found


def test_no_overlap_is_refused_with_its_numbers(tmp_path):
    frame = people(4_000).with_columns(
        mail=pl.when(pl.col("age") < 40).then(pl.lit("mail")).otherwise(pl.lit("none"))
    )
    said = run("uplift", kept(tmp_path, frame), *ASKED, "--feature", "age")
    assert said.startswith("FAILED")
    assert "there is no overlap" in said
    assert "had a chance under 0.01 in" in said


def test_what_policies_would_have_earned_is_found(tmp_path):
    question = offpolicy.Question(
        action="shown", reward="paid", propensity="chance", policies=("own_",), base="linear"
    )
    table = offpolicy.read(kept(tmp_path, decisions()), question)
    found = offpolicy.off_policy(table, question)
    values = {"own_": 2.25, "uniform": 2.0, "always blue": 1.0, "always red": 3.0}
    judged = {one.name: one for one in found.judged}
    for name, value in values.items():
        for made in judged[name].evaluation.estimates.values():
            assert made.value == pytest.approx(value, abs=0.15)
        assert judged[name].lead.value == pytest.approx(value - 1.7, abs=0.15)
    assert found.told[0].name == "always red"


def test_the_log_of_the_command_is_judged_and_its_page_written(tmp_path):
    page = tmp_path / "page.html"
    path = kept(tmp_path, decisions(1_000), "log.csv")
    said = run("offpolicy", path, *LOGGED, "--policy", "own_", "--output", page)
    assert "It can judge 5 of 5 policies." in said
    assert "Surest by doubly robust: always red" in said
    assert page.read_text().count("<svg") == 3


def test_a_log_that_can_judge_nothing_says_what_to_collect(tmp_path):
    page = tmp_path / "page.html"
    said = run("offpolicy", kept(tmp_path, decisions(60)), *LOGGED, "--output", page)
    assert said.startswith("FAILED")
    assert "cannot judge any of the 4 policies" in said
    assert "decisions with actions drawn evenly at random" in page.read_text()


@pytest.mark.parametrize(
    ("change", "options", "said"),
    [
        ({}, ("--policy", "our_"), "has no column 'our_blue'"),
        ({"own_red": pl.lit(0.7)}, ("--policy", "own_"), "its chances sum to 1.2"),
        ({"own_pink": pl.lit(0.7)}, ("--policy", "own_"), "'pink', which was never done"),
        ({"chance": pl.lit(1.5)}, (), "not in (0, 1] in 200 of 200 rows, the first is row 1"),
        ({"shown": pl.lit("red")}, (), "is 'red' in all 200 rows"),
        ({}, ("--reward", "shown"), "one column has two parts"),
        ({}, ("--base", "forest"), "there is no base 'forest'"),
    ],
)
def test_a_log_that_cannot_be_asked_is_refused_with_the_reason(tmp_path, change, options, said):
    path = kept(tmp_path, decisions(200).with_columns(**change))
    found = run("offpolicy", path, *LOGGED, *options)
    assert found.startswith("FAILED")
    assert said in found


def test_actions_that_are_numbers_stand_in_their_order(tmp_path):
    frame = decisions(200).with_columns(
        shown=pl.col("shown").replace_strict({"blue": 2, "green": 10, "red": 1})
    )
    question = offpolicy.Question(action="shown", reward="paid", propensity="chance")
    assert offpolicy.read(kept(tmp_path, frame), question).names == ("1", "2", "10")


def test_the_real_e_mails_have_their_published_effects(tmp_path):
    path = DATA / "hillstrom_email_rct" / "hillstrom.parquet"
    if not path.exists():
        pytest.skip(f"{path} is not at hand; set NUDGE_DATA")
    question = treatments.Question(
        treatment="segment", outcome="visit", learners=("t_learner",), bases=("linear",),
        num_bootstrap=20,
    )  # fmt: skip
    found = uplift.uplift(treatments.read(path, question), question)
    assert found.differences["Mens E-Mail"] == pytest.approx(0.0766, abs=0.0001)
    assert found.differences["Womens E-Mail"] == pytest.approx(0.0452, abs=0.0001)
    assert all(abs(one.value - found.differences[one.action]) < 0.001 for one in found.effects)
    assert found.metrics["Womens E-Mail"]["t_learner, linear"]["qini_by_perfect_curve"].low > 0
    assert {"conversion", "spend"} & set(question.features or ()) == set()
    assert sum("seems to come with" in note for note in found.table.notes) == 2


def thrice(frame: pl.DataFrame) -> pl.DataFrame:
    """Every row three times, as if one user had three alike."""
    return pl.concat([frame.with_row_index("who")] * 3)


def test_rows_told_again_make_an_effect_no_surer_where_users_are_named(tmp_path):
    once = asked(tmp_path, people(1_500)).effects[0]
    named = asked(tmp_path, thrice(people(1_500)), user="who").effects[0]
    alone = asked(tmp_path, thrice(people(1_500)).drop("who")).effects[0]
    assert named.high - named.low == pytest.approx(once.high - once.low, rel=0.1)
    assert alone.high - alone.low < 0.65 * (once.high - once.low)


def test_a_policy_leads_no_more_surely_because_rows_are_told_again(tmp_path):
    path = kept(tmp_path, thrice(decisions(1_000)))
    logged = {"action": "shown", "reward": "paid", "propensity": "chance", "base": "linear"}
    reach = {}
    for user in ("who", None):
        question = offpolicy.Question(**logged, user=user, features=("visits",))
        found = offpolicy.off_policy(offpolicy.read(path, question), question)
        lead = next(one for one in found.judged if one.name == "always red").lead
        reach[user] = lead.high - lead.low
    assert reach["who"] == pytest.approx(np.sqrt(3) * reach[None], rel=0.1)
    assert "It can judge" in run(
        "offpolicy", path, *LOGGED, "--user", "who", "--output", tmp_path / "page.html"
    )
