"""Manifest → items on the real S3 server: formats, bad lines, resuming, limits, and what ends the job."""

import gzip
import json
from collections.abc import Callable

import pytest
from sqlalchemy import Engine, select

from db.endings import stop_job
from db.states import ItemReason, JobReason, JobState
from db.tables import items
from tests.conftest import Bucket
from tests.jobs import chunk_rows
from tests.workers.dispatcher.manifests import items_of, job_of, read_all, submit_manifest
from workers.dispatcher.ingest import manifest, object_text
from workers.dispatcher.ingest.manifest import ManifestSource
from workers.dispatcher.ingest.source import ingesting_jobs
from workers.dispatcher.ingest.store import ingest_page
from workers.dispatcher.settings import Settings
from workers.storage.client import s3_client

BAD = ItemReason.INVALID_MANIFEST_LINE
PROMPTS = [{"id": "p", "box": [1, 2, 3, 4]}]


def line(i: int, **more: object) -> str:
    return json.dumps({"image": f"s3://bucket/{i:05}.jpg"} | more)


def many(n: int) -> bytes:
    return "".join(f"{line(i, custom_id=f'id {i}')}\n" for i in range(n)).encode()


@pytest.fixture
def small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(manifest, "PAGE_LINES", 10)
    monkeypatch.setattr(object_text, "PIECE", 500)


def members(text: bytes) -> bytes:
    """Several gzip streams, one after the other, and padding, as parallel compressors and tapes write them."""
    return b"".join(gzip.compress(text[i : i + 700]) for i in range(0, len(text), 700)) + b"\0" * 512


@pytest.mark.usefixtures("small_pages")
@pytest.mark.parametrize("packed", [bytes, gzip.compress, members], ids=["plain", "gzip", "members"])
@pytest.mark.parametrize("reopen", [False, True])
def test_pages_go_on_where_the_last_one_ended(
    engine: Engine, settings: Settings, bucket: Bucket, packed: Callable[[bytes], bytes], reopen: bool
) -> None:
    job = submit_manifest(engine, bucket.put("m.jsonl", packed(many(137))))
    assert read_all(engine, settings, reopen=reopen) > 5
    rows = items_of(engine, job)
    assert [(row.custom_id, row.image) for row in rows] == [(f"id {i}", f"s3://bucket/{i:05}.jpg") for i in range(137)]
    assert job_of(engine, job).state == JobState.PENDING and chunk_rows(engine, job)[-1].hi == 137


def test_jsonl_as_people_write_it(engine: Engine, settings: Settings, bucket: Bucket) -> None:
    """A byte order mark, both kinds of line breaks, blank lines, no break at the end; any type of content."""
    text = (
        b"\xef\xbb\xbf"
        + line(0).encode()
        + b"\r\n\r\n  \n"
        + line(1, custom_id="ä").encode()
        + b"\n\n"
        + line(2).encode()
    )
    uri = bucket.put("M.JSONL", text)
    job = submit_manifest(engine, uri)
    read_all(engine, settings)
    assert [row.custom_id for row in items_of(engine, job)] == ["0", "ä", "2"]


def test_csv_with_prompts(engine: Engine, settings: Settings, bucket: Bucket) -> None:
    cell = json.dumps(PROMPTS).replace('"', '""')
    text = f'image,prompts,custom_id\r\ns3://bucket/a.jpg,"{cell}",=HYPERLINK()\r\n"s3://bucket/b,c.jpg","{cell}",\r\n'
    job = submit_manifest(engine, bucket.put("m.csv.gz", gzip.compress(text.encode())), task={"type": "prompted"})
    read_all(engine, settings, reopen=True)
    assert [(row.custom_id, row.image) for row in items_of(engine, job)] == [
        ("=HYPERLINK()", "s3://bucket/a.jpg"),
        ("1", "s3://bucket/b,c.jpg"),
    ]
    with engine.connect() as connection:
        assert connection.execute(select(items.c.prompts).where(items.c.job_id == job)).scalars().all() == [PROMPTS] * 2


