"""`runbook list|show|lint`: the contracts, without a cluster and without a bus."""

from collections.abc import Sequence
from pathlib import Path

import yaml

from services.cli import screen
from services.cli.runtime import as_json as document
from shared.domain.errors import PrimumError, RunbookInvalid
from shared.runbooks.catalog import load, parse


def listed(folder: Path | None, *, as_json: bool) -> None:
    """Print a line for each runbook. Raises RunbookInvalid."""
    runbooks = load(folder).runbooks
    if as_json:
        print(document([one.model_dump(mode="json", by_alias=True) for one in runbooks]))
        return
    for one in runbooks:
        asks = ", always asks" if one.destructive else ""
        print(f"{one.name} (version {one.version}, risk {one.risk}{asks})")
        print(f"  {one.summary}")
        print(f"  treats {', '.join(one.treats)}")


def show(name: str, folder: Path | None, *, as_json: bool) -> None:
    """Print one contract, as YAML that can be a new one's beginning. Raises PrimumError."""
    catalog = load(folder)
    if (found := catalog.find(name)) is None:
        names = ", ".join(one.name for one in catalog.runbooks)
        raise PrimumError(f"there is no runbook {name}", advice=f"there are: {names}")
    said = found.model_dump(mode="json", by_alias=True, exclude_defaults=True)
    if as_json:
        print(document({**found.model_dump(mode="json", by_alias=True), "hash": found.hash}))
        return
    print(f"# hash {found.hash}")
    print(yaml.safe_dump(said, sort_keys=False, width=100, allow_unicode=True), end="")


def lint(files: Sequence[Path], folder: Path | None, *, as_json: bool) -> int:
    """Print what is wrong with each; the exit status is 1 if anything is."""
    wrong: dict[str, str] = {}
    names = [str(path) for path in files] or ["all that are loaded"]
    if files:
        wrong = {str(path): said for path in files if (said := _lint(path))}
    else:
        try:
            names = [one.name for one in load(folder).runbooks]
        except RunbookInvalid as error:
            wrong = {"all that are loaded": str(error)}
    if as_json:
        print(document({"ok": not wrong, "checked": names, "wrong": wrong}))
        return int(bool(wrong))
    console = screen.console()
    for name in names:
        console.print(f"wrong  {wrong[name]}" if name in wrong else f"right  {name}")
    return int(bool(wrong))


def _lint(path: Path) -> str:
    try:
        parse(path.read_text(encoding="utf-8"), str(path))
    except RunbookInvalid as error:
        return str(error)
    except (OSError, UnicodeDecodeError) as error:
        return f"{path}: cannot be read: {error}"
    return ""
