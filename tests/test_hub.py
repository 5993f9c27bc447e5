"""Repository ids: which files are downloaded, what is taken from the cache, and what goes wrong.

The downloads are those of huggingface_hub, in a process of its own, from a server in this one; without huggingface_hub
they are skipped. Nothing here needs a network.
"""

import importlib.util
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from convbert_np import ConvBertTokenizer, write_vocabulary
from convbert_np.checkpoints.hub import TOKENIZER, WEIGHTS, HubOptions, is_repository_id, needed, resolve, take_options

sys.path.append(str(Path(__file__).parent / "tools"))

from hub_server import TOKEN, HubServer
from small import make

ROOT = Path(__file__).resolve().parents[1]
CLIENT = """
import json, sys, time
time.sleep = lambda seconds: None  # huggingface_hub waits before it tries again
import convbert_np
from convbert_np.checkpoints.hub import HubOptions, resolve
for request in sys.stdin:
    name, wanted, options = json.loads(request)
    try:
        if wanted.startswith("ConvBert"):
            answer = {"made": repr(getattr(convbert_np, wanted).from_pretrained(name, **options))}
        else:
            answer = {"path": str(resolve(name, wanted, HubOptions(**options)))}
    except Exception as error:
        kinds = [kind.__name__ for kind in type(error).__mro__]
        answer = {"kinds": kinds, "text": str(error), "cause": type(error.__cause__).__name__}
    print(json.dumps(answer), flush=True)
"""
OTHERS = ("README.md", "training_args.bin", "optimizer.pt", "flax_model.msgpack", "onnx/model.onnx", "runs/config.json")


# ---- what needs no library


@pytest.fixture
def no_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    monkeypatch.setitem(sys.modules, "huggingface_hub.errors", None)


@pytest.mark.usefixtures("no_library")
def test_what_exists_on_the_disk_is_returned_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "user/name/sub").mkdir(parents=True)
    (tmp_path / "file.json").write_text("{}")
    monkeypatch.chdir(tmp_path)
    assert resolve("user/name", "model") == Path("user/name")
    assert resolve(tmp_path, "tokenizer") == tmp_path
    assert resolve("file.json", "config") == Path("file.json")
    assert resolve("user/name", "model", HubOptions(subfolder="sub")) == Path("user/name/sub")


@pytest.mark.usefixtures("no_library")
def test_without_the_library_the_error_names_the_directory_and_the_extra():
    with pytest.raises(
        FileNotFoundError, match=r'user/name: there is no such directory.*pip install "convbert-np\[hub\]"'
    ) as caught:
        resolve("user/name", "model")
    assert isinstance(caught.value.__cause__, ImportError)


@pytest.mark.usefixtures("no_library")
@pytest.mark.parametrize(
    "name",
    [
        "./name",
        "/no/such",
        "a/b/c",
        "user/",
        "../name",
        "a..b",
        "a--b",
        "-a",
        "a.",
        "a.git",
        "a b",
        "é",
        "a\\b",
        Path("user/name"),
    ],
)
def test_what_can_be_no_repository_is_a_missing_directory(name: Any):
    with pytest.raises(FileNotFoundError, match="there is no such file or directory"):
        resolve(name, "model")


@pytest.mark.parametrize("name", ["name", "user/name", "a", "A-1_b.c/d.e", "x" * 96, "u" * 96 + "/" + "x" * 96])
def test_ids(name: str):
    assert is_repository_id(name)


@pytest.mark.parametrize("name", ["", "/", "a/b/c", "a/", "/a", "x" * 97, "a/-b", ".a", "a.git", "a\n", "\u0661", "a/b\0"])
def test_what_is_no_id(name: str):
    assert not is_repository_id(name)


def test_ids_are_those_that_the_library_takes():
    validators = pytest.importorskip("huggingface_hub.utils")
    parts = ["a", "1", "_", "-", ".", "..", "--", "a.git", "a-", ".a", "", "a" * 96, "_a-b.c_", "a b"]
    for name in [*parts, *(f"{user}/{name}" for user in parts for name in parts)]:
        try:
            validators.validate_repo_id(name)
            allowed = True
        except validators.HFValidationError:
            allowed = False
        assert is_repository_id(name) == allowed, name


