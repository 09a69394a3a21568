"""The way in: the Makefile, the locks and the set-up script, without installing anything."""

import hashlib
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from common.files import PROJECT

ROOT = PROJECT
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
TARGETS = re.findall(r"^([a-z][a-z0-9-]*):", MAKEFILE, flags=re.MULTILINE)
DEFAULTS = dict(re.findall(r"^([A-Z_]+) \?= ?(.*)$", MAKEFILE, flags=re.MULTILINE))
LOCKS = sorted((ROOT / "requirements").glob("*.txt"))
TABLE1 = [".venv/bin/python", "-m", "reproductions.tnbc_linknet.eval", "table1"]
ENVIRONMENT = {
    name: value
    for name, value in os.environ.items()
    if name not in {*DEFAULTS, "MAKEFLAGS", "MAKELEVEL"}
}


def make(*arguments, cwd=ROOT, environment=ENVIRONMENT):
    return subprocess.run(
        ["make", *arguments], cwd=cwd, env=environment, capture_output=True, text=True
    )


def commands(*arguments, **settings):
    """The recipes that make would run for a target, set-up excluded, each as a list of words."""
    lines = make("-n", *arguments, **settings).stdout.splitlines()
    return [shlex.split(line) for line in lines if line.startswith(".venv/bin/python")]


def test_make_alone_prints_the_help():
    assert make().stdout == make("help").stdout != ""


@pytest.mark.parametrize("target", TARGETS)
def test_every_target_has_a_sentence_in_the_help(target):
    assert re.search(rf"^  {target} +\w.+", make("help").stdout, flags=re.MULTILINE)


@pytest.mark.parametrize("name", DEFAULTS)
def test_every_variable_is_in_the_help_with_its_default(name):
    row = re.search(rf"^  {name} +(\S+) +\w.+", make("help").stdout, flags=re.MULTILINE)
    assert row and row.group(1) == (DEFAULTS[name] or row.group(1))


def test_every_command_needs_nothing_but_its_target():
    assert commands("tnbc-table1") == [TABLE1]


@pytest.mark.parametrize("given", ["PROT=9000", "port=9000", "PROFIL=quick"])
def test_a_variable_that_does_not_exist_is_named_and_nothing_is_done(given):
    result = make("-n", "brain-ui", "PORT=9000", given)
    name = given.partition("=")[0]
    assert result.returncode == 2 and not result.stdout
    assert f"{name}: no such variable; make help lists them" in result.stderr


def test_variables_reach_the_command_as_options_with_their_spaces():
    settings = {
        "DATA_ROOT": "/data sets/it's $x `y` $(z)",
        "SEEDS": "0 1 2",
        "PROTOCOL": "corrected",
        "PROFILE": "quick",
    }
    settings.update(ENCODER_WEIGHTS="my weights.h5", PRECISION="mixed_bfloat16")
    given = [
        "--data-root",
        "/data sets/it's $x `y` $(z)",
        "--seeds",
        "0",
        "1",
        "2",
        "--protocol",
        "corrected",
    ]
    given += [
        "--profile",
        "quick",
        "--encoder-weights",
        "my weights.h5",
        "--precision",
        "mixed_bfloat16",
    ]
    expected = [[*TABLE1, *given]]
    assert (
        commands("tnbc-table1", *(f"{name}={value}" for name, value in settings.items()))
        == expected
    )
    assert commands("tnbc-table1", environment={**ENVIRONMENT, **settings}) == expected


def test_nothing_in_a_variable_runs_or_is_taken_for_an_option(tmp_path):
    calls = [f"{name}=$(shell touch {tmp_path}/{name})" for name in DEFAULTS]
    make("-n", "tnbc-table1", "kill-commands", *calls)
    make("-n", "tnbc-table1", environment={**ENVIRONMENT, **dict(c.split("=", 1) for c in calls)})
    assert not list(tmp_path.iterdir())
    assert commands("tnbc-table1", "DATA_ROOT=-a b") == [[*TABLE1, "--data-root", "./-a b"]]
    broken = make("-n", "tnbc-table1", "DATA_ROOT=a\ntouch b")
    assert broken.returncode == 2 and "DATA_ROOT has a line break" in broken.stderr


