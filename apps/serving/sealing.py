"""How are the keys of other servers kept? Sealed with a key that is derived from the secret key: the database alone opens nothing."""

from __future__ import annotations

import base64
from functools import cache

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from django.conf import settings

from core.errors import ModelUnavailable

_PURPOSE = b"wenlu keys of deployments v1"


def seal(text: str) -> str:
    """The text sealed with the present secret key (Fernet: AES-128-CBC and HMAC-SHA256, the key by HKDF, RFC 5869)."""
    return _fernet().encrypt(text.encode()).decode()


def unseal(sealed: str) -> str:
    """The text. Raises ModelUnavailable where neither the present secret key nor an old one opens it."""
    try:
        return _fernet().decrypt(sealed).decode()
    except InvalidToken as error:
        raise ModelUnavailable(
            "The key of this deployment was sealed with another secret key: enter it again, or add the secret key of before to QA_OLD_SECRET_KEYS."
        ) from error


def reseal(sealed: str) -> str:
    """The same text, sealed with the present secret key. Raises as `unseal`."""
    return seal(unseal(sealed))


def _fernet() -> MultiFernet:
    return MultiFernet([_derived(secret) for secret in (settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS)])


@cache
def _derived(secret: str) -> Fernet:
    key = HKDF(algorithm=SHA256(), length=32, salt=None, info=_PURPOSE).derive(secret.encode())
    return Fernet(base64.urlsafe_b64encode(key))
