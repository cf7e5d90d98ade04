"""The offline model `local:extractive`: calls tools that a request plainly means, else says so."""

from __future__ import annotations

from hopyard_ai.offline._model import NAME, offline_model

__all__ = ["NAME", "offline_model"]