PREDICT = [".venv/bin/python", "-m", "reproductions.command", "predict", "tnbc_linknet"]


@pytest.mark.parametrize(
    ("given", "inputs"),
    [
        ("a b/it's.png", ["a b/it's.png"]),  # there is such a file
        ("a.png b/it's.png", ["a.png", "b/it's.png"]),
        ("$HOME/*.png", ["$HOME/*.png"]),
    ],
)
def test_images_reach_predict_as_they_are_called(tmp_path, given, inputs):
    project = ready_project(tmp_path)
    (project / "a b").mkdir()
    (project / "a b/it's.png").touch()
    words = ["PAPER=tnbc_linknet", f"INPUT={given}", "OUT=o ut", "RUN=r un"]
    expected = [*PREDICT, *inputs, "--out", "o ut", "--run", "r un"]
    lines = make("-n", "predict", *words, cwd=project).stdout.replace("\\\n", " ").splitlines()
    assert shlex.split(lines[-1]) == expected


@pytest.mark.parametrize("missing", ["PAPER", "INPUT", "OUT"])
def test_predict_names_what_it_misses_in_one_line(tmp_path, missing):
    words = [f"{name}=x" for name in ("PAPER", "INPUT", "OUT") if name != missing]
    done = make("predict", *words, cwd=ready_project(tmp_path))
    assert done.returncode == 2 and done.stdout == ""
    assert done.stderr.count("\n") == 1 and f"{missing} is missing" in done.stderr


@pytest.mark.parametrize(
    ("given", "seen"), [([], "unset"), (["DATA_ROOT="], "unset"), (["DATA_ROOT=/a b"], "/a b")]
)
def test_the_tests_see_data_root_only_if_it_is_set(tmp_path, given, seen):
    project = ready_project(tmp_path)
    python = project / ".venv/bin/python"
    python.parent.mkdir()
    python.write_text('#!/bin/sh\necho "${DATA_ROOT-unset}"\n')
    python.chmod(0o755)
    assert make("-s", "test", *given, cwd=project).stdout.splitlines()[-1] == seen


@pytest.mark.parametrize("lock", LOCKS, ids=lambda path: path.name)
def test_every_locked_package_has_a_version_and_hashes_and_no_address(lock):
    text = lock.read_text(encoding="utf-8")
    assert "://" not in text and "--index-url" not in text and "--find-links" not in text
    entries = [
        entry
        for entry in re.split(r"\n(?=\S)", text.replace("\\\n", " "))
        if not entry.startswith("#")
    ]
    assert entries
    for entry in entries:
        assert re.match(r"[a-z0-9][a-z0-9._-]*==[^ ]+ .*--hash=sha256:[0-9a-f]{64}", entry), entry


@pytest.mark.parametrize("name", [path.stem for path in LOCKS])
def test_every_wanted_package_is_locked(name):
    folder = ROOT / "requirements"
    wanted = re.findall(
        r"^([A-Za-z][\w.-]*)", (folder / f"{name}.in").read_text(), flags=re.MULTILINE
    )
    for included in re.findall(
        r"^-r (\S+)", (folder / f"{name}.in").read_text(), flags=re.MULTILINE
    ):
        wanted += re.findall(
            r"^([A-Za-z][\w.-]*)", (folder / included).read_text(), flags=re.MULTILINE
        )
    locked = re.findall(r"^([\w.-]+)==", (folder / f"{name}.txt").read_text(), flags=re.MULTILINE)
    assert set(wanted) <= set(locked)


def ready_project(folder):
    """A copy of what make needs, as it is after a finished set-up."""
    project = folder / "project"
    shutil.copytree(ROOT / "requirements", project / "requirements")
    shutil.copy(ROOT / "Makefile", project)
    (project / ".venv").mkdir()
    (project / ".venv/.locks").write_text("requirements/dev.txt\n")
    (project / ".venv/.ready").touch()
    return project


