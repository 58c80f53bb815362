"""Teaching in a process of its own: a window stays smooth, a crash takes nothing along, and it can always be ended.

The two talk in lines of JSON. The child does a step for each line it is sent and answers with its progress, so not
asking is a pause; when the line is ``"stop"`` it ends the training early and compares what there is.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO, Any

from napari_unetstyle.core import errors
from napari_unetstyle.core.annotation.corrections import Correction
from napari_unetstyle.core.errors import TeachingError, UnetstyleError
from napari_unetstyle.core.models.store import Model, ModelStore
from napari_unetstyle.core.progress import Progress, Steps
from napari_unetstyle.core.training.candidate import Candidate, Checked
from napari_unetstyle.core.training.options import FineTuneOptions
from napari_unetstyle.core.training.parcel import Parcel
from napari_unetstyle.core.training.scores import Comparison
from napari_unetstyle.core.training.train_progress import TrainProgress

_NEXT, _STOP = "next\n", "stop\n"
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
        What the teaching raised there; :class:`TeachingError` if that process ended unexpectedly.
    """
    with tempfile.TemporaryDirectory(prefix="unetstyle-teach-") as name:
        folder = Path(name)
        where = None if parent is None else parent.folder
        yield Progress(0, 1, "Looking at your pictures")
        parcel = Parcel(
            corrections=corrections, parent=where, classes=tuple(classes), options=options, store=store.root
        )
        parcel.write(folder)
        with tempfile.TemporaryFile() as said, _child(folder, said) as child:
            answer = yield from _iter_asked(child, should_stop, said)
    candidate = Path(answer["folder"])
    return Candidate(
        model=store.load(candidate),
        parent=parent,
        comparison=Comparison.from_json(answer["comparison"]),
        places=tuple(_as_place(place) for place in answer["places"]),
    )


def _as_place(place: list[Any]) -> Checked:
    picture, frame, box = place
    return Checked(picture, tuple(frame), tuple(slice(*side) for side in box))


def _as_list(place: Checked) -> list[Any]:
    return [place.picture, list(place.frame), [[side.start, side.stop] for side in place.box]]


def _iter_asked(
    child: subprocess.Popen[str], should_stop: Callable[[], bool], said: IO[bytes]
) -> Steps[dict[str, Any]]:
    while True:
        answer = _ask(child, _STOP if should_stop() else _NEXT, said)
        if "folder" in answer:
            return answer
        if "error" in answer:
            raise _as_error(answer)
        score, loss = answer["score"], answer["loss"]
        yield TrainProgress(
            answer["step"], answer["total"], answer["message"], loss=float("nan") if loss is None else loss, score=score
        )


def _ask(child: subprocess.Popen[str], line: str, said: IO[bytes]) -> dict[str, Any]:
    assert child.stdin is not None
    assert child.stdout is not None
    try:
        child.stdin.write(line)
        child.stdin.flush()
        answer = child.stdout.readline()
    except OSError:  # its end of the pipe is gone
        answer = ""
    if not answer:
        code = child.wait(_PATIENCE)
        said.seek(0)
        raise TeachingError(
            f"The teaching ended unexpectedly (exit code {code}). The model you had is as it was, and your corrections "
            "are kept; try again, with fewer or smaller pictures if memory was short.",
            said.read().decode("utf-8", errors="replace"),
        )
    content: dict[str, Any] = json.loads(answer)
    return content


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
    child = subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=said,
        text=True,
        encoding="utf-8",
        env=environment,
    )
    try:
        yield child
    finally:
        with contextlib.suppress(OSError):
            assert child.stdin is not None
            child.stdin.close()  # tells it to end, and to leave nothing behind
        try:
            child.wait(_PATIENCE)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
        assert child.stdout is not None
        child.stdout.close()


def serve(folder: Path, asked: IO[str], answers: IO[str]) -> None:
    """The child's side: do a step for each line that is asked."""
    stopped = False

    def wait() -> None:
        nonlocal stopped
        line = asked.readline()
        if not line:
            raise EOFError
        stopped |= line == _STOP

    def answer(**content: Any) -> None:
        answers.write(json.dumps(content) + "\n")
        answers.flush()

    wait()
    parcel = Parcel.read(folder)
    steps = _steps(parcel, lambda: stopped)
    try:
        while True:
            try:
                progress = next(steps)
            except StopIteration as end:
                candidate = end.value
                places = [_as_list(place) for place in candidate.places]
                answer(folder=str(candidate.model.folder), comparison=candidate.comparison.to_json(), places=places)
                return
            loss = getattr(progress, "loss", None)
            answer(
                step=progress.step,
                total=progress.total,
                message=progress.message,
                loss=None if loss is None or loss != loss else loss,
                score=getattr(progress, "score", None),
            )
            wait()
    except EOFError:
        return
    except UnetstyleError as error:
        answer(error=type(error).__name__, message=str(error))
    finally:
        steps.close()


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
