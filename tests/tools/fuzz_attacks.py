"""Pickles that attack: what the known collections of them call, in every way that a pickle can name and call something.

The globals are those that published attacks and the block lists of scanners have (picklescan, modelscan, fickling). All of it
would make a file named canary, if anything.
"""

import random
import struct

from fuzz_parts import Case, Liar
from fuzz_torch import Program, legacy, text
from fuzz_zip import Part, archive

CANARY = "canary"
TOUCH = f"touch {CANARY}"
CODE = f"open({CANARY!r}, 'w')"
CALLS: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    ("os", "system", (TOUCH,)), ("posix", "system", (TOUCH,)), ("nt", "system", (TOUCH,)), ("os", "popen", (TOUCH,)),
    ("os", "mkdir", (CANARY,)), ("os", "execvp", ("touch", CANARY)), ("os", "spawnlp", ("touch", CANARY)), ("posix", "mkdir",
    (CANARY,)),
    ("subprocess", "Popen", (TOUCH,)), ("subprocess", "run", (TOUCH,)), ("subprocess", "call", (TOUCH,)),
    ("subprocess", "check_output", (TOUCH,)), ("subprocess", "getoutput", (TOUCH,)), ("commands", "getoutput", (TOUCH,)),
    ("builtins", "exec", (CODE,)), ("builtins", "eval", (CODE,)), ("builtins", "open", (CANARY, "w")), ("builtins", "compile",
    (CODE,)),
    ("builtins", "getattr", ("os", "system")), ("builtins", "__import__", ("os",)), ("builtins", "globals", ()), ("builtins",
    "vars", ()),
    ("builtins", "setattr", ("x", "y", "z")), ("builtins", "apply", ()), ("builtins", "breakpoint", ()), ("builtins", "map", ()),
    ("builtins", "eval.__call__", (CODE,)), ("builtins", "object.__subclasses__", ()), ("__builtin__", "eval", (CODE,)),
    ("__builtin__", "file", (CANARY, "w")), ("__main__", "os.system", (TOUCH,)), ("sys", "modules", ()), ("sys", "setprofile",
    ()),
    ("io", "open", (CANARY, "w")), ("_io", "FileIO", (CANARY, "w")), ("_io", "open", (CANARY, "w")), ("codecs", "open",
    (CANARY, "w")),
    ("pathlib", "Path.touch", (CANARY,)), ("shutil", "rmtree", (CANARY,)), ("shutil", "copyfile", ("/etc/passwd", CANARY)),
    ("importlib", "import_module", ("os",)), ("importlib.util", "module_from_spec", ()), ("runpy", "run_path", (CANARY,)),
    ("runpy", "_run_code", (CODE,)), ("code", "InteractiveInterpreter.runcode", (CODE,)), ("timeit", "timeit", (CODE,)),
    ("timeit", "main", ()), ("cProfile", "run", (CODE,)), ("cProfile", "runctx", (CODE,)), ("profile", "run", (CODE,)),
    ("pdb", "run", (CODE,)), ("pdb", "Pdb.run", (CODE,)), ("bdb", "Bdb.run", (CODE,)), ("trace", "Trace.run", (CODE,)),
    ("doctest", "debug_script", (CODE,)), ("pty", "spawn", (TOUCH,)), ("platform", "popen", (TOUCH,)), ("webbrowser", "open",
    ("x",)),
    ("pickle", "loads", ("x",)), ("pickle", "Unpickler", ()), ("_pickle", "loads", ("x",)), ("dill", "loads", ("x",)),
    ("joblib", "load", ("x",)), ("cloudpickle", "loads", ("x",)), ("marshal", "loads", ("x",)), ("types", "CodeType", ()),
    ("types", "FunctionType", ()), ("functools", "partial", ("os",)), ("functools", "reduce", ()), ("operator", "attrgetter",
    ("system",)),
    ("operator", "methodcaller", ("system",)), ("operator", "itemgetter", ("x",)), ("itertools", "starmap", ()),
    ("copyreg", "_reconstructor", ()), ("copyreg", "add_extension", ("os", "system")), ("copyreg", "__newobj__", ()),
    ("_codecs", "encode", ("x",)), ("codecs", "decode", ("x",)), ("ctypes", "CDLL", ("x",)), ("socket", "socket", ()),
    ("socket", "create_connection", ()), ("http.client", "HTTPSConnection", ("x",)), ("urllib.request", "urlopen", ("x",)),
    ("requests.api", "get", ("x",)), ("aiohttp", "ClientSession", ()), ("smtplib", "SMTP", ("x",)), ("ftplib", "FTP", ("x",)),
    ("ssl", "SSLSocket.connect", ()), ("asyncio.unix_events", "_UnixSubprocessTransport._start", (TOUCH,)),
    ("asyncio", "create_subprocess_shell", (TOUCH,)), ("multiprocessing.util", "spawnv_passfds", ("x",)), ("signal", "alarm", ()),
    ("logging.config", "_resolve", ("os.system",)), ("logging.config", "listen", ()), ("pip", "main", ("x",)),
    ("pip._internal", "main", ("x",)), ("ensurepip", "_run_pip", ("x",)), ("venv", "main", ("x",)), ("pydoc", "pipepager",
    (TOUCH,)),
    ("pydoc", "locate", ("os.system",)), ("idlelib.pyshell", "ModifiedInterpreter.runcode", (CODE,)), ("idlelib.run",
    "Executive", ()),
    ("idlelib.debugobj", "ObjectTreeItem.SetText", ()), ("idlelib.autocomplete", "AutoComplete.get_entity", (CODE,)),
    ("idlelib.calltip", "get_entity", (CODE,)), ("lib2to3.pgen2.grammar", "Grammar.loads", ("x",)), ("lib2to3.pgen2.pgen", "x",
    ()),
    ("uuid", "_get_command_stdout", (TOUCH,)), ("_pyrepl.pager", "pipe_pager", (TOUCH,)), ("test.support.script_helper",
    "assert_python_ok", ("x",)),
    ("distutils.file_util", "write_file", (CANARY,)), ("tempfile", "NamedTemporaryFile", ()), ("sqlite3", "connect", (CANARY,)),
    ("zipimport", "zipimporter", ("x",)), ("zipfile", "ZipFile.extractall", ()), ("tarfile", "open", ("x",)), ("gc",
    "get_objects", ()),
    ("inspect", "currentframe", ()), ("linecache", "getlines", ("/etc/passwd",)), ("atexit", "register", ()), ("threading",
    "Timer", ()),
    ("xml.sax", "parse", ("x",)), ("yaml", "unsafe_load", ("x",)), ("httplib", "HTTPSConnection", ()), ("string",
    "Formatter.vformat", ()),
    ("numpy", "load", ("x",)), ("numpy", "fromfile", ("x",)), ("numpy", "memmap", (CANARY,)), ("numpy.core.multiarray",
    "_reconstruct", ()),
    ("numpy.core.multiarray", "scalar", ()), ("numpy._core.multiarray", "_reconstruct", ()), ("numpy", "dtype", ("O",)),
    ("numpy.testing._private.utils", "runstring", (CODE,)), ("numpy.f2py.crackfortran", "getlincoef", (CODE,)),
    ("numpy.f2py.crackfortran", "_eval_length", (CODE,)), ("numpy.f2py.crackfortran", "myeval", (CODE,)),
    ("numpy.f2py.diagnose", "run_command", (TOUCH,)),
    ("numpy.distutils.exec_command", "exec_command", (TOUCH,)), ("scipy.sparse", "load_npz", ("x",)), ("pandas", "read_pickle",
    ("x",)),
    ("pandas.core.computation.eval", "eval", (CODE,)), ("torch", "load", ("x",)), ("torch", "hub.load", ("x",)), ("torch.hub",
    "load", ("x",)),
    ("torch.serialization", "load", ("x",)), ("torch.storage", "_load_from_bytes", ("x",)), ("torch.storage", "UntypedStorage",
    ()),
    ("torch._utils", "_rebuild_tensor_v2.__globals__", ()), ("torch._utils", "_rebuild_tensor_v3", ()), ("torch._utils",
    "_import_dotted_name", ("os.system",)),
    ("torch._utils", "_rebuild_sparse_tensor", ()), ("torch._utils", "_rebuild_qtensor", ()), ("torch._utils",
    "_rebuild_device_tensor_from_numpy", ()),
    ("torch._tensor", "_rebuild_from_type_v2", ()), ("torch.utils.collect_env", "run", (TOUCH,)),
    ("torch.utils.data.datapipes.utils.decoder", "basichandlers", ("pickle", "x")),
    ("torch.utils._config_module", "ConfigModule.load_config", ("x",)), ("torch._inductor.codecache", "compile_file", (CODE,)),
    ("torch._dynamo.guards", "GuardBuilder.get", (CODE,)), ("torch.fx.experimental.symbolic_shapes",
    "ShapeEnv.evaluate_guards_expression", (CODE,)),
    ("torch.jit.unsupported_tensor_ops", "execWrapper", (CODE,)), ("torch.jit", "load", ("x",)), ("torch.package",
    "PackageImporter", ("x",)),
    ("torch.distributed.rpc", "remote", ()), ("torch.utils.bottleneck.__main__", "run_cprofile", (CODE,)), ("torch.ops",
    "load_library", ("x",)),
    ("torch.nn.modules.module", "Module", ()), ("torch", "FloatStorage.from_file", (CANARY,)), ("torch", "Tensor.__setstate__",
    ()),
    ("torch", "nn.Module", ()), ("torch", "_C._jit_clear", ()), ("collections", "OrderedDict.fromkeys", ()), ("collections",
    "namedtuple", ("x", "y")),
    ("collections", "_sys.modules", ()), ("collections", "defaultdict", ()), ("collections.abc", "sys.modules", ()),
    ("argparse", "Namespace", ()),
    ("transformers.training_args", "TrainingArguments", ()), ("pytorch_lightning.callbacks.model_checkpoint",
    "ModelCheckpoint", ()),
    ("keras.models", "load_model", ("x",)), ("tensorflow.io", "write_file", (CANARY, "x")), ("bpy.app", "handlers", ()),
    ("convbert_np.checkpoints.unpickle", "Machine", ()), ("convbert_np.files", "atomic_write", (CANARY,)),
)  # fmt: skip


