"""What the project must never do with what it is given: looked for in every source file, by its
syntax.
"""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path
from typing import Iterator

import pytest

from common.files import PROJECT

ROOT = PROJECT
FOLDERS = [
    path
    for path in ROOT.iterdir()
    if path.is_dir() and path.name not in ("data", "runs", "results")
]
SOURCES = sorted(
    path for folder in FOLDERS if folder.name[0] != "." for path in folder.rglob("*.py")
)
TEXTS = sorted(
    [
        ROOT / "Makefile",
        *ROOT.glob("requirements/*.sh"),
        *ROOT.glob(".ci/*"),
        *ROOT.glob("setup.cfg"),
    ]
)

# Loading any of these files can run what somebody else wrote.
MODULES = {
    "pickle",
    "cPickle",
    "_pickle",
    "dill",
    "cloudpickle",
    "jsonpickle",
    "joblib",
    "marshal",
    "shelve",
}
# Archives are unpacked by common/datasets/archives.py alone.
ARCHIVES = {"tarfile", "zipfile"}
CALLS = {
    *("eval", "exec", "os.system", "os.popen", "tempfile.mktemp"),
    *("pickle.load", "torch.load", "joblib.load", "pandas.read_pickle", "pd.read_pickle"),
    *("yaml.load", "yaml.load_all", "yaml.full_load", "yaml.unsafe_load"),
    *("shutil.unpack_archive", "tf.saved_model.load"),
}
METHODS = {
    "extractall",
    "load_model",
    "model_from_json",
    "model_from_config",
    "enable_unsafe_deserialization",
}
OPTIONS = {("shell", True), ("allow_pickle", True), ("verify", False), ("trust_remote_code", True)}
LITERALS = {"0.0.0.0"}
SHELL = re.compile(
    r"0\.0\.0\.0|--trusted-host|--insecure|curl [^|\n]*-k\b|\|\s*(ba)?sh\b|--allow-insecure-host"
)

ALLOWED = {
    ("common/datasets/archives.py", "import tarfile"): "the checked function",
    ("common/datasets/archives.py", "import zipfile"): "the checked function",
    ("common/files.py", "yaml.load"): "with a subclass of SafeLoader",
    (
        "reproductions/polyp_unet/data.py",
        "import zipfile",
    ): "for the name of an error that np.load raises",
    (
        "tests/common/datasets/test_archives.py",
        "import tarfile",
    ): "makes the archives to be refused",
    (
        "tests/common/datasets/test_archives.py",
        "import zipfile",
    ): "makes the archives to be refused",
    ("tests/common/datasets/test_manifests.py", "import zipfile"): "makes archives",
    (
        "tests/common/datasets/test_manifests.py",
        "shell=True",
    ): "a fixed line, to compare a checksum with that of sha256sum",
    ("tests/common/training/test_predictions.py", "allow_pickle=True"): "makes one to be refused",
    ("tools/fuzz.py", "import tarfile"): "makes archives",
    ("tools/fuzz.py", "import zipfile"): "makes archives",
    ("tools/kill_commands.py", "import zipfile"): "makes archives",
    ("tests/common/results/test_verify.py", "import zipfile"): "makes archives",
    ("tests/reproductions/test_deposits.py", "import zipfile"): "makes archives",
    ("tests/test_package.py", "import zipfile"): "reads a wheel that it has built",
    ("common/prediction/export.py", "model_from_json"): "of a network built here, its layers given",
    ("common/results/dask_backend.py", "import cloudpickle"): "sends our own function to workers",
    ("tests/test_safety.py", "'0.0.0.0'"): "this list",
}


