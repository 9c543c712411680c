"""What a generator can be asked: refuses limits that make no sense before they cost anything."""

from __future__ import annotations

import math

from core.errors import InvalidRequest
from core.protocols import GenerationRequest

ROLES = ("system", "user", "assistant")
MAX_TEMPERATURE = 2.0
MAX_STOPS = 16
MAX_STOP_CHARS = 200
MAX_SEED = 2**63 - 1


def check_request(request: GenerationRequest) -> None:
    """Raises InvalidRequest naming the first field that cannot be used, and why."""
    for field, is_fine, rule in (
        ("messages", bool(request.messages), "at least one message is needed"),
        ("messages", all(role in ROLES for role, _ in request.messages), f"a message's role is one of {', '.join(ROLES)}"),
        ("max_tokens", request.max_tokens >= 1, "at least 1"),
        ("temperature", 0 <= request.temperature <= MAX_TEMPERATURE, f"0 to {MAX_TEMPERATURE:g}"),
        ("top_p", 0 < request.top_p <= 1, "more than 0, at most 1"),
        ("seed", request.seed is None or abs(request.seed) <= MAX_SEED, "a whole number of 64 bits"),
        ("stop", len(request.stop) <= MAX_STOPS, f"at most {MAX_STOPS} strings"),
        ("stop", all(0 < len(stop) <= MAX_STOP_CHARS for stop in request.stop), f"strings of 1 to {MAX_STOP_CHARS} characters"),
        ("deadline_s", math.isfinite(request.deadline_s) and request.deadline_s > 0, "more than 0 seconds"),
    ):
        if not is_fine:
            raise InvalidRequest(f"{field} cannot be used: {rule}.", field=field)
