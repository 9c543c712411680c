"""Why was a page of the web not taken?"""

from __future__ import annotations

from enum import StrEnum

from core.errors import InvalidRequest


class Problem(StrEnum):
    """What is wrong with an address: the code of the report."""

    REFUSED_ADDRESS = "refused_address"  # no public address, or none that may be fetched
    OTHER_HOST = "other_host"  # beyond the host of its sitemap
    ROBOTS = "robots"  # robots.txt forbids it, or could not be read
    NOT_FOUND = "not_found"
    STATUS = "status"  # any other status than 200
    REDIRECTS = "redirects"
    BUSY = "busy"  # the site asks to come back later
    TIMED_OUT = "timed_out"
    UNREACHABLE = "unreachable"
    TOO_LARGE = "too_large"
    DAMAGED = "damaged"  # it cannot be unpacked
    UNSUPPORTED_TYPE = "unsupported_type"
    BAD_SITEMAP = "bad_sitemap"
    TOO_MANY = "too_many"  # more sitemaps or pages than are taken


class PageRefused(InvalidRequest):
    """A page that is not taken: `problem` is its code, `details.status` the status that its server gave, if any."""

    def __init__(self, problem: Problem, message: str, **details: str | int | None) -> None:
        super().__init__(message, field="url", reason=problem.value, **details)
        self.problem = problem
