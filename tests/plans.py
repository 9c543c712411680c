"""How does the database of the tests run a query?"""

from __future__ import annotations

from django.db import connection


def plan_of(sql: str) -> str:
    """How the database runs a query; PostgreSQL is told to scan and to sort only where nothing else can be done, since tables are small here."""
    with connection.cursor() as cursor:
        if connection.vendor == "sqlite":
            cursor.execute(f"EXPLAIN QUERY PLAN {sql}")
            return "\n".join(str(row[3]) for row in cursor.fetchall())
        cursor.execute("SET LOCAL enable_seqscan = off")
        cursor.execute("SET LOCAL enable_sort = off")
        cursor.execute(f"EXPLAIN {sql}")
        return "\n".join(str(row[0]) for row in cursor.fetchall())


def scans(sql: str) -> list[str]:
    """The lines of the plan that read a whole table of ours."""
    lines = [line.strip() for line in plan_of(sql).splitlines()]
    word = "SCAN" if connection.vendor == "sqlite" else "Seq Scan"
    return [line for line in lines if word in line and "CONSTANT ROW" not in line]


def sorts(sql: str) -> list[str]:
    """The lines of the plan that put rows in order which no index gives."""
    lines = [line.strip() for line in plan_of(sql).splitlines()]
    return [line for line in lines if "TEMP B-TREE FOR ORDER BY" in line or line.removeprefix("->").strip().startswith("Sort ")]
