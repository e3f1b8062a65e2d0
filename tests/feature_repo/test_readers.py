"""Files of any format, compression, encoding and cut give the same rows, or a sentence."""

from __future__ import annotations

import gzip
import json
import random

import polars as pl
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from feature_repo.importing.importers import import_files
from feature_repo.importing.mapping import Mapping
from feature_repo.importing.readers import columns_of, files_of, read
from feature_repo.importing.text_files import Layout, sniff
from feature_repo.settings import microseconds
from feature_repo.warehouse import Warehouse

NOW = microseconds("2026-01-01T00:00:00")
COLUMNS = {
    "user_id": "who",
    "event_at": "when",
    "item_id": "what",
    "price": "price",
    "text": "said",
}
PLAIN = Mapping(name="plain", columns=COLUMNS, base_currency="EUR")


@pytest.fixture
def warehouse(tmp_path) -> Warehouse:
    made = Warehouse(f"sqlite:///{tmp_path}/shop.db")
    made.migrate()
    return made


def rows_of(path, columns=None, layout=None, **sizes) -> list[tuple]:
    chunks = read(path, columns, layout or Layout(), **sizes)
    return [row for chunk in chunks for row in chunk.rows.rows()]


def shop_rows(num: int) -> pl.DataFrame:
    draw = random.Random(5)
    return pl.DataFrame(
        {
            "who": [f"u{draw.randrange(5)}" for _ in range(num)],
            "when": [
                f"2025-03-{draw.randrange(1, 29):02} 10:{row % 60:02}:00" for row in range(num)
            ],
            "what": [f"i{draw.randrange(4)}" for _ in range(num)],
            "price": [f"{draw.randrange(1, 900) / 100}" for _ in range(num)],
            "said": [draw.choice(["Mug, blue", 'a "big"\npot', "茶壶", None]) for _ in range(num)],
        }
    )