BAD_LINES: list[tuple[bytes, str]] = [
    (b"{", "not valid JSON: unexpected end of data: column 2 (char 1)"),
    (b"[1]", "must be a JSON object"),
    (b'{"image": "s3://bucket/a"}, {"image": "s3://bucket/b"}', "not valid JSON"),
    (b'{"image": "file:///etc/a"}', "image: must begin with s3://"),
    (b'{"image": "s3://bucket/../a"}', "image: must have a key without empty, . or .. segments"),
    (b'{"custom_id": "no image"}', "image: is missing"),
    (b'{"image": "s3://bucket/a", "colour": 1}', "colour: is not a known field"),
    (b'{"image": "s3://bucket/a", "prompts": []}', "prompts: an item of an automatic job takes no prompts"),
    (b'{"image": "s3://bucket/a\\u0000"}', "/image: must not contain control characters"),
    (b'{"image": "s3://bucket/a", "custom_id": "a\\nb"}', "custom_id: must not contain control characters"),
    (b'{"image": "s3://bucket/a\xff"}', "not valid JSON"),
    (b'{"a":' * 100 + b"1" + b"}" * 100, "is nested deeper than 64 levels"),
    (b"[" * 2000, "not valid JSON"),
    (b'{"image": "s3://bucket/' + b"a" * 5000 + b'"}', "is longer than 4096 bytes"),
    (b'{"image": "s3://bucket/a", "custom_id": "id 0"}', "custom_id: 'id 0' is the id of an earlier item"),
    (b'{"image": "s3://bucket/a", "custom_id": "line-3"}', ""),
    (b"\x1f\x8b\x00\x01", "not valid JSON"),
]  # fmt: skip


def test_each_bad_line_fails_its_item_and_says_where(engine: Engine, settings: Settings, bucket: Bucket) -> None:
    """The bad lines stand between good ones; the job goes on, and its counts add up."""
    text = line(0, custom_id="id 0").encode() + b"\n"
    text += b"".join(
        bad + b"\n" + line(i, custom_id=f"id {i}").encode() + b"\n" for i, (bad, _) in enumerate(BAD_LINES, 1)
    )
    uri = bucket.put("m.jsonl", text)
    job = submit_manifest(engine, uri)
    read_all(engine, settings.model_copy(update={"max_line_bytes": 4096}))
    rows = items_of(engine, job)
    assert len(rows) == 1 + 2 * len(BAD_LINES)
    for i, (_, expected) in enumerate(BAD_LINES):
        row, good = rows[2 * i + 1], rows[2 * i + 2]
        assert (good.state, good.custom_id) == ("pending", f"id {i + 1}")
        if expected:
            assert (row.state, row.reason, row.retryable, row.attempt) == ("failed", BAD, False, 0)
            assert row.detail.startswith(f"line {2 * i + 2}: {expected}"), row.detail
    found = job_of(engine, job)
    n_bad = len(BAD_LINES) - 1
    assert (found.failed, found.pending) == (n_bad, 1 + len(BAD_LINES) + 1)
    assert found.failures == [{"reason": BAD, "count": n_bad}]
    assert sum(chunk.n_err for chunk in chunk_rows(engine, job)) == n_bad


def test_a_bad_line_keeps_what_can_be_read_of_it(engine: Engine, settings: Settings, bucket: Bucket) -> None:
    bad = [
        '{"custom_id": "mine", "image": "s3://bucket/x.jpg", "colour": 1}',
        '{"custom_id": "mine", "image": 7}',
        '{"custom_id": "line-3", "image": "s3://bucket/y.jpg", "colour": 1}',
        "{",
    ]
    uri = bucket.put("m.jsonl", "\n".join([line(0), *bad]).encode())
    job = submit_manifest(engine, uri)
    read_all(engine, settings)
    found = [(row.custom_id, row.image) for row in items_of(engine, job)]
    assert found == [
        ("0", "s3://bucket/00000.jpg"),
        ("mine", "s3://bucket/x.jpg"),
        ("line-3", uri),
        ("line-4", "s3://bucket/y.jpg"),
        ("line-5", uri),
    ]


CSV_LINES: list[tuple[bytes, str]] = [
    (b'a,"s3://bucket/a.jpg', "not valid CSV"),
    (b'"a"b,s3://bucket/a.jpg', "not valid CSV"),
    (b"a", "has 1 cells under 2 columns"),
    (b"a,s3://bucket/a.jpg,more", "has 3 cells under 2 columns"),
    (b"a,", "image: is missing"),
    (b"a\x00b,s3://bucket/a.jpg", "must not contain control characters"),
    (b"\xff,s3://bucket/a.jpg", "is not UTF-8"),
]


