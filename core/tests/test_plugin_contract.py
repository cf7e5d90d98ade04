"""The contract: a right plugin breaks no rule; each of many faults is found by its rule, file and line."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from hopyard import Plugin, PluginSettings
from hopyard.errors import SpecError
from hopyard.testing import PluginContract
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


def test_what_only_looks_like_a_fault_is_none(make: Make) -> None:
    files = dict(FILES)
    files["hopyard_weather/__init__.py"] = files["hopyard_weather/__init__.py"].replace(
        '    city: str = Field("Oslo"',
        '    token_url: str = Field("", description="Where tokens are had.")\n'
        '    password_file: str = Field("", description="Where the password is.")\n'
        '    max_token: str = Field("", description="A bound.")\n'
        '    city: str = Field("Oslo"',
    )
    files["hopyard_weather/tasks.py"] = (
        files["hopyard_weather/tasks.py"]
        .replace(
            "import asyncio\n",
            "import asyncio\nfrom typing import TYPE_CHECKING\n\nfrom rich import print as show\n\n"
            "if TYPE_CHECKING:\n    import pickle\n\n    import requests\n",
        )
        .replace('f"It is fine on', 'f"None of the cities has storms. It is fine on')
    )
    files["hopyard_weather/latin.py"] = "# coding: latin-1\nNAME = 'x'\n"
    files["hopyard_weather/bom.py"] = "\ufeffNAME = 'x'\n"
    files["hopyard_weather/templates/page.py"] = "{{ not python }}\n"
    files["hopyard_weather/tests/test_it.py"] = "print('tests may')\n"
    files["hopyard_weather/_vendor/six.py"] = "print('not ours')\n"
    found = check(make(files))
    told = {name: [str(one) for one in violations] for name, violations in found.items() if violations}
    assert told == {}


def test_a_module_that_python_cannot_read_is_one_violation(make: Make) -> None:
    found = check(make({**FILES, "hopyard_weather/bad.py": "x = 1\ndef (:\n"}))
    told = {name: violations for name, violations in found.items() if violations}
    ((name, (violation,)),) = told.items()
    assert (name, Path(violation.file).name, violation.line) == ("readable", "bad.py", 2)


def test_a_checkout_below_a_folder_named_tests_is_looked_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "tests" / "hopyard_deep"
    folder.mkdir(parents=True)
    (folder / "__init__.py").write_text(
        "from hopyard import Plugin, PluginSettings\nprint('hello')\n"
        "class Deep(Plugin[PluginSettings]): ...\n"
    )
    monkeypatch.syspath_prepend(str(folder.parent))
    cls = importlib.import_module("hopyard_deep").Deep
    assert [one.line for one in RULES["no-print"].check(Subject("deep", cls))] == [2]


def test_an_import_that_never_ends_is_a_violation(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hopyard.testing.contract._importing._PATIENCE", 2.0)
    init = FILES["hopyard_weather/__init__.py"].replace(
        "class Weather(",
        "import sys, time\nif sys.argv[1:2] == ['hopyard_weather']:\n    time.sleep(600)\n\n\nclass Weather(",
    )
    (found,) = RULES["light-import"].check(make({**FILES, "hopyard_weather/__init__.py": init}))
    assert "longer than 2 s" in str(found)


def test_a_death_must_not_change_the_result(make: Make) -> None:
    tasks = FILES["hopyard_weather/tasks.py"]
    wrong = tasks.replace("    return len(names)\n", "    return len(names) - done\n")
    first, *_ = RULES["resumes"].check(make({**FILES, "hopyard_weather/tasks.py": wrong}))
    assert "weather.rename: after checkpoint 1 of 3 a death changes its result: 2 instead of 3" in str(first)
    assert Path(first.file).name == "tasks.py"


def test_a_result_that_differs_each_time_is_no_fault(make: Make) -> None:
    tasks = FILES["hopyard_weather/tasks.py"]
    other = tasks.replace("    return len(names)\n", "    import time\n\n    return time.time_ns()\n")
    assert RULES["resumes"].check(make({**FILES, "hopyard_weather/tasks.py": other})) == []


def test_a_contract_for_a_mapping_is_refused_once_with_what_to_write() -> None:
    class Shop(Plugin[PluginSettings]): ...

    with pytest.raises(SpecError, match=r"TestShop: plugin: .*`plugin = Shop` and `name = \"shop\"`"):
        type("TestShop", (PluginContract,), {"plugin": {"shop": Shop}})
    with pytest.raises(SpecError, match="`plugin = Weather`"):
        type("TestShop", (PluginContract,), {"plugin": "shop"})
    type("TestShop", (PluginContract,), {"plugin": Shop})
