"""What `celery -A hopyard …` finds."""

from __future__ import annotations

from hopyard import current

app = current.get().celery
