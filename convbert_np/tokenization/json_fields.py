"""Strict JSON: values whose entries have the names and types that they must have, or a ValueError saying where not."""

import json
from collections import Counter
from collections.abc import Collection, Mapping
from typing import Any

Kinds = Mapping[str, tuple[type, ...]]
IDS = 31  # bits: the `tokenizers` library loses the vocabulary with the id 2 ** 32 - 1
SIZES = 64


def load_json(data: bytes) -> object:
    """The JSON value in the bytes of a file; ValueError for anything that is no strict JSON of Unicode strings.

    Stricter than `json.loads`: NaN and Infinity, the same name twice in an object, and a lone surrogate written
    as an escape are errors. Raises RecursionError if it is nested too deeply.
    """
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"it is not UTF-8 text: {error}") from None
    try:
        value = json.loads(text, object_pairs_hook=unique, parse_constant=refuse_constant)
    except json.JSONDecodeError as error:
        raise ValueError(f"it is not valid JSON: {error}") from None
    if "\\u" in text:
        write_json(value)
    return value


def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """The dict of the pairs; ValueError if a name comes twice."""
    entries = dict(pairs)
    if len(entries) < len(pairs):
        [(twice, _)] = Counter(name for name, _ in pairs).most_common(1)
        raise ValueError(f"the name {shown(twice)} comes twice in an object")
    return entries


def refuse_constant(name: str) -> None:
    """Raise ValueError: JSON has no NaN and no Infinity."""
    raise ValueError(f"it is not valid JSON: it holds {name}")


def write_json(value: object) -> str:
    """The JSON text with two blanks for each level; ValueError if a string has a lone surrogate."""
    text = json.dumps(value, indent=2, ensure_ascii=False)
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise ValueError(f"a string holds the lone surrogate {text[error.start]!r}") from None
    return text


def same_json(first: object, second: object) -> bool:
    """Whether two values are the same JSON, the order of names aside; 1, 1.0 and true are not."""
    return json.dumps(first, sort_keys=True) == json.dumps(second, sort_keys=True)


def check_fields(value: object, where: str, kinds: Kinds, optional: Collection[str] = ()) -> dict[str, Any]:
    """The entries of an object in the order of `kinds`, which names their types; an optional one that is missing is None.

    Raises ValueError naming `where` and the entry if it is no object, or lacks an entry, or has an unknown one
    or one of another type.
    """
    if not isinstance(value, dict):
        raise ValueError(f"{where} must be an object, not {shown(value)}")
    unknown = [name for name in value if name not in kinds]
    missing = [name for name in kinds if name not in value and name not in optional]
    if unknown or missing:
        what = f"has the unknown entries {shown(unknown)}" if unknown else f"lacks the entries {shown(missing)}"
        raise ValueError(f"{where} {what}")
    for name, entry in value.items():
        if type(entry) not in kinds[name]:
            allowed = " or ".join("null" if kind is type(None) else kind.__name__ for kind in kinds[name])
            raise ValueError(f"{where} must have {allowed} as the entry {name}, not {shown(entry)}")
    return {name: value.get(name) for name in kinds}


def check_section(value: object, where: str, kind: str, kinds: Kinds, optional: Collection[str] = ()) -> dict[str, Any]:
    """The entries of an object that names its type, less the type; ValueError if that is another than `kind`.

    The type may be missing where there are other entries to know it by, as in files of 2020.
    """
    given = value.get("type", kind if kinds else None) if isinstance(value, dict) else value
    if given != kind:
        raise ValueError(f"{where} must be of the type {kind}, not {shown(given)}: nothing else can be done here")
    fields = check_fields(value, where, {"type": (str,), **kinds}, ("type", *optional))
    return {name: fields[name] for name in kinds}


def check_count(value: object, what: str, bits: int = IDS) -> int:
    """An integer from 0 to 2 ** bits - 1; else ValueError."""
    if type(value) is not int or not 0 <= value < 2**bits:
        raise ValueError(f"{what} must be an integer from 0 to 2**{bits} - 1, not {shown(value)}")
    return value


def check_choice(value: object, what: str, choices: Collection[str]) -> None:
    """Raise ValueError if the value is none of the choices."""
    if value not in choices:
        raise ValueError(f"{what} must be {' or '.join(choices)}, not {shown(value)}")


def shown(value: object) -> str:
    """The beginning of a value as JSON, or as Python writes it if JSON cannot."""
    try:
        return f"{json.dumps(value):.80}"
    except (TypeError, ValueError):
        return f"{value!r:.80}"
