"""What the repository promises about itself: its documents say what the code does, and nothing in it is rigged."""

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from docs import draw, measure
from eval.lab.shop import _PLACES, _WORDS
from services.cli.app import app
from shared.adapters.kubernetes_wire import PLURALS
from shared.domain.cluster import COREFILE, Kind

ROOT = Path(__file__).parents[2]
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())
PACKAGE_INDEX = re.compile(r"(?<!google\.)\b(?:pypi|pythonhosted|npmjs|crates|golang|maven)\.(?:org|io|com)\b(?!/x/)")
"""`golang.org/x/…` and `google.golang.org/…` are names of libraries, and say nothing of where they lie."""
SOMEBODYS_MACHINE = re.compile(r"(?<![\w./])/(?:home|root|Users|work)/\w")
A_LINK = re.compile(r"\]\((?!https?://|#)([^)#]+)")
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "docs" / "architecture.md",
    ROOT / "docs" / "reliability.md",
    ROOT / "docs" / "evaluation.md",
    *(ROOT / "docs/adr").iterdir(),
]


@cache
def _tracked() -> tuple[Path, ...]:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True)  # noqa: S607 - git is wherever this machine has it
    return tuple(path for name in listed.stdout.split("\0") if name and (path := ROOT / name).is_file())


def _lines_with(pattern: re.Pattern[str], paths: Iterator[Path]) -> list[str]:
    return [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()}"
        for path in paths
        for number, line in enumerate(path.read_text(errors="replace").splitlines(), start=1)
        if pattern.search(line)
    ]


def _makefile_targets() -> set[str]:
    return set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))


