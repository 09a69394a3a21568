"""The command `medseg`: every paper's training, tables and figures under one name.

It checks its words before anything is imported that takes long, then runs the module that does the
work: `medseg table PAPER TABLE …` is `python -m reproductions.PAPER.eval TABLE …`.
"""

from __future__ import annotations

import importlib
import runpy
import shutil
import sys
import textwrap
from pathlib import Path
from typing import Callable, Dict, List, NamedTuple, Optional, Sequence

import tyro

import reproductions
from common import cli
from common.errors import InputError, exits_cleanly
from common.files import PROJECT


class Command(NamedTuple):
    """A subcommand: its usage, what it does, and the function that gets the words after it."""

    usage: str
    sentence: str
    run: Callable[[List[str]], None]


def list_papers(words: List[str]) -> None:
    """Print every paper with its tables and figures."""
    width = min(shutil.get_terminal_size().columns, 100)
    for paper in reproductions.names():
        print(paper)
        for name, target in reproductions.targets(paper).items():
            make = f"make {reproductions.short_name(paper)}-{name}"
            text = f"{target.sentence} ({make})"
            indent = " " * 15
            lines = textwrap.wrap(text, width, initial_indent=indent, subsequent_indent=indent)
            lines[0] = f"  {name:<12} {lines[0].strip()}"
            print("\n".join(lines))


def train(words: List[str]) -> None:
    """Train one network of a paper."""
    paper, options = _paper(words, "train")
    module = f"reproductions.{paper}.train"
    profiles = importlib.import_module(f"reproductions.{paper}.config").PROFILES
    cli.parse_training(profiles, f"medseg train {paper}", options)  # wrong words end here
    _run(module, options)


def regenerate(words: List[str], kinds: Sequence[str], verb: str) -> None:
    """Regenerate a table or figure of a paper."""
    paper, rest = _paper(words, verb)
    known = {
        name: target.sentence
        for name, target in reproductions.targets(paper).items()
        if target.kind in kinds
    }
    if not rest or rest[0] in ("-h", "--help"):
        print(f"usage: medseg {verb} {paper} NAME [OPTIONS]\n")
        for name, sentence in known.items():
            print(f"  {name:<12} {sentence}")
        return
    name, options = rest[0], rest[1:]
    if name not in known:
        raise InputError(f"medseg {verb} {paper} {name}: expected one of {', '.join(known)}")
    request = tyro.cli(
        tyro.conf.OmitArgPrefixes[cli.Request],
        args=options,
        prog=f"medseg {verb} {paper} {name}",
        description=known[name],
    )
    cli.check_request(request)
    _run(f"reproductions.{paper}.eval", rest)


def find_data(words: List[str]) -> None:
    """Find or download the data set of a paper."""
    paper, options = _paper(words, "data")
    names = importlib.import_module(f"reproductions.{paper}.config").DATA_SETS
    _run("common.datasets.manifests", [*names, *options])


def predict(words: List[str]) -> None:
    """Predict images with a trained network of a paper."""
    from common.prediction import command, predict  # not at the top: other commands need it not

    paper, rest = _paper(words, "predict")
    options = command.parse(paper, rest)
    command.choose_device(options.device)
    predictor = importlib.import_module(f"reproductions.{paper}.predictor")
    if options.cluster:
        from common.prediction import cluster, finished_runs

        folders = finished_runs.choose(paper, options.run, options.runs_root, predictor.partners)
        cluster.run(paper, options, folders, options.cluster)
        return
    predict.run(paper, options, predictor.load, predictor.partners)


def evaluate(words: List[str]) -> None:
    """Score a folder of masks that any tool has made."""
    from common.prediction import evaluate as evaluation

    paper, rest = _paper(words, "evaluate")
    options = evaluation.parse(paper, rest)
    scoring = importlib.import_module(f"reproductions.{paper}.mask_scoring").scoring
    evaluation.run(paper, options, scoring)


def export(words: List[str]) -> None:
    """Export a finished run as ONNX."""
    from common.prediction import export as exporting

    options = exporting.parse(words)
    paper = exporting.paper_of(options.run, reproductions.names())
    predictor = importlib.import_module(f"reproductions.{paper}.predictor")
    exporting.run(options, predictor.load)


def deposit(words: List[str]) -> None:
    """Pack finished runs for others."""
    from reproductions import deposits

    deposits.pack(words)


