"""What a refused client reads: plain words, and a pointer to a place that the body has or should have."""

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from api.jobs.schemas import JobRequest
from intake.messages import TEXTS, UNEXPECTED, text_of
from tests.api.submits import AUTO, EVERY_PLACE, STRANGE, WHOLE, refused, replaced, without

FOREIGN = (
    "Input should", "String should", "Field required", "after validation", "Value error", "validation error", "[key]",
    "tagged-union", "function-", "lax-or", "json-or", "Extra inputs", "Tuple", "dataclass", "Traceback",
)  # fmt: skip


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
