"""A run folder has one owner, and nothing in it changes unless the start that would change it succeeds."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from r1zero.base import device
from r1zero.base.errors import UsageError
from r1zero.base.files import write_text
from r1zero.run.folder import RunFolder
from r1zero.run.lock import Lock

from ..recipes import TINY, events, metrics, r1zero, start, write_recipe


def snapshot(folder: Path) -> dict[str, bytes]:
    """Every file of a run, but for the lock, which an attempt takes and gives back."""
    files = (file for file in folder.rglob("*") if file.is_file() and file.name != "run.lock")
    return {str(file.relative_to(folder)): file.read_bytes() for file in files}


def damage(run: Path) -> None:
    for folder in (run / "checkpoints").iterdir():
        file = folder / "trainer.json"
        file.write_bytes(file.read_bytes() + b" ")


def refused(*arguments: object) -> str:
    with pytest.raises(UsageError) as caught:
        r1zero("train", *arguments)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    """One that has run for two steps."""
    path = write_recipe(tmp_path)
    r1zero("train", path, "run.steps=2")
    return path


def test_no_intact_checkpoint_stops_a_resume_and_touches_nothing(recipe: Path, tmp_path: Path) -> None:
    damage(tmp_path / "run")
    before = snapshot(tmp_path / "run")
    said = refused(recipe, "--resume", "run.steps=4")
    assert said == (
        f"run.dir = '{tmp_path}/run': none of its 2 checkpoints is intact, and nothing was changed; bring one back, or "
        "start anew in another folder"
    )
    assert snapshot(tmp_path / "run") == before


@pytest.mark.parametrize(
    ("overrides", "reason"),
    [
        (["model.lora={rank: 4}"], "model.lora: the checkpoint holds a whole model"),
        (["trainer.optimizer=sgd"], "trainer.optimizer: the checkpoint holds the state of AdamW, not of SGD"),
        (["rewards.verifier_function=[nothing, acc]"], "unknown verifier"),
        (["data.options.count=48"], "data: 'data' holds other rows than the run began with"),
    ],
)
def test_a_refused_resume_touches_nothing(recipe: Path, tmp_path: Path, overrides: list[str], reason: str) -> None:
    before = snapshot(tmp_path / "run")
    assert reason in refused(recipe, "--resume", "run.steps=4", *overrides)
    assert snapshot(tmp_path / "run") == before


def test_changed_rows_may_be_accepted(recipe: Path, tmp_path: Path) -> None:
    r1zero("train", recipe, "--resume", "run.steps=3", "data.options.count=48", "run.accept_changed_data=true")
    assert [record["step"] for record in metrics(tmp_path / "run")] == [1, 2, 3]
    r1zero("train", recipe, "--resume", "run.steps=4", "data.options.count=48")  # now these are its rows


def test_other_rows_under_the_same_path(tmp_path: Path) -> None:
    rows = [{"question": f"{n}+12+33=?", "answer": str(n + 45)} for n in range(11, 31)]
    file = tmp_path / "sums.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    lines = [line for line in TINY.split("\n") if "options:" not in line]
    path = write_recipe(tmp_path, "\n".join(lines).replace("r1zero:sums", str(file)))
    r1zero("train", path, "run.steps=1")
    file.write_text("".join(json.dumps(row) + "\n" for row in reversed(rows)))
    assert "data: 'data' holds other rows than the run began with" in refused(path, "--resume")


def test_there_is_no_run_to_resume(tmp_path: Path) -> None:
    path = write_recipe(tmp_path)
    assert (
        refused(path, "--resume") == f"run.dir = '{tmp_path}/run': there is no run to resume; start it without --resume"
    )
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("text", ["run: {dir: x", "- 1\n- 2\n", "\x00", "run: [\n"])
def test_a_torn_config_is_named(recipe: Path, tmp_path: Path, text: str) -> None:
    (tmp_path / "run" / "config.yaml").write_text(text)
    before = snapshot(tmp_path / "run")
    assert "config.yaml: cannot be read: " in refused(recipe, "--resume")
    assert snapshot(tmp_path / "run") == before


def test_files_appear_whole_or_stay_as_they_were(tmp_path: Path) -> None:
    """A process writes as fast as it can and is killed at random moments."""
    code = (
        "import sys, pathlib; from r1zero.base.files import write_text\n"
        "for n in range(10**6): write_text(pathlib.Path(sys.argv[1]), f'{n % 10}' * 200_000)\n"
    )
    file = tmp_path / "config.yaml"
    write_text(file, "0" * 200_000)
    for seconds in (0.3, 0.37, 0.44):
        process = subprocess.Popen([sys.executable, "-c", code, str(file)])
        time.sleep(seconds)
        process.kill()
        process.wait()
        text = file.read_text()
        assert len(text) == 200_000 and len(set(text)) == 1


def test_a_torn_event_is_dropped(recipe: Path, tmp_path: Path) -> None:
    with (tmp_path / "run" / "events.jsonl").open("a") as file:
        file.write('{"time": "2026-')
    r1zero("train", recipe, "--resume", "run.steps=3")
    assert events(tmp_path / "run")[-1] == "finished"


def test_what_auto_chose_is_chosen_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A measurement that comes out otherwise on a busy machine."""
    path = write_recipe(tmp_path, TINY.replace("dtype: fp32", "dtype: auto").replace("device: cpu", "device: auto"))
    for steps, faster in (("1", "bf16"), ("2", "fp32")):
        rates = {"bf16": {"bf16": 3.0, "fp32": 1.0}, "fp32": {"bf16": 1.0, "fp32": 3.0}}[faster]
        monkeypatch.setattr(device, "_gemm_gflops", lambda _, dtype, rates=rates: rates[device._NAMES[dtype]])
        r1zero("train", path, f"run.steps={steps}", *(["--resume"] if steps == "2" else []))
        assert re.search(r"\bdtype: bf16\b", (tmp_path / "run" / "config.yaml").read_text())
        assert json.loads((tmp_path / "run" / "environment.json").read_text())["device"]["dtype"] == "bfloat16"


