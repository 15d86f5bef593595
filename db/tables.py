"""The tables as SQLAlchemy Core values, from which statements are built.

The DDL, with every CHECK, partial index, trigger and partition, is in `db/migrations`. `tests/db/test_states.py`
compares a migrated database with these tables.
"""

from enum import StrEnum

from sqlalchemy import (
    ARRAY,
    REAL,
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Double,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    Table,
    Text,
)
from sqlalchemy.dialects.postgresql import ENUM, JSONB, UUID

from db.mask_row import MaskRows
from db.states import (
    AnnotationStage,
    AnnotationState,
    ChunkState,
    JobState,
    OutputState,
    ResultState,
    WebhookState,
)

metadata = MetaData()


def _enum(states: type[StrEnum], name: str) -> ENUM:
    return ENUM(states, name=name, create_type=False, values_callable=lambda e: [s.value for s in e])


JOB_STATE = _enum(JobState, "job_state")
CHUNK_STATE = _enum(ChunkState, "chunk_state")
RESULT_STATE = _enum(ResultState, "result_state")
OUTPUT_STATE = _enum(OutputState, "output_state")
ANNOTATION_STATE = _enum(AnnotationState, "annotation_state")
ANNOTATION_STAGE = _enum(AnnotationStage, "annotation_stage")
_TIME = DateTime(timezone=True)

tenants = Table(
    "tenants",
    metadata,
    Column("id", Text, primary_key=True),
    Column("weight", REAL, nullable=False, server_default="1"),
    Column("max_open_items", BigInteger),  # how many unfinished items this tenant may have
    Column("requests_per_minute", Integer),  # how many this tenant may make; NULL: as the installation allows
    Column("places", ARRAY(Text)),  # `s3://bucket/prefix/` that it may use; NULL: what the installation allows
    Column("created_at", _TIME, nullable=False),
)

api_keys = Table(
    "api_keys",
    metadata,
    Column("prefix", Text, primary_key=True),
    Column("tenant_id", Text, nullable=False),
    Column("digest", LargeBinary, nullable=False),  # HMAC-SHA256(pepper, secret)
    Column("name", Text, nullable=False),
    Column("created_at", _TIME, nullable=False),
    Column("expires_at", _TIME),
    Column("revoked_at", _TIME),
    Column("scopes", ARRAY(Text)),  # NULL: all
    Column("last_used_at", _TIME),  # about a minute late at most
)

jobs = Table(
    "jobs",
    metadata,
    Column("id", UUID(as_uuid=True), primary_key=True),
    Column("tenant_id", Text),  # NULL: nobody's any more, its rows are being removed
    Column("state", JOB_STATE, nullable=False),
    Column("name", Text),
    Column("labels", JSONB, nullable=False, server_default="{}"),
    Column("model", Text, nullable=False),
    Column("precision", Text),
    Column("protocol", SmallInteger, nullable=False, server_default="1"),  # `db.queues`
    Column("traceparent", Text),  # of the request that submitted it, where traces are on
    Column("priority", SmallInteger, nullable=False, server_default="5"),
    Column("task", JSONB, nullable=False),
    # {"items": n}, {"manifest"} or {"prefix", "glob"}, and "depth" and the number of "prompts" if given
    Column("input", JSONB, nullable=False),
    Column("prompts", JSONB(none_as_null=True)),  # for each item that has none of its own
    Column("n_items", Integer, nullable=False, server_default="0"),
    Column("chunk_size", Integer, nullable=False, server_default="1"),
    Column("ingest_cursor", Text),  # of an older release; not used any more
    Column("ingest_token", Text),  # the store's continuation token for the next page
    Column("ingest_pages", Integer, nullable=False, server_default="0"),  # guards the next page's transaction
    Column("ingest_mark", LargeBinary),  # digest of an earlier page; the same page again means no progress
    Column("n_passed_over", BigInteger, nullable=False, server_default="0"),  # keys that the glob does not match
    Column("waiting_for", Text),  # a `WaitReason` while the listing cannot go on
    Column("waiting_detail", Text),
    Column("waiting_since", _TIME),
    Column("deadline", _TIME),
    Column("max_failure_ratio", REAL),
    Column("reuse", Boolean, nullable=False, server_default="false"),  # take over results of earlier jobs
    Column("retry_of", UUID(as_uuid=True)),
    Column("tile_of", UUID(as_uuid=True)),  # of a job of tiles: the job of the item whose windows are its items
    Column("tile_index", Integer),  # and that item
    Column("idempotency_key", Text),
    Column("request_sha256", LargeBinary),
    Column("error_reason", Text),
    Column("error_detail", Text),
    Column("created_at", _TIME, nullable=False),
    Column("started_at", _TIME),
    Column("ended_at", _TIME),
)

items = Table(
    "items",
    metadata,
    Column("job_id", UUID(as_uuid=True), primary_key=True),
    Column("index", Integer, primary_key=True),
    Column("custom_id", Text, nullable=False),
    Column("image", Text, nullable=False),
    Column("prompts", JSONB),
    Column("tile", JSONB(none_as_null=True)),  # "auto" or {"size", "overlap"}; of a tile {"window"}
)

