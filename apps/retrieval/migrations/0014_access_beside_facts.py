from django.db import migrations

from apps.retrieval.wide_index import WideIndex


class Migration(migrations.Migration):
    """Whether hits may still be shown is read from the same index as what they are counted by."""

    dependencies = [
        ("retrieval", "0013_withdrawal_reason"),
    ]

    operations = [
        migrations.RemoveIndex(model_name="document", name="document_facts"),
        migrations.AddIndex(
            model_name="document",
            index=WideIndex(fields=["kb", "id", "status", "category", "language", "author", "date", "tags", "access"], name="document_facts"),
        ),
    ]
