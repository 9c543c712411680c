from __future__ import annotations

from collections.abc import Callable

import pytest

from apps.serving.registry import default_models


@pytest.mark.parametrize(
    ("generator", "expected"),
    [
        ("smollm2-135m-instruct", ["multilingual-e5-small", "smollm2-135m-instruct"]),
        ("", ["multilingual-e5-small"]),
        ("some/hub-id", ["multilingual-e5-small"]),
    ],
)
def test_what_is_fetched_at_the_start_is_what_the_settings_name(
    generator: str, expected: list[str], configure: Callable[..., None]
) -> None:
    configure(generator=generator)
    assert default_models() == expected
