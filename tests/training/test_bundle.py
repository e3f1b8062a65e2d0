"""A bundle says what it is, and notices every change of its files."""

from __future__ import annotations

import json

import numpy as np
import pytest

from training.bundle import KEYS, BrokenBundle, Bundle

CONTENT = {"policy": "threshold", "settings": {"coupon": 0.6}}


def save(folder, **changes):
    told = {
        "kind": "policy",
        "name": "threshold",
        "created_at": 5,
        "content": CONTENT,
        "weights": {"w": np.arange(6.0).reshape(2, 3).T},
        "card": "# A policy\n",
    }
    return Bundle.save(folder, **(told | changes))


def test_a_bundle_survives_saving_and_loading(tmp_path):
    saved = save(tmp_path / "b")
    loaded = Bundle.load(tmp_path / "b")
    assert loaded.manifest == saved.manifest
    assert (loaded.kind, loaded.name) == ("policy", "threshold")
    assert loaded.manifest["settings"] == CONTENT["settings"]
    np.testing.assert_array_equal(loaded.weights()["w"], np.arange(6.0).reshape(2, 3).T)
    assert loaded.path("card.md").read_text() == "# A policy\n"


def test_the_version_is_the_content_and_not_the_time_or_place_of_making(tmp_path):
    first = save(tmp_path / "a")
    assert save(tmp_path / "b", created_at=6, origin="elsewhere").version == first.version
    assert save(tmp_path / "c", card="# Another\n").version != first.version
    assert save(tmp_path / "d", weights={"w": np.zeros(2)}).version != first.version
    other = {"policy": "threshold", "settings": {"coupon": 0.7}}
    assert save(tmp_path / "e", content=other).version != first.version


def test_saving_again_replaces_what_was_there(tmp_path):
    save(tmp_path / "b")
    again = save(tmp_path / "b")
    assert again.version == save(tmp_path / "fresh").version


@pytest.mark.parametrize("file", ["weights.safetensors", "card.md", "user.onnx"])
def test_a_changed_file_is_noticed(tmp_path, file):
    (tmp_path / "user.onnx").write_bytes(b"a graph")
    save(tmp_path)
    content = bytearray((tmp_path / file).read_bytes())
    content[-1] ^= 1
    (tmp_path / file).write_bytes(content)
    with pytest.raises(BrokenBundle, match=file):
        Bundle.load(tmp_path)


def test_a_missing_file_is_noticed(tmp_path):
    save(tmp_path)
    (tmp_path / "card.md").unlink()
    with pytest.raises(BrokenBundle, match=r"card\.md .*nothing"):
        Bundle.load(tmp_path)


def test_a_folder_without_a_bundle_is_refused(tmp_path):
    with pytest.raises(BrokenBundle, match=r"no bundle\.json"):
        Bundle.load(tmp_path)


@pytest.mark.parametrize("missing", KEYS["policy"])
def test_a_bundle_lacks_nothing_that_its_kind_needs(tmp_path, missing):
    content = {key: value for key, value in CONTENT.items() if key != missing}
    with pytest.raises(ValueError, match=missing):
        save(tmp_path, content=content)


def test_an_unknown_kind_is_refused(tmp_path):
    with pytest.raises(ValueError, match="'sculpture'"):
        save(tmp_path, kind="sculpture")


def test_the_manifest_lists_every_file_with_its_hash(tmp_path):
    (tmp_path / "user.onnx").write_bytes(b"a graph")
    save(tmp_path)
    manifest = json.loads((tmp_path / "bundle.json").read_text())
    names = {path.name for path in tmp_path.iterdir()} - {"bundle.json"}
    assert set(manifest["files"]) == names
