"""What `celery -A hopyard …` finds."""

from __future__ import annotations

import os
import sys

# Celery's command puts the working directory first while it imports an app. Of it nothing is imported here
# but `hopfile.py`, whatever else is called like a module that Hopyard needs; what PYTHONPATH names stays.
if sys.path[0] in ("", os.getcwd()) and os.getcwd() not in map(
    os.path.abspath, filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))
):
    del sys.path[0]

from hopyard import current

app = current.get().celery
