"""In which encoding is a text file written? Byte order marks, UTF-8, UTF-16, Chinese encodings by how common their characters are."""

from __future__ import annotations

import codecs
import re

from charset_normalizer import from_bytes

SAMPLE_BYTES = 65_536
_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
# Lead bytes of the characters that are written most: level 1 of GB 2312 and of Big5, each about 98 % of running text.
_COMMON_LEADS = {"gb18030": range(0xB0, 0xD8), "big5hkscs": range(0xA4, 0xC7)}
_PUNCTUATION_LEADS = {"gb18030": range(0xA1, 0xA4), "big5hkscs": range(0xA1, 0xA4)}
MIN_COMMON = 0.75
# Latin, Greek, Cyrillic; punctuation; kana, Han, full-width forms; Hangul.
_WRITTEN = re.compile(r"[\t\n\r -~\u00a0-\u052f\u2010-\u2044\u3000-\u30ff\u4e00-\u9fff\uac00-\ud7a3\uff01-\uff5e]")
MIN_WRITTEN = 0.95
WESTERN_BONUS = 0.1
_PLAIN = b"<p>\\x41 +AOk- a-b &#20013;</p>"
_DECLARED = re.compile(rb"""(?:charset|encoding)\s*=\s*["']?\s*([A-Za-z0-9_-]{2,40})""")


def decode_text(data: bytes) -> tuple[str, str]:
    """The text and the name of its encoding. What cannot be decoded becomes U+FFFD; a cut last character is dropped."""
    for mark, encoding in _MARKS:
        if data.startswith(mark):
            return data[len(mark) :].decode(encoding, "replace"), encoding
    encoding = guess_encoding(data[:SAMPLE_BYTES])
    return data.decode(encoding, "replace"), encoding


def declared_encoding(data: bytes) -> str | None:
    """The encoding that a page or XML file names in its first 2,048 bytes, if texts can be in it. GB2312 means GB18030, as in browsers."""
    found = _DECLARED.search(data[:2048])
    return None if found is None else known_encoding(found[1].decode("ascii"))


def known_encoding(name: str) -> str | None:
    """Python's name of the encoding that a page or its server declares. None for one that Python does not know or that a page cannot be in.

    Every encoding in which a declaration can be read leaves ASCII as it is: UTF-16 does not (the HTML standard takes no page at its word
    there), and neither do Python's codecs that are none of characters, such as `hex`, `idna` and `unicode_escape`.
    """
    name = name.lower()
    name = {"gb2312": "gb18030", "gbk": "gb18030", "big5": "big5hkscs", "iso-8859-1": "cp1252"}.get(name, name)
    try:
        return codecs.lookup(name).name if _PLAIN.decode(name, "replace") == _PLAIN.decode("ascii") else None
    except (LookupError, ValueError):  # ValueError: what codecs such as `idna` say of a text, and a name with a null in it
        return None


def guess_encoding(sample: bytes) -> str:
    """The most likely encoding of a sample of a file without a byte order mark."""
    if _decodes(sample, "utf-8"):
        return "utf-8"
    if b"\x00" in sample:
        return _wide(sample) or "utf-8"
    scores = {encoding: _common_share(sample, encoding) for encoding in _COMMON_LEADS if _decodes(sample, encoding)}
    best = max(scores, key=lambda encoding: scores[encoding], default=None)
    if best is not None and scores[best] >= MIN_COMMON:
        return best
    return _other_encoding(sample)


def _other_encoding(sample: bytes) -> str:
    """What charset-normalizer finds likely; Western European where that is nearly as likely as a rarer encoding."""
    matches = list(from_bytes(sample))
    western = next((match for match in matches if match.encoding == "cp1252"), None)
    if western is not None and western.chaos <= matches[0].chaos + WESTERN_BONUS:
        return "cp1252"
    return matches[0].encoding if matches else "utf-8"


def _decodes(sample: bytes, encoding: str) -> bool:
    """Whether a sample, which may end within a character, is valid."""
    try:
        codecs.getincrementaldecoder(encoding)().decode(sample, final=False)
    except UnicodeDecodeError:
        return False
    return True


def _wide(sample: bytes) -> str | None:
    """UTF-16 in the byte order that gives mostly characters that people write, or None."""
    even = sample[: len(sample) // 2 * 2]
    shares = {encoding: _written_share(even.decode(encoding, "replace")) for encoding in ("utf-16-le", "utf-16-be")}
    best = max(shares, key=lambda encoding: shares[encoding])
    return best if shares[best] >= MIN_WRITTEN else None


def _written_share(text: str) -> float:
    return len(_WRITTEN.findall(text)) / max(1, len(text))


def _common_share(sample: bytes, encoding: str) -> float:
    """The share of two-byte characters that are common ones, 0 to 1; 0 where there are fewer than two."""
    common = total = position = 0
    while position < len(sample) - 1:
        lead = sample[position]
        if lead < 0x81:
            position += 1
            continue
        if lead not in _PUNCTUATION_LEADS[encoding]:
            total += 1
            common += lead in _COMMON_LEADS[encoding] and _common_trail(sample[position + 1], encoding)
        position += 2
    return common / total if total >= 2 else 0.0


def _common_trail(trail: int, encoding: str) -> bool:
    return trail >= 0xA1 or (encoding == "big5hkscs" and 0x40 <= trail <= 0x7E)
