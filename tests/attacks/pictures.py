"""Attacks by image files that have broken decoders."""

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import tifffile
from PIL import Image

from tests.attacks.attack import Target, attack, picture

CASES = Path(__file__).parents[1] / "data" / "cases"


def codes(item: dict[str, object]) -> list[str]:
    warnings = item["warnings"]
    assert isinstance(warnings, list)
    return sorted(w["code"] for w in warnings)


@attack("every file of tests/data/cases", "INTERNAL, refusals with a wrong reason, wrong pixels called a success")
def cases(target: Target) -> str:
    said = []
    prefix = target.prefix()
    names = sorted(path.name for path in CASES.iterdir() if path.suffix in (".png", ".jpg", ".tif"))
    job = target.items(*(target.put(prefix + name, (CASES / name).read_bytes()) for name in names))
    for i, name in enumerate(names):
        item = target.item(job, i)
        reason = item["error"]["reason"] if item["error"] else "ok"
        assert reason != "INTERNAL", item
        assert reason == "ok" or name.startswith("tiff_"), item
        said.append(f"{name}: {reason} {codes(item) or ''}")
    return "; ".join(said)


@attack("AVIF, JPEG 2000 and PNM", "refused as unknown")
def formats(target: Target) -> str:
    prefix = target.prefix()
    kinds = {"a.avif": "AVIF", "a.jp2": "JPEG2000", "a.ppm": "PPM"}
    job = target.items(*(target.put(prefix + name, picture(kind=kind)) for name, kind in kinds.items()))
    assert job["state"] == "succeeded", job
    return f"{job['state']}: {', '.join(kinds)}"


@attack("an animated GIF of three frames", "the first frame was taken without a word")
def frames(target: Target) -> str:
    out = io.BytesIO()
    pages = [Image.new("L", (32, 32), shade) for shade in (0, 120, 240)]
    pages[0].save(out, format="GIF", save_all=True, append_images=pages[1:])
    item = target.item(target.items(target.put(f"{target.prefix()}a.gif", out.getvalue())))
    assert item["frames"] == 3 and "FRAMES_IGNORED" in codes(item), item
    return f"frames: {item['frames']}, warnings: {codes(item)}"


@attack("a TIFF of three pages, none of them named", "the first page was taken")
def pages(target: Target) -> str:
    out = io.BytesIO()
    shades = [Image.new("L", (32, 32), shade) for shade in (0, 120, 240)]
    shades[0].save(out, format="TIFF", save_all=True, append_images=shades[1:])
    uri = target.put(f"{target.prefix()}a.tif", out.getvalue())
    reasons = [target.item(target.items(uri + page))["error"] for page in ("", "#page=3", "#page=4")]
    assert [reason and reason["reason"] for reason in reasons] == ["WRONG_PAGE", None, "WRONG_PAGE"], reasons
    return "none named, the last, one more: WRONG_PAGE, read, WRONG_PAGE"


@attack("a GeoTIFF whose keys lie, and one whose CRS names a file of the worker", "a crash, or the file was opened")
def georeferences(target: Target) -> str:
    place = [(33550, 12, 3, (1.0, 1.0, 0.0), True), (33922, 12, 6, (0.0,) * 6, True)]
    file = "ESRI PE String = GEOGCS[a,DATUM[d,SPHEROID[s,6378137,298]],EXTENSION[PROJ4,+nadgrids=/etc/passwd]]"
    keys = {"lies": (1, 1, 0, 9999, 7, 7, 7, 7), "file": (1, 1, 0, 1, 3073, 34737, len(file), 0)}
    said = []
    for name, values in keys.items():
        out = io.BytesIO()
        tags = [*place, (34735, 3, len(values), values, True), (34737, 2, 0, file, True)]
        tifffile.imwrite(out, np.zeros((32, 32), np.uint8), photometric="minisblack", extratags=tags)
        item = target.item(target.items(target.put(f"{target.prefix()}{name}.tif", out.getvalue())))
        assert item["state"] == "succeeded" and item["georeference"] is None, item
        said.append(f"{name}: {codes(item)}")
    return "; ".join(said)


@attack("a 12-bit image in a 16-bit PNG", "16 grey levels were left")
def twelve_bits(target: Target) -> str:
    out = io.BytesIO()
    ramp = np.tile(np.linspace(0, 4095, 256).astype(np.uint16), (64, 1))
    Image.fromarray(ramp).save(out, format="PNG")
    item = target.item(target.items(target.put(f"{target.prefix()}a.png", out.getvalue())))
    assert item["state"] == "succeeded" and "DEPTH_SCALED" in codes(item), item
    return str(item["warnings"])[:300]


@attack("a PNG of 4 rows that says 32", "a success, the rest black")
def short_png(target: Target) -> str:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = b"".join(b"\0" + b"\xc8" * 96 for _ in range(4))
    png = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", 32, 32, 8, 2, 0, 0, 0))
    png += chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    item = target.item(target.items(target.put(f"{target.prefix()}a.png", png)))
    assert item["state"] == "failed" and item["error"]["reason"] == "DECODE_FAILED", item
    return str(item["error"])
