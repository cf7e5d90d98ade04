"""Sorting new mail: read once, labelled by rules, then by a classifier, then flagged or moved."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import math
import time
from collections import Counter
from typing import TYPE_CHECKING, Final

from hopyard import Hopyard, Job
from hopyard.errors import (
    EgressRefused,
    HopyardError,
    InvalidInput,
    LedgerUnavailable,
    MigrationMissing,
    ResultTimeout,
    TaskError,
    UnknownTask,
)

from hopyard_email import imap
from hopyard_email.incoming import folders, reports
from hopyard_email.incoming.folders import Read
from hopyard_email.incoming.parsing import MAX_HEADERS, Parsed, parse
from hopyard_email.incoming.rules import Decision, decide
from hopyard_email.models import Categorized
from hopyard_email.texts import cleaned, one_line
from hopyard_email.together import together

if TYPE_CHECKING:
    from hopyard_email.incoming.reports import Kind
    from hopyard_email.settings import Incoming

log = logging.getLogger(__name__)

_PAGE: Final = 20
#: Characters of a mail's text that a classifier is given, and seconds that it has.
_SHOWN: Final = 4_000
_CLASSIFY_SECONDS: Final = 120.0
_LONGEST: Final = 240.0
#: Mailboxes that are read at once, and seconds that one run waits for new mail in all.
_AT_ONCE: Final = 4
_LONGEST_IDLE: Final = 1200.0


async def categorize(job: Job, only: str | None) -> Categorized:
    """Sort the new mail of all mailboxes, or of one. One that fails costs the others nothing.

    Raises `InvalidInput` for a mailbox that the settings do not have, and the first error where none worked.
    """
    from hopyard_email import Email

    boxes = Email.current().settings.incoming
    if only is not None and only not in boxes:
        raise InvalidInput(f"mailbox: found {only!r}, expected one of: {', '.join(boxes) or 'none'}")
    chosen = {only: boxes[only]} if only else boxes
    report, failures = Categorized(), []
    rounds = math.ceil(len(chosen) / _AT_ONCE)
    gate = asyncio.Semaphore(_AT_ONCE)

    async def read(name: str, box: Incoming) -> None:
        try:
            async with gate:
                await _Reader(job, name, box, report, rounds).run()
        except (TaskError, EgressRefused) as error:
            failures.append(error)
            report.notes.append(f"{name}: {one_line(error)}")

    await together(*(read(name, box) for name, box in chosen.items()))
    if failures and len(failures) == len(chosen):
        raise failures[0]
    return report


class _Reader:
    """One run over one mailbox."""

    def __init__(self, job: Job, name: str, box: Incoming, report: Categorized, rounds: int) -> None:
        self._job = job
        self._name = name
        self._box = box
        self._report = report
        self._gave_up = False
        self._labels: Counter[str] = Counter()
        # Where mailboxes take turns, each has its part of the time.
        self._idle = min(box.idle, _LONGEST_IDLE / rounds)
        self._longest = _LONGEST / rounds

    async def run(self) -> None:
        """Read what is new, do what is to be done, and wait for more where that is wanted."""
        ends = time.monotonic() + self._idle
        async with imap.opened(self._box) as session:
            while True:
                await self._read_new(session)
                left = ends - time.monotonic()
                if left < 1 or not session.can_idle:
                    break
                await asyncio.to_thread(session.wait, min(left, self._box.timeout))
        self._report.labels = dict(Counter(self._report.labels) + self._labels)

    async def _read_new(self, session: imap.Session) -> None:
        box = self._box
        validity, _ = await asyncio.to_thread(session.select, box.folder)
        before = await folders.position(self._name, box.folder)
        last = before[1] if before and before[0] == validity else 0
        if before and before[0] != validity:
            # Mails that were read are known by their digests, and keep their labels.
            self._say(f"the server gave the mails of {box.folder} new numbers: all were looked at again")
        uids = await asyncio.to_thread(session.uids_above, last)
        if before is None and len(uids) > box.backlog:
            last = uids[len(uids) - box.backlog - 1]
            uids = uids[len(uids) - box.backlog :]
            await folders.advance(self._name, box.folder, validity, last)
        if not uids:
            await folders.advance(self._name, box.folder, validity, last)
        ends = time.monotonic() + self._longest
        for start in range(0, len(uids), _PAGE):
            if time.monotonic() > ends:
                self._say("there is more new mail than one run reads: the next one goes on")
                break
            page = uids[start : start + _PAGE]
            await self._read_page(session, validity, page)
            self._job.progress(start + len(page), len(uids), f"{self._name}: {box.folder}")
        await self._act(session, validity)

    async def _read_page(self, session: imap.Session, validity: int, uids: list[int]) -> None:
        """Read mails one by one; each is stored with the position that it moves the mailbox to."""
        sizes = await asyncio.to_thread(session.sizes, uids)
        for uid in uids:
            size = sizes.get(uid, 0)  # 0: it was removed meanwhile
            large = size > self._box.max_bytes
            most = MAX_HEADERS if large else self._box.max_bytes
            raw = await asyncio.to_thread(session.read, uid, most, headers_only=large) if size else b""
            await self._take(validity, uid, raw, size)

    async def _take(self, validity: int, uid: int, raw: bytes, size: int) -> None:
        """Store what a mail is. A fault that it causes is noted with it, and the mailbox goes on."""
        place = (self._name, self._box.folder, validity, uid)
        try:
            read = await self._read(validity, uid, raw, size) if raw else None
            await folders.advance(*place, [read] if read else [])
        except (LedgerUnavailable, MigrationMissing):
            raise
        except Exception as error:
            log.exception("mail %s of %s met a fault", uid, self._name)
            problem = cleaned(f"it could not be read: {type(error).__name__}: {error}", 500)
            self._say(f"mail {uid}: {problem}")
            await folders.advance(*place, [_unread(uid, raw, size, problem)])

    async def _read(self, validity: int, uid: int, raw: bytes, size: int) -> Read | None:
        """Return what a mail is; None where it was read before."""
        parsed, kind, decision = await asyncio.to_thread(_look_at, raw, self._box)
        if size > self._box.max_bytes:
            parsed.problems.append(f"it has {size:,} bytes: only its headers were read")
        digest = _digest(parsed, size)
        if await folders.found_again(self._name, self._box.folder, validity, uid, digest):
            return None
        if kind in ("bounce", "complaint"):
            await self._take_in(parsed)
        labels, chosen_by = decision.labels, "rules" if decision.labels else ""
        if not labels and self._box.labels and kind not in ("bounce", "complaint"):
            label = await self._classified(parsed)
            labels, chosen_by = ([label], self._box.classifier) if label else ([], "")
        self._report.read += 1
        self._labels.update(labels or ["(none)"])
        return Read(
            uid=uid,
            digest=digest,
            message_id=parsed.value("Message-ID")[:400],
            sender=parsed.sender,
            subject=parsed.value("Subject")[:1000],
            kind=kind,
            labels=labels,
            chosen_by=chosen_by,
            problem="; ".join(dict.fromkeys(parsed.problems)) or None,
            flag=decision.flag,
            move=decision.move,
            size=size,
        )

    async def _take_in(self, parsed: Parsed) -> None:
        from hopyard_email import Email

        suppressed, strangers = await reports.take_in(parsed, Email.current().settings)
        self._report.suppressed += suppressed
        for who in strangers:
            self._say(f"a report about {one_line(who, 200)} names no letter of ours, and was only labelled")

    async def _classified(self, parsed: Parsed) -> str | None:
        """Ask the classifier for one of the labels; None where it gives none, which is said."""
        if self._gave_up:
            return None
        try:
            task = Hopyard.current().task(self._box.classifier)
        except UnknownTask:
            self._say(
                f"no enabled plugin has the task {self._box.classifier}: mails that no rule fits get no label"
            )
            return None
        shown = f"From: {parsed.sender}\nSubject: {parsed.value('Subject')}\n\n{parsed.text}"[:_SHOWN]
        try:
            handle = await task.submit(text=shown, labels=[*self._box.labels])
            answer = await handle.result(timeout=_CLASSIFY_SECONDS)
        except ResultTimeout:
            self._gave_up = True  # each mail would wait as long
            self._say(
                f"{self._box.classifier} did not answer within {_CLASSIFY_SECONDS:g} s, and was asked no "
                "more in this run: mails that no rule fits got no label"
            )
            return None
        except HopyardError as error:
            self._say(f"{self._box.classifier} gave no label: {one_line(error, 300)}")
            return None
        # What a model says of a stranger's text is a stranger's text.
        if answer not in self._box.labels:
            self._say(f"{self._box.classifier} answered none of the labels")
            return None
        return str(answer)

    async def _act(self, session: imap.Session, validity: int) -> None:
        """Flag and move what is to be; a second time, after a crash in between, changes nothing."""
        import imap_tools

        for id_, uid, flag, move in await folders.to_do(self._name, self._box.folder, validity):
            problem = None
            try:
                if flag:
                    await asyncio.to_thread(session.flag, uid, flag)
                if move:
                    await asyncio.to_thread(session.move, uid, move)
            except imap_tools.ImapToolsError as error:
                problem = f"it could not be flagged or moved: {str(error)[:300]}"
                self._say(problem)
            await folders.done(id_, problem)

    def _say(self, note: str) -> None:
        if (said := f"{self._name}: {note}") not in self._report.notes:
            self._report.notes.append(said)


def _look_at(raw: bytes, box: Incoming) -> tuple[Parsed, Kind, Decision]:
    """Return what a mail is, of which kind, and what the rules say; its text is made along with it."""
    parsed = parse(raw)
    kind = reports.kind_of(parsed)
    if box.labels:
        parsed.text  # noqa: B018 - for the classifier
    return parsed, kind, decide(parsed, kind, box.rules)


def _unread(uid: int, raw: bytes, size: int, problem: str) -> Read:
    """Return the record of a mail that could not be read."""
    digest = hashlib.sha256(raw).hexdigest()
    return Read(uid, digest, "", "", "", "personal", [], "", problem, None, None, size)


def _digest(parsed: Parsed, size: int) -> str:
    """Return what a mail is known by where its UID changes: Message-ID, date, sender and size."""
    named = [parsed.value(name) for name in ("Message-ID", "Date", "From", "Subject")]
    return hashlib.sha256("\n".join([*named, str(size)]).encode("utf-8", "replace")).hexdigest()
