"""Shards of the automatic stage without masks of nearly the whole image."""

import json
from pathlib import Path

from engine.shards import drop_covering


def test_masks_of_nearly_the_whole_image_are_left_out(tmp_path: Path) -> None:
    image = {"image_id": 0, "width": 20, "height": 10, "file_name": "a.jpg"}
    areas = {"part-000000": (5, 190, 189, 200), "part-000001": (100, 189)}
    for name, sizes in areas.items():
        annotations = [{"id": i, "area": area} for i, area in enumerate(sizes)]
        lines = [{"image": image, "annotations": annotations}, {"failed_item": {"item_id": "1"}}, {"job": {"id": "j"}}]
        (tmp_path / f"{name}.sa1b.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    before = (tmp_path / "part-000001.sa1b.jsonl").read_bytes()
    assert drop_covering(tmp_path) == 2
    assert (tmp_path / "part-000001.sa1b.jsonl").read_bytes() == before
    kept = [json.loads(line) for line in (tmp_path / "part-000000.sa1b.jsonl").read_text().splitlines()]
    assert kept[0] == {"image": image, "annotations": [{"id": 0, "area": 5}, {"id": 2, "area": 189}]}
    assert [*kept[1], *kept[2]] == ["failed_item", "job"] and len(list(tmp_path.iterdir())) == 2
    assert drop_covering(tmp_path) == 0
