"""WordPiece: a word to the pieces of it that the vocabulary holds, and pieces back to text."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

CONTINUATION = "##"
MAX_CHARACTERS = 100


@dataclass(frozen=True)
class WordPiece:
    """The model of a WordPiece tokenizer: greedy longest-match-first, from the left.

    vocabulary      token to id
    unk_token       the token of a word that cannot be cut
    prefix          what stands before a piece in the vocabulary that does not begin a word
    max_characters  a word of more code points is unknown (the original TF1 code allows 200)

    Source: WordpieceTokenizer of transformers 4.37.2; the WordPiece model of tokenizers 0.15.2.
    """

    vocabulary: Mapping[str, int]
    unk_token: str = "[UNK]"
    prefix: str = CONTINUATION
    max_characters: int = MAX_CHARACTERS
    continuations: dict[str, int] = field(init=False, repr=False)
    longest: tuple[dict[str, int], dict[str, int]] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        skip = len(self.prefix)
        continued = {token[skip:]: number for token, number in self.vocabulary.items() if token.startswith(self.prefix)}
        object.__setattr__(self, "continuations", continued)
        object.__setattr__(self, "longest", (longest_by_start(self.vocabulary), longest_by_start(continued)))

    def match(self, word: str) -> tuple[list[int], list[int]]:
        """The ids of the pieces of a word, and where in it each ends; the unknown id if it cannot be cut.

        At every place the longest piece that the vocabulary holds is taken, and none is ever given back: a word is
        unknown as a whole where the rest after the longest pieces fits nothing. Candidates longer than any
        piece with the same two first characters are not tried, for they cannot be in the vocabulary.
        """
        length = len(word)
        ids: list[int] = []
        ends: list[int] = []
        start, number_of, longest = 0, self.vocabulary.get, self.longest[0]
        while start < length <= self.max_characters:
            end = start + longest.get(word[start : start + 2], 1)
            number = number_of(word[start:end])
            while number is None and end > start + 1:
                end = (end if end < length else length) - 1
                number = number_of(word[start:end])
            if number is None:
                break
            start = end if end < length else length
            ids.append(number)
            ends.append(start)
            number_of, longest = self.continuations.get, self.longest[1]
        return (ids, ends) if start == length else ([self.vocabulary[self.unk_token]], [length])

    def tokens(self, word: str) -> list[str]:
        """The pieces of a word as they stand in the vocabulary: "unhappily" may give ["un", "##happi", "##ly"]."""
        ids, ends = self.match(word)
        if ids == [self.vocabulary[self.unk_token]]:
            return [self.unk_token]
        starts = [0, *ends[:-1]]
        return [(self.prefix if start else "") + word[start:end] for start, end in zip(starts, ends, strict=True)]


def longest_by_start(pieces: Iterable[str]) -> dict[str, int]:
    """The length of the longest piece with the same two first characters, by these characters."""
    longest: dict[str, int] = {}
    for piece in pieces:
        start = piece[:2]
        if len(piece) > longest.get(start, 1):
            longest[start] = len(piece)
    return longest


def join_pieces(tokens: Iterable[str], prefix: str = CONTINUATION) -> str:
    """The text of a list of tokens: pieces glued to the word before them, words separated by one space."""
    return " ".join(tokens).replace(" " + prefix, "").strip()


def clean_up_spaces(text: str) -> str:
    """Take out the spaces before . ? ! , and English contractions, and those around a lone apostrophe."""
    for spaced in (" .", " ?", " !", " ,", " ' ", " n't", " 'm", " 's", " 've", " 're"):
        text = text.replace(spaced, spaced.strip())
    return text


def glue_pieces(tokens: Iterable[str], prefix: str = CONTINUATION, cleanup: bool = True) -> str:
    """The text of a list of tokens as the fast class makes it: every token is cleaned up by itself.

    Source: the WordPiece decoder of tokenizers 0.15.2, which also turns " do not" into " don't".
    """
    parts = []
    for index, token in enumerate(tokens):
        if index:
            token = token.removeprefix(prefix) if token.startswith(prefix) else " " + token
        parts.append(clean_up_token(token) if cleanup else token)
    return "".join(parts)


def clean_up_token(token: str) -> str:
    """Take the same spaces out of one token, and contract " do not", as the fast class does."""
    if " " not in token:
        return token
    for spaced, closed in CLEANED_UP:
        token = token.replace(spaced, closed)
    return token


CLEANED_UP = (
    *((spaced, spaced.strip()) for spaced in (" .", " ?", " !", " ,", " ' ", " n't", " 'm")),
    (" do not", " don't"),
    *((spaced, spaced.strip()) for spaced in (" 's", " 've", " 're")),
)
