import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from pydantic import BaseModel

from ukb_brain.cluster import Compute
from ukb_brain.errors import InputError
from ukb_brain.ledger import WorkItem, fingerprint_of, run_ledger
from ukb_brain.ledger import run as ledger_run
from ukb_brain.ledger.artifact import Model, ModelFolder, read_model
from ukb_brain.ledger.attempts import Attempts

ONE = Compute(workers=1, device="cpu")
TWO = Compute(workers=2, device="cpu")
STEPS = 6


def count(folder, what):
    """Leave a trace of something that happened; traces of all processes add up."""
    folder.mkdir(parents=True, exist_ok=True)
    number = len(list(folder.glob(f"{what}-*")))
    (folder / f"{what}-{number}").touch()
    return number


def fit(payload, scratch):
    """Add up random numbers in steps, each kept in the scratch folder, with planted accidents."""
    seed, traces, accident, times = payload
    traces = Path(traces)
    begun = count(traces, "begun")
    if accident == "error" and begun < times:
        raise RuntimeError(f"no luck with participant {1234567}\nand batch {begun}")
    if accident == "user":
        raise InputError("a column is missing: add it")
    kept = sorted(scratch.glob("step-*.npy"))
    total = np.load(kept[-1]) if kept else np.zeros(3)
    for step in range(len(kept), STEPS):
        if accident == "kill" and step == STEPS // 2 and begun < times:
            os.kill(os.getpid(), signal.SIGKILL)
        total = total + np.random.default_rng([seed, step]).standard_normal(3)
        np.save(scratch / f"step-{step}.npy", total)
        count(traces, "step")
    return Model({"total": total}, {"curves": [1.0, 0.5], "flops": 12})


def item(tmp_path, name, accident="", times=0, seed=None, fingerprint=None):
    seed = len(name) + ord(name[0]) if seed is None else seed
    traces = str(tmp_path / "traces" / name)
    return WorkItem(name, fingerprint or fingerprint_of(seed), (seed, traces, accident, times))


def traces(tmp_path, name, what="begun"):
    return len(list((tmp_path / "traces" / name).glob(f"{what}-*")))


def run(tmp_path, items, compute=ONE, **kwargs):
    return run_ledger(fit, items, tmp_path / "models", compute, "Fits", **kwargs)


def files(tmp_path):
    return {str(p.relative_to(tmp_path / "models")) for p in (tmp_path / "models").rglob("*.*")}


def arrays(tmp_path, names):
    return {name: read_model(tmp_path / "models" / name).arrays["total"].tolist() for name in names}


def test_models_and_cards_are_written_and_given_in_order(tmp_path):
    cards = run(tmp_path, [item(tmp_path, name) for name in ("b", "a")])
    assert [card["name"] for card in cards] == ["b", "a"]
    assert files(tmp_path) == {f"{n}/{f}" for n in "ab" for f in ("card.json", "model.safetensors")}
    for card in cards:
        written = json.loads((tmp_path / "models" / card["name"] / "card.json").read_text())
        assert written == card
        assert card["status"] == "ok" and card["reason"] == "" and card["attempts"] == 1
        assert card["curves"] == [1.0, 0.5] and card["flops"] == 12
        assert card["device"] == "cpu" and 0 < card["seconds"] < 60
        assert card["finished"].endswith("+00:00")
    assert cards[0]["hash"] == item(tmp_path, "b").fingerprint


def test_what_the_function_says_of_its_time_and_device_stays(tmp_path):
    told = {"seconds": 99.5, "device": "cuda:3", "status": "nonsense"}
    cards = run_ledger(
        lambda payload, scratch: Model({"x": np.ones(1)}, told),
        [WorkItem("a", "f", None)],
        tmp_path,
        ONE,
        "Fits",
    )
    assert (cards[0]["seconds"], cards[0]["device"], cards[0]["status"]) == (99.5, "cuda:3", "ok")


