"""What a refused client reads: plain words, and a pointer to a place that the body has or should have."""

import copy
import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from api.errors import FieldError, InvalidBody
from api.jobs.schemas import JobRequest
from api.jobs.submission import DryRun, Rules, read_submission
from api.messages import TEXTS, UNEXPECTED, text_of

RULES = Rules(("sam_tiny",), 1000, ("bucket",))
FOREIGN = (
    "Input should", "String should", "Field required", "after validation", "Value error", "validation error", "[key]",
    "tagged-union", "function-", "lax-or", "json-or", "Extra inputs", "Tuple", "dataclass", "Traceback",
)  # fmt: skip
WHOLE: dict[str, Any] = {
    "name": "tiles",
    "labels": {"run": "7", "site/a": "x"},
    "model": "sam_tiny",
    "precision": "exact",
    "priority": 5,
    "task": {"type": "prompted"},
    "input": {
        "items": [
            {
                "custom_id": "a",
                "image": "s3://bucket/a.jpg",
                "prompts": [
                    {"id": "p", "points": [[1, 2], [3.5, 4]], "labels": [1, 0], "box": [1, 2, 3, 4], "multimask": True},
                    {"mask": {"size": [2, 2], "counts": "4"}},
                ],
            },
            {"image": "s3://bucket/b.jpg", "prompts": [{"points": [[1, 2]], "labels": [1]}]},
        ],
    },
    "deadline": "2090-01-01T00:00:00Z",
    "max_failure_ratio": 0.5,
    "validate_only": False,
}
AUTO: dict[str, Any] = {
    "task": {
        "type": "auto", "points_per_side": 32, "points_per_batch": 64, "pred_iou_thresh": 0.5, "crop_n_layers": 1,
        "stability_score_offset": 1.0, "point_grids": [[[0.5, 0.5]]], "min_mask_area": 3, "max_masks": 7,
    },
    "input": {"prefix": "s3://bucket/p/", "glob": "*.jpg"},
}  # fmt: skip
STRANGE: list[Any] = [
    None, True, 0, -1, 1.5, 2**31 - 1, 2**31, 2**63 - 1, 2**63, 2**64, 10**30, -(10**30), 1e308, "", "x", "0",
    "7" * 5000, "\x00", "\x07", "\u2028", "\ud83d\ude00", "null", "2090-13-45T99:99:99Z", "9999-12-31T23:59:59-23:59",
    "0001-01-01T00:00:00+23:59", "2090-01-01T00:00:00", "2090-01-01", "4102444800", "s3://images", "s3://bucket",
    "s3://elsewhere/a", [], [[]], [0], [0, 0, 0], [None] * 300, {}, {"": 0}, {"my key": "x"}, {"a/~b": 1},
    {"type": "auto"}, {"type": []}, {"size": [1, 2, 3], "counts": 4},
]  # fmt: skip


