"""How pages are fetched from a real server: politely, within limits, and from nowhere that they must not be."""

from __future__ import annotations

import gzip
import time
from collections.abc import Callable, Iterator
from threading import Event, Timer

import pytest

from apps.retrieval.sites.refusal import PageRefused, Problem
from apps.retrieval.sites.visiting import MAX_FAILURES, Validators, Visitor
from core.errors import Cancelled
from tests.web_site import At, Exchange, Site, html, leads_to, web_site

pytestmark = pytest.mark.usefixtures("near_sites")


@pytest.fixture
def site() -> Iterator[Site]:
    with web_site() as site:
        yield site


def problem_of(visitor: Visitor, url: str, **more: object) -> Problem:
    with pytest.raises(PageRefused) as refused:
        visitor.fetch(url, **more)  # type: ignore[arg-type]
    return refused.value.problem


def test_a_page_with_its_type_its_versions_and_where_it_was_found(site: Site) -> None:
    site.pages = {"/a": leads_to("/b?x=1"), "/b?x=1": At(b"hi", headers={"Content-Type": "text/HTML; Charset=GBK"}, etag='"1"')}
    page = Visitor().fetch(f"{site.root}/a")
    assert page is not None
    assert (page.url, page.content_type, page.charset, page.body, page.validators.etag) == (
        f"{site.root}/b?x=1",
        "text/html",
        "gbk",
        b"hi",
        '"1"',
    )
    assert {headers["user-agent"] for headers in site.headers} == {"wenlu"}


def test_a_version_that_is_known_is_not_sent_again(site: Site) -> None:
    site.pages = {"/a": html("A", "old", etag='"1"')}
    assert Visitor().fetch(f"{site.root}/a", known=Validators(etag='"1"')) is None
    assert Visitor().fetch(f"{site.root}/a", known=Validators(etag='"0"')) is not None


