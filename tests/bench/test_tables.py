"""The table of docs/performance.md is what its command makes of the stored results."""

from bench import tables


def test_the_page_holds_the_table_of_the_stored_results() -> None:
    page = tables.PAGE.read_text()
    assert tables.written(page) == page, "run `python -m bench.tables`"


def test_each_part_that_the_table_knows_has_its_line() -> None:
    how = {"device": "a processor", "features": ["avx2", "fma"], "threads": 2, "load": 0.1}
    report = {
        "compare": {
            "how": how,
            "rows": [
                {"what": "automatic 32²", "precision": "exact", "straightforward s": 84.0, "ours s": 28.0, "ratio": 3.0,
                 "masks": [100, 100], "least IoU": 1.0},
                {"left out": "from here on, the budget is spent"},
            ],
        },
        "encoder": {
            "how": how,
            "rows": [
                {"dtype": "float32", "ours s": 5.0, "OpenVINO s": 6.0, "ours / OpenVINO": 0.833, "OpenVINO apart": 0.1},
            ],
        },
        "passes": {
            "how": how,
            "rows": [
                {"what": "runs", "masks": 64, "without numba s": 0.3, "compiled s": 0.1, "ratio": 3.0, "equal": True},
            ],
        },
        "large": {
            "how": how,
            "rows": [
                {"megapixels": 12.0, "straightforward s": 5.0, "ours s": 0.5, "least IoU": 1.0},
                {"megapixels": 50.0, "straightforward s, by the line": 20.0, "ours s": 1.0},
                {"what": "seconds more", "straightforward s": 900.0, "ours s, at most": 30.0},
            ],
        },
    }  # fmt: skip
    lines = list(tables.rows("sam_vit_b", report))
    assert len(lines) == 6
    assert all(line.startswith("| sam_vit_b | ") and line.endswith("| a processor avx2, 2, 0.1 |\n") for line in lines)
    assert all(line.count("|") == tables.HEAD.count("|") for line in lines)
    assert "3.0" in lines[0] and "1.2 of OpenVINO" in lines[1] and "30.0 |" in lines[5]