def call(rng: random.Random) -> bytes:
    """Instructions that call something harmful, in one of the ways there are."""
    module, name, arguments = rng.choice(CALLS)
    pair = f"{module}\n{name}\n".encode()
    values = b"(" + b"".join(map(text, arguments)) + b"t"
    lines = b"".join(f"S'{value}'\n".encode() for value in arguments if "'" not in value)
    one, two = text(module, rng), text(name, rng)
    return rng.choice(
        (
            b"c" + pair + values + b"R", b"c" + pair + values + b"R0", b"c" + pair, b"(" + lines + b"i" + pair,
            b"(" + lines + b"tc" + pair + b"2R",
            b"(c" + pair + lines + b"o", b"c" + pair + values + b"\x81", b"c" + pair + values + b"}\x92",
            b"c" + pair + values + b"}b",
            one + two + b"\x93" + values + b"R", one + b"\x94" + two + b"\x94\x93" + values + b"R",
            one + b"q\xfe0" + two + b"q\xff0h\xfeh\xff\x93" + values + b"R",
            two + b"q\xfe" + one + b"q\xff0" + b"0h\xffh\xfe\x93" + values + b"R", b"\x82\1" + values + b"R",
            b"\x83\1\0" + values + b"R", b"\x84\1\0\0\0" + values + b"R",
            b"ccollections\nOrderedDict\n)R}" + text("__reduce__") + b"c" + pair + b"sb", b"]c" + pair + b"a",
            b"}" + text("x") + b"c" + pair + values + b"Rs",
            b"c" + pair + b"Q", b"P" + pair, values + b"Qc" + pair,
            b"ctorch._utils\n_rebuild_parameter\n(c" + pair + values + b"R\x88NtR",
            b"V" + module.encode() + b"\nV" + name.encode() + b"\n\x93" + values + b"R",
            b"U" + bytes([len(module)]) + module.encode() + two + b"\x93" + values + b"R",
            b"c" + pair + b"q\0\x95" + bytes(8) + values + b"R", b"\x96" + struct.pack("<Q",
            len(values)) + values + b"c" + pair, b"(" + one + two + b"\x93" + values + b"Rt",
            b"\x80\4c" + pair + values + b"R", b"I01\n1c" + pair + values + b"R", b"\x8d" + struct.pack("<Q",
            len(module)) + module.encode() + two + b"\x93" + values + b"R",
            b"N\x93c" + pair + values + b"R", one + two + b"\x86\x85\x93" + values + b"R",
            one + text("x") + b"0" + two + b"\x93" + values + b"R",
        )
    )  # fmt: skip