def paths(value: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield at
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in pairs:
        yield from paths(inner, (*at, key))


def replaced(body: dict[str, Any], at: tuple[Any, ...], value: Any) -> Any:
    if not at:
        return value
    changed = copy.deepcopy(body)
    inner: Any = changed
    for key in at[:-1]:
        inner = inner[key]
    inner[at[-1]] = value
    return changed


def without(body: dict[str, Any], at: tuple[Any, ...]) -> Any:
    changed = replaced(body, at, None)
    inner: Any = changed
    for key in at[:-1]:
        inner = inner[key]
    del inner[at[-1]]
    return changed


def refused(given: Any) -> list[FieldError]:
    """The errors of a body; none where it is accepted. Anything else that is raised fails the test."""
    try:
        answer = read_submission(json.dumps(given).encode(), RULES)
    except InvalidBody as error:
        assert str(error)
        return error.errors
    return list(answer.errors) if isinstance(answer, DryRun) else []


def check(given: Any) -> None:
    for error in refused(given):
        assert error["detail"] and error["detail"] != UNEXPECTED, given
        assert not any(word in error["detail"] + error["pointer"] for word in FOREIGN), error
        assert points_into(given, error["pointer"]), error


def points_into(body: Any, pointer: str) -> bool:
    """Whether all of the pointer but its last step is there."""
    steps = [step.replace("~1", "/").replace("~0", "~") for step in pointer.split("/")[1:]]
    for step in steps[:-1]:
        if isinstance(body, list) and step.isdigit() and int(step) < len(body):
            body = body[int(step)]
        elif isinstance(body, dict) and step in body:
            body = body[step]
        else:
            return False
    return not steps or isinstance(body, dict) or (isinstance(body, list) and steps[-1].isdigit())


EVERY_PLACE = [(body, at) for body in (WHOLE, AUTO) for at in paths(body)]


def test_the_examples_are_accepted() -> None:
    assert refused(WHOLE) == refused(AUTO) == []


@pytest.mark.parametrize("strange", STRANGE, ids=lambda v: repr(v)[:30])
def test_every_strange_value_in_every_place(strange: Any) -> None:
    for body, at in EVERY_PLACE:
        check(replaced(body, at, strange))


def test_every_field_left_out_and_one_added() -> None:
    for body, at in EVERY_PLACE:
        if at:
            check(without(body, at))
        check(replaced(body, (*at[:-1], "colour"), 1) if at and isinstance(at[-1], str) else {**body, "colour": 1})


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=12,
)


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.sampled_from(EVERY_PLACE), json_values)
def test_any_value_in_any_place(place: tuple[dict[str, Any], tuple[Any, ...]], value: Any) -> None:
    body, at = place
    changed = replaced(body, at, value)
    check(changed)


def test_every_text_of_the_table_can_be_written() -> None:
    context = {
        "min_length": 1, "max_length": 2, "pattern": "a", "gt": 0, "ge": 0, "lt": 1, "le": 1,
        "expected": "'a' or 'b'", "expected_tags": "'a'",
    }  # fmt: skip
    for kind in TEXTS:
        assert "{" not in text_of({"type": kind, "ctx": context})


def test_a_text_that_is_missing_shows_itself() -> None:
    with pytest.raises(ValidationError) as refusal:
        TypeAdapter(frozenset[int]).validate_python(3)
    assert [text_of(error) for error in refusal.value.errors()] == [UNEXPECTED]


def first(given: dict[str, Any]) -> tuple[str, str]:
    error = refused(given)[0]
    return error["pointer"], error["detail"]


def test_what_the_most_frequent_mistakes_are_told() -> None:
    item = ("input", "items", 0)
    assert "slash" in first(replaced(WHOLE, (*item, "image"), "s3://images"))[1]
    assert "slash" in first(replaced(AUTO, ("input", "prefix"), "s3://images"))[1]
    assert "begin with s3://" in first(replaced(WHOLE, (*item, "image"), "/data/a.jpg"))[1]
    assert first(replaced(WHOLE, ("labels",), {"my key": "x"}))[0] == "/labels/my key"
    assert first(replaced(WHOLE, ("labels",), {"~/": "x"}))[0] == "/labels/~0~1"
    assert first(replaced(WHOLE, ("labels",), {"[key]": "x"}))[0] == "/labels/[key]"
    assert first(replaced(WHOLE, ("labels",), {"a": 7})) == ("/labels/a", "must be a string")
    assert first(replaced(WHOLE, (*item, "prompts", 0, "labels"), [1])) == (
        "/input/items/0/prompts/0/labels",
        "needs one label a point: 2 points but 1 labels",
    )
    many = {"points": [[1, 2]] * 257, "labels": [1] * 257}
    assert first(replaced(WHOLE, (*item, "prompts", 0), many)) == (
        "/input/items/0/prompts/0/points",
        "must have at most 256 entries",
    )
    assert first(replaced(WHOLE, ("priority",), 10)) == ("/priority", "must be at most 9")
    assert first(replaced(WHOLE, ("precision",), "double")) == ("/precision", "must be 'exact' or 'fast'")
    assert first(without(WHOLE, ("task",))) == ("/task", "is missing")


def test_the_schema_still_says_what_a_label_key_and_a_deadline_are() -> None:
    properties = TypeAdapter(JobRequest).json_schema()["properties"]
    assert list(properties["labels"]["patternProperties"]) == ["^[A-Za-z0-9][A-Za-z0-9._/-]{0,62}$"]
    assert properties["deadline"]["anyOf"][0] == {"type": "string", "format": "date-time"}
