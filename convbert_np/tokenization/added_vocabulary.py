"""The added tokens of the fast class: their ids, their flags, and the texts they are found by."""

from collections import Counter
from collections.abc import Iterable, Mapping

from convbert_np.tokenization.added_tokens import AddedToken
from convbert_np.tokenization.normalization import Normalization

Found = dict[str, tuple[int, AddedToken]]


class AddedVocabulary:
    """What was added to a vocabulary, by the rules of the reference's library.

    A token of the vocabulary keeps its id, any other gets the next one. When a token is added again with other flags
    these replace the earlier ones, and yet the earlier token is still what text is searched for: whether it is
    looked for in the normalized text or in the text as it is is settled when it is first added, as a special token or
    as a plain one. A token that was special once is left out by skip_special_tokens for good.

    vocabulary  token to id
    tokens      id to added token, with the flags of its last addition, in the order of the first
    numbers     added token to id

    Source: AddedVocabulary of tokenizers 0.15.2.
    """

    def __init__(self, vocabulary: Mapping[str, int]):
        self.vocabulary = vocabulary
        self.ids = set(vocabulary.values())
        self.tokens: dict[int, AddedToken] = {}
        self.held: Counter[AddedToken] = Counter()
        self.numbers: dict[str, int] = {}
        self.special: dict[str, AddedToken] = {}
        self.plain: list[AddedToken] = []
        self.normalization: Normalization | None = None

    def add(self, tokens: Iterable[AddedToken], normalization: Normalization) -> int:
        """Add tokens; the number of those that were not there with just these flags.

        All tokens that are looked for in the normalized text are themselves normalized anew by the rules given.
        """
        self.normalization = normalization
        count = 0
        for token in tokens:
            if token.special and token.content:
                self.special.setdefault(token.content, token)
            if not token.content or self.held[token]:
                continue
            number = self.numbers.get(token.content, self.vocabulary.get(token.content))
            self.put(self.free_number() if number is None else number, token)
            count += 1
        return count

    def put(self, number: int, token: AddedToken) -> None:
        """Add a token under an id."""
        if number in self.tokens:
            self.held[self.tokens[number]] -= 1
        self.held[token] += 1
        self.tokens[number] = token
        self.numbers[token.content] = number
        if token.content not in self.special:
            self.plain.append(token)

    def free_number(self) -> int:
        """The id of a new token: behind the vocabulary and all that was added.

        As in the library the size of the vocabulary is counted, but where lines of it repeat that number is taken,
        and the first id behind all others is given.
        """
        number = max(len(self.vocabulary), max(self.tokens, default=-1) + 1)
        return max([*self.ids, *self.tokens]) + 1 if number in self.ids else number

    def patterns(self) -> tuple[Found, Found]:
        """What is looked for in the text as it is, and what in the normalized text: text to (id, token).

        Of tokens that are the same, special ones go first, then the one that was added first.
        """
        raw: Found = {}
        normal: Found = {}
        for token in (*self.special.values(), *self.plain):
            number = self.numbers[token.content]
            if not token.normalized:
                raw.setdefault(token.content, (number, self.tokens[number]))
            elif self.normalization is not None:
                normal.setdefault(self.normalization.normalized(token.content), (number, self.tokens[number]))
        return raw, normal
