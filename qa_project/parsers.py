"""How the body of an API request is read: JSON that is bounded, no deeper than anybody needs, and text that can be stored."""

from __future__ import annotations

from collections.abc import Mapping
from typing import IO, Any

import orjson
from rest_framework.parsers import BaseParser

from core.errors import InvalidRequest, PayloadTooLarge
from core.types import JSONValue

MAX_JSON_BYTES = 4 * 2**20  # the largest FAQ, its 500,000 characters escaped or in UTF-8, fits


class BoundedJSON(BaseParser):
    """JSON as sockets read it. The standard library's parser takes lone surrogates, and dies of depth."""

    media_type = "application/json"

    def parse(self, stream: IO[bytes], media_type: str | None = None, parser_context: Mapping[str, Any] | None = None) -> JSONValue:
        """The body's value. Raises InvalidRequest where it is not JSON, PayloadTooLarge over `MAX_JSON_BYTES`."""
        body = stream.read(MAX_JSON_BYTES + 1)
        if len(body) > MAX_JSON_BYTES:
            raise PayloadTooLarge(f"A JSON body has at most {MAX_JSON_BYTES} bytes.", limit=MAX_JSON_BYTES)
        try:
            value: JSONValue = orjson.loads(body)
        except orjson.JSONDecodeError as error:
            raise InvalidRequest(f"The body is not JSON: {error}.") from error
        return value