def test_two_starts_at_once(tmp_path: Path) -> None:
    path = write_recipe(tmp_path)
    with RunFolder.create(tmp_path / "run", resume=False):
        said = refused(path)
    assert re.fullmatch(
        rf"run.dir = '{tmp_path}/run': process {os.getpid()} on {re.escape(socket.gethostname())} is running in it "
        r"since \d{4}-\d\d-\d\d \d\d:\d\d:\d\d; stop it first or choose another folder",
        said,
    )
    r1zero("train", path, "run.steps=1")
    with RunFolder.create(tmp_path / "run", resume=True):
        assert "is running in it since" in refused(path, "--resume")


def test_the_lock_of_a_killed_process_is_free(tmp_path: Path) -> None:
    code = (
        "import sys, time, pathlib; from r1zero.run.lock import Lock\n"
        "lock = Lock(pathlib.Path(sys.argv[1])); print('locked', flush=True); time.sleep(60)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None and process.stdout.readline() == "locked\n"
    with pytest.raises(UsageError, match=f"process {process.pid} on "):
        Lock(tmp_path)
    process.kill()
    process.communicate()
    with Lock(tmp_path):
        pass


def test_the_lock_of_another_machine_is_respected(tmp_path: Path) -> None:
    owner = {"host": "elsewhere", "pid": 7, "since": "2026-11-27 10:00:00"}
    (tmp_path / "run.lock").write_text(json.dumps(owner))
    with pytest.raises(UsageError, match=r"process 7 on elsewhere took it at .* and has not given it back; .* delete"):
        Lock(tmp_path)
    for text in ("", "{", "[]", '{"host": 1}'):
        (tmp_path / "run.lock").write_text(text)
        with Lock(tmp_path):
            pass


def wait_for(file: Path, process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 120
    while not file.exists():
        assert process.poll() is None and time.monotonic() < deadline, process.stderr and process.stderr.read()
        time.sleep(0.01)


@pytest.fixture
def stuck(recipe: Path, tmp_path: Path) -> subprocess.Popen[str]:
    """A resumed run after two steps whose graders hang."""
    (tmp_path / "hanging.py").write_text(
        "import time\n"
        "from r1zero.rewards.catalog import verifier_function\n"
        "from r1zero.types import Problem, Score\n\n"
        "@verifier_function(measures='format')\n"
        "def hangs(problem: Problem, text: str) -> Score:\n"
        "    time.sleep(600)\n"
        "    return Score(value=1.0)\n"
    )
    names = f"rewards.verifier_function=[base_acc, {tmp_path}/hanging.py:hangs]"
    (tmp_path / "run" / "run.log").unlink()
    process = start("train", recipe, "--resume", "run.steps=4", names, "rewards.timeout_seconds=300")
    wait_for(tmp_path / "run" / "run.log", process)
    time.sleep(2.0)  # the miniature has sampled its step and waits for verdicts
    return process


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_stop_does_not_wait_for_graders(stuck: subprocess.Popen[str], tmp_path: Path, number: signal.Signals) -> None:
    begun = time.monotonic()
    stuck.send_signal(number)
    _, said = stuck.communicate(timeout=60)
    assert time.monotonic() - begun < 10, "saved within 5 s, and the interpreter has to end"
    assert stuck.returncode == 130, said
    assert "stopped after step 2" in said and "Traceback" not in said
    assert events(tmp_path / "run")[-1] == "interrupted"


def test_the_second_ctrl_c_ends_at_once(stuck: subprocess.Popen[str]) -> None:
    stuck.send_signal(signal.SIGINT)
    time.sleep(0.02)
    begun = time.monotonic()
    stuck.send_signal(signal.SIGINT)
    _, said = stuck.communicate(timeout=60)
    assert time.monotonic() - begun < 10
    assert stuck.returncode == 130 and "Traceback" not in said


def test_an_error_in_a_step_keeps_the_steps_before(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    from ..scripted import Truthful, run

    class Fails(Truthful):
        calls = 0

        def generate(self, prompts, sampling):  # pyright: ignore
            type(self).calls += 1
            if type(self).calls == 3:
                raise UsageError("a limit that nobody knew")
            return super().generate(prompts, sampling)

    with pytest.raises(UsageError, match="a limit that nobody knew"):
        run(tmp_path, "run.steps=4", "run.save_every=0", engine=Fails)
    assert [folder.name for folder in (tmp_path / "run" / "checkpoints").iterdir()] == ["step_000002"]
    assert events(tmp_path / "run")[-2:] == ["failed", "saved"]


def test_an_error_amid_the_updates_saves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The weights are between two steps then."""
    from r1zero.trainer.local import LocalTrainer

    from ..scripted import run

    real, calls = LocalTrainer.step, 0

    def step(self):  # pyright: ignore
        nonlocal calls
        calls += 1
        if calls == 4:  # the second of the second step's two updates
            raise RuntimeError("broken")
        return real(self)

    monkeypatch.setattr(LocalTrainer, "step", step)
    with pytest.raises(RuntimeError, match="broken"):
        run(tmp_path, "run.steps=4", "run.save_every=0", "trainer.minibatches=2")
    assert list((tmp_path / "run" / "checkpoints").iterdir()) == []


@pytest.mark.skipif(os.geteuid() != 0, reason="mounts a small file system")
def test_a_full_disk_is_one_line_and_leaves_no_temporary(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=14m", "tmpfs", str(disk)], capture_output=True)
    if mounted.returncode:
        pytest.skip("cannot mount")
    try:
        path = write_recipe(tmp_path, run="disk/run")
        process = start("train", path)
        _, said = process.communicate(timeout=120)
        assert process.returncode == 2 and "Traceback" not in said, said
        last = said.strip().splitlines()[-1]
        assert last.startswith("r1zero: ") and "No space left on device" in last
        assert not list((disk / "run" / "checkpoints").glob(".tmp-*"))
    finally:
        subprocess.run(["umount", str(disk)], check=True)
