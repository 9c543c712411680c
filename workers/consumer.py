"""How soon does a worker find a broker that was away? Within two seconds: Celery's own pauses grow to half a minute."""

from __future__ import annotations

from functools import partial
from typing import Any

from celery.worker.consumer import Consumer


class PatientConsumer(Consumer):  # type: ignore[misc] # Celery has no types
    """Tries again every half a second at first, every two seconds later."""

    def ensure_connected(self, conn: Any) -> Any:
        """The connection, once there is one."""
        conn.ensure_connection = partial(conn.ensure_connection, interval_start=0.5, interval_step=0.5, interval_max=2)
        return super().ensure_connected(conn)
