"""A folder of photographs and receipts -> a Parquet table -> answers in SQL."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import duckdb
from pydantic import BaseModel, Field

from glmv_batch import Job

MODEL = "glm-4.6v"


class Picture(BaseModel):
    """What one picture shows. Fields that it does not show stay empty."""

    shop: str | None = Field(None, description="the name at the head of a receipt")
    date: str | None = Field(None, description="the day on a receipt")
    total: float | None = Field(None, description="the total of a receipt")
    main_color: str | None = None


QUESTIONS = {
    "What was spent, and where?": """
        select shop, count(*) receipts, round(sum(total), 2) spent
        from lake where total is not null group by shop order by spent desc""",
    "Which day was dearest?": """
        select date, round(sum(total), 2) spent from lake where total is not null group by date order by spent desc
        limit 1""",
    "Which pictures are no receipts?": "select key, main_color from lake where total is null order by key",
}


def job(folder: Path, **connection: Any) -> Job:
    """The job that reads every picture of the folder once."""
    return Job(folder, "Read this picture.", schema=Picture, model=MODEL, thinking=False, **connection)


def query(table: Path, sql: str) -> duckdb.DuckDBPyRelation:
    """The result of an SQL query; its name for the table is `lake`."""
    lake = duckdb.read_parquet(str(table))
    return lake.query("lake", sql)
