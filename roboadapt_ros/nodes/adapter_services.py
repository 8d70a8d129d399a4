"""The services of the encoder: switch, stage, shadow, list, verify."""

from __future__ import annotations

from collections.abc import Callable
import time

from roboadapt_interfaces.srv import (
    ListAdapters,
    ShadowAdapters,
    StageAdapter,
    SwitchAdapter,
    VerifyBase,
)
from roboadapt_ros.backbones.check import BaseCheck
from roboadapt_ros.dataflow import NO_ADAPTERS
from roboadapt_ros.encoder.task_encoder import Activation, TaskEncoder
from roboadapt_ros.errors import ConfigError, RoboAdaptError, UnknownNameError
from roboadapt_ros.ros.convert import to_time
from roboadapt_ros.ros.encoding import EncodeWorker
from roboadapt_ros.ros.node_parameters import EncoderParameters


class AdapterServices:
    """Answers requests about tasks; the engine goes on encoding meanwhile."""

    def __init__(
        self,
        engine: TaskEncoder,
        parameters: EncoderParameters,
        *,
        now_ns: Callable[[], int],
        changed: Callable[[], None],
        broken: Callable[[str], None],
    ):
        """Prepare.

        Args:
            engine: Serves the tasks.
            parameters: The node's.
            now_ns: Time on the ROS clock [ns].
            changed: Told after whatever changes the encoder's status.
            broken: Told why the backbone must no longer be served.
        """
        self._engine, self._parameters = engine, parameters
        self._now_ns, self._changed, self._broken = now_ns, changed, broken
        self.worker: EncodeWorker | None = None
        self.switches = 0
        self.dropped_at_switch = 0

    def activate(self, name: str) -> Activation:
        """Switch the engine; everything that can be wrong is found before it is touched.

        Args:
            name: A resident task, or 'none:<task>'.

        Raises:
            RoboAdaptError: Unknown or not resident, a camera is missing, a changed backbone.
        """
        engine, task = self._engine, name.removeprefix(NO_ADAPTERS)
        if task not in engine.resident and task in engine.library.names():
            engine.library.load(task, engine.engine.manifest)  # says why not
            raise ConfigError(
                'task', task, "is on disk but not resident: 'roboadapt switch --stage' loads it"
            )
        self._require_cameras(task)
        return engine.activate(task, with_adapters=not name.startswith(NO_ADAPTERS))

    def _require_cameras(self, task: str) -> None:
        """Raise `UnknownNameError` for a camera of a resident task that the node lacks."""
        for camera in self._engine.contract(task).cameras:
            if camera.name not in self._parameters.cameras:
                raise UnknownNameError(
                    f"camera of task '{task}'", camera.name, self._parameters.cameras
                )

    def switch(
        self, request: SwitchAdapter.Request, response: SwitchAdapter.Response
    ) -> SwitchAdapter.Response:
        """Switch, and answer when the first frame of the new generation has been encoded."""
        asked_ns, every = self._now_ns(), self._parameters.verify_every_switches
        if every and (self.switches + 1) % every == 0:
            self.check_base()  # a backbone that has changed is sealed, and activates nothing
        try:
            activation = self.activate(request.task)
        except RoboAdaptError as error:
            response.success, response.message = False, str(error)
            response.generation = self._engine.generation
            return response
        self.switches += 1
        response.generation = activation.generation
        response.package_digest = activation.package_digest
        response.switch_us = activation.switch_us
        self._await_boundary(activation, asked_ns, response)
        self._changed()
        return response

    def stage(
        self, request: StageAdapter.Request, response: StageAdapter.Response
    ) -> StageAdapter.Response:
        """Make a task resident, or drop it."""
        start_s = time.perf_counter()
        try:
            if request.evict:
                self._engine.evict(request.task)
                response.message = f"task '{request.task}' is no longer resident"
            else:
                package, evicted = self._engine.stage(request.task)
                response.package_digest = package.digest
                gave_way = f'; {", ".join(evicted)} gave way to it' if evicted else ''
                note = self._engine.note(request.task)
                warning = f'; {note}' if note else ''
                response.message = f"task '{request.task}' is resident{gave_way}{warning}"
            response.success = True
        except RoboAdaptError as error:
            response.success, response.message = False, str(error)
        except Exception as error:  # noqa: BLE001 - what a runtime raises must not end what is served
            response.success = False
            response.message = f"task '{request.task}' could not be staged: {error!r}"
        response.stage_ms = (time.perf_counter() - start_s) * 1e3
        self._changed()
        return response

    def shadow(
        self, request: ShadowAdapters.Request, response: ShadowAdapters.Response
    ) -> ShadowAdapters.Response:
        """Let candidates ride along, or end it."""
        try:
            for task in request.tasks:
                self._require_cameras(task)
            self._engine.shadow(request.tasks)
            names = ', '.join(request.tasks)
            response.message = f'riding along: {names}' if names else 'no task rides along'
            response.success = True
        except RoboAdaptError as error:
            response.success, response.message = False, str(error)
        except Exception as error:  # noqa: BLE001 - as in `stage`
            response.success, response.message = False, f'nothing rides along anew: {error!r}'
        response.shadows = list(self._engine.shadows)
        return response

    def list_all(
        self, request: ListAdapters.Request, response: ListAdapters.Response
    ) -> ListAdapters.Response:
        """Say what is active, resident and on disk."""
        engine = self._engine
        response.active_task, response.generation = engine.active or '', engine.generation
        resident = engine.resident_digests
        response.resident, response.digests = list(resident), list(resident.values())
        response.available = [name for name in engine.library.names() if name not in resident]
        response.backbone_id = engine.backbone_id
        response.backbone_digest = engine.backbone_digest
        return response

    def verify(
        self, request: VerifyBase.Request, response: VerifyBase.Response
    ) -> VerifyBase.Response:
        """Check the live backbone."""
        check = self.check_base()
        problem = self._engine.base_problem
        response.success, response.message = not problem, problem or 'intact'
        response.expected_digest = self._engine.backbone_digest
        if check is not None:
            response.digest, response.probe_equal = check.digest, check.probe_equal
        return response

    def check_base(self) -> BaseCheck | None:
        """Check the backbone; when it has changed, or can't be checked, nothing more is served.

        Returns:
            What was found; None where it could not be checked.
        """
        check = None
        try:
            check = self._engine.verify_base()
            check.require()
        except Exception as error:  # noqa: BLE001 - as in `stage`; what can't be checked is not served
            problem = str(error) if isinstance(error, RoboAdaptError) else repr(error)
            self._engine.seal(problem)
            self._broken(problem)
        self._changed()
        return check

    def _await_boundary(
        self, activation: Activation, asked_ns: int, response: SwitchAdapter.Response
    ) -> None:
        """Fill in what happened to frames at the switch."""
        timeout_s, worker = self._parameters.switch_timeout_s, self.worker
        boundary = worker.await_generation(activation.generation, timeout_s) if worker else None
        response.success = boundary is not None
        if boundary is None and worker is not None and worker.has_failed:
            response.message = 'encoding ended with an exception; see the log of the encoder'
            return
        if boundary is None:
            response.message = (
                f"task '{activation.task}' is active, but no frame was encoded within "
                f'{timeout_s:g} s; check the cameras {", ".join(self._parameters.cameras)}'
            )
            return
        response.message = f"task '{activation.task}' is active"
        response.last_frame_before = to_time(boundary.last_before_ns)
        response.first_frame_after = to_time(boundary.first_after_ns)
        response.boundary_ms = (boundary.first_after_at_ns - asked_ns) / 1e6
        response.frames_dropped = boundary.dropped
        self.dropped_at_switch += boundary.dropped
