"""The query layer of a knowledge base: what it finds, that saving takes effect at once, and the panel's page for it."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client

from apps.accounts.models import AuditEntry, Membership, User
from apps.accounts.permissions import AccessRole, Caller
from apps.faq.rows import FAQRow
from apps.faq.services import save_faqs
from apps.retrieval.models import Entry, KnowledgeBase, QueryLayer
from apps.retrieval.query_layer.services import QueryLayerSettings, save_query_layer
from apps.retrieval.search.candidates import find_candidates
from apps.retrieval.selectors import scope_of
from core.errors import Forbidden, InvalidRequest
from core.types import EntryKind, SearchMode
from tests.encoders import HashingEncoder

PAGE = "/admin/retrieval/querylayer/"
Ask = Callable[[str], list[tuple[str, float]]]


@pytest.fixture
def ask(kb: KnowledgeBase, admin_caller: Caller) -> Ask:
    """The phrasings that words find, with their scores, best first."""
    questions = ["报销需要哪些材料", "年假有十五天", "随身行怎么办理", "随身携带的行李怎么办", "工资什么时候发"]
    save_faqs(kb, [FAQRow(id=f"q{n}", questions=(text,), answer="答。") for n, text in enumerate(questions)], admin_caller)

    def found(text: str) -> list[tuple[str, float]]:
        hits = find_candidates(text, None, kind=EntryKind.FAQ, scope=scope_of([kb]), k=5, mode=SearchMode.LEXICAL)
        texts = dict(Entry.objects.values_list("owner_id", "text"))
        return sorted(((texts[hit.id], hit.bm25) for hit in hits.entries), key=lambda one: -one[1])

    return found


def test_synonyms_find_what_was_not_found_and_stop_when_they_are_switched_off(ask: Ask, kb: KnowledgeBase, admin_caller: Caller) -> None:
    assert ask("请款") == []
    save_query_layer(kb, QueryLayerSettings(synonyms="请款, 报销"), admin_caller)
    assert [text for text, _ in ask("请款")] == ["报销需要哪些材料"]
    assert ask("请款")[0][1] < ask("报销")[0][1]
    save_query_layer(kb, QueryLayerSettings(synonyms="请款, 报销", uses_synonyms=False), admin_caller)
    assert ask("请款") == []


def test_what_another_process_saved_is_understood_here(
    ask: Ask, kb: KnowledgeBase, admin_caller: Caller, configure: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    configure(remember_s=0)
    assert ask("请款") == []
    monkeypatch.setattr("apps.retrieval.query_layer.services.forget_layers", lambda: None)  # there it forgets its own
    save_query_layer(kb, QueryLayerSettings(synonyms="请款, 报销", words="随身行"), admin_caller)
    assert [text for text, _ in ask("请款")] == ["报销需要哪些材料"]
    save_query_layer(kb, QueryLayerSettings(synonyms="请款, 报销", uses_synonyms=False), admin_caller)
    assert ask("请款") == []


def test_typing_errors_and_numbers_are_understood_without_any_setting(ask: Ask) -> None:
    assert ask("包销")[0][0] == "报销需要哪些材料"
    assert ask("gongzi")[0][0] == "工资什么时候发"
    assert ask("15天")[0][0] == "年假有十五天"


def test_a_word_of_the_base_lifts_what_holds_it_as_a_word(ask: Ask, kb: KnowledgeBase, admin_caller: Caller) -> None:
    before = dict(ask("随身行怎么办"))
    save_query_layer(kb, QueryLayerSettings(words="隨身行"), admin_caller)
    after = dict(ask("随身行怎么办"))
    apart = "随身携带的行李怎么办"
    assert after["随身行怎么办理"] - after[apart] > before["随身行怎么办理"] - before[apart]


def test_only_entries_that_hold_a_new_or_lost_word_are_indexed_anew(
    ask: Ask, kb: KnowledgeBase, admin_caller: Caller, encoder: HashingEncoder
) -> None:
    ask("年假")
    encoded, seen = encoder.texts_encoded, kb.entries.order_by("-revision")[0].revision
    save_query_layer(kb, QueryLayerSettings(words="随身行\n云盘"), admin_caller)
    assert list(kb.entries.filter(revision__gt=seen).values_list("text", flat=True)) == ["随身行怎么办理"]
    save_query_layer(kb, QueryLayerSettings(words="云盘", synonyms="云盘, 网盘"), admin_caller)
    assert kb.entries.filter(text="随身行怎么办理", revision__gt=seen).count() == 1
    assert encoder.texts_encoded == encoded


def test_each_knowledge_base_has_its_own_rules(ask: Ask, kb: KnowledgeBase, admin_caller: Caller) -> None:
    other = KnowledgeBase.objects.create(slug="other", name="Other")
    save_query_layer(other, QueryLayerSettings(synonyms="请款, 报销"), admin_caller)
    assert ask("请款") == []


def test_a_question_asked_again_is_corrected_by_what_the_base_has_learned_since(ask: Ask, kb: KnowledgeBase, admin_caller: Caller) -> None:
    assert ask("登路账好") == []
    save_faqs(kb, [FAQRow(id="new", questions=("登录账号",), answer="答。")], admin_caller)
    assert [text for text, _ in ask("登路账好")] == ["登录账号"]


def test_an_editor_may_not_change_what_questions_mean(kb: KnowledgeBase) -> None:
    with pytest.raises(Forbidden):
        save_query_layer(kb, QueryLayerSettings(), Caller(name="user:2", role=AccessRole.EDITOR))


def test_a_bad_line_changes_nothing(kb: KnowledgeBase, admin_caller: Caller) -> None:
    with pytest.raises(InvalidRequest, match="Line 2"):
        save_query_layer(kb, QueryLayerSettings(synonyms="报销, 请款\n报销"), admin_caller)
    assert not QueryLayer.objects.exists()


# The panel


def browser(kb: KnowledgeBase, role: str, language: str = "en") -> Client:
    user = User.objects.create_user(role, is_staff=True)
    Membership.objects.create(user=user, kb=kb, role=role)
    client = Client(headers={"accept-language": language})
    client.force_login(user)
    return client


SWITCHES = {"uses_words": "on", "uses_synonyms": "on", "uses_typos": "on", "uses_numbers": "on"}


def test_a_reviewer_pastes_words_and_uploads_rules(kb: KnowledgeBase) -> None:
    client = browser(kb, "reviewer")
    file = SimpleUploadedFile("rules.csv", "报销,请款\r\n工资,薪水\r\n".encode("gb18030"))
    sent = {**SWITCHES, "kb": str(kb.pk), "words": "随身行\n云盘\n随身行", "synonyms": "报销, 请款", "synonyms_file": file}
    assert client.post(f"{PAGE}add/", sent).status_code == 302
    layer = QueryLayer.objects.get(kb=kb)
    assert (layer.words, layer.synonyms) == ("随身行\n云盘", "报销, 请款\n工资, 薪水")
    assert AuditEntry.objects.filter(action="save_query_layer", kb_slug=kb.slug).exists()
    assert client.post(f"{PAGE}{layer.pk}/change/", {"words": "云盘", "synonyms": ""}).status_code == 302
    layer.refresh_from_db()
    assert (layer.words, layer.uses_typos, layer.version) == ("云盘", False, 2)


def test_a_bad_line_is_said_at_its_field_in_the_readers_language(kb: KnowledgeBase) -> None:
    client = browser(kb, "reviewer", "zh-hans")
    answer = client.post(f"{PAGE}add/", {**SWITCHES, "kb": str(kb.pk), "words": "", "synonyms": "报销"})
    assert answer.status_code == 200
    assert "第 1 行需要两个词" in answer.content.decode()


def test_a_viewer_reads_and_changes_nothing(kb: KnowledgeBase, admin_caller: Caller) -> None:
    layer = save_query_layer(kb, QueryLayerSettings(words="云盘"), admin_caller)
    client = browser(kb, "viewer")
    assert client.get(PAGE).status_code == 200
    assert client.get(f"{PAGE}{layer.pk}/change/").status_code == 200
    assert client.post(f"{PAGE}{layer.pk}/change/", {"words": "x1"}).status_code == 403
    assert client.get(f"{PAGE}add/").status_code == 403


def test_a_viewer_sees_the_rules_as_lines_and_no_files_to_choose(kb: KnowledgeBase, admin_caller: Caller) -> None:
    layer = save_query_layer(kb, QueryLayerSettings(words="云盘\n工位", synonyms="报销, 请款\nOA => 办公系统"), admin_caller)
    page = browser(kb, "viewer").get(f"{PAGE}{layer.pk}/change/").content.decode()
    assert "云盘<br>工位" in page and "报销, 请款<br>OA =&gt; 办公系统" in page
    assert "words_file" not in page and "synonyms_file" not in page


def test_a_base_without_rules_says_what_holds(kb: KnowledgeBase) -> None:
    assert "错别字" in browser(kb, "viewer").get(PAGE, headers={"accept-language": "zh-hans"}).content.decode()


def test_the_form_says_when_a_change_counts_and_shows_two_switches_a_row(kb: KnowledgeBase) -> None:
    page = browser(kb, "reviewer").get(f"{PAGE}add/")
    assert "counts from the next question on" in page.content.decode()
    switches = [line for line in page.context["adminform"].fieldsets[0][1]["fields"] if isinstance(line, tuple)]
    assert switches and all(len(line) <= 2 for line in switches)
