"""Tokenizers in folders: from_pretrained, save_pretrained, save_vocabulary."""

import os
from pathlib import Path
from typing import Any, Self

from convbert_np.files import write_text
from convbert_np.tokenization import settings as files
from convbert_np.tokenization.base import COMMON
from convbert_np.tokenization.calls import Caller
from convbert_np.tokenization.checks import check_flag, check_path, check_text
from convbert_np.tokenization.notices import warn
from convbert_np.tokenization.special_tokens import NAMES

ALIKE = ("ConvBertTokenizer", "BertTokenizer")  # classes, without "Fast", that make the same ids of the same files
OF_EITHER_CLASS = (
    "do_lower_case",
    "do_basic_tokenize",
    "never_split",
    "tokenize_chinese_chars",
    "strip_accents",
    "clean_text",
    "wordpieces_prefix",
    "vocab_file",
    "tokenizer_file",
)


class Tokenizer(Caller):
    """All that `ConvBertTokenizer` and `ConvBertTokenizerFast` share.

    Source: PreTrainedTokenizerBase.from_pretrained and save_pretrained of transformers 4.37.2; see `settings`.
    """

    @classmethod
    def from_pretrained(cls, name_or_path: str | os.PathLike[str], **given: Any) -> Self:
        """The tokenizer in a folder, or of a repository of the Hugging Face Hub such as "user/name" (needs the extra `hub`).

        A single file may be a vocab.txt, or for the fast class a tokenizer.json, whose settings are kept.
        `given` are arguments of the constructor and go before those of the files; for a repository also revision, cache_dir,
        token, local_files_only and subfolder. Read are vocab.txt, tokenizer_config.json, special_tokens_map.json and
        added_tokens.json; the fast class takes everything but the settings from tokenizer.json if there is one (unless
        from_slow=True is given). Raises FileNotFoundError, ValueError or TypeError naming the file or the argument.
        """
        from convbert_np.checkpoints.hub import resolve, take_options  # only to download: models' files know the tokenizers

        directory = resolve(name_or_path, "tokenizer", take_options(given))
        from_slow = check_flag(given.pop("from_slow", False), "from_slow")
        if directory.is_file():
            return cls(**{"name_or_path": str(directory), **cls._single_file(directory), **given})
        unknown = [name for name in given if name not in (*COMMON, *OF_EITHER_CLASS)]
        if unknown:
            known = ", ".join((*OF_EITHER_CLASS, *COMMON, "from_slow"))
            raise TypeError(f"from_pretrained has no argument {unknown[0]!r}; it has {known}")
        found = files.read_settings(directory, given)
        found.setdefault("name_or_path", str(directory))
        found.update({name: path for name, path in cls._files(directory, found, from_slow).items() if name not in given})
        kept = {name: found.pop(name) for name in list(found) if name not in (*COMMON, *OF_EITHER_CLASS)}
        declared = str(files.read_object(directory / files.CONFIG).get("tokenizer_class") or cls.__name__)
        if declared.removesuffix("Fast") not in ALIKE:
            warn(f"the tokenizer in {directory} says that it is a {declared}; it is read as a {cls.__name__}")
        try:
            tokenizer = cls(**found)
        except (TypeError, ValueError) as error:
            kind = TypeError if isinstance(error, TypeError) else ValueError
            raise kind(f"the tokenizer in {directory}: {error}") from None
        tokenizer.init_kwargs.update(kept)
        return tokenizer

    @classmethod
    def _single_file(cls, path: Path) -> dict[str, Any]:
        """The arguments of the constructor that a file stands for."""
        raise NotImplementedError

    @classmethod
    def _files(cls, directory: Path, found: dict[str, Any], from_slow: bool) -> dict[str, Any]:
        """The files of a folder that the constructor reads; a null in the settings means not to read that file."""
        return {"vocab_file": directory / files.VOCABULARY}

    def save_pretrained(
        self,
        save_directory: str | os.PathLike[str],
        legacy_format: bool | None = None,
        filename_prefix: str | None = None,
    ) -> tuple[str, ...]:
        """Write the tokenizer for `from_pretrained`, here and in transformers; the paths of the files written.

        legacy_format    fast class: True: no tokenizer.json; False: tokenizer.json but neither vocab.txt nor added_tokens.json
        filename_prefix  put before every file name, with a hyphen
        """
        directory, prefix = check_path(save_directory, "save_directory"), self._prefix(filename_prefix)
        if legacy_format is not None:
            check_flag(legacy_format, "legacy_format")
        if legacy_format is False and not self.is_fast:
            raise ValueError("legacy_format=False needs ConvBertTokenizerFast: it asks for tokenizer.json")
        if directory.exists() and not directory.is_dir():
            raise NotADirectoryError(f"save_directory must be a folder, {directory} is a file")
        contents = self._contents(legacy_format)
        directory.mkdir(parents=True, exist_ok=True)
        for name, text in contents.items():
            write_text(directory / (prefix + name), text)
        return tuple(str(directory / (prefix + name)) for name in contents)

    @staticmethod
    def _prefix(filename_prefix: str | None) -> str:
        """What stands before the file names."""
        if filename_prefix is None or filename_prefix == "":
            return ""
        if {"/", "\\", "\0"} & set(check_text(filename_prefix, "filename_prefix")):
            raise ValueError(f"filename_prefix must be the beginning of a file name without a slash, not {filename_prefix!r:.60}")
        return f"{filename_prefix}-"

    def _contents(self, legacy_format: bool | None) -> dict[str, str]:
        """The text of every file to write."""
        current = {name: getattr(self, name) for name in self.init_kwargs if name not in NAMES and hasattr(self, name)}
        current |= {"model_max_length": self.model_max_length}
        current |= {"clean_up_tokenization_spaces": self.clean_up_tokenization_spaces}
        current.pop("added_tokens_decoder", None)
        tokens = {name: None for name in NAMES if name in self.init_kwargs} | self.special_tokens_map
        contents = {
            files.CONFIG: files.config_text(
                {**self.init_kwargs, **current}, tokens, self.added_tokens_decoder, "ConvBertTokenizer"
            ),
            files.SPECIAL: files.special_map_text(self.special_tokens_map_extended),
        }
        if legacy_format is not False:
            contents[files.VOCABULARY] = self._vocabulary_text()
            behind = {token: number for token, number in self.added_tokens_encoder.items() if number >= self.vocab_size}
            if behind:
                contents[files.ADDED] = files.json_text(behind)
        return contents

    def _vocabulary_text(self) -> str:
        """The text of vocab.txt."""
        raise NotImplementedError

    def save_vocabulary(self, save_directory: str | os.PathLike[str], filename_prefix: str | None = None) -> tuple[str]:
        """Write vocab.txt, from which every id can be read again, into a folder; its path."""
        directory = check_path(save_directory, "save_directory")
        if not directory.is_dir():
            raise NotADirectoryError(f"save_directory must be a folder that exists, {directory} is none")
        path = directory / (self._prefix(filename_prefix) + files.VOCABULARY)
        write_text(path, self._vocabulary_text())
        return (str(path),)
