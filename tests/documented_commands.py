"""The command lines, Python blocks and links of README and docs/."""

import dataclasses
import itertools
import pathlib
import re
import shlex

from conftest import REPOSITORY

PAGES = ("README.md", "CONTRIBUTING.md",
         *sorted(f"docs/{path.name}" for path in (REPOSITORY / "docs").glob("*.md")),
         "benchmark/results/README.md")
_BLOCK = r"^ *```{kind}\n(.*?)^ *```$"
_ASSIGNMENT = re.compile(r"(export )?\w+=")
_COMMENT = re.compile(r"\s+#\s.*$", re.M)


@dataclasses.dataclass(frozen=True)
class Command:
    """One command of a page.

    Attributes:
        page: The page, relative to the repository.
        words: Its words, as a shell splits them.
    """

    page: str
    words: tuple[str, ...]

    def __str__(self) -> str:
        return " ".join(self.words)

    @property
    def is_python(self) -> bool:
        """Whether it runs a script or a module, not code on the command line."""
        return self.words[0] == "python" and self.words[1] != "-c"

    @property
    def has_our_flags(self) -> bool:
        """Whether it is one of this project's commands."""
        name = self.words[2] if self.is_python and self.words[1] == "-m" else self.words[1]
        ours = ("train.py", "export.py", "mai_depth", "benchmark")
        return self.is_python and name.startswith(ours)


def commands() -> list[Command]:
    """Every command in a bash block, and every `python ...` in backquotes that has a flag."""
    found: dict[str, Command] = {}
    for page in PAGES:
        for words in _commands_of((REPOSITORY / page).read_text()):
            found.setdefault(" ".join(words), Command(page, tuple(words)))
    return list(found.values())


def _commands_of(text: str) -> list[list[str]]:
    lines: list[list[str]] = []
    for block in re.findall(_BLOCK.format(kind="(?:bash|sh)"), text, re.M | re.S):
        whole = _COMMENT.sub("", block.replace("\\\n", " "))
        for name, value in re.findall(r"^(\w+)=(\S+)$", whole, re.M):
            whole = whole.replace(f"${name}", value)
        lines += _whole_lines(whole)
    lines += [shlex.split(line) for line in re.findall(r"`(python [^`]*--[^`]*)`", text)]
    commands = [list(words) for line in lines
                for is_and, words in itertools.groupby(line, "&&".__eq__) if not is_and]
    return [words for words in commands if not _ASSIGNMENT.match(" ".join(words))]


def _whole_lines(text: str) -> list[list[str]]:
    """The words of each shell line; quotes may hold line breaks."""
    lines, open_line = [], ""
    for line in text.splitlines():
        open_line += f"{line}\n"
        try:
            lines.append(shlex.split(open_line))
        except ValueError:  # a quote is still open
            continue
        open_line = ""
    assert not open_line, f"a quote is never closed: {open_line}"
    return lines


def python_blocks(page: str) -> list[str]:
    """The Python blocks of a page, in order."""
    text = (REPOSITORY / page).read_text()
    return re.findall(_BLOCK.format(kind="python"), text, re.M | re.S)


def tables_without_command(page: str) -> list[str]:
    """The first lines of a page's tables of figures that no command follows.

    The command must come before the next heading or table. A quoted table says `No command`.
    """
    text = (REPOSITORY / page).read_text()
    tables = list(re.finditer(r"(?:^ *\|.*\n)+", text, re.M))
    missing = []
    for table, following in itertools.zip_longest(tables, tables[1:]):
        after = text[table.end() : following.start() if following else None]
        section = re.split(r"^#+ ", after, flags=re.M)[0]
        has_figures = len(re.findall(r"\d\.\d", table[0])) > 4
        if has_figures and not re.search(r"\bpython (-m|\w+\.py)|^No command", section, re.M):
            missing.append(table[0].splitlines()[0])
    return missing


def links(page: str) -> list[str]:
    """What a page links to or shows, except on the internet."""
    text = re.sub(r"^```.*?^```$", "", (REPOSITORY / page).read_text(), flags=re.M | re.S)
    found = re.findall(r"\]\(\s*([^)\s]+)\s*\)", text)
    return [link for link in found if not link.startswith(("http://", "https://"))]


def anchors(path: pathlib.Path) -> set[str]:
    """The anchors that GitHub gives the headings of a page."""
    headings = re.findall(r"^#+ (.*)$", path.read_text(), re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