def offences(source: str, is_test: bool = False) -> Iterator[str]:
    """Name whatever is forbidden in a Python source."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            names = (
                [alias.name for alias in node.names]
                if isinstance(node, ast.Import)
                else [node.module or ""]
            )
            yield from (
                f"import {name}" for name in names if name.split(".")[0] in MODULES | ARCHIVES
            )
        elif isinstance(node, ast.Call):
            called = dotted(node.func)
            if called in CALLS:
                yield called
            elif called.rpartition(".")[2] in METHODS and "." in called:
                yield called.rpartition(".")[2]
            options = {
                (word.arg, word.value.value)
                for word in node.keywords
                if isinstance(word.value, ast.Constant)
            }
            yield from (f"{name}={value}" for name, value in OPTIONS & options)
            if (
                called in ("np.load", "numpy.load")
                and ("allow_pickle", False) not in options
                and not is_test
            ):
                yield f"{called} without allow_pickle=False"
        elif isinstance(node, ast.Constant) and node.value in LITERALS:
            yield repr(node.value)


# What reads a file without asking whether it is one, where `common.files` does not: a named pipe
# lets it wait for ever, and another encoding ends in a traceback.
READERS = {"read_text", "read_bytes"}
READERS_OF_A_PATH = {"pandas.read_csv", "pd.read_csv", "np.load"}  # or of an open file
BARE = {
    "common/files.py": "the marker of a lock, which appears whole, and /proc",
    "common/imaging/isolation.py": "/proc",
    "common/training/cuda.py": "/proc",
    "common/training/weights_files.py": "/proc",
    "reproductions/doctor.py": "/proc",
}


def bare_reads(source: str) -> Iterator[str]:
    """Name every call that reads whatever lies at a path."""
    for node in ast.walk(ast.parse(source)):
        called = dotted(node.func) if isinstance(node, ast.Call) else ""
        owner, _, method = called.rpartition(".")
        of_a_file = method in READERS and owner != "files" and "." in called
        of_a_path = called in READERS_OF_A_PATH and not (
            isinstance(node.args[0], ast.Call) or dotted(node.args[0]) == "stream"
        )
        if of_a_file or of_a_path:
            yield called


def dotted(node: ast.AST) -> str:
    """The name of what is called, such as os.path.join; "" where it is no name."""
    if isinstance(node, ast.Attribute):
        return f"{dotted(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else ""


def found_in(path: Path) -> set:
    name = path.relative_to(ROOT).as_posix()
    return {
        (name, offence)
        for offence in offences(path.read_text(encoding="utf-8"), name.startswith("tests/"))
    }


def test_no_source_does_what_is_forbidden_and_every_exception_is_needed():
    assert len(SOURCES) > 80
    assert set.union(*map(found_in, SOURCES)) == set(ALLOWED)


def test_files_are_read_by_the_function_that_asks_whether_they_are():
    names = [path.relative_to(ROOT).as_posix() for path in SOURCES]
    ours = [name for name in names if name.startswith(("common/", "reproductions/"))]
    bare = {name for name in ours if list(bare_reads((ROOT / name).read_text(encoding="utf-8")))}
    assert bare == set(BARE)
    assert len(list(bare_reads("p.read_text(); files.read_text(p); pd.read_csv(p); f(p)"))) == 2


@pytest.mark.parametrize("path", TEXTS, ids=lambda path: path.name)
def test_no_script_trusts_a_server_without_a_certificate_or_opens_to_a_network(path):
    assert not SHELL.search(path.read_text(encoding="utf-8"))


def test_no_notebook_does_either():
    notebooks = sorted((ROOT / "reproductions").rglob("*.ipynb"))
    assert notebooks
    for path in notebooks:
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        for cell in cells:
            if cell["cell_type"] == "code":
                assert not list(offences("".join(cell["source"])))
                assert not cell["outputs"]


@pytest.mark.parametrize(
    ("source", "offence"),
    [
        ("import pickle", "import pickle"),
        ("from joblib import load", "import joblib"),
        ("import os, marshal as m", "import marshal"),
        ("import tarfile", "import tarfile"),
        ("eval(x)", "eval"),
        ("def f():\n    exec('1')", "exec"),
        ("os.system('ls')", "os.system"),
        ("subprocess.run(x, shell=True)", "shell=True"),
        ("np.load(p, allow_pickle=True)", "allow_pickle=True"),
        ("np.load(p)", "np.load without allow_pickle=False"),
        ("yaml.load(t)", "yaml.load"),
        ("requests.get(u, verify=False)", "verify=False"),
        ("torch.load(p)", "torch.load"),
        ("keras.models.load_model(p)", "load_model"),
        ("a.extractall(p)", "extractall"),
        ("serve('0.0.0.0', 80)", "'0.0.0.0'"),
    ],
)
def test_what_is_forbidden_is_found(source, offence):
    assert offence in list(offences(source))


@pytest.mark.parametrize(
    "source",
    [
        "model.eval()",
        "np.load(p, allow_pickle=False)",
        "yaml.safe_load(t)",
        "json.load(f)",
        "run(x, shell=False)",
        "# eval(x)",
    ],
)
def test_what_is_not_is_left_alone(source):
    assert not list(offences(source))


@pytest.mark.parametrize(
    "line", ["pip install --trusted-host a", "curl -s -k a", "curl a | sh", "serve 0.0.0.0"]
)
def test_what_no_script_may_do_is_found(line):
    assert SHELL.search(line)