def test_two_workers_and_a_killed_one_give_what_one_process_gives(tmp_path):
    names = ("a", "bb", "ccc", "dddd", "eeeee")
    serial = tmp_path / "serial"
    run(serial, [item(serial, name) for name in names])
    both = tmp_path / "both"
    planted = {"bb": "kill", "dddd": "kill"}
    cards = run(both, [item(both, name, planted.get(name, ""), 1) for name in names], TWO)
    assert arrays(both, names) == arrays(serial, names)
    assert [card["attempts"] for card in cards] == [1, 2, 1, 2, 1]
    assert files(both) == files(serial)
    # The second attempt goes on from the step at which the first was killed.
    assert traces(both, "bb") == 2
    assert traces(both, "bb", "step") == STEPS


def test_an_item_that_always_loses_its_process_is_recorded_and_the_rest_goes_on(tmp_path):
    items = [item(tmp_path, "deadly", "kill", 99), *(item(tmp_path, name) for name in "abc")]
    compute = TWO.model_copy(update={"retries": 1})
    cards = run(tmp_path, items, compute)
    assert [card["status"] for card in cards] == ["failed", "ok", "ok", "ok"]
    assert cards[0]["attempts"] == traces(tmp_path, "deadly") == 2
    assert "process was lost" in cards[0]["reason"]
    # Its steps are there for the next run, on which the accident does not happen again.
    (healed,) = run(tmp_path, [item(tmp_path, "deadly")])
    assert healed["status"] == "ok"
    assert traces(tmp_path, "deadly", "step") == STEPS


@pytest.mark.parametrize(("retries", "times"), [(0, 1), (2, 3), (1, 99)])
def test_an_item_that_fails_too_often_is_recorded_with_its_reason(tmp_path, retries, times, caplog):
    compute = ONE.model_copy(update={"retries": retries})
    items = [item(tmp_path, "a"), item(tmp_path, "bad", "error", times), item(tmp_path, "c")]
    cards = run(tmp_path, items, compute)
    assert [card["status"] for card in cards] == ["ok", "failed", "ok"]
    assert cards[1]["attempts"] == retries + 1 == traces(tmp_path, "bad")
    assert cards[1]["reason"] == (
        f"RuntimeError: no luck with participant ####### and batch {retries}"
    )
    assert "1234567" not in caplog.text
    assert cards[1]["reason"] in caplog.text
    assert {name for name in files(tmp_path) if name.startswith("bad")} == {"bad/card.json"}


def test_a_failure_that_passes_is_no_failure(tmp_path):
    (card,) = run(tmp_path, [item(tmp_path, "a", "error", 2)])
    assert (card["status"], card["reason"], card["attempts"]) == ("ok", "", 3)


def test_a_failed_item_is_tried_anew_by_the_next_run(tmp_path):
    first = run(tmp_path, [item(tmp_path, "a", "error", 4)])
    assert (first[0]["status"], first[0]["attempts"]) == ("failed", 3)
    second = run(tmp_path, [item(tmp_path, "a", "error", 4)])
    assert (second[0]["status"], second[0]["attempts"]) == ("ok", 2)


def test_only_what_is_missing_or_changed_is_done(tmp_path):
    run(tmp_path, [item(tmp_path, name) for name in "abc"])
    shutil.rmtree(tmp_path / "models/b")
    (tmp_path / "models/c/card.json").unlink()
    again = run(tmp_path, [item(tmp_path, name) for name in "abcd"])
    assert [card["name"] for card in again] == list("abcd")
    assert {name: traces(tmp_path, name) for name in "abcd"} == {"a": 1, "b": 2, "c": 2, "d": 1}
    changed = run(tmp_path, [item(tmp_path, "a", seed=5), item(tmp_path, "b")])
    assert {name: traces(tmp_path, name) for name in "abcd"} == {"a": 2, "b": 2, "c": 2, "d": 1}
    assert changed[0]["hash"] == fingerprint_of(5)
    expected = sum(np.random.default_rng([5, step]).standard_normal(3) for step in range(STEPS))
    np.testing.assert_allclose(arrays(tmp_path, "a")["a"], expected)


