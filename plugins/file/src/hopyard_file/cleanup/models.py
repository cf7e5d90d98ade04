"""What a cleanup returns."""

from __future__ import annotations

from hopyard.cleaning import Cleaned
from pydantic import BaseModel, computed_field


class TempCleanup(Cleaned):
    """What became of a place."""

    place: str


class TempCleanupReport(BaseModel):
    """What was deleted, or would be."""

    host: str
    dry_run: bool
    places: list[TempCleanup] = []

    @computed_field  # type: ignore[prop-decorator]
    @property
    def due(self) -> int:
        """Files that are due: the number to confirm where a place is refused."""
        return sum(one.due for one in self.places)

    @computed_field  # type: ignore[prop-decorator]
    @property
    def summary(self) -> str:
        """The report in a sentence or two."""
        if not self.places:
            return "No place is declared in the settings, so there is nothing to clean up."
        verb = "would be deleted" if self.dry_run else "were deleted"
        files = sum(one.due if self.dry_run else one.deleted for one in self.places)
        size = sum(one.due_bytes if self.dry_run else one.freed_bytes for one in self.places)
        told = f"{files:,} temporary files ({size / 1e6:,.1f} MB) {verb}."
        refused = [one.refused for one in self.places if one.refused]
        told += f" Refused: {'; '.join(refused)}." if refused else ""
        problems = [one.problem for one in self.places if one.problem]
        return told + (f" Not cleaned up: {'; '.join(problems)}." if problems else "")
