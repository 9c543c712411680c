"""How a turn's rows are inserted: with SQL that is built once per table instead of once per row.

Each answer writes two rows. Building their INSERT through the ORM costs more than running it (0.8 ms against 0.3 for both);
the fields still prepare their own values, so both databases get what `save()` would give them.
"""

from __future__ import annotations

from functools import cache

from django.db import connection
from django.db.models import Model


def insert_row(instance: Model) -> None:
    """Inserts the instance, whose primary key is set, as `save(force_insert=True)` would but for signals."""
    fields = instance._meta.concrete_fields
    values = [field.get_db_prep_save(field.pre_save(instance, True), connection) for field in fields]
    with connection.cursor() as cursor:
        cursor.execute(_statement(instance._meta.db_table, tuple(str(field.column) for field in fields)), values)
    instance._state.adding = False


@cache
def _statement(table: str, columns: tuple[str, ...]) -> str:
    quote = connection.ops.quote_name
    return f"INSERT INTO {quote(table)} ({', '.join(map(quote, columns))}) VALUES ({', '.join(['%s'] * len(columns))})"
