"""Every setting, with its type, its default and one sentence of help: read once from `QA_*` environment variables."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationError, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from core.errors import ConfigurationError
from core.net import parse_private_hosts

PREFIX = "QA_"
WORKER_ROLES = ("encoder", "reranker", "tagger", "generator", "search")


class Settings(BaseSettings):
    """What an operator decides before the start. What curators change while it runs is data, not a setting."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, extra="forbid")

    # Where it lives
    data_dir: Path = Field(Path("var"), description="Folder for everything that a start creates: database, indexes, models, keys.")
    host: str = Field("127.0.0.1", description="Address the web server listens on.")
    port: int = Field(8000, ge=1, le=65535, description="Port the web server listens on.")
    database_url: str = Field("", repr=False, description="postgres://user:password@host:port/name; empty is SQLite in the data folder.")
    redis_url: str = Field(
        "", repr=False, description="redis://host:port/db for several web processes and workers; empty keeps everything in this process."
    )
    elasticsearch_url: str = Field(
        "",
        repr=False,
        description="http(s)://[user:password@]host:port of Elasticsearch 8, several nodes separated by commas; used where QA_LEXICAL_INDEX or QA_VECTOR_INDEX names its classes.",
    )
    elasticsearch_api_key: str = Field(
        "", repr=False, description="API key for Elasticsearch (encoded form), instead of user and password."
    )
    elasticsearch_ca: Path | None = Field(None, description="File of the certificate authority that signed Elasticsearch's certificate.")
    elasticsearch_prefix: str = Field(
        "wenlu",
        pattern=r"^[a-z][a-z0-9_]{0,39}$",
        description="What the names of its Elasticsearch indexes begin with: installations that share a cluster need different ones.",
    )
    elasticsearch_timeout_s: float = Field(
        2.0, gt=0, le=60, description="Longest wait of a search for Elasticsearch, before it is answered without."
    )

    # Web
    secret_key: str = Field("", repr=False, description="Django's secret key; empty generates one and keeps it in the data folder.")
    old_secret_keys: str = Field(
        "", repr=False, description="Secret keys of before, separated by blanks: what they signed or sealed can still be read."
    )
    debug: bool = Field(False, description="Django's debug pages. Never in production.")
    allowed_hosts: str = Field("*", description="Host names to serve, separated by commas.")
    trusted_origins: str = Field(
        "", description="Origins (https://host) that may post forms and open sockets, separated by commas; the server's own always may."
    )
    https_only: bool = Field(
        False,
        description="People come over HTTPS alone (a proxy ends TLS): cookies are marked Secure, and browsers are told to stay there.",
    )
    language: Literal["zh", "en"] = Field("zh", description="Language of pages whose reader states none.")
    time_zone: str = Field("Asia/Shanghai", description="Time zone of dates on pages and of validity dates.")
    http_threads: int = Field(40, ge=1, le=1000, description="Threads that answer HTTP requests and run turns in one web process.")
    match_threads: int = Field(
        0,
        ge=0,
        description="Questions that are matched, and documents' searches that run, at the same time in one web process; "
        "0 takes one less than the cores for the former, at least one, and one more for the latter.",
    )
    share_core: Literal["auto", "on", "off"] = Field(
        "auto",
        description="Whether the threads that answer people share one core and models have the others; auto does so where the encoder is in "
        "the web process.",
    )
    upload_max_mb: int = Field(50, ge=1, description="Largest upload, in MiB.")
    max_question_chars: int = Field(10_000, ge=1, description="Longest question, in characters.")
    max_live_turns_per_socket: int = Field(4, ge=1, description="Turns that one socket may have running at a time.")
    turn_deadline_s: float = Field(60.0, gt=0, description="Longest time from a question to the end of its turn.")
    turn_log_keep_s: float = Field(600.0, gt=0, description="How long the events of a finished turn can be replayed from the turn log.")
    ask_rate_per_minute: int = Field(0, ge=0, description="Questions a minute that one caller (key, or address) may ask; 0 sets no limit.")
    remember_s: float = Field(
        1.0,
        ge=0,
        le=60,
        description="How long a process may go on with a key or a bot as it read it: a revoked key works that long at most.",
    )

    # Models
    model_dir: Path | None = Field(None, description="Folder of materialised models; empty is `models` in the data folder.")
    encoder: str = Field("multilingual-e5-small", description="Encoder: a known name, a Hugging Face id, or a folder.")
    encoder_precision: Literal["auto", "fp32", "bf16", "fp16", "int8"] = Field(
        "auto", description="Number format of the encoder; auto takes bf16 where the hardware has it, else fp32."
    )
    encoder_query_prefix: str | None = Field(None, description="Text put before questions; empty takes what the model's own files say.")
    encoder_passage_prefix: str | None = Field(None, description="Text put before passages; empty takes what the model's own files say.")
    generator: str = Field(
        "smollm2-135m-instruct",
        description="Generator: a known name, a Hugging Face id, or a folder; empty is none, and answers are given as stored.",
    )
    generator_precision: Literal["auto", "fp32", "bf16", "fp16"] = Field(
        "auto", description="Number format of the generator; auto takes bf16 where the hardware has it, else fp32."
    )
    generator_max_streams: int = Field(16, ge=1, le=256, description="Texts that the generator writes at a time.")
    generator_max_waiting: int = Field(
        64, ge=1, description="Requests that may wait for the generator before callers are told to come back later."
    )
    generator_cache_mb: int = Field(
        1024, ge=16, description="Most memory for what the generator remembers of its texts (keys and values), in MiB."
    )
    answer_deadline_s: float = Field(
        20.0,
        gt=0,
        description="Longest time that a generator may write on an answer out of documents, before its sentences go out as they are.",
    )
    answer_max_tokens: int = Field(300, ge=16, description="Longest answer that a generator writes out of documents, in tokens.")
    prompt_max_tokens: int = Field(1500, ge=100, description="Most tokens of documents in a prompt.")
    prompt_context_tokens: int = Field(
        150,
        ge=0,
        description="Most tokens of a prompt that stand around the passages found, in their sections; 0 gives a generator the passages alone.",
    )
    support_check: Literal["wording", "meaning"] = Field(
        "wording",
        description="When a written sentence counts as supported: `wording` where it nearly has a document's words; `meaning` also where its "
        "numbers, names and denials are a document's and the generator, asked again, says that this says the same: for one that follows such orders well.",
    )
    reranker: str = Field(
        "", description="Cross-encoder that reranks: a Hugging Face id or a folder; empty compares the encoder's token vectors instead."
    )
    tagger: str = Field("", description="Tagger of names and places: a Hugging Face id or a folder; empty is none.")
    model_precision: Literal["auto", "fp32", "bf16", "fp16"] = Field(
        "auto", description="Number format of the reranker and the tagger; auto takes bf16 where the hardware has it, else fp32."
    )
    device: str = Field("auto", description="auto, cpu, cuda or cuda:N.")
    model_threads: int = Field(0, ge=0, description="Threads of one forward pass on a CPU; 0 takes one less than the cores, at least one.")
    batch_max_tokens: int = Field(8192, ge=16, description="Largest batch of the encoder, in padded tokens (longest text times texts).")
    batch_max_waiting: int = Field(4096, ge=1, description="Texts that may wait for a model before callers are told to come back later.")
    batch_linger_ms: float = Field(
        2.0, ge=0, le=100, description="Longest time a batch waits for company, and only if the last batch had some."
    )
    embedding_cache_entries: int = Field(20_000, ge=0, description="Questions whose vectors are kept in memory.")

    # Inference workers
    remote_timeout_s: float = Field(10.0, gt=0, description="Longest wait for inference workers while a person waits.")
    remote_bulk_timeout_s: float = Field(300.0, gt=0, description="Longest wait of one piece of an import for inference workers.")
    remote_max_waiting: int = Field(
        512,
        ge=1,
        description="Requests of one process that may wait for inference workers, people's and imports' each, before callers are told to come back later.",
    )
    worker_concurrency: int = Field(
        32, ge=1, le=1000, description="Requests that one inference worker takes at a time; what it takes shares forward passes."
    )
    worker_roles: str = Field(
        "",
        description="What an inference worker serves (encoder, reranker, tagger, generator, search), separated by commas; empty serves each model that is named, and search where QA_NEAREST_SEARCH asks for it.",
    )

    # Other servers
    private_hosts: str = Field(
        "",
        description="Hosts, addresses and networks of your own that this server may fetch from and generate at, separated by commas; all others must be public.",
    )

    # Web sites
    site_user_agent: str = Field(
        "wenlu",
        min_length=1,
        max_length=200,
        pattern=r"^[ -~]+$",
        description="Name by which pages are asked for; robots.txt may address it.",
    )
    site_delay_s: float = Field(
        1.0, ge=0, le=60, description="Least time between two requests to a site; a longer Crawl-delay of its robots.txt counts, up to 30."
    )
    site_page_s: float = Field(30.0, ge=1, le=600, description="Longest time for one page of a site.")
    site_page_mb: int = Field(50, ge=1, le=500, description="Largest page, file or sitemap that is taken from a site, unpacked, in MiB.")
    site_max_pages: int = Field(10_000, ge=1, le=1_000_000, description="Pages that are taken from one sitemap, at most.")

    # Which class stands behind each seam
    encoder_backend: str = Field("workers.local.LocalEncoder", description="Dotted path of the Encoder.")
    generator_backend: str = Field("workers.local.LocalGenerator", description="Dotted path of the Generator.")
    reranker_backend: str = Field("workers.reranker.LocalReranker", description="Dotted path of the Reranker.")
    tagger_backend: str = Field("workers.tagger.LocalTagger", description="Dotted path of the Tagger.")
    nearest_search: str = Field(
        "apps.retrieval.search.nearest.LocalNearest",
        description="Dotted path of the NearestSearch, which encodes a question and searches vectors: in this process, or workers.remote_search.RemoteNearest in one hop beside the encoder.",
    )
    worker_vectors: str = Field(
        "qa_project.worker_vectors.followed_vectors",
        description="Dotted path of what makes the VectorSearcher of an inference worker that serves the role search.",
    )
    turn_log: str = Field("", description="Dotted path of the TurnLog; empty is Redis Streams where redis_url is set, else memory.")
    lexical_index: str = Field("apps.retrieval.indexes.lexical.EmbeddedLexicalIndex", description="Dotted path of the LexicalIndex.")
    vector_index: str = Field("apps.retrieval.indexes.faiss_index.FaissIndex", description="Dotted path of the VectorIndex.")
    skills: str = Field(
        "apps.faq.skill.FAQSkill,apps.retrieval.skill.PassageSkill",
        description="Dotted paths of the skills in order of preference, separated by commas.",
    )

    # Indexes
    index_poll_ms: int = Field(300, ge=10, description="How often a process looks for changes that its indexes must follow.")
    index_check_minutes: float = Field(
        30.0, ge=0, description="How often a process compares its indexes with the database and mends what differs; 0 is never."
    )
    vector_exact_max: int = Field(
        20_000, ge=0, description="Vectors of one knowledge base up to which search is exact; more use a graph index (HNSW)."
    )
    vector_clusters_min: int = Field(
        100_000, ge=0, description="Vectors of one knowledge base beyond which clusters with short codes (IVF-PQ) replace the graph."
    )

    # Jobs in the background
    job_threads: int = Field(
        2,
        ge=0,
        le=64,
        description="Jobs (such as reading documents) that one process works on at a time, each of another knowledge base; 0 leaves them to others.",
    )
    jobs_max_mb: int = Field(
        4096,
        ge=1,
        description="Room for uploaded files that wait to be read, in MiB; one knowledge base may take half of what others leave of it.",
    )

    # Files
    parse_processes: int = Field(2, ge=1, le=64, description="Processes that read files for one process of the server, at most.")
    parse_max_file_mb: int = Field(100, ge=1, description="Largest file that is read, in MiB.")
    parse_memory_mb: int = Field(1024, ge=256, description="Memory (address space) that reading one file may take, in MiB.")
    parse_seconds: float = Field(60.0, ge=1, description="Processor time that reading one file may take; by the clock, half as much again.")
    ocr_pages: int = Field(
        300,
        ge=0,
        description="Scanned pages of one file that are recognised at most, where the `ocr` extra is installed; 0 recognises none.",
    )
    ocr_seconds: float = Field(900.0, ge=1, description="How long recognising the scanned pages of one file may go on, by the clock.")

    # Logs
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field("INFO", description="Least important level that is logged.")

    @model_validator(mode="after")
    def _refuse_contradictions(self) -> Settings:
        if "redis" in self.turn_log_path.lower() and not self.redis_url:
            raise ValueError("QA_TURN_LOG names the Redis turn log, but QA_REDIS_URL is empty: set both or neither.")
        for name in ("encoder_backend", "generator_backend", "reranker_backend", "tagger_backend", "nearest_search"):
            if is_remote(getattr(self, name)) and not self.redis_url:
                raise ValueError(f"{PREFIX}{name.upper()} asks for inference workers, but QA_REDIS_URL is empty: set both or neither.")
        if unknown := [role for role in self.worker_role_names if role not in WORKER_ROLES]:
            raise ValueError(f"QA_WORKER_ROLES names {', '.join(unknown)}; a worker serves {', '.join(WORKER_ROLES)}.")
        if self.searches_remotely and not is_remote(self.encoder_backend):
            raise ValueError("QA_NEAREST_SEARCH searches beside the encoder of inference workers: QA_ENCODER_BACKEND must be remote too.")
        for name, path in (("QA_LEXICAL_INDEX", self.lexical_index), ("QA_VECTOR_INDEX", self.vector_index)):
            if "indexes.elastic" in path and not self.elasticsearch_url:
                raise ValueError(f"{name} asks for Elasticsearch, but QA_ELASTICSEARCH_URL is empty: set both or neither.")
        if self.elasticsearch_ca is not None and not self.elasticsearch_ca.is_file():
            raise ValueError(f"QA_ELASTICSEARCH_CA names {self.elasticsearch_ca}, which is no file.")
        if self.database_url and not self.database_url.startswith(("postgres://", "postgresql://", "sqlite:///")):
            raise ValueError("QA_DATABASE_URL must begin with postgres:// or sqlite:///.")
        try:
            parse_private_hosts(self.private_hosts)
        except ValueError as error:
            raise ValueError(f"QA_PRIVATE_HOSTS: {error}.") from error
        return self

    @property
    def turn_log_path(self) -> str:
        """Dotted path of the turn log in force."""
        return self.turn_log or ("apps.dialogue.redis_turnlog.RedisTurnLog" if self.redis_url else "apps.dialogue.turnlog.MemoryTurnLog")

    @property
    def models_folder(self) -> Path:
        """Where materialised models lie."""
        return (self.model_dir or self.data_dir / "models").resolve()

    @property
    def worker_role_names(self) -> tuple[str, ...]:
        """The roles that an inference worker serves."""
        named = tuple(role.strip() for role in self.worker_roles.split(",") if role.strip())
        models = ("encoder", "reranker", *(("tagger",) if self.tagger else ()), *(("generator",) if self.generator else ()))
        return named or (*models, *(("search",) if self.searches_remotely else ()))

    @property
    def searches_remotely(self) -> bool:
        """Whether vectors are searched by inference workers, so that this process keeps none."""
        return is_remote(self.nearest_search)

    @property
    def gathers_threads(self) -> bool:
        """Whether the threads that answer people share a core: by itself where the encoder is in this process."""
        return self.share_core == "on" or (self.share_core == "auto" and not is_remote(self.encoder_backend))

    @property
    def skill_paths(self) -> tuple[str, ...]:
        """The skills' dotted paths in order of preference."""
        return tuple(path.strip() for path in self.skills.split(",") if path.strip())


def is_remote(path: str) -> bool:
    """Whether the backend of this dotted path asks inference workers."""
    return "workers.remote" in path


def unknown_names(environ: dict[str, str]) -> list[str]:
    """The `QA_*` variables that no setting reads: nearly always a typing error."""
    known = {f"{PREFIX}{name}".upper() for name in Settings.model_fields}
    return sorted(name for name in environ if name.startswith(PREFIX) and name not in known)


@cache
def get_settings() -> Settings:
    """The settings of this process. Raises ConfigurationError with one sentence for each thing wrong."""
    unknown = unknown_names(dict(os.environ))
    if unknown:
        raise ConfigurationError(f"Unknown settings: {', '.join(unknown)}. See docs/settings.md for the names that exist.")
    try:
        return Settings()
    except ValidationError as error:
        problems = "; ".join(f"{PREFIX}{'_'.join(map(str, problem['loc'])).upper()}: {problem['msg']}" for problem in error.errors())
        raise ConfigurationError(f"Settings cannot be used: {problems}") from error
