"""What does a site's robots.txt allow? Read as RFC 9309 says, by Protego; a site whose rules cannot be known is left alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from threading import Event

from protego import Protego

from apps.serving.connections import Patience, follow

MAX_BYTES = 512 << 10  # RFC 9309, 2.5: at least 500 KiB; what is beyond does not count
MAX_DELAY_S = 30.0
_NAMING = ("user-agent", "useragent", "user agent")
_SOMEBODY_ELSE = "somebody-else"
_UNKNOWN = "User-agent: *\nDisallow: /"


@dataclass(frozen=True, kw_only=True, slots=True)
class Rules:
    """What one robots.txt says to us. `problem` says why everything is forbidden where it could not be read."""

    parsed: Protego
    user_agent: str
    problem: str = ""

    def allow(self, url: str) -> bool:
        """Whether the page may be fetched."""
        return self.parsed.can_fetch(url, self.user_agent)

    @property
    def delay_s(self) -> float:
        """Seconds between two requests that the site asks for, `MAX_DELAY_S` at most; 0 where it asks for none."""
        rate = self.parsed.request_rate(self.user_agent)
        if rate and rate.seconds // rate.requests >= MAX_DELAY_S:  # whole numbers of any length: their quotient may be no float
            return MAX_DELAY_S
        asked = max(self.parsed.crawl_delay(self.user_agent) or 0.0, rate.seconds / rate.requests if rate else 0.0)
        return min(asked, MAX_DELAY_S)


def read_rules(origin: str, user_agent: str, enter: Callable[[str], Patience], cancel: Event) -> Rules:
    """The rules of an origin. No robots.txt (any 4xx) allows everything; one that fails forbids everything (RFC 9309, 2.3.1).

    Raises AddressRefused, DeadlineExceeded, Unreachable and Cancelled: then the pages cannot be had either.
    """
    with follow(f"{origin}/robots.txt", headers={"User-Agent": user_agent}, enter=enter, cancel=cancel) as answer:
        if answer.status == 200:
            return parse_rules(b"".join(_first(answer.body)), user_agent)
        if 400 <= answer.status < 500 and answer.status != 429:
            return parse_rules(b"", user_agent)
    problem = f"robots.txt answers with the status {answer.status}, and a site whose rules are unknown is left alone"
    return Rules(parsed=Protego.parse(_UNKNOWN), user_agent=user_agent, problem=problem)


def parse_rules(data: bytes, user_agent: str) -> Rules:
    """The rules in the bytes of a robots.txt, of which the first `MAX_BYTES` count."""
    text = data[:MAX_BYTES].decode("utf-8-sig", "replace")
    return Rules(parsed=Protego.parse(_for_us(text, user_agent)), user_agent=user_agent)


def _for_us(text: str, user_agent: str) -> str:
    """The text with one name for everybody else: Protego keeps each rule once a name, and a hostile file has thousands of either."""
    return "\n".join(_with_short_name(line, user_agent.lower()) for line in text.splitlines())


def _with_short_name(line: str, us: str) -> str:
    field = line.strip().lower()
    name = next((field.removeprefix(known).lstrip(": \t") for known in _NAMING if field.startswith(known)), None)
    if name is None:
        return line
    name = name.partition("#")[0].strip()
    return line if name == "*" or (name and name.replace("*", "") in us) else f"User-agent: {_SOMEBODY_ELSE}"


def _first(parts: Iterator[bytes]) -> Iterator[bytes]:
    size = 0
    for part in parts:
        yield part
        size += len(part)
        if size >= MAX_BYTES:
            return