chunks = Table(
    "chunks",
    metadata,
    Column("job_id", UUID(as_uuid=True), primary_key=True),
    Column("chunk_no", Integer, primary_key=True),
    Column("lo", Integer, nullable=False),  # items lo ≤ index < hi
    Column("hi", Integer, nullable=False),
    Column("state", CHUNK_STATE, nullable=False),
    Column("fence", BigInteger, nullable=False, server_default="0"),  # guards writes; only grows
    Column("attempts", Integer, nullable=False, server_default="0"),  # claims, less give-backs
    Column("stalls", Integer, nullable=False, server_default="0"),  # attempts in a row without a new result
    Column("run_after", _TIME),
    Column("dispatched_at", _TIME),
    Column("worker", Text),
    Column("lease_until", _TIME),  # in no index, so that a heartbeat is a HOT update
    Column("inflight", ARRAY(Integer), nullable=False, server_default="{}"),
    Column("alone", Boolean, nullable=False, server_default="false"),
    Column("n_ok", Integer, nullable=False, server_default="0"),
    Column("n_err", Integer, nullable=False, server_default="0"),
    Column("reasons", JSONB, nullable=False, server_default="{}"),  # failure reason → count
    Column("tallied", Boolean, nullable=False, server_default="false"),  # its counts are in `tallies`
    Column("parked", Boolean, nullable=False, server_default="false"),  # its missing items wait for their tiles
)

tallies = Table(
    "tallies",
    metadata,
    Column("job_id", UUID(as_uuid=True), primary_key=True),
    Column("reason", Text, primary_key=True),  # of the failure, or '' for items that succeeded
    Column("n", Integer, nullable=False),  # items of the chunks that are `tallied`
)

progress_samples = Table(
    "progress_samples",
    metadata,
    Column("job_id", UUID(as_uuid=True), primary_key=True),
    Column("times", ARRAY(_TIME), nullable=False),  # the oldest first
    Column("finished", ARRAY(Integer), nullable=False),  # items that had succeeded or failed by then
)

suspects = Table(
    "suspects",
    metadata,
    Column("job_id", UUID(as_uuid=True), primary_key=True),
    Column("index", Integer, primary_key=True),
    Column("deaths", SmallInteger, nullable=False, server_default="0"),  # crashes of a worker that held it alone
)

