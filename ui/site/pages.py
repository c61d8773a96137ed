"""The pages of a site, made from the templates. All text is escaped but what is Markup here."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from kb import graph, paths, results
from kb.exports.html_page import markdown_renderer
from kb.formatting import format_count, format_outcomes
from kb.tables import MilestoneRow
from ui import claim_cards, claim_figures, format, html_parts
from ui.claim_status import count_outcomes
from ui.neighbours import neighbours_data
from ui.site import data, milestone_parts, tour_parts
from ui.site.content import Content

TEMPLATES = Path(__file__).parent / "templates"
START = "alexnet"  # whose lineage is drawn while no milestone was chosen


def all_files(content: Content) -> Iterator[tuple[str, bytes]]:
    """Every file of the site: its path, with / between folders, and what is in it."""
    for path, text in _texts(content):
        yield path, text.encode()
    for name, run in content.runs.items():
        for number, (_, png) in enumerate(run.pictures):
            yield f"pictures/{name}-{number}.png", png


def _texts(content: Content) -> Iterator[tuple[str, str]]:
    yield from data.assets()
    yield "data/milestones.js", data.milestones_script(content)
    yield from data.lineage_scripts(content)
    yield from Pages(content).texts()


class Pages:
    def __init__(self, content: Content) -> None:
        self.content = content
        self.render_markdown = markdown_renderer()
        self.environment = Environment(
            loader=FileSystemLoader(TEMPLATES),
            autoescape=True,
            undefined=StrictUndefined,
            lstrip_blocks=True,
        )
        self.environment.filters |= {
            "markdown": self.markdown,
            "date": format.date,
            "count": format_count,
            "outcomes": format_outcomes,
            "web": is_web_address,
        }

    def markdown(self, text: str) -> Markup:
        return Markup(self.render_markdown(text))

    def render(self, template: str, path: str, title: str, **values: Any) -> tuple[str, str]:
        """The path and the text of a page; `root` leads from it to the folder of the site."""
        root = "../" * path.count("/")
        page = self.environment.get_template(template)
        shared = {"tours": self.content.tours, "milestones": self.content.milestones}
        return path, page.render(root=root, title=title, **shared, **values)

    def texts(self) -> Iterator[tuple[str, str]]:
        content = self.content
        runnable = len(content.implementations)
        yield self.render("index.html", "index.html", "", runnable=runnable)
        yield self.render("milestones.html", "milestones.html", "All milestones")
        start = START if START in content.milestones else next(iter(content.milestones))
        yield self.render("lineage.html", "lineage.html", "Lineage", start=start)
        yield self.claims()
        yield self.render("tours.html", "tours.html", "Tours")
        for tour in content.tours:
            steps = [tour_parts.step(content, step, self.markdown) for step in tour.steps]
            views = {step["view"] for step in steps}
            path = f"tour/{tour.id}.html"
            yield self.render("tour.html", path, tour.title, tour=tour, steps=steps, views=views)
        for row in content.milestones.values():
            yield self.milestone(row)

    def claims(self) -> tuple[str, str]:
        """Every claim by paper: the tally, a row that opens for each paper, and the chart."""
        content = self.content
        every = [status for statuses in content.statuses.values() for status in statuses]
        kinds = {
            kind: count_outcomes(status for status in every if status.kind == kind)
            for kind in ("paper", "ours", "identity")
        }
        papers = [
            (content.milestones[id], *map(count_outcomes, claim_cards.by_kind(statuses)), statuses)
            for id, statuses in content.statuses.items()
        ]
        chart = claim_figures.ratio_chart(every, lambda id: content.milestones[id].short)
        return self.render(
            "claims.html",
            "claims.html",
            "Claims",
            kinds=kinds,
            falls=results.count_falls([one.recorded for one in every if one.recorded]),
            total=sum(kinds["paper"].values()),
            tally=Markup(html_parts.tally_html(kinds["paper"])),
            outcomes=count_outcomes(every),
            papers=papers,
            cards=milestone_parts.claims_html,
            chart=Markup(chart),
            chart_caption=claim_figures.RATIO_CAPTION,
        )

    def milestone(self, row: MilestoneRow) -> tuple[str, str]:
        content, entry = self.content, row.entry
        before, after = graph.neighbours(content.links, row.id)
        statuses = content.statuses.get(row.id, [])
        implementation = content.implementations.get(row.id)
        run = content.runs.get(implementation.name) if implementation else None
        return self.render(
            "milestone.html",
            f"milestone/{row.id}.html",
            f"{row.short}, {row.date[:4]}",
            row=row,
            entry=entry,
            date=f"{entry.get('date_is', '')} {format.date(row.date)}".strip(),
            people=format.authors(entry),
            facts=format.facts(entry),
            addresses=format.addresses(entry),
            spec=format.spec_rows(entry.get("spec", {})),
            sides={"Before it": before, "After it": after},
            neighbours=neighbours_data(row, before, after, content.milestones),
            headline=Markup(claim_cards.headline_html(statuses)),
            claims=milestone_parts.claims_html(statuses),
            implementation=implementation,
            file=implementation.path.relative_to(paths.ROOT) if implementation else "",
            sections_=milestone_parts.sections(entry, implementation, self.markdown),
            source=milestone_parts.highlight(implementation.source) if implementation else "",
            run=run,
            curves=milestone_parts.curves(run),
        )


def is_web_address(url: str) -> bool:
    return url.lower().startswith(("http://", "https://"))