def test_a_second_set_up_has_nothing_to_do_until_a_lock_changes(tmp_path):
    project = ready_project(tmp_path)
    assert make("-q", "setup", cwd=project).returncode == 0
    assert make("-q", "setup", "GPU=0", cwd=project).returncode == 0
    assert make("-q", "setup", "GPU=1", cwd=project).returncode == 1
    later = (project / ".venv/.ready").stat().st_mtime + 1
    os.utime(project / "requirements/dev.txt", (later, later))
    assert make("-q", "setup", cwd=project).returncode == 1


def test_clean_removes_caches_and_nothing_of_value(tmp_path):
    project = ready_project(tmp_path)
    kept = [
        "data/tnbc/a.png",
        "runs/x/weights.h5",
        "results/tnbc/table1.csv",
        "common/__init__.py",
        ".venv/__pycache__/a",
    ]
    gone = [
        "common/__pycache__/a.pyc",
        ".ruff_cache/a",
        ".pytest_cache/a",
        "results/demo/report.html",
    ]
    for name in kept + gone:
        (project / name).parent.mkdir(parents=True, exist_ok=True)
        (project / name).touch()
    assert make("clean", cwd=project).returncode == 0
    assert [name for name in kept + gone if (project / name).exists()] == kept


def script(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)  # it may be a link to a tool of the system: never write through it
    path.write_text(text)
    path.chmod(0o755)
    return str(path)


def interpreter(path, version, implementation="cpython", has_venv=True):
    """A stand-in that answers set-up's questions as a Python of that version would."""
    lie = (
        f"import sys; sys.version_info = {version!r}; sys.implementation.name = {implementation!r}"
    )
    lie += f"; sys.executable = {str(path)!r}" + (
        "" if has_venv else "; sys.modules['ensurepip'] = None"
    )
    command = f'exec {shlex.quote(sys.executable)} -c "{lie}\nexec(sys.argv[1])" "$2"'
    return script(path, f"#!/bin/sh\n{command}\n")


TOOLS = (
    *("bash", "sh", "dirname", "sort", "uname", "grep", "rm", "mkdir", "touch", "cp", "cut", "env"),
    *("sha256sum", "tar", "gzip", "sed", "head", "chmod"),
)


@pytest.fixture()
def sandbox(tmp_path):
    """A copy of the set-up script, and a function that runs it where PATH has the system's tools
    but no Python.
    """
    project = tmp_path / "project"
    (project / "requirements").mkdir(parents=True)
    for name in ("setup.sh", "uv.txt", "dev.txt"):
        shutil.copy(ROOT / "requirements" / name, project / "requirements")
    tools = tmp_path / "bin"
    tools.mkdir()
    for tool in TOOLS:
        # Not links: a test that writes over one of them must not reach the system's.
        script(tools / tool, f'#!/bin/sh\nexec {shutil.which(tool)} "$@"\n')

    def run(*arguments, **variables):
        environment = {"PATH": str(tools), "HOME": str(tmp_path), **variables}
        script = [str(project / "requirements/setup.sh"), *arguments]
        return subprocess.run(script, env=environment, capture_output=True, text=True)

    return run


def test_the_newest_suitable_interpreter_in_path_is_found_past_a_shim_that_refuses(
    sandbox, tmp_path
):
    shim = Path(interpreter(tmp_path / "bin/python3.10", (3, 10)))
    shim.write_text("#!/bin/sh\necho 'python3.10: command not found' >&2\nexit 127\n")
    interpreter(tmp_path / "bin/python3.8", (3, 8))
    interpreter(tmp_path / "bin/python3", (3, 11))
    newest = interpreter(tmp_path / "bin/python3.9", (3, 9))
    assert sandbox("--find-python").stdout == f"{newest}\n"


