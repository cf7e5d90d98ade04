"""The settings: which directories tasks may work in, and a section for each part of the plugin."""

from __future__ import annotations

from hopyard import PluginSettings
from hopyard.roots import Roots
from pydantic import Field, model_validator

from hopyard_file.backup.settings import BackupSettings
from hopyard_file.cleanup.settings import CleanupSettings
from hopyard_file.cloud.settings import CloudSettings
from hopyard_file.documents.settings import DocumentSettings


class FileSettings(PluginSettings):
    """Directories by name, and what is done with the files below them."""

    roots: Roots = Field(default_factory=dict, description="The directories that tasks may work in, by name.")
    documents: DocumentSettings = Field(
        default_factory=DocumentSettings, description="How documents and archives are read."
    )
    cleanup: CleanupSettings = Field(
        default_factory=CleanupSettings, description="Where old temporary files are deleted."
    )
    backup: BackupSettings = Field(
        default_factory=BackupSettings, description="What is backed up, and where."
    )
    cloud: CloudSettings = Field(
        default_factory=CloudSettings, description="What is kept in step with clouds."
    )

    @model_validator(mode="after")
    def _roots_are_there(self) -> FileSettings:
        for section in ("cleanup", "backup", "cloud"):
            for name in getattr(self, section).root_names():
                if name not in self.roots:
                    told = ", ".join(f"`{one}`" for one in self.roots) or "none"
                    raise ValueError(f"{section}: found the root `{name}`, expected one of `roots`: {told}")
        self.backup.check_roots({name: root.path for name, root in self.roots.items()})
        self.cloud.check_roots({name: root.writable for name, root in self.roots.items()})
        return self
