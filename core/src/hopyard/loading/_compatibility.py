"""Checks a distribution's requirements against what is installed, before any of its code is imported."""

from __future__ import annotations

import platform
from collections.abc import Iterable

import importlib_metadata
from importlib_metadata import Distribution

from hopyard.loading._discovery import Candidate, metadata_field, normal_name, visible
from hopyard.loading._records import Failure, PluginState

CORE = "hopyard"


class Installed:
    """Versions of installed distributions; those given to the loader come before the environment's."""

    def __init__(self, distributions: Iterable[Distribution] | None) -> None:
        self._given = {}
        for distribution in visible(distributions) if distributions is not None else ():
            name = normal_name(metadata_field(distribution, "Name"))
            self._given[name] = metadata_field(distribution, "Version")

    def version(self, name: str) -> str | None:
        """The installed version; None if it is not installed."""
        given = self._given.get(normal_name(name))
        if given:
            return given
        try:
            return importlib_metadata.version(name)
        except (importlib_metadata.PackageNotFoundError, FileNotFoundError):  # not there, or cut short
            return None


def check_requirements(candidate: Candidate, installed: Installed) -> None:
    """Raise Failure where the requirements of the plugin's distribution are not met."""
    distribution = candidate.distribution
    if distribution is None:
        return
    conflicts = [_python(distribution)]
    try:
        conflicts += [_conflict(text, installed) for text in distribution.requires or ()]
    except FileNotFoundError as error:
        raise _incompatible(
            "its distribution has no metadata", f"install it again: pip install --force-reinstall ({error})"
        ) from error
    wrong = [conflict for conflict in conflicts if conflict]
    if wrong:
        reason = "; ".join(reason for reason, _ in wrong)
        raise _incompatible(f"{candidate.project} {reason}", "; ".join(hint for _, hint in wrong))


def _conflict(text: str, installed: Installed) -> tuple[str, str] | None:
    """Why a requirement is not met and what to do, or None."""
    from packaging.requirements import InvalidRequirement, Requirement

    try:
        requirement = Requirement(text)
    except InvalidRequirement as error:
        return f"has a requirement that is none: `{text}` ({error})", "install a release with right metadata"
    if requirement.marker and not requirement.marker.evaluate({"extra": ""}):
        return None
    wanted = f"{requirement.name}{requirement.specifier}"
    version = installed.version(requirement.name)
    if version is None:
        return f"needs {wanted}, which is not installed", f"pip install '{wanted}'"
    if not requirement.specifier.contains(version, prereleases=True):
        is_core = normal_name(requirement.name) == CORE
        hint = f"install a release that supports hopyard {version}" if is_core else f"pip install '{wanted}'"
        return f"needs {wanted}, but {version} is installed", hint
    return None


def _python(distribution: Distribution) -> tuple[str, str] | None:
    from packaging.specifiers import InvalidSpecifier, SpecifierSet

    wanted = distribution.metadata.get("Requires-Python")
    if not wanted:
        return None
    running = platform.python_version()
    try:
        fits = SpecifierSet(wanted).contains(running, prereleases=True)
    except InvalidSpecifier:
        return f"has a Requires-Python that is none: `{wanted}`", "install a release with right metadata"
    return None if fits else (f"needs Python {wanted}, this is {running}", f"use Python {wanted}")


def _incompatible(reason: str, hint: str) -> Failure:
    return Failure("requirements", reason, hint, state=PluginState.INCOMPATIBLE)