@pytest.mark.parametrize(
    "flaw", [{"version": (3, 11)}, {"version": (3, 7)}, {"implementation": "pypy"}]
)
def test_an_unsuitable_interpreter_is_passed_over(sandbox, tmp_path, flaw):
    interpreter(tmp_path / "bin/python3", **{"version": (3, 10), **flaw})
    found = sandbox("--find-python")
    assert (found.returncode, found.stdout) == (0, "")
    good = interpreter(tmp_path / ".pyenv/versions/3.9.18/bin/python", (3, 9))
    interpreter(tmp_path / ".pyenv/versions/3.10.12/bin/python", (3, 10))
    better = interpreter(tmp_path / ".pyenv/versions/3.10.13/bin/python", (3, 10))
    interpreter(tmp_path / ".pyenv/versions/3.12.1/bin/python", (3, 12))
    assert sandbox("--find-python").stdout == f"{better}\n"
    assert sandbox("--find-python", PYTHON=good).stdout == f"{good}\n"


def test_an_interpreter_without_ensurepip_is_taken_where_there_is_no_other(sandbox, tmp_path):
    bare = interpreter(tmp_path / "bin/python3.10", (3, 10), has_venv=False)
    assert sandbox("--find-python").stdout == f"{bare}\n"
    older = interpreter(tmp_path / "bin/python3.9", (3, 9))
    assert sandbox("--find-python").stdout == f"{older}\n"


def test_a_bundle_is_installed_with_the_python_that_it_is_for(sandbox, tmp_path):
    (tmp_path / "SHA256SUMS").touch()
    (tmp_path / "PYTHON").write_text("3.9\n")
    newest = interpreter(tmp_path / "bin/python3.10", (3, 10))
    wanted = interpreter(tmp_path / "bin/python3.9", (3, 9))
    assert sandbox("--find-python", BUNDLE=str(tmp_path)).stdout == f"{wanted}\n"
    assert sandbox("--find-python").stdout == f"{newest}\n"


def test_the_interpreter_asked_for_is_used_or_refused_in_one_line(sandbox, tmp_path):
    interpreter(tmp_path / "bin/python3.10", (3, 10))
    unsuitable = interpreter(tmp_path / "elsewhere/python", (3, 12))
    refused = sandbox(PYTHON=unsuitable)
    assert refused.returncode == 1 and refused.stdout == ""
    assert re.fullmatch(rf"error: PYTHON={unsuitable} .*3\.8, 3\.9 or 3\.10.*\n", refused.stderr)


def test_without_any_python_one_line_says_what_to_install(sandbox, tmp_path):
    result = sandbox()
    assert result.returncode == 1 and result.stdout == ""
    assert re.fullmatch(r"error: no Python 3\.8, 3\.9 or 3\.10 found: install .*\n", result.stderr)
    assert not (tmp_path / "project/.venv").exists()


def test_a_venv_made_by_somebody_else_is_left_alone(sandbox, tmp_path):
    own = tmp_path / "project/.venv/precious"
    own.parent.mkdir()
    own.touch()
    interpreter(tmp_path / "bin/python3.10", (3, 10))
    result = sandbox()
    assert result.returncode == 1 and "move it away" in result.stderr and own.exists()


# Ways to uv, by stand-ins that write down how they are called

UV = """#!/bin/sh
echo "uv $*" >>"$LOG"
env | sort >>"$LOG.environment"
case $1 in
  --version) echo "uv {version}" ;;
  venv) mkdir -p .venv/bin && cp "$PYTHON_STUB" .venv/bin/python ;;
  pip)
    case "$*" in *--target*) mkdir -p .venv/tools/bin && cp "$LOCKED_UV" .venv/tools/bin/uv ;; esac
    case "$*" in
      *--editable*) printf '#!%s/.venv/bin/python\\nimport sys\\n' "$PWD" >.venv/bin/medseg ;;
    esac ;;
esac
"""
PIP = """#!/bin/sh
if [ "$1" = -m ]; then
  echo "python $*" >>"$LOG"
  mkdir -p .venv/tools/bin && cp "$LOCKED_UV" .venv/tools/bin/uv
else
  exec {python} "$@"
fi
"""
LOCKED = re.match(r"uv==(\S+)", (ROOT / "requirements/uv.txt").read_text()).group(1)


