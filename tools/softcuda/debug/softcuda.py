"""Commands of gdb for kernels in the host build of softcuda: gdb -x softcuda.py --args PROGRAM...

  softcuda-start KERNEL BLOCK THREAD   runs to the first line of a kernel in one thread, such as 1,0,0 3,0,0
  thread-to LOCATION                   runs on to a line, such as softmax.cu:21, in this thread
  info block                           which thread of the block waits where
  info shared [NAME]                   a __shared__ array; without a name, the arrays that the block has used
  info lanes EXPRESSION                the value of an expression in each thread of the warp
  on-thread THREAD COMMAND             a command of gdb, such as backtrace, in another thread of the block

Each CUDA thread is a fiber. A fiber that waits has its registers on its own stack (runtime/fiber.cpp); a command that
looks into another thread puts them into the processor's registers, and the old ones back afterwards.
"""

import contextlib

import gdb

REGISTERS = ["r15", "r14", "r13", "r12", "rbx", "rbp"]  # in the order in which softcuda_switch pops them
LANES = 32
# The running block (runtime/block.cpp). Nothing here calls a function of the program: gdb would have to write all
# registers of the processor, which some containers refuse.
CURRENT = "'softcuda::(anonymous namespace)::current'"

# The commands say themselves where the program stopped; older versions of gdb say it besides.
QUIET = "suppress-cli-notifications"
try:
    HAS_QUIET = gdb.parameter(QUIET) is not None
except RuntimeError:
    HAS_QUIET = False


def triple(text):
    numbers = [int(number) for number in text.split(",")]
    if not 1 <= len(numbers) <= 3:
        raise gdb.GdbError(f"{text}: give a place as x,y,z, such as 3,0,0")
    return tuple(numbers + [0] * (3 - len(numbers)))


def place(value):
    return tuple(int(value[axis]) for axis in "xyz")


def vector(value):
    start, finish = value["_M_impl"]["_M_start"], value["_M_impl"]["_M_finish"]
    return [start[i] for i in range(int(finish - start))]


class Block:
    """The block that runs."""

    def __init__(self):
        try:
            pointer = gdb.parse_and_eval(CURRENT)
        except gdb.error as error:
            raise gdb.GdbError(f"no kernel is loaded: {error}")
        if int(pointer) == 0:
            raise gdb.GdbError("no kernel runs; stop in one first, with softcuda-start")
        self.value = pointer.dereference()
        # A block of an earlier launch may have left more threads behind.
        self.threads = vector(self.value["threads_"])[: int(self.value["thread_count_"])]
        self.running = int(self.value["clock_"]["thread"])

    def number(self, index):
        for number, thread in enumerate(self.threads):
            if place(thread["index"]) == index:
                return number
        raise gdb.GdbError(f"the block has no thread {index}; it has {len(self.threads)} threads")

    def state(self, number):
        """What a thread does, in words, and whether it has frames."""
        thread = self.threads[number]
        if number == self.running:
            return "runs", True
        state = str(thread["state"]).rsplit("::", 1)[-1]
        if state == "Done":
            return "has returned", False
        if state == "Ready":
            if self.saved(number)["rip"] == int(gdb.parse_and_eval("(long)softcuda::Block::fiber_main")):
                return "has not started", False
            return f"may go on behind {site(thread)}", True
        operation = {"Barrier": "__syncthreads", "GridBarrier": "the barrier of the grid"}.get(state)
        if not operation:
            operation = "a " + warp_operation(thread)
        return f"waits at {operation}, {site(thread)}", True

    def saved(self, number):
        """The registers of a thread that does not run."""
        fiber = self.threads[number]["fiber"]
        if not any(field.name == "stack_pointer" for field in fiber.type.fields()):
            raise gdb.GdbError("this processor's fibers keep their registers in a ucontext, which is not read here")
        pointer = fiber["stack_pointer"].cast(gdb.lookup_type("unsigned long").pointer())
        values = {name: int(pointer[i]) for i, name in enumerate(REGISTERS)}
        values["rip"] = int(pointer[len(REGISTERS)])
        values["rsp"] = int(pointer) + 8 * (len(REGISTERS) + 1)
        return values

    @contextlib.contextmanager
    def inside(self, number):
        """In this thread: its registers, and its threadIdx."""
        if number == self.running:
            yield
            return
        selected = gdb.selected_frame()
        level = selected.level()
        gdb.newest_frame().select()
        saved = self.saved(number)
        old = {name: int(gdb.parse_and_eval(f"(unsigned long)${name}")) for name in saved}
        index = place(self.value["thread_index"])
        try:
            self.enter(saved, place(self.threads[number]["index"]))
            yield
        finally:
            gdb.newest_frame().select()
            self.enter(old, index)
            gdb.execute(f"frame {level}", to_string=True)

    def enter(self, registers, index):
        for name, value in registers.items():
            gdb.execute(f"set var ${name} = {value}", to_string=True)
        address = int(self.value.address)
        for axis, value in zip("xyz", index):
            gdb.execute(f"set var ((softcuda::Block*){address})->thread_index.{axis} = {value}", to_string=True)


