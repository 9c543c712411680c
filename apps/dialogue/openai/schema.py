"""What the OpenAI-compatible routes take and give, for the OpenAPI description. Checking happens in `parameters`."""

from __future__ import annotations

from rest_framework import serializers


class MessageSchema(serializers.Serializer):
    role = serializers.ChoiceField(choices=["system", "developer", "user", "assistant"])
    content = serializers.CharField()


class ChatSchema(serializers.Serializer):
    model = serializers.CharField(help_text="A bot's slug, a deployment's name, or `generator`.")
    messages = MessageSchema(many=True)
    stream = serializers.BooleanField(required=False)
    stream_options = serializers.DictField(required=False)
    max_tokens = serializers.IntegerField(required=False)
    max_completion_tokens = serializers.IntegerField(required=False)
    temperature = serializers.FloatField(required=False)
    top_p = serializers.FloatField(required=False)
    stop = serializers.ListField(child=serializers.CharField(), required=False)
    seed = serializers.IntegerField(required=False)
    conversation = serializers.CharField(required=False, help_text="The id of a bot's earlier answer.")


class UsageSchema(serializers.Serializer):
    prompt_tokens = serializers.IntegerField()
    completion_tokens = serializers.IntegerField()
    total_tokens = serializers.IntegerField()


class ChoiceSchema(serializers.Serializer):
    index = serializers.IntegerField()
    message = MessageSchema()
    finish_reason = serializers.CharField()


class CompletionSchema(serializers.Serializer):
    id = serializers.CharField()
    object = serializers.CharField()
    created = serializers.IntegerField()
    model = serializers.CharField()
    choices = ChoiceSchema(many=True)
    usage = UsageSchema()
    wenlu = serializers.DictField(required=False, help_text="A bot's sources, confidence, turn and conversation.")


class EmbeddingsSchema(serializers.Serializer):
    model = serializers.CharField(help_text="`encoder`.")
    input = serializers.ListField(child=serializers.CharField())
    encoding_format = serializers.ChoiceField(choices=["float", "base64"], required=False)
    input_type = serializers.ChoiceField(choices=["query", "passage"], required=False)


class VectorSchema(serializers.Serializer):
    object = serializers.CharField()
    index = serializers.IntegerField()
    embedding = serializers.ListField(child=serializers.FloatField())


class VectorsSchema(serializers.Serializer):
    object = serializers.CharField()
    data = VectorSchema(many=True)
    model = serializers.CharField()
    usage = serializers.DictField(child=serializers.IntegerField())


class ModelSchema(serializers.Serializer):
    id = serializers.CharField()
    object = serializers.CharField()
    created = serializers.IntegerField()
    owned_by = serializers.CharField()


class ModelsSchema(serializers.Serializer):
    object = serializers.CharField()
    data = ModelSchema(many=True)
