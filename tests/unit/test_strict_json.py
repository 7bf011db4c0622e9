"""The one strict reading of JSON: what it refuses, with which words, and that it never breaks."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hms_svc.domain import json_scan
from hms_svc.domain.errors import MalformedJson
from hms_svc.domain.json_rules import DECODER, InvalidJsonValue, TooDeep, check
from hms_svc.domain.json_scan import MOST_CONTAINERS, PIECE, Scan
from hms_svc.domain.strict_json import (
    MAX_DEPTH,
    check_strict,
    decode,
    encode,
    encode_canonical,
    encode_sorted,
    is_same_json,
    read_strict,
)

LARGEST = 4 * 1024 * 1024


@pytest.mark.parametrize(
    ("raw", "fault"),
    [
        (b"", "empty"),
        (b" \n\t", "empty"),
        (b"hello", "not JSON"),
        (b"{} {}", "Extra data"),
        (b"\xff\xfe", "not UTF-8 at byte 0"),
        (b"\xef\xbb\xbf{}", "begins with a byte-order mark, which JSON does not allow: remove it"),
        (b"{\0}\0", "not UTF-8 at byte 1: a zero byte, as in UTF-16"),
        (b"\0\0\0{", "not UTF-8 at byte 0: a zero byte, as in UTF-16"),
        (b'{"a":1,"a":2}', "key 'a' occurs twice"),
        (b"[NaN]", "NaN is not a JSON number"),
        (b"[-Infinity]", "-Infinity is not a JSON number"),
        (b"[1e999]", "not a JSON number"),
        (b"[9223372036854775808]", "2^63"),
        (b"[-9223372036854775809]", "2^63"),
        (b"9" * 5000, "2^63"),
        (b'"\\ud800"', "lone surrogate"),
        (b'{"\\udfff":1}', "lone surrogate"),
        (b'{"a":{"b":"x\\u0000"}}', "a.b: NUL"),
        (b"[" * 5000 + b"]" * 5000, "deeper than 64"),
        (b"[" * 65 + b"]" * 65, "deeper than 64"),
        (b'{"a":' * 100_000, "deeper than 64"),
    ],
)
def test_refuses(raw: bytes, fault: str) -> None:
    with pytest.raises(MalformedJson) as caught:
        read_strict(raw)
    assert fault in str(caught.value)


@pytest.mark.parametrize(
    "raw",
    [
        b"[9223372036854775807,-9223372036854775808]",
        b"[" * MAX_DEPTH + b"]" * MAX_DEPTH,
        b'{"a":[1,2.5,"\\ud83d\\ude00",null,true]}',
        b'"\xf0\x9f\x98\x80"',
        b" 5 ",
    ],
)
def test_reads_what_is_json(raw: bytes) -> None:
    assert read_strict(raw) == json.loads(raw)


def test_bytes_that_json_would_take_for_utf_16_are_not_utf_8() -> None:
    with pytest.raises(MalformedJson):
        read_strict('{"a":1}'.encode("utf-16"))


_keys = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=5)
_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_keys, inner, max_size=4),
    max_leaves=20,
)


@given(_values)
def test_what_is_strict_survives_our_codec_and_is_read_back(value: object) -> None:
    check_strict(value)
    assert read_strict(encode(value)) == decode(encode(value)) == value


@given(st.binary(max_size=200))
def test_foreign_bytes_raise_nothing_but_malformed_json(raw: bytes) -> None:
    try:
        value = read_strict(raw)
    except MalformedJson:
        return
    check_strict(value)


@pytest.mark.parametrize(
    ("value", "fault"),
    [
        ({"a": [1, math.nan]}, "a[1]"),
        ({"a": {"b": 2**63}}, "a.b"),
        ({1: 2}, "not a string"),
        ({"a": object()}, "object is not a JSON value"),
        ({"a": b"x"}, "bytes is not a JSON value"),
        ("\ud800", "lone surrogate"),
    ],
)
def test_python_values_are_held_to_the_same_rules(value: object, fault: str) -> None:
    with pytest.raises(MalformedJson) as caught:
        check_strict(value)
    assert fault in str(caught.value)


def test_a_value_that_contains_itself_is_too_deep() -> None:
    value: list[object] = []
    value.append(value)
    with pytest.raises(MalformedJson, match="deeper"):
        check_strict(value)


@given(_values)
def test_the_canonical_form_says_the_same_and_is_its_own(value: object) -> None:
    raw = encode(value)
    canonical = encode_canonical(read_strict(raw))
    assert decode(canonical) == value
    assert encode_canonical(decode(canonical)) == canonical
    assert is_same_json(raw, canonical)


def test_the_canonical_form_of_a_large_number_is_not_written_out() -> None:
    assert encode_canonical([1e300] * 1000) == encode([1e300] * 1000)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (b'{"a":1,"b":2}', b'{"b":2,"a":1}', True),
        (b"1", b"1.0", True),
        (b"0", b"-0.0", True),
        (b"100", b"1e2", True),
        (b"9007199254740992", b"9007199254740992.0", True),
        (b"9007199254740993", b"9007199254740992.0", False),
        (b"-9223372036854775808", b"-9223372036854775808.0", True),
        (b"1e300", b"1e300", True),
        (b"1e300", b"1.0e+300", True),
        (b"1e300", b"-1e300", False),
        (b"9.3e18", b"9.4e18", False),
        (b"1", b"true", False),
        (b"[0]", b"[false]", False),
        (b'{"a":1.0}', b'{"a":true}', False),
        (b"null", b"false", False),
        (b'"1"', b"1", False),
        (
            b"[" * MAX_DEPTH + b"1" + b"]" * MAX_DEPTH,
            b"[" * MAX_DEPTH + b"1.0" + b"]" * MAX_DEPTH,
            True,
        ),
    ],
)
def test_json_is_the_same_where_it_says_the_same(one: bytes, other: bytes, same: bool) -> None:
    assert is_same_json(one, other) is same


_shuffled = st.text(st.sampled_from(list('[]{}",:\\\\ue0123-.NaIfty \n\x00é😀')), max_size=60)


def text_of(read: Callable[[], object]) -> object:
    """Return what is read, or the words of what is wrong with it."""
    try:
        return read()
    except (json.JSONDecodeError, RecursionError) as error:
        return type(error).__name__, getattr(error, "msg", ""), getattr(error, "pos", 0)
    except (MalformedJson, InvalidJsonValue, TooDeep) as error:
        return type(error).__name__


def in_one_call(text: str) -> object:
    value = DECODER.decode(text)
    check(value, 0)
    return value


@pytest.mark.parametrize("size", [2, 8, PIECE])
@given(_values, _shuffled, st.integers(0, 60), st.sampled_from([None, 1]))
def test_reading_in_pieces_says_what_reading_in_one_call_says(
    size: int, value: object, noise: str, place: int, indent: int | None
) -> None:
    """The order in which several faults are found may differ; whether there is one may not."""
    text = json.dumps(value, indent=indent, ensure_ascii=False)
    for each in (text, text[:place] + noise + text[place:], noise, text[place:]):
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(json_scan, "PIECE", size)
            patched.setattr(json_scan, "_LEAST_ADVANCE", 1)
            piecewise = text_of(lambda text=each: Scan(text).read())  # type: ignore[misc]  # mypy infers no lambda with a default
        whole = text_of(lambda text=each: in_one_call(text))  # type: ignore[misc]  # mypy infers no lambda with a default
        if isinstance(whole, tuple) and isinstance(piecewise, tuple):
            assert piecewise == whole or "trailing comma" in whole[1]  # Python 3.13's word for it
        else:
            assert (encode(piecewise) == encode(whole)) or {type(piecewise), type(whole)} <= {
                str,
                tuple,
            }


@pytest.mark.parametrize(
    ("head", "unit", "tail", "fault"),
    [
        ('{"%s":[' % ("k" * (LARGEST // 2)), "1,", "1]}", ""),
        ('{"%s":[' % ("k" * (LARGEST // 2)), "1,", "NaN]}", "NaN"),
        ('{"%s":[' % ("k" * (LARGEST // 2)), "1,", '"\\u0000"]}', "kkkk: NUL"),
        ("[", "1,", "1e999]", "]: inf is not"),
        ("[", "1,", "9223372036854775808]", "]: an integer of 2^63"),
        ("[", '"a",', '"\\ud800"]', "]: a lone surrogate"),
        ("[", "5e-324,", "1]", ""),
        ("[", "[],", "[]]", "arrays and objects"),
        ('["', "[{", '"]', ""),
        ("[", '{"a":123456789,"b":[2],"c":"some words"},', "1", "Expecting ',' delimiter"),
        ("[", " \n", "]", ""),
        ("", "1", "", "2^63"),
        ("1e", "9", "", "inf is not"),
        ('"', "\\n", '"', ""),
        ('{"a":1,"', "b", '":1,"a":2}', "key 'a' occurs twice"),
        ('{"', "b", '":1,}', "Expecting property name"),
        ("[" * 65, "1,", "1" + "]" * 65, "deeper than 64"),
        ('{"a":', "[", "", "arrays and objects"),
    ],
)
def test_the_largest_text_is_read_in_linear_work(
    head: str, unit: str, tail: str, fault: str
) -> None:
    """Each took from seconds to hours where the work is quadratic; no test runs that long."""
    raw = (head + unit * ((LARGEST - len(head) - len(tail)) // len(unit)) + tail).encode()
    if not fault:
        assert encode_canonical(read_strict(raw))
        return
    with pytest.raises(MalformedJson, match=re.escape(fault)):
        read_strict(raw)


def test_a_large_text_may_have_so_many_containers_and_no_more() -> None:
    most = b"[" + b",".join([b"[]"] * (MOST_CONTAINERS - 1)) + b"]"
    assert len(read_strict(most)) == MOST_CONTAINERS - 1  # type: ignore[arg-type]  # an array
    with pytest.raises(MalformedJson, match="more than 250,000 arrays and objects"):
        read_strict(most[:-1] + b",[]]")


def test_brackets_in_strings_are_no_containers() -> None:
    raw = encode(["[{" * MOST_CONTAINERS, '"[', "\\"])
    assert read_strict(raw) == decode(raw)


@pytest.mark.parametrize("keys", [3, 10_001, 25_000])
def test_canonical_json_has_its_keys_in_order(keys: int) -> None:
    value = {f"{number * 7919 % keys}é😀": {"b": 1, "a": 2.0} for number in range(keys)}
    sorted_keys = encode_sorted({key: {"b": 1, "a": 2} for key in value})
    assert encode_canonical(value) == sorted_keys  # type: ignore[arg-type]  # a dict is invariant in its values


def test_floats_near_the_limits_come_back() -> None:
    values = [5e-324, 2.2250738585072011e-308, 1.7976931348623157e308, -0.0, 0.1]
    assert decode(encode(values)) == values
