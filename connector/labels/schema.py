"""The nutrition label of a model: a first, simple form of the one that releases will carry.

Computed, not written: every value comes from the job's specification, the permit, or what the
nodes released. What was not measured says so; it is never shown as zero. Numbers are decimal
strings, because labels are signed and canonical JSON has no floats.
"""

from typing import Annotated

from pydantic import AwareDatetime, Field

from policies.document import Document
from policies.permit import Name, Names, Text

NOT_MEASURED = "not measured"


class Head(Document):
    """What the label is about, and under whose authority it was made."""

    subject: Name
    kind: Annotated[str, Field(pattern="^model$")] = "model"
    job: Name
    permit: Name
    maker: Name
    purpose: Text
    made_at: AwareDatetime


class Ingredient(Document):
    """One hospital's share: its dataset and in how many rounds it took part."""

    dataset: Name
    rounds_answered: int


class Ingredients(Document):
    """What it was made from. A model trained on records is one generation away from them."""

    sources: tuple[Ingredient, ...]
    real_share: Text
    synthetic_share: Text
    generation_depth: int
    columns: Names
    outcome: Name


class Privacy(Document):
    """What a person in the data gave up: at most (epsilon, delta), in each hospital's dataset."""

    unit: Text
    neighbouring: Text
    epsilon: Text
    delta: Text
    mechanism: Text
    noise_multiplier: Text
    clipping_norm: Text
    sampling_rate: Text
    steps: int
    attacks: Text = NOT_MEASURED


class Utility(Document):
    """How good it is on people who were kept out of training, from counts that carry noise."""

    auc: Text
    auc_noise: Text
    accuracy: Text
    method: Text
    per_hospital: Text = NOT_MEASURED
    subgroups: Text = NOT_MEASURED
    domain_gap: Text = NOT_MEASURED


class Use(Document):
    """What it is for, and what it must not be used for."""

    permitted: Text
    prohibited: Text
    limits: Text


class ModelLabel(Document):
    """The whole label, one block after the other."""

    head: Head
    ingredients: Ingredients
    privacy: Privacy
    utility: Utility
    use: Use
