"""Files are read by processes that may die: what a hostile file costs is bounded, and the next file is read."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import tempfile
import threading
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from apps.retrieval.parsing.held_folders import PREFIX, clear_lost_folders
from apps.retrieval.parsing.readers import close_readers, readers
from apps.retrieval.parsing.refusal import ParseLimits, Reason, UnreadableFile
from apps.retrieval.parsing.sandbox import UnpackedArchive, is_archive, parse_file
from tests import sample_files
from tests.file_results import read_all
from tests.hostile_files import COSTLY

LIMITS = ParseLimits(memory_mb=512, cpu_s=5, wall_s=8.0)


@pytest.fixture(autouse=True, scope="module")
def readers_end() -> Iterator[None]:
    """The tests share the readers, as the files of a server do; one that looks at a reader itself begins without any."""
    yield
    close_readers()


def refused(data: bytes, name: str, limits: ParseLimits = LIMITS) -> UnreadableFile:
    (result,) = read_all(data, name=name, limits=limits)
    assert result.error is not None
    return result.error


@pytest.mark.parametrize("name", sample_files.VALID)
def test_every_format_is_read(name: str) -> None:
    document = parse_file(sample_files.VALID[name](), name=name)
    assert document.blocks
    assert document.warnings == ()
    assert document.media_type


def test_a_wrong_name_is_read_as_what_it_is_and_said() -> None:
    document = parse_file(sample_files.word(), name="report.pdf")
    assert document.media_type.endswith("wordprocessingml.document")
    assert document.warnings[0].startswith("The name promises application/pdf")


@pytest.mark.parametrize(
    ("name", "reasons"),
    [
        ("bomb.zip", {Reason.BOMB}),
        ("bomb.docx", {Reason.BOMB}),
        ("bomb.pdf", {Reason.TOO_MUCH_MEMORY, Reason.NO_TEXT}),
        ("nested.zip", {Reason.BOMB}),
        ("many.zip", {Reason.BOMB}),
        ("lying.zip", {Reason.DAMAGED}),
        ("locked.zip", {Reason.ENCRYPTED}),
        ("locked.docx", {Reason.ENCRYPTED}),
        ("locked.pdf", {Reason.ENCRYPTED}),
        ("leak.epub", {Reason.NO_TEXT, Reason.DAMAGED}),
        ("deep.html", {Reason.NO_TEXT, Reason.TOO_DEEP}),
        ("deep.jsonl", {Reason.TOO_DEEP}),
        ("quote.csv", {Reason.DAMAGED}),
        ("noise.txt", {Reason.UNSUPPORTED}),
        ("blank.txt", {Reason.EMPTY}),
    ],
)
def test_a_hostile_file_is_refused_by_name_with_its_reason(name: str, reasons: set[Reason]) -> None:
    error = refused(sample_files.HOSTILE[name](), name)
    assert error.reason in reasons
    assert error.message.startswith(name)
    assert error.status == 400


@pytest.mark.parametrize(
    ("name", "reasons"),
    [
        ("pages.pdf", {Reason.NO_TEXT, Reason.DAMAGED}),
        ("form.pdf", {Reason.TOO_MUCH_MEMORY, Reason.TOO_SLOW, Reason.CRASHED}),
        ("span.docx", {Reason.TOO_MUCH_MEMORY, Reason.TOO_SLOW}),
        ("depth.docx", {Reason.DAMAGED, Reason.TOO_DEEP}),
        ("outside.epub", {Reason.NO_TEXT}),
        ("locked.epub", {Reason.ENCRYPTED}),
        ("loop.pptx", {Reason.TOO_DEEP, Reason.DAMAGED}),
        ("line.jsonl", {Reason.TOO_MUCH_MEMORY, Reason.TOO_MUCH_TEXT}),
        ("digits.jsonl", {Reason.DAMAGED}),
        ("pixels.pdf", {Reason.NO_TEXT, Reason.TOO_MUCH_MEMORY, Reason.TOO_SLOW, Reason.CRASHED}),
    ],
)
def test_loops_and_amplifiers_cost_no_more_than_their_limits(name: str, reasons: set[Reason]) -> None:
    error = refused(COSTLY[name](), name)
    assert error.reason in reasons
    assert error.message.startswith(name)


def test_an_outline_that_goes_in_a_circle_is_passed_over() -> None:
    assert len(parse_file(COSTLY["outline.pdf"](), name="outline.pdf", limits=LIMITS).blocks) == 3


def written(folder: Path, data: bytes) -> Path:
    path = folder / "a.zip"
    path.write_bytes(data)
    return path


def zipped(**files: bytes) -> bytes:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return data.getvalue()


def test_archives_in_an_archive_share_its_room(tmp_path: Path) -> None:
    """Each of forty archives may be unpacked alone; together they would take forty times the limit."""
    line = b"The canteen is open at noon. "
    inner = zipped(**{f"{number}.txt": line * 9_000 + bytes(str(number), "ascii") for number in range(4)})
    limits = ParseLimits(memory_mb=512, cpu_s=5, wall_s=8.0, max_unpacked_mb=4, max_members=60)
    archive = UnpackedArchive(written(tmp_path, zipped(**{f"{number}.zip": inner for number in range(40)})), limits=limits)
    taken = sum(file.path.stat().st_size for file in archive.files if file.path)
    refused = [file.error.reason for file in archive.files if file.error]
    assert 1 << 20 < taken <= 4 << 20
    assert len(refused) > 30 and set(refused) == {Reason.BOMB}


@pytest.mark.parametrize(
    "begun", ["owner = {1}; held_folder(owner)[0].joinpath('a').touch()", "held = held_file(b'text'); held.__enter__()"]
)
def test_what_a_killed_process_was_reading_is_cleared_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, begun: str) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    script = f"import os; from apps.retrieval.parsing.held_folders import held_file, held_folder; {begun}; os._exit(9)"
    subprocess.run([sys.executable, "-c", script], env={**os.environ, "TMPDIR": str(tmp_path)}, check=False, timeout=60)
    (left,) = tmp_path.iterdir()
    assert any(file.name != ".held" for file in left.iterdir())
    mine = UnpackedArchive(written(tmp_path, zipped(a=b"text")))
    assert not left.exists()
    assert [folder.exists() for folder in {file.path.parents[1] for file in mine.files if file.path}] == [True]
    assert clear_lost_folders() == 0
    mine.close()
    assert not list(tmp_path.glob(f"{PREFIX}*"))


def test_names_that_leave_an_archive_are_refused_and_nothing_is_written(tmp_path: Path) -> None:
    results = read_all(sample_files.HOSTILE["outside.zip"](), name="outside.zip", limits=LIMITS)
    assert [result.error.reason for result in results if result.error] == [Reason.UNSAFE] * 3


def test_archives_give_their_files_also_from_within_archives() -> None:
    results = read_all(sample_files.archive(), name="a.zip")
    assert [result.name for result in results] == ["a.zip/手册/a.txt", "a.zip/b.md", "a.zip/inner.zip/c.csv"]
    assert all(result.document for result in results)


def test_the_files_of_an_archive_lie_on_disk_as_long_as_someone_holds_it(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(sample_files.archive())
    unpacked = UnpackedArchive(tmp_path / "a", name="a.zip")
    paths = [file.path for file in unpacked.files if file.path]
    assert paths[0].read_bytes() == sample_files.text()
    del unpacked
    assert not [path for path in paths if path.exists()]


def test_only_archives_of_files_are_archives(tmp_path: Path) -> None:
    for name, data in {**sample_files.VALID, "a.zip": sample_files.archive, "locked.zip": sample_files.encrypted_zip}.items():
        (tmp_path / name).write_bytes(data())
        assert is_archive(tmp_path / name) is (name == "a.zip")
    assert not is_archive(tmp_path / "none")


def test_an_archive_without_files_says_so() -> None:
    assert refused(sample_files.zipped({"folder/": b""}), "a.zip").reason is Reason.EMPTY


def test_an_archive_is_no_document() -> None:
    with pytest.raises(UnreadableFile) as error:
        parse_file(sample_files.archive(), name="a.zip")
    assert error.value.reason is Reason.ARCHIVE


def test_files_that_are_no_files_are_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path, tmp_path / "none", tmp_path / "pipe"):
        with pytest.raises(UnreadableFile) as error:
            parse_file(path)
        assert error.value.reason is Reason.MISSING


def test_a_file_over_the_size_is_refused_before_it_is_read() -> None:
    assert refused(b"x" * (2 << 20), "a.txt", ParseLimits(max_file_mb=1)).reason is Reason.TOO_LARGE


def test_too_little_processor_time_ends_the_reading_and_the_next_file_is_read() -> None:
    slow = b"a*b**c" * 400_000
    assert refused(slow, "slow.md", ParseLimits(cpu_s=1, wall_s=20.0)).reason is Reason.TOO_SLOW
    assert parse_file(b"# title", name="a.md").blocks


def test_too_little_time_by_the_clock_ends_the_reading() -> None:
    assert refused(b"a*b**c" * 400_000, "slow.md", ParseLimits(cpu_s=30, wall_s=0.3)).reason is Reason.TOO_SLOW


def test_a_reader_that_is_killed_is_replaced() -> None:
    close_readers()
    parse_file(b"one", name="a.txt")
    reader = readers()._idle.get()
    os.killpg(reader.pid, 9)
    readers()._idle.put(reader)
    assert parse_file(b"two", name="a.txt").blocks[0].text == "two"


def test_threads_share_the_readers() -> None:
    close_readers()
    said: dict[int, str] = {}

    def read(number: int) -> None:
        said[number] = parse_file(f"text {number}".encode(), name="a.txt").blocks[0].text

    threads = [threading.Thread(target=read, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert said == {number: f"text {number}" for number in range(8)}
    assert readers()._idle.qsize() <= 2


def test_a_reader_knows_no_django_no_model_and_no_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QA_SECRET_KEY", "secret")
    close_readers()
    parse_file(b"one", name="a.txt")
    reader = readers()._idle.get()
    maps = Path(f"/proc/{reader.pid}/maps").read_text()
    environment = Path(f"/proc/{reader.pid}/environ").read_text()
    readers()._idle.put(reader)
    assert "torch" not in maps
    assert "QA_SECRET_KEY" not in environment


def test_the_process_imports_no_framework() -> None:
    code = (
        "import sys; from apps.retrieval.parsing import child, pdf, word, slides, sheets, web_page, epub, markdown, rows, delimited, plain; "
        "print(sorted({'django', 'torch', 'transformers', 'faiss'} & set(sys.modules)))"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert said.stdout.strip() == "[]"


def test_a_member_without_a_name_costs_itself_alone(tmp_path: Path) -> None:
    files = UnpackedArchive(written(tmp_path, zipped(**{".": b"text", "a.txt": b"text"})), name="a.zip").files
    assert [(file.name, file.error.reason if file.error else None) for file in files] == [("a.zip/.", Reason.UNSAFE), ("a.zip/a.txt", None)]
