"""The part `documents`: files are read, analysed and unpacked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from hopyard import HealthCheck, Queue

if TYPE_CHECKING:
    from hopyard import Health, Schedule

    from hopyard_file.settings import FileSettings

#: A job reads in child processes, each of which takes a processor; batches must not hold up single files.
QUEUES: Final = (Queue("file", slots=2), Queue("file.batch", slots=1, priority=3, group="file"))


def schedules(settings: FileSettings) -> list[Schedule]:
    """Return none: what is read is read when somebody asks."""
    return []


def health_checks(settings: FileSettings) -> list[HealthCheck]:
    """Return whether roots can be entered, and whether all is there that reading needs."""
    return [HealthCheck("roots", _roots), HealthCheck("documents", _documents)] if settings.roots else []


async def _roots() -> Health:
    from hopyard_file.documents.checking import check_roots

    return await check_roots()


async def _documents() -> Health:
    from hopyard_file.documents.checking import check_reading

    return await check_reading()
