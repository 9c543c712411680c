"""What is Wenlu made of, and who needs whom? The commands here are those of deploy/compose too: a test holds the two together."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from deploy.stack.addresses import Addresses
from deploy.stack.checks import http_ok, worker_ok
from deploy.stack.elasticsearch import elasticsearch_process, elasticsearch_url
from deploy.stack.postgres import database_url, postgres_process
from deploy.stack.programs import resolved
from deploy.stack.redis import redis_process, redis_url
from deploy.stack.supervisor import Process

Command = tuple[str, ...]

POSTGRES: Command = ("postgres", "-c", "max_connections=200")
REDIS: Command = ("redis-server", "--save", "", "--appendonly", "no", "--maxmemory-policy", "noeviction")
ELASTICSEARCH: Command = ("elasticsearch", "-Ediscovery.type=single-node", "-Expack.security.enabled=false")
PREPARE: Command = ("python", "manage.py", "prepare")
WEB: Command = ("python", "manage.py", "serve", "--no-prepare")
WORKER: Command = (
    "celery",
    "-A",
    "qa_project.celery",
    "worker",
    "--pool=threads",
    "--without-gossip",
    "--without-mingle",
    "--without-heartbeat",
    "--loglevel=INFO",
)

WEBS = ("web-1", "web-2")
WORKERS = ("worker-1", "worker-2")
NEEDS: Mapping[str, Command] = {
    "prepare": ("postgres", "redis"),
    **dict.fromkeys(WORKERS, ("redis", "prepare")),
    **dict.fromkeys(WEBS, ("postgres", "redis", "prepare", *WORKERS)),
}
REMOTE_MODELS: Mapping[str, str] = {
    "QA_ENCODER_BACKEND": "workers.remote.RemoteEncoder",
    "QA_RERANKER_BACKEND": "workers.remote.RemoteReranker",
    "QA_TAGGER_BACKEND": "workers.remote.RemoteTagger",
    "QA_GENERATOR_BACKEND": "workers.remote.RemoteGenerator",
    "QA_NEAREST_SEARCH": "workers.remote_search.RemoteNearest",
}
LOCAL_MODELS: Mapping[str, str] = {
    "QA_ENCODER_BACKEND": "workers.local.LocalEncoder",
    "QA_RERANKER_BACKEND": "workers.reranker.LocalReranker",
    "QA_TAGGER_BACKEND": "workers.tagger.LocalTagger",
    "QA_GENERATOR_BACKEND": "workers.local.LocalGenerator",
    "QA_NEAREST_SEARCH": "apps.retrieval.search.nearest.LocalNearest",
}

ELASTIC_INDEXES = {"QA_LEXICAL_INDEX": "apps.retrieval.indexes.elastic_lexical.ElasticLexicalIndex"}


def worker_command(name: str) -> Command:
    """A worker's command: the same but for the name in its log."""
    return (*WORKER, f"--hostname={name}@%h")


def stack_processes(data: Path, addresses: Addresses, *, checkout: Path, port: int) -> tuple[list[Process], dict[str, str]]:
    """Every process of the stack, and the settings that `manage.py` needs to work with it. Makes the PostgreSQL cluster on first use."""
    database = postgres_process(POSTGRES, data / "postgres", port=addresses.postgres, password=addresses.password)
    broker = redis_process(REDIS, data / "redis", port=addresses.redis, password=addresses.password)
    search = elasticsearch_process(ELASTICSEARCH, data / "elasticsearch", port=addresses.elasticsearch, checkout=checkout)
    settings = {
        "QA_DATA_DIR": str(data),
        "QA_PORT": str(port),
        "QA_DATABASE_URL": database_url(addresses.postgres, addresses.password),
        "QA_REDIS_URL": redis_url(addresses.redis, addresses.password),
        **{name: os.environ.get(name, backend) for name, backend in REMOTE_MODELS.items()},
        **(_elastic(addresses) if search else {}),
    }
    ours = [
        _prepare(settings),
        *(_worker(name, settings) for name in WORKERS),
        *(_web(name, settings, port + place, search) for place, name in enumerate(WEBS)),
    ]
    return [database, broker, *([search] if search else []), *ours], settings


def _elastic(addresses: Addresses) -> dict[str, str]:
    """Words are searched in Elasticsearch, unless the environment names another index."""
    indexes = {name: os.environ.get(name, path) for name, path in ELASTIC_INDEXES.items()}
    return {"QA_ELASTICSEARCH_URL": elasticsearch_url(addresses.elasticsearch), **indexes}


def _prepare(settings: Mapping[str, str]) -> Process:
    """The demo is embedded in this process: the workers wait for the model files that it brings."""
    environment = {**settings, **LOCAL_MODELS}
    return Process(name="prepare", command=resolved(PREPARE), environment=environment, needs=NEEDS["prepare"], once=True)


def _worker(name: str, settings: Mapping[str, str]) -> Process:
    url = settings["QA_REDIS_URL"]
    return Process(
        name=name,
        command=resolved(worker_command(name)),
        environment={**settings, **_share_of_cores(len(WORKERS))},
        needs=NEEDS[name],
        ready=lambda pid: worker_ok(url, pid),
        grace_s=4,
    )


def _web(name: str, settings: Mapping[str, str], port: int, search: Process | None) -> Process:
    """A web process. The first one comes last: once `QA_PORT` answers, everything does."""
    servers = (search.name,) if search else ()
    return Process(
        name=name,
        command=resolved(WEB),
        environment={**settings, **_share_of_cores(len(WORKERS)), "QA_PORT": str(port)},
        needs=NEEDS[name],
        after=(*servers, *(WEBS[1:] if name == WEBS[0] else ())),
        ready=lambda pid: http_ok(port, "/readyz"),
        grace_s=6,
    )


def _share_of_cores(processes: int) -> dict[str, str]:
    """Threads of each process, and none that spins: two spinning pools on two cores made each forward pass ten times slower."""
    threads = str(max(1, (os.cpu_count() or 1) // processes))
    return {"QA_MODEL_THREADS": threads, "OMP_NUM_THREADS": threads, "OMP_WAIT_POLICY": "PASSIVE"}
