import io
import os

import pytest

from node.data.dataset import Dataset
from node.data.version import stamp, version_of


def dataset(**changes):
    table = {
        "id": "north/ward",
        "title": "A ward",
        "person_column": "person",
        "source": {"kind": "csv", "path": "ward.csv"},
        "columns": [
            {"name": "pain", "kind": "category", "categories": ["a", "b"], "codes": {"mäßig": "b"}}
        ],
    }
    return Dataset.model_validate(table | changes)


def version(records=b"12", listed=None, **changes):
    return version_of(
        dataset(**changes), io.BytesIO(records), None if listed is None else io.BytesIO(listed)
    )


def test_the_same_records_list_and_configuration_are_the_same_version():
    assert version() == version()
    assert version(listed=b"1") == version(listed=b"1")
    assert len(bytes.fromhex(version())) == 32


def test_every_part_counts_and_none_can_stand_for_another():
    versions = [
        version(),
        version(b"13"),
        version(b"12\n"),
        version(b"", b"12"),
        version(b"1", b"2"),
        version(listed=b""),
        version(title="Another ward"),
        version(max_rows_per_person=2),
        version(source={"kind": "csv", "path": "ward.csv", "missing": ["?"]}),
    ]
    assert len(set(versions)) == len(versions)


def test_the_files_can_be_read_afterwards():
    records, listed = io.BytesIO(b"12"), io.BytesIO(b"34")
    records.seek(2)
    version_of(dataset(), records, listed)
    assert (records.read(), listed.read()) == (b"12", b"34")


@pytest.mark.parametrize("change", ["content", "replaced", "touched"])
def test_a_stamp_shows_that_a_file_is_another(tmp_path, change):
    path = tmp_path / "ward.csv"
    path.write_bytes(b"12")
    os.utime(path, ns=(1, 1))
    before = stamp(path.stat())
    assert stamp(path.stat()) == before
    if change == "content":
        path.write_bytes(b"123")
        os.utime(path, ns=(1, 1))
    elif change == "replaced":
        other = tmp_path / "new.csv"
        other.write_bytes(b"12")
        os.utime(other, ns=(1, 1))
        other.rename(path)
    else:
        os.utime(path, ns=(1, 2))
    assert stamp(path.stat()) != before
