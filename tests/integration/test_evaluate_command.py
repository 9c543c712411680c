"""`manage.py evaluate`: what it measures, prints and writes, and how it refuses a file."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from apps.accounts.permissions import Caller
from apps.dialogue.management.commands.evaluate import TASKS
from apps.dialogue.models import EvaluationRun
from apps.faq.rows import parse_row
from apps.faq.services import save_faqs
from apps.retrieval.models import KnowledgeBase, Passage
from tests.documents import put_document, put_documents

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def filled(kb: KnowledgeBase, admin_caller: Caller) -> None:
    texts = {"leave": "How many days of annual leave?", "meals": "Where do I get meal vouchers?", "vpn": "Why does the network fail?"}
    save_faqs(kb, [parse_row({"id": id, "questions": [text], "answer": f"Answer {id}."}) for id, text in texts.items()], admin_caller)


def evaluate(task: str, folder: Path, rows: list[dict[str, object]]) -> tuple[dict, str]:
    """The report and what was printed."""
    data, report, out = folder / "rows.jsonl", folder / "report.json", io.StringIO()
    data.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n\n" for row in rows), encoding="utf-8")
    call_command("evaluate", task, "--kb", "hr", "--data", data, "--out", report, stdout=out)
    return json.loads(report.read_text(encoding="utf-8")), out.getvalue()


def test_faq_counts_right_first_places(tmp_path: Path) -> None:
    rows = [
        {"query": "how many days of ANNUAL leave", "relevant": ["leave"]},
        {"query": "Where do I get meal vouchers?", "relevant": ["meals"]},
        {"query": "Why does the network fail?", "relevant": ["nothing-of-this-id"]},
    ]
    report, printed = evaluate("faq", tmp_path, rows)
    assert (report["task"], report["rows"], report["left_out"]) == ("faq", 3, 0)
    assert report["metrics"] == pytest.approx({"top1": 2 / 3, "mrr": 2 / 3, "recall_at_5": 2 / 3})
    assert set(report["parts"]) == {"lexical", "vector"}
    assert report["parts"]["lexical"]["top1"] == pytest.approx(2 / 3)
    assert "top1" in printed and "0.6667" in printed and "left out" not in printed


def test_faq_leaves_out_rows_that_no_answer_fits_and_says_so(tmp_path: Path) -> None:
    rows = [{"query": "Where do I get meal vouchers?", "relevant": ["meals"]}] + [
        {"query": "How long is a day on Mars?", "relevant": []}
    ] * 3
    report, printed = evaluate("faq", tmp_path, rows)
    assert (report["rows"], report["left_out"]) == (4, 3)
    assert report["metrics"]["top1"] == 1
    assert "left out: 3 rows" in printed


def test_abstain_counts_false_answers_and_coverage(tmp_path: Path) -> None:
    rows = [
        {"query": "Where do I get meal vouchers?", "relevant": ["meals"]},
        {"query": "Zyx wvu tsr?", "relevant": ["leave"]},
        {"query": "How many days of annual leave?", "relevant": []},
        {"query": "Qqq ppp ooo?", "relevant": []},
    ]
    report, _ = evaluate("abstain", tmp_path, rows)
    assert report["metrics"] | {"coverage": 0.5, "wrong_rate": 0, "false_answer_rate": 0.5} == report["metrics"]
    assert "left_out" not in report


@pytest.mark.parametrize(
    ("line", "says"), [("{", "line 2"), ('{"query": "a"}', "line 2"), ('{"query": 7, "relevant": []}', "line 2"), ("[]", "line 2")]
)
def test_a_bad_row_is_named_by_its_line(tmp_path: Path, line: str, says: str) -> None:
    data = tmp_path / "rows.jsonl"
    data.write_text('{"query": "a", "relevant": []}\n' + line + "\n")
    with pytest.raises(CommandError, match=says):
        call_command("evaluate", "faq", "--kb", "hr", "--data", data)


def test_retrieval_counts_right_documents(tmp_path: Path, kb: KnowledgeBase) -> None:
    put_documents(kb, leave="Ten days of annual leave.", vpn="The network needs a token.")
    rows = [{"query": "annual leave days", "relevant": ["leave"]}, {"query": "network token", "relevant": ["none-of-them"]}]
    report, printed = evaluate("retrieval", tmp_path, rows)
    assert (report["task"], report["rows"]) == ("retrieval", 2)
    assert report["metrics"]["recall_at_1"] == 0.5 == report["parts"]["lexical"]["recall_at_1"]
    assert set(report["metrics"]) == {"recall_at_1", "recall_at_5", "recall_at_10", "mrr", "ndcg_at_10"}
    assert report["questions"] == [1.0, 0.0]
    assert "recall_at_1" in printed


def test_a_number_that_is_a_documents_id_means_no_passage(tmp_path: Path, kb: KnowledgeBase) -> None:
    put_documents(kb, leave="Ten days of annual leave.")
    passage = str(Passage.objects.get().pk)
    by_passage, _ = evaluate("retrieval", tmp_path, [{"query": "annual leave", "relevant": [passage]}])
    put_document(kb, passage, "The network needs a token.")
    by_document, _ = evaluate("retrieval", tmp_path, [{"query": "annual leave", "relevant": [passage]}])
    assert (by_passage["metrics"]["recall_at_1"], by_document["metrics"]["recall_at_1"]) == (1.0, 0.0)


@pytest.mark.parametrize("task", ["faq", "abstain", "retrieval", "reading"])
def test_a_file_without_questions_is_refused(tmp_path: Path, kb: KnowledgeBase, task: str) -> None:
    with pytest.raises(CommandError, match=r"no question in .*rows\.jsonl"):
        evaluate(task, tmp_path, [])


def test_reading_counts_answers_in_what_is_shown(tmp_path: Path, kb: KnowledgeBase) -> None:
    put_documents(kb, leave="Employees have ten days of annual leave. Unused days expire in March.")
    rows = [
        {"question": "When do unused days expire?", "answers": ["in March", "March"]},
        {"question": "How many days of annual leave do employees have?", "answers": ["12"]},
        {"question": "Who painted the chapel?", "answers": []},
    ]
    report, printed = evaluate("reading", tmp_path, rows)
    assert ["all", "answerable", "unanswerable"] in [line.split() for line in printed.splitlines()]
    assert report["metrics"]["answer_found"] == pytest.approx(2 / 3)
    assert report["parts"]["unanswerable"]["exact_match"] == 1
    assert 0 < report["metrics"]["f1"] < 1


def test_a_second_run_is_compared_with_the_first(tmp_path: Path, kb: KnowledgeBase) -> None:
    rows = [{"query": f"network token {number}", "relevant": ["vpn"]} for number in range(12)]
    put_documents(kb, other="A network token is a thing of the network, a token.")
    _, first = evaluate("retrieval", tmp_path, rows)
    put_documents(kb, vpn="".join(f"network token {number} " for number in range(12)))
    _, second = evaluate("retrieval", tmp_path, rows)
    assert "against run" not in first
    assert "recall_at_1 +1.0000 against run" in second and "a real difference" in second
    assert [run.metrics["recall_at_1"] for run in EvaluationRun.objects.order_by("pk")] == [0.0, 1.0]


def test_right_ids_that_nothing_has_are_named(tmp_path: Path, kb: KnowledgeBase) -> None:
    put_documents(kb, leave="Ten days of annual leave.", vpn="The network needs a token.")
    passage = Passage.objects.get(document__external_id="vpn").pk
    rows = [{"query": "annual leave", "relevant": ["leave", "gone"]}, {"query": "token", "relevant": [str(passage), "99999999"]}]
    report, printed = evaluate("retrieval", tmp_path, rows)
    assert report["unknown"] == ["99999999", "gone"]
    assert "2 ids (99999999, gone)" in printed
    known, printed = evaluate("retrieval", tmp_path, [{"query": "annual leave", "relevant": ["leave"]}])
    assert "unknown" not in known and "never found" not in printed


def test_a_metric_below_its_bound_ends_the_command_with_an_error(tmp_path: Path, kb: KnowledgeBase) -> None:
    put_documents(kb, leave="Ten days of annual leave.")
    data = tmp_path / "rows.jsonl"
    data.write_text('{"query": "annual leave", "relevant": ["leave"]}\n')
    call_command("evaluate", "retrieval", "--kb", "hr", "--data", data, "--at-least", "recall_at_1=1", stdout=io.StringIO())
    with pytest.raises(CommandError, match="mrr is 1.0000"):
        call_command("evaluate", "retrieval", "--kb", "hr", "--data", data, "--at-least", "mrr=1.1", stdout=io.StringIO())


def test_a_bound_that_cannot_be_judged_is_refused_before_anything_is_asked(tmp_path: Path) -> None:
    data, rows = tmp_path / "rows.jsonl", ['{"query": "annual leave", "relevant": ["leave"]}', '{"question": "?", "answers": []}']
    for task, metrics in (("faq", "top1"), ("abstain", "coverage"), ("retrieval", "recall_at_1"), ("reading", "exact_match")):
        data.write_text(rows[task == "reading"])
        for bound, says in (
            ("luck=1", f"No metric luck; there are {metrics}, "),
            ("mrr", f"such as {metrics}=0.85"),
            ("f1=nan", "not 'f1=nan'"),
        ):
            with pytest.raises(CommandError, match=says):
                call_command("evaluate", task, "--kb", "hr", "--data", data, "--at-least", bound, stdout=io.StringIO())
    assert not EvaluationRun.objects.exists()


@pytest.mark.parametrize("task", ["faq", "abstain", "retrieval", "reading"])
def test_a_report_has_the_metrics_that_bounds_are_taken_for(task: str, tmp_path: Path) -> None:
    row = {"question": "leave?", "answers": ["x"]} if task == "reading" else {"query": "annual leave", "relevant": ["leave"]}
    assert tuple(evaluate(task, tmp_path, [row])[0]["metrics"]) == TASKS[task].metrics


def test_an_unknown_base_and_a_missing_file_are_named(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="There are: hr"):
        call_command("evaluate", "faq", "--kb", "sales", "--data", tmp_path / "none.jsonl")
    with pytest.raises(CommandError, match="none.jsonl"):
        call_command("evaluate", "faq", "--kb", "hr", "--data", tmp_path / "none.jsonl")
