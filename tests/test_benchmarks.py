"""What the docs quote from benchmarks is what was recorded."""

import json


def test_the_table_of_memory(root):
    sections = (root / "docs" / "layers.md").read_text(encoding="utf-8").split("\n## ")
    section = next(section for section in sections if section.startswith("What remembers how long"))
    lines = [line.replace("*", "").strip("| ").split(" | ") for line in section.splitlines() if line.startswith("| ")]
    header, chance, *rows = [line for line in lines if not line[0].startswith("---")]
    cells = {(row[0], task): cell for row in rows for task, cell in zip(header[1:], row[1:], strict=True)}
    quoted = {key: cell for key, cell in cells.items() if cell != "-"}
    recorded = [
        entry
        for path in sorted((root / "benchmarks" / "results").glob("memory_*.json"))
        for entry in json.loads(path.read_text(encoding="utf-8"))["results"]
    ]
    assert quoted == {(e["layer"], e["task"]): f"{e['figure']:.3f} ({e['steps']:,})" for e in recorded}
    by_chance = {e["task"]: f"{e['chance']:.3f}" for e in recorded}
    assert dict(zip(header[1:], chance[1:], strict=True)) == by_chance
