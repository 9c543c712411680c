"""Which addresses name the same page, and the same site."""

from __future__ import annotations

import pytest

from apps.retrieval.sites.addresses import is_address, origin_of, page_address, site_of
from apps.retrieval.sites.refusal import PageRefused
from core.net import MAX_URL_CHARS


def test_fragments_usual_ports_and_case_do_not_make_another_page() -> None:
    assert page_address(" HTTPS://Example.COM:443/A?b=C#d ") == "https://example.com/A?b=C"
    assert page_address("http://example.com") == "http://example.com/"
    assert page_address("http://[2001:DB8::1]:8080/x") == "http://[2001:db8::1]:8080/x"


def test_http_and_https_are_one_site_and_another_port_is_another() -> None:
    assert site_of("http://example.com/a") == site_of("https://example.com:443/b") == "example.com"
    assert site_of("https://example.com:8443/") == "example.com:8443"
    assert origin_of("http://example.com:8080/a?b") == "http://example.com:8080"


@pytest.mark.parametrize(
    "url",
    [
        "ftp://example.com/",
        "https:///x",
        "http://u:p@example.com/",
        "http://example.com:x/",
        "http://[::1",
        "/a",
        "https://e.com/" + "a" * 2000,
    ],
)
def test_what_is_no_address_is_refused(url: str) -> None:
    with pytest.raises(PageRefused):
        page_address(url)


def test_no_address_is_longer_than_what_is_kept_of_a_page() -> None:
    longest = "http://e.com/?" + "q" * (MAX_URL_CHARS - 14)
    assert page_address(longest) == longest
    for url in (longest.replace("/?", "?") + "q", "http://\u0130" + ".com/" + "a" * (MAX_URL_CHARS - 13)):
        assert len(url) == MAX_URL_CHARS
        with pytest.raises(PageRefused, match="at most 2000 characters"):
            page_address(url)


def test_addresses_are_told_from_files() -> None:
    assert is_address("HTTPS://example.com") and not is_address("docs/https.txt") and not is_address("ftp://example.com")