def test_a_stale_result_is_gone_before_its_successor_is_there(tmp_path):
    run(tmp_path, [item(tmp_path, "a")])
    with pytest.raises(InputError):
        run(tmp_path, [item(tmp_path, "b", "user"), item(tmp_path, "a", seed=5)])
    assert not (tmp_path / "models/a/model.safetensors").exists()
    assert not (tmp_path / "models/a/card.json").exists()


def test_unfinished_work_for_another_fingerprint_is_never_gone_on_with(tmp_path):
    compute = TWO.model_copy(update={"retries": 0})
    two = [item(tmp_path, "a", "kill", 1, fingerprint="old"), item(tmp_path, "b")]
    assert run(tmp_path, two, compute)[0]["status"] == "failed"
    assert list((tmp_path / "models/a").glob("scratch-*"))
    run(tmp_path, [item(tmp_path, "a", fingerprint="new")])
    assert traces(tmp_path, "a", "step") == STEPS // 2 + STEPS


def test_an_answer_that_was_lost_on_its_way_is_not_worked_out_again(tmp_path):
    asked = item(tmp_path, "a")
    attempts = Attempts(fit, tmp_path / "models", "cpu", 3, "run")
    (tmp_path / "models").mkdir()
    assert attempts(asked) == attempts(asked)
    assert traces(tmp_path, "a") == 1


def test_what_a_kill_left_beside_a_finished_model_is_removed(tmp_path):
    asked = [item(tmp_path, "a")]
    run(tmp_path, asked)
    finished = files(tmp_path)
    (tmp_path / "models/a" / asked[0].scratch).mkdir()
    for name in ("attempts.json", f"{asked[0].scratch}/step-0.npy"):
        (tmp_path / "models/a" / name).touch()
    run(tmp_path, asked)
    assert files(tmp_path) == finished
    assert not (tmp_path / "models/a" / asked[0].scratch).exists()
    assert traces(tmp_path, "a") == 1


@pytest.mark.parametrize("compute", [ONE, TWO], ids=["one", "two"])
def test_a_users_mistake_stops_the_run(tmp_path, compute):
    items = [item(tmp_path, "a", "user"), *(item(tmp_path, name) for name in "bcdefghijk")]
    with pytest.raises(InputError, match="a column is missing: add it"):
        run(tmp_path, items, compute)
    assert traces(tmp_path, "a") == 1
    assert len(files(tmp_path)) < 2 * len(items)


def test_models_no_longer_asked_for_are_removed_and_nothing_else(tmp_path):
    run(tmp_path, [item(tmp_path, name) for name in "abc"])
    (tmp_path / "models/b/scratch-1").mkdir()
    (tmp_path / "models/theirs").mkdir()
    (tmp_path / "models/theirs/notes.txt").write_text("mine")
    (tmp_path / "models/readme.txt").write_text("mine")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere/card.json").write_text("{}")
    (tmp_path / "models/link").symlink_to(tmp_path / "elsewhere")
    run(tmp_path, [item(tmp_path, "c")])
    assert {p.name for p in (tmp_path / "models").iterdir()} == {"c", "theirs", "readme.txt"}
    assert (tmp_path / "elsewhere/card.json").exists()


def test_what_cannot_be_removed_is_said_before_any_work(tmp_path, monkeypatch):
    run(tmp_path, [item(tmp_path, name) for name in "ab"])

    def refuse(path):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(ledger_run.shutil, "rmtree", refuse)
    with pytest.raises(InputError, match=r"models/b is stale .* \(Permission denied\): remove it"):
        run(tmp_path, [item(tmp_path, "a", seed=9)])
    assert traces(tmp_path, "a") == 1


@pytest.mark.parametrize("names", [("a", "a"), ("",), ("a/b",), (".hidden",), ("..",)])
def test_names_are_folders_of_their_own(tmp_path, names):
    with pytest.raises(ValueError, match="name"):
        run(tmp_path, [WorkItem(name, "f", None) for name in names])


