"""ConvBertTokenizerFast: the tokenizer with the semantics of the reference's fast class."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

from convbert_np.tokenization import settings as files
from convbert_np.tokenization.added_tokens import AddedToken
from convbert_np.tokenization.added_vocabulary import AddedVocabulary
from convbert_np.tokenization.batch import BatchEncoding
from convbert_np.tokenization.cache import collector_paused
from convbert_np.tokenization.checks import check_flag, check_text, check_texts
from convbert_np.tokenization.encoding import EncodedText, Encoding
from convbert_np.tokenization.fast_engine import FastEngine
from convbert_np.tokenization.inputs import Pair
from convbert_np.tokenization.normalization import Normalization
from convbert_np.tokenization.notices import warn
from convbert_np.tokenization.options import Options
from convbert_np.tokenization.padding import round_up
from convbert_np.tokenization.persistence import Tokenizer
from convbert_np.tokenization.special_tokens import Token, check_special
from convbert_np.tokenization.tokenizer_json import TokenizerFile, read_tokenizer_json, tokenizer_json
from convbert_np.tokenization.truncation import truncate_fast
from convbert_np.tokenization.vocabulary import lines_of, numbered, read_lines
from convbert_np.tokenization.wordpiece import WordPiece, glue_pieces


class ConvBertTokenizerFast(Tokenizer):
    """The WordPiece tokenizer of BERT and ConvBERT, with the semantics of the fast class of transformers 4.37.2.

    vocab_file              the vocab.txt; it must hold the five special tokens under their usual names
    tokenizer_file          a tokenizer.json, which goes before vocab_file
    do_lower_case           lower-case the text, special tokens excepted
    unk_token, ..., mask_token
                            the special tokens, strings or AddedTokens; another name is added to the vocabulary
    tokenize_chinese_chars  make each Chinese character a word
    strip_accents           take accents off; None: if do_lower_case
    clean_text              drop control characters, turn white space into spaces; None: as tokenizer_file says, else True
    wordpieces_prefix       what stands before a piece that does not begin a word; None: as tokenizer_file says, else "##"
    more                    bos_token, eos_token, additional_special_tokens, model_max_length, padding_side, truncation_side,
                            clean_up_tokenization_spaces, model_input_names, added_tokens_decoder

    What it has and `ConvBertTokenizer` has not: offsets into the text, words, and every window over a text that is
    too long. Character tables are those that the reference was compiled with, under any version of Python.
    `clean_text` and `wordpieces_prefix` do what they say; the reference takes and ignores them.

    Raises FileNotFoundError, ValueError or TypeError naming the file or the argument.
    Source: ConvBertTokenizerFast of transformers 4.37.2, tokenizers 0.15.2.
    """

    is_fast = True
    vocab_files_names: ClassVar = {"vocab_file": files.VOCABULARY}

    def __init__(
        self,
        vocab_file: str | os.PathLike[str] | None = None,
        tokenizer_file: str | os.PathLike[str] | None = None,
        do_lower_case: bool = True,
        unk_token: Token = "[UNK]",
        sep_token: Token = "[SEP]",
        pad_token: Token = "[PAD]",
        cls_token: Token = "[CLS]",
        mask_token: Token = "[MASK]",
        tokenize_chinese_chars: bool = True,
        strip_accents: bool | None = None,
        clean_text: bool | None = None,
        wordpieces_prefix: str | None = None,
        **more: Any,
    ):
        arguments: dict[str, Any] = {
            "do_lower_case": check_flag(do_lower_case, "do_lower_case"),
            "unk_token": unk_token,
            "sep_token": sep_token,
            "pad_token": pad_token,
            "cls_token": cls_token,
            "mask_token": mask_token,
            "tokenize_chinese_chars": check_flag(tokenize_chinese_chars, "tokenize_chinese_chars"),
            "strip_accents": None if strip_accents is None else check_flag(strip_accents, "strip_accents"),
        }
        if clean_text is not None:
            arguments["clean_text"] = check_flag(clean_text, "clean_text")
        if wordpieces_prefix is not None:
            arguments["wordpieces_prefix"] = check_text(wordpieces_prefix, "wordpieces_prefix")
        slow_only = {name: more.pop(name) for name in ("do_basic_tokenize", "never_split") if name in more}
        warn_of_slow_arguments(slow_only)
        super().__init__(arguments, more)
        from_vocabulary = {} if tokenizer_file is not None else {"do_basic_tokenize": True, "never_split": None}
        self.init_kwargs.update({**from_vocabulary, **slow_only})
        self.vocab_file, self.tokenizer_file = vocab_file, tokenizer_file
        self._engine: FastEngine | None = None
        self._renormalizes = tokenizer_file is not None
        file = self._load(vocab_file, tokenizer_file, slow_only.get("do_basic_tokenize", True))
        self.vocab = file.vocabulary
        self._added = AddedVocabulary(self.vocab)
        self._tokens = {number: token for token, number in self.vocab.items()}
        self.do_lower_case = do_lower_case
        self.tokenize_chinese_chars = tokenize_chinese_chars
        self.strip_accents = strip_accents
        self.clean_text = file.clean_text if clean_text is None else clean_text
        self.wordpieces_prefix = file.continuing_subword_prefix if wordpieces_prefix is None else wordpieces_prefix
        self._file = file
        self._file_rules: Normalization | None = rules(
            file.clean_text, file.handle_chinese_chars, file.lowercase, file.strip_accents
        )
        self._add_all(file.added_tokens, self._given_added(more), tokenizer_file or vocab_file)
        self._file_rules = None
        self._file.cls = self._template_token(file.cls)
        self._file.sep = self._template_token(file.sep)
        self._renormalizes = True
        self._engine = self.engine  # now, so that the first call takes no longer than the others

    def _load(self, vocab_file: Any, tokenizer_file: Any, basic: Any) -> TokenizerFile:
        """The vocabulary and what comes with it, from tokenizer.json or from vocab.txt.

        With do_basic_tokenize=False the reference normalizes added tokens by other rules than the text, so `basic` matters.
        """
        if tokenizer_file is not None:
            file = read_tokenizer_json(tokenizer_file)
            self._take_over(file)
            self._lines = None
            return file
        if vocab_file is None:
            raise ValueError("vocab_file or tokenizer_file must be given")
        self._lines = read_lines(vocab_file)
        vocabulary = numbered(self._lines)
        names = [str(check_special(self._special.get(name), name)) for name in ("cls_token", "sep_token", "unk_token")]
        chinese, lower, strip = (self.init_kwargs[n] for n in ("tokenize_chinese_chars", "do_lower_case", "strip_accents"))
        return TokenizerFile(
            vocabulary,
            (names[0], -1),
            (names[1], -1),
            unk_token=names[2],
            handle_chinese_chars=bool(basic and chinese),
            lowercase=bool(basic and lower),
            strip_accents=strip if basic else False,
        )

    def _take_over(self, file: TokenizerFile) -> None:
        """The sides and the padding token that tokenizer.json sets where no argument did."""
        given = self.init_kwargs
        if file.truncation is not None:
            self.truncation_side = given.setdefault("truncation_side", file.truncation["direction"].lower())
        if file.padding is not None:
            self.padding_side = given.setdefault("padding_side", file.padding["direction"].lower())
            self.pad_token_type_id = given.setdefault("pad_token_type_id", file.padding["pad_type_id"])

    def _template_token(self, pair: tuple[str, int]) -> tuple[str, int]:
        """A token of the template with its id."""
        token, number = pair
        return token, self._added.numbers.get(token, self.vocab.get(token, number)) if number < 0 else number

    def _add_all(self, of_file: dict[int, AddedToken], given: dict[int, AddedToken], path: Any) -> None:
        """Add the tokens of tokenizer.json, then those of added_tokens_decoder, then the special tokens still missing."""
        for number, token in sorted(of_file.items()):
            if token.special:
                self._added.special.setdefault(token.content, token)
            self._added.put(number, token)
        self._added.normalization = self._normalization
        names = set(self.all_special_tokens)
        for _, token in sorted(given.items()):
            self._add([token], special=token.special or token.content in names)
        moved = [token.content for number, token in given.items() if token.content and self._own_id(token.content) != number]
        if moved:
            what = f"the added token {moved[0]!r} has the id {self._own_id(moved[0])}, not the one that its file gives"
            warn(f"{what}: this class keeps the ids of the vocabulary and counts on from its end")
        self._check_special_tokens(path)
        known = self._added.numbers
        self._add([token for token in self.all_special_tokens_extended if str(token) not in known], special=True)

    # The vocabulary

    @property
    def _normalization(self) -> Normalization:
        """The stages by the settings as they are; while the tokenizer is made, those of its file."""
        own = rules(self.clean_text, self.tokenize_chinese_chars, self.do_lower_case, self.strip_accents)
        return self._file_rules or own

    @property
    def added_tokens_decoder(self) -> dict[int, AddedToken]:
        """Id to AddedToken, by id: the tokens that text is cut at before anything else."""
        return dict(sorted(self._added.tokens.items()))

    def _own_id(self, token: str) -> int | None:
        """The id that a token has of its own."""
        return self._added.numbers.get(token, self.vocab.get(token))

    @property
    def _unknown(self) -> str:
        """The token of words that cannot be cut."""
        return self.unk_token or self._file.unk_token

    def _add(self, tokens: Sequence[Token], special: bool) -> int:
        """Add tokens; the number of those that were not added just so before."""
        added = []
        for token in tokens:
            if isinstance(token, str):
                added.append(AddedToken(token, special=special))
                continue
            added.append(token.with_special(special, renormalized=self._renormalizes))
            if special:
                self._replace_special(token, added[-1])
        return self._added.add(added, self._normalization) if added else 0

    @property
    def engine(self) -> FastEngine:
        """What turns text into ids, made for the tokens and settings as they are."""
        if self._engine is None:
            unknown = self._file.unk_token
            vocabulary = {**self.vocab, unknown: self._token_id(unknown)}
            model = WordPiece(vocabulary, unknown, self.wordpieces_prefix, self._file.max_input_chars_per_word)
            names = {**self._tokens, **{number: token.content for number, token in self._added.tokens.items()}}
            self._engine = FastEngine(self._normalization, model, *self._added.patterns(), names)
        return self._engine

    # Text to ids

    def tokenize(self, text: Any, pair: Any = None, add_special_tokens: bool = False, **more: Any) -> list[str]:
        """Cut text into tokens; special tokens are added only if asked for. Further arguments as in `__call__`."""
        return self.encode_plus(text, pair, add_special_tokens=add_special_tokens, **more).tokens()

    def _encode(self, rows: list[Pair], many: bool, options: Options) -> BatchEncoding:
        """The encoding of checked texts."""
        if not many:  # as in the reference, an empty second text of a single row counts as none
            rows = [(first, second or None) for first, second in rows]
        with collector_paused():
            return self._encode_rows(rows, many, options)

    def _encode_rows(self, rows: list[Pair], many: bool, options: Options) -> BatchEncoding:
        """The same."""
        engine = self.engine
        given = [text for row in rows for text in row if text is not None]
        if options.return_offsets_mapping:
            texts = iter(EncodedText.with_places(engine, given))
        else:
            texts = (EncodedText(engine, text) for text in given)
        encodings = [self._windows([next(texts) for text in row if text is not None], options) for row in rows]
        self._pad_encodings(encodings, options)
        kept = [[row, *row.overflowing] if options.return_overflowing_tokens else [row] for row in encodings]
        every = [row for group in kept for row in group]
        columns = self._columns(every, options)
        if options.return_overflowing_tokens:
            columns["overflow_to_sample_mapping"] = [index for index, group in enumerate(kept) for _ in group]
        if options.max_length is None:
            self._warn_if_long(max(map(len, columns["input_ids"])), options)
        if many or options.return_tensors is not None or options.return_overflowing_tokens:
            return BatchEncoding(columns, every, options.return_tensors)
        first = {name: column[0] if isinstance(column[0], list) else column for name, column in columns.items()}
        return BatchEncoding(first, every)

    def _columns(self, rows: list[Encoding], options: Options) -> dict[str, Any]:
        """The values that were asked for, a list over the rows each."""
        columns: dict[str, Any] = {"input_ids": [row.ids for row in rows]}
        if self._wants(options.return_token_type_ids, "token_type_ids"):
            columns["token_type_ids"] = [row.type_ids for row in rows]
        if self._wants(options.return_attention_mask, "attention_mask"):
            columns["attention_mask"] = [row.attention_mask for row in rows]
        if options.return_special_tokens_mask:
            columns["special_tokens_mask"] = [row.special_tokens_mask for row in rows]
        if options.return_offsets_mapping:
            columns["offset_mapping"] = [row.offsets for row in rows]
        if options.return_length:
            columns["length"] = [len(row) for row in rows]
        return columns

    def _windows(self, texts: list[EncodedText], options: Options) -> Encoding:
        """A text or a pair as a row, with the rows of its further windows."""
        special = None
        if options.add_special_tokens:
            (cls, cls_id), (sep, sep_id) = self._file.cls, self._file.sep
            special = ((cls_id, cls), (sep_id, sep))
        if options.truncation == "do_not_truncate" or options.max_length is None:
            return Encoding(texts, [(0, len(text.ids)) for text in texts], special)
        self._check_room(options, len(texts) == 2)
        room = options.max_length - (self.num_special_tokens_to_add(len(texts) == 2) if special else 0)
        if 2 <= options.max_length < options.stride + 2:
            raise ValueError(f"stride must be at most max_length - 2 = {options.max_length - 2}, not {options.stride}")
        lengths = [len(text.ids) for text in texts]
        windows = truncate_fast(lengths, room, options.truncation, options.stride, self.truncation_side)
        row, *overflowing = [Encoding(texts, spans, special) for spans in combinations(windows)]
        row.overflowing = overflowing
        return row

    def _pad_encodings(self, rows: list[Encoding], options: Options) -> None:
        """Fill the rows up to one length."""
        if options.padding == "do_not_pad":
            return
        longest = max(map(len, rows))
        length = options.max_length if options.padding == "max_length" else longest
        length = round_up(length or 0, options.pad_to_multiple_of)
        for row in rows:
            row.pad(length, self.padding_side, self.pad_token_id, self.pad_token_type_id, self.pad_token)  # type: ignore[arg-type]

    # Ids to text

    def _token(self, number: int) -> str | None:
        """The token of an id, None for an id without one."""
        if number < 0:
            raise ValueError(f"ids must be at least 0, not {number}")
        return self._added.tokens[number].content if number in self._added.tokens else self._tokens.get(number)

    def convert_tokens_to_string(self, tokens: Sequence[str]) -> str:
        """The text of tokens: pieces glued together, words separated by a space, no space before punctuation."""
        return glue_pieces(check_texts(tokens, "tokens"), self.wordpieces_prefix, self._file.cleanup)

    def _decode(self, ids: list[int], skip: bool, between: bool) -> str:
        """The text of ids; what has no token is left out."""
        special = self._added.special if skip else ()
        tokens = [token for token in map(self._token, ids) if token is not None and token not in special]
        return glue_pieces(tokens, self.wordpieces_prefix, self._file.cleanup)

    # Files

    @classmethod
    def _single_file(cls, path: Path) -> dict[str, Any]:
        """The arguments of the constructor that a file stands for."""
        if path.suffix != ".json":
            return {"vocab_file": path}
        file = read_tokenizer_json(path)
        chinese, lower, strip = file.handle_chinese_chars, file.lowercase, file.strip_accents
        return {"tokenizer_file": path, "tokenize_chinese_chars": chinese, "do_lower_case": lower, "strip_accents": strip}

    @classmethod
    def _files(cls, directory: Path, found: dict[str, Any], from_slow: bool) -> dict[str, Any]:
        """tokenizer.json if there is one, else vocab.txt."""
        path = directory / files.TOKENIZER
        null = "tokenizer_file" in found and found["tokenizer_file"] is None
        if path.exists() and not from_slow and not null:
            return {"tokenizer_file": path}
        return {"vocab_file": directory / files.VOCABULARY, "tokenizer_file": None}

    def _vocabulary_text(self) -> str:
        """The lines of vocab.txt, from which every id can be read again."""
        return "".join(f"{line}\n" for line in self._lines or lines_of(self.vocab))

    def _contents(self, legacy_format: bool | None) -> dict[str, str]:
        """The text of every file to write."""
        contents = super()._contents(legacy_format)
        if legacy_format is not True:
            contents[files.TOKENIZER] = tokenizer_json(self._tokenizer_file())
        return contents

    def _tokenizer_file(self) -> TokenizerFile:
        """What tokenizer.json is to say."""
        return TokenizerFile(
            vocabulary=self.vocab,
            cls=self._file.cls,
            sep=self._file.sep,
            unk_token=self._file.unk_token,
            continuing_subword_prefix=self.wordpieces_prefix,
            max_input_chars_per_word=self._file.max_input_chars_per_word,
            clean_text=self.clean_text,
            handle_chinese_chars=self.tokenize_chinese_chars,
            strip_accents=self.strip_accents,
            lowercase=self.do_lower_case,
            added_tokens=self.added_tokens_decoder,
            cleanup=self._file.cleanup,
            truncation=self._file.truncation,
            padding=self._file.padding,
        )


def rules(clean: bool, chinese: bool, lower: bool, accents: bool | None) -> Normalization:
    """The stages that the settings ask for."""
    return Normalization(True, clean, chinese, lower, lower if accents is None else accents)


def warn_of_slow_arguments(arguments: dict[str, Any]) -> None:
    """Warn of settings of the slow class that have no effect on this one."""
    for name, value in arguments.items():
        if value not in (True, None, []):
            warn(f"{name}={value!r} has no effect on ConvBertTokenizerFast, only on ConvBertTokenizer")


def combinations(windows: list[list[tuple[int, int]]]) -> list[tuple[tuple[int, int], ...]]:
    """The rows that the windows of one or two texts make: the first windows, then the rest in the reference's order."""
    if len(windows) == 1:
        return [(window,) for window in windows[0]]
    (first, *firsts), (second, *seconds) = windows
    rest = [(one, two) for one in firsts for two in (second, *seconds)]
    return [(first, second), *rest, *((first, two) for two in seconds)]
