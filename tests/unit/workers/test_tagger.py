"""Is every word of a long text read once, and is a tagger that cannot be had said to be so?"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from core.errors import ConfigurationError, ModelUnavailable
from tests.model_folders import make_cross_encoder, make_tagger
from workers.tagger import LocalTagger, TorchTagger

LONG = "张三在北京" * 60  # the model takes 64 tokens


def test_windows_cover_each_character_of_a_long_text_once(tmp_path: Path) -> None:
    tagger = TorchTagger(make_tagger(tmp_path / "tagger"), device="cpu", precision="fp32")
    (windows,) = tagger.windows([LONG])
    labels = tagger.forward([tagger.model.input_of(encoding) for encoding in windows.encodings])
    tokens = list(windows.tokens(labels, tagger.model.labels))
    assert len(windows.encodings) > 5
    assert [(token.start, token.end) for token in tokens] == [(place, place + 1) for place in range(len(LONG))]


def test_without_a_named_tagger_it_says_what_to_set() -> None:
    with pytest.raises(ModelUnavailable, match="QA_TAGGER"):
        LocalTagger().tag(["张三"])


def test_a_model_without_a_tagging_head_is_refused(tmp_path: Path, configure: Callable[..., None]) -> None:
    configure(tagger=make_cross_encoder(tmp_path / "cross"), device="cpu")
    tagger = LocalTagger()
    with pytest.raises(ConfigurationError, match="ForTokenClassification"):
        tagger.tag(["张三"])
    tagger.close()
