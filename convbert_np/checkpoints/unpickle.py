"""A reader of pickles that can only make data: a closed list of opcodes and of globals, and nothing is ever executed.

A pickle is a program for a small machine with a stack. Each instruction is an opcode of one byte and an argument. Most push
a value: NONE, BININT (a number), BINUNICODE (a text), EMPTY_DICT. MARK notes the height of the stack; TUPLE, APPENDS and
SETITEMS take all that lies above the last mark. BINPUT copies the top of the stack to a numbered place, the memo; BINGET pushes
it again, so that an object may occur twice. STOP ends, and the top of the stack is the result. The dangerous instructions are
few: GLOBAL imports a function or class by name, REDUCE calls it with a tuple of arguments, BUILD hands an object its state.
BINPERSID asks the one who reads for an object that is not in the pickle; PyTorch keeps its tensors' numbers so.

Here a global is nothing but a key of a table that the caller gives, and what is called is the caller's own function. The
program is read twice. The first time (`check_pickle`) nothing is built: an opcode that is not in OPCODES and a global that is
not in the table are refused by name. STACK_GLOBAL, which finds its names on the stack, must come right after them. Only then
`unpickle` runs the program. Protocols 2 to 5 are read, so far as data like state dicts need them.

Nothing runs deeper or longer than the pickle is long: there is no recursion, every value is made by an instruction of its
own, and there are at most MOST_INSTRUCTIONS. Lists and dicts may contain themselves. The keys of a dict are texts or
integers of 64 bits, so that none has an expensive hash.

Source: the standard library's pickletools, which describes every opcode.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from convbert_np.checkpoints.errors import CheckpointError, shown
from convbert_np.checkpoints.opcodes import GETTING, MEMOIZING, MOST_INSTRUCTIONS, PUSHED, Name, Path, instructions

Build = Callable[[tuple], Any]


@dataclass(frozen=True, slots=True)
class Global:
    """A global of the table as a value on the stack: what REDUCE does with it, None if it cannot be called."""

    name: str
    build: Build | None


Instruction = tuple[int, str, Any]


def check_pickle(
    path: Path,
    data: memoryview,
    begin: int,
    allowed: Mapping[Name, Build | None],
    most: int = MOST_INSTRUCTIONS,
    kept: list[Instruction] | None = None,
) -> int:
    """Read the pickle that begins at a byte of `data`, build nothing, and return the place behind it.

    allowed  the table of globals: (module, name) to the function that REDUCE calls with the arguments, or None
    most     how many instructions there may be
    kept     a list that gets the instructions, for `unpickle`

    Raises CheckpointError for an opcode or a global that is not allowed, for a text that is no UTF-8, and for lengths
    that `data` does not hold.
    """
    before, last = None, None  # what the last two instructions pushed, if texts
    memo: dict[int, Any] = {}
    place = begin
    for instruction in instructions(path, data, begin, most):
        place, name, argument = instruction
        if kept is not None:
            kept.append(instruction)
        if (name == "PROTO") != (place == begin) or (name == "PROTO" and not 2 <= argument <= 5):
            raise CheckpointError(path, f"the pickle at byte {begin} does not begin with one of the protocols 2 to 5")
        if name in MEMOIZING:
            memo[len(memo) if argument is None else argument] = last
        elif name == "STACK_GLOBAL":
            if before is None or last is None:
                raise CheckpointError(path, f"STACK_GLOBAL at byte {place} does not come right after its two names")
            check_global(path, (before, last), allowed)
            before, last = None, None
        elif name != "FRAME":
            if name == "GLOBAL":
                check_global(path, argument, allowed)
            pushed = memo.get(argument) if name in GETTING else argument
            before, last = last, pushed if isinstance(pushed, str) else None
    return place + 1


def check_global(path: Path, name: Name, allowed: Mapping[Name, Build | None]) -> None:
    """Raise CheckpointError for a global that is not in the table."""
    if name not in allowed:
        reason = f"the global {shown('.'.join(name))} is not allowed: parameters need none such, and nothing is executed here"
        raise CheckpointError(path, reason)


def unpickle(
    path: Path,
    data: memoryview,
    begin: int,
    allowed: Mapping[Name, Build | None],
    persistent: Build | None = None,
    kept: list[Instruction] | None = None,
) -> Any:
    """Run the pickle that begins at a byte of `data`, which `check_pickle` has accepted, and return what it makes.

    persistent  makes the object that BINPERSID asks for from its tuple; None: there are none
    kept        the instructions, if `check_pickle` has kept them

    Of an OrderedDict comes a dict; what BUILD would give it as attributes is dropped. Raises CheckpointError if
    the stack or the memo lacks what an instruction needs, or holds something else; `persistent` and the functions of the
    table may raise it too.
    """
    machine = Machine(path, allowed, persistent)
    for place, name, argument in instructions(path, data, begin) if kept is None else kept:
        machine.place = place
        machine.name = name
        if name in PUSHED:
            machine.stack.append(argument)
        elif name in STEPS:
            STEPS[name](machine, argument)
    return machine.result()


class Machine:
    """The stack, the marks (heights of the stack) and the memo; one method for each kind of instruction."""

    def __init__(self, path: Path, allowed: Mapping[Name, Build | None], persistent: Build | None):
        self.path = path
        self.allowed = allowed
        self.persistent = persistent
        self.stack: list[Any] = []
        self.marks: list[int] = []
        self.memo: dict[int, Any] = {}
        self.place = 0
        self.name = ""

    def refuse(self, reason: str) -> CheckpointError:
        """The error of the present instruction."""
        return CheckpointError(self.path, f"{self.name} at byte {self.place} {reason}")

    def need(self, count: int) -> None:
        """Raise CheckpointError unless there are so many values above the last mark."""
        if len(self.stack) - (self.marks[-1] if self.marks else 0) < count:
            raise self.refuse(f"needs {count} values on the stack")

    def pop(self) -> Any:
        """Take the top value."""
        self.need(1)
        return self.stack.pop()

    def top(self, kind: type) -> Any:
        """The top value, which stays, and must be of exactly this type."""
        self.need(1)
        if type(self.stack[-1]) is not kind:
            raise self.refuse(f"changes a value of type {type(self.stack[-1]).__name__}, not a {kind.__name__}")
        return self.stack[-1]

    def since_mark(self) -> list[Any]:
        """Take the last mark and all values above it."""
        if not self.marks:
            raise self.refuse("needs a MARK")
        height = self.marks.pop()
        values = self.stack[height:]
        del self.stack[height:]
        return values

    def several(self, count: int) -> list[Any]:
        """Take so many values."""
        self.need(count)
        values = self.stack[-count:]
        del self.stack[-count:]
        return values

    def put(self, index: int | None) -> None:
        """Copy the top value to the memo; None: to the next place."""
        self.need(1)
        self.memo[len(self.memo) if index is None else index] = self.stack[-1]

    def get(self, index: int) -> None:
        """Push a value of the memo."""
        if index not in self.memo:
            raise self.refuse(f"needs the place {index} of the memo, which is empty")
        self.stack.append(self.memo[index])

    def extend(self, values: list[Any]) -> None:
        """Append to the list on top."""
        self.top(list).extend(values)

    def update(self, values: list[Any]) -> None:
        """Add keys and values, in turn, to the dict on top; a key may not be there yet."""
        target = self.top(dict)
        if len(values) % 2:
            raise self.refuse("has a key without a value")
        for key, value in zip(values[::2], values[1::2], strict=True):
            if not isinstance(key, str) and not (type(key) is int and -(2**63) <= key < 2**63):
                raise self.refuse(f"has a key of type {type(key).__name__}, not a text or an integer of 64 bits")
            if key in target:
                raise self.refuse(f"adds the key {shown(key)}, which is there already")
            target[key] = value

    def push_global(self, name: Any) -> None:
        """Push a global of the table."""
        if not all(type(part) is str for part in name) or name not in self.allowed:
            raise self.refuse("names a global that is not allowed")
        self.stack.append(Global(".".join(name), self.allowed[name]))

    def reduce(self) -> None:
        """Call the function of a global."""
        function, arguments = self.several(2)
        if type(function) is not Global or function.build is None:
            what = function.name if type(function) is Global else f"a value of type {type(function).__name__}"
            raise self.refuse(f"calls {what}, which is no function")
        if type(arguments) is not tuple:
            raise self.refuse(f"has arguments of type {type(arguments).__name__}, not tuple")
        self.stack.append(function.build(arguments))

    def build(self) -> None:
        """Drop the attributes of an OrderedDict; nothing else has any."""
        state = self.pop()
        self.top(dict)
        if type(state) is not dict:
            raise self.refuse(f"has a state of type {type(state).__name__}, not dict")

    def ask(self) -> None:
        """Push the object that is not in the pickle."""
        identifier = self.pop()
        if self.persistent is None or type(identifier) is not tuple:
            raise self.refuse(f"asks for an object by a {type(identifier).__name__}, which is not possible here")
        self.stack.append(self.persistent(identifier))

    def result(self) -> Any:
        """What STOP returns: the only value left."""
        if len(self.stack) != 1 or self.marks:
            raise self.refuse(f"leaves {len(self.stack)} values and {len(self.marks)} marks on the stack, not one value")
        return self.stack[0]


Step = Callable[[Machine, Any], None]
STEPS: dict[str, Step] = {
    "MARK": lambda machine, _: machine.marks.append(len(machine.stack)),
    "EMPTY_DICT": lambda machine, _: machine.stack.append({}),
    "EMPTY_LIST": lambda machine, _: machine.stack.append([]),
    "TUPLE": lambda machine, _: machine.stack.append(tuple(machine.since_mark())),
    "TUPLE1": lambda machine, _: machine.stack.append(tuple(machine.several(1))),
    "TUPLE2": lambda machine, _: machine.stack.append(tuple(machine.several(2))),
    "TUPLE3": lambda machine, _: machine.stack.append(tuple(machine.several(3))),
    "APPEND": lambda machine, _: machine.extend(machine.several(1)),
    "APPENDS": lambda machine, _: machine.extend(machine.since_mark()),
    "SETITEM": lambda machine, _: machine.update(machine.several(2)),
    "SETITEMS": lambda machine, _: machine.update(machine.since_mark()),
    "GLOBAL": Machine.push_global,
    "STACK_GLOBAL": lambda machine, _: machine.push_global(tuple(machine.several(2))),
    "REDUCE": lambda machine, _: machine.reduce(),
    "BUILD": lambda machine, _: machine.build(),
    "BINPERSID": lambda machine, _: machine.ask(),
    "BINPUT": Machine.put,
    "LONG_BINPUT": Machine.put,
    "MEMOIZE": Machine.put,
    "BINGET": Machine.get,
    "LONG_BINGET": Machine.get,
}
