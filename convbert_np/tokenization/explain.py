"""`tokenizer.explain(text)`: everything that happens to a text on its way to ids, to be read by people."""

from dataclasses import dataclass
from typing import Any

from convbert_np.tokenization.checks import check_number, check_text
from convbert_np.tokenization.explain_html import html_page
from convbert_np.tokenization.explain_paths import FastPath, SlowPath
from convbert_np.tokenization.explain_text import text_page
from convbert_np.tokenization.explanation import Part, Stage, Word
from convbert_np.tokenization.fast_engine import FastEngine

MAX_WORDS = 50


@dataclass(frozen=True, repr=False)
class Explanation:
    """What a tokenizer does to a text, stage by stage and word by word: prints as a page, in Jupyter as HTML.

    text        the text as given
    class_name  the class of the tokenizer
    stages      the stages that are done, in the order of the class, with the text before and after each
    off         the stages that the settings of the tokenizer leave out
    parts       the added tokens of the text, and the plain text between them
    words       the words with their tokens and the steps of WordPiece
    max_words   how many words are printed, None for all

    `tokens` and `ids` are those of `tokenizer.tokenize(text)` and `tokenizer(text, add_special_tokens=False)`.
    """

    text: str
    class_name: str
    stages: tuple[Stage, ...]
    off: tuple[str, ...]
    parts: tuple[Part, ...]
    words: tuple[Word, ...]
    max_words: int | None = MAX_WORDS

    @property
    def tokens(self) -> list[str]:
        """The tokens of all words."""
        return [token for word in self.words for token in word.tokens]

    @property
    def ids(self) -> list[int]:
        """The ids of all words."""
        return [number for word in self.words for number in word.ids]

    @property
    def title(self) -> str:
        """One line on the whole."""
        counts = ((len(self.text), "character"), (len(self.words), "word"), (len(self.ids), "token"))
        characters, words, tokens = (f"{number:,} {name}{'s' * (number != 1)}" for number, name in counts)
        return f"{self.class_name}: {characters}, {words}, {tokens}"

    def to_dict(self) -> dict[str, Any]:
        """Everything but max_words as plain values for JSON; of the candidates of a step the first 100."""
        lists = {name: [item.to_dict() for item in getattr(self, name)] for name in ("stages", "parts", "words")}
        first = {"text": self.text, "class_name": self.class_name, "off": list(self.off)}
        return {**first, **lists, "tokens": self.tokens, "ids": self.ids}

    def __str__(self) -> str:
        """A page of plain text, no line of which has more than 100 columns."""
        return text_page(self)

    def __repr__(self) -> str:
        return f"<Explanation by {self.title}>"

    def _repr_html_(self) -> str:
        """The same page for Jupyter."""
        return html_page(self)


def explain(tokenizer: Any, text: str, max_words: int | None = MAX_WORDS) -> Explanation:
    """What a tokenizer does to a text, with every stage and every candidate that WordPiece looks up.

    tokenizer  a ConvBertTokenizer or a ConvBertTokenizerFast
    text       a string
    max_words  how many words are printed, None for all; the result always holds all of them

    The stages come in the order of the class, put on the whole text one by one; the engine fuses them into one table.
    The candidates of a step begin with the whole rest of the word, as WordPiece is defined; the engine does not
    try those that are longer than any piece with the same two first characters. Time and memory grow with the
    length of the text only.
    Raises TypeError or ValueError naming the argument.
    """
    text = check_text(text, "text")
    max_words = check_number(max_words, "max_words", 0)
    engine = tokenizer.engine
    path = (FastPath if isinstance(engine, FastEngine) else SlowPath)(engine, text)
    parts = (tuple(path.stages), path.off, tuple(path.parts), tuple(path.words))
    return Explanation(text, type(tokenizer).__name__, *parts, max_words)
