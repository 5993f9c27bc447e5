"""WordPiece: a word to the pieces of it that the vocabulary holds."""

from collections.abc import Collection

CONTINUATION = "##"
MAX_CHARACTERS = 100


def wordpiece(word: str, vocabulary: Collection[str], unk_token: str, max_characters: int = MAX_CHARACTERS) -> list[str]:
    """Cut a word into the longest pieces of the vocabulary, greedily from the left.

    A piece that does not begin the word is looked up, and returned, with "##" before it: "unhappily" may give
    ["un", "##happi", "##ly"]. Where no piece fits, or the word has more than `max_characters` code points,
    the whole word becomes [unk_token].

    Source: WordpieceTokenizer of transformers 4.37.2 (the original TF1 code allows 200 characters).
    """
    if len(word) > max_characters:
        return [unk_token]
    pieces = []
    start = 0
    while start < len(word):
        prefix = CONTINUATION if start else ""
        ends = range(len(word), start, -1)
        end = next((end for end in ends if prefix + word[start:end] in vocabulary), None)
        if end is None:
            return [unk_token]
        pieces.append(prefix + word[start:end])
        start = end
    return pieces


def join_pieces(tokens: Collection[str]) -> str:
    """The text of a list of tokens: pieces glued to the word before them, words separated by one space."""
    return " ".join(tokens).replace(" " + CONTINUATION, "").strip()


def clean_up_spaces(text: str) -> str:
    """Take out the spaces before . ? ! , and English contractions, and those around a lone apostrophe."""
    for spaced in (" .", " ?", " !", " ,", " ' ", " n't", " 'm", " 's", " 've", " 're"):
        text = text.replace(spaced, spaced.strip())
    return text
