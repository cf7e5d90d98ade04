"""An effect happens at most once, whatever happens to the attempts that want it."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager, nullcontext
from types import SimpleNamespace
from typing import Any

import pytest
from hopyard import current
from hopyard.errors import EffectUnknown, JobCancelled, PayloadError, StaleFence, TransientError
from hopyard.ledger import effects
from hopyard.ledger.database import Database
from hopyard.ledger.values import Progress
from hopyard.specs import Reconciled
from hopyard.tasks.job import Job


class Here:
    """The host of a job that runs in the test."""

    def __init__(self, database: Database, worker: int) -> None:
        self._database = database
        self.worker = worker

    def note(self, progress: Progress) -> None:
        """Forget it."""

    async def save(self, id_: str, claim: int, data: Any) -> None:
        """Not asked for here."""

    def held(self, id_: str, claim: int) -> tuple[Database, tuple[int, int]]:
        return self._database, (self.worker, claim)

    def release_slot(self, id_: str) -> AbstractAsyncContextManager[None]:
        return nullcontext()

    def check(self, id_: str, claim: int) -> None:
        """Go on."""


class Outside:
    """The outside world: counts what is done to it."""

    def __init__(self, fail: Exception | None = None) -> None:
        self.sent: list[str] = []
        self.fail = fail

    async def send(self, to: str) -> dict[str, str]:
        if self.fail is not None:
            raise self.fail
        self.sent.append(to)
        return {"receipt": to}


@pytest.fixture
async def job(ledger: Any) -> Job:
    worker = await ledger.worker()
    return Job(await ledger.running(worker), Here(ledger.database, worker), {})


@pytest.fixture
def opinion(monkeypatch: pytest.MonkeyPatch) -> list[Reconciled]:
    """What plugins answer to `reconcile_effect`: the first of the list, or nothing."""
    answers: list[Reconciled] = []
    plugins = SimpleNamespace(reconcile=lambda effect: answers[0] if answers else None)
    monkeypatch.setattr(current, "_instance", SimpleNamespace(plugins=plugins))
    return answers


async def test_a_second_attempt_gets_the_first_ones_outcome(job: Job) -> None:
    outside = Outside()
    first = await job.effect("mail", outside.send, to="ada")
    assert await job.effect("mail", outside.send, to="ada") == first == {"receipt": "ada"}
    assert outside.sent == ["ada"]


async def test_effects_of_other_names_are_others(job: Job) -> None:
    outside = Outside()
    await job.effect("mail", outside.send, to="ada")
    await job.effect("sms", outside.send, to="ada")
    assert outside.sent == ["ada", "ada"]


async def test_an_action_that_says_it_failed_is_done_again(job: Job) -> None:
    with pytest.raises(TransientError):
        await job.effect("mail", Outside(TransientError("busy")).send, to="ada")
    outside = Outside()
    await job.effect("mail", outside.send, to="ada")
    assert outside.sent == ["ada"]


async def test_an_unknown_end_is_not_repeated(ledger: Any, job: Job, opinion: list[Reconciled]) -> None:
    outside = Outside()
    await effects.begin(ledger.database, *ids(job), "mail", {"to": "ada"})
    with pytest.raises(EffectUnknown, match="mail"):
        await job.effect("mail", outside.send, to="ada")
    assert outside.sent == []


async def test_an_unknown_end_is_repeated_where_that_does_no_harm(
    ledger: Any, job: Job, opinion: list[Reconciled]
) -> None:
    outside = Outside()
    await effects.begin(ledger.database, *ids(job), "mail", {"to": "ada"})
    await job.effect("mail", outside.send, repeat_if_unknown=True, to="ada")
    assert outside.sent == ["ada"]


async def test_a_repeat_may_be_another_action(ledger: Any, job: Job, opinion: list[Reconciled]) -> None:
    """For instance one that says that it may be a repeat; it is asked for only then."""
    first, again = Outside(), Outside()
    await job.effect("sms", first.send, repeat_if_unknown=again.send, to="ada")
    await effects.begin(ledger.database, *ids(job), "mail", {"to": "bob"})
    await job.effect("mail", first.send, repeat_if_unknown=again.send, to="bob")
    assert (first.sent, again.sent) == (["ada"], ["bob"])


async def test_what_was_done_is_recorded_although_the_job_was_told_to_stop(ledger: Any, job: Job) -> None:
    async def send(to: str) -> str:
        def stop(id_: str) -> None:
            raise JobCancelled("told to stop")

        job._host.check = stop  # type: ignore[method-assign, assignment]
        return to

    assert await job.effect("mail", send, to="ada") == "ada"
    (row,) = await ledger.database.fetch("SELECT state FROM job_effect")
    assert row["state"] == "done"


async def test_a_plugin_that_knows_decides(ledger: Any, job: Job, opinion: list[Reconciled]) -> None:
    outside = Outside()
    await effects.begin(ledger.database, *ids(job), "mail", {"to": "ada"})
    opinion.append(Reconciled(happened=True, outcome="found in the sent folder"))
    assert await job.effect("mail", outside.send, to="ada") == "found in the sent folder"  # type: ignore[comparison-overlap]
    assert outside.sent == []
    await effects.begin(ledger.database, *ids(job), "sms", {"to": "ada"})
    opinion[0] = Reconciled(happened=False)
    await job.effect("sms", outside.send, to="ada")
    assert outside.sent == ["ada"]


async def test_an_attempt_that_lost_its_job_does_nothing(ledger: Any, job: Job) -> None:
    outside = Outside()
    await ledger.database.execute("UPDATE job_live SET claim = claim + 1 WHERE id = $1", job.id)
    with pytest.raises(StaleFence):
        await job.effect("mail", outside.send, to="ada")
    assert outside.sent == []


def ids(job: Job) -> tuple[str, tuple[int, int]]:
    """Return a job's id and fence."""
    return job.id, job._host.held(job.id, job._claim.claim)[1]