@pytest.mark.parametrize(
    "location",
    [
        "http://127.0.0.2/",
        "http://169.254.169.254/latest/meta-data",
        "http://[::1]/",
        "file:///etc/passwd",
        "http://localhost.localdomain:1/",
        "http://[",
        "http://..",
        "http://me:secret@127.0.0.1/",
    ],
)
def test_a_redirect_into_the_own_network_is_not_followed(site: Site, location: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("core.net._lookup", lambda host, port: ["127.0.0.1" if host == "127.0.0.1" else "10.0.0.1"])
    site.pages = {"/a": leads_to(location)}
    assert problem_of(Visitor(), f"{site.root}/a") is Problem.REFUSED_ADDRESS
    assert site.paths == ["/a"]


def test_without_the_setting_loopback_is_refused(site: Site, near_sites: Callable[..., None]) -> None:
    near_sites(private_hosts="")
    assert problem_of(Visitor(), f"{site.root}/a") is Problem.REFUSED_ADDRESS
    assert site.asked == []


def test_a_name_that_changes_its_address_gets_no_second_chance(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    answers = iter(["127.0.0.1", "127.0.0.1", "10.0.0.1"])
    monkeypatch.setattr("core.net._lookup", lambda host, port: [next(answers)])
    site.pages = {"/a": leads_to("/b")}
    assert problem_of(Visitor(), f"{site.root.replace('127.0.0.1', 'rebinding.example')}/a") is Problem.REFUSED_ADDRESS
    assert [path for path, _ in site.asked] == ["/robots.txt", "/a"]


def test_a_redirect_without_end_ends(site: Site) -> None:
    site.pages = {"/a": leads_to("/b"), "/b": leads_to("/a")}
    assert problem_of(Visitor(), f"{site.root}/a") is Problem.REDIRECTS
    assert len(site.paths) == 6


def test_robots_txt_is_asked_once_and_obeyed_also_behind_redirects(site: Site) -> None:
    site.pages = {"/robots.txt": At(b"User-agent: *\nDisallow: /no"), "/yes": html("Y", "yes"), "/way": leads_to("/no")}
    visitor = Visitor()
    assert visitor.fetch(f"{site.root}/yes") is not None
    assert (problem_of(visitor, f"{site.root}/no"), problem_of(visitor, f"{site.root}/way")) == (Problem.ROBOTS, Problem.ROBOTS)
    assert [path for path, _ in site.asked] == ["/robots.txt", "/yes", "/way"]


@pytest.mark.parametrize(("status", "allowed"), [(404, True), (403, True), (500, False), (429, False)])
def test_without_robots_txt_all_is_allowed_and_with_a_failing_one_nothing(site: Site, status: int, allowed: bool) -> None:
    site.pages = {"/robots.txt": At(b"", status), "/a": html("A", "a")}
    if allowed:
        assert Visitor().fetch(f"{site.root}/a") is not None
    else:
        assert problem_of(Visitor(), f"{site.root}/a") is Problem.ROBOTS


@pytest.mark.parametrize(
    ("status", "problem"),
    [
        (404, Problem.NOT_FOUND),
        (410, Problem.NOT_FOUND),
        (403, Problem.STATUS),
        (500, Problem.STATUS),
        (204, Problem.STATUS),
        (304, Problem.STATUS),
    ],
)
def test_other_answers_are_no_pages(site: Site, status: int, problem: Problem) -> None:
    site.pages = {"/a": At(b"", status)}
    assert problem_of(Visitor(), f"{site.root}/a") is problem


def test_what_cannot_be_read_is_not_fetched(site: Site) -> None:
    site.pages = {"/a": At(b"x", headers={"Content-Type": "video/mp4"})}
    assert problem_of(Visitor(), f"{site.root}/a") is Problem.UNSUPPORTED_TYPE


def endless(exchange: Exchange) -> None:
    exchange.send_response(200)
    exchange.send_header("Content-Type", "text/html")
    exchange.end_headers()
    while True:
        exchange.wfile.write(b"x" * 65536)


def dripping(exchange: Exchange) -> None:
    exchange.send_response(200)
    exchange.send_header("Content-Type", "text/html")
    exchange.end_headers()
    while True:
        exchange.wfile.write(b"x")
        exchange.wfile.flush()
        time.sleep(0.02)


def bomb(exchange: Exchange) -> None:
    exchange.send_response(200)
    exchange.send_header("Content-Type", "text/html")
    exchange.send_header("Content-Encoding", "gzip")
    exchange.end_headers()
    exchange.wfile.write(gzip.compress(bytes(20 << 20), compresslevel=1))


def test_endless_answers_and_bombs_are_left(site: Site) -> None:
    site.pages = {"/endless": endless, "/bomb": bomb, "/long": At(b"x" * ((1 << 20) + 1))}
    assert {problem_of(Visitor(), f"{site.root}{path}") for path in site.pages} == {Problem.TOO_LARGE}


def test_an_answer_that_drips_is_left_when_its_time_is_over(site: Site, near_sites: Callable[..., None]) -> None:
    near_sites(site_page_s=1)
    site.pages = {"/a": dripping}
    began = time.monotonic()
    assert problem_of(Visitor(), f"{site.root}/a") is Problem.TIMED_OUT
    assert time.monotonic() - began < 15


def test_a_gzipped_answer_is_unpacked(site: Site) -> None:
    site.pages = {"/a": At(gzip.compress(b"<p>hello</p>"), headers={"Content-Encoding": "gzip"})}
    page = Visitor().fetch(f"{site.root}/a")
    assert page is not None and page.body == b"<p>hello</p>"


def test_a_site_that_is_busy_is_asked_once_more(site: Site) -> None:
    site.pages = {"/a": At(b"", 503, {"Retry-After": "0"}), "/later": At(b"", 429, {"Retry-After": "3600"})}
    assert problem_of(Visitor(), f"{site.root}/a") is Problem.BUSY
    assert problem_of(Visitor(), f"{site.root}/later") is Problem.BUSY
    assert site.paths == ["/a", "/a", "/later"]


def test_a_host_that_is_away_is_not_tried_for_ever(site: Site) -> None:
    visitor = Visitor()
    site.pages = {"/robots.txt": At(), "/a": lambda exchange: exchange.connection.close()}
    assert {problem_of(visitor, f"{site.root}/a") for _ in range(MAX_FAILURES + 3)} == {Problem.UNREACHABLE}
    assert len(site.paths) == MAX_FAILURES


def test_a_host_whose_pages_never_end_counts_as_away_too(
    site: Site, near_sites: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    near_sites(site_page_s=1)
    monkeypatch.setattr("apps.retrieval.sites.visiting.MAX_FAILURES", 1)
    visitor = Visitor()
    site.pages = {"/a": dripping, "/b": html("B", "b")}
    assert problem_of(visitor, f"{site.root}/a") is Problem.TIMED_OUT
    assert problem_of(visitor, f"{site.root}/b") is Problem.UNREACHABLE


@pytest.mark.parametrize("path", ["/a", "/robots.txt"])
def test_who_stops_does_not_wait_for_a_slow_page(site: Site, path: str) -> None:
    stop = Event()
    site.pages = {path: dripping}
    Timer(0.2, stop.set).start()
    with pytest.raises(Cancelled):
        Visitor(cancel=stop).fetch(f"{site.root}/a")


def test_a_redirect_to_another_site_is_refused_where_only_one_is_wanted(site: Site, near_sites: Callable[..., None]) -> None:
    near_sites(private_hosts="127.0.0.1,localhost")
    elsewhere = site.root.replace("127.0.0.1", "localhost")
    site.pages = {"/a": leads_to(f"{elsewhere}/b"), "/b": html("B", "b")}
    own = frozenset({site.root.removeprefix("http://")})
    assert problem_of(Visitor(), f"{site.root}/a", sites=own) is Problem.OTHER_HOST
    assert Visitor().fetch(f"{site.root}/a") is not None
