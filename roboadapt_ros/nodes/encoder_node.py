"""The encoder as a node: synchronised camera frames to features under one task's adapters.

Subscribes:
    cameras/<name>/image_raw (sensor_msgs/Image, or sensor_msgs/CompressedImage by parameter)
        for every name of the parameter `cameras`; on a node beside this one, `encoder_frames`.
Publishes:
    encoder/features (roboadapt_interfaces/Features): one per complete set of frames.
    encoder/shadow_features (roboadapt_interfaces/Features): of every candidate that rides along,
        computed in a thread of its own for which no frame of the active task waits; of frames
        that come faster the newest.
    encoder/status (roboadapt_interfaces/AdapterStatus): latched; on change and once a second.
    /diagnostics
Serves:
    encoder/switch_adapter (SwitchAdapter): answers when the first frame of the new generation
        has been encoded. 'none:<task>' serves <task> without its adapters, for evaluation.
    encoder/stage_adapter (StageAdapter): beside the active task, which goes on meanwhile.
    encoder/shadow_adapters (ShadowAdapters), encoder/list_adapters (ListAdapters),
    encoder/verify_base (VerifyBase).
On failure: an exception while encoding ends the process, for whoever starts it again. A changed
backbone fails configuring and activating, and stops the serving when it
is found later. A frame of the wrong size, with a zero, repeated, old or future stamp, or that
can't be decoded is refused, counted by cause and logged. Without a task, or with a camera
missing, nothing is published.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

from rclpy.callback_groups import MutuallyExclusiveCallbackGroup
from roboadapt_interfaces.msg import AdapterStatus
from roboadapt_interfaces.msg import Features as FeaturesMessage
from roboadapt_interfaces.srv import (
    ListAdapters,
    ShadowAdapters,
    StageAdapter,
    SwitchAdapter,
    VerifyBase,
)
from roboadapt_ros.dataflow import Features, NO_ADAPTERS
from roboadapt_ros.encoder.select import load_encoder
from roboadapt_ros.encoder.task_encoder import TaskEncoder
from roboadapt_ros.engines import EngineKind
from roboadapt_ros.errors import ImageError, RefusedError, RoboAdaptError
from roboadapt_ros.nodes.adapter_services import AdapterServices
from roboadapt_ros.ros.convert import from_time, to_features, to_time
from roboadapt_ros.ros.diagnostics import Health, Level
from roboadapt_ros.ros.encoding import EncodeWorker
from roboadapt_ros.ros.frames import Frame, FramePairer, FrameSet, StampRule
from roboadapt_ros.ros.images import to_rgb
from roboadapt_ros.ros.listener import Listener
from roboadapt_ros.ros.newest import NewestWorker
from roboadapt_ros.ros.node import GraphNode
from roboadapt_ros.ros.node_parameters import EncoderParameters
from roboadapt_ros.ros.qos import DATA, IMAGE, LATCHED
from roboadapt_ros.ros.run import run
from sensor_msgs.msg import CompressedImage, Image

STATUS_PERIOD_S = 1.0
SILENT_CAMERA_S = 1.0


class EncoderNode(GraphNode[EncoderParameters]):
    """Drives a `TaskEncoder` from ROS; see the module for topics and failure behaviour."""

    def __init__(self) -> None:
        """Declare the parameters."""
        super().__init__('encoder', EncoderParameters)
        # A switch waits here while frames come in. Staging, which may export a graph for minutes,
        # holds up neither a switch nor questions.
        self._switching = MutuallyExclusiveCallbackGroup()
        self._staging = MutuallyExclusiveCallbackGroup()
        self._asking = MutuallyExclusiveCallbackGroup()
        self._engine: TaskEncoder
        self._adapters: AdapterServices
        self._worker: EncodeWorker | None = None
        self._candidates: NewestWorker[tuple[FrameSet, int]] | None = None
        self._failure = ''

    def configure(self, config: EncoderParameters) -> None:
        """Load the backbone, check it, stage and warm up the tasks."""
        self._config = config
        engine = load_encoder(
            Path(config.models_dir),
            config.backbone_id,
            kind=EngineKind(config.engine),
            threads=config.threads,
            max_bytes=round(config.max_resident_mb * 1e6),
            log=self.get_logger().info,
        )
        self.get_logger().info(f'Serving {config.backbone_id} by {engine.engine.name}')
        self._engine = engine
        self._stage_all()
        self._features_out = self.publisher(FeaturesMessage, 'encoder/features', DATA)
        self._shadow_out = self.publisher(FeaturesMessage, 'encoder/shadow_features', DATA)
        self._status_out = self.publisher(AdapterStatus, 'encoder/status', LATCHED)
        self._adapters = AdapterServices(
            engine, config, now_ns=self.now_ns, changed=self._report, broken=self._on_broken
        )

    def _stage_all(self) -> None:
        """Make the named tasks resident, or of all those that fit; the initial one first.

        Raises:
            RoboAdaptError: A named task can't be served, or does not fit beside the others.
        """
        config, engine = self._config, self._engine
        initial = config.initial_task.removeprefix(NO_ADAPTERS)
        named = dict.fromkeys((*filter(None, (initial,)), *config.tasks))
        others = () if config.tasks else engine.library.names()
        for task in dict.fromkeys((*named, *others)):
            try:
                engine.stage(task, staying=engine.resident)
            except RoboAdaptError as error:
                if task in named:
                    raise
                self.get_logger().error(f"Task '{task}' is not resident: {error}")
                continue
            note = engine.note(task)
            if note:
                self.get_logger().warning(f"Task '{task}': {note}")

    def activate(self) -> None:
        """Check the backbone again, listen and serve."""
        config, services = self._config, self._adapters
        self._engine.require_unsealed()
        self._engine.verify_base().require()
        self._rule = StampRule(max_age_s=config.max_frame_age_s)
        self._pairer = FramePairer(config.cameras, config.pairing_tolerance_s)
        self._set_ns, self._refusal = self.now_ns(), ''
        """When a set was last encoded, or would have been; why later ones were not."""
        if config.initial_task and self._engine.active is None:
            services.activate(config.initial_task)
        self._failure = ''
        self._candidates = NewestWorker(self._encode_shadows, self._on_failed, name='shadows')
        self._worker = services.worker = EncodeWorker(self._encode, self._on_failed)
        self.destroy_with_active(EncoderNode._stop_workers, self)
        kind, leaf = (CompressedImage, '/compressed') if config.compressed else (Image, '')
        frames = Listener(self, 'frames', self._on_failed)
        for name in config.cameras:
            topic = f'cameras/{name}/image_raw{leaf}'
            frames.subscribe(kind, topic, partial(self._on_image, name), IMAGE)
        frames.start()
        self.destroy_with_active(Listener.stop, frames)
        self.serve(SwitchAdapter, 'encoder/switch_adapter', services.switch, self._switching)
        self.serve(StageAdapter, 'encoder/stage_adapter', services.stage, self._staging)
        self.serve(ListAdapters, 'encoder/list_adapters', services.list_all, self._asking)
        self.serve(ShadowAdapters, 'encoder/shadow_adapters', services.shadow, self._switching)
        self.serve(VerifyBase, 'encoder/verify_base', services.verify, self._asking)
        self.every(STATUS_PERIOD_S, self._watch)
        self._report()

    def _stop_workers(self) -> None:
        """Encode no more."""
        for worker in (self._worker, self._candidates):
            if worker is not None:
                worker.stop()
        self._worker = self._candidates = None

    def release(self) -> None:
        """Let the backbone and its tasks go."""
        for name in ('_adapters', '_engine'):
            vars(self).pop(name, None)

    def health(self) -> Health:
        """Return refusals, drops, and which camera is silent."""
        if self.problem or not self.is_active or self._worker is None:
            return super().health()
        now_ns, task = self.now_ns(), self._engine.active
        silent = [
            name
            for name, stamp_ns in self._pairer.last_stamp_ns.items()
            if now_ns - stamp_ns > SILENT_CAMERA_S * 1e9
        ]
        values = {
            'encoded': self._worker.frames_encoded,
            'overrun': self._worker.frames_overrun,
            **self._pairer.counts,
            **self.refused,
        }
        if silent:
            return Health(Level.ERROR, f'no good frames from {", ".join(silent)}', values)
        idle_s = (now_ns - self._set_ns) / 1e9
        if task and idle_s > SILENT_CAMERA_S:
            return Health(
                Level.ERROR, f'nothing encoded for {idle_s:.1f} s: {self._why()}', values
            )
        return Health(Level.OK, f'serving {task}' if task else 'no task is active', values)

    def _why(self) -> str:
        """Return why frames that come are not encoded."""
        tolerance_s = self._config.pairing_tolerance_s
        return self._refusal or (
            f'no exposures of {", ".join(self._config.cameras)} within {tolerance_s:g} s'
        )

    def _on_image(self, camera: str, message: Image | CompressedImage) -> None:
        now_ns, stamp_ns = self.now_ns(), from_time(message.header.stamp)
        last_ns = self._pairer.last_stamp_ns[camera]
        cause = self._rule.judge(stamp_ns, last_ns, now_ns)
        if cause is not None:
            self.refuse(cause, self._rule.explain(camera, cause, stamp_ns, now_ns))
            return
        try:
            pixels = to_rgb(message, camera)
        except ImageError as error:
            self.refuse('image', str(error))
            return
        frames = self._pairer.add(camera, Frame(stamp_ns, now_ns, pixels))
        worker = self._worker  # another thread may deactivate the node meanwhile
        if frames is not None and worker is not None:
            worker.offer(frames)

    def _encode(self, frames: FrameSet) -> Features | None:
        """Encode a set and publish its features; runs in the worker."""
        if self._engine.active is None:
            self._set_ns = self.now_ns()  # nothing is missed
            return None
        try:
            features = self._engine.encode(
                {name: frame.pixels for name, frame in frames.frames.items()},
                {name: frame.stamp_ns for name, frame in frames.frames.items()},
                frames.received_ns,
                self.now_ns,
            )
        except ImageError as error:
            self._refusal = str(error)
            self.refuse('image_size', str(error))
        except RefusedError as error:
            self._refusal = error.detail
            self.refuse(error.cause, error.detail)
        else:
            self._set_ns, self._refusal = self.now_ns(), ''
            self._features_out.publish(to_features(features))
            self._offer_shadows(frames, features.identity.generation)
            return features
        return None

    def _offer_shadows(self, frames: FrameSet, generation: int) -> None:
        """Hand a set to the candidates, if there are any."""
        if self._candidates is None or not self._engine.shadows:
            return
        if self._candidates.offer((frames, generation)):
            self.refuse('shadow_behind', 'candidates take longer than frames; they left one out')

    def _encode_shadows(self, seen: tuple[FrameSet, int]) -> None:
        """Encode a set for the candidates; the generation is that of the active task's."""
        frames, generation = seen
        try:
            candidates = self._engine.encode_shadows(
                {name: frame.pixels for name, frame in frames.frames.items()},
                {name: frame.stamp_ns for name, frame in frames.frames.items()},
                frames.received_ns,
                self.now_ns,
                generation=generation,
                unfit=lambda task, error: self.refuse('shadow_image', f"'{task}': {error}"),
            )
        except Exception as error:  # noqa: BLE001 - a candidate must not end the active task
            self._engine.shadow(())
            self.refuse('shadow_failed', f'candidates no longer ride along: {error!r}')
        else:
            for features in () if self._engine.base_problem else candidates:
                self._shadow_out.publish(to_features(features))

    def _on_failed(self, report: str) -> None:
        self._failure = self.problem = 'encoding ended with an exception; see the log'
        self.get_logger().fatal(f'Encoding has ended:\n{report}')

    def _watch(self) -> None:
        """Report, and end the process after an exception in one of its threads."""
        if self._failure:
            raise RuntimeError(self._failure)
        self._report()

    def _on_broken(self, problem: str) -> None:
        self.problem = problem
        self.get_logger().error(problem)

    def _report(self) -> None:
        if not hasattr(self, '_engine') or not hasattr(self, '_adapters'):
            return  # a call that was going on when the node was cleaned up
        engine, services, worker = self._engine, self._adapters, self._worker
        status = AdapterStatus(stamp=to_time(self.now_ns()))
        status.backbone_id, status.backbone_digest = engine.backbone_id, engine.backbone_digest
        status.active_task, status.generation = engine.active or '', engine.generation
        status.active_digest, status.adapters_off = engine.active_digest, engine.adapters_off
        status.resident_tasks = list(engine.resident)
        status.switches = services.switches
        status.frames_encoded = worker.frames_encoded if worker else 0
        status.frames_dropped_at_switch = services.dropped_at_switch
        status.base_intact = not engine.base_problem
        self._status_out.publish(status)


def main(args: list[str] | None = None) -> None:
    """Run the node."""
    run(EncoderNode, args, threads=4)


if __name__ == '__main__':
    main()
