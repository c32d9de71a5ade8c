"""The documents are true: what they name exists, and what exists they name, in both languages."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import click
import pytest

from scaling.cli import COMMANDS, main

ROOT = Path(__file__).parents[1]
READMES = ("README.md", "README.zh-CN.md")
DOCUMENTS = sorted([*ROOT.glob("README*.md"), *(ROOT / "docs").rglob("*.md")])
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
# Written so that the patterns do not match themselves.
ABSOLUTE_PATH = re.compile(r"(?<![\w.$~}])/(?:work|root|home|Users)/")
REGISTRY_HOST = re.compile(
    r"pypi\.[a-z]|python[h]osted|[-]index-url|index_[u]rl|anaconda\.(?:org|com)|"
    r"download\.pytorch\.[a-z]|//[\w.-]*(?:artifactory|nexus|registry|mirror)",
    re.IGNORECASE,
)


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def blocks(text: str) -> list[tuple[str, list[str]]]:
    """(language, lines without comments and without blank lines) of each fenced block."""
    found = []
    for language, body in BLOCK.findall(text):
        lines = [re.sub(r"(^|\s+)# .*", "", line).rstrip() for line in body.splitlines()]
        found.append((language, [line for line in lines if line]))
    return found


def links(text: str) -> set[str]:
    """Targets of the links and images outside of fenced blocks."""
    prose = BLOCK.sub("", text)
    targets = re.findall(r"\]\(([^)\s]+)[^)]*\)|(?:src|href)=\"([^\"]+)\"", prose)
    return {markdown or html for markdown, html in targets}


def is_relative(target: str) -> bool:
    return not re.match(r"[a-z][a-z0-9+.-]*:|#", target)


def code_spans(text: str) -> set[str]:
    return set(re.findall(r"`([^`\n]+)`", BLOCK.sub("", text)))


def command_calls(text: str) -> list[list[str]]:
    """The words of every `scaling COMMAND ...` in the fenced blocks, after `scaling`."""
    lines = [line for _, body in blocks(text) for line in body]
    calls = [re.search(r"(?:^|\s)scaling ([a-z]+.*)", line) for line in lines]
    return [call[1].split() for call in calls if call]


def make_targets() -> list[str]:
    return re.findall(r"^([a-z-]+):.*## ", read("Makefile"), re.MULTILINE)


def project_files() -> list[Path]:
    """What git tracks or would add; the text of it only."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    try:
        listing = subprocess.run(command, cwd=ROOT, capture_output=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("not a git checkout, so there is no list of the project's files")
    paths = [ROOT / name for name in listing.stdout.decode().split("\0") if name]
    return [path for path in paths if path.is_file() and b"\0" not in path.read_bytes()[:8192]]


@pytest.mark.parametrize("readme", READMES)
def test_every_make_target_stands_in_the_readme(readme: str) -> None:
    targets = make_targets()
    assert "quickstart" in targets
    named = set(re.findall(r"\bmake ([a-z-]+)", read(readme)))
    assert set(targets) - named == set()
    # `make PYTHON=...` is no target; a target that is gone must not be advertised.
    assert named - set(targets) == set()


@pytest.mark.parametrize("readme", READMES)
def test_every_command_stands_in_the_readme(readme: str) -> None:
    named = set(re.findall(r"\bscaling ([a-z]+)\b", read(readme)))
    assert set(COMMANDS) - named == set()


@pytest.mark.parametrize("readme", READMES)
def test_every_sweep_file_stands_in_the_readme(readme: str) -> None:
    sweeps = {path.stem for path in (ROOT / "sweeps").glob("*.yaml")}
    assert "quickstart" in sweeps
    assert sweeps - code_spans(read(readme)) == set()


def test_calls_in_the_readme_use_commands_and_options_that_exist() -> None:
    calls = command_calls(read("README.md"))
    assert len(calls) >= 10
    for name, *words in calls:
        command = main.get_command(click.Context(main), name)
        assert command is not None, name
        if isinstance(command, click.Group):
            command = command.commands[words[0]]
        known = {option for parameter in command.params for option in parameter.opts}
        used = {word.partition("=")[0] for word in words if word.startswith("--")}
        assert used - known == set(), f"scaling {name}"


def test_both_languages_show_the_same_code() -> None:
    english, chinese = (read(name) for name in READMES)
    assert blocks(english) == blocks(chinese)
    assert code_spans(english) == code_spans(chinese)


def test_both_languages_have_the_same_headings_and_links() -> None:
    english, chinese = (read(name) for name in READMES)
    levels = [
        re.findall(r"^(#+) ", BLOCK.sub("", text), re.MULTILINE) for text in (english, chinese)
    ]
    assert levels[0] == levels[1]
    # Each links to the other; every other target is the same.
    assert links(english) - {"README.zh-CN.md"} == links(chinese) - {"README.md"}
    assert "README.zh-CN.md" in links(english)
    assert "README.md" in links(chinese)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_relative_links_and_images_lead_to_files(document: Path) -> None:
    targets = [target for target in links(document.read_text("utf-8")) if is_relative(target)]
    files = {target: document.parent / target.partition("#")[0] for target in targets}
    assert [target for target, path in files.items() if not path.exists()] == []


@pytest.mark.parametrize("readme", READMES)
def test_every_page_can_be_reached_from_the_readme(readme: str) -> None:
    reached, open_pages = set(), [ROOT / readme]
    while open_pages:
        page = open_pages.pop()
        if page not in reached and page.is_file():
            reached.add(page)
            links = re.findall(r"\]\(([^)#\s]+\.md)", page.read_text(encoding="utf-8"))
            open_pages += [(page.parent / link).resolve() for link in links if ":" not in link]
    assert {page.resolve() for page in DOCUMENTS} <= reached


def test_the_python_of_the_readme_imports_what_exists() -> None:
    snippets = [lines for language, lines in blocks(read("README.md")) if language == "python"]
    imports = [line for lines in snippets for line in lines if re.match("from|import", line)]
    assert imports == ["from analysis import fit_law, load_table"]
    names: dict[str, object] = {}
    exec("\n".join(imports), names)
    assert callable(names["fit_law"])
    assert callable(names["load_table"])


@pytest.mark.parametrize(
    ("pattern", "example"),
    [(ABSOLUTE_PATH, "cd /" + "root/x"), (REGISTRY_HOST, "https://pypi" + ".org/simple")],
    ids=["path", "registry"],
)
def test_no_file_names_a_machine_or_a_registry(pattern: re.Pattern[str], example: str) -> None:
    assert pattern.search(example)
    files = project_files()
    assert ROOT / "README.md" in files
    found = [
        f"{path.relative_to(ROOT)}: {match[0]}"
        for path in files
        if (match := pattern.search(path.read_text(encoding="utf-8", errors="replace")))
    ]
    assert found == []
