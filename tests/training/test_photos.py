"""Photos of items: any vision model speaks for them, and the looks of an item find its buyers."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from PIL import Image
from transformers import (
    CLIPConfig,
    CLIPModel,
    ConvNextConfig,
    ConvNextModel,
    ViTConfig,
    ViTForImageClassification,
)
from transformers.models.vit.image_processing_pil_vit import ViTImageProcessorPil

from tests.training.groups import GROUPS, items, table
from training.benchmarks import next_item, sequences
from training.benchmarks.answers import Question
from training.benchmarks.contents import Sources
from training.datasets.frozen import image_encoder_of, photo_vectors
from training.datasets.photos import Photo
from training.models.image import load_image_encoder

SHAPE = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2,
         "intermediate_size": 32}  # fmt: skip
PATCHES = {"image_size": 32, "patch_size": 8}
MODELS = {
    "class token": lambda: ViTForImageClassification(ViTConfig(**SHAPE, **PATCHES)),
    "map": lambda: ConvNextModel(ConvNextConfig(hidden_sizes=[8, 8, 8, 16], depths=[1] * 4)),
    "beside texts": lambda: CLIPModel(
        CLIPConfig(
            text_config=SHAPE | {"vocab_size": 60, "bos_token_id": 1, "eos_token_id": 2},
            vision_config=SHAPE | PATCHES,
            projection_dim=16,
        )
    ),
}


def saved(kind: str, folder: Path) -> str:
    """A small random model of `kind` with its processor, as a folder."""
    torch.manual_seed(0)
    MODELS[kind]().save_pretrained(folder)
    ViTImageProcessorPil(size={"height": 32, "width": 32}).save_pretrained(folder)
    return str(folder)


def painted(colour: tuple[int, int, int], seed: int = 0, size: int = 24) -> bytes:
    """A PNG of one colour with a little noise."""
    noise = np.random.default_rng(seed).integers(-20, 20, (size, size, 3))
    told = BytesIO()
    Image.fromarray((np.array(colour) + noise).clip(0, 255).astype(np.uint8)).save(told, "png")
    return told.getvalue()


@pytest.fixture(scope="module")
def vision(tmp_path_factory) -> str:
    return saved("class token", tmp_path_factory.mktemp("vision"))


@pytest.mark.parametrize("kind", MODELS)
def test_any_vision_model_gives_vectors_of_length_one_that_do_not_depend_on_the_batch(
    tmp_path, kind
):
    encoder = load_image_encoder(saved(kind, tmp_path))
    pictures = [Photo("a", painted(c, size=s)).picture()
                for c, s in (((250, 0, 0), 20), ((0, 0, 250), 40), ((0, 250, 0), 30))]  # fmt: skip
    together = encoder.encode(pictures)
    alone = encoder.encode(pictures, batch_size=1)
    assert together.shape == (3, 16)
    np.testing.assert_allclose(together, alone, atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(together, axis=1), 1.0, rtol=1e-5)
    assert np.abs(together[0] - together[1]).max() > 1e-3


def test_a_classifier_gives_the_same_vectors_each_time_it_is_loaded(vision):
    picture = Photo("a", painted((9, 90, 200))).picture()
    first, second = (load_image_encoder(vision).encode([picture]) for _ in range(2))
    assert (first == second).all()  # its pooler, which has no weights, is not asked


def test_only_photos_that_the_cache_lacks_are_encoded(tmp_path, vision):
    (tmp_path / "lamp.png").write_bytes(painted((0, 0, 200)))
    photos = [Photo("cup", painted((200, 0, 0))), Photo("lamp", tmp_path / "lamp.png")]
    name, encode = image_encoder_of(vision, 0)
    first = photo_vectors(photos, name, tmp_path / "cache", encode)
    calls: list[int] = []

    def counted(missing):
        calls.append(len(missing))
        return encode(missing)

    again = photo_vectors([*photos, Photo("bag", painted((0, 200, 0)))], name, tmp_path / "cache",
                          counted)  # fmt: skip
    assert calls == [1]
    assert (again[:2] == first).all()


def test_a_name_that_is_no_vision_model_is_refused_in_words():
    with pytest.raises(ValueError, match="image encoder 'all-MiniLM-L6-v2' could not be loaded"):
        load_image_encoder("all-MiniLM-L6-v2")


@pytest.mark.parametrize(
    "content", [b"no picture", painted((1, 2, 3))[:90], Path("nowhere.png")], ids=str
)
def test_an_unreadable_photo_is_refused_by_the_name_of_its_item(content):
    with pytest.raises(ValueError, match=r"the image of item 'cup-7' cannot be read .*; give"):
        Photo("cup-7", content).picture()


def read(tmp_path: Path, photos: list, **sources) -> sequences.Table:
    table().write_parquet(tmp_path / "own.parquet")
    items().with_columns(pl.Series("photo", photos)).write_parquet(tmp_path / "items.parquet")
    told = Sources(**({"items": tmp_path / "items.parquet", "image": "photo"} | sources))
    return sequences.read(tmp_path / "own.parquet", sequences.Columns(), told, width=8,
                          cache=tmp_path / "cache")  # fmt: skip


def photos() -> list[bytes]:
    """Of each item, in the colour of its group."""
    colours = ((230, 30, 30), (30, 30, 230), (30, 230, 30))
    return [painted(colours[i % len(GROUPS)], seed=i) for i in range(len(items()))]


def test_items_without_a_photo_have_a_vector_of_zero_and_paths_start_at_the_file(tmp_path, vision):
    by_path: list[str | None] = []
    for i, content in enumerate(photos()):
        (tmp_path / f"{i}.png").write_bytes(content)
        by_path.append(None if i == 5 else f"{i}.png")
    made = read(tmp_path, by_path, image_encoder=vision)
    empty = [item for item, vector in zip(made.things.ids, made.things.vectors, strict=True)
             if not vector.any()]  # fmt: skip
    assert empty == ["5"]
    assert made.has_content


@pytest.mark.parametrize(
    ("cells", "sources", "message"),
    [
        ([1.0] * 36, {"image_encoder": "x"}, "holds Float64 and must hold photos"),
        ([""] * 36, {"image_encoder": "x"}, "is empty for all of the 36 items"),
        ([""] * 36, {}, "--image and --image-encoder belong together"),
        ([""] * 36, {"image_encoder": "x", "items": None}, "column 'photo' tells of items"),
    ],
)
def test_what_is_no_photo_is_refused_in_words(tmp_path, cells, sources, message):
    table().write_parquet(tmp_path / "own.parquet")
    with pytest.raises(ValueError, match=message):
        read(tmp_path, cells, **sources)


def test_a_photo_tells_a_cold_item_apart(tmp_path, vision):
    question = Question(inputs=("content",), size="tiny", num_epochs=4, asks_cold=True)
    hits = {}
    shuffled = list(np.random.default_rng(0).permutation(np.array(photos(), dtype=object)))
    for name, cells in (("own", photos()), ("of others", shuffled)):
        place = tmp_path / name
        place.mkdir()
        found = next_item.next_item(read(place, cells, image_encoder=vision), question,
                                    place / "work", lambda _: None)  # fmt: skip
        (cold,) = found.cold
        answer = next(one for one in cold.answers if one.name == "content")
        hits[name] = answer.ranked[0].hit[cold.is_cold].mean()
    assert hits["own"] > hits["of others"] + 0.2
