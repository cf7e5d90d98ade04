"""The plugin keeps the contract of plugins."""

from __future__ import annotations

from typing import ClassVar

from hopyard.testing import PluginContract
from hopyard_ai import AI


class TestAI(PluginContract):
    plugin = AI
    settings: ClassVar = {"people.alice": {"zone": "UTC"}}
    examples: ClassVar = {
        "ai.create_ai_reminder": [{"text": "tomorrow at 8 remind me to call Bob", "person": "alice"}],
        "ai.process_due_ai_tasks": [{}],
        "ai.check_ai_connection": [{}],
        "ai.analyze_content": [{"content": "Ada Lovelace met Charles Babbage in London."}],
        "ai.process_with_llm": [
            {"content": "Ada Lovelace met Charles Babbage in London.", "operation": "summarize"}
        ],
        "ai.smart_categorization": [
            {"items": ["An invoice", "A newsletter"], "categories": ["invoice", "newsletter"]},
            {"items": [{"key": "a", "text": "hops and malt"}], "taxonomy": "beer"},
        ],
        "ai.generate_embeddings_batch": [{"items": ["hops", "malt"]}],
        "ai.classify": [{"text": "Your invoice for May", "labels": ["invoice", "newsletter"]}],
    }
    left_out: ClassVar = {
        "examples": "ai.act is of a request that has fallen due, ai.search needs texts that are embedded: "
        "their own tests run them"
    }
