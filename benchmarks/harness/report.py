"""Reports: HTML and Markdown, from the JSON of a result directory and nothing else."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.harness import discovery, results
from benchmarks.harness.results import Cell
from learned_opt import reports
from learned_opt.reports.tables import format_value, table_cells

Draw = Callable[[Sequence[Cell], Mapping[str, reports.Column]], Sequence[reports.Section]]


def write(directory: Path, out: Path, markdown: Path, default: Draw) -> list[str]:
    """Draws the report of a result directory; gives a line on each file that is no whole cell.

    `default(cells, metrics)` makes the sections of a suite without its own, or one not found by its name.
    """
    records, found, problems = results.load(directory)
    sections: list[reports.Section] = []
    blocks: list[str] = []
    for record in records:
        name, version = record["suite"], record["suite_version"]
        if name in discovery.names() and version != (ours := discovery.find(name).version):
            raise ValueError(
                f"{directory} holds version {version} of {name}, and this is version {ours}: draw it with "
                "the commit that made it, or run the suite again with another --out"
            )
    for record in records:
        name = record["suite"]
        own = [cell for cell in found if cell.key.suite == name]
        made = [
            dataclasses.replace(section, heading=f"{name}: {section.heading}")
            for section in _sections(record, own, default)
        ]
        sections += [*made, _reproduce(record, own)]
        for section in made:
            if section.rows:
                blocks += [f"**{section.heading}**", markdown_table(section.rows, section.columns)]
        blocks.append(f"Made by `{record['commands'][-1]}`, commit {', '.join(_commits(own))}.")
    if problems:
        prose = "\n\n".join(problems)
        sections.append(reports.Section("Left out", prose=f"These files are no whole cells.\n\n{prose}"))
    summary = "\n\n".join(_summary(record, found) for record in records)
    names = ", ".join(record["suite"] for record in records)
    reports.write_report(out, title=f"Benchmarks: {names}", summary=summary, sections=sections)
    markdown.parent.mkdir(parents=True, exist_ok=True)
    markdown.write_text("\n\n".join(blocks) + "\n", encoding="utf-8")
    return problems


def markdown_table(rows: Any, columns: Any) -> str:
    """A table in Markdown, the numbers as a report shows them, the best in bold."""
    table = table_cells(rows, columns)
    head = "| " + " | ".join(label for label, _ in table.head) + " |"
    rule = "|" + "|".join("---:" if numeric else "---" for _, numeric in table.head) + "|"
    body = [
        "| " + " | ".join(f"**{text}**" if best else text for text, best in row) + " |" for row in table.body
    ]
    return "\n".join([head, rule, *body])


def _sections(record: dict[str, Any], own: Sequence[Cell], default: Draw) -> Sequence[reports.Section]:
    if not own:
        return ()
    if record["suite"] in discovery.names():
        suite = discovery.find(record["suite"])
        if suite.sections is not None:
            return suite.sections(own)
    return default(own, {name: reports.Column(**fields) for name, fields in record["metrics"].items()})


def _summary(record: dict[str, Any], found: Sequence[Cell]) -> str:
    own = [cell for cell in found if cell.key.suite == record["suite"]]
    here = {str(results.path_of(Path(), cell.key)) for cell in own}
    planned = record["cells"]
    text = f"{record['suite']} ({record['size']} size): {record['summary']}"
    missing = len(set(planned) - here)
    if missing:
        text += f" UNFINISHED: {missing} of {len(planned)} cells {'is' if missing == 1 else 'are'} missing."
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
    made = f"{len(own)} cells" + (f", seeds {', '.join(map(str, seeds))}" if seeds else "")
    seconds = sum(cell.seconds for cell in own)
    prose = [
        f"Commit {', '.join(_commits(own))}. Device: {'; '.join(devices)}. Versions: {'; '.join(versions)}.",
        f"{made}, {format_value(seconds / 60, 3)} minutes in all, compilation included.",
    ]
    return reports.Section(
        f"{record['suite']}: reproduce", prose="\n\n".join(prose), command="\n".join(record["commands"])
    )


def _commits(own: Sequence[Cell]) -> list[str]:
    return sorted(
        {(c.provenance["commit"] or "unknown") + ("+changes" if c.provenance["dirty"] else "") for c in own}
    )
