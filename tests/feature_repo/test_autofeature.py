"""A mapping is proposed for files as shops have them, and validate shows what it would do."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from typer.testing import CliRunner

from feature_repo.__main__ import app
from feature_repo.importing.importers import import_files
from feature_repo.importing.mapping_file import parse_mappings, read_mapping
from feature_repo.importing.validate import validate
from feature_repo.proposing.proposal import propose
from feature_repo.settings import iso, microseconds
from feature_repo.warehouse import Warehouse

DATA = Path(os.environ.get("NUDGE_DATA", Path(__file__).parents[3] / "shared" / "data"))
NOW = microseconds("2026-01-01T00:00:00")
REES = (
    "event_time,event_type,product_id,category_id,category_code,brand,price,user_id,user_session\n"
)
GA4 = (
    '{"event_name":"view_item","event_timestamp":1609459200000000,"user_pseudo_id":"a.1",'
    '"geo":{"country":"Germany"},"items":[{"item_id":"i1","item_name":"Mug","price":7.5}]}\n'
    '{"event_name":"purchase","event_timestamp":1609459300000000,"user_pseudo_id":"a.1",'
    '"geo":{"country":"Germany"},"ecommerce":{"transaction_id":"t1"},"items":['
    '{"item_id":"i1","item_name":"Mug","price":7.5,"quantity":1},'
    '{"item_id":"i2","item_name":"Tea","price":4,"quantity":2}]}\n'
)
SHOPS = {
    "retail_rocket.csv": (
        "timestamp,visitorid,event,itemid,transactionid\n"
        "1433221332117,257597,view,355908,\n1433221999827,111016,addtocart,318965,\n"
        "1433221955914,483717,transaction,253185,4000\n",
        {"view": 1, "cart": 1, "purchase": 1},
        "2015-06-02T05:02:12.117000Z",
    ),
    "taobao.csv": (
        "1,2268318,2520377,pv,1511544070\n1,2333346,2520771,fav,1511561733\n"
        "2,2576651,149192,buy,1511572885\n2,3830808,4181361,cart,1511593493\n",
        {"view": 1, "purchase": 1, "cart": 1},
        "2017-11-24T17:21:10Z",
    ),
    "rees.csv": (
        f"{REES}2019-10-01 00:00:00 UTC,view,1,21,,shiseido,35.79,541312140,72d7\n"
        "2019-10-01 00:00:01 UTC,purchase,2,20,appliances.kettle,aqua,33.20,554748717,9333\n"
        "2019-10-01 00:00:02 UTC,remove_from_cart,3,20,,aqua,33.20,554748717,9333\n",
        {"view": 1, "purchase": 1},
        "2019-10-01T00:00:00Z",
    ),
    "ta_feng.csv": (
        "TRANSACTION_DT,CUSTOMER_ID,AGE_GROUP,PIN_CODE,PRODUCT_SUBCLASS,PRODUCT_ID,AMOUNT,ASSET,"
        "SALES_PRICE\n11/1/2000,01104905,45-49,115,110411,4710199010372,2,24,30\n"
        "11/13/2000,00418683,45-49,115,120107,4710857472535,1,48,46\n",
        {"purchase": 2},
        "2000-11-01T00:00:00Z",
    ),
    "h_and_m.csv": (
        f"t_dat,customer_id,article_id,price,sales_channel_id\n2018-09-20,{'0a' * 32},0663713001,"
        f"0.050830508474576264,2\n2018-09-21,{'1b' * 32},0505221004,0.0152,1\n",
        {"purchase": 2},
        "2018-09-20T00:00:00Z",
    ),
    "movielens.csv": (
        "userId,movieId,rating,timestamp\n1,31,2.5,1260759144\n2,10,4.0,835355493\n",
        {"view": 2},
        "1996-06-21T11:11:33Z",
    ),
    "chinese.csv": (
        "用户ID,商品ID,行为,时间,价格,数量\nu1,i1,浏览,2023-05-01 10:00:00,12.5,1\n"
        "u1,i1,购买,2023-05-01 10:05:00,12.5,1\nu2,i2,加购,2023-05-01 11:00:00,3.0,2\n",
        {"view": 1, "purchase": 1, "cart": 1},
        "2023-05-01T10:00:00Z",
    ),
    "shopify.csv": (
        "Name,Email,Financial Status,Currency,Total,Lineitem quantity,Lineitem name,Lineitem price,"
        "Lineitem sku,Created at\n#1001,a@x.org,paid,EUR,15.00,2,Blue mug,5.00,MUG-B,"
        "2023-01-05 10:00:00 +0100\n#1002,b@x.org,paid,EUR,13.00,1,Red mug,8.00,MUG-R,"
        "2023-01-06 11:00:00 +0100\n",
        {"purchase": 2},
        "2023-01-05T09:00:00Z",
    ),
    "ga4.jsonl": (GA4, {"view": 1, "purchase": 2}, "2021-01-01T00:00:00Z"),
}


@pytest.mark.parametrize("name", SHOPS)
def test_the_proposed_mapping_imports_the_file_of_a_known_shop(tmp_path, name):
    text, kinds, first = SHOPS[name]
    path = tmp_path / name
    path.write_text(text)
    found = validate([path], parse_mappings(propose([path]).toml, "shop"), now=NOW)
    assert found.survey.kinds == kinds
    assert iso(found.survey.span[0]) == first
    assert set(found.report.reasons) <= {"ignored"}


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        (
            "ta_feng.csv",
            ['quantity = "AMOUNT"', 'amount = "SALES_PRICE"', '"AGE_GROUP" = "AGE_GROUP"'],
        ),
        ("taobao.csv", ["names = [", "column_1", 'values = ["pv"]']),
        ("rees.csv", ['brand = "brand"', 'category = "category_code"', 'orders = "day"']),
        ("shopify.csv", ['order_id = "Name"', 'base_currency = "EUR"']),
        ("ga4.jsonl", ['each = "items"', 'order_id = "ecommerce.transaction_id"', "geo.country"]),
    ],
)
def test_what_is_proposed_for_them(tmp_path, name, wanted):
    (tmp_path / name).write_text(SHOPS[name][0])
    toml = propose([tmp_path / name]).toml
    assert [words for words in wanted if words not in toml] == []


@pytest.mark.skipif(not (DATA / "uci_online_retail").exists(), reason="needs uci_online_retail")
def test_the_proposal_for_online_retail_has_the_columns_of_the_shipped_mapping():
    shipped = read_mapping("uci_online_retail")
    proposal = propose([DATA / "uci_online_retail"])
    found = parse_mappings(proposal.toml, "x")[0]
    assert found.columns == shipped.columns
    assert found.users.locale == "country"
    assert found.kind_rules == shipped.kind_rules
    assert any("currency" in said for said in proposal.unsure)


def test_a_day_and_a_month_that_could_change_places_are_a_question(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("user,date,item\na,01/02/2023,x\nb,03/04/2023,y\n")
    proposal = propose([path])
    assert "time_format" not in [line.split(" =")[0] for line in proposal.toml.splitlines()]
    assert '# time_format = "%d/%m/%Y"' in proposal.toml
    assert '# time_format = "%m/%d/%Y"' in proposal.toml
    assert any("could change places" in said for said in proposal.unsure)
    found = validate([path], parse_mappings(proposal.toml, "shop"), now=NOW)
    assert (found.report.accepted, found.report.reasons) == (0, {"bad_time": 2})
    path.write_text("user,date,item\na,01/02/2023,x\nb,13/04/2023,y\n")
    assert 'time_format = "%d/%m/%Y"' in propose([path]).toml


@pytest.mark.parametrize(
    ("files", "said"),
    [
        (
            {"a.csv": "order_id,user_id,days_since_prior_order\n1,1,\n2,1,15\n"},
            "days_since_prior_order count from a moment",
        ),
        (
            {
                "orders.csv": "order_id,customer_id,created_at\no1,c1,2017-10-02 10:56:33\n",
                "items.csv": "order_id,product_id,price\no1,p1,29.99\no1,p2,3.99\n",
            },
            "does not join files",
        ),
        ({"a.csv": "x,y\n1,2\n"}, "names no shopper and no item and no moment"),
        ({"a.csv": "user,item,time\n"}, "no rows"),
        ({"a.csv": ",".join(f"c{n}" for n in range(5000)) + "\n1\n"}, "5000 columns"),
        ({"a.csv": ""}, "empty"),
    ],
)
def test_what_no_mapping_can_be_made_of_is_refused_with_a_way_on(tmp_path, files, said):
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    with pytest.raises(ValueError, match=said):
        propose([tmp_path])


def test_several_files_become_several_sources(tmp_path):
    (tmp_path / "orders.csv").write_text("order,customer,time,sku\no1,c1,2025-01-01T10:00:00Z,a\n")
    (tmp_path / "products.csv").write_text(
        "sku,title,category,price\na,Alpha,cat,1.5\nb,Beta,cat,2\n"
    )
    (tmp_path / "customers.csv").write_text("customer,country,gender\nc1,DE,f\nc2,FR,m\n")
    sources = parse_mappings(propose([tmp_path]).toml, "x")
    assert sorted(source.holds for source in sources) == ["events", "items", "users"]
    warehouse = Warehouse(f"sqlite:///{tmp_path}/shop.db")
    warehouse.migrate()
    report = import_files(warehouse, [tmp_path], sources, now=NOW)
    assert (report.read, report.accepted) == (5, 5)
    assert sorted(warehouse.items()["text"]) == ["Alpha", "Beta"]
    assert warehouse.counts()["protected_attributes"] == 2


def run(*words: str, home: Path):
    return CliRunner().invoke(app, words, env={"NUDGE_HOME": str(home), "COLUMNS": "200"})


def test_from_a_file_to_its_import_by_three_commands(tmp_path):
    home, path, toml = tmp_path / "home", tmp_path / "rees.csv", tmp_path / "m.toml"
    path.write_text(SHOPS["rees.csv"][0])
    said = run("autofeature", str(path), "--output", str(toml), home=home)
    assert said.exit_code == 0, said.output
    assert f"validate {path} --mapping {toml}" in said.output
    assert run("autofeature", str(path), "--output", str(toml), home=home).exit_code == 2
    said = run("validate", str(path), "--mapping", str(toml), home=home)
    assert said.exit_code == 0, said.output
    for words in ("ignored", "remove_from_cart", "events: purchase", "2019-10-01", "notice"):
        assert words in said.output
    assert not home.exists(), "validate writes nothing"
    said = run("import", str(path), "--mapping", str(toml), home=home)
    assert said.exit_code == 0, said.output
    assert "accepted" in said.output
    assert "no item texts" in said.output


def test_validate_ends_with_one_when_nothing_would_be_accepted(tmp_path):
    path, toml = tmp_path / "a.csv", tmp_path / "m.toml"
    path.write_text("who,at,what\na,never,x\n")
    toml.write_text(
        'base_currency = "EUR"\n[columns]\nuser_id = "who"\nevent_at = "at"\nitem_id = "what"\n'
    )
    said = run("validate", str(path), "--mapping", str(toml), home=tmp_path / "home")
    assert said.exit_code == 1
    assert "bad_time" in said.output


@pytest.mark.parametrize("command", ["import", "validate"])
def test_a_users_mistake_is_a_sentence_and_no_trace(tmp_path, command):
    (tmp_path / "a.csv").write_bytes(b"caf\xe9,b\n")
    said = run(
        command, str(tmp_path / "a.csv"), "--mapping", "uci_online_retail", home=tmp_path / "h"
    )
    assert said.exit_code == 2
    assert "Traceback" not in said.output
    assert "windows-1252" in said.output
