"""The audit's file is either what the audit finds or named."""

import shutil

import pytest

from common.files import PROJECT
from common.published import audit


def test_a_file_that_is_not_what_the_audit_finds_is_named(tmp_path, capsys):
    path = tmp_path / "audit.csv"
    shutil.copy(PROJECT / "results/audit.csv", path)
    audit.main(["--csv", str(path), "--check"])
    assert capsys.readouterr().out == ""
    path.write_text(path.read_text().replace("impossible", "note", 1))
    with pytest.raises(SystemExit) as stopped:
        audit.main(["--csv", str(path), "--check"])
    assert stopped.value.code != 0
    assert f"{path}: not what the audit finds" in capsys.readouterr().err
