"""Who is trained on and who is held out: disjoint sets of people, drawn once and for all.

The rule is part of what a job's specification means, so it stands where both sides can read it;
only a node ever applies it to records.
"""

import hashlib
import hmac
from collections.abc import Iterable
from decimal import Decimal
from typing import Annotated

from pydantic import Field

from policies.document import Document


class Split(Document):
    """Each person is held out with probability `holdout`, over the `salt` (16 bytes or more, hex).

    The salt need not be secret: a fold reveals nothing of a record to those who do not already
    know it.
    """

    salt: Annotated[str, Field(pattern=r"^([0-9a-f]{2}){16,64}$")]
    holdout: Annotated[Decimal, Field(ge=0, le=1)]

    def holds_out(self, identity: bytes) -> bool:
        """HMAC-SHA-256(salt, identity), its first 8 bytes, is below holdout * 2**64.

        A function of the person alone, so no other person's coming or going moves them, and the
        same in every job with this split, as long as the records say the same of them: between
        two versions of the records (`node.data.version`) people do change folds. Where every row
        is a person, the identity is the digest of the row's content, not its number: a removed
        row would renumber, and so reassign, all rows after it (threat: one record changes both
        folds, and the parallel composition over them no longer holds). Two equal rows share a
        fold, which is a function of either alone.
        """
        drawn = hmac.digest(bytes.fromhex(self.salt), identity, "sha256")[:8]
        return int.from_bytes(drawn, "big") < int(self.holdout * (1 << 64))


def row_identity(cells: Iterable[str]) -> bytes:
    """What stands for a person where every row is another one: SHA-256 of the row's cells.

    The same content gives the same digest, wherever the row stands. A corrected row is another
    person.
    """
    return hashlib.sha256("\0".join(cells).encode("utf-8", "surrogatepass")).digest()
