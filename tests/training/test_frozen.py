"""What a frozen encoder says is computed once."""

from __future__ import annotations

import numpy as np

from training.datasets.frozen import encoder_of, text_vectors


class Encoder:
    def __init__(self):
        self.calls = []

    def __call__(self, texts):
        self.calls.append(list(texts))
        return np.array([[len(text), ord(text[0])] for text in texts], np.float32)


def test_only_texts_that_the_cache_lacks_are_encoded(tmp_path):
    encode = Encoder()
    first = text_vectors(["cup", "lamp", "cup"], "one", tmp_path, encode)
    second = text_vectors(["moon", "lamp"], "one", tmp_path, encode)
    assert [sorted(call) for call in encode.calls] == [["cup", "lamp"], ["moon"]]
    assert np.array_equal(first[:, 0], [3, 4, 3])
    assert np.array_equal(second, [[4, ord("m")], [4, ord("l")]])
    text_vectors(["moon", "cup"], "one", tmp_path, encode)
    assert len(encode.calls) == 2


def test_another_encoder_has_a_cache_of_its_own(tmp_path):
    encode = Encoder()
    text_vectors(["cup"], "one", tmp_path, encode)
    text_vectors(["cup"], "two", tmp_path, encode)
    assert len(encode.calls) == 2


def test_a_random_encoder_is_another_one_for_each_seed():
    assert encoder_of("some-model:random", 1)[0] != encoder_of("some-model:random", 2)[0]
    assert encoder_of("some-model", 1)[0] == encoder_of("some-model", 2)[0]


def test_a_folder_of_weights_is_another_encoder_once_its_files_change(tmp_path):
    (tmp_path / "weights").write_text("1")
    before = encoder_of(str(tmp_path), 0)[0]
    (tmp_path / "weights").write_text("12")
    assert encoder_of(str(tmp_path), 0)[0] != before
