"""Do messages reach one queue each, and does a worker empty the live ones first?"""

from __future__ import annotations

from core.config import Settings
from workers.broker import make_app, queue_names, worker_arguments

SETTINGS = Settings(redis_url="redis://127.0.0.1:1/0", worker_roles="encoder, reranker", worker_concurrency=7)


def test_live_queues_of_all_roles_come_before_any_import() -> None:
    assert queue_names(SETTINGS.worker_role_names) == ["encoder.live", "reranker.live", "encoder.bulk", "reranker.bulk"]


def test_a_worker_reads_the_queues_in_this_order_and_by_priority() -> None:
    app = make_app(SETTINGS)
    assert list(app.amqp.queues) == queue_names(SETTINGS.worker_role_names)
    assert app.conf.broker_transport_options["queue_order_strategy"] == "priority"


def test_each_queue_has_a_route_of_its_own() -> None:
    routes = [(queue.exchange.name, queue.routing_key) for queue in make_app(SETTINGS).amqp.queues.values()]
    assert len(set(routes)) == 4


def test_only_json_is_read_or_sent() -> None:
    conf = make_app(SETTINGS).conf
    assert (conf.accept_content, conf.task_serializer, conf.task_ignore_result) == (["json"], "json", True)


def test_a_worker_is_started_with_threads_that_prefetch_one_message_each() -> None:
    assert {"--pool=threads", "--concurrency=7"} <= set(worker_arguments(SETTINGS))
    assert make_app(SETTINGS).conf.worker_prefetch_multiplier == 1
