"""The files of the project, as git knows them."""

import subprocess

from common.files import PROJECT


def tracked(*patterns):
    """Names of the tracked files that are there, from the project's folder."""
    command = ["git", "-C", str(PROJECT), "ls-files", "-z", *patterns]
    listed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return [name for name in listed.split("\0") if (PROJECT / name).is_file()]
