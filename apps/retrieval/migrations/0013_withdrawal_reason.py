"""Pages that are gone are withdrawn like what the policy takes out, so that one rule says what brings a document back.

A page whose document has been published again, or archived by a person since, was remembered as gone all the same: that is forgotten.
"""

from django.db import migrations, models


def move_gone_pages(apps, schema_editor):
    Document, SitePage, Withdrawal = (apps.get_model("retrieval", name) for name in ("Document", "SitePage", "Withdrawal"))
    for page in SitePage.objects.exclude(status_before="").order_by("pk").iterator():
        document = Document.objects.filter(kb=page.kb_id, external_id=page.external_id, status="archived", source_sha256="").only("pk").first()
        if document is not None:
            Withdrawal.objects.get_or_create(document=document, defaults={"status_before": page.status_before, "reason": "gone"})


class Migration(migrations.Migration):

    dependencies = [
        ("retrieval", "0012_later_pages"),
    ]

    operations = [
        migrations.AddField(
            model_name="withdrawal",
            name="reason",
            field=models.CharField(choices=[("policy", "policy"), ("gone", "gone")], default="policy", max_length=10),
        ),
        migrations.RunPython(move_gone_pages, migrations.RunPython.noop),
        migrations.RemoveField(model_name="sitepage", name="status_before"),
    ]
