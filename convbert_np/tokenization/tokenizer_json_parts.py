"""The parts of a tokenizer.json that act on a whole encoding: its template, truncation and padding."""

from typing import Any

from convbert_np.tokenization.json_fields import SIZES, Kinds, check_choice, check_count, check_fields, same_json, shown

Marker = tuple[str, int]  # a special token and its id
TRUNCATION: Kinds = {"direction": (str,), "max_length": (int,), "strategy": (str,), "stride": (int,)}
PADDING: Kinds = {
    "strategy": (str, dict),
    "direction": (str,),
    "pad_to_multiple_of": (int, type(None)),
    "pad_id": (int,),
    "pad_type_id": (int,),
    "pad_token": (str,),
}


def read_post_processor(value: object) -> tuple[Marker, Marker]:
    """The first and the last token, each with its id, of the template [CLS] A [SEP] B [SEP], or of BertProcessing.

    Raises ValueError for any other template, and for null, with which no special token would be added.
    """
    pair, written = None, {}
    match value:
        case {"single": [{"SpecialToken": {"id": str(cls)}}, _, {"SpecialToken": {"id": str(sep)}}], "special_tokens": tokens}:
            pair = (cls, only_id(tokens, cls)), (sep, only_id(tokens, sep))
            written = template(*pair)
        case {"cls": [str(cls), int(first)], "sep": [str(sep), int(last)]}:
            pair = (cls, first), (sep, last)
            written = {"type": "BertProcessing", "sep": [sep, last], "cls": [cls, first]}
    if pair is None or not isinstance(value, dict) or not same_json({"type": written["type"], **value}, written):
        what = "TemplateProcessing [CLS]:0 A:0 [SEP]:0 B:1 [SEP]:1 with one id for each token, or BertProcessing"
        raise ValueError(f"post_processor must be {what}, not {shown(value)}")
    for token, number in pair:
        check_count(number, f"the id of {token!r} in post_processor")
    return pair


def only_id(tokens: object, token: str) -> int:
    """The one id of a token among the special_tokens of a template; -1 if it has not one."""
    match tokens:
        case {**entries}:
            match entries.get(token):
                case {"ids": [int(number)]}:
                    return number
    return -1


def template(cls: Marker, sep: Marker) -> dict[str, Any]:
    """The TemplateProcessing that puts `cls` before and `sep` after the first text, and `sep` after the second."""
    first, last = ({"SpecialToken": {"id": token, "type_id": 0}} for token, _ in (cls, sep))
    single = [first, {"Sequence": {"id": "A", "type_id": 0}}, last]
    second = [{"Sequence": {"id": "B", "type_id": 1}}, {"SpecialToken": {"id": sep[0], "type_id": 1}}]
    tokens = {token: {"id": token, "ids": [number], "tokens": [token]} for token, number in sorted((cls, sep))}
    return {"type": "TemplateProcessing", "single": single, "pair": single + second, "special_tokens": tokens}


def read_truncation(value: object) -> dict[str, Any] | None:
    """The truncation of a file with its four entries, or None; ValueError if an entry has no meaning."""
    if value is None:
        return None
    fields = check_fields(value, "truncation", TRUNCATION, ("direction",))
    if fields["direction"] is None:  # files of 2021 lack it
        fields["direction"] = "Right"
    check_choice(fields["direction"], "the direction of truncation", ("Left", "Right"))
    check_choice(fields["strategy"], "the strategy of truncation", ("LongestFirst", "OnlyFirst", "OnlySecond"))
    for name in ("max_length", "stride"):
        check_count(fields[name], f"the {name} of truncation", SIZES)
    return fields


def read_padding(value: object) -> dict[str, Any] | None:
    """The padding of a file with its six entries, or None; ValueError if an entry has no meaning."""
    if value is None:
        return None
    fields = check_fields(value, "padding", PADDING, ("pad_to_multiple_of",))
    check_choice(fields["direction"], "the direction of padding", ("Left", "Right"))
    if isinstance(fields["strategy"], dict):
        fixed = check_fields(fields["strategy"], "the strategy of padding", {"Fixed": (int,)})
        check_count(fixed["Fixed"], "the fixed length of padding", SIZES)
    else:
        check_choice(fields["strategy"], "the strategy of padding", ("BatchLongest",))
    for name in ("pad_id", "pad_type_id"):
        check_count(fields[name], f"the {name} of padding")
    check_count(fields["pad_to_multiple_of"] or 0, "the pad_to_multiple_of of padding", SIZES)
    return fields
