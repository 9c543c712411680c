"""What the ask routes take and give, for the OpenAPI description. Checking happens where the values are used."""

from __future__ import annotations

from rest_framework import serializers


class AskSchema(serializers.Serializer):
    question = serializers.CharField(max_length=10_000)
    conversation = serializers.CharField(required=False)


class SourceSchema(serializers.Serializer):
    kind = serializers.CharField()
    id = serializers.CharField()
    document = serializers.CharField(required=False)
    title = serializers.CharField()
    text = serializers.CharField()
    url = serializers.CharField(allow_null=True, help_text="Where the reader finds the source; null where it has no address.")
    score = serializers.FloatField()
    start = serializers.IntegerField(required=False, help_text="Of a passage: where its text begins in the document's text.")
    end = serializers.IntegerField(required=False)
    page = serializers.IntegerField(required=False)
    marks = serializers.ListField(
        child=serializers.ListField(child=serializers.IntegerField(), min_length=2, max_length=2),
        required=False,
        help_text="Spans of `text` that the answer says word for word.",
    )


class AnswerSchema(serializers.Serializer):
    turn = serializers.CharField()
    conversation = serializers.CharField()
    answer = serializers.CharField()
    answered = serializers.BooleanField()
    skill = serializers.CharField(allow_null=True)
    confidence = serializers.FloatField()
    sources = SourceSchema(many=True)
    suggestions = serializers.ListField(child=serializers.CharField())
    degraded = serializers.BooleanField()
    timings_ms = serializers.DictField(child=serializers.FloatField())


class TurnSchema(serializers.Serializer):
    turn = serializers.CharField()
    question = serializers.CharField()
    answer = serializers.CharField()
    answered = serializers.BooleanField()
    skill = serializers.CharField(allow_null=True)
    confidence = serializers.FloatField()
    state = serializers.CharField()
    sources = SourceSchema(many=True)
    suggestions = serializers.ListField(child=serializers.CharField())
    degraded = serializers.BooleanField()
    stopped = serializers.BooleanField()
    error = serializers.DictField(allow_null=True)
    vote = serializers.IntegerField(allow_null=True)
    created_at = serializers.DateTimeField()


class ConversationSchema(serializers.Serializer):
    id = serializers.CharField()
    bot = serializers.CharField()
    title = serializers.CharField()
    created_at = serializers.DateTimeField()
    turns = TurnSchema(many=True)


class TurnDocumentSchema(serializers.Serializer):
    source = serializers.CharField(help_text="The `id` of the source.")
    url = serializers.CharField(help_text="The page on which its document is read, at what was cited; of this server.")


class TurnDocumentsSchema(serializers.Serializer):
    documents = TurnDocumentSchema(many=True)


class ExplanationSchema(TurnSchema):
    trace = serializers.DictField()
    timings_ms = serializers.DictField(child=serializers.FloatField())


class FeedbackSchema(serializers.Serializer):
    vote = serializers.ChoiceField(choices=[1, -1])
    comment = serializers.CharField(required=False, max_length=4000)
