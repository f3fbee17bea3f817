"""Commensal from nothing to a finished job: three nodes, three rounds of training and evaluation.

TLS, enrolment, policies, privacy, worker isolation and logs are all on. The clock starts when the
first process is launched (with directories and configuration in place) and stops when the job is
finished and its result held.
"""

import random
import sys
import time
from datetime import timedelta
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from connector.clock import utc_now
from coordinator.jobs import conduct, plan
from coordinator.jobs.states import JobState
from coordinator.office import offers_of
from coordinator.sandbox import Hospital, Sandbox
from coordinator.views import follow
from policies import purposes
from policies.permit import Permit

FEATURES = [f"x{number}" for number in range(10)]


def cold_start(rows: int = 2000, rounds: int = 3, nodes: int = 3) -> dict[str, float]:
    """Seconds from the first launch to each stage, `finished` last."""
    hospitals = [_hospital(number, rows) for number in range(nodes)]
    names = [hospital.name for hospital in hospitals]
    with Sandbox() as sandbox:
        for hospital in hospitals:
            sandbox.prepare(hospital)
        began = time.perf_counter()
        stages: dict[str, float] = {}

        def reached(stage: str) -> None:
            stages[stage] = time.perf_counter() - began

        sandbox.start_coordinator()
        reached("coordinator listens")
        sandbox.enrol(names)
        reached("nodes enrolled")
        sandbox.start_nodes(names)
        reached("nodes connected")
        _submit(sandbox, names, rounds)
        for event in follow(sandbox.office, "job"):
            if event.kind == "accepted":
                reached("job admitted by all")
        reached("finished")
        state, reason = conduct.state_of(sandbox.office, "job")
        if state is not JobState.FINISHED:
            raise RuntimeError(f"the job is {state} ({reason})")
        return stages


def _submit(sandbox: Sandbox, names: list[str], rounds: int) -> None:
    office = sandbox.office
    now = utc_now()
    datasets = tuple(f"{name}/numbers" for name in names)
    permit = Permit.model_validate(
        {
            "id": "permit",
            "issuer": "hdab",
            "state": "granted",
            "data_user": "bench",
            "project": "bench",
            "purpose": purposes.by_name("scientific-research").iri,
            "datasets": datasets,
            "columns": (*FEATURES, "y"),
            "tasks": ("training.logistic", "evaluation.logistic"),
            "outputs": ("model",),
            "epsilon": "1",
            "delta": "0.00001",
            "minimum_participants": 3,
            "not_before": now - timedelta(hours=1),
            "not_after": now + timedelta(days=1),
        }
    )
    office.issue_permit(permit)
    application = plan.Application.model_validate(
        {
            "id": "job",
            "permit": "permit",
            "datasets": datasets,
            "inputs": FEATURES,
            "outcome": "y",
            "epsilon": "1",
            "rounds": rounds,
            "evaluations": rounds,
        }
    )
    spec = plan.specify(application, permit, offers_of(office.participants()), now)
    conduct.submit(office, spec, "permit")


def _hospital(number: int, rows: int) -> Hospital:
    name = f"hospital-{number}"
    generator = random.Random(number)  # noqa: S311 - made-up numbers
    lines = [",".join(("person", *FEATURES, "y"))]
    for person in range(rows):
        values = [generator.gauss(0, 1) for _ in FEATURES]
        outcome = int(sum(values[:3]) + generator.gauss(0, 1) > 0)
        lines.append(",".join((str(person), *(f"{value:.4f}" for value in values), str(outcome))))
    columns = "".join(
        f'[[datasets.columns]]\nname = "{feature}"\nkind = "numeric"\nminimum = -4\nmaximum = 4\n'
        for feature in FEATURES
    )
    allowed = ", ".join(f'"{column}"' for column in (*FEATURES, "y"))
    return Hospital(
        name,
        {
            "numbers.csv": "\n".join(lines) + "\n",
            "node.toml": f'name = "{name}"\n[[datasets]]\npolicy = "policy.toml"\n'
            f'id = "{name}/numbers"\ntitle = "Numbers"\nperson_column = "person"\n'
            '[datasets.source]\nkind = "csv"\npath = "numbers.csv"\n'
            f'{columns}[[datasets.columns]]\nname = "y"\nkind = "binary"\n',
            "policy.toml": f'id = "{name}/policy"\nversion = 1\ndataset = "{name}/numbers"\n'
            'purposes = ["scientific-research"]\n'
            'tasks = ["training.logistic", "evaluation.logistic"]\n'
            f'columns = [{allowed}]\noutputs = ["model"]\nminimum_cohort = 50\n'
            "minimum_participants = 3\nepsilon_per_job = 1.0\n"
            "not_before = 2020-01-01T00:00:00Z\nnot_after = 2100-01-01T00:00:00Z\n"
            "[budget]\nepsilon = 3.0\ndelta = 0.00001\n",
            "policy.examples.toml": '[usual]\npurpose = "scientific-research"\n'
            f'tasks = ["training.logistic"]\ncolumns = [{allowed}]\noutput = "model"\n'
            '[[example]]\nname = "as the benchmark asks"\nexpect = "allow"\n'
            "hospitals = 3\npeople = 50\nepsilon = 1.0\nhours = 168\n"
            '[[example]]\nname = "one hospital alone"\nexpect = "deny"\nhospitals = 1\n',
        },
    )


if __name__ == "__main__":
    for stage, seconds in cold_start().items():
        print(f"{seconds:7.2f} s  {stage}")
