"""The command `medseg`: every paper's training, tables and figures under one name.

It checks its words before anything is imported that takes long, then runs the module that does the
work: `medseg table PAPER TABLE …` is `.venv/bin/python -m reproductions.PAPER.eval TABLE …`.
"""

from __future__ import annotations

import importlib
import runpy
import shutil
import sys
import textwrap
from dataclasses import dataclass
from pathlib import Path
from typing import Callable, Dict, List, NamedTuple, Optional, Sequence, Tuple

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


@dataclass(frozen=True)
class Verify:
    """Check that tables follow from the scores per image kept beside them and verdicts from the
    tables; with the data, that these scores follow from the packed predictions.
    """

    papers: tyro.conf.Positional[Tuple[str, ...]] = ()
    """Papers to check; all by default."""
    data_root: Optional[Path] = None
    """Folder that holds the data sets; without it predictions are not scored."""
    results_root: Path = PROJECT / "results"
    """Folder of the tables."""


def list_papers(words: List[str]) -> None:
    """Print every paper with its tables and figures."""
    width = min(shutil.get_terminal_size().columns, 100)
    for paper in reproductions.names():
        print(paper)
        for name, target in reproductions.targets(paper).items():
            # A command stays on one line, so that it can be copied.
            text = f"{target.sentence} (make\0{target.target})"
            lines = textwrap.wrap(text, width - 15, break_on_hyphens=False)
            for heading, line in zip([name, *[""] * len(lines)], lines):
                print(f"  {heading:<12} {line}".replace("\0", " "))


def train(words: List[str]) -> None:
    """Train one network of a paper."""
    paper, options = _paper(words, "train")
    module = f"reproductions.{paper}.train"
    profiles = importlib.import_module(f"reproductions.{paper}.config").PROFILES
    cli.parse_training(profiles, f"medseg train {paper}", options)  # wrong words end here
    _run(module, options)


def regenerate(words: List[str], kinds: Sequence[str], verb: str) -> None:
    """Regenerate a table or figure of a paper; the words are PAPER NAME and options."""
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
        if verb == "table":
            print("\n--format markdown|latex prints what results/ holds and trains nothing")
        return
    name, options = rest[0], rest[1:]
    if name not in known:
        raise InputError(f"medseg {verb} {paper} {name}: expected one of {', '.join(known)}")
    _evaluate(paper, name, options, f"medseg {verb} {paper} {name}", known[name])


def regenerate_only(words: List[str], name: str) -> None:
    """Call the command of a paper that has the verb's name; the words are PAPER and options."""
    paper, options = _paper(words, name)
    known = reproductions.targets(paper)
    if name not in known:
        raise InputError(f"medseg {name} {paper}: this paper declares none")
    _evaluate(paper, name, options, f"medseg {name} {paper}", known[name].sentence)


def _evaluate(paper: str, name: str, options: List[str], prog: str, sentence: str) -> None:
    """Check the options, then run an eval.py."""
    request_type = tyro.conf.OmitArgPrefixes[cli.Request]
    request = tyro.cli(request_type, args=options, prog=prog, description=sentence)
    cli.check_request(request)
    _run(f"reproductions.{paper}.eval", [name, *options])


def table(words: List[str]) -> None:
    """Regenerate a table, or with --format print what results/ holds of it."""
    if any(word.partition("=")[0] == "--format" for word in words):
        from common.results import export as exporting  # not at the top: it takes a second

        exporting.print_table([_paper(words, "table")[0], *words[1:]])
    else:
        regenerate(words, ("table", "percent_table", "counts", "breakdown"), "table")


def find_data(words: List[str]) -> None:
    """Find or download the data set of a paper."""
    paper, options = _paper(words, "data")
    names = importlib.import_module(f"reproductions.{paper}.config").DATA_SETS
    _run("common.datasets.manifests", [*names, *options])


def predict(words: List[str]) -> None:
    """Predict images with a trained network of a paper."""
    paper, rest = _paper(words, "predict")
    from common.prediction import command  # not at the top: other commands do not need it

    options = command.parse(paper, rest)
    command.choose_device(options.device)
    from common.prediction import finished_runs

    # Said before TensorFlow starts: that there is no run.
    finished_runs.choose(paper, options.run, options.runs_root, lambda folder: (folder,))
    predictor = importlib.import_module(f"reproductions.{paper}.predictor")
    if options.cluster:
        from common.prediction import cluster

        folders = finished_runs.choose(paper, options.run, options.runs_root, predictor.partners)
        cluster.run(paper, options, folders, options.cluster)
        return
    from common.prediction import predict

    predict.run(paper, options, predictor.load, predictor.partners)


def evaluate(words: List[str]) -> None:
    """Score a folder of masks that any tool has made."""
    paper, rest = _paper(words, "evaluate")
    from common.prediction import evaluate as evaluation

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


def verify(words: List[str]) -> None:
    """Check that results follow from what is kept beside them."""
    options = tyro.cli(Verify, args=words, prog="medseg verify", description=Verify.__doc__)
    papers = options.papers or tuple(reproductions.names())
    unknown = [name for name in papers if name not in reproductions.names()]
    if unknown:
        raise InputError(f"medseg verify {unknown[0]}: expected one of {reproductions.names()}")
    from common.results import verify as verifying  # not at the top: it takes half a second

    problems: List[str] = []
    for name in papers:
        paper = importlib.import_module(f"reproductions.{name}.eval").paper
        found = list(verifying.without_data(paper, options.results_root))
        if options.data_root is not None:
            found += verifying.with_data(paper, options.results_root, options.data_root)
        print(f"{name}: {len(found) or 'no'} problem{'s' * (len(found) != 1)}")
        problems += found
    if problems:
        raise InputError("\n".join(problems))


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
        "train what is missing, evaluate and judge",
        table,
    ),
    "figure": Command(
        "PAPER FIGURE [OPTIONS]",
        "draw a figure of the paper",
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
        "how far what a paper leaves open moves it",
        lambda words: regenerate_only(words, "readings"),
    ),
    "leakage": Command(
        "PAPER [OPTIONS]",
        "what leakage is worth, on the same test images",
        lambda words: regenerate_only(words, "leakage"),
    ),
    "compare": Command(
        "FILE.csv --paper --table",
        "judge another program's scores",
        module("common.results.compare"),
    ),
    "audit": Command(
        "", "hold published numbers against arithmetic", module("common.published.audit")
    ),
    "claims": Command(
        "[PAPER …]", "judge what the papers conclude", module("common.results.conclusions")
    ),
    "verify": Command(
        "[PAPER …] [--data-root DIR]", "check that the results follow from what is kept", verify
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