@pytest.fixture()
def stubs(sandbox, tmp_path):
    """Run the set-up with a stand-in for uv; give the result and the calls."""
    variables = {
        "LOG": str(tmp_path / "log"),
        "PYTHON_STUB": interpreter(tmp_path / "stub/python", (3, 10)),
        "LOCKED_UV": script(tmp_path / "stub/uv", UV.replace("{version}", LOCKED)),
    }

    def run(**more):
        result = sandbox(**variables, **more)
        log = tmp_path / "log"
        return result, log.read_text().splitlines() if log.exists() else []

    return run


def put_uv(tmp_path):
    script(tmp_path / "bin/uv", UV.replace("{version}", "0.5.0"))


@pytest.mark.parametrize("version", [(3, 10), (3, 11), None], ids=["3.10", "3.11", "none"])
def test_without_ensurepip_the_uv_in_path_installs_the_locked_one(stubs, tmp_path, version):
    put_uv(tmp_path)
    if version:
        interpreter(tmp_path / f"bin/python{version[0]}.{version[1]}", version, has_venv=False)
    result, calls = stubs()
    assert result.returncode == 0, result.stderr
    installed = next(number for number, call in enumerate(calls) if "--target .venv/tools" in call)
    assert "--require-hashes" in calls[installed] and "requirements/uv.txt" in calls[installed]
    wanted = tmp_path / "bin/python3.10" if version == (3, 10) else "3.10"
    assert f"uv venv --quiet --allow-existing --python {wanted} .venv" in calls[:installed]
    assert any("pip sync" in call and "--require-hashes" in call for call in calls[installed:])
    assert (tmp_path / "project/.venv/.ready").exists()


def test_without_ensurepip_and_uv_pip_installs_into_the_tools(stubs, tmp_path):
    bare = interpreter(tmp_path / "stub/bare", (3, 10), has_venv=False)
    with_pip = (
        Path(bare)
        .read_text()
        .replace("sys.executable =", "sys.modules['pip'] = sys; sys.executable =")
    )
    script(Path(bare), with_pip.replace(str(bare), str(tmp_path / "bin/python3.10")))
    script(tmp_path / "bin/python3.10", PIP.replace("{python}", bare))
    result, calls = stubs()
    assert result.returncode == 0, result.stderr
    assert re.match(
        r"python -m pip install .*--no-user.*--require-hashes.*--target \.venv/tools", calls[0]
    )


def test_where_one_way_to_uv_fails_the_next_is_tried(stubs, tmp_path):
    broken = Path(interpreter(tmp_path / "bin/python3.10", (3, 10)))
    refusal = '[ "$1" != -m ] || { echo "No module named pyexpat" >&2; exit 1; }'
    broken.write_text(broken.read_text().replace("\n", f"\n{refusal}\n", 1))
    result, calls = stubs()
    assert result.returncode == 1 and not calls
    assert result.stderr.count("pyexpat") == 1 and "error: uv could not be" in result.stderr
    put_uv(tmp_path)
    result, calls = stubs()
    assert result.returncode == 0 and any("--target .venv/tools" in call for call in calls)


def test_a_python_that_uv_has_downloaded_before_is_found(sandbox, tmp_path):
    fetched = interpreter(tmp_path / "share/uv/python3.10", (3, 10))
    script(
        tmp_path / "bin/uv",
        f'#!/bin/sh\n[ "$UV_PYTHON_DOWNLOADS $*" = "never python find --system 3.10" ] &&\n'
        f"  echo {fetched}\n",
    )
    assert sandbox("--find-python").stdout == f"{fetched}\n"


