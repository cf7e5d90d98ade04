"""What a run would do with what both sides have, without names that cannot be on both."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from hopyard_file.backup.patterns import Patterns
from hopyard_file.cloud import names
from hopyard_file.cloud.deciding import DELETIONS, Known, Plan, plan
from hopyard_file.cloud.near import Survey
from hopyard_file.cloud.settings import ConnectionSettings
from hopyard_file.cloud.sides import There


def plan_of(
    own: ConnectionSettings, known: Mapping[str, Known], survey: Survey, there: Mapping[str, There]
) -> tuple[Plan, dict[str, str]]:
    """Return what is done, and which paths are set aside, and why.

    A file that is to be deleted stands in nobody's way: what takes its place, such as a folder of its name or
    its name in other letters, waits in the plan until it is gone.
    """
    patterns = Patterns(own.include, own.exclude)
    every = {*survey.files, *there}
    refused = {path: reason for path in every if (reason := names.refusal(path)) is not None}
    aside = refused | survey.blocked

    def planned(without: Collection[str]) -> Plan:
        def counts(path: str) -> bool:
            return (
                path not in without
                and patterns.takes(path)
                and not names.is_below(path, survey.blocked.keys())
            )

        return plan(
            own.direction,
            {path: one for path, one in known.items() if counts(path)},
            {path: one for path, one in survey.files.items() if counts(path)},
            {path: one for path, one in there.items() if counts(path)},
        )

    taken = {path for path in every if path not in refused and patterns.takes(path)}
    going = {step.path for step in planned(aside).steps if step.action in DELETIONS}
    aside |= names.collisions(taken - going, known, fold_case=own.fold_case)
    in_the_way = names.collisions(taken, known, fold_case=own.fold_case)
    made = planned(aside)
    made.waiting = {path: reason for path, reason in in_the_way.items() if path not in aside}
    return made, aside
