"""`medseg doctor`: what is missing is told with its remedy and changes the exit code."""

import pytest

from common.datasets import manifests
from common.training import cuda, driver
from reproductions import doctor


@pytest.fixture
def run(tmp_path, monkeypatch, capsys):
    """Call the command on a machine without runs and data; give exit code, stdout and stderr."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(manifests, "DATA", tmp_path / "data")

    def call(*words):
        try:
            doctor.main([*words, "--runs-root", str(tmp_path / "runs")])
            code = 0
        except SystemExit as exit:
            code = exit.code
        return (code, *capsys.readouterr())

    return call


def test_this_machine_has_what_is_needed_and_each_subject_is_told(run):
    code, out, err = run("--quick")
    assert code == 0 and err == "" and out.endswith("everything needed is here\n")
    for subject in ("Python", "packages", "processor", "memory", "disk", "GPU", "data", "runs"):
        assert f" {subject} " in out
    assert "tnbc: not here; make data fetches it" in " ".join(out.split())


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda m: m.setattr(doctor, "pinned", lambda lock: {"numpy": "0.1"}), "numpy "),
        (lambda m: m.setattr(doctor.sys, "version_info", (3, 11, 7)), "expected 3.8 to 3.10"),
        (lambda m: m.setattr(cuda, "cpu_facts", lambda: _cpu("sse4_2")), "lacks AVX"),
        (lambda m: m.setattr(doctor, "_memory", lambda: (1e9, 1e8)), "too little"),
        (lambda m: m.setattr(doctor, "LEAST_DISK", 1 << 60), "make room"),
    ],
    ids=["package", "interpreter", "processor", "memory", "disk"],
)
def test_what_is_missing_is_one_line_at_the_end_and_exit_code_2(run, monkeypatch, change, told):
    change(monkeypatch)
    code, out, err = run("--quick")
    assert code == 2 and "MISSING " in out
    assert err.startswith("error: ") and err.count("\n") == 1 and told in err


def _cpu(flags):
    return {"model name": "Old", "flags": flags}


@pytest.mark.parametrize(
    ("probe", "told"),
    [
        ("import os; os.abort()", "exit code -6: it says nothing"),
        ("raise ImportError('no libtensorflow')", "ImportError: no libtensorflow"),
        ("while True: pass", "nothing within 1 s"),
    ],
)
def test_a_tensorflow_that_does_not_start_is_told(monkeypatch, probe, told):
    monkeypatch.setattr(doctor, "PROBE", probe)
    monkeypatch.setattr(doctor, "PROBE_SECONDS", 1 if "while" in probe else 60)
    [(level, text)] = doctor.tensorflow()
    assert level == doctor.MISSING and told in text and "make setup" in text


H100 = driver.Card("H100", (9, 0), 80 << 30)


def test_a_card_is_described_and_the_first_library_that_fails_is_quoted(monkeypatch):
    monkeypatch.setattr(driver, "look", lambda: driver.Driver((H100,), (12, 4)))
    monkeypatch.setattr(cuda, "LIBRARIES", ("x/lib/libnothing.so.1",))
    findings = list(doctor.gpu())
    assert findings[0] == (doctor.OK, "H100, 80 GiB, compute capability 9.0, CUDA up to 12.4")
    assert findings[1][0] == doctor.NOTE and "half an hour at most" in findings[1][1]
    assert findings[2][0] == doctor.NOTE and "libnothing.so.1" in findings[2][1]


def test_what_is_wrong_with_the_driver_comes_before_the_libraries(monkeypatch):
    monkeypatch.setattr(driver, "look", lambda: driver.Driver((H100,), (10, 2), "update it"))
    assert [text for _, text in doctor.gpu()][2:] == ["update it"]


def test_a_card_whose_kernels_are_translated_is_waited_for(monkeypatch):
    monkeypatch.setattr(driver, "look", lambda: driver.Driver((H100,), (12, 4)))
    monkeypatch.setattr(doctor, "PROBE", "while True: pass")
    monkeypatch.setattr(doctor, "PROBE_SECONDS", 0.25)
    [(_, text)] = doctor.tensorflow()
    assert "nothing within 1.0 s" in text


@pytest.mark.slow
def test_the_probe_runs_five_operations():
    findings = list(doctor.tensorflow())
    assert (doctor.OK, "five operations on CPU: right, and the same twice") in findings
