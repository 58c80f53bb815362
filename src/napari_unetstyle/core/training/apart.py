"""Teaching in a process of its own: a window stays smooth, a crash takes nothing along, and it can always be ended.

The two talk in lines of JSON. The child does a step for each line it is sent and answers with its progress, so not
asking is a pause; when the line is ``"stop"`` it ends the training early and compares what there is. At ``"show"`` it
does no step, but writes down the best model so far; at ``"again"`` it tries once more to write what the disk refused.
A candidate that nobody took up (``"taken"``) it removes, and when nobody asks any more it removes the parcel that it
was given, too.
"""

from __future__ import annotations

import contextlib
import io
import json
import math
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import IO, Any

from napari_unetstyle.core import errors
from napari_unetstyle.core.annotation.corrections import Correction
from napari_unetstyle.core.errors import OutputError, TeachingError, UnetstyleError
from napari_unetstyle.core.models.aside import save_aside
from napari_unetstyle.core.models.model import Model
from napari_unetstyle.core.models.store import ModelStore
from napari_unetstyle.core.progress import Progress, Steps
from napari_unetstyle.core.training.candidate import Candidate, Checked
from napari_unetstyle.core.training.options import FineTuneOptions
from napari_unetstyle.core.training.parcel import Parcel
from napari_unetstyle.core.training.refused import Refused, iter_written
from napari_unetstyle.core.training.scores import Comparison
from napari_unetstyle.core.training.train_progress import TrainProgress

_NEXT, _STOP, _SHOW, _AGAIN, _TAKEN = "next\n", "stop\n", "show\n", "again\n", "taken\n"
_PATIENCE = 2.0  # seconds that a child has to end by itself


def iter_taught_apart(
    corrections: Sequence[Correction],
    parent: Model | None,
    options: FineTuneOptions,
    *,
    store: ModelStore,
    classes: Sequence[str] = (),
    should_stop: Callable[[], bool] = lambda: False,
) -> Steps[Candidate]:
    """As ``iter_fine_tune``, or ``iter_teach_new`` where there is no parent, in a process of its own.

    Raises
    ------
    UnetstyleError
        What the teaching raised there; :class:`TeachingError` if that process ended unexpectedly,
        :class:`OutputError` if the pictures cannot be put where it finds them.
    """
    with _scratch() as (folder, said):
        where = None if parent is None else parent.folder
        yield Progress(0, 1, "Looking at your pictures")
        parcel = Parcel(
            corrections=corrections, parent=where, classes=tuple(classes), options=options, store=store.root
        )
        yield from iter_written(partial(parcel.write, folder))
        with _child(folder, said) as child:
            answer = yield from _iter_asked(child, should_stop, said)
    candidate = Path(answer["folder"])
    return Candidate(
        model=store.load(candidate),
        parent=parent,
        comparison=Comparison.from_json(answer["comparison"]),
        places=tuple(_as_place(place) for place in answer["places"]),
        notes=tuple(answer["notes"]),
    )


@contextlib.contextmanager
def _scratch() -> Iterator[tuple[Path, IO[bytes]]]:
    """A folder for the parcel, and a file for what the other process says when it breaks."""
    with contextlib.ExitStack() as stack:
        try:
            folder = stack.enter_context(
                tempfile.TemporaryDirectory(prefix="unetstyle-teach-", ignore_cleanup_errors=True)
            )
            said = stack.enter_context(tempfile.TemporaryFile())
        except OSError as error:
            raise OutputError(
                f"Teaching needs a folder for temporary files, and none can be written to: {error.strerror or error}. "
                "Free some space, or name another folder by the environment variable TMPDIR."
            ) from error
        yield Path(folder), said


def _as_place(place: list[Any]) -> Checked:
    picture, frame, box = place
    return Checked(picture, tuple(frame), tuple(slice(*side) for side in box))


def _as_list(place: Checked) -> list[Any]:
    return [place.picture, list(place.frame), [[side.start, side.stop] for side in place.box]]