def _imports_of(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        if isinstance(node, ast.ImportFrom) and node.module:
            yield node.module


def test_no_name_of_the_labs_services_is_known_to_primum() -> None:
    """The demo cannot be rigged: what runs in production has never heard of the services that the lab breaks."""
    names = re.compile(rf"\b({'|'.join([*_WORDS, *_PLACES])})\b", re.IGNORECASE)
    code = (path for name in ("shared", "services") for path in (ROOT / name).rglob("*") if path.suffix != ".pyc")

    assert _lines_with(names, filter(Path.is_file, code)) == []


def test_no_file_names_a_package_index() -> None:
    """Where packages come from is the machine's own business; a lock with a host in it binds everybody to that host."""
    assert _lines_with(PACKAGE_INDEX, iter(_tracked())) == []


def test_no_file_names_a_path_of_somebodys_machine() -> None:
    """A path that exists on one machine is a mistake on every other one."""
    here = re.compile(f"{SOMEBODYS_MACHINE.pattern}|{re.escape(str(ROOT))}")

    assert _lines_with(here, iter(_tracked())) == []


def test_the_domain_stands_on_pydantic_and_the_standard_library() -> None:
    """The ground carries everything, so it leans on as little as possible."""
    allowed = {"pydantic", "shared.domain", *sys.stdlib_module_names}
    foreign = [
        f"{path.name} imports {module}"
        for path in (ROOT / "shared" / "domain").glob("*.py")
        for module in _imports_of(path)
        if not {module.split(".")[0], ".".join(module.split(".")[:2])} & allowed
    ]

    assert foreign == []


def test_the_lock_has_every_dependency() -> None:
    """What pyproject.toml asks for is what `make lock` has pinned, with hashes."""
    asked = [*PROJECT["project"]["dependencies"], *PROJECT["dependency-groups"]["dev"]]
    names = {re.split(r"[\[<>=~! ;]", requirement)[0].lower() for requirement in asked}
    pinned = set(re.findall(r"^([a-z0-9._-]+)==", (ROOT / "requirements.lock").read_text(), re.MULTILINE))

    assert names - pinned == set(), "run `make lock`"


def test_every_folder_of_tests_is_run() -> None:
    """A test that no target of the Makefile collects is a test that nobody runs."""
    folders = {f"tests/{path.relative_to(ROOT / 'tests').parts[0]}" for path in (ROOT / "tests").rglob("test_*.py")}

    own_target = set(re.findall(r"^\t.*?(tests/[a-z]+)\b", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert folders <= set(PROJECT["tool"]["pytest"]["ini_options"]["testpaths"]) | own_target


def test_every_test_is_a_sentence() -> None:
    """The tests read as the specification, so each says in words what holds."""
    silent = [
        f"{path.relative_to(ROOT)}: {node.name}"
        for path in (ROOT / "tests").rglob("test_*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node.name.startswith("test_")
        and not ast.get_docstring(node)
    ]

    assert silent == []


@pytest.mark.parametrize("path", draw.PAGES, ids=lambda path: path.name)
def test_a_page_shows_the_code_as_it_is(path: Path) -> None:
    """Diagrams and tables are drawn from the code; a page that says otherwise is stale."""
    page = path.read_text()

    assert page == draw.drawn(page), "run `make drawings`"


def test_every_decision_record_is_on_the_architecture_page_under_its_title() -> None:
    """A decision that cannot be found was not recorded."""
    page = (ROOT / "docs" / "architecture.md").read_text()
    entries = [
        f"[{record.read_text().splitlines()[0].removeprefix('# ')}](adr/{record.name})"
        for record in sorted((ROOT / "docs" / "adr").glob("*.md"))
    ]

    assert [entry for entry in entries if entry not in page] == []


def test_every_command_that_the_readme_names_is_there() -> None:
    """A stranger types what the README says."""
    known = {command.name or command.callback.__name__ for command in app.registered_commands if command.callback}
    known |= {group.name for group in app.registered_groups if group.name}
    named = set(re.findall(r"(?:`|bin/)primum ([a-z]+)", (ROOT / "README.md").read_text()))

    assert named - known == set()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_what_a_page_points_at_is_there(page: Path) -> None:
    """Relative links lead to files, and every `make …` is a target of the Makefile."""
    text = page.read_text()
    dead = [link for link in A_LINK.findall(text) if not (page.parent / link).exists()]
    unknown = set(re.findall(r"^make ([a-z-]+)|`make ([a-z-]+)", text, re.MULTILINE))

    assert dead == []
    assert {first or second for first, second in unknown} <= _makefile_targets()


def test_the_role_for_observing_reads_what_primum_reads_and_nothing_more() -> None:
    """Observe mode is safe because its role could not write, and works because nothing that is read is missing."""
    documents = yaml.safe_load_all((ROOT / "deploy" / "kubernetes" / "observe.yaml").read_text())
    rules = next(document["rules"] for document in documents if document["kind"] == "ClusterRole")
    granted = {(group, plural) for rule in rules for group in rule["apiGroups"] for plural in rule["resources"]}

    assert {verb for rule in rules for verb in rule["verbs"]} == {"get", "list", "watch"}
    assert granted == {*PLURALS.values(), ("", "pods/log")} - {PLURALS[Kind.CONFIG_MAP]}


def test_of_all_config_maps_the_roles_let_one_be_read() -> None:
    """By its name, in its namespace, and by those only who look for causes there."""
    namespace, name = COREFILE
    deployed = [ROOT / "deploy" / "kubernetes" / f"{part}.yaml" for part in ("observe", "act")]
    documents = [each for path in deployed for each in yaml.safe_load_all(path.read_text())]
    (role,) = [each for each in documents if each["kind"] == "Role"]
    bound = [each for each in documents if each["kind"] == "RoleBinding"]

    assert role["rules"] == [
        {"apiGroups": [""], "resources": ["configmaps"], "resourceNames": [name], "verbs": ["get"]}
    ]
    assert {each["metadata"]["namespace"] for each in (role, *bound)} == {namespace}
    assert {each["roleRef"]["name"] for each in bound} == {role["metadata"]["name"]}
    assert {who["name"] for each in bound for who in each["subjects"]} == {
        "primum-observe",
        "primum-detector",
        "primum-diagnoser",
    }


def test_the_figures_on_the_page_are_those_that_were_measured() -> None:
    """Nobody types a figure: the page is what `make figures` makes of what the commands printed."""
    for page in (page.read_text() for page in measure.PAGES):
        assert page == measure.drawn(page), "run `make figures`"


def test_every_measurement_stands_on_the_page_and_ended_as_it_must() -> None:
    """A table of a run that failed, or a defect on purpose that nothing saw, is no figure to show."""
    for name, measurement in measure.MEASUREMENTS.items():
        assert f"<!-- measured: {name} -->" in "".join(page.read_text() for page in measure.PAGES)
        assert [each.command for each in measure.kept(name)] in ([], list(measurement.commands))
        assert [each.command for each in measure.kept(name) if not measure.ended_well(name, each)] == []