results = Table(
    "results",
    metadata,
    Column("job_id", UUID(as_uuid=True), primary_key=True),
    Column("index", Integer, primary_key=True),
    Column("state", RESULT_STATE, nullable=False),
    Column("fence", BigInteger, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("reason", Text),
    Column("detail", Text),
    Column("retryable", Boolean),
    Column("height", Integer),
    Column("width", Integer),
    Column("orientation", SmallInteger),  # the EXIF orientation found, before it was applied
    Column("masks", MaskRows),
    Column("rle", LargeBinary),
    Column("areas", ARRAY(BigInteger)),  # of the masks, where one is too large for its row
    Column("phrases", ARRAY(Text)),  # of a text job: each mask's phrase
    Column("scores", ARRAY(REAL)),  # and how well it matches
    Column("codec", SmallInteger, nullable=False, server_default="0"),  # 0: plain, 1: zlib
    Column("model", Text),
    Column("model_revision", Text),
    Column("precision", Text),
    Column("timings_ms", JSONB),
    Column("warnings", JSONB(none_as_null=True)),  # [{"code", "detail", "prompt_id"}, …]
    Column("frames", Integer),  # how many images the file holds
    Column("georeference", JSONB(none_as_null=True)),  # {"crs", "transform"} of the upright image, if the file has one
    Column("fingerprint", LargeBinary),  # results with the same one have the same masks
    Column("reused_job", UUID(as_uuid=True)),  # the item that was computed, where this result was taken over
    Column("reused_index", Integer),
    Column("created_at", _TIME, nullable=False),
)

outbox = Table(
    "outbox",
    metadata,
    Column("id", BigInteger, primary_key=True),
    Column("job_id", UUID(as_uuid=True), nullable=False),
    Column("kind", Text, nullable=False),
    Column("created_at", _TIME, nullable=False),
    Column("delivered_at", _TIME),
)

outputs = Table(
    "outputs",
    metadata,
    Column("job_id", UUID(as_uuid=True), primary_key=True),
    Column("uri", Text, nullable=False),  # s3://bucket/prefix/, below which the job has a folder
    Column("formats", ARRAY(Text), nullable=False),
    Column("state", OUTPUT_STATE, nullable=False, server_default="pending"),
    Column("fence", BigInteger, nullable=False, server_default="0"),  # +1 at every claim; guards what a writer records
    Column("holder", Text),
    Column("lease_until", _TIME),
    Column("run_after", _TIME),
    Column("tries", Integer, nullable=False, server_default="0"),  # claims since a file was recorded or S3 failed
    Column("failing_since", _TIME),
    Column("error_reason", Text),  # of the failure, or of the last failed try
    Column("error_detail", Text),
    Column("ended_at", _TIME),
)

output_shards = Table(
    "output_shards",
    metadata,
    Column("job_id", UUID(as_uuid=True), primary_key=True),
    Column("format", Text, primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("start", Integer, nullable=False),  # items start ≤ index < stop
    Column("stop", Integer, nullable=False),
    Column("name", Text, nullable=False),  # of the object, inside the job's folder
    Column("size", BigInteger, nullable=False),
    Column("sha256", LargeBinary, nullable=False),
)

WEBHOOK_STATE = _enum(WebhookState, "webhook_state")
webhooks = Table(
    "webhooks",
    metadata,
    Column("job_id", UUID(as_uuid=True), primary_key=True),
    Column("url", Text, nullable=False),
    Column("events", ARRAY(Text), nullable=False),  # `job.<final state>`
    Column("state", WEBHOOK_STATE, nullable=False, server_default="pending"),
    Column("fence", BigInteger, nullable=False, server_default="0"),  # +1 at every claim; guards the record of a try
    Column("tries", Integer, nullable=False, server_default="0"),  # failed ones since the job's end or a redelivery
    Column("lease_until", _TIME),
    Column("run_after", _TIME),
)

webhook_tries = Table(
    "webhook_tries",
    metadata,
    Column("job_id", UUID(as_uuid=True), primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("created_at", _TIME, nullable=False),
    Column("status", Integer),
    Column("error", Text),
    Column("duration_ms", Integer, nullable=False),
)

webhook_secrets = Table(
    "webhook_secrets",
    metadata,
    Column("id", BigInteger, primary_key=True),
    Column("tenant_id", Text, nullable=False),
    Column("seed", LargeBinary, nullable=False),  # db/webhook_secret.py makes the secret of it
    Column("created_at", _TIME, nullable=False),
    Column("expires_at", _TIME),
)

annotations = Table(
    "annotations",
    metadata,
    Column("tenant_id", Text, primary_key=True),
    Column("id", UUID(as_uuid=True), primary_key=True),  # the client may choose it, so that a repeat adds nothing
    Column("image", Text, nullable=False),  # without the query of a presigned URL
    Column("height", Integer, nullable=False),
    Column("width", Integer, nullable=False),
    Column("counts", Text, nullable=False),  # the mask's compressed run lengths
    Column("area", Integer, nullable=False),
    Column("bbox", ARRAY(Integer), nullable=False),  # x, y, width, height
    Column("state", ANNOTATION_STATE, nullable=False),
    Column("stage", ANNOTATION_STAGE, nullable=False),
    Column("annotator", Text, nullable=False),
    Column("clicks", Integer, nullable=False),
    Column("job_id", UUID(as_uuid=True)),  # of the mask, where a job made it; the job may be gone
    Column("item_index", Integer),
    Column("mask_id", Integer),
    Column("created_at", _TIME, nullable=False),
)

annotation_counts = Table(  # written by triggers alone
    "annotation_counts",
    metadata,
    Column("tenant_id", Text, primary_key=True),
    Column("n", BigInteger, nullable=False),
)

workers = Table(
    "workers",
    metadata,
    Column("id", Text, primary_key=True),
    Column("model", Text, primary_key=True),
    Column("model_revision", Text, nullable=False),
    Column("device", Text, nullable=False),
    Column("precision", Text, nullable=False),
    Column("slots", Integer, nullable=False),  # chunks it works on at a time
    Column("tasks", ARRAY(Text), nullable=False, server_default="{auto,prompted}"),  # that it serves with this model
    Column("protocol", SmallInteger, nullable=False, server_default="1"),  # the newest one that it knows
    Column("loaded_at", _TIME, nullable=False),
    Column("seen_at", _TIME, nullable=False),
    # What the process reports of itself, the same for each of its models. NULL: an older release, which does not
    Column("rss_bytes", BigInteger),
    Column("gpu_name", Text),
    Column("gpu_used_bytes", BigInteger),
    Column("gpu_total_bytes", BigInteger),
    Column("images_per_second", REAL),
    Column("calls", Integer),  # for one image, under way
    Column("work", JSONB(none_as_null=True)),  # its chunks: [{"job_id", "chunk_no", "seconds"}, …]
)

paces = Table(
    "paces",
    metadata,
    Column("worker", Text, primary_key=True),
    Column("model", Text, primary_key=True),
    Column("task", Text, primary_key=True),
    Column("items", Double, nullable=False),
    Column("seconds", Double, nullable=False),
    Column("measured_at", _TIME, nullable=False),
)

leader = Table(
    "leader",
    metadata,
    Column("role", Text, primary_key=True),
    Column("holder", Text, nullable=False),
    Column("term", BigInteger, nullable=False),
    Column("lease_until", _TIME, nullable=False),
)
