from django.db import migrations, models


class Migration(migrations.Migration):
    """A document's text becomes its last column: SQLite walks through all of a long text to whatever lies behind it.

    And the index by date has the whole order of the archive.
    """

    dependencies = [
        ("retrieval", "0008_open_search"),
    ]

    operations = [
        migrations.AddField(
            model_name="document",
            name="text_behind",
            field=models.TextField(default="", verbose_name="text"),
            preserve_default=False,
        ),
        migrations.RunSQL("UPDATE retrieval_document SET text_behind = text"),
        migrations.RemoveField(model_name="document", name="text"),
        migrations.RenameField(model_name="document", old_name="text_behind", new_name="text"),
        migrations.RemoveIndex(model_name="document", name="document_by_date"),
        migrations.AddIndex(model_name="document", index=models.Index(fields=["kb", "date", "id"], name="document_by_day")),
    ]