def test_a_folder_is_complete_only_while_nothing_is_missing(tmp_path):
    models = ModelFolder(tmp_path / "models")
    run(tmp_path, [item(tmp_path, name) for name in "ab"])
    models.finish()
    assert json.loads((tmp_path / "models/complete.json").read_text()) == {
        name: item(tmp_path, name).fingerprint for name in "ab"
    }
    run(tmp_path, [item(tmp_path, name) for name in "ab"])
    assert models.complete
    run(tmp_path, [item(tmp_path, "a"), item(tmp_path, "bad", "error", 99)])
    assert not models.complete
    models.finish()
    assert not models.complete
    assert models.names() == ["a"]


def test_a_killed_run_goes_on_where_it_was(tmp_path):
    program = (
        "import sys, time; from pathlib import Path; sys.path.insert(0, sys.argv[1])\n"
        "import test_ledger as t\n"
        "folder = Path(sys.argv[2])\n"
        "t.run(folder, [t.item(folder, 'a'), t.item(folder, 'b', 'kill', 1)])\n"
    )
    here = str(Path(__file__).parent)
    done = subprocess.run([sys.executable, "-c", program, here, tmp_path], check=False)
    assert done.returncode == -signal.SIGKILL
    cards = run(tmp_path, [item(tmp_path, name) for name in "ab"])
    # Attempts of a run that is gone do not count.
    assert [card["attempts"] for card in cards] == [1, 1]
    assert traces(tmp_path, "a") == 1
    assert traces(tmp_path, "b", "step") == STEPS


class Settings(BaseModel):
    rate: float = 0.1
    layers: tuple[int, ...] = (8, 16)


PARTS = [
    *(None, True, False, 0, 1, 1.0, -1.0, "1", b"1", "", (), {}, [None], [[]], "ab", ["a", "b"]),
    *({"a": 1}, {"b": 1}, {"a": [1]}, [{"a": 1}], ["a", 1], [1, 2], [2, 1], [[1], 2], [1, [2]]),
    *(np.arange(6), np.arange(6).reshape(2, 3), np.arange(6).reshape(3, 2), np.arange(6.0)),
    *(np.arange(6, dtype=np.int32), np.array(["a", "b"]), np.array(1), Settings()),
    *(Settings(rate=0.2), Settings(layers=(8,)), float("nan"), np.array([np.nan])),
]


def test_different_parts_have_different_fingerprints():
    hashes = [fingerprint_of(part) for part in PARTS]
    assert len(set(hashes)) == len(PARTS)
    assert fingerprint_of("a", "b") != fingerprint_of("ab")
    assert fingerprint_of([1], [2]) != fingerprint_of([1, 2])


def test_the_same_part_has_the_same_fingerprint_however_it_is_held():
    turned = np.arange(6).reshape(2, 3).T.copy().T
    assert fingerprint_of(turned) == fingerprint_of(np.arange(6).reshape(2, 3))
    assert fingerprint_of(np.arange(6, dtype=">i8")) == fingerprint_of(np.arange(6, dtype="<i8"))
    assert fingerprint_of({"a": 1, "b": 2}) == fingerprint_of({"b": 2, "a": 1})
    assert fingerprint_of((1, 2)) == fingerprint_of([1, 2])
    assert fingerprint_of(np.float64(0.1), np.int32(3)) == fingerprint_of(0.1, 3)


def test_a_fingerprint_is_the_same_in_every_process():
    program = (
        "from ukb_brain.ledger import fingerprint_of; import numpy as np\n"
        "print(fingerprint_of({'b': {1, }.pop(), 'a': 0.1}, np.arange(4), 'x', None))"
    )
    other = subprocess.run(
        [sys.executable, "-c", program],
        env=os.environ | {"PYTHONHASHSEED": "77"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert other.stdout.strip() == fingerprint_of({"a": 0.1, "b": 1}, np.arange(4), "x", None)


@pytest.mark.parametrize("part", [{1, 2}, Path("a"), object(), np.array([None, "a"])])
def test_what_has_no_stable_content_has_no_fingerprint(part):
    with pytest.raises(TypeError, match="no fingerprint"):
        fingerprint_of(part)
