"""Reports: HTML and Markdown, from the JSON of a result directory and nothing else."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks import cells, suites
from benchmarks.cells import Cell
from benchmarks.pools import pooled
from benchmarks.race_report import race_sections, task_columns, task_rows
from learned_opt import reports
from learned_opt.reports.tables import format_value, table_cells


def write(directory: Path, out: Path, markdown: Path) -> list[str]:
    """Draws the report of a result directory.

    Args:
        directory: that the runner wrote.
        out: the HTML file.
        markdown: the Markdown file.

    Returns:
        One line on each file that is no whole cell and was left out.

    Raises:
        ValueError: if a suite's results are of another version of it.
    """
    records, found, problems = load(directory)
    for record in records:
        name, version = record["suite"], record["suite_version"]
        if name in suites.names() and version != (ours := suites.find(name).version):
            raise ValueError(
                f"{directory} holds version {version} of {name}, and this is version {ours}: draw it with "
                "the commit that made it, or run the suite again with another --out"
            )
    sections: list[reports.Section] = []
    for record in records:
        own = [cell for cell in found if cell.key.suite == record["suite"]]
        made = _sections(record, own)
        for section in made:
            heading = f"{record['suite']}: {section.heading}"
            sections.append(_renamed(section, heading))
        sections.append(_reproduce(record, own))
    if problems:
        prose = "\n\n".join(problems)
        sections.append(reports.Section("Left out", prose=f"These files are no whole cells.\n\n{prose}"))
    summary = "\n\n".join(_summary(record, found) for record in records)
    names = ", ".join(record["suite"] for record in records)
    reports.write_report(out, title=f"Benchmarks: {names}", summary=summary, sections=sections)
    markdown.parent.mkdir(parents=True, exist_ok=True)
    markdown.write_text(tables(records, found), encoding="utf-8")
    return problems


def load(directory: Path) -> tuple[list[dict[str, Any]], list[Cell], list[str]]:
    """The suites' records, the cells, and one line on each file that is no whole cell."""
    if not directory.is_dir():
        raise FileNotFoundError(f"{directory}: there is no such directory")
    records = list(cells.read_suites(directory))
    if not records:
        raise ValueError(
            f"{directory} holds no results; `python -m benchmarks run SUITE --out {directory}` makes some"
        )
    found, problems = cells.read_all(directory)
    return records, found, problems


def tables(records: Sequence[dict[str, Any]], found: Sequence[Cell]) -> str:
    """The tables of all tasks as Markdown."""
    blocks = []
    for record in records:
        own = [cell for cell in found if cell.key.suite == record["suite"]]
        metrics = _metrics(record)
        pools = pooled(own)
        if pools:
            for (task, horizon), group in sorted(pools.items()):
                rows = task_rows(group, metrics)
                blocks.append(f"**{record['suite']}: {task}, step {horizon:,}**")
                blocks.append(markdown_table(rows, task_columns(rows, metrics)))
        else:
            for section in _sections(record, own):
                if section.rows:
                    blocks.append(f"**{record['suite']}: {section.heading}**")
                    blocks.append(markdown_table(section.rows, section.columns))
        blocks.append(f"Made by `{record['commands'][-1]}`, commit {', '.join(_commits(own))}.")
    return "\n\n".join(blocks) + "\n"


def markdown_table(rows: Any, columns: Any) -> str:
    """A table in Markdown, the numbers as a report shows them, the best in bold."""
    table = table_cells(rows, columns)
    head = "| " + " | ".join(label for label, _ in table.head) + " |"
    rule = "|" + "|".join("---:" if numeric else "---" for _, numeric in table.head) + "|"
    body = [
        "| " + " | ".join(f"**{text}**" if best else text for text, best in row) + " |" for row in table.body
    ]
    return "\n".join([head, rule, *body])


def _sections(record: dict[str, Any], own: Sequence[Cell]) -> list[reports.Section]:
    if not own:
        return []
    if record["suite"] in suites.names():
        suite = suites.find(record["suite"])
        if suite.sections is not None:
            return list(suite.sections(own))
    return race_sections(own, _metrics(record))


def _metrics(record: dict[str, Any]) -> dict[str, reports.Column]:
    return {name: reports.Column(**fields) for name, fields in record["metrics"].items()}


def _renamed(section: reports.Section, heading: str) -> reports.Section:
    import dataclasses

    return dataclasses.replace(section, heading=heading)


def _summary(record: dict[str, Any], found: Sequence[Cell]) -> str:
    own = [cell for cell in found if cell.key.suite == record["suite"]]
    here = {str(cells.path_of(Path(), cell.key)) for cell in own}
    planned = record["cells"]
    text = f"{record['suite']} ({record['size']} size): {record['summary']}"
    missing = len(set(planned) - here)
    if missing:
        text += f" UNFINISHED: {missing} of {len(planned)} cells are missing."
    return text


def _reproduce(record: dict[str, Any], own: Sequence[Cell]) -> reports.Section:
    devices = sorted({f"{c.provenance['num_devices']} {c.provenance['device']}" for c in own})
    versions = sorted(
        {
            ", ".join(f"{name} {v}" for name, v in c.provenance["versions"].items() if v is not None)
            for c in own
        }
    )
    seeds = sorted({c.key.seed for c in own if c.key.seed is not None})
    seconds = sum(cell.seconds for cell in own)
    prose = [
        f"Commit {', '.join(_commits(own))}. Device: {'; '.join(devices)}. Versions: {'; '.join(versions)}.",
        f"{len(own)} cells, seeds {', '.join(map(str, seeds)) or 'none'}, "
        f"{format_value(seconds / 60, 3)} minutes in all, compilation included.",
    ]
    return reports.Section(
        f"{record['suite']}: reproduce", prose="\n\n".join(prose), command="\n".join(record["commands"])
    )


def _commits(own: Sequence[Cell]) -> list[str]:
    return sorted(
        {(c.provenance["commit"] or "unknown") + ("+changes" if c.provenance["dirty"] else "") for c in own}
    )
