"""Bots, and what was said to them: conversations, turns, votes."""

from __future__ import annotations

import uuid

from django.db import models
from django.utils.translation import gettext_lazy as _

from apps.retrieval.models import LOCALE_CHOICES, KnowledgeBase


def new_id() -> str:
    """An unguessable id of 32 hexadecimal digits: for anonymous people it is the key to their own conversation."""
    return uuid.uuid4().hex


class Bot(models.Model):
    """What people talk to: knowledge bases, a greeting, how sure it must be, and how answers out of documents are made."""

    class DocumentAnswers(models.TextChoices):
        EXTRACT = "extract", _("Sentences of the documents, word for word")
        GENERATE = "generate", _("Written by a generator")

    class Unsupported(models.TextChoices):
        DROP = "drop", _("Leave it out")
        FLAG = "flag", _("Show it with a mark")

    class WithoutSupport(models.TextChoices):
        EXTRACT = "extract", _("Show sentences of the documents")
        ABSTAIN = "abstain", _("Say that nothing fits")

    slug = models.SlugField(_("slug"), max_length=80, unique=True)
    name = models.CharField(_("name"), max_length=160)
    kbs = models.ManyToManyField(KnowledgeBase, verbose_name=_("knowledge bases"), related_name="bots")
    locale = models.CharField(_("main language"), max_length=8, choices=LOCALE_CHOICES, default="zh")
    public = models.BooleanField(_("public"), default=False, help_text=_("Anybody may ask, without a key or an account."))
    greeting_zh = models.TextField(_("greeting (Chinese)"), blank=True, default="你好，我是问路。请问有什么可以帮你？")
    greeting_en = models.TextField(_("greeting (English)"), blank=True, default="Hello, I am Wenlu. How can I help you?")
    fallback_zh = models.TextField(_("answer when nothing fits (Chinese)"), default="抱歉，我没有找到可靠的答案。请换个说法再问一次。")
    fallback_en = models.TextField(
        _("answer when nothing fits (English)"),
        default="Sorry, I found no reliable answer. Please try other words.",
    )
    suggestions_zh = models.TextField(_("opening questions (Chinese)"), blank=True, help_text=_("One a line."))
    suggestions_en = models.TextField(_("opening questions (English)"), blank=True, help_text=_("One a line."))
    threshold = models.FloatField(
        _("least confidence"), null=True, blank=True, help_text=_("From 0 to 1; empty takes the threshold that was fitted for the encoder.")
    )
    document_answers = models.CharField(
        _("answers from documents"), max_length=10, choices=DocumentAnswers, default=DocumentAnswers.EXTRACT,
        help_text=_("Where a generator writes them, every sentence is checked against the documents before a reader sees it."),
    )  # fmt: skip
    unsupported = models.CharField(_("a sentence that no document supports"), max_length=10, choices=Unsupported, default=Unsupported.DROP)
    without_support = models.CharField(_("when no sentence is left"), max_length=10, choices=WithoutSupport, default=WithoutSupport.EXTRACT)
    prompt_zh = models.TextField(_("prompt (Chinese)"), blank=True)
    prompt_en = models.TextField(_("prompt (English)"), blank=True)
    created_at = models.DateTimeField(_("created"), auto_now_add=True)

    class Meta:
        verbose_name, verbose_name_plural = _("bot"), _("bots")
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name


class Conversation(models.Model):
    """One person's thread with one bot."""

    id = models.CharField(primary_key=True, max_length=32, default=new_id, editable=False)
    bot = models.ForeignKey(Bot, verbose_name=_("bot"), on_delete=models.CASCADE, related_name="conversations")
    owner = models.CharField(_("owner"), max_length=160, blank=True, db_index=True, help_text=_("Empty: whoever knows the id."))
    created_at = models.DateTimeField(_("created"), auto_now_add=True)

    class Meta:
        verbose_name, verbose_name_plural = _("conversation"), _("conversations")
        ordering = ["-created_at"]

    def __str__(self) -> str:
        return self.id


