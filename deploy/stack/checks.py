"""Does it answer? Ready checks that need nothing but the standard library."""

from __future__ import annotations

import http.client

TIMEOUT_S = 2.0


def http_ok(host: str, port: int, path: str) -> bool:
    """Whether `GET path` gives 200 within two seconds. No proxy of the environment comes between."""
    connection = http.client.HTTPConnection(host, port, timeout=TIMEOUT_S)
    try:
        connection.request("GET", path)
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
