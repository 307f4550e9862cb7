"""The answers of a whole part of the plan → one file of the table and, at need, one of errors."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, suppress
from typing import Any

from mien.batch.chunks import TALLY, Answers, Tally, TornPiece, read_chunk, remove_chunk
from mien.batch.job import Job
from mien.batch.places import Place, numbers, told, write_whole
from mien.batch.plan import Chunk
from mien.batch.rows import answers_schema, as_table, errors_schema

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
    return set(numbers(out / "predictions", before="part-", after=".parquet"))


def finish_part(job: Job, part: int, chunks: Sequence[Chunk]) -> list[Chunk]:
    """Put the answers of a part together, in the order of the plan.

    Errors come first and answers last: whoever is killed in between leaves the pieces, and both
    files are written anew.

    Returns:
        Pieces that are not whole, and were removed: the part waits for them.

    Raises:
        InvalidArgument: a piece cannot be read, or a file not be written.
    """
    torn: list[Chunk] = []
    if not is_done(job.out, part):
        with suppress(TornPiece):
            _write(job, part, _whole(job.work, chunks, torn))
    if not torn:
        (job.work / "chunks" / f"{part:06}").remove()
    return torn


def read_tally(out: Place, part: int) -> Tally:
    """Read how many clips of a part came to what, from the end of its file.

    Raises:
        InvalidArgument: it cannot be read.
    """
    from pyarrow import parquet  # noqa: PLC0415

    place = answers_place(out, part)
    with told(place, "read"), place.filesystem.open_input_file(place.path) as file:
        return Tally.of_json(parquet.read_metadata(file).metadata[TALLY])


def _whole(work: Place, chunks: Sequence[Chunk], torn: list[Chunk]) -> Iterator[Answers]:
    """Read each piece, and remove those that are torn.

    Raises:
        TornPiece: after the last piece, if one of them was.
    """
    for chunk in chunks:
        try:
            yield read_chunk(work, chunk)
        except TornPiece:
            remove_chunk(work, chunk)
            torn.append(chunk)
    if torn:
        raise TornPiece


def _write(job: Job, part: int, pieces: Iterator[Answers]) -> None:
    import pyarrow  # noqa: PLC0415

    def write(file: Any) -> None:
        tally, errors = Tally(), [errors_schema().empty_table()]
        with _Groups(file, answers_schema()) as groups:
            for answers in pieces:
                tally.add(answers.tally)
                groups.add(answers.rows)
                # Copied: a table would hold all of the piece that it was read from.
                errors.append(as_table(answers.errors.to_pylist(), errors_schema()))
            groups.writer.add_key_value_metadata({TALLY.decode(): tally.as_json()})
        _write_errors(job, part, pyarrow.concat_tables(errors))

    write_whole(answers_place(job.out, part), write, work=job.work / "part")


def _write_errors(job: Job, part: int, errors: Any) -> None:
    from pyarrow import parquet  # noqa: PLC0415

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
