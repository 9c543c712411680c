"""What can SQLite read of many rows without the rows? An index that holds all that a query wants of them."""

from __future__ import annotations

from typing import Any

from django.db import models
from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.backends.ddl_references import Statement


class WideIndex(models.Index):
    """An index over two columns to look up by and more to read.

    On SQLite a row lies among its long texts, a page of the file for each; the index of a whole base fits into its cache.
    PostgreSQL keeps long texts apart and takes no long values into an index: there it has the first two columns alone.
    """

    def create_sql(self, model: type[models.Model], schema_editor: BaseDatabaseSchemaEditor, using: str = "", **kwargs: Any) -> Statement:
        """The statement that makes the index."""
        if schema_editor.connection.vendor == "sqlite":
            return super().create_sql(model, schema_editor, using, **kwargs)
        return models.Index(fields=self.fields[:2], name=self.name).create_sql(model, schema_editor, using, **kwargs)
