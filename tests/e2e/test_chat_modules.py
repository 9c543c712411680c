"""Do the chat page's modules keep their promises? Each is loaded in Chromium from a plain file server, without Wenlu behind it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page

from tests.servers import answering

FRONTEND = Path(__file__).parents[2] / "frontend"
MODULES = sorted((FRONTEND / "static" / "chat").glob("*.js"))

Run = Callable[..., Any]

# A dialogue over a socket that the test plays by hand: `wire.sent` is what the page sent, `turns` the last state of each turn.
SCRIPTED_DIALOGUE = """
const { Dialogue } = await import("/chat/dialogue.js");
const { Storage } = await import("/chat/storage.js");
const memory = new Storage(() => sessionStorage);
const turns = new Map(), unknown = [];
const wire = { isOpen: true, sent: [], lastFrameAt: Date.now(), send(frame) { this.sent.push(frame); }, close() {}, drop() {}, reconnectNow() {} };
const start = () => new Dialogue({
  bot: "help", memory, onConnection() {}, onUnknown: (turn) => unknown.push(turn.id), onTurn: (turn) => turns.set(turn.key, turn),
  connect: (listeners) => Object.assign(wire, listeners),
});
const lose = () => { wire.isOpen = false; wire.onLost(); };
const reopen = () => { wire.isOpen = true; wire.sent.length = 0; wire.onOpen(); };
const begin = (turn = "t1") => wire.onFrame({ type: "turn_started", turn, seq: 1, conversation: "c1" });
const delta = (seq, text, turn = "t1") => wire.onFrame({ type: "text_delta", turn, seq, text });
const only = () => [...turns.values()][0];
"""


class QuietFiles(SimpleHTTPRequestHandler):
    """Serves the modules under /chat/, and an empty page at any other address."""

    def do_GET(self) -> None:
        if self.path.startswith("/chat/"):
            super().do_GET()
            return
        self.send_response(200)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.end_headers()
        self.wfile.write(b"<!doctype html><title>modules</title><body></body>")

    def log_message(self, format: str, *args: object) -> None:
        return


@pytest.fixture(scope="module")
def files() -> Iterator[str]:
    with answering(partial(QuietFiles, directory=str(FRONTEND / "static"))) as address:
        yield f"http://{address}/"


@pytest.fixture(scope="module")
def empty_page(chromium: Browser) -> Iterator[Page]:
    context = chromium.new_context(locale="zh-CN")
    yield context.new_page()
    context.close()


@pytest.fixture
def run(empty_page: Page, files: str) -> Run:
    """Runs the body of an async function on a fresh page and returns its result."""
    empty_page.goto(files)
    empty_page.evaluate("sessionStorage.clear(); localStorage.clear()")
    return lambda body, value=None: empty_page.evaluate(f"async (value) => {{ {body} }}", value)


def markdown_html(run: Run, text: str) -> str:
    return str(
        run(
            "const { MarkdownView } = await import('/chat/markdown-view.js'); const v = new MarkdownView(); v.show(value); return v.node.innerHTML;",
            text,
        )
    )


def test_html_in_an_answer_stays_text(run: Run) -> None:
    assert markdown_html(run, "<img src=x onerror=alert(1)> **<b>x</b>**") == (
        "<p>&lt;img src=x onerror=alert(1)&gt; <strong>&lt;b&gt;x&lt;/b&gt;</strong></p>"
    )


@pytest.mark.parametrize(
    "url", ["javascript:alert(1)", "JaVaScRiPt:alert(1)", "data:text/html,x", "//evil.example", "/\\evil.example", "vbscript:x"]
)
def test_a_link_that_is_no_web_address_stays_text(run: Run, url: str) -> None:
    assert "<a" not in markdown_html(run, f"[press]({url})")


def test_links_open_apart_and_tell_nothing(run: Run) -> None:
    assert (
        markdown_html(run, "[制度](https://a.example/b)")
        == '<p><a href="https://a.example/b" target="_blank" rel="noopener noreferrer">制度</a></p>'
    )


def test_a_bare_address_ends_before_chinese_punctuation(run: Run) -> None:
    assert ">https://a.example/b?c=1</a>。请看" in markdown_html(run, "见 https://a.example/b?c=1。请看")


def test_lists_nest_and_stay_tight(run: Run) -> None:
    assert (
        markdown_html(run, "1. 一\n   - 甲\n   - 乙\n2. 二\n\n完")
        == "<ol><li>一<ul><li>甲</li><li>乙</li></ul></li><li>二</li></ol><p>完</p>"
    )


def test_line_breaks_of_a_stored_answer_are_kept(run: Run) -> None:
    assert markdown_html(run, "第一行\n第二行\n\n第三行") == "<p>第一行<br>第二行</p><p>第三行</p>"


@pytest.mark.parametrize("text", ["3 * 4 * 5", "**尚未写完", "`尚未", "[名](未完", "a_b_c", "2024. 年"])
def test_marks_that_mean_nothing_are_shown_as_written(run: Run, text: str) -> None:
    assert markdown_html(run, text) == f"<p>{text}</p>"


def test_a_code_block_that_still_streams_is_code_already(run: Run) -> None:
    assert markdown_html(run, "```sh\nls <dir>") == '<pre tabindex="0"><code>ls &lt;dir&gt;</code></pre>'


def test_growing_text_keeps_the_nodes_that_did_not_change(run: Run) -> None:
    kept = run(
        "const { MarkdownView } = await import('/chat/markdown-view.js'); const v = new MarkdownView(); v.show('甲\\n\\n乙');"
        "const [first, second] = v.node.children; v.show('甲\\n\\n乙丙'); return [v.node.children[0] === first, v.node.children[1] === second];"
    )
    assert kept == [True, False]


def apply_events(run: Run, events: list[dict[str, Any]]) -> Any:
    return run(
        "const { newTurn, applyEvent } = await import('/chat/turn.js'); return value.reduce(applyEvent, newTurn({ question: '?', bot: 'help' }));",
        events,
    )


STARTED = {"type": "turn_started", "turn": "t1", "seq": 1, "conversation": "c1"}


def test_deltas_join_to_the_answer_and_repeats_change_nothing(run: Run) -> None:
    one, two = (
        {"type": "text_delta", "turn": "t1", "seq": 2, "text": "年假"},
        {"type": "text_delta", "turn": "t1", "seq": 3, "text": "五天"},
    )
    turn = apply_events(run, [STARTED, one, two, STARTED, one, two])
    assert (turn["answer"], turn["seq"], turn["phase"], turn["conversation"]) == ("年假五天", 3, "running", "c1")


def test_a_failure_keeps_the_text_apart_from_the_error(run: Run) -> None:
    error = {"code": "model_unavailable", "message": "gone", "retryable": True}
    turn = apply_events(
        run,
        [
            STARTED,
            {"type": "text_delta", "turn": "t1", "seq": 2, "text": "年"},
            {"type": "turn_failed", "turn": "t1", "seq": 3, "error": error},
        ],
    )
    assert (turn["phase"], turn["answer"], turn["error"]) == ("failed", "年", error)


def test_listed_turns_say_how_far_they_came(run: Run) -> None:
    rows = [
        {"turn": "a", "question": "q", "answer": "", "state": "running"},
        {"turn": "b", "question": "q", "answer": "x", "state": "finished", "answered": True, "vote": -1},
        {"turn": "c", "question": "q", "answer": "", "state": "failed", "error": {"code": "internal", "message": "", "retryable": False}},
    ]
    body = "const { turnFromRow } = await import('/chat/turn.js'); return value.map((row) => turnFromRow(row, { bot: 'help', conversation: 'c' }));"
    turns = run(body, rows)
    assert [(turn["phase"], turn["vote"]) for turn in turns] == [("running", 0), ("finished", -1), ("failed", 0)]


def test_a_dropped_turn_is_resumed_from_its_last_event(run: Run) -> None:
    result = run(
        SCRIPTED_DIALOGUE + "start().ask('q', null); begin(); delta(2, '年'); delta(3, '假'); lose(); reopen();"
        "const sent = [...wire.sent]; delta(3, '假'); delta(4, '五天'); return { sent, answer: only().answer };"
    )
    assert result == {"sent": [{"type": "resume", "turn": "t1", "after": 3}], "answer": "年假五天"}


def test_a_gap_is_asked_for_once_and_filled(run: Run) -> None:
    result = run(
        SCRIPTED_DIALOGUE + "start().ask('q', null); begin(); wire.sent.length = 0; delta(3, '乙'); delta(4, '丙');"
        "const sent = [...wire.sent]; delta(2, '甲'); delta(3, '乙'); delta(4, '丙'); return { sent, answer: only().answer };"
    )
    assert result == {"sent": [{"type": "resume", "turn": "t1", "after": 1}], "answer": "甲乙丙"}


def test_a_question_that_was_never_named_is_asked_again(run: Run) -> None:
    sent = run(SCRIPTED_DIALOGUE + "start().ask('q', 'c1'); lose(); reopen(); return wire.sent;")
    assert sent == [{"type": "ask", "text": "q", "conversation": "c1"}]


def test_a_question_that_breaks_the_socket_is_not_asked_for_ever(run: Run) -> None:
    result = run(
        SCRIPTED_DIALOGUE
        + "start().ask('q', null); for (let i = 0; i < 5; i++) { lose(); reopen(); } return [only().phase, only().error.code, wire.sent];"
    )
    assert result == ["failed", "connection_lost", []]


def test_a_reload_goes_on_with_the_text_it_had(run: Run) -> None:
    result = run(
        SCRIPTED_DIALOGUE + "const before = start(); before.ask('q', null); begin(); delta(2, '年'); before.close();"
        "turns.clear(); start(); reopen(); const sent = [...wire.sent]; delta(3, '假'); return { sent, answer: only().answer, question: only().question };"
    )
    assert result == {"sent": [{"type": "resume", "turn": "t1", "after": 2}], "answer": "年假", "question": "q"}


def test_a_finished_turn_is_no_longer_remembered(run: Run) -> None:
    assert (
        run(
            SCRIPTED_DIALOGUE + "const d = start(); d.ask('q', null); begin();"
            "wire.onFrame({ type: 'turn_finished', turn: 't1', seq: 2, answer: '', answered: false, suggestions: [] }); d.close(); return memory.read('live', 'none');"
        )
        == "none"
    )


def test_a_refused_bot_ends_the_question_at_once(run: Run) -> None:
    result = run(
        SCRIPTED_DIALOGUE + "start().ask('q', null); wire.isOpen = false; wire.onLost(true); reopen(); return [only().phase, wire.sent];"
    )
    assert result == ["failed", []]


def test_a_bad_frame_fails_the_question_and_the_next_one_goes_out(run: Run) -> None:
    result = run(
        SCRIPTED_DIALOGUE + "const d = start(); d.ask('bad', null); d.ask('good', null);"
        "wire.onFrame({ type: 'error', error: { code: 'invalid_request', message: 'no', retryable: false } });"
        "return { phases: [...turns.values()].map((turn) => turn.phase), asked: wire.sent.map((frame) => frame.text) };"
    )
    assert result == {"phases": ["failed", "waiting"], "asked": ["bad", "good"]}


def test_a_turn_that_the_server_forgot_is_looked_for_elsewhere(run: Run) -> None:
    result = run(
        SCRIPTED_DIALOGUE + "start().ask('q', null); begin(); lose(); reopen();"
        "wire.onFrame({ type: 'error', error: { code: 'not_found', message: 'no turn', retryable: false } }); return { unknown, phase: only().phase };"
    )
    assert result == {"unknown": ["t1"], "phase": "running"}


def test_stop_reaches_a_turn_that_was_not_yet_named(run: Run) -> None:
    sent = run(SCRIPTED_DIALOGUE + "const d = start(); d.stop(d.ask('q', null)); wire.sent.length = 0; begin(); return wire.sent;")
    assert sent == [{"type": "stop", "turn": "t1"}]


def test_stop_while_offline_keeps_the_question_from_going_out(run: Run) -> None:
    result = run(
        SCRIPTED_DIALOGUE
        + "const d = start(); lose(); d.stop(d.ask('q', null)); reopen(); return { sent: wire.sent, stopped: only().stopped };"
    )
    assert result == {"sent": [], "stopped": True}


COMPOSER = """
const { Composer } = await import("/chat/composer.js");
document.body.innerHTML = "<form><textarea></textarea><button></button></form><span></span>";
const [form, field, button, counter] = ["form", "textarea", "button", "span"].map((name) => document.querySelector(name));
const asked = [];
const composer = new Composer({ form, field, button, counter }, { limit: 10, onAsk: (text) => asked.push(text), onStop() {}, onDraft() {} });
const press = (options = {}) => field.dispatchEvent(new KeyboardEvent("keydown", { key: "Enter", cancelable: true, ...options }));
"""


def test_enter_sends_and_shift_enter_does_not(run: Run) -> None:
    assert run(
        COMPOSER
        + "composer.text = ' 年假 '; press({ shiftKey: true }); const none = asked.length; press(); return [none, asked, field.value];"
    ) == [0, ["年假"], ""]


def test_enter_that_chooses_a_word_does_not_send(run: Run) -> None:
    body = "composer.text = 'nianjia'; press({ isComposing: true }); press({ keyCode: 229 }); field.dispatchEvent(new Event('compositionstart')); press(); return asked;"
    assert run(COMPOSER + body) == []


def test_an_emoji_counts_as_one_character_and_too_many_cannot_be_sent(run: Run) -> None:
    body = "composer.text = '😀'.repeat(10); const fits = !button.disabled; composer.text += '!'; press(); return [fits, button.disabled, asked, counter.textContent !== ''];"
    assert run(COMPOSER + body) == [True, True, [], True]


def test_enter_does_not_ask_while_an_answer_runs(run: Run) -> None:
    assert run(COMPOSER + "composer.setRunning(true); composer.text = 'x'; press(); return [asked, field.value];") == [[], "x"]


def test_a_removed_conversation_comes_back_to_its_place(run: Run) -> None:
    ids = run(
        "const { History } = await import('/chat/history.js'); const h = new History(() => {}); const ids = () => h.entries.map((entry) => entry.id);"
        "for (const id of ['a', 'b', 'c']) { h.remember({ id, bot: 'help', title: id }); await new Promise((go) => setTimeout(go, 2)); }"
        "const undo = h.remove('b'); const without = ids(); undo(); return [without, ids()];"
    )
    assert ids == [["c", "a"], ["c", "b", "a"]]


def test_a_renamed_conversation_keeps_its_name_when_it_goes_on(run: Run) -> None:
    titles = run(
        "const { History } = await import('/chat/history.js'); const h = new History(() => {});"
        "h.remember({ id: 'a', bot: 'help', title: 'first question' }); h.rename('a', '报销'); h.remember({ id: 'a', bot: 'help', title: 'second' });"
        "return h.entries.map((entry) => entry.title);"
    )
    assert titles == ["报销"]


def test_conversations_are_grouped_by_calendar_day(run: Run) -> None:
    groups = run(
        "const { groupByDay } = await import('/chat/history.js'); const at = (day, hour) => new Date(2026, 2, day, hour).getTime();"
        "const entries = [at(10, 0), at(9, 23), at(3, 0), at(2, 23)].map((time) => ({ time }));"
        "return groupByDay(entries, new Date(2026, 2, 10, 8)).map((group) => [group.name, group.entries.length]);"
    )
    assert groups == [["today", 1], ["yesterday", 1], ["week", 1], ["earlier", 1]]


def test_the_language_is_the_remembered_one_then_the_pages_then_the_browsers(run: Run) -> None:
    begin = (
        "const { beginLanguage, language } = await import('/chat/messages.js'); const begin = (page) => (beginLanguage(page), language());"
    )
    assert run(
        begin
        + "const page = begin('en'), browser = begin('fr'); localStorage.setItem('wenlu.language', '\"en\"'); return [page, browser, begin('zh')];"
    ) == [
        "en",
        "zh",
        "en",
    ]


def test_every_message_used_exists_in_both_languages_and_none_is_left_over() -> None:
    messages = (FRONTEND / "static" / "chat" / "messages.js").read_text("utf-8")
    rows = dict(re.findall(r'^  "([a-z]+\.\w+)": \[(.*)\],$', messages, re.MULTILINE))
    code = "\n".join(path.read_text("utf-8") for path in [*MODULES, FRONTEND / "templates" / "chat.html"] if path.name != "messages.js")
    used = set(re.findall(r'"([a-z]+\.[a-z_]+)"', re.sub(r"{% extends .*? %}", "", code))) - {"page.title"}
    families = tuple(f"{name}." for name in re.findall(r"`(\w+)\.\$\{", code))
    names = {name.split(".")[0] for name in rows}
    assert {name for name in used if name.split(".")[0] in names} - rows.keys() == set()
    assert {name for name in rows.keys() - used - {"page.title"} if not name.startswith(families)} == set()
    assert [name for name, pair in rows.items() if len(re.findall(r'"[^"]+"', pair)) != 2] == []


def test_no_module_turns_text_into_html_or_needs_inline_code() -> None:
    for path in MODULES:
        assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function", path.read_text("utf-8")), (
            path.name
        )
    template = (FRONTEND / "templates" / "chat.html").read_text("utf-8")
    assert not re.search(r"<style|\sstyle=|\son\w+=|<script(?![^>]*\ssrc=)", template)


def test_every_module_says_which_question_it_answers() -> None:
    assert [path.name for path in MODULES if not re.match(r"// [A-Z].*\?", path.read_text("utf-8").splitlines()[0])] == []