def _iter_asked(
    child: subprocess.Popen[str], should_stop: Callable[[], bool], said: IO[bytes]
) -> Steps[dict[str, Any]]:
    again = False
    while True:
        is_stopped = should_stop()  # which waits while it is paused
        answer = _ask(child, _AGAIN if again else _STOP if is_stopped else _NEXT, said)
        again = False
        if "folder" in answer:
            _tell(child, _TAKEN)
            return answer
        if "error" in answer:
            raise _as_error(answer)
        if "refused" in answer:
            refused = Refused(answer["step"], answer["total"], answer["message"], error=OutputError(answer["refused"]))
            yield refused
            again = refused.again.is_set()
            continue
        yield TrainProgress(
            answer["step"],
            answer["total"],
            answer["message"],
            loss=float("nan") if answer["loss"] is None else answer["loss"],
            score=answer["score"],
            seconds_left=answer["seconds_left"],
            so_far=partial(_shown, child, said) if answer["can_show"] else None,
        )


def _shown(child: subprocess.Popen[str], said: IO[bytes]) -> Model:
    """The best model so far; its files are gone once it is loaded."""
    answer = _ask(child, _SHOW, said)
    if "error" in answer:
        raise _as_error(answer)
    folder = Path(answer["shown"])
    model = ModelStore(folder).load(folder)
    model.__dict__["sha256"] = ""  # as of one in memory
    try:
        model.network  # noqa: B018 (is read, and kept)
    finally:
        shutil.rmtree(folder.parent, ignore_errors=True)
    return model


def _ask(child: subprocess.Popen[str], line: str, said: IO[bytes]) -> dict[str, Any]:
    assert child.stdout is not None
    _tell(child, line)
    try:
        answer = child.stdout.readline()
    except (OSError, UnicodeDecodeError):
        answer = ""
    if not answer.endswith("\n"):  # killed in the middle of a word, too
        code = _ended(child)
        said.seek(0)
        raise TeachingError(
            f"The teaching ended unexpectedly (exit code {code}). The model you had is as it was, and your corrections "
            "are kept; try again, with fewer or smaller pictures if memory was short.",
            said.read().decode("utf-8", errors="replace"),
        )
    content: dict[str, Any] = json.loads(answer)
    return content


def _tell(child: subprocess.Popen[str], line: str) -> None:
    assert child.stdin is not None
    with contextlib.suppress(OSError):  # its end of the pipe is gone, as its answer will tell
        child.stdin.write(line)
        child.stdin.flush()


def _ended(child: subprocess.Popen[str]) -> int:
    """The exit code of a process that is to end, one way or the other."""
    try:
        return child.wait(_PATIENCE)
    except subprocess.TimeoutExpired:
        child.kill()
        return child.wait()


def _as_error(answer: dict[str, Any]) -> UnetstyleError:
    kind = getattr(errors, answer["error"], None)
    if isinstance(kind, type) and issubclass(kind, UnetstyleError) and kind is not TeachingError:
        with contextlib.suppress(TypeError):
            return kind(answer["message"])
    return TeachingError(answer["message"], answer.get("details", ""))


@contextlib.contextmanager
def _child(folder: Path, said: IO[bytes]) -> Iterator[subprocess.Popen[str]]:
    """A process that teaches; ended when nobody asks any more."""
    command = [sys.executable, "-m", "napari_unetstyle.core.training.apart", str(folder)]
    environment = {**os.environ, "PYTHONIOENCODING": "utf-8", "PYTHONUNBUFFERED": "1"}
    pipe = subprocess.PIPE
    try:
        child = subprocess.Popen(
            command, stdin=pipe, stdout=pipe, stderr=said, text=True, encoding="utf-8", env=environment
        )
    except OSError as error:
        raise TeachingError(
            f"The teaching could not be started: {error.strerror or error}. The model you had is as it was; close "
            "other programs and try again."
        ) from error
    try:
        yield child
    finally:
        with contextlib.suppress(OSError):
            assert child.stdin is not None
            child.stdin.close()  # tells it to end, and to leave nothing behind
        _ended(child)
        assert child.stdout is not None
        child.stdout.close()


