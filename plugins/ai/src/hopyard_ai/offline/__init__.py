"""The offline model `local:extractive`: tools chosen and called by words alone."""

from __future__ import annotations

from hopyard_ai.offline._model import NAME, offline_model

__all__ = ["NAME", "offline_model"]
