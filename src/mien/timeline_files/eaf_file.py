"""``.eaf``: an annotation file for ELAN, with a tier a person and one for speech.

Source: MPI for Psycholinguistics, "EAF Annotation Format", schema 3.0.
"""

from __future__ import annotations

import mimetypes
from datetime import datetime
from pathlib import Path
from typing import NamedTuple
from xml.etree.ElementTree import Element, ElementTree, SubElement, indent

import mien
from mien.emotions import EMOTIONS
from mien.stretches import Stretch, Stretches
from mien.timeline_files.facts import TimelineFacts
from mien.timeline_files.writer import Part
from mien.windows import Window

SPOKEN = 0.5
"""Share of a window from which its stretch is annotated as speech."""
SPEECH_TIER = "speech"
VOICE_TIER = "voice"
"""What is expressed where no face was found."""
_UNDETERMINED = {
    "LANG_ID": "und",
    "LANG_DEF": "http://cdb.iso.org/lg/CDB-00130975-001",
    "LANG_LABEL": "undetermined (und)",
}


class _Annotation(NamedTuple):
    start: int
    """Milliseconds."""
    end: int
    value: str


class EafFile:
    """Writes annotations: the likeliest emotion while it stays the same, and speech.

    Windows that overlap become stretches that follow each other (:mod:`mien.stretches`), and
    neighbouring stretches of one value become one annotation, as ELAN's statistics expect.
    Stretches without an answer, or with too unsure a one, have no annotation.

    Args:
        path: the file; it is put there when it is closed.
        facts: of the clip, to which the file refers by its relative place.

    Raises:
        InvalidArgument: the file cannot be written.
    """

    def __init__(self, path: Path, facts: TimelineFacts) -> None:
        self.begun = False
        self._part = Part(path)
        self._address = facts.place_from(path)
        self._mime = mimetypes.guess_type(facts.clip.name)[0] or "video/mp4"
        self._stretches = Stretches()
        # Times stand before the annotations in the file: these wait in memory, as few as they are.
        self._tiers: dict[str, list[_Annotation]] = {SPEECH_TIER: []}

    def write(self, window: Window) -> None:
        """Take a row."""
        self.begun = True
        for stretch in self._stretches.add(window):
            self._annotate(stretch)

    def close(self) -> None:
        """Write the file and put it into its place."""
        for stretch in self._stretches.rest():
            self._annotate(stretch)
        ordered = sorted(self._tiers, key=_tier_place)
        tree = _document({name: self._tiers[name] for name in ordered}, self._address, self._mime)
        indent(tree, "    ")
        with self._part:
            ElementTree(tree).write(self._part.path, encoding="UTF-8", xml_declaration=True)

    def discard(self) -> None:
        """Leave what was there."""
        self._part.drop()

    def _annotate(self, stretch: Stretch) -> None:
        spoken = max((window.speech or 0 for window in stretch.windows), default=0)
        if spoken >= SPOKEN:
            self._add(SPEECH_TIER, stretch, "speech")
        for window in stretch.windows:
            if window.emotion is not None:
                self._add(_tier(window.person), stretch, window.emotion)

    def _add(self, tier: str, stretch: Stretch, value: str) -> None:
        start, end = round(1000 * stretch.start_s), round(1000 * stretch.end_s)
        before = self._tiers.setdefault(tier, [])
        if before and before[-1].end == start and before[-1].value == value:
            start = before.pop().start
        if end > start:
            before.append(_Annotation(start, end, value))


def _tier(person: int | None) -> str:
    return VOICE_TIER if person is None else f"person {person}"


def _tier_place(name: str) -> tuple[int, int]:
    """Order the tiers: persons by their numbers, then the voice, then speech."""
    if name in {VOICE_TIER, SPEECH_TIER}:
        return 1, (VOICE_TIER, SPEECH_TIER).index(name)
    return 0, int(name.removeprefix("person "))


def _document(tiers: dict[str, list[_Annotation]], address: str, mime: str) -> Element:
    root = Element(
        "ANNOTATION_DOCUMENT",
        {
            "AUTHOR": f"mien {mien.__version__}",
            "DATE": datetime.now().astimezone().isoformat(timespec="seconds"),
            "FORMAT": "3.0",
            "VERSION": "3.0",
            "xmlns:xsi": "http://www.w3.org/2001/XMLSchema-instance",
            "xsi:noNamespaceSchemaLocation": "http://www.mpi.nl/tools/elan/EAFv3.0.xsd",
        },
    )
    header = SubElement(root, "HEADER", {"MEDIA_FILE": "", "TIME_UNITS": "milliseconds"})
    place = {"MEDIA_URL": address, "MIME_TYPE": mime, "RELATIVE_MEDIA_URL": address}
    SubElement(header, "MEDIA_DESCRIPTOR", place)
    slots = _time_order(root, tiers)
    number = 0
    for name, aligned in tiers.items():
        kind = "speech" if name == SPEECH_TIER else "emotion"
        tier = SubElement(root, "TIER", {"LINGUISTIC_TYPE_REF": kind, "TIER_ID": name})
        for annotation in aligned:
            number += 1
            _annotation(tier, annotation, number=number, slots=slots)
    _types(root)
    return root


def _time_order(root: Element, tiers: dict[str, list[_Annotation]]) -> dict[int, str]:
    """Write each time once; give the name of its slot."""
    aligned = [each for tier in tiers.values() for each in tier]
    times = sorted({time for each in aligned for time in (each.start, each.end)})
    slots = {time: f"ts{number}" for number, time in enumerate(times, 1)}
    order = SubElement(root, "TIME_ORDER")
    for time, slot in slots.items():
        SubElement(order, "TIME_SLOT", {"TIME_SLOT_ID": slot, "TIME_VALUE": str(time)})
    return slots


def _annotation(
    tier: Element, annotation: _Annotation, *, number: int, slots: dict[int, str]
) -> None:
    aligned = SubElement(
        SubElement(tier, "ANNOTATION"),
        "ALIGNABLE_ANNOTATION",
        {
            "ANNOTATION_ID": f"a{number}",
            "TIME_SLOT_REF1": slots[annotation.start],
            "TIME_SLOT_REF2": slots[annotation.end],
        },
    )
    SubElement(aligned, "ANNOTATION_VALUE").text = annotation.value


def _types(root: Element) -> None:
    """Tell what tiers hold; ELAN offers the eight emotions where one is corrected by hand."""
    plain = {"GRAPHIC_REFERENCES": "false", "TIME_ALIGNABLE": "true"}
    emotion = {"CONTROLLED_VOCABULARY_REF": "emotions", "LINGUISTIC_TYPE_ID": "emotion"}
    SubElement(root, "LINGUISTIC_TYPE", plain | emotion)
    SubElement(root, "LINGUISTIC_TYPE", plain | {"LINGUISTIC_TYPE_ID": "speech"})
    SubElement(root, "LANGUAGE", _UNDETERMINED)
    vocabulary = SubElement(root, "CONTROLLED_VOCABULARY", {"CV_ID": "emotions"})
    SubElement(vocabulary, "DESCRIPTION", {"LANG_REF": "und"}).text = "what is expressed"
    for emotion_name in EMOTIONS:
        entry = SubElement(vocabulary, "CV_ENTRY_ML", {"CVE_ID": f"cv_{emotion_name}"})
        SubElement(entry, "CVE_VALUE", {"LANG_REF": "und"}).text = emotion_name
