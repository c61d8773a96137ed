"""The verb serve: replaces this process by the app's server."""

import argparse
import os
import sys

from kb import paths
from kb.cli import shell


def add_verbs(add_verb: shell.AddVerb) -> None:
    verb = add_verb(serve_app, "serve", "Serve the app on this machine.", "PORT=8765 kb serve")
    verb.add_argument(
        "--port",
        type=int,
        default=int(os.environ.get("PORT", "8501")),
        help="the port (PORT, or else 8501)",
    )
    verb.add_argument(
        "--address",
        default="127.0.0.1",
        help="the address to listen on (127.0.0.1: only this machine can connect)",
    )
    verb.add_argument(
        "--read-only",
        action="store_true",
        help="for public display: visitors can't start or stop runs",
    )


def serve_app(args: argparse.Namespace) -> None:
    _update_database()
    os.environ["KB_HOME"] = str(paths.home())
    if args.read_only:
        os.environ["KB_READ_ONLY"] = "1"
    os.chdir(paths.SHARE)  # where Streamlit reads .streamlit/config.toml
    host = "localhost" if args.address == "127.0.0.1" else args.address
    print(f"the app: http://{host}:{args.port}", flush=True)
    options = {
        "server.port": args.port,
        "server.address": args.address,
        "server.headless": "true",
        "browser.gatherUsageStats": "false",
        "server.fileWatcherType": "none",
        "logger.hideWelcomeMessage": "true",
    }
    flags = [f"--{name}={value}" for name, value in options.items()]
    os.execv(sys.executable, [sys.executable, "-m", "ui.serve", "run", str(paths.APP), *flags])


def _update_database() -> None:
    """Loads the timeline; if it has errors, the one loaded before is served, or CommandError."""
    from kb import db

    engine = db.open_database()
    try:
        print(f"timeline: {shell.load_timeline(engine, paths.TIMELINE)}")
    except shell.CommandError as error:
        if not db.milestones(engine):
            raise
        print(f"{error}; serving the timeline loaded before", file=sys.stderr)
