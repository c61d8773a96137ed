"""The program that `kb export site DIR` starts: python -m ui.site DIR [--json]."""

import argparse
import json
import sys
from pathlib import Path

from kb import db
from ui.site import folder
from ui.site.content import read_content
from ui.site.pages import all_files


def main() -> int:
    parser = argparse.ArgumentParser(prog="kb export site")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    try:
        folder.check_target(args.folder)
        content = read_content(db.open_database())
        written = folder.write(args.folder, all_files(content))
    except (folder.NotASite, OSError, ValueError) as error:
        print(f"kb: {error}", file=sys.stderr)
        return 1
    if args.json:
        print(json.dumps({"folder": str(args.folder), **written._asdict()}))
    else:
        print(
            f"{args.folder}: {written.pages} pages, {written.files} files, "
            f"{written.bytes / 1e6:.1f} MB; open index.html in it"
        )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
