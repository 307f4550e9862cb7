"""The answers of a whole part of the plan → one file of the table and, at need, one of errors."""

from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any

from mien.batch.chunks import TALLY, Tally, read_chunk
from mien.batch.job import Job
from mien.batch.places import Place, told, write_whole
from mien.batch.plan import Chunk
from mien.batch.rows import answers_schema, errors_schema

GROUP = 20_000
"""Rows that are in memory together, and lie together in the file."""


def answers_place(out: Place, part: int) -> Place:
    """Give where the answers of a part are: that they are there says that the part is done."""
    return out / "predictions" / f"part-{part:06}.parquet"


def errors_place(out: Place, part: int) -> Place:
    """Give where the errors of a part are, if there are any."""
    return out / "errors" / f"part-{part:06}.parquet"


def is_done(out: Place, part: int) -> bool:
    """Whether a part is done."""
    return answers_place(out, part).kind == "file"


def done_parts(out: Place) -> set[int]:
    """Give the numbers of the parts that are done."""
    names = (info.base_name for info in (out / "predictions").children())
    return {int(name[5:11]) for name in names if name.startswith("part-")}


def finish_part(job: Job, part: int, chunks: Sequence[Chunk]) -> None:
    """Put the answers of a part together, in the order of the plan.

    Errors come first and answers last: whoever is killed in between leaves the pieces, and both
    files are written anew.

    Raises:
        InvalidArgument: a piece cannot be read, or a file not be written.
    """
    if not is_done(job.out, part):
        _write_errors(job, part, chunks)
        _write_answers(job, part, chunks)
    (job.work / "chunks" / f"{part:06}").remove()


def read_tally(out: Place, part: int) -> Tally:
    """Read how many clips of a part came to what, from the end of its file.

    Raises:
        InvalidArgument: it cannot be read.
    """
    from pyarrow import parquet  # noqa: PLC0415

    place = answers_place(out, part)
    with told(place, "read"), place.filesystem.open_input_file(place.path) as file:
        return Tally.of_json(parquet.read_metadata(file).metadata[TALLY])


def _write_answers(job: Job, part: int, chunks: Sequence[Chunk]) -> None:
    def write(file: Any) -> None:
        tally, waiting = Tally(), _Groups(file, answers_schema())
        with waiting:
            for chunk in chunks:
                answers = read_chunk(job.work, chunk)
                tally.add(answers.tally)
                waiting.add(answers.rows)
            waiting.writer.add_key_value_metadata({TALLY.decode(): tally.as_json()})

    write_whole(answers_place(job.out, part), write, work=job.work / "part")


def _write_errors(job: Job, part: int, chunks: Sequence[Chunk]) -> None:
    import pyarrow  # noqa: PLC0415
    from pyarrow import parquet  # noqa: PLC0415

    found = [read_chunk(job.work, chunk).errors for chunk in chunks]
    errors = pyarrow.concat_tables(found).cast(errors_schema())
    place = errors_place(job.out, part)
    if errors.num_rows:
        write_whole(place, lambda file: parquet.write_table(errors, file), work=job.work / "part")
    else:
        place.remove()


class _Groups(ExitStack):
    """Writes rows in groups, not one group a piece."""

    def __init__(self, file: Any, schema: Any) -> None:
        super().__init__()
        from pyarrow import parquet  # noqa: PLC0415

        self.writer = self.enter_context(parquet.ParquetWriter(file, schema))
        self.callback(self._flush)
        self._schema = schema
        self._tables: list[Any] = []

    def add(self, rows: Any) -> None:
        self._tables.append(rows.cast(self._schema))
        if sum(table.num_rows for table in self._tables) >= GROUP:
            self._flush()

    def _flush(self) -> None:
        import pyarrow  # noqa: PLC0415

        if self._tables:
            self.writer.write_table(pyarrow.concat_tables(self._tables))
        self._tables = []
