"""Health: whether roots can be entered, and who can hear."""

from __future__ import annotations

import asyncio
import os

from hopyard import Health, sandbox, trees
from hopyard.errors import HopyardError

from hopyard_media.sources import ENGINE, child_limits, settings


async def roots() -> Health:
    """Say which declared directories cannot be entered."""
    declared = settings().roots

    def look() -> list[str]:
        said = []
        for name, root in declared.items():
            try:
                os.close(trees.open_directory(root.path))
            except (OSError, HopyardError) as error:
                said.append(f"root `{name}`: {getattr(error, 'strerror', None) or error}")
        return said

    said = await asyncio.to_thread(look)
    return Health(not said, "; ".join(said) or f"{len(declared)} directories can be entered")


async def engines() -> Health:
    """Say which engines are there, and whether the configured one is; and whether children are cut off."""
    own = settings()
    told = await sandbox.run_told(ENGINE, "engines", {}, {}, child_limits(0))
    there = told["answer"]
    ready = {
        "local": there["pocketsphinx"],
        "whisper": there["faster_whisper"] and own.whisper is not None,
        "cloud": own.cloud is not None and not own.privacy,
    }
    near = "whisper" if own.whisper is not None else "local"
    ready["hybrid"] = ready["cloud"] and ready[near]
    if own.voices is not None and not there["sherpa_onnx"]:
        return Health(False, "`voices` needs the extra: pip install 'hopyard-media[diarize]'", there)
    names = ", ".join(name for name, is_ready in ready.items() if is_ready) or "none"
    cut = "cut off from the network" if told["isolated"] else "not cut off from the network, by this kernel"
    detail = f"ready: {names}; the configured one is {own.engine}; what decodes is {cut}"
    return Health(bool(ready[own.engine]), detail, {**ready, "isolated": told["isolated"]})
