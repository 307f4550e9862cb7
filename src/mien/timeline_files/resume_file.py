"""``talk.csv.resume``: beside a table that is not finished, from where a later run can go on.

It holds where faces were and which colours they had, so it goes away with the run that finishes.
"""

from __future__ import annotations

import json
from pathlib import Path

from mien.acquaintance import Acquaintance
from mien.timeline_files.facts import TimelineFacts
from mien.timeline_files.writer import Part
from mien.windows import Checkpoint


class ResumeFile:
    """The checkpoints of a table that is being written.

    Args:
        table: the table.
        facts: how it is made; checkpoints of another run are as good as none.
        resume: take the checkpoints that are there.
    """

    def __init__(self, table: Path, facts: TimelineFacts, *, resume: bool) -> None:
        self._path = table.with_name(f"{table.name}.resume")
        self._settings = facts.settings()
        self._checkpoints = self._stored() if resume else []

    def before(self, from_s: float) -> Checkpoint | None:
        """Give the last checkpoint from which windows are the same from that start on."""
        known = [each for each in self._checkpoints if each.same_from_s <= from_s]
        return known[-1] if known else None

    def keep(self, checkpoint: Checkpoint) -> None:
        """Take the next checkpoint; those that no later run needs are forgotten."""
        useful = self.before(checkpoint.start_s)
        since = useful.start_s if useful else 0.0
        self._checkpoints = [each for each in self._checkpoints if each.start_s >= since]
        self._checkpoints.append(checkpoint)

    def write(self) -> None:
        """Put the checkpoints on disk, if there are any."""
        if not self._checkpoints:
            self.drop()
            return
        told = {
            "mien": self._settings,
            "checkpoints": [each.to_dict() for each in self._checkpoints],
        }
        with Part(self._path) as part:
            part.path.write_text(json.dumps(told) + "\n", "utf-8")

    def drop(self) -> None:
        """Remove the file."""
        self._path.unlink(missing_ok=True)

    def _stored(self) -> list[Checkpoint]:
        # Without it a run is only slower: it begins anew.
        try:
            told = json.loads(self._path.read_bytes())
            if told["mien"] != self._settings:
                return []
            found = [Checkpoint.from_dict(each) for each in told["checkpoints"]]
            for each in found:
                Acquaintance.from_dict(each.known)
        except (OSError, ValueError, LookupError, TypeError):
            return []
        return found
