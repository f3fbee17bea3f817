"""The demo's own copy of the records is what a node reads, people and folds included."""

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from connector.folds import Split
from coordinator.demo.flchain import flchain
from coordinator.demo.heart import heart
from coordinator.demo.space import Story
from node import config
from node.data import cohort
from node.data.sources import open_file
from policies import examples

NOW = datetime(2026, 11, 22, tzinfo=UTC)
HEART = Path(__file__).parents[3] / "shared" / "data" / "heart4"
SPLIT = Split(salt="5a" * 32, holdout="0.25")


def assert_nodes_read_the_same(story: Story, directory: Path) -> None:
    records = story.records(SPLIT)
    for hospital in story.hospitals:
        place = directory / hospital.name
        place.mkdir()
        for name, content in hospital.files.items():
            if isinstance(content, Path):
                (place / name).symlink_to(content)
            else:
                (place / name).write_text(content)
        paths = config.Paths(place)
        (holding,) = config.holdings(paths, config.load(paths))
        shown = examples.load(str(hospital.files["policy.examples.toml"]).encode(), "examples")
        assert examples.run(holding.policy, shown).objection == ""
        source = holding.dataset.source
        columns = (*story.inputs, story.outcome)
        with open(open_file(source.path, source.max_bytes), "rb") as file:  # noqa: PTH123 - a descriptor
            view = cohort.build(holding.dataset, file, columns, SPLIT)
        own = records[hospital.name]
        assert (view.holdout[view.person] == own.holdout).all()
        for column in columns:
            schema = holding.dataset.schema.find(column)
            assert schema is not None
            mine = own.values[column]
            if schema.kind == "numeric":
                mine = np.clip(mine, float(schema.minimum or 0), float(schema.maximum or 0))
            np.testing.assert_array_equal(view.columns[column], mine, err_msg=column)


def test_flchain_is_dealt_out_whole_and_read_as_dealt(tmp_path: Path) -> None:
    pytest.importorskip("sksurv", reason="scikit-survival is not installed")
    story = flchain(NOW)
    assert sum(len(people.identities) for people in story.people.values()) == 7874
    ages = [people.values["age"].mean() for people in story.people.values()]
    assert ages == sorted(ages)
    assert ages[-1] > ages[0] + 5, "the hospitals differ"
    assert_nodes_read_the_same(story, tmp_path)


def test_the_heart_files_are_read_as_they_are(tmp_path: Path) -> None:
    if not HEART.is_dir():
        pytest.skip(f"the heart-disease files are not at ../shared ({HEART})")
    story = heart(HEART, NOW)
    assert [len(people.identities) for people in story.people.values()] == [303, 294, 123, 200]
    assert_nodes_read_the_same(story, tmp_path)
