"""In which other forms can the numbers and dates of a question be written? 十五天 and 15天, 2024年3月5日 and 2024-03-05."""

from __future__ import annotations

import re

_DIGITS = "零一二三四五六七八九"
_VALUES = {char: value for value, char in enumerate(_DIGITS)} | {"〇": 0, "两": 2}
_TENS = {"十": 10, "百": 100, "千": 1000}
_MYRIADS = {"万": 10_000, "亿": 100_000_000}
_NUMERAL = "零〇一二两三四五六七八九十百千万亿"
# What is counted; without one of these after it, 一 and 三 are more often parts of words than numbers.
_COUNTED = "年|个月|月|日|号|天|周|星期|小时|分钟|秒|岁|元|块|人|次|个|份|张|条|项|款|级|倍|折|米|公里|千克|公斤|克|层|楼|页|章|节|期|届|场"
_TIME = ("年", "天", "周", "日", "号", "岁", "元", "小时")
MAX_NUMERAL = 20  # characters: people write none longer, and of thousands Python makes no text
_DIGIT = re.compile(rf"[\d{_NUMERAL}]")
_CHINESE = re.compile(rf"(?<![第哪这那每某同另任{_NUMERAL}])([{_NUMERAL}]+)(?=(?:多|余|几)?(?:{_COUNTED})|%)")
_ARABIC = re.compile(rf"(?<![\d.,])(\d{{1,9}})(?=(?:多|余|几)?(?:{_COUNTED}))")
_DATE = re.compile(r"(?<!\d)(\d{4})(?:年|[-/.])(\d{1,2})(?:月|[-/.])(\d{1,2})(?!\d)[日号]?")
_CHINESE_DATE = re.compile(r"([零〇一二三四五六七八九]{4})年(?:([一二三四五六七八九十]{1,2})月)?(?:([一二三四五六七八九十]{1,3})[日号])?")


def number_forms(text: str) -> list[str]:
    """The text with its numbers in figures, with its dates in full, and with its numbers in characters; forms that equal it are left out."""
    if not _DIGIT.search(text):
        return []
    figures = in_figures(text)
    forms = (figures, _DATE.sub(_full_date, figures), _ARABIC.sub(_in_characters, _DATE.sub(_plain_date, text)))
    return [form for form in dict.fromkeys(forms) if form != text]


def in_figures(text: str) -> str:
    """The text with its numbers and dates in figures: 十五天 as 15天, 2024-03-05 as 2024年3月5日."""
    return _DATE.sub(_plain_date, _CHINESE.sub(_in_figures, _CHINESE_DATE.sub(_date_in_figures, text)))


def value_of(numeral: str) -> int | None:
    """The value of 十五, 一百零三, 两千 or 二〇二四; None for what is no number, such as 十百, or longer than `MAX_NUMERAL`."""
    if len(numeral) > MAX_NUMERAL:
        return None
    if not any(char in _TENS or char in _MYRIADS for char in numeral):
        return int("".join(str(_VALUES[char]) for char in numeral)) if len(numeral) > 1 or numeral in _VALUES else None
    total = part = 0
    digit: int | None = None
    last_unit = 10_000
    for char in numeral:
        if char in _VALUES:
            digit = _VALUES[char] or None
        elif char in _TENS:
            if _TENS[char] >= last_unit:
                return None
            part, last_unit, digit = part + (1 if digit is None else digit) * _TENS[char], _TENS[char], None
        else:
            if part + (digit or 0) == 0:
                return None
            total, part, digit, last_unit = (total + part + (digit or 0)) * _MYRIADS[char], 0, None, 10_000
    return total + part + (digit or 0)


def characters_of(value: int) -> str:
    """A number from 0 to 99,999,999 as people write it: 15 is 十五, 103 一百零三."""
    if value >= 10_000:
        rest = value % 10_000
        low = ("" if rest >= 1000 else _DIGITS[0]) + characters_of(rest) if rest else ""
        return f"{characters_of(value // 10_000)}万{low}"
    parts, gap = "", False
    for unit, name in ((1000, "千"), (100, "百"), (10, "十"), (1, "")):
        digit = value // unit % 10
        if digit:
            parts += (_DIGITS[0] if gap and parts else "") + _DIGITS[digit] + name
        gap = not digit
    return parts.removeprefix("一") if 10 <= value < 20 else parts or _DIGITS[0]


def _in_figures(found: re.Match[str]) -> str:
    value = value_of(found[1])
    is_article = found[1] == "一" and not found.string.startswith(_TIME, found.end())
    return found[0] if value is None or is_article else str(value)


def _in_characters(found: re.Match[str]) -> str:
    value = int(found[1])
    return found[0] if found[1].startswith("0") or 1000 <= value <= 2999 or value >= 100_000_000 else characters_of(value)


def _date_in_figures(found: re.Match[str]) -> str:
    year, month, day = (value_of(part) if part else None for part in found.groups())
    return f"{year}年" + (f"{month}月" if month else "") + (f"{day}日" if day else "")


def _plain_date(found: re.Match[str]) -> str:
    return f"{found[1]}年{int(found[2])}月{int(found[3])}日"


def _full_date(found: re.Match[str]) -> str:
    return f"{found[1]}-{int(found[2]):02}-{int(found[3]):02}"