def site(thread):
    file = thread["site"]["file"].string().rsplit("/", 1)[-1]
    return f"{file}:{int(thread['site']['line'])}"


def warp_operation(thread):
    name = str(thread["op"]).rsplit("::", 1)[-1]
    return {
        "Sync": "__syncwarp", "Shuffle": "__shfl_sync", "ShuffleUp": "__shfl_up_sync",
        "ShuffleDown": "__shfl_down_sync", "ShuffleXor": "__shfl_xor_sync", "Ballot": "__ballot_sync",
        "Any": "__any_sync", "All": "__all_sync",
    }[name]


def text(value):
    return str(value.referenced_value() if value.type.code == gdb.TYPE_CODE_REF else value)


def runs(items):
    """(first, last, item) of neighbours that are equal."""
    found = []
    for number, item in enumerate(items):
        if found and found[-1][2] == item:
            found[-1][1] = number
        else:
            found.append([number, number, item])
    return found


def run_to(location, command, block, thread):
    """Stops at a location in one thread, and says where."""
    asks = [
        f"{CURRENT}->{member}.{axis} == {value}"
        for member, index in [("block_index", block), ("thread_index", thread)]
        for axis, value in zip("xyz", index)
    ]
    gdb.execute(f"tbreak {location} if {' && '.join(asks)}", to_string=True)
    quiet = HAS_QUIET and gdb.parameter(QUIET) is False
    if quiet:
        gdb.execute(f"set {QUIET} on")
    gdb.execute(command, to_string=True)
    if quiet:
        gdb.execute(f"set {QUIET} off")
    try:
        line = gdb.newest_frame().find_sal()
    except gdb.error:
        raise gdb.GdbError(f"the program ended; block {block}, thread {thread} did not get to {location}")
    file = line.symtab.filename.rsplit("/", 1)[-1] if line.symtab else "a place without source"
    print(f"block {block}, thread {thread}, at {file}:{line.line}")


class Start(gdb.Command):
    """softcuda-start KERNEL BLOCK THREAD: runs to the first line of the kernel in this thread of this block."""

    def __init__(self):
        super().__init__("softcuda-start", gdb.COMMAND_RUNNING)

    def invoke(self, argument, from_tty):
        words = gdb.string_to_argv(argument)
        if len(words) != 3:
            raise gdb.GdbError("usage: softcuda-start KERNEL BLOCK THREAD, such as softcuda-start softmax 1,0,0 3,0,0")
        kernel, block, thread = words[0], triple(words[1]), triple(words[2])
        # The kernel's library is opened when the program runs.
        gdb.execute("set breakpoint pending on")
        run_to(f"-qualified -function {kernel}", "run", block, thread)


class ThreadTo(gdb.Command):
    """thread-to LOCATION: runs on until this thread of this block is at the location, such as softmax.cu:21.

    The other threads run as far as this one waits for them.
    """

    def __init__(self):
        super().__init__("thread-to", gdb.COMMAND_RUNNING)

    def invoke(self, argument, from_tty):
        if not argument:
            raise gdb.GdbError("usage: thread-to LOCATION, such as thread-to softmax.cu:21")
        block = Block()
        run_to(argument, "continue", place(block.value["block_index"]), place(block.value["thread_index"]))


class InfoBlock(gdb.Command):
    """info block: which thread of the running block waits where."""

    def __init__(self):
        super().__init__("info block", gdb.COMMAND_STATUS)

    def invoke(self, argument, from_tty):
        block = Block()
        print(f"block {place(block.value['block_index'])}, {len(block.threads)} threads:")
        for first, last, what in runs([block.state(number)[0] for number in range(len(block.threads))]):
            begin, end = place(block.threads[first]["index"]), place(block.threads[last]["index"])
            print(f"  {begin}: {what}" if first == last else f"  {begin} to {end}: {what}")


