"""Repository ids: what a model, a configuration or a tokenizer needs, downloaded from the Hugging Face Hub.

A repository of the hub is a directory of files under version control. Its id is "user/name", or "name" for some of the
oldest. A revision of it is a branch (the default one is "main"), a tag, or a commit, which is 40 hexadecimal digits.

What concerns the network is left to the library huggingface_hub (the extra `hub`): tokens, retries, progress bars, and
the cache, which other programs share. It keeps there

    models--user--name/refs/main               the commit that was the branch's last when it was last asked for
    models--user--name/snapshots/COMMIT/FILE   the files of a commit, as links
    models--user--name/blobs/ETAG              to what is in them

so that the files of one commit lie together, and a file that two commits share is kept once. This module decides which
files are needed and which of them there are: by the hub's list of the repository's files; by what is in the cache, if
nothing may be downloaded or the hub cannot be reached. No other file is downloaded.

Source: the behaviour of huggingface_hub 0.36 and 2.4, and of from_pretrained in transformers 4.37.2.
"""

import importlib
import os
import re
from collections.abc import Collection
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args

from convbert_np.checkpoints.sharded import is_plain_name, shard_names
from convbert_np.config import check_flag
from convbert_np.tokenization.checks import check_path

Wanted = Literal["config", "model", "weights", "tokenizer"]
CONFIG = "config.json"
INDEX = ".index.json"  # a list of shards ends so
WEIGHTS = (  # of which one is taken, the first that there is
    "model.safetensors",
    "model.safetensors" + INDEX,
    "pytorch_model.bin",
    "pytorch_model.bin" + INDEX,
    "tf_model.h5",
    "tf_model.h5" + INDEX,
)
VOCABULARIES = ("tokenizer.json", "vocab.txt")
# The vocabularies are last: without one nothing loads, so a download that breaks off leaves no tokenizer with wrong settings.
TOKENIZER = ("added_tokens.json", "special_tokens_map.json", "tokenizer_config.json", *VOCABULARIES)
REPOSITORY_ID = re.compile(r"(\b[\w.-]{1,96}\b/)?\b[\w.-]{1,96}\b", re.ASCII)
LOGIN = "hf auth login"
TRY_LATER = (408, 429)  # of the statuses 4xx, those that say nothing about what was asked for


class HubOptions(NamedTuple):
    """How a repository id is looked up. For a directory only `subfolder` means something.

    revision          a branch, a tag or a commit; None: the default branch
    cache_dir         the directory of the cache; None: that of huggingface_hub
    token             for what is private or gated; True: the one stored by `hf auth login`; None: likewise if there is one;
                      False: none
    local_files_only  take everything from the cache; so does the environment variable HF_HUB_OFFLINE=1
    subfolder         the directory in the repository that holds the files, with "/" between its parts
    """

    revision: str | None = None
    cache_dir: str | os.PathLike[str] | None = None
    token: str | bool | None = None
    local_files_only: bool = False
    subfolder: str = ""


def take_options(given: dict[str, Any]) -> HubOptions:
    """The options of the hub among keyword arguments, from which they are removed, checked."""
    return check_options(HubOptions(**{name: given.pop(name) for name in HubOptions._fields if name in given}))


def resolve(name_or_directory: str | os.PathLike[str], wanted: Wanted, options: HubOptions | None = None) -> Path:
    """The directory that holds the files of a model, its configuration or a tokenizer.

    What exists on the disk, a directory or a file, is returned as it is (with the subfolder, if one is given). Any other
    string that can be a repository's id is one, and the directory is that of its files in the cache. `wanted`:

    "config"     config.json
    "weights"    the first that there is of model.safetensors, its shards, pytorch_model.bin, its shards, tf_model.h5
    "model"      both
    "tokenizer"  tokenizer.json and vocab.txt, or the one of them that there is, tokenizer_config.json,
                 special_tokens_map.json and added_tokens.json as far as they exist

    Raises FileNotFoundError if neither a directory nor a repository has the name, if the repository lacks the revision
    or the files, or if the library or the permission to download is missing; PermissionError for a gated repository;
    OSError if the download fails; CheckpointError for a list of shards that is none.
    """
    path = check_path(name_or_directory, "name_or_path")
    if wanted not in get_args(Wanted):
        raise ValueError(f"wanted: must be one of {', '.join(get_args(Wanted))}, not {wanted!r:.80}")
    options = check_options(options or HubOptions())
    if os.path.exists(path):
        return path / options.subfolder
    if not isinstance(name_or_directory, str) or not is_repository_id(name_or_directory):
        raise FileNotFoundError(f"{path}: there is no such file or directory, and a repository's id is a string 'user/name'")
    return Repository(name_or_directory, options).gather(wanted)


