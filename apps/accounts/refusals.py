"""How a refusal reads in the reader's language. Services speak English, for programs and logs; the panel speaks to people.

Each sentence below is a service's own, its changing parts named; it is found by comparing, and what is not found stays as it is.
"""

from __future__ import annotations

import re
from functools import cache

from django.utils.translation import gettext, gettext_noop

_SENTENCES = (
    gettext_noop("An FAQ is an object with `questions` and `answer`."),
    gettext_noop("`valid_from` must be before `valid_until`."),
    gettext_noop("`id` must be 1 to 120 visible characters without blanks, slashes, ? or #."),
    gettext_noop("At least one question is needed, in `questions` (or `question`)."),
    gettext_noop("Every question must be text."),
    gettext_noop("A question has %(count)s characters; at most %(most)s are allowed."),
    gettext_noop("%(count)s questions; at most %(most)s phrasings are allowed."),
    gettext_noop("`%(field)s` is missing."),
    gettext_noop("`%(field)s` is empty."),
    gettext_noop("`%(field)s` must be text."),
    gettext_noop("`%(field)s` must be text or a list of texts."),
    gettext_noop("`%(field)s` has %(count)s characters; at most %(most)s are allowed."),
    gettext_noop("`%(field)s` must be one of %(allowed)s; it is %(value)s."),
    gettext_noop("`%(field)s` must be a date such as 2026-03-31 or 2026-03-31T18:00+08:00."),
    gettext_noop("The id %(id)s is in row %(row)s already; a row without id takes one from its first question."),
    gettext_noop("Your role may not publish: save it as `in_review`, and a reviewer will."),
    gettext_noop("Your role may not %(permission)s in this knowledge base."),
    gettext_noop("No such knowledge base."),
    gettext_noop("The question is empty."),
    gettext_noop("The question is missing."),
    gettext_noop("The question has %(count)s characters; at most %(most)s are allowed."),
    gettext_noop("`%(column)s` holds a NUL byte."),
    gettext_noop("`%(column)s` holds bytes that are not text in UTF-8."),
    gettext_noop("`%(column)s` holds the Excel error %(error)s."),
    gettext_noop("It has cells beyond the %(count)s columns that the first row names."),
    gettext_noop("The line is not JSON: %(cause)s."),
    gettext_noop("The line must be one JSON object, not %(kind)s."),
    gettext_noop("`%(column)s` of %(id)s has %(count)s characters; an Excel cell holds %(most)s. Export as csv or jsonl."),
    gettext_noop("Line %(number)s has more than one arrow."),
    gettext_noop("Line %(number)s needs two words: “a, b” or “a => b”."),
    gettext_noop("Line %(number)s has more than %(most)s words."),
    gettext_noop("Line %(number)s has no letter or character that can be searched."),
    gettext_noop("Line %(number)s is longer than %(most)s characters."),
    gettext_noop("Line %(number)s: a single character is no word to tell texts apart by."),
    gettext_noop("Line %(number)s of the template cannot be read: %(cause)s."),
    gettext_noop("Line %(number)s of the template does more than show %(names)s or test them with if."),
    gettext_noop("Line %(number)s of the template names %(name)s; there are %(names)s."),
    gettext_noop("The template never shows %(name)s: put it where it belongs."),
    gettext_noop("The template names %(name)s more than twice."),
    gettext_noop("The template has %(count)s characters; at most %(most)s are allowed."),
    gettext_noop("The template is nested too deeply."),
    gettext_noop("The template is too long: it has too many conditions and names."),
    gettext_noop("There are more than %(most)s words."),
    gettext_noop("There are more than %(most)s synonym rules."),
    gettext_noop("Only a failed job can be tried again."),
    gettext_noop("The job was cancelled."),
    gettext_noop("The files of this job are no longer here: send them again."),
    gettext_noop("Whoever asked for this may no longer do it: the person or key is gone."),
    gettext_noop("Whoever worked on it was lost %(count)s times at the same place; the log of the server says more."),
    gettext_noop("Something went wrong on our side (%(error)s); it has been logged."),
    gettext_noop("A job takes at most %(most)s files: send a zip archive, or several jobs."),
    gettext_noop("A file needs a name of 1 to %(most)s characters that does not begin with a dot."),
    gettext_noop("The files that wait to be read take all the room there is (QA_JOBS_MAX_MB): try again when some are done."),
    gettext_noop("Ignored columns: %(columns)s."),
    gettext_noop("Read as %(encoding)s."),
    gettext_noop("The file cannot be used: %(reason)s."),
    gettext_noop("it is empty"),
    gettext_noop("its first row is blank; it must name the columns"),
    gettext_noop("the first row of its first sheet is empty; it must name the columns"),
    gettext_noop("its first row must name the columns, but %(missing)s is missing; it reads: %(seen)s"),
    gettext_noop("the column %(column)s is there twice"),
    gettext_noop("it is no whole Excel workbook (%(cause)s)"),
    gettext_noop("it holds NUL bytes, so it is no text file (or UTF-16 without a byte order mark)"),
    gettext_noop("it is UTF-16; jsonl must be UTF-8"),
    gettext_noop("Line %(number)s: it is not JSON."),
    gettext_noop("Line %(number)s: the question must have 1 to %(most)s characters."),
    gettext_noop('Line %(number)s: A row is {"query": "…", "relevant": ["id", …]}, with at least one id.'),
    gettext_noop("A gold set holds at most %(most)s questions; use `manage.py evaluate` for more."),
    gettext_noop("There are %(most)s gold sets already: delete one first."),
    gettext_noop("The file holds no question."),
    gettext_noop("A test over these questions waits or runs already."),
    gettext_noop("The files that wait to be read take all the room there is (QA_JOBS_MAX_MB): try again when some are done."),
    gettext_noop("A file needs a name of 1 to %(most)s characters that does not begin with a dot."),
    gettext_noop("`%(field)s` must be a list of texts."),
    gettext_noop("`%(field)s` takes at most %(most)s texts of %(chars)s characters."),
    gettext_noop("`%(field)s` takes at most %(most)s of %(chars)s characters."),
    gettext_noop("`id` must be 1 to 200 visible characters on one line."),
    gettext_noop("`url` must begin with http:// or https://."),
    gettext_noop("`language` must be a code such as zh or en."),
    gettext_noop("A passage takes at most %(most)s questions of %(chars)s characters."),
    gettext_noop("The line is longer than %(most)s bytes."),
    gettext_noop("There is no text in it."),
    gettext_noop("The id %(id)s was there before; the first one counts."),
    gettext_noop("%(count)s blocks that every page of its site repeats were left out."),
    gettext_noop("It has %(count)s letters and digits; at least %(least)s are wanted."),
    gettext_noop("Only %(share)s %% of it are letters and digits."),
    gettext_noop("%(repeated)s of its %(count)s lines are repetitions."),
    gettext_noop("It holds %(phrase)s, which the list of blocked words has."),
    gettext_noop("Its text is the same as that of %(id)s."),
    gettext_noop("Its text is nearly the same as that of %(id)s."),
    gettext_noop("%(problem)s. Remove it or upload the file again."),
    gettext_noop("%(problem)s. Save it as PDF, DOCX, PPTX, XLSX, CSV, HTML, Markdown, text, EPUB or JSONL."),
    gettext_noop("%(problem)s. Remove the password and try again."),
    gettext_noop("%(problem)s. Open it in the program that made it, save it again and retry."),
    gettext_noop("%(problem)s. Split it, or raise QA_PARSE_MAX_FILE_MB."),
    gettext_noop("%(problem)s. Split it into several files."),
    gettext_noop("%(problem)s. Split it, save it anew, or raise QA_PARSE_MEMORY_MB."),
    gettext_noop("%(problem)s. Split it, save it anew, or raise QA_PARSE_SECONDS."),
    gettext_noop("%(problem)s. Save it in a simpler form."),
    gettext_noop("%(problem)s. Unpack it and upload the files that you need."),
    gettext_noop("%(problem)s. Make it anew with the program that it belongs to."),
    gettext_noop("%(problem)s. Upload a version with text; for scanned pages install the `ocr` extra."),
    gettext_noop("%(problem)s. Save it anew and retry; report the file if it opens elsewhere."),
    gettext_noop("it is a PDF with a password"),
    gettext_noop("it is protected by a password"),
    gettext_noop("its pages hold no text, as scans do"),
    gettext_noop("no text was found in it"),
    gettext_noop("the page holds no text"),
    gettext_noop("this is an old (.xls) or an encrypted Excel workbook: save it as .xlsx without a password"),
)


def in_words(message: str) -> str:
    """The refusal in the language of the page; as it was where nobody has translated it."""
    for sentence, pattern in _patterns():
        if found := pattern.fullmatch(message):
            parts = {name: in_words(text) if name in ("reason", "problem") else text for name, text in found.groupdict().items()}
            return gettext(sentence) % parts if parts else gettext(sentence)
    return message


@cache
def _patterns() -> tuple[tuple[str, re.Pattern[str]], ...]:
    """The sentences with what recognises them."""
    return tuple((sentence, re.compile(_pattern(sentence), re.DOTALL)) for sentence in _SENTENCES)


def _pattern(sentence: str) -> str:
    pieces = re.split(r"%\((\w+)\)s", sentence)
    return "".join(f"(?P<{piece}>.+?)" if place % 2 else re.escape(piece.replace("%%", "%")) for place, piece in enumerate(pieces))
