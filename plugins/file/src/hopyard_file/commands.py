"""`hopyard file …` from a shell: the commands of all parts."""

from __future__ import annotations

from hopyard_file.backup.commands import COMMANDS as BACKUP
from hopyard_file.cleanup.commands import COMMANDS as CLEANUP
from hopyard_file.cloud.commands import COMMANDS as CLOUD
from hopyard_file.documents.commands import COMMANDS as DOCUMENTS

COMMANDS = (*DOCUMENTS, *CLEANUP, *BACKUP, *CLOUD)