@pytest.mark.parametrize("index", range(len(WEIGHTS)))
def test_the_first_format_that_there_is_is_taken(index: int):
    names = [*OTHERS, "config.json", *reversed(WEIGHTS[index:])]
    assert needed("model", names) == ["config.json", WEIGHTS[index]]
    assert needed("weights", names) == [WEIGHTS[index]]
    assert needed("config", names) == ["config.json"]


def test_a_tokenizer_is_what_there_is_of_its_files_the_vocabulary_last():
    assert needed("tokenizer", ["vocab.txt", *OTHERS]) == ["vocab.txt"]
    five = ["added_tokens.json", "special_tokens_map.json", "tokenizer.json", "tokenizer_config.json", "vocab.txt"]
    names = needed("tokenizer", [*OTHERS, *five, "config.json"])
    assert sorted(names) == five and names[-2:] == ["tokenizer.json", "vocab.txt"]


@pytest.mark.parametrize(
    ("wanted", "names", "missing"),
    [
        ("config", WEIGHTS, "no config.json"),
        ("model", WEIGHTS, "no config.json"),
        ("model", ["config.json", *OTHERS], "none of model.safetensors"),
        ("weights", ["config.json"], "none of model.safetensors"),
        ("tokenizer", ["tokenizer_config.json", "special_tokens_map.json"], "neither vocab.txt nor tokenizer.json"),
    ],
)
def test_what_is_missing_is_said(wanted: Any, names: list[str], missing: str):
    with pytest.raises(LookupError, match=missing):
        needed(wanted, names)


@pytest.mark.parametrize(
    ("option", "value", "error"),
    [
        ("revision", 1, TypeError),
        ("revision", "", ValueError),
        ("revision", "../../x", ValueError),
        ("token", 1, TypeError),
        ("cache_dir", 1, TypeError),
        ("cache_dir", "", ValueError),
        ("local_files_only", None, TypeError),
        ("subfolder", None, TypeError),
        ("subfolder", "../x", ValueError),
        ("subfolder", "/x", ValueError),
        ("subfolder", "a//b", ValueError),
        ("subfolder", "a\\b", ValueError),
    ],
)
def test_bad_options_are_named(option: str, value: Any, error: type[Exception], tmp_path: Path):
    with pytest.raises(error, match=option):
        resolve(tmp_path, "model", HubOptions(**{option: value}))
    with pytest.raises(error, match=option):
        take_options({option: value})


def test_a_kind_of_files_that_there_is_not_is_refused(tmp_path: Path):
    with pytest.raises(ValueError, match="wanted: must be one of config, model, weights, tokenizer"):
        resolve(tmp_path, "everything")  # type: ignore[arg-type]


def test_options_are_taken_out_of_keyword_arguments():
    given = {"num_labels": 3, "revision": "refs/pr/1", "cache_dir": Path("~/x"), "local_files_only": True}
    assert take_options(given) == HubOptions("refs/pr/1", os.path.expanduser("~/x"), None, True, "")
    assert given == {"num_labels": 3}


# ---- downloads


