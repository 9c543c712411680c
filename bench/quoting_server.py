"""A model that writes what its sources say, word by word: an OpenAI-compatible server for measurements, answers of which are supported."""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

_SOURCE = re.compile(r"<source \d+>\n[^\n]*\n(.*?)\n</source>", re.DOTALL)
_WORD = re.compile(r"\S+\s*", re.DOTALL)


def quote(prompt: str, most_chars: int) -> list[str]:
    """The words of the sources, from the first one on; Chinese comes by pairs of characters."""
    text = " ".join(" ".join(found.split()) for found in _SOURCE.findall(prompt))[:most_chars]
    return [part for word in _WORD.findall(text) for part in ([word] if word.isascii() else re.findall(r"..?", word))]


@contextmanager
def quoting_server(*, word_s: float, most_chars: int = 500) -> Iterator[str]:
    """Runs while the block does; gives its base address. A word comes every `word_s` seconds."""

    class Exchange(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            """Streams the quotation; whoever leaves ends it."""
            asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
            self.send_response(200)
            self.send_header("content-type", "text/event-stream")
            self.end_headers()
            with suppress(OSError):
                for word in quote(asked["messages"][-1]["content"], most_chars):
                    self._say({"choices": [{"index": 0, "delta": {"content": word}, "finish_reason": None}]})
                    time.sleep(word_s)
                self._say({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
                self.wfile.write(b"data: [DONE]\n\n")

        def _say(self, event: object) -> None:
            self.wfile.write(f"data: {json.dumps(event)}\n\n".encode())
            self.wfile.flush()

        def log_message(self, format: str, *args: object) -> None:
            """Says nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Exchange)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
