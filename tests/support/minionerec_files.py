"""Small files in the layout of MiniOneRec."""

import csv
import json
from pathlib import Path

Row = tuple[str, list, str]  # user, history, target


def write_layout(folder: Path, rows: dict[str, list[Row]], name: str = "Shop_5_2016-10-2018-11") -> Path:
    """Files of one data set with all the columns that they are published with."""
    for part, of_part in rows.items():
        (folder / part).mkdir(parents=True, exist_ok=True)
        with (folder / part / f"{name}.csv").open("w", newline="") as file:
            writer = csv.writer(file)
            names = "user_id history_item_title item_title history_item_id item_id history_item_sid item_sid"
            writer.writerow(names.split())
            for user, history, item in of_part:
                titles = [f"Ta, 'b' {h}" for h in history]
                writer.writerow([user, titles, f"T {item}", history, item, ["<a_1>"] * len(history), "<a_1>"])
    (folder / "index").mkdir(exist_ok=True)
    items = {str(i): {"title": f"T{i}", "description": f"D{i}", "brand": "B", "categories": "x"} for i in range(3, 11)}
    (folder / "index" / f"{name.split('_5_')[0]}.item.json").write_text(json.dumps(items))
    (folder / "index" / f"{name.split('_5_')[0]}.index.json").write_text("{}")
    return folder
