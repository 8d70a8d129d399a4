"""Tasks over an engine: which are resident, which is active, what a frame is encoded under.

A switch replaces one reference to an immutable record, and an encode reads that reference
once. So whatever thread asks, every frame is encoded wholly under one task, and its
features carry that task's name, digest and generation.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
import threading
import time

from roboadapt_ros.adapters.library import TaskLibrary
from roboadapt_ros.adapters.package import TaskPackage
from roboadapt_ros.backbones.check import BaseCheck
from roboadapt_ros.contract import Contract
from roboadapt_ros.dataflow import Features
from roboadapt_ros.encoder.encoding import Encoding, TaskFrames
from roboadapt_ros.encoder.engine import AdapterHandle, Engine
from roboadapt_ros.encoder.fit import require_head
from roboadapt_ros.encoder.preprocess import Frames, require_seen
from roboadapt_ros.encoder.residency import DEFAULT_MAX_BYTES, Residency, ResidentTask
from roboadapt_ros.encoder.warm_up import WarmUp
from roboadapt_ros.errors import ConfigError, ImageError, RefusedError


@dataclass(frozen=True)
class Activation:
    """The outcome of a switch."""

    task: str
    package_digest: str
    generation: int
    switch_us: float
    """Time to make the task active in the running engine [us]."""


@dataclass(frozen=True)
class _Active:
    """What the next encode uses; immutable and replaced whole."""

    resident: ResidentTask
    handle: AdapterHandle | None
    generation: int


class TaskEncoder:
    """Encodes frames under one task at a time, several resident, or under several at once."""

    def __init__(
        self, engine: Engine, library: TaskLibrary, *, max_bytes: int = DEFAULT_MAX_BYTES
    ):
        """Serve the tasks of `library` over `engine`.

        Args:
            engine: Its backbone is checked at once.
            library: Task packages on disk.
            max_bytes: Bound on the adapter tensors of resident tasks [bytes]; the least
                recently used task gives way to a new one.

        Raises:
            BaseChangedError: The backbone is not intact.
        """
        self.engine, self.library = engine, library
        self._tasks = Residency(max_bytes)
        self._warm_up = WarmUp(engine)
        self._active: _Active | None = None
        self._shadows: tuple[ResidentTask, ...] = ()
        self._generation = 0
        self._base_problem = ''
        self._lock = threading.Lock()
        self.verify_base().require()

    @property
    def backbone_id(self) -> str:
        """Name of the backbone."""
        return self.engine.manifest.id

    @property
    def backbone_digest(self) -> str:
        """Digest of the backbone's tensors."""
        return self.engine.manifest.digest

    @property
    def active(self) -> str | None:
        """Task the next frame is encoded under."""
        active = self._active
        return active.resident.package.task if active else None

    @property
    def active_digest(self) -> str:
        """Digest of the package the next frame is encoded under; '' for none.

        After the task was staged anew, the active version stays until the next switch.
        """
        active = self._active
        return active.resident.package.digest if active else ''

    @property
    def adapters_off(self) -> bool:
        """Whether the active task is served over the bare backbone."""
        active = self._active
        return active is not None and active.handle is None

    @property
    def base_problem(self) -> str:
        """Why the backbone is not intact, as `seal` was told; '' while it is."""
        return self._base_problem

    @property
    def shadows(self) -> tuple[str, ...]:
        """Candidates that ride along."""
        return tuple(resident.package.task for resident in self._shadows)

    @property
    def generation(self) -> int:
        """Number of switches applied."""
        return self._generation

    @property
    def resident(self) -> tuple[str, ...]:
        """Tasks held in memory."""
        with self._lock:
            return self._tasks.names

    @property
    def resident_digests(self) -> dict[str, str]:
        """Digest of each resident task's package, by name."""
        with self._lock:
            return {name: self._tasks.get(name).package.digest for name in self._tasks.names}

    @property
    def resident_nbytes(self) -> int:
        """Bytes of the adapters of resident tasks, and of older versions in use."""
        with self._lock:
            kept = {self._tasks.get(name) for name in self._tasks.names}
            return sum(resident.handle.nbytes for resident in kept.union(self._used()))

    def contract(self, task: str) -> Contract:
        """Return a resident task's contract."""
        return self.package(task).contract

    def package(self, task: str) -> TaskPackage:
        """Return a resident task's package, without its tensors."""
        with self._lock:
            return self._tasks.get(task).package

    def note(self, task: str) -> str:
        """Return what to know of a resident task as it is served; '' for nothing."""
        with self._lock:
            return self._tasks.get(task).handle.note

    def stage(
        self, task: str, staying: Collection[str] = ()
    ) -> tuple[TaskPackage, tuple[str, ...]]:
        """Load a task beside the active one; encoding goes on meanwhile.

        Args:
            task: A task of the library; one that is resident is read anew.
            staying: Tasks that must not give way to it, beside those in use.

        Returns:
            The package, and the tasks that gave way to it.

        Raises:
            RoboAdaptError: The package is unknown, broken or for another backbone, or does
                not fit beside the tasks in use.
        """
        package = self.library.load(task, self.engine.manifest)
        return self.add(package, staying)

    def add(
        self, package: TaskPackage, staying: Collection[str] = ()
    ) -> tuple[TaskPackage, tuple[str, ...]]:
        """Make an already loaded package resident; arguments and errors as `stage`."""
        package.require_backbone(self.engine.manifest)
        # First what can be refused, so that no task gives way to one that does not come.
        handle = self.engine.add(package.manifest.adapters, package.part('adapters'))
        features = self._warm_up.stage(package, handle)
        require_head(package.manifest, self.backbone_id, features)
        with self._lock:
            # An older version of the task may be in use, which stays until the next switch.
            older = {used for used in self._used() if used.package.task == package.task}
            needed = handle.nbytes + sum(used.handle.nbytes for used in older)
            evicted = self._tasks.make_room(package.task, needed, {*staying, *self._in_use()})
            # The engine holds the adapters and another process the head: no second copy here.
            self._tasks.put(ResidentTask(replace(package, tensors={}), handle))
        return package, evicted

    def evict(self, task: str) -> None:
        """Drop a resident task.

        Raises:
            UnknownNameError: It is not resident.
            RefusedError: It is active, or rides along.
        """
        with self._lock:
            self._tasks.get(task)
            if task in self._in_use():
                raise RefusedError(
                    'active', f"task '{task}' is active or a shadow; switch to another first"
                )
            self._tasks.drop(task)

    def activate(self, task: str, *, with_adapters: bool = True) -> Activation:
        """Make a resident task active from the next encode on.

        Args:
            task: A resident task.
            with_adapters: False serves the task's identity over the bare backbone, the
                control arm of an evaluation.

        Raises:
            UnknownNameError: The task is not resident; the active one stays.
            ConfigError: The backbone is sealed.
        """
        with self._lock:
            self.require_unsealed()
            start = time.perf_counter_ns()
            resident = self._tasks.get(task)
            self._generation = generation = self._generation + 1
            handle = resident.handle if with_adapters else None
            before = self._used()
            self._active = _Active(resident, handle, generation)
            elapsed_us = (time.perf_counter_ns() - start) / 1e3
            for used in (*before, resident):  # up to now, and from now on
                self._tasks.use(used.package.task)
        return Activation(task, resident.package.digest, generation, elapsed_us)

    def seal(self, problem: str) -> None:
        """Serve no task ever again: the backbone is not the one released.

        Args:
            problem: Why, for whoever asks.
        """
        with self._lock:
            self._base_problem = problem
            self._active, self._shadows = None, ()

    def shadow(self, tasks: Sequence[str]) -> None:
        """Let resident candidates ride along on the live frames; () ends it.

        Raises:
            UnknownNameError: One is not resident; nothing changes.
            ConfigError: The backbone is sealed.
        """
        tasks = tuple(dict.fromkeys(tasks))
        with self._lock:
            shadows = tuple(self._tasks.get(task) for task in tasks)
        self._warm_up.together(shadows)
        with self._lock:
            if tasks:
                self.require_unsealed()
            shadows, before = tuple(self._tasks.get(task) for task in tasks), self._in_use()
            self._shadows = shadows
            for used in before:
                self._tasks.use(used)

    def encode(
        self,
        frames: Frames,
        stamps_ns: Mapping[str, int],
        received_ns: int,
        clock: Callable[[], int],
    ) -> Features:
        """Encode one synchronised set of frames under the active task.

        Args:
            frames: By camera name.
            stamps_ns: Exposure stamp by camera name [ns].
            received_ns: When the set was complete [ns].
            clock: Returns the time of the stamps' clock [ns].

        Returns:
            The features with their identity and ledger.

        Raises:
            RefusedError: No task is active.
            ImageError: A camera is missing or a frame has the wrong size.
        """
        active = self._active
        if active is None:
            raise RefusedError(
                'no_task',
                f'no task is active; switch to one of: {", ".join(self.resident) or "none"}',
            )
        encoding = Encoding(self.engine, active.generation, received_ns, clock)
        return encoding.under(active.resident.package, active.handle, frames, stamps_ns)

    def encode_shadows(
        self,
        frames: Frames,
        stamps_ns: Mapping[str, int],
        received_ns: int,
        clock: Callable[[], int],
        *,
        generation: int,
        unfit: Callable[[str, ImageError], None],
    ) -> tuple[Features, ...]:
        """Encode a set of frames under every candidate that rides along and can see it.

        Candidates with the same view of the frames share what lies below their adapters; those
        with a view of their own are one forward pass. For any thread, beside `encode`.

        Args:
            frames: As `encode`.
            stamps_ns: As `encode`.
            received_ns: As `encode`.
            clock: As `encode`.
            generation: Of the active task's features of these frames.
            unfit: Told each candidate to which the frames can't be shown, and why.
        """
        fit = []
        for shadow in self._shadows:
            try:
                require_seen(frames, shadow.package.contract)
            except ImageError as error:
                unfit(shadow.package.task, error)
            else:
                fit.append(shadow)
        encoding = Encoding(self.engine, generation, received_ns, clock)
        return encoding.under_all(fit, frames, stamps_ns)

    def encode_batch(
        self, sets: Sequence[TaskFrames], received_ns: int, clock: Callable[[], int]
    ) -> tuple[Features, ...]:
        """Encode sets of several tasks in one forward pass, each under its own adapters.

        Args:
            sets: For instance of two arms, or of several cameras with a task each.
            received_ns: When the sets were complete [ns].
            clock: Returns the time of the stamps' clock [ns].

        Raises:
            UnknownNameError: One task is not resident; nothing is encoded.
            ConfigError: The backbone is sealed.
            ImageError: As `encode`.
        """
        with self._lock:
            self.require_unsealed()
            tasks = [self._tasks.get(item.task) for item in sets]
            for item in sets:
                self._tasks.use(item.task)
            generation = self._generation
        return Encoding(self.engine, generation, received_ns, clock).each(tasks, sets)

    def require_unsealed(self) -> None:
        """Raise `ConfigError` if the backbone was found changed: nothing is served any more."""
        if self._base_problem:
            raise ConfigError('backbone', self.backbone_id, self._base_problem)

    def verify_base(self) -> BaseCheck:
        """Check that the engine's backbone is the one released."""
        return self.engine.check()

    def _used(self) -> tuple[ResidentTask, ...]:
        """Return what frames are encoded under: the active task and the shadows."""
        active = () if self._active is None else (self._active.resident,)
        return (*active, *self._shadows)

    def _in_use(self) -> set[str]:
        """Return the tasks that must stay."""
        return {resident.package.task for resident in self._used()}
