"""Attacks by globs that once broke the dispatcher."""

import random
import time

from sqlalchemy import insert

from db.engine import sync_engine
from db.ids import new_job_id, show_job_id
from db.states import JobState
from db.tables import jobs
from tests.attacks.attack import Target, attack, picture

KNOWN = [
    *("[z-a].jpg", "[!]", "**[z-a]", "*" * 60 + "x", "scan [2026-01-05].jpg", "[draft-A]*", "shots [v2-1]/**"),
    *("**/" * 40 + "x", "{a,b", "{" * 50 + "}" * 50, "[" * 5000, "*a" * 2500, "é*ü?", "[^]", "[]]", "\\", "(a+)+$"),
    *("a{1,100000}", "{a,b}" * 200),
]


def hostile(count: int) -> list[str]:
    """The known ones and as many drawn ones as it takes."""
    draw = random.Random(7)
    parts = [
        "*",
        "**/",
        "?",
        "[a-z]",
        "[!x",
        "]",
        "{a,*b}",
        "{",
        "}",
        ",",
        "\\",
        "é",
        "[z-a]",
        "[]",
        "(",
        "+",
        "|",
        "^",
        "$",
        ".",
    ]
    drawn = ["".join(draw.choices(parts, k=draw.choice((3, 12, 60, 400)))) for _ in range(count - len(KNOWN))]
    return KNOWN + drawn


@attack("a hundred hostile globs over a prefix of 10,000 keys, a job of another kind beside them",
        "one [z-a] ended every dispatcher, 60 stars hung it for ever")  # fmt: skip
def hundred(target: Target) -> str:
    prefix = target.prefix()
    folder = target.stack.folder.path / "s3" / target.stack.bucket / prefix
    folder.mkdir(parents=True)
    for i in range(10_000):
        (folder / f"{'a' * (i % 40)}{i}.jpg").write_bytes(b"x")
    started, refused, jobs = time.monotonic(), 0, []
    for glob in hostile(100):
        answer = target.submit(
            {"model": "null", "input": {"prefix": f"s3://{target.stack.bucket}/{prefix}", "glob": glob}}
        )
        assert answer.status_code in (202, 422), answer.text
        if answer.status_code == 422:
            assert answer.json()["errors"][0]["pointer"] == "/input/glob", answer.json()
            refused += 1
        else:
            jobs.append(answer.json()["id"])
    beside = time.monotonic()
    target.items(target.put(f"{target.prefix()}a.png", picture()), model="null")
    beside = time.monotonic() - beside
    deadline = time.monotonic() + 300
    states: dict[str, int] = {}
    for job in jobs:
        while (state := target.http.get(f"/v1/jobs/{job}").json()["state"]) == "ingesting":
            assert time.monotonic() < deadline, f"{job} is still listed"
            time.sleep(0.2)
        states[state] = states.get(state, 0) + 1
        target.http.post(f"/v1/jobs/{job}:cancel")
    return (
        f"{refused} refused, listed: {states} in {time.monotonic() - started:.0f} s; the job beside took {beside:.1f} s"
    )


@attack("a prefix with .DS_Store, Thumbs.db and text beside two images", "they fail: partially_succeeded")
def hidden_files(target: Target) -> str:
    prefix = target.prefix()
    for name in (".DS_Store", "Thumbs.db", "notes.txt", "sub/.hidden.png"):
        target.put(prefix + name, b"not an image")
    target.put(f"{prefix}a.png", picture())
    target.put(f"{prefix}UPPER.PNG", picture())
    answer = target.submit({"input": {"prefix": f"s3://{target.stack.bucket}/{prefix}"}})
    job = target.done(answer.json()["id"])
    assert (job["state"], job["counts"]["total"], job["passed_over"]) == ("succeeded", 2, 4), job
    return f"{job['state']}, {job['counts']['total']} items, {job['passed_over']} keys passed over"


@attack(
    "a stored job with the glob [z-a].jpg, and a restart of the dispatcher over it",
    "each new dispatcher died of it; `make up` could not start over the same data",
)
def stored(target: Target) -> str:
    prefix = f"s3://{target.stack.bucket}/{target.prefix()}"
    target.put(f"{prefix.removeprefix(f's3://{target.stack.bucket}/')}a.jpg", b"x")
    target.stack.stop_child("dispatcher")
    job_id = new_job_id()
    engine = sync_engine(target.stack.stores.database_url)
    with engine.begin() as connection:
        row = {"id": job_id, "tenant_id": "default", "state": JobState.INGESTING, "model": "null"}
        row |= {"task": {"type": "auto"}, "input": {"prefix": prefix, "glob": "[z-a].jpg"}}
        connection.execute(insert(jobs).values(row))
    engine.dispose()
    target.stack.start_child("dispatcher")
    job = target.done(show_job_id(job_id))
    assert job["state"] == "failed" and job["error"], job
    target.works()
    return f"{job['error']}; a job after it succeeds"