@pytest.mark.parametrize("right", [False, True])
def test_with_nothing_else_uv_is_downloaded_and_checked(stubs, tmp_path, right):
    interpreter(tmp_path / "bin/python3.12", (3, 12), has_venv=False)
    folder = tmp_path / "archive/uv-x86_64-unknown-linux-gnu"
    script(folder / "uv", UV.replace("{version}", "0.9.22"))
    packed = shutil.make_archive(str(tmp_path / "uv"), "gztar", folder.parent)
    script(
        tmp_path / "bin/curl",
        f'#!/bin/sh\nwhile [ "$1" != --output ]; do shift; done\ncp {packed} "$2"\n',
    )
    if right:
        setup = tmp_path / "project/requirements/setup.sh"
        digest = hashlib.sha256(Path(packed).read_bytes()).hexdigest()
        setup.write_text(
            re.sub("(?m)^archive_sha256=.*", f"archive_sha256={digest}", setup.read_text())
        )
    result, calls = stubs()
    if right:
        assert result.returncode == 0 and any("--target .venv/tools" in call for call in calls)
    else:
        assert result.returncode == 1 and not calls
        assert re.fullmatch(
            r"error: what came from \S+ is not the uv expected; install uv.*\n", result.stderr
        )


def test_a_python_that_cannot_get_uv_is_refused_in_one_line(sandbox, tmp_path):
    script(tmp_path / "bin/uname", '#!/bin/sh\n[ "$1" = -s ] && echo Darwin || echo x86_64\n')
    interpreter(tmp_path / "bin/python3.10", (3, 10), has_venv=False)
    result = sandbox()
    assert result.returncode == 1 and "neither venv nor pip" in result.stderr
    assert result.stderr.count("\n") == 1 and not (tmp_path / "project/.venv").exists()


def test_windows_is_told_of_wsl(sandbox, tmp_path):
    script(tmp_path / "bin/uname", '#!/bin/sh\n[ "$1" = -s ] && echo MINGW64_NT || echo x86_64\n')
    result = sandbox()
    assert result.returncode == 1 and re.fullmatch("error: .*Windows.*WSL\n", result.stderr)


def test_apple_silicon_is_told_of_docker(sandbox, tmp_path):
    script(tmp_path / "bin/uname", '#!/bin/sh\n[ "$1" = -s ] && echo Darwin || echo arm64\n')
    result = sandbox()
    assert result.returncode == 1 and re.fullmatch(
        "error: .*Apple silicon.*Docker.*\n", result.stderr
    )


def test_variables_of_other_programs_do_not_reach_the_installers(stubs, tmp_path):
    put_uv(tmp_path)
    foreign = [
        "PYTHONPATH",
        "PYTHONHOME",
        "PYTHONOPTIMIZE",
        "PIP_USER",
        "PIP_TARGET",
        "PIP_CONSTRAINT",
    ]
    foreign += ["UV_TARGET", "UV_SYSTEM_PYTHON", "UV_CONSTRAINT", "UV_NO_BINARY", "VIRTUAL_ENV"]
    kept = ["PIP_INDEX_URL", "PIP_CERT", "UV_DEFAULT_INDEX", "UV_CACHE_DIR", "HTTPS_PROXY"]
    result, _ = stubs(**dict.fromkeys([*foreign, *kept], "1"))
    assert result.returncode == 0, result.stderr
    seen = {
        line.partition("=")[0] for line in (tmp_path / "log.environment").read_text().splitlines()
    }
    assert not seen & {*foreign} and {*kept} <= seen


def test_the_project_itself_is_installed_last_and_its_command_takes_no_foreign_variables(
    stubs, tmp_path
):
    put_uv(tmp_path)
    assert not any("--editable" in call for call in stubs()[1])
    (tmp_path / "project/setup.cfg").touch()
    _, calls = stubs()
    assert "--no-deps --no-build-isolation --editable ." in calls[-1] and "--offline" in calls[-1]
    first = (tmp_path / "project/.venv/bin/medseg").read_text().splitlines()[0]
    assert first == f"#!{tmp_path}/project/.venv/bin/python -Es"


def test_a_disk_without_locks_does_not_stop_the_set_up(stubs, tmp_path):
    put_uv(tmp_path)
    script(tmp_path / "bin/flock", "#!/bin/sh\necho 'flock: 9: No locks available' >&2\nexit 1\n")
    result, _ = stubs()
    assert result.returncode == 0 and "waiting" not in result.stdout