def save(frame: pl.DataFrame, path, form: str, pack: str) -> None:
    if form == "parquet":
        frame.write_parquet(path / "part.parquet", row_group_size=7)
        return
    if form == "jsonl":
        body = "".join(json.dumps(row) + "\n" for row in frame.iter_rows(named=True)).encode()
    else:
        separator = {"csv": ",", "txt": ";", "tsv": "\t"}[form]
        body = frame.write_csv(separator=separator).encode()
    if pack == ".gz":
        body = gzip.compress(body)
    elif pack == ".zst":
        body = pa.Codec("zstd").compress(body).to_pybytes()
    (path / f"part.{form}{pack}").write_bytes(body)


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    forms=st.lists(
        st.sampled_from(["csv", "txt", "tsv", "jsonl", "parquet"]), min_size=1, max_size=4
    ),
    packs=st.lists(st.sampled_from(["", ".gz", ".zst"]), min_size=4, max_size=4),
    order=st.permutations(list(COLUMNS.values())),
    chunk_rows=st.integers(1, 60),
    block_bytes=st.integers(300, 4_000),
)
def test_format_order_of_columns_split_and_chunks_leave_the_warehouse_the_same(
    tmp_path_factory, forms, packs, order, chunk_rows, block_bytes
):
    frame, folder = shop_rows(40).select(order), tmp_path_factory.mktemp("files")
    size = -(-frame.height // len(forms))
    for number, (form, pack) in enumerate(zip(forms, packs, strict=False)):
        place = folder / f"{number}"
        place.mkdir()
        save(frame.slice(number * size, size), place, form, pack)
    made = Warehouse(f"sqlite:///{folder}/shop.db")
    made.migrate()
    sizes = {"chunk_rows": chunk_rows, "block_bytes": block_bytes}
    report = import_files(made, [folder], PLAIN, now=NOW, **sizes)
    assert report.read == 40 == report.accepted + report.duplicates
    plain = Warehouse(f"sqlite:///{folder}/plain.db")
    plain.migrate()
    whole = folder / "whole"
    whole.mkdir()
    shop_rows(40).write_csv(whole / "whole.csv")
    import_files(plain, [whole], PLAIN, now=NOW)
    assert made.events().equals(plain.events())
    made.engine.dispose()
    plain.engine.dispose()


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
def test_the_separator_is_found(separator):
    lines = [["a", "b,;c", "d"], ['"1"', "2", "3,5"], ["4", "5", "x"]]
    quoted = "\n".join(
        separator.join(f'"{one}"' if separator in one else one for one in line) for line in lines
    )
    assert sniff(quoted) == separator


def test_hidden_files_stay_hidden_and_the_others_come_by_their_names(tmp_path):
    for name in ("b/2.csv", "a/1.jsonl", ".hidden/3.csv", "a/.4.csv", "notes.md", "5.csv.gz"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("a,b\n")
    found = [str(path.relative_to(tmp_path)) for path in files_of([tmp_path])]
    assert found == ["5.csv.gz", "a/1.jsonl", "b/2.csv"]


def test_another_encoding_is_asked_for_and_then_read(tmp_path):
    path = tmp_path / "de.csv"
    path.write_bytes("Größe;Preis €\ngroß;1\n".encode("windows-1252"))
    with pytest.raises(ValueError, match=r"de\.csv.*encoding = .windows-1252."):
        columns_of(path, Layout())
    layout = Layout(encoding="windows-1252")
    assert columns_of(path, layout) == ["Größe", "Preis €"]
    assert rows_of(path, ["Größe"], layout) == [("groß",)]


def test_text_that_turns_out_to_be_no_utf_8_late_in_the_file_is_named(tmp_path):
    path = tmp_path / "late.csv"
    path.write_bytes(b"a,b\n" + b"x,y\n" * 200_000 + b"caf\xe9,y\n")
    with pytest.raises(ValueError, match=r"late\.csv.*encoding"):
        rows_of(path)


@pytest.mark.parametrize("mark", ["utf-8-sig", "utf-16"])
@pytest.mark.parametrize("ending", [".csv", ".jsonl"])
def test_marks_of_an_encoding_are_no_part_of_a_name(tmp_path, mark, ending):
    path = tmp_path / f"a{ending}"
    text = "a,b\nx,ü\n" if ending == ".csv" else '{"a": "x", "b": "ü"}\n'
    path.write_bytes(text.encode(mark))
    assert rows_of(path, ["a", "b"]) == [("x", "ü")]


def test_a_file_without_names_gets_those_of_the_mapping(tmp_path):
    (tmp_path / "a.csv").write_text("1,2\n3,4\n")
    layout = Layout(names=("left", "right"))
    assert rows_of(tmp_path / "a.csv", ["right"], layout) == [("2",), ("4",)]


def test_nested_values_are_found_by_their_path_in_json_and_parquet(tmp_path):
    lines = [
        {"user": {"id": 12345678901234567890}, "price": 2.50, "a.b": True, "x": [{"y": 1}]},
        {"user": None, "price": 1e3, "a.b": None, "x": []},
    ]
    (tmp_path / "a.jsonl").write_text("\n".join(map(json.dumps, lines)) + "\n\n")
    wanted = ["user.id", "price", "a.b", "x.0.y"]
    found = rows_of(tmp_path / "a.jsonl", wanted)
    assert found == [("12345678901234567890", "2.5", "true", "1"), (None, "1000.0", None, None)]
    pl.DataFrame({"user": [{"id": "u", "in": {"x": 1}}]}).write_parquet(tmp_path / "b.parquet")
    assert columns_of(tmp_path / "b.parquet", Layout()) == ["user.id", "user.in.x"]
    assert rows_of(tmp_path / "b.parquet", ["user.in.x", "user.id"]) == [(1, "u")]


def test_each_member_of_a_list_is_a_row_of_its_own(tmp_path):
    order = {"id": 7, "lines": [{"sku": "a", "n": 1}, {"sku": "b"}]}
    (tmp_path / "a.jsonl").write_text(json.dumps(order) + "\n" + json.dumps({"id": 8}) + "\n")
    layout = Layout(each="lines")
    assert columns_of(tmp_path / "a.jsonl", layout) == ["id", "lines.sku", "lines.n"]
    assert rows_of(tmp_path / "a.jsonl", ["id", "lines.sku"], layout) == [("7", "a"), ("7", "b")]


def test_lines_that_are_no_rows_are_kept_as_rejects(warehouse, tmp_path):
    (tmp_path / "a.csv").write_text(
        "who,when,what\na,2025-01-01,x\na,2025-01-01\nb,2025-01-01,y,z\n"
    )
    (tmp_path / "b.jsonl").write_text(
        '{"who": "c", "when": "2025-01-01", "what": "x"}\n[1]\n{oops\n'
    )
    mapping = Mapping(
        name="m",
        base_currency="EUR",
        columns={"user_id": "who", "event_at": "when", "item_id": "what"},
    )
    report = import_files(warehouse, [tmp_path], mapping, now=NOW)
    assert (report.read, report.accepted, report.reasons) == (6, 2, {"bad_row": 4})
    raws = warehouse.dead_letters()["raw"].to_list()
    assert sorted(raws) == ["[1]", "a,2025-01-01", "b,2025-01-01,y,z", "{oops"]


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.csv", b"", "empty"),
        ("a.csv", b"\n\n", "empty"),
        ("a.csv", b"who,when,what\n", None),
        ("a.csv", bytes(range(256)) * 50, "could not be read as text"),
        ("a.csv", b"\x00\x01\x02" * 50, "NUL"),
        ("a.csv", b"one\n1\n2\n", "no column"),
        ("a.csv", (",".join(f"c{n}" for n in range(5000)) + "\n").encode(), "4950 more"),
        ("a.csv.gz", b"no gzip at all", "could not be read"),
        ("a.csv.gz", gzip.compress(b"who,when,what\na,b,c\n" * 9999)[:-20], "could not be read"),
        ("a.csv.zst", b"no zstd", "could not be read"),
        ("a.jsonl", b'[\n{"who": 1}\n]', "one object on each line"),
        ("a.parquet", b"PAR1", "could not be read"),
        ("a.xlsx", b"PK", "save or unpack"),
    ],
)
def test_nonsense_gives_a_sentence_with_the_files_name(warehouse, tmp_path, name, content, said):
    (tmp_path / name).write_bytes(content)
    columns = {"user_id": "who", "event_at": "when", "item_id": "what"}
    mapping = Mapping(name="m", base_currency="EUR", columns=columns)
    if said is None:
        assert import_files(warehouse, [tmp_path / name], mapping, now=NOW).read == 0
        return
    with pytest.raises(ValueError, match=said) as caught:
        import_files(warehouse, [tmp_path / name], mapping, now=NOW)
    assert name in str(caught.value)