@pytest.mark.parametrize(
    "data", [{"to": "x" * 1_000_001}, {"to": float("nan")}, {"to": object()}, {"to": "\ud800"}]
)
async def test_arguments_that_cannot_be_kept_are_refused_before_the_action(
    job: Job, data: dict[str, Any]
) -> None:
    outside = Outside()
    with pytest.raises(PayloadError, match="effect `mail`"):
        await job.effect("mail", outside.send, **data)
    assert outside.sent == []


@pytest.mark.parametrize("name", ["", "x" * 201, "\0", 5])
async def test_a_name_that_is_none_is_refused_before_the_action(job: Job, name: Any) -> None:
    outside = Outside()
    with pytest.raises(PayloadError, match="effect: name"):
        await job.effect(name, outside.send, to="a")
    assert outside.sent == []


@pytest.mark.parametrize("outcome", ["x" * 1_000_001, {"a": float("inf")}, object(), 10**5000], ids=range(4))
async def test_an_outcome_that_cannot_be_kept_is_told_and_the_action_not_repeated(
    job: Job, outcome: Any
) -> None:
    calls: list[int] = []

    async def act() -> Any:
        calls.append(1)
        return outcome

    with pytest.raises(PayloadError, match="the outcome of the effect `mail`"):
        await job.effect("mail", act)
    assert await job.effect("mail", act) is None
    assert calls == [1]


@pytest.mark.parametrize(
    "progress",
    [(float("nan"),), (10**5000,), ("half",), (1, float("inf")), (1, 2, "x" * 4001), (1, 2, 5)],
    ids=range(6),
)
async def test_progress_that_is_none_is_refused(job: Job, progress: Any) -> None:
    with pytest.raises(PayloadError, match="progress"):
        job.progress(*progress)


async def test_progress_is_text_that_any_database_stores(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    noted: list[Progress] = []
    monkeypatch.setattr(job._host, "note", noted.append)
    job.progress(1, 2, "a\0b\ud800c")
    assert noted[0].message == "a\ufffdb\ufffdc"


@pytest.mark.parametrize("value", [float("nan"), "\ud800", object(), "x" * 1_000_001])
async def test_a_checkpoint_that_cannot_be_kept_is_refused(job: Job, value: Any) -> None:
    with pytest.raises(PayloadError, match="the checkpoint"):
        await job.save(page=value)
