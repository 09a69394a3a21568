"""Commands, options, files and links in the Markdown files are there."""

import importlib.util
import re

import pytest
from tracked import tracked

import reproductions
from common.files import PROJECT
from common.results import commands
from reproductions import command

TRACKED = tracked()
PAGES = [name for name in TRACKED if name.endswith(".md") and name != "CHANGELOG.md"]
OURS = re.compile(r"^(make |\S*medseg |\S*python -m (reproductions|common|tools)\b|--)")
MAKE = "\n".join(
    path.read_text(encoding="utf-8")
    for path in (PROJECT / "Makefile", *PROJECT.glob("reproductions/*/targets.mk"))
)
CODE = "\n".join(
    (PROJECT / name).read_text(encoding="utf-8")
    for name in TRACKED
    if name.endswith((".py", ".sh", ".in", ".toml")) and not name.startswith("tests/")
)
# What a reader makes, and the recipe's own paper.
MADE = re.compile(r"example|RUN|FILE|NAME|FOLDER|DIR|https?:|\*|<|…|^out/|^runs/|^data/")


def code(page):
    """Commands and words set as code, one line each, comments left out; and the prose around."""
    text = (PROJECT / page).read_text(encoding="utf-8")
    blocks = re.findall(r"^```(?:bash|sh|console|)\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    prose = re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)
    lines = "\n".join(blocks).replace("\\\n", " ").splitlines()
    spans = [" ".join(span.split()) for span in re.findall(r"`([^`]+)`", prose)]
    return [line.partition(" #")[0].strip() for line in lines], spans, prose


def targets():
    found = set(re.findall(r"^([a-z][a-z0-9-]*):", MAKE, re.MULTILINE))
    for paper in reproductions.names():
        found.add(f"data-{commands.short_name(paper)}")
        found.update(one.target for one in reproductions.targets(paper).values())
    return found


@pytest.mark.parametrize("page", PAGES)
def test_every_command_exists(page):
    lines, spans, _ = code(page)
    known, variables = targets(), set(re.findall(r"^([A-Z_]+) \?=", MAKE, re.MULTILINE))
    for text in [*lines, *spans]:
        for words in re.findall(r"(?:^|[ ;&(])make ([a-z][^|;&]*)", text):
            first, *others = words.split()
            assert first in known or "example" in first or "…" in first, text
            for name in re.findall(r"(?:^| )([A-Z_]+)=", " ".join(others)):
                assert name in variables, text
        for words in re.findall(r"(?:^|/)medseg ([a-z]\S*(?: \w+)?)", text):
            first, *others = words.split()
            assert first in command.COMMANDS, text
            if others and "PAPER" in command.COMMANDS[first].usage.split()[:1]:
                assert others[0] in reproductions.names() or others[0].isupper(), text
        for module in re.findall(r"python3? -m ([\w.]+)", text):
            assert "example" in module or importlib.util.find_spec(module), text


@pytest.mark.parametrize("page", PAGES)
def test_every_option_and_file_exists(page):
    lines, spans, prose = code(page)
    ours = "\n".join(text for text in [*lines, *spans] if OURS.match(text))
    for option in re.findall(r"(?<![\w-])--([a-z][a-z-]+)", ours):
        if option == "lifetime":
            continue  # of dask_worker
        field = option.replace("-", "_")
        assert re.search(rf"\b(--{option}|{field})\b", CODE), option
    names = {name.rpartition("/")[2] for name in TRACKED}
    for span in spans:
        if not re.fullmatch(r"[\w./-]+\.(?:py|ya?ml|md|csv|mk|awk|jinja|txt|in|sh)", span):
            continue
        kept = MADE.search(span) or f"`{span}` of commit" in " ".join(prose.split())
        name = span.rpartition("/")[2]
        stem = re.escape(name.partition(".")[0])
        written = re.search(rf'["/]{re.escape(name)}"|"{stem}"|def {stem}\(', CODE)
        assert kept or name in names or written, span


@pytest.mark.parametrize("page", PAGES)
def test_every_link_leads_somewhere(page):
    _, _, prose = code(page)
    for address in re.findall(r"\]\(([^)\s]+)\)|<img src=\"([^\"]+)\"", prose):
        path, _, anchor = "".join(address).partition("#")
        if path.startswith(("http:", "https:", "mailto:")):
            continue
        target = (PROJECT / page).parent / path if path else PROJECT / page
        assert target.exists(), path
        if anchor and target.suffix == ".md":
            headings = re.findall(r"^#+ (.+)$", target.read_text(encoding="utf-8"), re.MULTILINE)
            plain = [re.sub(r"[^\w\- ]", "", heading.lower()) for heading in headings]
            assert anchor in [heading.replace(" ", "-") for heading in plain], anchor
