from django.db import migrations

from apps.retrieval.wide_index import WideIndex


class Migration(migrations.Migration):
    """What hits are counted by is read from indexes alone on SQLite."""

    dependencies = [
        ("retrieval", "0009_document_text_last"),
    ]

    operations = [
        migrations.AddIndex(
            model_name="document",
            index=WideIndex(fields=["kb", "id", "status", "category", "language", "author", "date", "tags"], name="document_facts"),
        ),
        migrations.AddIndex(model_name="passage", index=WideIndex(fields=["id", "document"], name="passage_document")),
    ]
