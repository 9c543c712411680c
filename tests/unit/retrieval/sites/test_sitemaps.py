"""What a sitemap names, and the ones that are refused."""

from __future__ import annotations

import tracemalloc

import pytest

from apps.retrieval.sites.refusal import PageRefused, Problem
from apps.retrieval.sites.sitemaps import MAX_REFUSED, NotTaken, pages_of_sitemap, parse_sitemap
from apps.retrieval.sites.visiting import Page, Validators, Visitor
from tests.web_site import sitemap, sitemap_index

LAUGHS = b"""<?xml version="1.0"?><!DOCTYPE urlset [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;">
<!ENTITY c "&b;&b;&b;&b;&b;&b;&b;&b;&b;&b;">]><urlset><url><loc>http://x/&c;</loc></url></urlset>"""
OUTSIDE = b'<!DOCTYPE urlset [<!ENTITY x SYSTEM "file:///etc/passwd">]><urlset><url><loc>http://x/&x;</loc></url></urlset>'


def test_addresses_in_their_order_with_any_prefix_and_none() -> None:
    assert parse_sitemap(sitemap("http://x/a", " http://x/b?c=1&amp;d=2 ").body).addresses == ("http://x/a", "http://x/b?c=1&d=2")
    assert parse_sitemap(b'<s:urlset xmlns:s="urn:x"><s:url><s:loc>http://x/a</s:loc></s:url></s:urlset>').addresses == ("http://x/a",)
    assert parse_sitemap(sitemap_index("http://x/1.xml").body).is_index


def test_addresses_of_images_and_translations_are_not_pages() -> None:
    inner = b'<i:image xmlns:i="urn:i"><i:loc>http://x/a.png</i:loc></i:image><loc>http://x/a</loc><lastmod>2026-01-01</lastmod>'
    assert parse_sitemap(b"<urlset><url>" + inner + b"</url></urlset>").addresses == ("http://x/a",)


@pytest.mark.parametrize(
    "data",
    [
        LAUGHS,
        OUTSIDE,
        sitemap("http://x/a").body[:-12],
        b"<html><body>no</body></html>",
        b"<urlset>&undefined;</urlset>",
        b"",
        b"<a>" * 1000,
        b"<urlset/>\xff\x00",
        b'<?xml version="1.0" encoding="no-such"?><urlset/>',
        b'<?xml version="1.0" encoding="hex"?><urlset/>',
        b'<?xml version="1.0" encoding="undefined"?><urlset/>',
    ],
)
def test_bombs_and_broken_ones_are_refused(data: bytes) -> None:
    with pytest.raises(PageRefused) as refused:
        parse_sitemap(data)
    assert refused.value.problem is Problem.BAD_SITEMAP


def test_a_very_long_address_takes_no_memory() -> None:
    data = b"<urlset><url><loc>" + b"a" * (16 << 20) + b"</loc></url></urlset>"
    tracemalloc.start()
    assert len(parse_sitemap(data).addresses[0]) < 10_000
    assert tracemalloc.get_traced_memory()[1] < 8 << 20
    tracemalloc.stop()


def test_of_millions_of_addresses_that_cannot_be_taken_the_first_are_named() -> None:
    data = sitemap(*(f"http://y/{number}" for number in range(3 * MAX_REFUSED)), "http://x/a").body
    page = Page(url="http://x/sitemap.xml", content_type="application/xml", charset="", body=data, validators=Validators())
    found = list(pages_of_sitemap(page, data, page.url, Visitor()))
    refused = [one for one in found if isinstance(one, NotTaken)]
    assert [one for one in found if not isinstance(one, NotTaken)] == ["http://x/a"]
    assert len(refused) == MAX_REFUSED + 1 and refused[-1].refusal.message.startswith(f"{2 * MAX_REFUSED} more addresses")