def serve(folder: Path, asked: IO[str], answers: IO[str]) -> None:
    """The child's side: do a step for each line that is asked."""
    stopped = False

    def wait(progress: Progress | None = None) -> None:
        nonlocal stopped
        while (line := asked.readline()) == _SHOW and progress is not None:
            answer(**_show(progress, folder))
        if line == _AGAIN and isinstance(progress, Refused):
            progress.again.set()
        if not line:
            raise EOFError
        stopped |= line == _STOP

    def answer(**content: Any) -> None:
        try:
            answers.write(json.dumps(content) + "\n")
            answers.flush()
        except OSError as error:  # as when nobody asks
            raise EOFError from error

    try:
        wait()
        parcel = Parcel.read(folder)
        with contextlib.closing(_steps(parcel, lambda: stopped)) as steps:
            while True:
                try:
                    progress = next(steps)
                except StopIteration as end:
                    _hand_over(end.value, parcel, answer, asked)
                    return
                answer(**_as_answer(progress))
                wait(progress)
    except EOFError:
        shutil.rmtree(folder, ignore_errors=True)  # who made it may have been killed
    except UnetstyleError as error:
        with contextlib.suppress(EOFError):
            answer(error=type(error).__name__, message=str(error))


def _as_answer(progress: Progress) -> dict[str, Any]:
    if isinstance(progress, Refused):
        told = {"step": progress.step, "total": progress.total, "message": progress.message}
        return {**told, "refused": str(progress.error)}
    loss = getattr(progress, "loss", None)
    return {
        "step": progress.step,
        "total": progress.total,
        "message": progress.message,
        "loss": None if loss is None or not math.isfinite(loss) else loss,
        "score": getattr(progress, "score", None),
        "seconds_left": getattr(progress, "seconds_left", None),
        "can_show": getattr(progress, "so_far", None) is not None,
    }


def _show(progress: Progress, folder: Path) -> dict[str, Any]:
    """Write down the best model so far; that this fails is no reason to end the teaching."""
    assert isinstance(progress, TrainProgress)
    assert progress.so_far is not None
    model = progress.so_far()
    try:
        return {"shown": str(save_aside(ModelStore(folder), model.spec, model.network).folder)}
    except UnetstyleError as error:
        return {"error": type(error).__name__, "message": str(error)}


def _hand_over(candidate: Candidate, parcel: Parcel, answer: Callable[..., None], asked: IO[str]) -> None:
    places = [_as_list(place) for place in candidate.places]
    try:
        content = {"comparison": candidate.comparison.to_json(), "places": places, "notes": candidate.notes}
        answer(folder=str(candidate.model.folder), **content)
        if asked.readline() != _TAKEN:
            raise EOFError
    except EOFError:
        candidate.forget(ModelStore(parcel.store))
        raise


def _steps(parcel: Parcel, should_stop: Callable[[], bool]) -> Steps[Any]:
    from napari_unetstyle.core.training.finetune import iter_fine_tune, iter_teach_new

    store = ModelStore(parcel.store)
    more: dict[str, Any] = {"store": store, "should_stop": should_stop, "clock": time.monotonic}
    if parcel.parent is None:
        return iter_teach_new(parcel.corrections, parcel.classes, parcel.options, **more)
    return iter_fine_tune(parcel.corrections, store.load(parcel.parent), parcel.options, **more)


if __name__ == "__main__":
    channel = io.TextIOWrapper(io.FileIO(os.dup(sys.stdout.fileno()), "wb"), encoding="utf-8")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # whatever a library prints must not break the talk
    serve(Path(sys.argv[1]), sys.stdin, channel)
