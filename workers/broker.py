"""How Celery is set up here: broker, queues and reliability, the same in web processes and in workers.

A role has two queues, live before bulk, rather than Redis priorities within one: a worker that reads both takes live work
first all the same, but an operator can also see each queue's length and give imports workers of their own (`-Q`).
"""

from __future__ import annotations

from celery import Celery
from kombu import Exchange, Queue

from core.config import Settings
from core.types import Priority
from core.worker_registry import queue_name

TASK = "wenlu.infer"
ENCODER = "encoder"
RERANKER = "reranker"
TAGGER = "tagger"
GENERATOR = "generator"
SEARCH = "search"
POOL = "threads"
CONSUMER = "workers.consumer:PatientConsumer"  # by name: web processes need not load it


def queue_names(roles: tuple[str, ...]) -> list[str]:
    """Every queue of these roles in the order in which a worker empties them: all live ones first."""
    return [queue_name(role, priority) for priority in Priority for role in roles]


def make_app(settings: Settings) -> Celery:
    """The Celery application of this process; it connects on first use.

    Messages are acknowledged when a thread takes them: whoever waits asks again by itself, once, long before Redis would
    hand out a message that its worker never finished.
    """
    app = Celery("wenlu", broker=settings.redis_url, set_as_current=False)
    queues = queue_names(settings.worker_role_names)
    app.conf.update(
        task_serializer="json",
        accept_content=["json"],
        task_ignore_result=True,
        task_queues=[Queue(name, Exchange("wenlu", type="direct"), routing_key=name) for name in queues],  # type: ignore[no-untyped-call]
        task_default_queue=queues[0],
        task_create_missing_queues=True,
        worker_prefetch_multiplier=1,
        worker_concurrency=settings.worker_concurrency,
        worker_pool=POOL,
        worker_consumer=CONSUMER,
        worker_enable_remote_control=False,
        worker_enable_prefetch_count_reduction=False,
        worker_send_task_events=False,
        worker_hijack_root_logger=False,
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        broker_transport_options={
            "queue_order_strategy": "priority",
            "priority_steps": [0],
            "socket_connect_timeout": 2,
            "socket_timeout": 10,
            "socket_keepalive": True,
            "health_check_interval": 10,
        },
    )
    return app


def worker_arguments(settings: Settings) -> list[str]:
    """What comes after `celery -A qa_project.celery`. Workers need not know of each other: gossip and mingle only add
    messages, and ways to hang when Redis comes back."""
    return [
        "worker",
        f"--pool={POOL}",
        f"--concurrency={settings.worker_concurrency}",
        f"--queues={','.join(queue_names(settings.worker_role_names))}",
        "--without-gossip",
        "--without-mingle",
        "--without-heartbeat",
        f"--loglevel={settings.log_level}",
    ]