def is_repository_id(name: str) -> bool:
    """Whether a string can be the id of a repository of the hub.

    That is "name" or "user/name" in ASCII letters, digits, "-", "_" and ".", each at most 96 characters, that neither
    begin nor end with "-" or ".", without "--" and ".." and without ".git" at the end.
    """
    return bool(REPOSITORY_ID.fullmatch(name)) and "--" not in name and ".." not in name and not name.endswith(".git")


def check_options(options: HubOptions) -> HubOptions:
    """The options, the cache's directory as a string. Raises TypeError or ValueError naming the option."""
    if not (options.revision is None or isinstance(options.revision, str)):
        raise TypeError(f"revision: must be a string or None, got {type(options.revision).__name__}")
    if options.revision is not None and not all(is_plain_name(part) for part in options.revision.split("/")):
        raise ValueError(f"revision: must be the name of a branch, a tag or a commit, not {options.revision!r:.80}")
    if not (options.token is None or isinstance(options.token, str | bool)):
        raise TypeError(f"token: must be a string, True, False or None, got {type(options.token).__name__}")
    check_flag("local_files_only", options.local_files_only)
    if not isinstance(options.subfolder, str):
        raise TypeError(f"subfolder: must be a string, got {type(options.subfolder).__name__}")
    if options.subfolder and not all(is_plain_name(part) for part in options.subfolder.split("/")):
        raise ValueError(f"subfolder: must be a path inside the repository such as 'a/b', not {options.subfolder!r:.80}")
    if options.cache_dir is None:
        return options
    return options._replace(cache_dir=str(check_path(options.cache_dir, "cache_dir").expanduser()))


def needed(wanted: Wanted, names: Collection[str]) -> list[str]:
    """Which of the files to take. Raises LookupError, which says what is missing, if what is wanted cannot be had."""
    if wanted == "tokenizer":
        if not any(name in names for name in VOCABULARIES):
            raise LookupError("neither vocab.txt nor tokenizer.json")
        return [name for name in TOKENIZER if name in names]
    config = [CONFIG] if wanted in ("config", "model") else []
    if config and CONFIG not in names:
        raise LookupError("no config.json")
    weights = [name for name in WEIGHTS if name in names][:1] if wanted != "config" else []
    if wanted != "config" and not weights:
        raise LookupError(f"none of {', '.join(WEIGHTS)}")
    return config + weights


class Repository:
    """A repository of the hub, and how it is looked up."""

    def __init__(self, name: str, options: HubOptions):
        self.name, self.options = name, options
        self.hub = library(name)
        self.prefix = options.subfolder and options.subfolder + "/"
        self.within = f"{name}, subfolder {options.subfolder}" if options.subfolder else name

    def gather(self, wanted: Wanted) -> Path:
        """The directory of the files that are wanted, after the missing ones were downloaded."""
        origin = self.origin()
        try:
            names = needed(wanted, origin.names())
        except LookupError as error:
            raise origin.lacks(str(error)) from origin.error
        path = [origin.fetch(name) for name in names][-1]
        if path.name.endswith(INDEX):
            for shard in shard_names(path):
                origin.fetch(shard)
        origin.remember(names[0])
        return path.parent

    def origin(self) -> "Online | Cached":
        """The hub; the cache, if the hub may not be asked or gives no answer."""
        if self.options.local_files_only:
            return Cached(self)
        try:
            return Online(self)
        except failures(self.hub) as error:
            if is_answer(self.hub, error):
                raise self.explanation(error) from error
            return Cached(self, error)

    def explanation(self, error: Exception) -> OSError:
        """For an error of huggingface_hub one that says what happened and what to do."""
        errors, revision = self.hub.errors, self.options.revision or "main"
        if isinstance(error, errors.GatedRepoError):
            return PermissionError(f"{self.name}: is gated; ask for access on its page, then give token= or log in: {LOGIN}")
        if isinstance(error, errors.RevisionNotFoundError):
            return FileNotFoundError(f"{self.name}: the repository has no branch, tag or commit {revision!r}; check revision=")
        if isinstance(error, errors.RepositoryNotFoundError | errors.HFValidationError):
            return FileNotFoundError(
                f"{self.name}: there is no such directory here and no such repository on the hub; check the name, and for"
                f" a private repository give token= or log in: {LOGIN}"
            )
        if isinstance(error, errors.LocalTokenNotFoundError) or status(error) in (401, 403):
            return PermissionError(
                f"{self.name}: the token is missing or refused; give token= or log in: {LOGIN} ({line(error)})"
            )
        return OSError(f"{self.name}: the download failed; try again, the files that are complete are kept ({line(error)})")


