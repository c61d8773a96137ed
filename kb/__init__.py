"""The knowledge base: the timeline's milestones, their lineage, and the runs that check their claims.

from kb import open_kb
kb = open_kb()
print(kb.story("backprop", "alexnet"))
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from kb.knowledge import KnowledgeBase


def open_kb(path: "Path | str | None" = None) -> "KnowledgeBase":
    """The knowledge base in the database at `path`; without it, the one in `KB_HOME`, with the timeline as its file is now.

    Raises ValueError if there is no timeline in the database and the file has errors; `kb check` lists them.
    """
    from kb.knowledge import KnowledgeBase

    return KnowledgeBase.open(path)