def fetch_run(words: List[str]) -> None:
    """Fetch a run that somebody has published."""
    from reproductions import deposits

    deposits.fetch(words)


def module(name: str) -> Callable[[List[str]], None]:
    """Give the function that runs a module with the words as its command line."""
    return lambda words: _run(name, words)


COMMANDS: Dict[str, Command] = {
    "list": Command("", "papers with their tables and figures", list_papers),
    "train": Command("PAPER [OPTIONS]", "train one network, or resume it", train),
    "table": Command(
        "PAPER TABLE [OPTIONS]",
        "train what is missing, evaluate, compare with the paper",
        lambda words: regenerate(words, ("table", "percent_table", "counts", "breakdown"), "table"),
    ),
    "figure": Command(
        "PAPER FIGURE [OPTIONS]",
        "draw a figure of the paper from its networks",
        lambda words: regenerate(words, ("figure",), "figure"),
    ),
    "predict": Command("PAPER INPUT… --out DIR", "predict images of your own", predict),
    "evaluate": Command("PAPER PREDICTIONS TRUTH", "score masks made by any tool", evaluate),
    "export": Command("RUN [--out DIR]", "write a trained network as ONNX", export),
    "data": Command(
        "PAPER [--data-root DIR]", "find or download its data and verify them", find_data
    ),
    "readings": Command(
        "PAPER [OPTIONS]",
        "how far what the paper leaves open moves its table",
        lambda words: regenerate([*words[:1], "readings", *words[1:]], ("readings",), "readings"),
    ),
    "leakage": Command(
        "PAPER [OPTIONS]",
        "what leakage is worth, on the same test images",
        lambda words: regenerate([*words[:1], "leakage", *words[1:]], ("leakage",), "leakage"),
    ),
    "compare": Command(
        "FILE.csv --paper --table",
        "judge another program's scores",
        module("common.results.compare"),
    ),
    "audit": Command(
        "", "check the published numbers against arithmetic", module("common.published.audit")
    ),
    "claims": Command(
        "[PAPER …]", "judge what the papers conclude", module("common.results.conclusions")
    ),
    "report": Command("", "write the HTML report of all results", module("common.report.html")),
    "runs": Command(
        "[--prune]", "run folders with state and size; free disk", module("reproductions.disk")
    ),
    "deposit": Command("[RUN …] [--out DIR]", "pack finished runs to publish", deposit),
    "fetch-run": Command("ADDRESS --checksum", "fetch a published run, and verify it", fetch_run),
    "doctor": Command(
        "", "what this machine has, and what is missing", module("reproductions.doctor")
    ),
}


@exits_cleanly
def main(words: Optional[List[str]] = None) -> None:
    """Run the subcommand that the first word names."""
    words = sys.argv[1:] if words is None else words
    _require_this_checkout()
    if not words or words[0] in ("-h", "--help"):
        print("usage: medseg COMMAND …\n")
        for name, command in COMMANDS.items():
            print(f"  {name:<9} {command.usage:<24} {command.sentence}")
        return
    if words[0] not in COMMANDS:
        raise InputError(f"medseg {words[0]}: expected one of {', '.join(COMMANDS)}")
    COMMANDS[words[0]].run(words[1:])


def _paper(words: List[str], verb: str) -> tuple:
    papers = reproductions.names()
    if not words or words[0] in ("-h", "--help"):
        usage = COMMANDS[verb].usage
        print(f"usage: medseg {verb} {usage}\n\npapers: {', '.join(papers)}")
        sys.exit(0)
    if words[0] not in papers:
        raise InputError(f"medseg {verb} {words[0]}: expected one of {', '.join(papers)}")
    return words[0], words[1:]


def _run(name: str, words: List[str]) -> None:
    sys.argv = [name, *words]
    runpy.run_module(name, run_name="__main__", alter_sys=True)


def _require_this_checkout() -> None:
    """Refuse to work on another checkout than the current folder's, whose files look alike."""
    here = Path.cwd().resolve()
    for folder in (here, *here.parents):
        if (folder / "reproductions" / "command.py").exists():
            if folder != PROJECT:
                raise InputError(
                    f"this medseg belongs to {PROJECT}, and you are in {folder}; use "
                    f"{folder}/.venv/bin/medseg, or make"
                )
            return


if __name__ == "__main__":
    main()
