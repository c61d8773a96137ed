"""The knowledge base: milestones, their lineage, and the runs that check their claims.

from kb import open_kb
kb = open_kb()
print(kb.story("backprop", "alexnet"))
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from kb.knowledge import KnowledgeBase


def open_kb(path: "Path | str | None" = None) -> "KnowledgeBase":
    """The knowledge base in the database at `path`, or else in the folder KB_HOME.

    The timeline's file is loaded if it has changed. Raises ValueError if it has errors and the
    database has no earlier timeline; `kb check` lists the errors.
    """
    from kb.knowledge import KnowledgeBase

    return KnowledgeBase.open(path)
