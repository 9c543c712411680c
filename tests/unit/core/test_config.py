"""Settings: each name known, each value checked, each contradiction refused before anything starts."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from core.config import Settings, get_settings, unknown_names
from core.errors import ConfigurationError


@pytest.fixture(autouse=True)
def fresh_settings(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in [name for name in os.environ if name.startswith("QA_")]:
        monkeypatch.delenv(name)
    get_settings.cache_clear()
    yield
    monkeypatch.undo()
    get_settings.cache_clear()


def test_every_setting_has_a_default() -> None:
    assert get_settings().port == 8000
    assert get_settings().data_dir == Path("var")


def test_a_setting_is_read_from_its_environment_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QA_PORT", "9123")
    assert get_settings().port == 9123


def test_settings_are_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    before = get_settings()
    monkeypatch.setenv("QA_PORT", "9123")
    assert get_settings() is before


def test_an_unknown_name_stops_the_start_and_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QA_PROT", "9123")
    with pytest.raises(ConfigurationError, match="QA_PROT"):
        get_settings()


def test_other_programs_variables_are_not_ours() -> None:
    assert unknown_names({"PATH": "/bin", "SQA_PORT": "1", "QA_PORT": "1", "QA_PORTS": "1"}) == ["QA_PORTS"]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("QA_PORT", "0"),
        ("QA_PORT", "65536"),
        ("QA_PORT", "http"),
        ("QA_DEBUG", "maybe"),
        ("QA_LANGUAGE", "fr"),
        ("QA_BATCH_LINGER_MS", "-1"),
    ],
)
def test_a_value_out_of_range_is_refused_by_name(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(ConfigurationError, match=name):
        get_settings()


def test_all_wrong_values_are_said_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QA_PORT", "0")
    monkeypatch.setenv("QA_LANGUAGE", "fr")
    with pytest.raises(ConfigurationError, match=r"QA_PORT: .+; QA_LANGUAGE: "):
        get_settings()


def test_a_redis_turn_log_without_redis_is_a_contradiction(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QA_TURN_LOG", "apps.dialogue.redis_turnlog.RedisTurnLog")
    with pytest.raises(ConfigurationError, match="QA_REDIS_URL is empty"):
        get_settings()


def test_a_role_that_no_worker_serves_is_refused_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QA_WORKER_ROLES", "encoder, painter")
    with pytest.raises(ConfigurationError, match="QA_WORKER_ROLES names painter; a worker serves encoder, reranker"):
        get_settings()


def test_a_database_of_an_unknown_kind_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QA_DATABASE_URL", "mysql://localhost/wenlu")
    with pytest.raises(ConfigurationError, match="postgres://"):
        get_settings()


def test_the_turn_log_follows_redis_unless_it_is_named() -> None:
    assert Settings().turn_log_path.endswith("MemoryTurnLog")
    assert Settings(redis_url="redis://localhost").turn_log_path.endswith("RedisTurnLog")
    assert Settings(redis_url="redis://localhost", turn_log="my.Log").turn_log_path == "my.Log"


def test_models_lie_in_the_data_folder_unless_a_folder_is_named(tmp_path: Path) -> None:
    assert Settings(data_dir=tmp_path).models_folder == tmp_path.resolve() / "models"
    assert Settings(data_dir=tmp_path, model_dir=tmp_path / "shared").models_folder == tmp_path.resolve() / "shared"


def test_skills_are_paths_separated_by_commas() -> None:
    assert Settings(skills=" a.B , c.D,,").skill_paths == ("a.B", "c.D")


def test_vectors_are_searched_by_workers_only_where_they_encode_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QA_REDIS_URL", "redis://127.0.0.1:6379/0")
    monkeypatch.setenv("QA_NEAREST_SEARCH", "workers.remote_search.RemoteNearest")
    with pytest.raises(ConfigurationError, match="QA_ENCODER_BACKEND must be remote too"):
        get_settings()
    monkeypatch.setenv("QA_ENCODER_BACKEND", "workers.remote.RemoteEncoder")
    assert get_settings().searches_remotely
    assert get_settings().worker_role_names == ("encoder", "reranker", "generator", "search")


def test_no_password_is_in_what_settings_show_of_themselves() -> None:
    secret = dict.fromkeys(("database_url", "redis_url", "elasticsearch_url"), "postgres://u:hunter2@h/d")
    assert "hunter2" not in repr(Settings(secret_key="hunter2", old_secret_keys="hunter2", elasticsearch_api_key="hunter2", **secret))  # type: ignore[arg-type]
