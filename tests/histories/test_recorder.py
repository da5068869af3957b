"""What was written down survives the process, a full disk, and an end in the middle of a line."""

from __future__ import annotations

from pathlib import Path

from tests.processes import run_code

from .model import Action
from .operations import Chooser, Keys
from .recorder import Record, Recorder, prepare

KEYS = Keys(("r0", "r1"), ("c",), (("p:a", "p:b"),))

#: Records, tells what has been recorded, and ends in the middle of it.
_KILLED = """
import os, resource, signal, sys
from pathlib import Path
from tests.histories.model import Action
from tests.histories.recorder import Recorder

resource.setrlimit(resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))
recorder = Recorder(Path(sys.argv[1]))
for number in range(1000):
    recorder.end(recorder.begin(Action("set", (f"key:{number}",), ((f"w:{number}",),))), "ok")
    os.write(1, b"x")
recorder.begin(Action("delete", ("key:0",)))
os.kill(os.getpid(), signal.SIGKILL)
"""


def recorded(path: Path) -> Record:
    record = Record()
    record.add(path)
    return record


def test_nothing_is_lost_by_kill_9_with_a_full_disk(tmp_path: Path) -> None:
    path = prepare(tmp_path / "record")
    done = run_code(_KILLED, path)
    assert done.returncode == -9, done.stderr
    assert len(done.stdout) == 1000
    record = recorded(path)
    assert record.outcomes == {"ok": 1000, "open": 1}
    assert record.operations[7].action == Action("set", ("key:7",), (("w:7",),))
    assert not record.operations[-1].certain


def test_what_callers_were_told(tmp_path: Path) -> None:
    path = prepare(tmp_path / "record")
    with Recorder(path) as recorder:
        numbers = [recorder.begin(Action("get", (f"key:{number}",))) for number in range(4)]
        recorder.end(numbers[1], "ok", ["a", "b"])
        recorder.end(numbers[0], "unknown", "cut")
        recorder.end(numbers[2], "failed", "StorageTimeoutError: late")
    record = recorded(path)
    told = {one.action.keys[0]: one for one in record.operations}
    assert told.keys() == {"key:0", "key:1", "key:3"}, "what surely had no effect is no part of the history"
    assert told["key:1"].result == ("a", "b")
    assert 0 < told["key:1"].start < (told["key:1"].end or 0)
    assert [told[key].certain for key in ("key:0", "key:1", "key:3")] == [False, True, False]
    assert record.errors == {"unknown": ["get: cut"], "failed": ["get: StorageTimeoutError: late"]}


def test_a_line_without_its_end_does_not_count(tmp_path: Path) -> None:
    path = prepare(tmp_path / "record")
    with Recorder(path) as recorder:
        recorder.end(recorder.begin(Action("get", ("key",))), "ok", 1)
    whole = path.read_bytes().rstrip(b"\0")
    for length in range(len(whole.splitlines()[0]), len(whole)):
        path.write_bytes(whole[:length].ljust(len(whole) + 9, b"\0"))
        assert recorded(path).outcomes in ({}, {"open": 1})
    path.write_bytes(whole)
    assert recorded(path).outcomes == {"ok": 1}


def test_a_seed_chooses_the_same_again() -> None:
    first, again, other = (Chooser(KEYS, seed, "c") for seed in ("1", "1", "2"))
    actions = [first.choose() for _ in range(500)]
    assert actions == [again.choose() for _ in range(500)]
    assert actions != [other.choose() for _ in range(500)]
    assert {action.name for action in actions} >= {"get", "set", "delete", "compare_and_set", "increment", "create"}
    assert {action.name for action in actions} >= {"update", "read_both", "replace_both", "move", "set_many"}
    written = [value for action in actions for value in action.arguments if isinstance(value, tuple)]
    assert len({*written}) > 0.9 * len(written), "values tell who wrote them"