def test_bad_lines_of_csv(engine: Engine, settings: Settings, bucket: Bucket) -> None:
    """A quote that is not closed costs its own line, not those behind it."""
    text = b"custom_id,image\n" + b"".join(bad + b"\n,s3://bucket/b.jpg\n" for bad, _ in CSV_LINES)
    job = submit_manifest(engine, bucket.put("m.csv", text))
    read_all(engine, settings)
    rows = items_of(engine, job)
    assert [row.state for row in rows] == ["failed", "pending"] * len(CSV_LINES)
    for i, (_, expected) in enumerate(CSV_LINES):
        assert rows[2 * i].detail.startswith(f"line {2 * i + 2}: {expected}"), rows[2 * i].detail


def test_a_cell_of_prompts_can_not_set_other_fields(engine: Engine, settings: Settings, bucket: Bucket) -> None:
    cell = f'{json.dumps(PROMPTS)},"image":"s3://elsewhere/b.jpg"'.replace('"', '""')
    good = json.dumps(PROMPTS).replace('"', '""')
    text = f'image,prompts\ns3://bucket/a.jpg,"{cell}"\ns3://bucket/b.jpg,"{good}"\n'
    job = submit_manifest(engine, bucket.put("m.csv", text.encode()), task={"type": "prompted"})
    read_all(engine, settings)
    assert [(row.state, row.image) for row in items_of(engine, job)][1] == ("pending", "s3://bucket/b.jpg")
    assert items_of(engine, job)[0].detail == "line 2: prompts: must be one JSON array"


@pytest.mark.usefixtures("small_pages")
def test_ids_are_unique_over_all_pages(engine: Engine, settings: Settings, bucket: Bucket) -> None:
    """Also an id that is another item's index, and the id that a bad line would get."""
    lines = [line(i) for i in range(60)]
    lines[1] = line(1, custom_id="50")
    lines[2] = line(2, custom_id="line-41")
    lines[30] = line(30, custom_id="50")
    lines[40] = "{"
    job = submit_manifest(engine, bucket.put("m.jsonl", "\n".join(lines).encode()))
    read_all(engine, settings)
    rows = items_of(engine, job)
    assert len({row.custom_id for row in rows}) == 60
    failed = {row.item_index: row.detail for row in rows if row.state == "failed"}
    assert failed.keys() == {30, 40, 50}
    assert failed[30] == "line 31: custom_id: '50' is the id of an earlier item"
    assert failed[50] == "line 51: custom_id: '50' is the id of an earlier item"
    assert job_of(engine, job).failed == 3


@pytest.mark.usefixtures("small_pages")
def test_counts_add_up_while_it_is_read_and_when_it_is_stopped(
    engine: Engine, settings: Settings, bucket: Bucket
) -> None:
    job = submit_manifest(engine, bucket.put("m.jsonl", line(0).encode() + b"\n" + b"{\n" * 2000))
    (found,) = ingesting_jobs(engine)
    source = ManifestSource(s3_client(settings), settings, found)
    assert ingest_page(engine, source, settings, found)
    source.close()
    row = job_of(engine, job)
    assert (row.state, row.pending) == (JobState.INGESTING, 1) and row.failed > 100
    with engine.begin() as connection:
        stop_job(connection, job, JobReason.CANCELLED_BY_CLIENT)
    stopped = job_of(engine, job)
    assert (stopped.failed, stopped.cancelled) == (row.failed, 1)
    assert [item.state for item in items_of(engine, job)] == ["cancelled"] + ["failed"] * row.failed


@pytest.mark.usefixtures("small_pages")
def test_chunks_of_bad_lines_are_done_from_the_start(engine: Engine, settings: Settings, bucket: Bucket) -> None:
    job = submit_manifest(engine, bucket.put("m.jsonl", line(0).encode() + b"\n" + b"{\n" * 199))
    read_all(engine, settings)
    assert [chunk.state for chunk in chunk_rows(engine, job)] == ["ready"] + ["done"] * 49
    assert [chunk.n_err for chunk in chunk_rows(engine, job)] == [3] + [4] * 49


