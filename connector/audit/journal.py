"""How entries lie on disk: the framing of tlog-tiles entry bundles, and the write-ahead journal.

A frame is `u16be length || entry` (c2sp.org/tlog-tiles, entry bundles), so an entry has 1 to
65,535 bytes. A journal record commits one batch, and carries its proof of being whole:

    u32be length of frames | frames | u16be length of note | signed checkpoint after these entries

The signature over the root is the record's checksum: a torn record cannot have a valid one. Four
zero bytes end the journal. What follows them is dead: the file is written over in place, since a
sync that changes no file length is much cheaper (measured: 0.7 of one that does).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import BinaryIO

MAX_ENTRY = (1 << 16) - 1
# One record's frames; a group commit never gathers more.
MAX_BATCH = 4 << 20
END = bytes(4)
# What a reader takes into memory: the writer settles long before.
MAX_JOURNAL = 16 << 20
_CHUNK = 1 << 18


class FrameError(Exception):
    """Bytes at `offset` are not a whole frame."""

    def __init__(self, offset: int) -> None:
        super().__init__(f"no whole frame at byte {offset}")
        self.offset = offset


def frame(entries: Sequence[bytes]) -> bytes:
    """Entries of 1 to 65,535 bytes, each behind its length."""
    return b"".join(part for entry in entries for part in (len(entry).to_bytes(2, "big"), entry))


def read_frames(file: BinaryIO) -> Iterator[tuple[int, bytes]]:
    """Yield (offset after the frame, entry) with one chunk in memory.

    Raises `FrameError` where the file ends inside a frame, or at a frame of length zero (what
    a power cut leaves in blocks that were never written).
    """
    start, position, buffer = 0, 0, b""
    while chunk := file.read(_CHUNK):
        start, buffer, position = start + position, buffer[position:] + chunk, 0
        filled = len(buffer)
        while position + 2 <= filled:
            length = buffer[position] << 8 | buffer[position + 1]
            end = position + 2 + length
            if end > filled:
                break
            if length == 0:
                raise FrameError(start + position)
            yield start + end, buffer[position + 2 : end]
            position = end
    if position != len(buffer):
        raise FrameError(start + position)


@dataclass(frozen=True)
class Record:
    """One batch: its entries, the signed checkpoint after them, and where the record ends."""

    entries: tuple[bytes, ...]
    note: bytes
    end: int


def encode_record(frames: bytes, note: bytes) -> bytes:
    """A journal record around frames and the checkpoint that covers them; `END` is to follow."""
    return b"".join([len(frames).to_bytes(4, "big"), frames, len(note).to_bytes(2, "big"), note])


def ends_cleanly(journal: bytes, end: int) -> bool:
    """Whether no further record was begun at `end`."""
    return not any(journal[end : end + len(END)])


def read_records(journal: bytes) -> Iterator[Record]:
    """Yield records as far as their lengths make sense; nothing is authenticated here."""
    position = 0
    while not ends_cleanly(journal, position):
        frames_end = position + 4 + int.from_bytes(journal[position : position + 4], "big")
        end = frames_end + 2 + int.from_bytes(journal[frames_end : frames_end + 2], "big")
        if frames_end + 2 > len(journal) or end > len(journal):
            return
        entries = _split(journal[position + 4 : frames_end])
        yield Record(entries, journal[frames_end + 2 : end], end)
        position = end


def _split(frames: bytes) -> tuple[bytes, ...]:
    # A damaged record has no entries; its note cannot match then, and its length still leads on.
    entries: list[bytes] = []
    position = 0
    while position < len(frames):
        end = position + 2 + int.from_bytes(frames[position : position + 2], "big")
        if end > len(frames) or end == position + 2:
            return ()
        entries.append(frames[position + 2 : end])
        position = end
    return tuple(entries)
