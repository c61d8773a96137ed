"""The cells of a notebook that are the same for every paper: what it needs, how a run is shown.

They are Python as text, for another process: this package imports neither torch nor `impl`. What
they define at the top level has names that no implementation uses (a test compares them).
"""

NEEDS = """\
# What this notebook needs: Python 3.11 or newer, and the package `impl` of "The executable history
# of deep learning" with what it imports: PyTorch, matplotlib, scikit-learn. A checkout of the
# project will do, without being installed, if this notebook lies somewhere inside it.
def require_packages():
    import importlib.util
    import sys
    from pathlib import Path

    here = Path.cwd()
    checkout = next((p for p in [here, *here.parents] if (p / "impl" / "kit").is_dir()), None)
    if checkout and str(checkout) not in sys.path:
        sys.path.insert(0, str(checkout))
    names = ("impl", "torch", "numpy", "scipy", "sklearn", "matplotlib")
    missing = [name for name in names if importlib.util.find_spec(name) is None]
    if sys.version_info < (3, 11):
        missing.insert(0, "Python 3.11 or newer")
    if missing:
        raise ModuleNotFoundError(
            f"This notebook needs {', '.join(missing)}. Either save it inside a checkout of the "
            "project whose dependencies are installed, or install the checkout for this kernel:\\n"
            f"    {sys.executable} -m pip install /path/to/the/checkout\\n"
            "Then restart the kernel, and run this cell again."
        )


require_packages()
"""

SHOW_A_RUN = '''\
def run_preset(config, without=None):
    """Runs what the cells above define. Shows progress and figures, and returns the rows.

    `without` is the id of a claim whose idea is taken out, as BROKEN says.
    """
    import os
    import sys

    import torch
    from impl.kit import Figure, Progress, pick_device
    from impl.kit.broken import take_out
    from IPython.display import Image, display

    if sys.platform != "linux" or torch.accelerator.is_available():
        # Processes for the trials would be started anew, without what this notebook defines.
        os.environ["KB_CORES"] = "1"
    rows, last_figures = [], {}
    with take_out(BROKEN, without, config) as config:
        for event in run(config, pick_device("auto")):  # or "cpu", "cuda", "mps"
            if isinstance(event, dict):
                rows.append(event)
            elif isinstance(event, Progress):
                print(f"\\r{event.note:<60}", end="")
            elif isinstance(event, Figure):
                last_figures[event.name] = event
    print()
    for figure in last_figures.values():
        print(figure.caption)
        display(Image(data=figure.png))
    return rows


def show_rows(rows, limit=20):
    """Shows the rows that are judged as a table; all rows if none is marked."""
    from html import escape

    from IPython.display import HTML, display

    shown = [row for row in rows if row.get("judged")] or rows
    columns = list(dict.fromkeys(name for row in shown for name in row if name != "judged"))
    lines = [columns, *([row.get(name, "") for name in columns] for row in shown[:limit])]
    cells = [
        [f"{cell:.4g}" if isinstance(cell, float) else escape(str(cell)) for cell in line]
        for line in lines
    ]
    body = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in line)}</tr>" for line in cells)
    display(HTML(f"<table>{body}</table>"))
    print(f"{min(limit, len(shown))} of {len(shown)} rows that count, of {len(rows)} in all")


def show_verdicts(rows, claims):
    """Prints for each claim its sentence, the verdict, and both figures: measured and published."""

    def number(value):
        return "-" if value is None else f"{value:.4g}"

    for verdict in check(rows):
        claim = claims[verdict.claim]
        idea, rival = claim["sides"]
        if verdict.kind == "identity":
            idea, rival = "counted", "expected"
        print(f"{verdict.claim}: {verdict.verdict.upper()}")
        print(f"  {claim['says']}")
        if verdict.measured is not None:
            here = f"{idea} {number(verdict.measured)}, {rival} {number(verdict.baseline)}"
            print(f"  here       {here} ({verdict.unit})")
        if verdict.interval is not None:
            low, high = verdict.interval
            times = " times" if verdict.scale == "ratio" else ""
            gain = f"{verdict.effect:.3g}{times}, 95% interval {low:.3g} to {high:.3g}"
            print(f"  gain       {gain}, from {verdict.n} pairs")
        print(f"  the paper  {claim['published']}")
        print(f"  the rule   {verdict.rule}")
        print(f"  note       {verdict.note}\\n" if verdict.note else "")
'''

RUN = """\
PRESET_NAME = {preset!r}  # "smoke", "quick", "full" or "paper"
TAKEN_OUT = None  # or a claim's id, whose idea is then missing: {claim!r}
ALL_ROWS = run_preset(PRESETS[PRESET_NAME], without=TAKEN_OUT)
"""

JUDGE = """\
show_rows(ALL_ROWS)
show_verdicts(ALL_ROWS, CLAIM_TEXTS)
if PRESET_NAME == "smoke":
    print("The preset smoke only shows that everything runs: its verdicts say nothing.")
"""