@pytest.mark.parametrize(
    ("name", "content", "reason", "detail"),
    [
        ("m.jsonl", b"", "INPUT_EMPTY", "has no line with an item"),
        ("m.jsonl", b"\n \n\r\n", "INPUT_EMPTY", "has no line with an item"),
        ("m.csv", b"image\n", "INPUT_EMPTY", "has no line with an item"),
        ("m.jsonl", b"\xff\xd8\xff\xe0" * 900, "INPUT_UNREADABLE", "none of its first 1 lines is an item; line 1: not"),
        ("m.jsonl", b"{\n{\n{", "INPUT_UNREADABLE", "none of its first 3 lines is an item; line 1: not valid JSON"),
        ("m.csv", b"a,b\n1,2\n", "INPUT_UNREADABLE", "line 1: the header must name custom_id, image, prompts"),
        ("m.csv", b"custom_id\n1\n", "INPUT_UNREADABLE", "line 1: the header must name the column image"),
        ("m.csv", b'"image\n', "INPUT_UNREADABLE", "line 1: not valid CSV"),
        ("m.jsonl.gz", gzip.compress(many(500))[:-20], "INPUT_UNREADABLE", "its gzip stream is damaged"),
        ("m.jsonl.gz", gzip.compress(many(5)) + b"more", "INPUT_UNREADABLE", "its gzip stream is damaged"),
        ("m.jsonl.gz", gzip.compress(b"0" * 3_000_000), "INPUT_UNREADABLE", "it has more than 2000000 bytes"),
        ("m.jsonl", many(2000) * 20, "INPUT_UNREADABLE", "it has more than"),
        ("m.jsonl", b"\n" * 40_000, "INPUT_UNREADABLE", "it has more than 10000 items"),
        ("m.jsonl", b"{}\n" * 40_000, "INPUT_UNREADABLE", "it has more than 10000 items"),
    ],
    ids=range(14),
)  # fmt: skip
def test_what_is_no_manifest_fails_the_job(
    engine: Engine, settings: Settings, bucket: Bucket, name: str, content: bytes, reason: str, detail: str
) -> None:
    job = submit_manifest(engine, bucket.put(name, content))
    read_all(engine, settings.model_copy(update={"max_manifest_bytes": 2_000_000, "max_manifest_items": 10_000}))
    row = job_of(engine, job)
    assert (row.state, row.error_reason) == (JobState.FAILED, reason)
    assert detail in row.error_detail


def test_a_manifest_that_is_not_there_or_not_allowed(engine: Engine, settings: Settings, bucket: Bucket) -> None:
    missing = submit_manifest(engine, f"s3://{bucket.name}/m.jsonl")
    foreign = submit_manifest(engine, "s3://somebody-elses/m.jsonl")
    read_all(engine, settings)
    assert [job_of(engine, job).error_reason for job in (missing, foreign)] == [
        "INPUT_UNREADABLE",
        "BUCKET_NOT_ALLOWED",
    ]
    assert "NoSuchKey" in job_of(engine, missing).error_detail


@pytest.mark.usefixtures("small_pages")
@pytest.mark.parametrize("packed", [bytes, gzip.compress], ids=["plain", "gzip"])
def test_a_manifest_that_changes_meanwhile_fails_the_job(
    engine: Engine, settings: Settings, bucket: Bucket, packed: Callable[[bytes], bytes]
) -> None:
    """A reader that still has the object open goes on with what it has opened."""
    job = submit_manifest(engine, bucket.put("m.jsonl", packed(many(137))))
    (found,) = ingesting_jobs(engine)
    source = ManifestSource(s3_client(settings), settings, found)
    assert ingest_page(engine, source, settings, found)
    source.close()
    bucket.put("m.jsonl", packed(many(138)))
    read_all(engine, settings)
    row = job_of(engine, job)
    assert (row.state, row.error_reason) == (JobState.FAILED, "INPUT_UNREADABLE")
    assert "it was changed while it was read" in row.error_detail


@pytest.mark.usefixtures("small_pages")
def test_two_leaders_reading_the_same_page_store_it_once(engine: Engine, settings: Settings, bucket: Bucket) -> None:
    job = submit_manifest(engine, bucket.put("m.jsonl", many(60)))
    s3 = s3_client(settings)
    while late := ingesting_jobs(engine):
        for _ in range(2):
            source = ManifestSource(s3, settings, late[0])
            ingest_page(engine, source, settings, late[0])
            source.close()
    assert len(items_of(engine, job)) == 60
