"""AddedToken: a token that is recognised in the text before the text is cut into words."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from convbert_np.tokenization.checks import check_flag, check_text

FLAGS = ("single_word", "lstrip", "rstrip", "normalized", "special")


@dataclass(frozen=True, slots=True, init=False)
class AddedToken:
    """A token and how it is looked for; equal to another if the content and all flags are equal.

    content      the text of the token; an empty one is allowed, and never found
    single_word  only where no letter, digit or underscore stands next to it
    lstrip       take the white space before it along
    rstrip       take the white space after it along
    normalized   look for it in the normalised text, not in the text as given; None: if it is not special
    special      left out by skip_special_tokens

    Raises TypeError naming the argument that is no string or no bool, ValueError for a lone surrogate.
    Source: AddedToken of tokenizers 0.15.2.
    """

    content: str
    single_word: bool
    lstrip: bool
    rstrip: bool
    normalized: bool
    special: bool
    normalized_is_given: bool = field(compare=False, repr=False)

    def __init__(
        self,
        content: str,
        single_word: bool = False,
        lstrip: bool = False,
        rstrip: bool = False,
        normalized: bool | None = None,
        special: bool = False,
    ):
        object.__setattr__(self, "normalized_is_given", normalized is not None)
        normalized = not special if normalized is None else normalized
        values = (single_word, lstrip, rstrip, normalized, special)
        object.__setattr__(self, "content", check_text(content, "content"))  # the class is frozen
        for name, value in zip(FLAGS, values, strict=True):
            object.__setattr__(self, name, check_flag(value, name))

    def __str__(self) -> str:
        """The content."""
        return self.content

    def to_dict(self, number: int | None = None, typed: bool = False) -> dict[str, Any]:
        """The entries of a JSON file: the content and the five flags.

        number  put it first as "id", as in tokenizer.json
        typed   put "__type": "AddedToken" first, as for the values of tokenizer_config.json
        """
        first: dict[str, Any] = {} if number is None else {"id": number}
        if typed:
            first["__type"] = "AddedToken"
        return first | {name: getattr(self, name) for name in ("content", *FLAGS)}

    def with_special(self, special: bool, renormalized: bool = False) -> Self:
        """The token as a special one or as none.

        renormalized  where `normalized` was not given it follows `special`, else it stays as it is
        """
        normalized = None if renormalized and not self.normalized_is_given else self.normalized
        return type(self)(self.content, self.single_word, self.lstrip, self.rstrip, normalized, special)

    @classmethod
    def from_dict(cls, entries: Mapping[str, Any]) -> Self:
        """The token with the entries of a JSON file; "id" and "__type" are ignored, a missing flag has its default.

        Raises TypeError for entries that are no dict or for a flag that is no bool (so for null), ValueError
        if there is no content or an unknown entry.
        """
        if not isinstance(entries, Mapping):
            raise TypeError(f"entries must be a dict with the content and the flags of a token, not {entries!r:.80}")
        unknown = [name for name in entries if name not in ("content", *FLAGS, "id", "__type")]
        if unknown or "content" not in entries:
            raise ValueError(f"entries must hold content and may hold {', '.join(FLAGS)}, not {list(entries)}")
        flags = {name: check_flag(entries[name], name) for name in FLAGS if name in entries}
        return cls(entries["content"], **flags)
