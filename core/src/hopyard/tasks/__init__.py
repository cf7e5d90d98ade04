"""Declaring, calling and running tasks, as plugin authors and application developers see them."""

from __future__ import annotations

from hopyard.tasks.declaration import Task, task
from hopyard.tasks.handle import JobHandle, Status
from hopyard.tasks.job import Job

__all__ = ["Job", "JobHandle", "Status", "Task", "task"]