class Client:
    """A process with huggingface_hub and a cache of its own, which asks for repositories."""

    def __init__(self, hub: HubServer, home: Path, **environment: str):
        self.hub = hub
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "HUGGING"))}
        settings = {"HF_ENDPOINT": hub.url, "HF_HOME": str(home), "HF_HUB_DISABLE_XET": "1", "HF_HUB_DISABLE_PROGRESS_BARS": "1"}
        settings |= {"HF_HUB_DISABLE_TELEMETRY": "1", "NO_PROXY": "*", "PYTHONPATH": str(ROOT), "HF_HUB_VERBOSITY": "critical"}
        pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        self.process = subprocess.Popen([sys.executable, "-c", CLIENT], env={**kept, **settings, **environment}, **pipes)

    def ask(self, name: str, wanted: str, **options: Any) -> dict[str, Any]:
        """The answer to one call of `resolve`; the log of the server holds the requests of this call alone."""
        assert self.process.stdin is not None and self.process.stdout is not None
        self.hub.forget()
        print(json.dumps([name, wanted, options]), file=self.process.stdin, flush=True)
        return json.loads(self.process.stdout.readline())

    def get(self, name: str, wanted: str, **options: Any) -> dict[str, bytes]:
        """The contents of the directory that is returned, by path."""
        answer = self.ask(name, wanted, **options)
        directory = Path(answer.get("path") or pytest.fail(str(answer)))
        return {str(path.relative_to(directory)): path.read_bytes() for path in directory.rglob("*") if path.is_file()}

    def fail(self, kind: type[Exception], name: str, wanted: str, **options: Any) -> str:
        """The text of the error that must come."""
        answer = self.ask(name, wanted, **options)
        assert kind.__name__ in answer.get("kinds", ()), answer
        return answer["text"]

    def close(self) -> None:
        self.process.communicate()


needs_library = pytest.mark.skipif(importlib.util.find_spec("huggingface_hub") is None, reason="needs the extra `hub`")


@pytest.fixture(scope="module")
def server() -> Iterator[HubServer]:
    with HubServer() as hub:
        yield hub


@pytest.fixture
def hub(server: HubServer) -> HubServer:
    """The server, empty and in order."""
    server.repositories.clear()
    server.cut.clear()
    server.status, server.on_fetch = None, None
    return server


