"""Which parts Django is made of here. Everything an operator may choose comes from `core.config.Settings`."""

from __future__ import annotations

import secrets
from contextlib import suppress
from pathlib import Path
from urllib.parse import unquote, urlsplit

from django.urls import reverse_lazy
from django.utils.translation import gettext_lazy as _

from core.config import get_settings
from qa_project.panel import UNFOLD as UNFOLD

QA = get_settings()
BASE_DIR = Path(__file__).resolve().parent.parent
DATA_DIR = QA.data_dir.resolve()
DATA_DIR.mkdir(parents=True, exist_ok=True)


def _kept_secret_key() -> str:
    """The key in the data folder, made on first use and readable by the owner only.

    It appears whole or not at all: of several processes that start together, all use the first one's.
    """
    path = DATA_DIR / "secret_key"
    if not path.exists():
        mine = DATA_DIR / f"secret_key.{secrets.token_hex(8)}"
        mine.touch(mode=0o600)
        mine.write_text(secrets.token_urlsafe(50))
        with suppress(FileExistsError):
            path.hardlink_to(mine)
        mine.unlink()
    return path.read_text().strip()


def _sqlite_file() -> Path:
    """The database in the data folder, readable by the owner only: it holds what people asked. SQLite's side files follow its mode."""
    path = DATA_DIR / "wenlu.sqlite3"
    if not path.exists():
        path.touch(mode=0o600)
    return path


def _database(url: str) -> dict[str, object]:
    """Django's description of the database at `url`; SQLite in the data folder where it is empty."""
    if not url or url.startswith("sqlite:///"):
        return {
            "ENGINE": "qa_project.sqlite",
            "NAME": url.removeprefix("sqlite:///") or str(_sqlite_file()),
            "CONN_MAX_AGE": None,
            "OPTIONS": {
                "transaction_mode": "IMMEDIATE",
                "timeout": 30,
                "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA cache_size=-16000; PRAGMA mmap_size=268435456;",
            },
        }
    parts = urlsplit(url)
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": parts.path.lstrip("/"),
        "USER": unquote(parts.username or ""),
        "PASSWORD": unquote(parts.password or ""),
        "HOST": parts.hostname or "",
        "PORT": parts.port or 5432,
        "CONN_HEALTH_CHECKS": True,  # else each connection that a restarted PostgreSQL cut costs somebody an answer
        "OPTIONS": {"pool": {"min_size": 2, "max_size": QA.http_threads, "timeout": 10}},
    }


SECRET_KEY = QA.secret_key or _kept_secret_key()
SECRET_KEY_FALLBACKS = QA.old_secret_keys.split()
DEBUG = QA.debug
ALLOWED_HOSTS = [host.strip() for host in QA.allowed_hosts.split(",") if host.strip()]
CSRF_TRUSTED_ORIGINS = [origin.strip() for origin in QA.trusted_origins.split(",") if origin.strip()]

INSTALLED_APPS = [
    "unfold",
    "unfold.contrib.filters",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "channels",
    "rest_framework",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "apps.accounts",
    "apps.serving",
    "apps.retrieval",
    "apps.faq",
    "apps.dialogue",
]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]
ROOT_URLCONF = "qa_project.urls"
ASGI_APPLICATION = "qa_project.asgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "frontend" / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]
DATABASES = {"default": _database(QA.database_url)}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

AUTH_USER_MODEL = "accounts.User"
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in ("UserAttributeSimilarityValidator", "MinimumLengthValidator", "CommonPasswordValidator", "NumericPasswordValidator")
]
LOGIN_URL = reverse_lazy("admin:login")
LOGIN_REDIRECT_URL = reverse_lazy("admin:index")
SESSION_COOKIE_SAMESITE = "Lax"
SESSION_COOKIE_NAME = f"wenlu_session_{QA.port}"
CSRF_COOKIE_NAME = f"wenlu_csrf_{QA.port}"
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = QA.https_only
SECURE_HSTS_SECONDS = 31_536_000 if QA.https_only else 0
X_FRAME_OPTIONS = "SAMEORIGIN"
SECURE_CONTENT_TYPE_NOSNIFF = True

LANGUAGE_CODE = "zh-hans" if QA.language == "zh" else "en"
LANGUAGES = [("zh-hans", _("Chinese")), ("en", _("English"))]
LOCALE_PATHS = [BASE_DIR / "qa_project" / "locale", BASE_DIR / "qa_project" / "locale_unfold"]
TIME_ZONE = QA.time_zone
USE_TZ = True

STATIC_URL = "/static/"
STATIC_ROOT = DATA_DIR / "static"
STATICFILES_DIRS = [BASE_DIR / "frontend" / "static"]
DATA_UPLOAD_MAX_MEMORY_SIZE = QA.upload_max_mb * 2**20
FILE_UPLOAD_MAX_MEMORY_SIZE = 2**20
DATA_UPLOAD_MAX_NUMBER_FILES = 1000

CHANNEL_LAYERS = {
    "default": (
        {"BACKEND": "channels_redis.core.RedisChannelLayer", "CONFIG": {"hosts": [QA.redis_url]}}
        if QA.redis_url
        else {"BACKEND": "channels.layers.InMemoryChannelLayer"}
    )
}

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "apps.accounts.authentication.ApiKeyAuthentication",
        "apps.accounts.authentication.PanelSessionAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": [],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_CONTENT_NEGOTIATION_CLASS": "qa_project.negotiation.JSONOnly",
    "DEFAULT_PARSER_CLASSES": ["qa_project.parsers.BoundedJSON"],
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "EXCEPTION_HANDLER": "qa_project.errors.as_response",
    "UNAUTHENTICATED_USER": None,
    "COMPACT_JSON": True,
}
SPECTACULAR_SETTINGS = {
    "TITLE": "Wenlu",
    "DESCRIPTION": "Enterprise question answering: ask bots, curate what they know, see why they answered.",
    "VERSION": "1",
    "SERVE_INCLUDE_SCHEMA": False,
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "COMPONENT_SPLIT_REQUEST": True,
}
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"format": "%(asctime)s %(levelname)s %(name)s %(message)s"}},
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {"handlers": ["console"], "level": QA.log_level},
    "loggers": {"django.request": {"level": "ERROR"}, **{name: {"level": "WARNING"} for name in ("httpx", "faiss", "elastic_transport")}},
}
