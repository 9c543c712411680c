"""What robots.txt allows, by the cases of RFC 9309."""

from __future__ import annotations

import tracemalloc

import pytest

from apps.retrieval.sites.robots import MAX_BYTES, MAX_DELAY_S, parse_rules

RULES = b"""
User-agent: *
Disallow: /private/
Allow: /private/open
Disallow: /*.json$
Disallow: /*?print=

User-agent: wenlu
User-agent: other
Disallow: /only-us
Crawl-delay: 4
"""


@pytest.mark.parametrize(
    ("path", "allowed"),
    [
        ("/", True),
        ("/private/x", False),
        ("/private/open/x", True),
        ("/a.json", False),
        ("/a.json.html", True),
        ("/a?print=1", False),
        ("/only-us", True),
    ],
)
def test_the_longest_rule_counts_and_wildcards_do(path: str, allowed: bool) -> None:
    assert parse_rules(RULES, "somebody").allow(f"https://example.com{path}") is allowed


def test_rules_for_us_by_name_take_the_place_of_those_for_all() -> None:
    rules = parse_rules(RULES, "Wenlu/1.0 (+https://example.com/about)")
    assert (rules.allow("https://example.com/only-us"), rules.allow("https://example.com/private/x"), rules.delay_s) == (False, True, 4.0)


def test_a_delay_is_bounded_and_a_rate_is_one_too() -> None:
    assert parse_rules(b"User-agent: *\nCrawl-delay: 86400", "wenlu").delay_s == MAX_DELAY_S
    assert parse_rules(b"User-agent: *\nRequest-rate: 10/1m", "wenlu").delay_s == 6.0


@pytest.mark.parametrize(("rate", "delay_s"), [(b"1/" + b"9" * 400, MAX_DELAY_S), (b"9" * 400 + b"/1", 0.0), (b"0/5", 0.0), (b"1/0", 0.0)])
def test_a_rate_may_have_numbers_of_any_length(rate: bytes, delay_s: float) -> None:
    assert parse_rules(b"User-agent: *\nRequest-rate: " + rate, "wenlu").delay_s == delay_s


def test_no_rules_odd_bytes_and_endless_files_do_no_harm() -> None:
    assert parse_rules(b"", "wenlu").allow("https://example.com/x")
    assert parse_rules(b"\xef\xbb\xbfUser-agent: *\nDisallow: /\xff\x00", "wenlu").allow("https://example.com/x")
    long = b"User-agent: *\n" + b"#" * MAX_BYTES + b"\nDisallow: /"
    assert parse_rules(long, "wenlu").allow("https://example.com/x")


def test_rules_for_others_are_not_ours_and_names_may_be_written_oddly() -> None:
    rules = parse_rules(
        b"user agent  Wenlu*\nDisallow: /ours\n\nUser-Agent: wenlubot # other\nDisallow: /theirs\n\nUser-agent:\nDisallow: /nobodys",
        "wenlu",
    )
    assert [rules.allow(f"https://example.com/{path}") for path in ("ours", "theirs", "nobodys")] == [False, True, True]


def test_a_file_of_thousands_of_names_and_rules_takes_little_memory() -> None:
    names = b"".join(b"User-agent: bot%d\n" % number for number in range(15_000))
    rules = b"".join(b"Disallow: /%d\n" % number for number in range(10_000))
    tracemalloc.start()
    parsed = parse_rules(names + b"User-agent: *\n" + rules, "wenlu")
    assert (parsed.allow("https://example.com/x"), parsed.allow("https://example.com/9999")) == (True, False)
    assert tracemalloc.get_traced_memory()[1] < 64 << 20
    tracemalloc.stop()