@pytest.fixture(scope="module")
def process(server: HubServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    client = Client(server, tmp_path_factory.mktemp("home"))
    yield client
    client.close()


@pytest.fixture
def client(process: Client, hub: HubServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Client:
    """The process, with a new cache."""
    ask = process.ask
    monkeypatch.setattr(
        process, "ask", lambda *names, **options: ask(*names, **{"cache_dir": str(tmp_path / "cache"), **options})
    )
    return process


def files(*names: str, mark: str = "") -> dict[str, bytes]:
    """Files with contents of their own."""
    return {name: f"{name} {mark} ".encode() * 50 for name in names}


def index(*shards: str) -> bytes:
    return json.dumps({"metadata": {}, "weight_map": {f"tensor.{i}": shard for i, shard in enumerate(shards)}}).encode()


MODEL = files("config.json", "model.safetensors", "vocab.txt", "tokenizer_config.json", *OTHERS)


@needs_library
@pytest.mark.parametrize("number", range(len(WEIGHTS)))
def test_only_the_configuration_and_one_set_of_weights_are_downloaded(number: int, client: Client, hub: HubServer):
    content = files("config.json", *WEIGHTS[number:], *TOKENIZER, *OTHERS)
    chosen, expected = WEIGHTS[number], ["config.json", WEIGHTS[number]]
    if chosen.endswith(".index.json"):
        shards = [chosen.replace(".", f"-0000{i}-of-00002.", 1).removesuffix(".index.json") for i in (1, 2)]
        content |= files(*shards) | {chosen: index(shards[1], shards[0], shards[1])}
        expected += shards[::-1]
    hub.add("user/name", content)
    assert client.get("user/name", "model") == {name: content[name] for name in expected}
    assert hub.fetched() == expected


@needs_library
@pytest.mark.parametrize("names", [TOKENIZER, ("vocab.txt", "tokenizer_config.json"), ("tokenizer.json",)])
def test_of_a_tokenizer_all_its_files_are_downloaded(names: tuple[str, ...], client: Client, hub: HubServer):
    content = files(*names, "config.json", "model.safetensors", *OTHERS)
    hub.add("name", content)
    assert client.get("name", "tokenizer") == {name: content[name] for name in names}
    assert sorted(hub.fetched()) == sorted(names)


@needs_library
@pytest.mark.parametrize(
    "kind", ["ConvBertTokenizer", "ConvBertTokenizerFast", "ConvBertConfig", "ConvBertModel", "ConvBertForMaskedLM"]
)
def test_every_class_takes_an_id(kind: str, client: Client, hub: HubServer, tmp_path: Path):
    """What it makes of an id is what it makes of the directory with the same files."""
    make("masked_lm", np.float32).save_pretrained(tmp_path / "there")
    tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a"]
    write_vocabulary(tokens, tmp_path / "vocab.txt")
    ConvBertTokenizer(str(tmp_path / "vocab.txt")).save_pretrained(tmp_path / "there")
    hub.add("user/name", {path.name: path.read_bytes() for path in (tmp_path / "there").iterdir()})
    found, local = client.ask("user/name", kind), client.ask(str(tmp_path / "there"), kind)
    assert "made" in found, found
    assert re.sub("name_or_path=[^,)]*", "", found["made"]) == re.sub("name_or_path=[^,)]*", "", local["made"])
    assert "made" in client.ask("user/name", kind, local_files_only=True)


@needs_library
def test_of_a_configuration_only_its_file_is_downloaded(client: Client, hub: HubServer):
    hub.add("user/name", MODEL)
    assert client.get("user/name", "config") == {"config.json": MODEL["config.json"]}
    assert hub.fetched() == ["config.json"]


@needs_library
def test_the_weights_alone(client: Client, hub: HubServer):
    hub.add("user/name", files("model.safetensors"))
    assert list(client.get("user/name", "weights")) == ["model.safetensors"]


@needs_library
def test_the_second_time_nothing_is_downloaded(client: Client, hub: HubServer):
    hub.add("user/name", MODEL)
    first = client.get("user/name", "model")
    assert client.get("user/name", "model") == first
    assert hub.fetched() == []
    assert [method for method, path in hub.requests if path.startswith("/cdn/")] == []


@needs_library
def test_another_commit_is_downloaded_as_far_as_it_differs(client: Client, hub: HubServer):
    hub.add("user/name", MODEL)
    client.get("user/name", "model")
    newer = MODEL | files("model.safetensors", mark="new")
    hub.add("user/name", newer)
    assert client.get("user/name", "model")["model.safetensors"] == newer["model.safetensors"]
    assert hub.fetched() == ["model.safetensors"]


@needs_library
def test_after_the_first_time_no_network_is_needed(client: Client, hub: HubServer):
    hub.add("user/name", MODEL)
    model, both = client.get("user/name", "model"), client.get("user/name", "tokenizer")
    assert client.get("user/name", "model", local_files_only=True) == both
    assert client.get("user/name", "tokenizer", local_files_only=True) == both == model | both
    assert hub.requests == []


@needs_library
@pytest.mark.parametrize("wanted", ["config", "model", "weights", "tokenizer"])
def test_an_empty_cache_without_a_download_is_an_error(wanted: str, client: Client, hub: HubServer):
    hub.add("user/name", MODEL)
    text = client.fail(FileNotFoundError, "user/name", wanted, local_files_only=True)
    assert (
        text.startswith("user/name: there is no such directory") and "at revision 'main'; local_files_only=True forbids" in text
    )
    assert hub.requests == []


@needs_library
def test_a_shard_that_the_cache_lacks_is_named(client: Client, hub: HubServer, tmp_path: Path):
    hub.add(
        "user/name",
        files("config.json", "a.safetensors", "b.safetensors") | {WEIGHTS[1]: index("a.safetensors", "b.safetensors")},
    )
    client.get("user/name", "model")
    next((tmp_path / "cache").rglob("b.safetensors")).unlink()
    assert "no b.safetensors" in client.fail(FileNotFoundError, "user/name", "model", local_files_only=True)


@needs_library
def test_the_offline_mode_of_the_environment(hub: HubServer, tmp_path: Path):
    """The cache and the offline mode are those of the environment, as for every program that uses the library."""
    hub.add("user/name", MODEL)
    online = Client(hub, tmp_path)
    first = online.get("user/name", "model")
    online.close()
    offline = Client(hub, tmp_path, HF_HUB_OFFLINE="1")
    assert offline.get("user/name", "model") == first
    assert "HF_HUB_OFFLINE forbids" in offline.fail(FileNotFoundError, "user/other", "model")
    assert hub.requests == []
    offline.close()
    assert (tmp_path / "hub/models--user--name/refs/main").is_file()


@needs_library
@pytest.mark.parametrize(
    ("status", "page"),
    [
        (429, b""),
        (500, b""),
        (503, b""),
        (200, b""),
        (200, b"<html>Log in!</html>"),
        (200, b"[1]"),
        (200, b"{}"),
        (200, b'{"id": "x"}'),
    ],
)
def test_a_hub_that_is_out_of_order_is_replaced_by_the_cache(status: int, page: bytes, client: Client, hub: HubServer):
    hub.add("user/name", MODEL)
    first = client.get("user/name", "model")
    hub.status, hub.page = status, page
    assert client.get("user/name", "model") == first
    assert "the hub gives no answer" in client.fail(OSError, "user/other", "model")


@needs_library
def test_a_hub_that_is_not_there_is_replaced_by_the_cache(tmp_path: Path):
    with HubServer() as hub:
        hub.add("user/name", MODEL)
        client = Client(hub, tmp_path)
        first = client.get("user/name", "tokenizer")
        hub.stop()
        assert client.get("user/name", "tokenizer") == first
        answer = client.ask("user/other", "tokenizer")
        client.close()
    assert answer["kinds"][0] == "OSError" and answer["cause"].endswith(("ConnectError", "ConnectionError")), answer
    assert "the hub gives no answer; check the connection" in answer["text"]


@needs_library
def test_revisions(client: Client, hub: HubServer):
    old = hub.add("user/name", files("config.json", mark="old"), ref="v1")
    hub.add("user/name", files("config.json", mark="proposed"), ref="refs/pr/1")
    hub.add("user/name", files("config.json", mark="new"))
    for revision, mark in (("v1", "old"), (old, "old"), ("refs/pr/1", "proposed"), ("main", "new"), (None, "new")):
        expected = files("config.json", mark=mark)
        assert client.get("user/name", "config", revision=revision) == expected
        assert client.get("user/name", "config", revision=revision, local_files_only=True) == expected
    for revision in ("v2", "0" * 40):
        text = client.fail(FileNotFoundError, "user/name", "config", revision=revision)
        assert f"has no branch, tag or commit '{revision}'" in text


@needs_library
def test_a_commit_that_appears_during_the_download_is_not_mixed_in(client: Client, hub: HubServer):
    shards = {WEIGHTS[1]: index("a.safetensors", "b.safetensors")}
    old = shards | files("config.json", "a.safetensors", "b.safetensors", mark="old")
    new = shards | files("config.json", "a.safetensors", "b.safetensors", mark="new")
    hub.add("user/name", old)

    def push(name: str) -> None:
        hub.on_fetch = None
        hub.add("user/name", new)

    hub.on_fetch = push
    assert client.get("user/name", "model") == old
    assert client.get("user/name", "model") == new


@needs_library
def test_a_subfolder(client: Client, hub: HubServer):
    inner = files("config.json", "a.safetensors", "vocab.txt", mark="inner") | {WEIGHTS[1]: index("a.safetensors")}
    hub.add("user/name", MODEL | {f"x/y/{name}": value for name, value in inner.items()})
    expected = {name: value for name, value in inner.items() if name != "vocab.txt"}
    assert client.get("user/name", "model", subfolder="x/y") == expected
    assert hub.fetched() == ["x/y/config.json", f"x/y/{WEIGHTS[1]}", "x/y/a.safetensors"]
    assert client.get("user/name", "model", subfolder="x/y", local_files_only=True) == expected
    text = client.fail(FileNotFoundError, "user/name", "model", subfolder="x")
    assert "user/name, subfolder x: the repository has no config.json; it has y/a.safetensors, y/config.json" in text


@needs_library
@pytest.mark.parametrize("cut", [0, 100])
def test_a_download_that_breaks_off_leaves_nothing_half(cut: int, client: Client, hub: HubServer, tmp_path: Path):
    hub.add("user/name", MODEL)
    hub.cut["model.safetensors"] = cut
    assert "the download failed; try again" in client.fail(OSError, "user/name", "model")
    assert not list((tmp_path / "cache").rglob("model.safetensors"))
    client.fail(FileNotFoundError, "user/name", "model", local_files_only=True)
    hub.cut.clear()
    assert client.get("user/name", "model") == {name: MODEL[name] for name in ("config.json", "model.safetensors")}
    assert hub.fetched() == ["model.safetensors"]


@needs_library
def test_an_update_that_breaks_off_leaves_the_old_commit_for_use_offline(client: Client, hub: HubServer):
    hub.add("user/name", MODEL)
    first = client.get("user/name", "model")
    hub.add("user/name", files("config.json", "model.safetensors", mark="new"))
    hub.cut["model.safetensors"] = 100
    client.fail(OSError, "user/name", "model")
    assert client.get("user/name", "model", local_files_only=True) == first


@needs_library
@pytest.mark.parametrize("token", [None, False, TOKEN])
def test_a_repository_that_does_not_exist(token: Any, client: Client):
    text = client.fail(FileNotFoundError, "user/other", "model", token=token)
    assert text.startswith("user/other: there is no such directory here and no such repository on the hub")


@needs_library
def test_a_private_repository_needs_a_token(client: Client, hub: HubServer):
    hub.add("user/name", MODEL, private=True)
    assert "private" in client.fail(FileNotFoundError, "user/name", "model")
    assert client.get("user/name", "config", token=TOKEN) == {"config.json": MODEL["config.json"]}
    assert client.get("user/name", "config", local_files_only=True) == {"config.json": MODEL["config.json"]}


@needs_library
def test_a_gated_repository_needs_a_token(client: Client, hub: HubServer):
    hub.add("user/name", MODEL, gated=True)
    assert "is gated; ask for access" in client.fail(PermissionError, "user/name", "model")
    assert client.get("user/name", "model", token=TOKEN)["model.safetensors"] == MODEL["model.safetensors"]


@needs_library
@pytest.mark.parametrize("token", ["hf_bad", True])
def test_a_token_that_is_wrong_or_missing(token: Any, client: Client, hub: HubServer):
    hub.add("user/name", MODEL)
    assert "the token is missing or refused" in client.fail(PermissionError, "user/name", "model", token=token)


@needs_library
@pytest.mark.parametrize(
    ("names", "wanted", "missing"),
    [
        ((), "config", "no config.json; it has nothing"),
        (("config.json", *OTHERS), "model", "none of model.safetensors"),
        (("model.safetensors",), "model", "no config.json; it has model.safetensors"),
        (("config.json", "tokenizer_config.json"), "tokenizer", "neither vocab.txt nor tokenizer.json; it has config.json"),
    ],
)
def test_a_repository_without_what_is_wanted(names: tuple[str, ...], wanted: str, missing: str, client: Client, hub: HubServer):
    hub.add("user/name", files(*names))
    assert f"user/name: the repository has {missing}" in client.fail(FileNotFoundError, "user/name", wanted)
    assert hub.fetched() == []


HOSTILE = ["../x", "/etc/passwd", "a/b", "a\\b", "..", ".", "", "C:x", "a\nb", "a\0b", "../../blobs/x", 3, None, ["x"], "\ud800"]


@needs_library
@pytest.mark.parametrize("shard", HOSTILE)
def test_a_list_of_shards_leads_nowhere_else(shard: Any, client: Client, hub: HubServer):
    hub.add("user/name", files("config.json", "good.safetensors") | {WEIGHTS[1]: index("good.safetensors", shard)})
    answer = client.ask("user/name", "model")
    assert answer.get("kinds", [""])[0] == "CheckpointError", answer
    assert hub.fetched() == ["config.json", WEIGHTS[1]]


@needs_library
def test_a_shard_that_the_repository_lacks(client: Client, hub: HubServer):
    hub.add("user/name", files("config.json") | {WEIGHTS[1]: index("a.safetensors")})
    assert "the repository has no a.safetensors" in client.fail(FileNotFoundError, "user/name", "model")