def test_names_that_stand_twice_are_told_apart(tmp_path):
    (tmp_path / "a.csv").write_text("id,name,,name\n1,x,y,z\n")
    assert columns_of(tmp_path / "a.csv", Layout()) == ["id", "name", "column_3", "name.1"]
    assert rows_of(tmp_path / "a.csv", ["name.1", "name"]) == [("z", "x")]


def test_ids_that_pandas_made_floats_are_whole_again(warehouse, tmp_path):
    pl.DataFrame(
        {"who": [17850.0, float("nan"), 12.5], "when": ["2025-01-01"] * 3, "what": [1, 2, 3]}
    ).write_parquet(tmp_path / "a.parquet")
    columns = {"user_id": "who", "event_at": "when", "item_id": "what"}
    mapping = Mapping(name="m", base_currency="EUR", columns=columns)
    report = import_files(warehouse, [tmp_path], mapping, now=NOW)
    assert report.reasons == {"no_user": 1}
    assert sorted(warehouse.events()["user_id"]) == ["12.5", "17850"]


@pytest.mark.parametrize(
    "change",
    [{"separator": ";;"}, {"encoding": "klingon"}, {"names": ("a", "a")}],
)
def test_a_layout_that_cannot_be_is_refused(change):
    with pytest.raises(ValueError, match=r"separator|encoding|names"):
        Layout(**change)
