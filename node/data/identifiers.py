"""One form for what identifies a person, in the records and in the list of opt-outs.

Threat: a person under two spellings is two people to every bound on a person's contribution, and
an opt-out that is spelled unlike the records opts nobody out, in silence. So what tools do to an
identifier is undone, and what they have destroyed is refused:

- text is in Unicode's form NFC, without spaces around it;
- a whole number is its digits: "123", "123.0" (a table with gaps, written by pandas), 123 and
  123.0 of a Parquet file, and "0123" are one person. Spreadsheets drop leading zeros, so the two
  sides of an opt-out often differ in them; identifiers that differ in nothing else are rare, and
  the price of taking two people for one is that the second counts as rows of the first;
- a number that went through floating point and is too large for it has lost digits: refused.
"""

import re
import unicodedata

from node.data.values import EXACT, Cell

# ".0" is how Python writes a float, whatever mark the other columns have.
_WHOLE = {
    ".": re.compile(r"(-?)0*([0-9]+)(\.0+)?"),
    ",": re.compile(r"(-?)0*([0-9]+)(\.0|,0+)?"),
}
# The plus sign tells it from a hexadecimal pseudonym such as 12e7.
_SCIENTIFIC = re.compile(r"-?[0-9](?:[.,][0-9]+)?[eE]\+[0-9]+")


def identifier(cell: Cell, decimal_mark: str = ".") -> str:
    """The person's identifier; "" for none.

    Raises `ValueError`, without the cell, for what does not say exactly whom it means: a float of
    2**53 or more, a fraction, a truth value, text with characters that cannot be seen.
    """
    if isinstance(cell, str):
        return _of_text(cell, decimal_mark)
    if cell is None or cell != cell:  # noqa: PLR0124 - NaN, in Parquet another spelling of null
        return ""
    if isinstance(cell, bool) or (isinstance(cell, float) and abs(cell) >= EXACT):
        raise ValueError
    if cell != int(cell):
        raise ValueError
    return str(int(cell))


def _of_text(text: str, decimal_mark: str) -> str:
    text = (text if text.isascii() else unicodedata.normalize("NFC", text)).strip()
    if not text.isprintable() or _SCIENTIFIC.fullmatch(text):
        raise ValueError
    whole = _WHOLE[decimal_mark].fullmatch(text)
    if whole is None:
        return text
    sign, digits, fraction = whole.groups()
    if fraction and (len(digits) > 16 or int(digits) >= EXACT):
        raise ValueError
    return digits if digits == "0" else sign + digits
