"""ConvBertTokenizer: the tokenizer with the semantics of the reference's slow class."""

import os
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import chain
from pathlib import Path
from typing import Any, ClassVar

from convbert_np.tokenization.added_tokens import AddedToken
from convbert_np.tokenization.attributes import check_words
from convbert_np.tokenization.batch import BatchEncoding
from convbert_np.tokenization.cache import collector_paused
from convbert_np.tokenization.checks import as_ids, check_flag, check_text, check_texts
from convbert_np.tokenization.engine import SlowEngine
from convbert_np.tokenization.inputs import Pair, is_ids
from convbert_np.tokenization.normalization import Normalization
from convbert_np.tokenization.notices import warn
from convbert_np.tokenization.options import Options
from convbert_np.tokenization.persistence import Tokenizer
from convbert_np.tokenization.settings import VOCABULARY
from convbert_np.tokenization.special_tokens import Token, check_special
from convbert_np.tokenization.vocabulary import numbered, read_lines
from convbert_np.tokenization.wordpiece import WordPiece, join_pieces


class ConvBertTokenizer(Tokenizer):
    """The WordPiece tokenizer of BERT and ConvBERT, with the semantics of the slow class of transformers 4.37.2.

    vocab_file              the vocab.txt; it must hold the five special tokens under their usual names
    do_lower_case           lower-case the text, special tokens excepted
    do_basic_tokenize       False: cut at white space only, then into pieces; no stage of the basic tokenization is done
    never_split             words that stay whole where white space alone delimits them (after lower-casing)
    unk_token, ..., mask_token
                            the special tokens, strings or AddedTokens; another name is added to the vocabulary
    tokenize_chinese_chars  make each Chinese character a word
    strip_accents           take accents off; None: if do_lower_case
    more                    bos_token, eos_token, additional_special_tokens, model_max_length, padding_side, truncation_side,
                            clean_up_tokenization_spaces, split_special_tokens, model_input_names, added_tokens_decoder

    `ConvBertTokenizerFast` tells where each token stands in the text, which this class does not, and returns all
    windows over a long text. On ordinary text both give the same ids; docs/tokenizer.md lists where they differ.

    Raises FileNotFoundError, ValueError or TypeError naming the file or the argument.
    Source: ConvBertTokenizer of transformers 4.37.2.
    """

    is_fast = False
    vocab_files_names: ClassVar = {"vocab_file": VOCABULARY}

    def __init__(
        self,
        vocab_file: str | os.PathLike[str],
        do_lower_case: bool = True,
        do_basic_tokenize: bool = True,
        never_split: Iterable[str] | None = None,
        unk_token: Token = "[UNK]",
        sep_token: Token = "[SEP]",
        pad_token: Token = "[PAD]",
        cls_token: Token = "[CLS]",
        mask_token: Token = "[MASK]",
        tokenize_chinese_chars: bool = True,
        strip_accents: bool | None = None,
        **more: Any,
    ):
        never_split = check_words(never_split, "never_split")
        arguments = {
            "do_lower_case": check_flag(do_lower_case, "do_lower_case"),
            "do_basic_tokenize": check_flag(do_basic_tokenize, "do_basic_tokenize"),
            "never_split": never_split,
            "unk_token": check_special(unk_token, "unk_token"),
            "sep_token": sep_token,
            "pad_token": pad_token,
            "cls_token": cls_token,
            "mask_token": mask_token,
            "tokenize_chinese_chars": check_flag(tokenize_chinese_chars, "tokenize_chinese_chars"),
            "strip_accents": None if strip_accents is None else check_flag(strip_accents, "strip_accents"),
        }
        for name in ("clean_text", "wordpieces_prefix", "tokenizer_file"):  # files of the fast class hold them
            more.pop(name, None)
        super().__init__(arguments, more)
        self.vocab_file = vocab_file
        self._lines = read_lines(vocab_file)
        self.vocab = numbered(self._lines)
        self.do_lower_case = do_lower_case
        self.do_basic_tokenize = do_basic_tokenize
        self.never_split = never_split
        self.tokenize_chinese_chars = tokenize_chinese_chars
        self.strip_accents = strip_accents
        self._model_unk_token = str(unk_token)
        self._tokens = {number: token for token, number in self.vocab.items()}
        self._added: dict[int, AddedToken] = self._given_added(more)
        self._numbers = {token.content: number for number, token in self._added.items()}
        hidden = [number for number, token in self._added.items() if self._tokens.get(number, token.content) != token.content]
        if hidden:
            names = ", ".join(f"{self._added[number].content!r} {self._tokens[number]!r}" for number in hidden[:3])
            warn(f"added tokens take the ids of other tokens of the vocabulary, which are hidden: {names} ({len(hidden)} in all)")
        self._engine: SlowEngine | None = None
        self._check_special_tokens(vocab_file)
        special = self.all_special_tokens_extended  # an AddedToken is added again even if it is there, to be special
        self._add([token for token in special if isinstance(token, AddedToken) or token not in self._numbers], special=True)
        self._engine = self.engine  # now, so that the first call takes no longer than the others

    # The vocabulary

    @property
    def added_tokens_decoder(self) -> dict[int, AddedToken]:
        """Id to AddedToken, by id: the tokens that text is cut at before anything else."""
        return dict(sorted(self._added.items()))

    @property
    def ids_to_tokens(self) -> dict[int, str]:
        """Id to token, of the vocabulary without those added to it; a copy."""
        return dict(self._tokens)

    def _own_id(self, token: str) -> int | None:
        """The id that a token has of its own."""
        return self._numbers.get(token, self.vocab.get(token))

    @property
    def _unknown(self) -> str:
        """The token of words that cannot be cut."""
        return str(self._special.get("unk_token", self._model_unk_token))

    def _add(self, tokens: Sequence[Token], special: bool) -> int:
        """Add tokens; the number of those that were not in the vocabulary."""
        ids, held = self.get_vocab(), Counter(self._added.values())
        size = len(ids)
        for token in tokens:
            added = self._as_added(token, special, held)
            if added is None:
                continue
            number = ids[added.content] if added.content in ids else self._free_number(len(ids))
            if added.special and added.content not in self.all_special_tokens:
                self._additional.append(added)
            if number in self._added:
                held[self._added[number]] -= 1
            held[added] += 1
            self._added[number] = added
            self._numbers[added.content] = ids[added.content] = number
        return len(ids) - size

    def _as_added(self, token: Token, special: bool, held: Counter[AddedToken]) -> AddedToken | None:
        """The AddedToken to add, None for one that is empty or added already."""
        if not str(token):
            return None
        if isinstance(token, str):
            if token in self._numbers:
                return None
            token = AddedToken(token, special=special or token in self.all_special_tokens)
        elif special:
            given, token = token, token.with_special(True)
            self._replace_special(given, token)
        if held[token]:
            return None
        lower = self.do_lower_case and self.do_basic_tokenize and token.normalized and not token.special
        return AddedToken(**{**token.to_dict(), "content": token.content.lower()}) if lower else token

    def _free_number(self, size: int) -> int:
        """The id of a new token: the number of tokens, or where lines repeat the first id behind all others."""
        taken = size in self._tokens or size in self._added
        return max([*self._tokens, *self._added]) + 1 if taken else size

    @property
    def engine(self) -> SlowEngine:
        """What turns text into ids, made for the tokens and settings as they are."""
        if self._engine is None:
            self._engine = self._make_engine(self.split_special_tokens)
        return self._engine

    def _make_engine(self, split_special: bool) -> SlowEngine:
        """An engine for the tokens and settings as they are."""
        lower, accents = self.do_lower_case, self.strip_accents
        normalization = Normalization(
            fast=False,
            chinese=self.tokenize_chinese_chars,
            lower=lower,
            strip=bool(lower) if accents is None else accents,
            basic=self.do_basic_tokenize,
            never_split=frozenset([*(self.never_split or ()), *self.all_special_tokens]),
        )
        numbers = {token: number for token, number in self._numbers.items() if token in self.vocab}
        unknown = self._model_unk_token
        vocabulary = {**self.vocab, **numbers, unknown: self._token_id(unknown)}
        kept = [token.content for token in self._added.values() if not token.special and token.normalized]
        return SlowEngine(
            normalization,
            WordPiece(vocabulary, unknown),
            {token.content: (number, token) for number, token in self._added.items()},
            [*self.all_special_tokens, *kept],
            frozenset(self.never_split or ()) if self.do_basic_tokenize else frozenset(),
            split_special,
        )

    # Text to ids

    def tokenize(self, text: str, split_special_tokens: bool | None = None) -> list[str]:
        """Cut text into tokens; no special token is added.

        split_special_tokens  True: those in the text are cut like other words; None: as the tokenizer is set
        """
        text = check_text(text, "text")
        if split_special_tokens is None:
            return self.engine.tokens_of(text)
        return self._make_engine(check_flag(split_special_tokens, "split_special_tokens")).tokens_of(text)

    def _ids(self, text: Any) -> list[int]:
        """The ids of a checked text: a string, a list of words, of tokens (marked as such) or of ids."""
        if isinstance(text, str):
            return self.engine.ids(text)
        if isinstance(text, Given):
            return list(text.ids)
        if not text:
            raise ValueError("text is an empty list of words, which only ConvBertTokenizerFast takes")
        return list(chain.from_iterable(map(self.engine.ids, text)))

    def _one(self, text: Any, text_pair: Any, options: Options) -> tuple[list[Pair], bool]:
        """The one row of `encode_plus`, which also takes tokens and ids."""
        if text_pair is None or isinstance(text_pair, str) == isinstance(text, str):
            given = self._given(text, "text", options)
            if given is not None:
                second = None if text_pair is None else self._given(text_pair, "text_pair", options)
                if second is None and text_pair is not None:
                    raise TypeError(f"text_pair must be a list of tokens or of ids like text, not {text_pair!r:.80}")
                return [(given, second)], False
        return super()._one(text, text_pair, options)

    def _many(self, batch: Any, options: Options) -> list[Pair]:
        """The rows of `batch_encode_plus`, which may hold lists of ids."""
        if isinstance(batch, list | tuple) and batch and all(is_ids(row) for row in batch):
            return [(Given(as_ids(row, "batch_text_or_text_pairs")), None) for row in batch]
        return super()._many(batch, options)

    def _given(self, text: Any, argument: str, options: Options) -> "Given | None":
        """The ids of a list of tokens or of ids; None if the argument is none."""
        if is_ids(text):
            return Given(as_ids(text, argument))
        if isinstance(text, list | tuple) and not options.is_split_into_words and text:
            return Given([self._token_id(check_text(token, f"{argument}[{index}]")) for index, token in enumerate(text)])
        return None

    def _encode(self, rows: list[Pair], many: bool, options: Options) -> BatchEncoding:
        """The encoding of checked texts."""
        if options.return_offsets_mapping:
            raise ValueError("return_offsets_mapping=True needs ConvBertTokenizerFast: ConvBertTokenizer keeps no offsets")
        with collector_paused():
            ids = [(self._ids(first), None if second is None else self._ids(second)) for first, second in rows]
            return self._finish([self._row(first, second, options) for first, second in ids], many, options)

    # Ids to text

    def _token(self, number: int) -> str:
        """The token of an id, unk_token for an id without one."""
        if number in self._added:
            return self._added[number].content
        return self._tokens.get(number, self._unknown)

    def convert_tokens_to_string(self, tokens: Sequence[str]) -> str:
        """The text of tokens: pieces glued together, words separated by a space."""
        return join_pieces(check_texts(tokens, "tokens"))

    def _decode(self, ids: list[int], skip: bool, between: bool) -> str:
        """The text of ids; added tokens that are not special stand for themselves."""
        special = set(self.all_special_tokens)
        alone = set(self._numbers) - special
        alone.update(token for token in self.additional_special_tokens if self._token_id(token) >= self.vocab_size)
        parts: list[str] = []
        pieces: list[str] = []
        for token in self.convert_ids_to_tokens(ids, skip_special_tokens=skip):
            if token not in alone:
                pieces.append(token)
                continue
            parts += [text for text in [join_pieces(pieces)] if text]
            parts.append(token)
            pieces = []
        if pieces:
            parts.append(join_pieces(pieces))
        return (" " if between else "").join(parts)

    @classmethod
    def _single_file(cls, path: Path) -> dict[str, Any]:
        """The arguments of the constructor that a file stands for."""
        if path.suffix == ".json":
            raise ValueError(f"{path}: ConvBertTokenizer reads a vocab.txt, only ConvBertTokenizerFast a tokenizer.json")
        return {"vocab_file": path}

    def _vocabulary_text(self) -> str:
        """The lines of vocab.txt as they were read, repeated ones too, so that no id is lost."""
        return "".join(f"{line}\n" for line in self._lines)


class Given:
    """Ids that need no tokenizing."""

    def __init__(self, ids: list[int]):
        self.ids = ids
