"""The tokenizer.json of the `tokenizers` library, read into plain data and written from it.

Only what the fast tokenizers of BERT and ConvBERT are made of can be read: the model WordPiece, BertNormalizer,
BertPreTokenizer, the template [CLS] A [SEP] B [SEP], and the decoder of WordPiece. A file that holds anything
else, also null or a Sequence in the place of one of them, is refused, for its text would be cut differently.

Source: the files written by tokenizers 0.15.2 and 0.23.3, and which ones both read.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from convbert_np.tokenization.added_tokens import FLAGS, AddedToken
from convbert_np.tokenization.checks import check_path
from convbert_np.tokenization.json_fields import (
    SIZES,
    Kinds,
    check_choice,
    check_count,
    check_fields,
    check_section,
    load_json,
    write_json,
)
from convbert_np.tokenization.tokenizer_json_parts import Marker, read_padding, read_post_processor, read_truncation, template

SECTIONS: Kinds = {
    "version": (str,),
    "truncation": (dict, type(None)),
    "padding": (dict, type(None)),
    "added_tokens": (list,),
    "normalizer": (dict,),
    "pre_tokenizer": (dict,),
    "post_processor": (dict,),
    "decoder": (dict,),
    "model": (dict,),
}
NORMALIZER: Kinds = {
    "clean_text": (bool,),
    "handle_chinese_chars": (bool,),
    "strip_accents": (bool, type(None)),
    "lowercase": (bool,),
}
MODEL: Kinds = {"unk_token": (str,), "continuing_subword_prefix": (str,), "max_input_chars_per_word": (int,), "vocab": (dict,)}
DECODER: Kinds = {"prefix": (str,), "cleanup": (bool,)}
ADDED: Kinds = {"id": (int,), "content": (str,), **dict.fromkeys(FLAGS, (bool,))}


@dataclass
class TokenizerFile:
    """What a tokenizer.json says, as plain data.

    vocabulary                 token to id, any order; the ids may have holes
    cls, sep                   the tokens around a text, with their ids
    unk_token                  in place of a word that the vocabulary does not cover
    continuing_subword_prefix  before a piece that does not begin a word
    max_input_chars_per_word   a word of more code points becomes unk_token
    clean_text                 drop control characters, and make every white space a blank
    handle_chinese_chars       make each Chinese character a word
    strip_accents              take accents off; None: if lowercase
    lowercase                  lower-case the text
    added_tokens               id to token, in the order of the file
    cleanup                    take out blanks before punctuation when decoding
    truncation, padding        the entries of the file: direction, max_length, strategy, stride; and strategy,
                               direction, pad_to_multiple_of, pad_id, pad_type_id, pad_token
    """

    vocabulary: dict[str, int]
    cls: Marker
    sep: Marker
    unk_token: str = "[UNK]"
    continuing_subword_prefix: str = "##"
    max_input_chars_per_word: int = 100
    clean_text: bool = True
    handle_chinese_chars: bool = True
    strip_accents: bool | None = None
    lowercase: bool = True
    added_tokens: dict[int, AddedToken] = field(default_factory=dict)
    cleanup: bool = True
    truncation: dict[str, Any] | None = None
    padding: dict[str, Any] | None = None


def read_tokenizer_json(path: str | os.PathLike[str]) -> TokenizerFile:
    """Read a tokenizer.json.

    Raises FileNotFoundError or IsADirectoryError if there is no such file, ValueError naming the file and the entry if it is no
    JSON, if it holds anything that this package would not do exactly as the library does, or if it
    contradicts itself (`check_consistent`).
    """
    path = check_path(path, "tokenizer_file")
    try:
        return parse_tokenizer(load_json(path.read_bytes()))
    except FileNotFoundError:
        raise FileNotFoundError(f"there is no tokenizer file {path} (tokenizer_file)") from None
    except IsADirectoryError:
        raise IsADirectoryError(f"tokenizer_file must be a file, {path} is a folder") from None
    except RecursionError:
        raise ValueError(f"the tokenizer file {path} is nested too deeply") from None
    except ValueError as error:
        raise ValueError(f"the tokenizer file {path}: {error}") from None


def parse_tokenizer(value: object) -> TokenizerFile:
    """The data in the JSON value of a tokenizer.json; ValueError naming the entry that cannot be read."""
    sections = check_fields(value, "the file", SECTIONS, ("version", "truncation", "padding", "added_tokens"))
    check_choice("1.0" if sections["version"] is None else sections["version"], "the version", ("1.0",))
    model = check_section(sections["model"], "model", "WordPiece", MODEL)
    normalizer = check_section(sections["normalizer"], "normalizer", "BertNormalizer", NORMALIZER, ("strip_accents",))
    check_section(sections["pre_tokenizer"], "pre_tokenizer", "BertPreTokenizer", {})
    decoder = check_section(sections["decoder"], "decoder", "WordPiece", DECODER)
    if decoder["prefix"] != model["continuing_subword_prefix"]:
        raise ValueError(f"the decoder has the prefix {decoder['prefix']!r}, the model {model['continuing_subword_prefix']!r}")
    cls, sep = read_post_processor(sections["post_processor"])
    longest = check_count(model["max_input_chars_per_word"], "max_input_chars_per_word", SIZES)
    file = TokenizerFile(
        vocabulary=model["vocab"],
        cls=cls,
        sep=sep,
        unk_token=model["unk_token"],
        continuing_subword_prefix=model["continuing_subword_prefix"],
        max_input_chars_per_word=longest,
        **normalizer,
        added_tokens=read_added_tokens(sections["added_tokens"] or []),
        cleanup=decoder["cleanup"],
        truncation=read_truncation(sections["truncation"]),
        padding=read_padding(sections["padding"]),
    )
    check_consistent(file)
    return file


def read_added_tokens(entries: list[object]) -> dict[int, AddedToken]:
    """The added tokens by id, in the order of the file; ValueError if one has no content, or the id of another."""
    tokens: dict[int, AddedToken] = {}
    for index, entry in enumerate(entries):
        fields = check_fields(entry, f"added_tokens[{index}]", ADDED)
        token = AddedToken.from_dict(fields)
        if fields["id"] in tokens or not token.content:
            raise ValueError(f"added_tokens[{index}] has no content or an id that came before: {fields}")
        tokens[check_count(fields["id"], f"the id of the added token {token.content!r}")] = token
    return tokens


def check_consistent(file: TokenizerFile) -> None:
    """Raise ValueError if no tokenizer can have this data.

    The vocabulary must not be empty and map strings to ids, each of one token only; it or the added tokens must hold unk_token.
    An added token that is in the vocabulary must have its id there; any other must have the next number after the
    added tokens before it and the vocabulary (counted by its size, as the library does, or by its largest id), for the library
    numbers them anew when it reads the file. cls and sep must have the ids of those tokens.
    """
    if not file.vocabulary:
        raise ValueError("the vocabulary of the model is empty")
    check_vocabulary(file.vocabulary)
    check_numbers(file.added_tokens, file.vocabulary)
    if file.unk_token not in file.vocabulary and not any(file.unk_token == str(token) for token in file.added_tokens.values()):
        raise ValueError(f"the vocabulary lacks the unk_token {file.unk_token!r}")
    numbers = {token.content: number for number, token in file.added_tokens.items()}
    if len(numbers) < len(file.added_tokens):
        raise ValueError("two added tokens have the same content")
    numbers |= file.vocabulary
    for name, (token, number) in (("cls", file.cls), ("sep", file.sep)):
        if numbers.get(token) != number:
            raise ValueError(f"the post_processor gives {name}, {token!r}, the id {number}, the vocabulary {numbers.get(token)}")


def check_vocabulary(vocabulary: Mapping[str, int]) -> None:
    """Raise ValueError if a value is no integer from 0 to 2 ** 31 - 1, or the id of two tokens."""
    tokens: dict[int, str] = {}
    for token, number in vocabulary.items():
        check_count(number, f"the id of {token!r}")
        if number in tokens:
            raise ValueError(f"{tokens[number]!r} and {token!r} have the same id {number}")
        tokens[number] = token


def check_numbers(added: Mapping[int, AddedToken], vocabulary: Mapping[str, int]) -> None:
    """Raise ValueError if an added token has another id than in the vocabulary, or none of the next free ones."""
    free = {len(vocabulary), max(vocabulary.values(), default=-1) + 1}
    for number, token in added.items():
        allowed = {vocabulary[token.content]} if token.content in vocabulary else free
        if number not in allowed:
            expected = " or ".join(map(str, sorted(allowed)))
            raise ValueError(f"the added token {token.content!r} has the id {number}, but would be given {expected}")
        free = {max(start, number + 1) for start in free}


def tokenizer_json(file: TokenizerFile) -> str:
    """The text of a tokenizer.json: what the library's `save` writes, without a line end after the last brace.

    The vocabulary and the added tokens are ordered by id. A file with BertProcessing that was read is written
    with the equivalent TemplateProcessing. Raises ValueError if the data is inconsistent (`check_consistent`).
    """
    file = replace(file, added_tokens=dict(sorted(file.added_tokens.items())))
    check_consistent(file)
    normalizer = {name: getattr(file, name) for name in NORMALIZER}
    model = {name: getattr(file, name) for name in MODEL if name != "vocab"}
    vocabulary = dict(sorted(file.vocabulary.items(), key=lambda item: item[1]))
    return write_json(
        {
            "version": "1.0",
            "truncation": read_truncation(file.truncation),
            "padding": read_padding(file.padding),
            "added_tokens": [token.to_dict(number) for number, token in file.added_tokens.items()],
            "normalizer": {"type": "BertNormalizer", **normalizer},
            "pre_tokenizer": {"type": "BertPreTokenizer"},
            "post_processor": template(file.cls, file.sep),
            "decoder": {"type": "WordPiece", "prefix": file.continuing_subword_prefix, "cleanup": file.cleanup},
            "model": {"type": "WordPiece", **model, "vocab": vocabulary},
        }
    )
