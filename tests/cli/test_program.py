"""The program as a whole: help, version, completion, missing packages, the demonstration."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
from importlib.metadata import entry_points, version
from pathlib import Path

import pytest
from typer.testing import CliRunner

from ad_seller.storage.cli import app as program
from ad_seller.storage.cli import demo
from ad_seller.storage.cli.app import app
from ad_seller.storage.cli.running import guarded
from tests.cli.conftest import Invoke
from tests.cli.support import COMMAND, run

COMMANDS = ["get", "set", "delete", "exists", "ttl", "keys", "list", "count", "replay", "demo", "conform"]
EXAMPLE = """
import sys
async def main(argv=None):
    print(argv)
    return 7
"""


class TestHelp:
    def test_the_program_names_its_commands_and_exit_codes(self) -> None:
        done = run("--help", env={"COLUMNS": "200"})
        assert (done.returncode, done.stderr) == (0, "")
        for word in [*COMMANDS, "Exit codes", "STORAGE_TYPE", "DATABASE_URL", "REDIS_URL", "--url", "--json"]:
            assert word in done.stdout

    @pytest.mark.parametrize("command", COMMANDS)
    def test_every_command_has_help_and_json(self, command: str) -> None:
        done = run(command, "--help")
        assert done.returncode == 0
        assert "--json" in done.stdout

    def test_without_arguments_it_shows_its_help(self) -> None:
        done = run()
        assert done.returncode == 2
        assert "Commands" in done.stdout + done.stderr

    def test_version(self) -> None:
        assert run("--version").stdout == f"ad-seller-storage {version('ad-seller-storage')}\n"


class TestInstallation:
    def test_the_script_is_this_program(self) -> None:
        [script] = entry_points(group="console_scripts", name="ad-seller-storage")
        assert script.value == "ad_seller_storage_command:main"  # loading it makes `ad_seller` anew

    def test_the_installed_script_runs(self) -> None:
        script = Path(sys.executable).with_name("ad-seller-storage")
        if not script.is_file():
            pytest.skip("the package is not installed, only on the path")
        done = subprocess.run([script, "--url", "memory://", "count"], capture_output=True, text=True)
        assert (done.returncode, done.stdout) == (0, "0\n")

    @pytest.mark.parametrize("module", ["logging", "ad_seller.storage.cli.views"])
    def test_ctrl_c_while_it_is_loaded(self, module: str) -> None:
        code = (
            "import os, signal, sys, ad_seller_storage_command\n"
            "class Finder:\n"
            "    def find_spec(self, name, path=None, target=None):\n"
            f"        if name == {module!r}: os.kill(os.getpid(), signal.SIGINT)\n"
            f"sys.modules.pop({module!r}, None)\n"
            "sys.meta_path.insert(0, Finder())\n"
            "ad_seller_storage_command.main()\n"
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
        assert (done.returncode, done.stdout, done.stderr) == (130, "", "error: Interrupted.\n")

    @pytest.mark.parametrize("as_json", [False, True])
    def test_ctrl_c_while_arguments_are_read(
        self, as_json: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        def pressed(*_: object) -> None:
            signal.raise_signal(signal.SIGINT)

        monkeypatch.setattr(program, "Choices", pressed)
        code = guarded(lambda: program._run(["count"], as_json=as_json), as_json=as_json)
        told = '{"error":"Interrupted.","hint":"","exit_code":130}' if as_json else "error: Interrupted."
        assert (code, *capsys.readouterr()) == (130, "", f"{told}\n")

    @pytest.mark.parametrize(
        ("arguments", "named"),
        [
            (["copy", "a.db"], "Missing argument 'TO'."),
            (["nosuch"], "No such command 'nosuch'."),
            (["count", "--nosuch"], "--nosuch"),
            (["list", "--limit", "many"], "--limit"),
        ],
    )
    def test_wrong_usage_is_json_for_programs(self, arguments: list[str], named: str) -> None:
        done = run("--json", *arguments)
        told = json.loads(done.stderr)
        assert (done.returncode, done.stdout, told["exit_code"]) == (2, "", 2)
        assert named in told["error"]
        assert "--help" in told["hint"]
        assert "Usage: " in run(*arguments).stderr

    @pytest.mark.parametrize("package", ["typer", "rich"])
    def test_a_missing_package_is_named_with_the_pip_command(self, package: str) -> None:
        code = f"import sys; sys.modules[{package!r}] = None; from ad_seller.storage.cli import main; main([])"
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
        assert (done.returncode, done.stdout) == (2, "")
        assert package in done.stderr
        assert "pip install 'ad-seller-storage[cli]'" in done.stderr
        assert "Traceback" not in done.stderr

    def test_a_module_of_ours_that_is_missing_is_no_missing_package(self) -> None:
        code = (
            "import sys; sys.modules['ad_seller.storage.cli.report'] = None; "
            "from ad_seller.storage.cli import main; main([])"
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
        assert done.returncode == 1
        assert "Traceback" in done.stderr


class TestCompletion:
    def complete(self, *words: str) -> list[str]:
        env = {
            "_AD_SELLER_STORAGE_COMPLETE": "complete_bash",
            "COMP_WORDS": " ".join(["ad-seller-storage", *words]),
            "COMP_CWORD": str(len(words)),
        }
        done = run(env=env)
        assert done.stderr == ""
        return done.stdout.split()

    def test_entities(self) -> None:
        assert self.complete("list", "p") == ["products", "proposals", "packages"]
        assert len(self.complete("list", "")) == 11

    def test_key_prefixes(self) -> None:
        assert self.complete("get", "or") == ["order:"]

    def test_commands_and_options(self) -> None:
        assert {"repair", "replay", "restore"} <= set(self.complete("re"))
        assert self.complete("repl") == ["replay"]
        assert "--filter" in self.complete("list", "orders", "--")

    @pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
    def test_the_script_for_a_shell(self, shell: str) -> None:
        done = run(env={"_AD_SELLER_STORAGE_COMPLETE": f"source_{shell}"})
        assert "_AD_SELLER_STORAGE_COMPLETE" in done.stdout
        if shutil.which(shell):
            subprocess.run([shell, "-n"], input=done.stdout, text=True, check=True)


class TestDemo:
    @pytest.fixture
    def example(self, directory: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        file = directory / "seller_day.py"
        monkeypatch.setattr(demo, "_PLACES", (directory / "nowhere.py", file))
        return file

    def test_it_runs_the_example_with_its_options(self, example: Path) -> None:
        example.write_text(EXAMPLE)
        done = CliRunner().invoke(app, ["demo", "--database", "a.db", "--buyers", "3", "--json"])
        assert (done.exit_code, done.stdout) == (7, "['--database', 'a.db', '--buyers', '3', '--json']\n")
        assert CliRunner().invoke(app, ["--json", "demo"]).stdout == "['--json']\n"
        assert CliRunner().invoke(app, ["demo"]).stdout == "[]\n"

    @pytest.mark.skipif(not demo._PLACES[1].is_file(), reason="not a checkout")
    def test_it_runs_in_a_checkout(self, directory: Path) -> None:
        done = run("demo", "--buyers", "2", "--json", "--database", "new.db")
        assert done.returncode == 0
        assert isinstance(json.loads(done.stdout), dict)
        assert int(run("count", "--url", "new.db").stdout) > 20

    def test_it_has_a_store_of_its_own(self, invoke: Invoke) -> None:
        done = invoke("demo")
        assert done.exit_code == 2
        assert "--database" in done.stderr

    def test_where_it_is_missing_it_says_what_to_do(self, example: Path) -> None:
        done = CliRunner().invoke(app, ["demo"])
        assert done.exit_code == 4
        assert "pip install" in done.stderr


def test_python_m_is_the_same_program() -> None:
    assert COMMAND[1:] == ["-m", "ad_seller.storage.cli"]
    assert "Usage: ad-seller-storage" in run("--help").stdout