class InfoShared(gdb.Command):
    """info shared [NAME]: a __shared__ array; without a name, the arrays that the block has used.

    `-` stands for an element that the block has not written. Shadows gdb's `info shared`; that is `info
    sharedlibrary`.
    """

    def __init__(self):
        super().__init__("info shared", gdb.COMMAND_DATA)

    def invoke(self, argument, from_tty):
        block = Block()
        regions = vector(block.value["shared_"])
        used = vector(block.value["shared_used_"])
        now = int(block.value["launch_"])
        if not argument:
            for region, launch in zip(regions, used):
                if int(launch) == now and int(region["bytes"]) > 0:
                    print(f"{region['name'].string()}: {int(region['bytes'])} bytes")
            return
        symbol, frame = self.symbol(argument)
        element = symbol.type.strip_typedefs()
        is_dynamic = element.code == gdb.TYPE_CODE_ARRAY and element.sizeof == 0
        while element.code == gdb.TYPE_CODE_ARRAY:
            element = element.target().strip_typedefs()
        # An array of unknown size lies in dynamic shared memory.
        wanted = "dynamic shared memory" if is_dynamic else argument
        found = [region for region in regions if region["name"].string() == wanted]
        if len(found) > 1:
            # Two functions with an array of this name: that of this frame.
            address = int(symbol.value(frame).address)
            found = [region for region in found if int(region["begin"]) == address]
        if not found:
            raise gdb.GdbError(f"{argument} is no __shared__ array of this library")
        self.show(block, argument, found[0], element)

    def symbol(self, name):
        frame = gdb.selected_frame()
        while frame:
            try:
                found = gdb.lookup_symbol(name, frame.block())[0]
            except RuntimeError:  # no debug information
                found = None
            # A parameter of the same name only points to it.
            if found and not found.is_argument and found.is_variable:
                return found, frame
            frame = frame.older()
        raise gdb.GdbError(f"no array {name} in this function or its callers")

    def show(self, block, name, region, element):
        count, begin = int(region["bytes"]) // element.sizeof, int(region["begin"])
        print(f"{name}: {count} x {element}")
        shift, first = int(region["shift"]), int(block.value["clock_"]["shared_first"])
        values = gdb.Value(begin).cast(element.pointer())
        texts = []
        for i in range(count):
            # The bytes that the block has written have a writer's interval in their cells (runtime/shadow.h).
            cells = range(i * element.sizeof >> shift, (i * element.sizeof + element.sizeof - 1 >> shift) + 1)
            is_written = all(int(region["cells"][cell]["write_interval"]) >= first for cell in cells)
            texts.append(str(values[i]) if is_written else "-")
        for first, last, text in runs(texts):
            print(f"  [{first}] {text}" if first == last else f"  [{first} to {last}] {text}")


class InfoLanes(gdb.Command):
    """info lanes EXPRESSION: its value in each thread of the warp, in the frame of the function that is selected."""

    def __init__(self):
        super().__init__("info lanes", gdb.COMMAND_DATA)

    def invoke(self, argument, from_tty):
        if not argument:
            raise gdb.GdbError("usage: info lanes EXPRESSION, such as info lanes sum")
        block = Block()
        function = gdb.selected_frame().name()
        warp = block.running // LANES
        numbers = range(warp * LANES, min((warp + 1) * LANES, len(block.threads)))
        texts = [self.value(block, number, function, argument) for number in numbers]
        for first, last, text in runs(texts):
            print(f"  lane {first}: {text}" if first == last else f"  lanes {first} to {last}: {text}")

    def value(self, block, number, function, expression):
        state, has_frames = block.state(number)
        if not has_frames:
            return state
        if number == block.running:
            return text(gdb.parse_and_eval(expression))
        with block.inside(number):
            frame = gdb.newest_frame()
            while frame and frame.name() != function:
                frame = frame.older()
            if not frame:
                return f"not in {function}; {state}"
            frame.select()
            return text(gdb.parse_and_eval(expression))


class OnThread(gdb.Command):
    """on-thread THREAD COMMAND: a command of gdb in another thread of the block, such as on-thread 5,0,0 backtrace."""

    def __init__(self):
        super().__init__("on-thread", gdb.COMMAND_STACK)

    def invoke(self, argument, from_tty):
        index, _, command = argument.partition(" ")
        if not command:
            raise gdb.GdbError("usage: on-thread THREAD COMMAND, such as on-thread 5,0,0 backtrace")
        block = Block()
        number = block.number(triple(index))
        state, has_frames = block.state(number)
        if not has_frames:
            raise gdb.GdbError(f"thread {triple(index)} {state}: it has no frames")
        with block.inside(number):
            gdb.execute(command)


class Triple:
    """uint3 and dim3 as (x, y, z)."""

    def __init__(self, value):
        self.value = value

    def to_string(self):
        return str(place(self.value))


class Bf16:
    """bf16 as the number that it is."""

    def __init__(self, value):
        self.value = value

    def to_string(self):
        import struct

        bits = int.from_bytes(gdb.selected_inferior().read_memory(self.value.address, 2).tobytes(), "little")
        return repr(struct.unpack("<f", struct.pack("<I", bits << 16))[0])


def printer(value):
    name = value.type.strip_typedefs().unqualified().name
    if name in ("uint3", "dim3", "int3"):
        return Triple(value)
    if name == "__nv_bfloat16" and value.address is not None:
        return Bf16(value)
    return None


for setting in ["confirm off", "pagination off", "print thread-events off", "print inferior-events off"]:
    gdb.execute(f"set {setting}")
# A session without a terminal must not wait for an answer, or fetch files.
gdb.execute("set debuginfod enabled off", to_string=True)
# In the sources these are macros that call functions.
for name, member in [
    ("threadIdx", "thread_index"), ("blockIdx", "block_index"), ("blockDim", "block_shape"), ("gridDim", "grid_shape"),
]:
    gdb.execute(f"macro define {name} ({CURRENT}->{member})")
gdb.pretty_printers.append(printer)
for command in [Start, ThreadTo, InfoBlock, InfoShared, InfoLanes, OnThread]:
    command()
