"""The files that a hospital starts from: node.toml, policy.toml and examples of what it allows."""

from datetime import timedelta
from pathlib import Path

from connector.clock import utc_now
from connector.errors import LocalError
from connector.identity.keys import check_name

_NODE = """\
# The node of {name}. Paths are relative to this file.
name = "{name}"
# officers = ["...", "..."]           # two lines or more that `commensal policy officer` printed:
#                                     # whose signatures this node obeys
# give_up_seconds = 60                # how long to look for a coordinator that has gone

[[datasets]]                          # its id is <node name>/<dataset>
policy = "policy.toml"                # proposes who may compute what on it: see that file
id = "{name}/patients"
title = "What this dataset is, in one line"
person_column = "person"              # identifies a person; "row" if every row is another person
# opt_outs = "opt_outs.txt"           # one person per line; they are left out of everything

[datasets.source]
kind = "csv"                          # or "parquet"
path = "patients.csv"
missing = [""]                        # how an unknown value is written

# One table per column that may be computed on. Bounds are plausible limits that you declare;
# they are published, and values outside are clipped. Never read them off the records.
[[datasets.columns]]
name = "age"
kind = "numeric"                      # numeric, binary or category
minimum = 0
maximum = 120
unit = "years"

[[datasets.columns]]
name = "died"
kind = "binary"
true = ["1", "yes"]
false = ["0", "no"]
"""

_POLICY = """\
# What may be computed on {name}/patients. What is not named is not allowed.
# This file is a proposal: it decides once two officers have run `commensal policy activate`.
id = "{name}/research"
version = 1
dataset = "{name}/patients"
purposes = ["scientific-research"]    # Art. 53: also statistics, education, train-algorithms, ...
tasks = ["training.logistic", "evaluation.logistic"]
columns = ["age", "died"]
outputs = ["model"]
minimum_cohort = 50                   # people in every fold that a job touches
minimum_participants = 3              # hospitals in a job
epsilon_per_job = 1.0                 # the most that one job may cost any person
not_before = {today}
not_after = {later}

[budget]                              # the most that all jobs together may cost any person
epsilon = 3.0
delta = 0.00001
"""


_EXAMPLES = """\
# What policy.toml is meant to allow, and what not: it is activated only if all of this comes true.
# What an example leaves out just fits the policy; so one has to state all that it may use, and one
# has to be refused by a bound. `commensal policy test` names the bounds that none is refused by.
[usual]                               # what an example asks for where it says nothing else
purpose = "scientific-research"
tasks = ["training.logistic", "evaluation.logistic"]
columns = ["age", "died"]
output = "model"

[[example]]
name = "a job that uses all that it may"
expect = "allow"
hospitals = 3
people = 50
epsilon = 1.0
hours = 168

[[example]]
name = "two hospitals are too few"
expect = "deny"
because = ["policy.participants"]     # the rules that refuse it, and no others
hospitals = 2

[[example]]
name = "49 people are too few"
expect = "deny"
because = ["policy.cohort"]
people = 49

[[example]]
name = "a little too much privacy for one job"
expect = "deny"
because = ["policy.epsilon-per-job"]
epsilon = 1.01

[[example]]
name = "a job when the budget is all but spent"
expect = "deny"
because = ["policy.budget"]
already_spent = 2.8

[[example]]
name = "a column that nobody may use"
expect = "deny"
because = ["policy.columns"]
columns = ["age", "postcode"]

[[example]]
name = "advertising, which Art. 54 prohibits whatever the policy says"
expect = "deny"
purpose = "advertising"
"""


def write(directory: Path, name: str) -> list[Path]:
    """Write all files; an existing one is an error, not overwritten (CONFIG_EXISTS)."""
    check_name(name)
    now = utc_now()
    dates = {"today": _date(now), "later": _date(now + timedelta(days=365))}
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    files = {"node.toml": _NODE, "policy.toml": _POLICY, "policy.examples.toml": _EXAMPLES}
    for file in files:
        if (directory / file).exists():
            raise LocalError(
                "CONFIG_EXISTS", f"{directory / file} exists already", "It is not overwritten"
            )
    for file, text in files.items():
        (directory / file).write_text(text.format(name=name, **dates))
    return [directory / file for file in files]


def _date(moment: object) -> str:
    return f"{moment:%Y-%m-%dT00:00:00Z}"
