"""The demo's story: nine steps that a layperson can follow, over real processes."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.rule import Rule
from rich.table import Table

from connector.audit import entries
from connector.audit.damage import read_entries
from connector.audit.verify import Report, verify
from connector.clock import utc_now
from connector.errors import LocalError
from connector.folds import Split
from connector.identity.keys import VerifyKey
from connector.labels.render import as_terminal
from coordinator import releases, views
from coordinator.demo import baselines
from coordinator.demo.space import JOB, Story
from coordinator.jobs import conduct, plan
from coordinator.jobs.states import JobState
from coordinator.office import offers_of
from coordinator.sandbox import Sandbox
from policies import purposes
from policies.decision import Decision
from policies.permit import Permit

RESEARCHER = "University Hospital, group for clinical prediction"
ADVERTISER = "Bright Smile Marketing Ltd"
_REVIEWERS = ("reviewer A of the HDAB",)


class Demo:
    """Tells one story to a console. `output` keeps the label when all is over."""

    def __init__(self, console: Console, story: Story, sandbox: Sandbox, output: Path) -> None:
        self._console = console
        self._story = story
        self._sandbox = sandbox
        self._output = output
        self._names = [hospital.name for hospital in story.hospitals]
        self._number = 0

    def tell(self) -> None:
        """All steps in order."""
        self._console.print(f"[bold]{self._story.title}[/]\n{self._story.origin}")
        self._enrol()
        self._offers()
        self._train()
        self._compare()
        self._refuse_advertising()
        self._refuse_greed()
        self._budgets()
        self._logs()
        self._label()

    def _enrol(self) -> None:
        self._step("Four hospitals enrol with the health data access body")
        sandbox = self._sandbox
        with self._busy("starting processes, making keys, exchanging certificates"):
            sandbox.start_coordinator()
            for hospital in self._story.hospitals:
                sandbox.prepare(hospital)
            sandbox.enrol(self._names)
            sandbox.start_nodes(self._names)
        self._say(f"coordinator: process {sandbox.process_id('coordinator')}, TLS, one port")
        for name in self._names:
            self._say(f"{name}: process {sandbox.process_id(name)}, outbound connections only")

    def _offers(self) -> None:
        self._step("Each hospital says what it allows, in a policy that it owns")
        for line in views.offers(self._sandbox.office.participants()):
            self._say(line)

    def _train(self) -> None:
        self._step(f"A researcher with a permit trains a model of {self._story.predicts}")
        self._issue("permit-1", "scientific-research", RESEARCHER, epsilon="1.0")
        self._say("permit-1: scientific research, Art. 53(1)(e), epsilon 1 for every person")
        self._submit("job-1", "permit-1", "1.0")
        total = int(JOB["rounds"])
        with self._progress() as progress:
            task = progress.add_task("training where the records are", total=total)
            for event in views.follow(self._sandbox.office, "job-1"):
                if event.kind == "round":
                    progress.advance(task)
                if event.kind in ("accepted", "declined", "left-out", "evaluation", "ended"):
                    self._say(views.sentence(event.kind, event.body))
        self._expect("job-1", JobState.FINISHED)

    def _compare(self) -> None:
        self._step("How good is it?")
        self._say("Only this demo can say exactly: it has all the records itself. The")
        self._say("coordinator has no more than the noisy figures above.")
        office = self._sandbox.office
        releases.review(office, "job-1", _REVIEWERS[0], approve=True)
        spec = conduct.specification(office, "job-1")
        split = Split(salt=spec.digest.removeprefix("sha256:"), holdout=spec.holdout)
        parameters = releases.read_model(office, "job-1")["parameters"]
        rows = baselines.compare(self._story.records(split), spec.features, parameters, "1")
        table = Table("model", "AUC", "accuracy", box=None, pad_edge=False, header_style="bold")
        for row in rows:
            style = "bold green" if row.federated else ""
            table.add_row(row.name, f"{row.auc:.3f}", f"{row.accuracy:.1%}", style=style)
        self._console.print(table)
        self._say("All on the same held-out people of all hospitals.")

    def _refuse_advertising(self) -> None:
        self._step("An advertiser has a permit, issued by mistake: the hospitals refuse")
        self._issue("permit-2", "advertising", ADVERTISER, epsilon="1.0")
        self._submit("job-2", "permit-2", "0.5")
        self._show_refusals("job-2")

    def _refuse_greed(self) -> None:
        self._step("A second job asks for more epsilon than is left: the hospitals refuse")
        self._issue("permit-3", "scientific-research", RESEARCHER, epsilon="2.0")
        self._submit("job-3", "permit-3", "2.0")
        self._show_refusals("job-3")

    def _budgets(self) -> None:
        self._step("The privacy budget that every hospital owns, as its log has it")
        for name in self._names:
            shown = self._sandbox.run_command("node", "budget", str(self._sandbox.directory(name)))
            for line in shown.splitlines()[0 if name == self._names[0] else 1 :]:
                self._console.print(line, highlight=False, markup=False)
        self._say("Later jobs may depend on earlier results: shares add up, epsilons do not.")

    def _logs(self) -> None:
        self._step("Every decision stands in a log that anyone can verify")
        for name in self._names:
            self._sandbox.stop(name)
        keys = {p.name: p.signing_key for p in self._sandbox.office.participants()}
        for name in self._names:
            report = verify(self._sandbox.directory(name) / "log", VerifyKey.parse(keys[name]))
            self._say(f"[green]✓[/] {name}: {report.size} entries, signatures and Merkle root hold")
        victim = self._names[0]
        copy = self._sandbox.root / "tampered"
        shutil.copytree(self._sandbox.directory(victim) / "log", copy)
        _flip_a_byte(copy / "entries")
        report = verify(copy, VerifyKey.parse(keys[victim]))
        if report.ok:
            raise LocalError("DEMO_TAMPERING", "a changed log was not noticed", "This is a bug")
        self._say(f"[red]✗[/] {victim}, one byte changed: {_what(report)}")

    def _label(self) -> None:
        self._step("What left the hospitals: a model, with its nutrition label")
        label = releases.read_label(self._sandbox.office, "job-1")
        self._console.print(as_terminal(label), width=min(100, self._console.width))
        page = self._output / "label.html"
        shutil.copy(releases.model_path(self._sandbox.office, "job-1").parent / "label.html", page)
        self._say(f"The same as a page to print: {page}")

    def _issue(self, permit_id: str, purpose: str, user: str, *, epsilon: str) -> None:
        now = utc_now()
        self._sandbox.office.issue_permit(
            Permit.model_validate(
                {
                    "id": permit_id,
                    "issuer": "hdab",
                    "state": "granted",
                    "data_user": user,
                    "project": self._story.title,
                    "purpose": purposes.by_name(purpose).iri,
                    "datasets": self._story.datasets,
                    "columns": (*self._story.inputs, self._story.outcome),
                    "tasks": ("training.logistic", "evaluation.logistic"),
                    "outputs": ("model",),
                    "epsilon": epsilon,
                    "delta": self._story.delta,
                    "minimum_participants": 3,
                    "not_before": now - timedelta(minutes=1),
                    "not_after": now + timedelta(days=365),
                }
            )
        )

    def _submit(self, job: str, permit_id: str, epsilon: str) -> None:
        office = self._sandbox.office
        application = plan.Application.model_validate(
            {
                "id": job,
                "permit": permit_id,
                "datasets": self._story.datasets,
                "inputs": self._story.inputs,
                "outcome": self._story.outcome,
                "epsilon": epsilon,
                **JOB,
            }
        )
        permit, _ = office.permit(permit_id)
        spec = plan.specify(application, permit, offers_of(office.participants()), office.clock())
        conduct.submit(office, spec, permit_id)

    def _show_refusals(self, job: str) -> None:
        with self._busy("asking the hospitals"):
            events = list(views.follow(self._sandbox.office, job))
        answers: dict[str, list[str]] = {}
        for event in events:
            if event.kind in ("declined", "accepted"):
                answer = views.reasons(event.body) if event.kind == "declined" else "accepted"
                answers.setdefault(answer, []).append(event.body["hospital"])
        for answer, hospitals in answers.items():
            verdict = "accepted" if answer == "accepted" else "[red]refused[/]"
            self._say(f"{verdict} by {', '.join(hospitals)}:")
            for reason in answer.split("; "):
                self._say(f"  - {reason}")
        self._expect(job, JobState.REFUSED)
        self._say(f"Nothing was computed. From the log of {self._names[0]}:")
        for constraint in _last_denial(self._sandbox.directory(self._names[0]) / "log").failed:
            self._say(f"  [dim]{constraint.basis}[/]")
            self._say(f"  [dim]  asks for {constraint.bound}; found {constraint.actual}[/]")

    def _expect(self, job: str, state: JobState) -> None:
        found, reason = conduct.state_of(self._sandbox.office, job)
        if found is not state:
            raise LocalError("DEMO_JOB", f"{job} is {found} ({reason}), it should be {state}")

    def _step(self, title: str) -> None:
        self._number += 1
        self._console.print()
        self._console.print(Rule(f"[bold]{self._number}. {title}", align="left"))

    def _say(self, line: str) -> None:
        self._console.print("  " + line, highlight=False)

    @contextmanager
    def _busy(self, what: str) -> Iterator[None]:
        with self._console.status(what):
            yield

    def _progress(self) -> Progress:
        return Progress(
            SpinnerColumn(), TextColumn("{task.description}"), BarColumn(),
            TextColumn("round {task.completed} of {task.total}"), TimeElapsedColumn(),
            console=self._console, transient=True,
        )  # fmt: skip


def _last_denial(log: Path) -> Decision:
    """The newest decision in a log; a hospital's own console would show it the same way."""
    decided = [
        entry.decision
        for entry in (entries.parse(content) for _, content in read_entries(log))
        if isinstance(entry, entries.Decided)
    ]
    return decided[-1]


def _what(report: Report) -> str:
    return report.finding.message if report.finding else "nothing was noticed"


def _flip_a_byte(entries: Path) -> None:
    content = bytearray(entries.read_bytes())
    content[len(content) // 2] ^= 1
    entries.write_bytes(bytes(content))


def run(console: Console, story: Story, output: Path, root: Path | None = None) -> None:
    """Tell a story in a sandbox of its own, and clean up whatever happens."""
    with Sandbox(root) as sandbox:
        Demo(console, story, sandbox, output).tell()
