"""Implementations that misbehave, in a copy of the packages: the project itself has none."""

import json
import os
import shutil
import sqlite3
import subprocess
import sys
import textwrap
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kb import paths

MAX_ROWS = 50_000  # of a run, in the copy: a million would take long to make

HEADER = '''"""A run that misbehaves.

Claims      none  nothing
"""
import glob, io, os, signal, subprocess, sys, time
from dataclasses import dataclass
from impl.kit import Figure, Identity, Progress, judge

@dataclass(frozen=True)
class Config:
    n: int = 1  # how much
    seeds: int = 1  # ours
    seed: int = 0  # ours

SMOKE = Config()
PRESETS = {"smoke": SMOKE, "quick": SMOKE, "full": SMOKE, "paper": SMOKE}

CLAIMS = (Identity(claim="none", measure="step", tolerance=1e9, unit="nothing"),)

def check(rows):
    return judge(CLAIMS, rows)

def run(cfg, device):
'''
BODIES = {  # of `run`, by the name of the implementation
    "good": "yield dict(step=0, loss=1.0)",
    "floods_log": """
        for _ in range(cfg.n):
            print('x' * 1_000_000)
        yield dict(step=0)
        """,
    "not_finite": """
        for i in range(cfg.n):
            yield dict(step=i, loss=float('nan') if i % 2 else float('inf'))
        """,
    "fast": """
        for i in range(cfg.n):
            yield dict(step=i, loss=1.0)
        """,
    "not_utf8": r"""
        yield dict(word='\ud800 \x00 \u202e <b>', bytes='\udcff')
        yield Progress(1, 2, '\ud800 \x00')
        """,
    "reuses_row": """
        import torch
        x, row = torch.zeros(()), {}
        for i in range(5):
            x.fill_(i)
            row.update(step=i, loss=x)
            yield row
        for i in range(5, 9):
            row.update(step=i, loss=float(i))
            yield row
        """,
    "fills_gpu": """
        import torch
        raise torch.OutOfMemoryError('CUDA out of memory.')
        yield dict(step=0)
        """,
    "large_row": "yield dict(word=['x' * 1000] * 40_000)",
    "wide_row": "yield {f'k{i}': i for i in range(5_000)}",
    "large_figure": """
        from PIL import Image
        out = io.BytesIO()
        Image.new('L', (9000, 3000)).save(out, 'PNG')
        yield Figure('wide', 'a caption', out.getvalue(), 0)
        """,
    "silent": """
        time.sleep(600)
        yield dict(step=0)
        """,
    "ignores_sigterm": """
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        yield dict(pid=os.getpid())
        while True:
            time.sleep(0.1)
        """,
    "forks": """
        session = subprocess.Popen(['sleep', '600'], start_new_session=True)
        fork = os.fork()
        if not fork:
            os.setsid()
            time.sleep(600)
        yield dict(session=session.pid, fork=fork)
        time.sleep(600)
        """,
    "fills_memory": """
        a = [bytearray(b'1') * 10_000_000 for _ in range(cfg.n)]
        yield dict(step=len(a))
        time.sleep(600)
        """,
    "fills_disk": """
        log = os.readlink('/proc/self/fd/1')
        open(log.replace('log.txt', 'big'), 'wb').write(b'1' * cfg.n)
        yield dict(step=0)
        time.sleep(600)
        """,
    "exits": """
        os._exit(3)
        yield {}
        """,
    "closes_files": """
        os.closerange(0, 1000)
        time.sleep(1)
        yield dict(step=0)
        """,
    "writes_to_channel": r"""
        for file in os.listdir('/proc/self/fd'):
            link = f'/proc/self/fd/{file}'
            if int(file) > 2 and os.path.lexists(link) and 'pipe' in os.readlink(link):
                os.write(int(file), b'noise\n')
        yield dict(step=0)
        """,
    "huge_numbers": r"""
        yield dict(step=10**30, loss=10**400)
        yield Figure('f', 'c', b'\x89PNG' + b'0' * 30, 10**25)
        """,
}
# The shell, without reading the timeline, which the copy lacks.
SHELL = """
import sys
from kb import cli, db
from kb.cli import shell
shell.database = db.open_database
sys.exit(cli.main(sys.argv[1:]))
"""


@dataclass(frozen=True)
class Checkout:
    """A copy of the packages whose implementations are those above."""

    root: Path

    @property
    def home(self) -> Path:
        return self.root / "home"

    def create(self) -> None:
        shutil.copytree(paths.ROOT / "kb", self.root / "kb")
        limits = self.root / "kb" / "runs" / "limits.py"
        text = limits.read_text(encoding="utf-8")
        assert "MAX_ROWS = 1_000_000" in text
        limits.write_text(text.replace("MAX_ROWS = 1_000_000", f"MAX_ROWS = {MAX_ROWS}"))
        shutil.copytree(paths.ROOT / "impl" / "kit", self.root / "impl" / "kit")
        shutil.copy(paths.ROOT / "impl" / "__init__.py", self.root / "impl")
        for name, body in BODIES.items():
            body = textwrap.indent(textwrap.dedent(body), "    ")
            (self.root / "impl" / f"{name}.py").write_text(HEADER + body, encoding="utf-8")
        (self.root / "pyproject.toml").touch()
        (self.root / "data").mkdir()
        (self.root / "data" / "timeline.yaml").write_text("[]\n")

    def kb(self, *arguments: str) -> Any:
        """What a command of the shell prints as JSON."""
        done = subprocess.run(
            [sys.executable, "-c", SHELL, *arguments, "--json"],
            cwd=self.root,
            capture_output=True,
            text=True,
            timeout=200,
            env=os.environ | {"KB_HOME": str(self.home)},
        )
        assert done.stdout, f"{arguments}: {done.stderr[-2000:]}"
        return json.loads(done.stdout)

    def run(self, name: str, *options: str) -> dict[str, Any]:
        """Runs an implementation to its end; returns the description of the run."""
        return dict(self.kb("run", name, "--preset", "smoke", "--device", "cpu", *options))

    def submit(self, name: str, *options: str) -> dict[str, Any]:
        """Queues runs; returns the `id` of the run or the `ids` of several."""
        return self.run(name, "--detach", *options)

    def query(self, sql: str, *values: Any) -> Any:
        """The first value of the first row of a query."""
        with sqlite3.connect(self.home / "kb.sqlite3", timeout=30) as connection:
            return connection.execute(sql, values).fetchone()[0]

    def column(self, name: str, run_id: str) -> Any:
        """A column of the run."""
        return self.query(f"SELECT {name} FROM run WHERE id = ?", run_id)

    def count_rows(self, run_id: str) -> int:
        return int(self.query("SELECT count(*) FROM run_row WHERE run = ?", run_id))

    def first_row(self, run_id: str) -> dict[str, Any]:
        query = 'SELECT "values" FROM run_row WHERE run = ? AND number = 0'
        return dict(json.loads(self.query(query, run_id)))
