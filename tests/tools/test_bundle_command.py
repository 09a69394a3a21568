"""From `make bundle` to `make setup BUNDLE=` without a network: the real scripts and real packages,
but few of them.
"""

import os
import re
import shutil
import subprocess
import sys
import sysconfig

import h5py
import pytest

from common.files import PROJECT

ROOT = PROJECT
PACKAGES = ("iniconfig", "promise", "six")  # promise has no wheel
VARIABLES = {
    "BUNDLE",
    "GPU",
    "BENCH",
    "DATA_ROOT",
    "ENCODER_WEIGHTS",
    "PYTHON",
    "PYTHONPATH",
    "MAKEFLAGS",
    "MAKELEVEL",
}
ENVIRONMENT = {name: value for name, value in os.environ.items() if name not in VARIABLES}
# A user's network namespace with nothing in it, not even a loopback interface that is up.
WITHOUT_NETWORK = ["unshare", "--map-root-user", "--net"]


def run(*command, cwd, **variables):
    return subprocess.run(
        command, cwd=cwd, env={**ENVIRONMENT, **variables}, capture_output=True, text=True
    )


def project(folder):
    """A copy of what make needs, whose lock holds a few small packages only."""
    folder.mkdir(parents=True)
    shutil.copy(ROOT / "Makefile", folder)
    for name in ("requirements", "common", "tools", "data_manifests"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    lock = folder / "requirements/dev.txt"
    entries = re.split(r"\n(?=\S)", lock.read_text(encoding="utf-8"))
    lock.write_text(
        "\n".join(entry for entry in entries if entry.partition("==")[0] in PACKAGES) + "\n"
    )
    return folder


def make_bundle(folder, *arguments):
    # The packages that tools.bundle imports are those of the tests, which the small lock leaves
    # out. PYTHONPATH is no way for them: commands do not look at it.
    made = run("make", "setup", cwd=folder)
    for site in folder.glob(".venv/lib/python3*/site-packages"):
        (site / "tests.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return run("make", "bundle", *arguments, cwd=folder) if made.returncode == 0 else made


@pytest.fixture(scope="module")
def desk(tmp_path_factory, phantom_root):
    """A project on a machine with the network, after `make bundle`."""
    folder = project(tmp_path_factory.mktemp("desk") / "project")
    probe = "import pip; pip.main(['download', '--quiet', '--no-deps', '--dest', '.', 'iniconfig'])"
    if (
        not list(folder.parent.glob("iniconfig*"))
        and run("python3", "-c", probe, cwd=folder.parent).returncode
    ):
        pytest.skip("the package index cannot be reached")
    with h5py.File(folder.parent / "vgg16.h5", "w") as file:
        file["kernel"] = [0.5]
    made = make_bundle(
        folder,
        f"DATA_ROOT={phantom_root}",
        f"ENCODER_WEIGHTS=none,vgg16={folder.parent / 'vgg16.h5'}",
    )
    assert made.returncode == 0, made.stderr
    return folder


@pytest.fixture
def bundle(desk, tmp_path):
    """A copy of the desk's bundle. Its files are links: replace them, never write into them."""
    return shutil.copytree(desk / "bundle", tmp_path / "copied bundle", copy_function=os.link)


@pytest.fixture
def server(tmp_path):
    """Runs make in a new copy of the project, without a network and with nothing in the caches."""
    if run(*WITHOUT_NETWORK, "true", cwd=tmp_path).returncode:
        pytest.skip("this user may not make a network namespace")
    folder = project(tmp_path / "server")
    caches = {"UV_CACHE_DIR": str(tmp_path / "cache"), "PIP_NO_CACHE_DIR": "1", "PIP_RETRIES": "0"}

    def make_there(*arguments):
        return run(*WITHOUT_NETWORK, "make", *arguments, cwd=folder, **caches)

    make_there.folder = folder
    return make_there


def replace(path, content):
    path.unlink()
    path.write_bytes(content)


def error(result):
    """The one line that a failed command prints, before make adds that it failed."""
    assert result.returncode != 0
    lines = [line for line in result.stderr.splitlines() if not line.startswith("make")]
    assert len(lines) == 1 and lines[0].startswith("error: "), result.stderr
    return lines[0]


def test_a_machine_without_a_network_is_set_up_from_the_bundle(server, bundle):
    assert "BUNDLE=folder" in server("setup").stderr  # there is no network indeed
    made = server("setup", f"BUNDLE={bundle}")
    assert made.returncode == 0, made.stderr
    assert f"DATA_ROOT={bundle}/data" in made.stdout and f"{bundle}/weights/vgg16.h5" in made.stdout
    python = server.folder / ".venv/bin/python"
    assert run(python, "-c", f"import {', '.join(PACKAGES)}", cwd=server.folder).returncode == 0


def test_coreutils_check_every_file_of_the_bundle(desk):
    folder = desk / "bundle"
    checked = run("sha256sum", "--check", "--strict", "--quiet", "SHA256SUMS", cwd=folder)
    assert (checked.returncode, checked.stderr) == (0, "")
    listed = {line.split("  ", 1)[1] for line in (folder / "SHA256SUMS").read_text().splitlines()}
    present = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert listed == present - {"SHA256SUMS"}
    wanted = {"PYTHON", "requirements/dev.txt", "weights/vgg16.h5", "data/tnbc/PHANTOM.json"}
    assert wanted <= listed
    names = " ".join(path.name for path in folder.glob("wheels/*"))
    assert (
        re.search(r"\buv-.*\biniconfig-|\biniconfig-.*\buv-", names)
        and "promise-2.3.tar.gz" in names
    )


@pytest.mark.parametrize("damage", ["changed", "missing"])
def test_a_damaged_package_is_named_before_anything_is_made(server, bundle, damage):
    wheel = next(bundle.glob("wheels/six-*"))
    if damage == "changed":
        replace(wheel, wheel.read_bytes()[:-1])
    else:
        wheel.unlink()
    assert f"wheels/{wheel.name}" in error(server("setup", f"BUNDLE={bundle}"))
    assert not (server.folder / ".venv").exists()


def test_damaged_data_are_not_the_matter_of_the_set_up(server, bundle):
    shutil.rmtree(bundle / "data")
    replace(next(bundle.glob("wheels/six-*")), b"")
    assert "data/" not in error(server("setup", f"BUNDLE={bundle}"))


def test_what_is_no_finished_bundle_is_refused(server, bundle):
    assert "BUNDLE=missing is no finished bundle" in error(server("setup", "BUNDLE=missing"))
    (bundle / "SHA256SUMS").unlink()
    assert "is no finished bundle" in error(server("setup", f"BUNDLE={bundle}"))


def test_a_bundle_for_another_python_is_refused(server, bundle):
    other = "3.8" if sys.version_info[:2] != (3, 8) else "3.9"
    replace(bundle / "PYTHON", f"{other}\n".encode())
    listed = (bundle / "SHA256SUMS").read_text()
    line = run("sha256sum", "PYTHON", cwd=bundle).stdout
    replace(bundle / "SHA256SUMS", re.sub(r"\w+  PYTHON\n", line, listed).encode())
    assert f"CPython {other} (which BUNDLE=" in error(
        server("setup", f"BUNDLE={bundle}", f"PYTHON={sys.executable}")
    )
    replace(bundle / "PYTHON", b"import os\n")
    assert "PYTHON holds no version" in error(server("setup", f"BUNDLE={bundle}"))


def test_a_bundle_of_other_locks_is_refused(server, bundle):
    assert "requirements/gpu.txt" in error(server("setup", f"BUNDLE={bundle}", "GPU=1"))
    with (server.folder / "requirements/dev.txt").open("a") as lock:
        lock.write("# newer\n")
    assert "requirements/dev.txt" in error(server("setup", f"BUNDLE={bundle}"))


def test_an_interrupted_bundle_is_unfinished_and_resumes_to_the_same(desk, phantom_root):
    folder, sums = desk / "bundle", (desk / "bundle/SHA256SUMS").read_text()
    whole = {path: path.stat().st_mtime_ns for path in folder.glob("wheels/uv-*")}
    next(folder.glob("wheels/six-*")).unlink()
    replace(next(folder.glob("wheels/iniconfig-*")), b"half")
    (folder / "wheels/old-1.0-py3-none-any.whl").touch()
    if run(*WITHOUT_NETWORK, "true", cwd=desk).returncode == 0:
        command = ("requirements/bundle.sh", "bundle")
        broken = run(*WITHOUT_NETWORK, *command, cwd=desk, PIP_RETRIES="0")
        assert broken.returncode == 1 and "the same command" in broken.stderr.splitlines()[-1]
        assert not (folder / "SHA256SUMS").exists()
    again = make_bundle(desk, f"DATA_ROOT={phantom_root}")
    assert again.returncode == 0, again.stderr
    assert (folder / "SHA256SUMS").read_text() == sums
    assert {path: path.stat().st_mtime_ns for path in whole} == whole


def test_a_folder_of_something_else_is_left_alone(desk, tmp_path):
    (tmp_path / "letters").write_text("")
    assert "is not a bundle" in error(make_bundle(desk, f"BUNDLE={tmp_path}"))
    assert [path.name for path in tmp_path.iterdir()] == ["letters"]
    (tmp_path / "PYTHON").write_text(
        "3.9\n" if (desk / "bundle/PYTHON").read_text() != "3.9\n" else "3.8\n"
    )
    assert "name another folder" in error(make_bundle(desk, f"BUNDLE={tmp_path}"))
