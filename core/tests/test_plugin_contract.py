"""The contract: a right plugin breaks no rule; each of many faults is found by its rule, file and line."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from hopyard.testing.contract import RULES, Subject, check
from planted import ALSO, EXAMPLES, FAULTS, FILES, NO_LINE, WITHOUT_EXAMPLE, installed_sample

Make = Callable[..., Subject]


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    """Installs the sample plugin, as it is or with changed files, and gives it to the contract."""
    with ExitStack() as stack:

        def made(files: Mapping[str, str] = FILES, examples: Any = EXAMPLES) -> Subject:
            stack.enter_context(installed_sample(tmp_path, files))
            cls = importlib.import_module("hopyard_weather").Weather
            return Subject("weather", cls, {"people.alice": {}}, examples)

        yield made


def test_a_right_plugin_breaks_no_rule(make: Make) -> None:
    found = check(make())
    assert {
        name: [str(one) for one in violations or ()] for name, violations in found.items() if violations
    } == {}
    assert None not in found.values()
    assert len(RULES) >= 20


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_found_with_its_rule_file_and_line(make: Make, fault: str) -> None:
    planted = FAULTS[fault]
    files = dict(FILES)
    for file, old, new in [(planted.file, planted.old, planted.new), *ALSO.get(fault, [])]:
        assert old in files[file], f"the sample has no {old!r}"
        files[file] = files[file].replace(old, new, 1)
    examples = {name: given for name, given in EXAMPLES.items() if name != WITHOUT_EXAMPLE.get(fault)}
    found = RULES[planted.rule].check(make(files, examples))
    assert found, f"{planted.rule} finds nothing"
    if fault in NO_LINE:
        assert found[0].file
        return
    lines = files[planted.file].splitlines()
    (line,) = [number for number, text in enumerate(lines, 1) if "# fault" in text]
    places = [(Path(one.file).name, one.line) for one in found]
    assert (Path(planted.file).name, line) in places, [str(one) for one in found]


def test_without_examples_what_needs_them_is_said_to_be_unchecked(make: Make) -> None:
    found = check(make(examples={}))
    unchecked = [name for name, violations in found.items() if violations is None]
    assert unchecked == [name for name, rule in RULES.items() if rule.needs == "examples"]


def test_a_package_says_what_people_need_to_know(make: Make, tmp_path: Path) -> None:
    subject = make({**FILES})
    (tmp_path / "hopyard_weather" / "py.typed").unlink()
    (tmp_path / "hopyard_weather-1.2.dist-info" / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: hopyard-weather\nVersion: 1.2\nRequires-Dist: hopyard\n"
    )
    told = " ".join(str(one) for one in RULES["metadata"].check(subject))
    for missing in ("up to which release", "`description`", "`license`", "`requires-python`", "`py.typed`"):
        assert missing in told
