"""Calls the shell in this process."""

import json
from typing import Any

import pytest

from kb import cli


def run_kb(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    status = cli.main(arguments)
    out, err = capsys.readouterr()
    return status, out, err


def printed(capsys: pytest.CaptureFixture[str], *arguments: str) -> Any:
    status, out, err = run_kb(capsys, *arguments)
    assert status == 0, err
    return json.loads(out)