class Online:
    """The files of the last commit of a revision on the hub, downloaded as far as the cache lacks them."""

    error = None

    def __init__(self, repository: Repository):
        self.repository = repository
        info = self._info()
        self.commit = info.sha
        paths = [file.rfilename for file in info.siblings or ()]
        prefix = repository.prefix
        self.listed = [path.removeprefix(prefix) for path in paths if path.startswith(prefix)]

    def names(self) -> Collection[str]:
        """The names of the files that there are."""
        return self.listed

    def fetch(self, name: str) -> Path:
        """Where the file lies, of the commit that was listed, after it was downloaded."""
        if name not in self.listed:
            raise self.lacks(f"no {name}")
        return self._download(name, self.commit)

    def remember(self, name: str) -> None:
        """Let the cache know which commit the revision is. This is last, so that it never leads to a half-filled directory."""
        self._download(name, self.repository.options.revision)

    def lacks(self, what: str) -> OSError:
        """The error of a file that there is not."""
        found = ", ".join(sorted(self.listed)[:20]) or "nothing"
        return FileNotFoundError(f"{self.repository.within}: the repository has {what}; it has {found:.1000}")

    def _info(self) -> Any:
        """What the hub says of the repository at this revision."""
        hub, name, options = self.repository.hub, self.repository.name, self.repository.options
        try:
            info = hub.model_info(name, revision=options.revision, token=options.token)
        except failures(hub):
            raise
        except (ValueError, KeyError, TypeError) as error:  # the login page of a network, say
            raise OSError(f"the answer is not that of a hub: {line(error)}") from error
        if not info.sha:
            raise OSError("the answer is not that of a hub: it names no commit")
        return info

    def _download(self, name: str, revision: str | None) -> Path:
        hub, options = self.repository.hub, self.repository.options
        at = {"revision": revision, "cache_dir": options.cache_dir, "token": options.token, "library_name": "convbert-np"}
        try:
            return Path(hub.hf_hub_download(self.repository.name, self.repository.prefix + name, **at))
        except failures(hub) as error:
            raise self.repository.explanation(error) from error


class Cached:
    """The files of a revision that are in the cache; `error` is why the hub was not asked, if that was not wished."""

    def __init__(self, repository: Repository, error: Exception | None = None):
        self.repository, self.error = repository, error

    def names(self) -> Collection[str]:
        """Those of the files that matter here that there are."""
        return [name for name in (CONFIG, *WEIGHTS, *TOKENIZER) if self._find(name)]

    def fetch(self, name: str) -> Path:
        """Where the file lies."""
        path = self._find(name)
        if path is None:
            raise self.lacks(f"no {name}") from self.error
        return path

    def remember(self, name: str) -> None:
        """Nothing: the cache knows."""

    def lacks(self, what: str) -> OSError:
        """The error of a file that there is not."""
        revision = self.repository.options.revision or "main"
        text = f"{self.repository.within}: there is no such directory, and the cache has {what} at revision {revision!r}"
        if self.error is None:
            return FileNotFoundError(f"{text}; local_files_only=True forbids a download")
        if isinstance(self.error, self.repository.hub.errors.OfflineModeIsEnabled):
            return FileNotFoundError(f"{text}; the environment variable HF_HUB_OFFLINE forbids a download")
        return OSError(f"{text}; the hub gives no answer; check the connection ({line(self.error)})")

    def _find(self, name: str) -> Path | None:
        options = self.repository.options
        at = {"revision": options.revision, "cache_dir": options.cache_dir}
        path = self.repository.hub.try_to_load_from_cache(self.repository.name, self.repository.prefix + name, **at)
        return Path(path) if isinstance(path, str) else None


def library(name: str) -> Any:
    """huggingface_hub. Raises FileNotFoundError if it is not installed."""
    try:
        importlib.import_module("huggingface_hub.errors")
        return importlib.import_module("huggingface_hub")
    except ImportError as error:
        raise FileNotFoundError(
            f"{name}: there is no such directory; to download the repository of this name from the Hugging Face Hub,"
            ' install the extra `hub`: pip install "convbert-np[hub]"'
        ) from error


def failures(hub: Any) -> tuple[type[Exception], ...]:
    """The errors by which huggingface_hub says that it did not get something."""
    client = hub.errors.HfHubHTTPError.__bases__  # the HTTP client has been requests, httpx and httpx2, each with its own
    return (OSError, hub.errors.HFValidationError, RuntimeError, *client)  # RuntimeError: of hf_xet


def is_answer(hub: Any, error: Exception) -> bool:
    """Whether an error says something about what was asked for, so that it would be wrong to look into the cache."""
    if isinstance(error, hub.errors.LocalTokenNotFoundError | hub.errors.HFValidationError):
        return True
    return 400 <= status(error) < 500 and status(error) not in TRY_LATER


def status(error: Exception) -> int:
    """The HTTP status of an error; 0 if it has none."""
    return getattr(getattr(error, "response", None), "status_code", 0)


def line(error: Exception) -> str:
    """The text of an error in one line."""
    return f"{type(error).__name__}: {' '.join(str(error).split()):.300}"
