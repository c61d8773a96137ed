"""The verbs that serve: the app, to people, and tools, to language models."""

import argparse
import ipaddress
import os
import re
import socket
import sys
from collections.abc import Iterable

from kb import paths
from kb.cli import shell

LOOPBACK = ("localhost", "127.0.0.1", "::1")
ALL_ADDRESSES = ("0.0.0.0", "::", "")  # to listen on
NAME = re.compile(r"[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?)*")


def add_verbs(add_verb: shell.AddVerb) -> None:
    verb = add_verb(serve_app, "serve", "Serve the app on this machine.", "PORT=8765 kb serve")
    verb.add_argument(
        "--port",
        type=shell.bounded_int(1, 65_535),
        default=os.environ.get("PORT", "8501"),
        help="the port (PORT, or else 8501)",
    )
    verb.add_argument(
        "--address",
        default="127.0.0.1",
        help="the address to listen on (127.0.0.1: only this machine can connect)",
    )
    verb.add_argument(
        "--host",
        action="append",
        default=list(filter(None, os.environ.get("KB_HOSTS", "").split(","))),
        metavar="NAME",
        help="another name that visitors may use for this server, as history.example.org; requests "
        "for names that it doesn't know are refused (may be repeated; KB_HOSTS)",
    )
    verb.add_argument(
        "--metrics",
        action="store_true",
        help="answer at /_stcore/metrics, for a monitoring program (KB_METRICS)",
    )
    verb.add_argument(
        "--read-only",
        action="store_true",
        help="for public display: visitors can't start or stop runs",
    )
    verb = add_verb(
        serve_tools,
        "mcp",
        "Answer a language model's questions, on standard input and output.",
        "kb mcp --read-only",
    )
    verb.add_argument("--read-only", action="store_true", help="without tools that start runs")


def serve_tools(args: argparse.Namespace) -> None:
    try:
        from kb.mcp_server import create_server
    except ImportError:
        raise RuntimeError(
            "the Model Context Protocol is spoken by its own package: pip install '.[mcp]'"
        ) from None
    from kb.knowledge import KnowledgeBase

    create_server(KnowledgeBase.open(), read_only=args.read_only).run()


def serve_app(args: argparse.Namespace) -> None:
    names = known_names(args.address, args.host)
    _update_database()
    os.environ["KB_HOME"] = str(paths.home())
    os.environ["KB_HOSTS"] = ",".join(names)
    if args.metrics:
        os.environ["KB_METRICS"] = "1"
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


def known_names(address: str, hosts: Iterable[str]) -> list[str]:
    """The names that requests may be for: this machine's, as far as it listens, and `hosts`.

    Other names are refused: a page from elsewhere could let its own name lead to this server.
    """
    names = [*LOOPBACK, address, *map(_check_host, hosts)]
    if address in ALL_ADDRESSES:
        import psutil

        names += [socket.gethostname(), f"{socket.gethostname()}.local"]
        names += [
            entry.address.partition("%")[0]
            for entries in psutil.net_if_addrs().values()
            for entry in entries
            if entry.family in (socket.AF_INET, socket.AF_INET6)
        ]
    return list(dict.fromkeys(name.lower() for name in names if name not in ALL_ADDRESSES))


def _check_host(host: str) -> str:
    """The name as browsers send it. Raises CommandError for an address with https:// or a port."""
    name = host.strip().strip("[]").removesuffix(".").lower()
    try:
        return str(ipaddress.ip_address(name))
    except ValueError:
        pass
    try:
        name = name.encode("idna").decode()
    except UnicodeError:
        name = ""
    if not NAME.fullmatch(name):
        raise shell.CommandError(
            f"--host {host}: give a name such as history.example.org, without https:// and port"
        )
    return name


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