class Turn(models.Model):
    """One question with its answer and trace."""

    class State(models.TextChoices):
        RUNNING = "running", _("Running")
        FINISHED = "finished", _("Finished")
        STOPPED = "stopped", _("Stopped")
        FAILED = "failed", _("Failed")

    id = models.CharField(primary_key=True, max_length=32, default=new_id, editable=False)
    conversation = models.ForeignKey(Conversation, verbose_name=_("conversation"), on_delete=models.CASCADE, related_name="turns")
    question = models.TextField(_("question"))
    answer = models.TextField(_("answer"), blank=True)
    answered = models.BooleanField(_("answered"), default=False)
    skill = models.CharField(_("skill"), max_length=40, blank=True)
    confidence = models.FloatField(_("confidence"), default=0.0)
    state = models.CharField(_("state"), max_length=10, choices=State, default=State.RUNNING)
    degraded = models.BooleanField(_("degraded"), default=False)
    sources = models.JSONField(_("sources"), default=list, blank=True)
    suggestions = models.JSONField(_("suggestions"), default=list, blank=True)
    trace = models.JSONField(_("trace"), default=dict, blank=True)
    timings_ms = models.JSONField(_("timings"), default=dict, blank=True)
    error = models.JSONField(_("error"), null=True, blank=True)
    created_at = models.DateTimeField(_("asked"), auto_now_add=True, db_index=True)

    class Meta:
        verbose_name, verbose_name_plural = _("turn"), _("turns")
        ordering = ["-created_at"]
        indexes = [models.Index(fields=["state", "created_at"], name="turn_state_created")]  # those that run too long

    def __str__(self) -> str:
        return self.question[:80]


class Feedback(models.Model):
    """A reader's vote on a turn: 1 or -1, the last one counts."""

    turn = models.OneToOneField(Turn, verbose_name=_("turn"), on_delete=models.CASCADE, related_name="feedback")
    vote = models.SmallIntegerField(_("vote"), choices=[(1, "👍"), (-1, "👎")])
    comment = models.TextField(_("comment"), blank=True)
    created_at = models.DateTimeField(_("given"), auto_now_add=True)

    class Meta:
        verbose_name, verbose_name_plural = _("feedback"), _("feedback")

    def __str__(self) -> str:
        return f"{self.vote:+d} {self.turn_id}"


class GoldSet(models.Model):
    """Questions to a knowledge base with the documents or passages that are right: rows of `{"query", "relevant": [id, …]}`."""

    kb = models.ForeignKey(KnowledgeBase, verbose_name=_("knowledge base"), on_delete=models.CASCADE, related_name="gold_sets")
    name = models.CharField(_("name"), max_length=200)
    rows = models.JSONField(default=list)
    row_count = models.PositiveIntegerField(_("questions"))
    sha256 = models.CharField(max_length=64)
    actor = models.CharField(_("by"), max_length=160, blank=True)
    created_at = models.DateTimeField(_("created"), auto_now_add=True)

    class Meta:
        verbose_name, verbose_name_plural = _("gold set"), _("gold sets")
        ordering = ["name"]
        constraints = [models.UniqueConstraint(fields=["kb", "name"], name="one_gold_set_a_name")]

    def __str__(self) -> str:
        return self.name


class EvaluationRun(models.Model):
    """What `evaluate` measured once: metrics, and for comparing runs the score of each question by `compared_by`, in the order of the file.

    `misses` are questions whose right document was not first: query, relevant ids, the first ids found, the place in each mode.
    """

    kb = models.ForeignKey(KnowledgeBase, on_delete=models.CASCADE, related_name="evaluation_runs")
    task = models.CharField(max_length=20)
    data_name = models.CharField(max_length=200)
    data_sha256 = models.CharField(max_length=64)
    encoder = models.CharField(max_length=200, blank=True)
    rows = models.PositiveIntegerField()
    metrics = models.JSONField(default=dict)
    parts = models.JSONField(default=dict)
    intervals = models.JSONField(default=dict)
    compared_by = models.CharField(max_length=40, blank=True)
    questions = models.JSONField(default=list)
    misses = models.JSONField(default=list)
    seconds = models.FloatField()
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        verbose_name, verbose_name_plural = _("hit test"), _("hit tests")
        ordering = ["-pk"]
        indexes = [models.Index(fields=["kb", "task", "data_sha256"], name="run_by_questions")]

    def __str__(self) -> str:
        return self.data_name