def attacks(rng: random.Random) -> Case:
    """A pickle with an attack in it, in one of the forms and places; it must be refused, and nothing may happen."""
    honest = Liar(rng, 0.0)
    program = Program(honest)
    instructions = program.build()
    place = rng.choice((1, len(instructions) - 1, rng.randrange(1, len(instructions))))
    harm = call(rng)
    if rng.random() < 0.15:
        instructions = [b"\x80\2", harm, b"."]
    else:
        instructions[place:place] = [harm]
    pickled = b"".join(instructions)
    if rng.random() < 0.1:
        pickled = pickled[2:] if rng.random() < 0.5 else pickled[:-1]
    storages = [Part(b"a/data/" + key.encode(), value) for key, value in program.storages.items()]
    kind = rng.randrange(6)
    if kind == 0:
        content = legacy(honest, pickled, program.storages, program.counts)
    elif kind == 1:
        content = pickled + legacy(honest, b"".join(program.build()), program.storages, program.counts)
    elif kind == 2:
        whole = legacy(honest, b"\x80\2}.", {}, {})
        content = whole[:2] + harm + whole[2:]
    else:
        content = archive(honest, [Part(b"a/data.pkl", pickled, rng.random() < 0.05), *storages])
    return Case({"x.bin": content}, "x.bin", "torch", refused=True)
