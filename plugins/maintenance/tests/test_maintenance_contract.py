"""The plugin keeps the contract of plugins."""

from __future__ import annotations

from typing import ClassVar

from hopyard.testing import PluginContract
from hopyard_maintenance import Maintenance


class TestMaintenance(PluginContract):
    plugin = Maintenance
    examples: ClassVar = {
        "maintenance.system_health_check": [{}],
        "maintenance.monitor_resource_usage": [{}],
    }
