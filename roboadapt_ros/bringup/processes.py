"""A rig becomes the list of its processes: the one place where nodes meet names.

Launch files and the command line start the same list. This module must not import rclpy.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from roboadapt_ros.bringup.environment import process_environment, without_images
from roboadapt_ros.bringup.paths import config_dir
from roboadapt_ros.bringup.paths import models_dir as packaged_models_dir
from roboadapt_ros.bringup.rig import CameraNames, RigConfig
from roboadapt_ros.config import to_mapping
from roboadapt_ros.errors import ConfigError
from roboadapt_ros.ros.hands.settings import GripperConfig
from roboadapt_ros.ros.outputs.settings import OutputConfig, TOPICS, TYPES
import yaml

PACKAGE = 'roboadapt_ros'
SINGLE_THREADED = {'OMP_NUM_THREADS': '1', 'OPENBLAS_NUM_THREADS': '1', 'MKL_NUM_THREADS': '1'}
"""Small matrices only: more threads would fight over the cores."""
ONE_ARENA = {'MALLOC_ARENA_MAX': '1'}
"""glibc's own arenas for each thread of the middleware hold 5 MB a process that nobody uses."""
DRAW_IN_PLACE = {'LP_NUM_THREADS': '0'}
"""Mesa's software renderer draws small pictures faster without threads to wait for."""
NICENESS = {'sim_rig': -10, 'governor': -10, 'sim2real': -5, 'policy': -5, 'encoder': -5}
"""By node: what must not wait comes first on a busy host."""
SEES_NO_IMAGES = ('governor', 'sim2real', 'policy')
LISTENING_CONTROLLER = (
    'its controller minds a sender that falls silent: deactivate it, then start the graph anew'
)
"""Why a governor must not send again by itself where it is to send always (`keep_alive`)."""
REALTIME = {'governor': 10}
"""By node: what must be on time on a host of which every core is busy. It takes 5 % of a core;
Linux keeps 5 % of the time from real-time processes, should one ever run away."""


@dataclass(frozen=True, kw_only=True)
class ProcessDescription:
    """One node process."""

    name: str
    """Node name."""
    executable: str
    """Installed executable, and module in `roboadapt_ros.nodes`."""
    namespace: str
    parameters: Mapping[str, Any]
    remappings: tuple[tuple[str, str], ...]
    """From the node's relative name to the rig's."""
    environment: Mapping[str, str]
    realtime: int = 0
    """Real-time priority asked for, 1..99, or 0; given where the system permits it."""
    niceness: int = 0
    """Scheduling priority asked for, lower is more urgent; given where the system permits it."""
    no_restart: str = ''
    """Why it must not be started again by itself when it has ended; '' where it may."""

    @property
    def full_name(self) -> str:
        """Return the node's name with its namespace: '/governor', '/left/governor'."""
        return '/'.join(['', *filter(None, (self.namespace.strip('/'), self.name))])

    def arguments(self, parameter_file: Path) -> list[str]:
        """Return the ROS arguments that name, remap and parametrise the node."""
        words = ['--ros-args', '-r', f'__node:={self.name}']
        if self.namespace.strip('/'):
            words += ['-r', f'__ns:=/{self.namespace.strip("/")}']
        for source, target in self.remappings:
            words += ['-r', f'{source}:={target}']
        return [*words, '--params-file', str(parameter_file)]

    def write_parameters(self, path: Path) -> None:
        """Write the parameter file that `arguments` names."""
        text = yaml.safe_dump({'/**': {'ros__parameters': dict(self.parameters)}})
        path.write_text(text, encoding='utf-8')


def process_list(
    rig: RigConfig,
    *,
    models_dir: Path | None = None,
    initial_task: str = '',
    record_to: Path | None = None,
) -> tuple[ProcessDescription, ...]:
    """Return the processes of a rig, in the order they are activated.

    Args:
        rig: The rig file.
        models_dir: Folder with backbones/ and tasks/; None: the package's own.
        initial_task: Task to serve from the start; '' = none until the first switch.
        record_to: Folder to record to; None: no recorder.

    Raises:
        ConfigError: No backbone, or several and the rig names none.
        RoboAdaptError: A camera's driver file is wrong.
    """
    models = packaged_models_dir() if models_dir is None else models_dir
    builder = _Builder(rig, models.resolve())
    processes = [builder.camera(camera) for camera in rig.cameras if camera.driver]
    if rig.simulated:
        processes.insert(0, builder.sim_rig())
    processes += [builder.governor(), builder.sim2real()]
    processes += [builder.policy(), builder.encoder(initial_task)]
    if record_to is not None:
        processes.insert(0, builder.recorder(record_to))
    return tuple(processes)


class _Builder:
    """Fills descriptions from one rig."""

    def __init__(self, rig: RigConfig, models_dir: Path):
        self._rig, self._models_dir = rig, str(models_dir)
        arm, gripper = rig.arm, rig.gripper
        self._joints = {
            'joint_names': list(arm.joint_names),
            'gripper_joint_names': list(gripper.joint_names),
        }
        self._hand = {
            'gripper_message': gripper.command_type,
            'gripper_convention': gripper.meaning.value,
        }
        self._state = (
            ('joint_states', arm.joint_states),
            ('gripper/joint_states', gripper.joint_states),
        )
        self._error = (('robot_state', arm.robot_state),) if arm.robot_state else ()
        self._target = (TOPICS[arm.output.driver], arm.output.topic)
        command = (('gripper/command', gripper.command),) if gripper.command else ()
        self._motion = (self._target, *command)
        self._pose = (('current_pose', arm.current_pose),) if arm.current_pose else ()
        self._described = (('robot_description', arm.robot_description),)

    def sim_rig(self) -> ProcessDescription:
        remaps = (*self._state, *self._motion, *self._error, *self._pose, *self._described)
        remaps += self._simulated_images()
        if self._rig.arm.joint_states != 'joint_states':
            remaps += (('merged_joint_states', 'joint_states'),)
        parameters: dict[str, Any] = {**self._joints, **self._hand, 'robot': self._rig.robot}
        parameters['output'] = settings(OutputConfig, self._rig.arm.output)
        rate_hz = self._rig.arm.output.rate_hz or self._own('governor').get('rate_hz')
        if rate_hz:
            parameters['target_rate_hz'] = rate_hz
        described = self._describe('sim_rig', parameters, remaps)
        return replace(described, environment={**described.environment, **DRAW_IN_PLACE})

    def governor(self) -> ProcessDescription:
        arm = self._rig.arm
        remaps = (*self._state, *self._motion, *self._error, *self._pose, *self._described)
        parameters = {
            'robot': self._rig.robot,
            'robot_state_type': arm.robot_state_type,
            **self._joints,
            'base_frame': arm.base_frame,
            'check_pose': bool(arm.current_pose),
            'pose_tolerance_m': arm.pose_tolerance_m,
            'pose_tolerance_rad': arm.pose_tolerance_rad,
            'output': settings(OutputConfig, arm.output),
            'gripper': settings(GripperConfig, self._rig.gripper),
            'controller_manager': self._rig.controller_manager,
            **self._care(),
        }
        described = self._describe('governor', parameters, remaps)
        return replace(described, no_restart=LISTENING_CONTROLLER if arm.output.keep_alive else '')

    def _care(self) -> dict[str, Any]:
        """Return the sections of the arm beside motion, where the rig file says something."""
        arm = self._rig.arm
        sections = {
            name: settings(type(section), section)
            for name, section in (
                ('recovery', arm.recovery),
                ('watch', arm.watch),
                ('contact', arm.contact),
                ('collision', arm.collision),
                ('load', arm.load),
            )
        }
        # An empty list is no list of strings to rclpy.
        listed = {'controllers': list(arm.controllers), **sections}
        return {name: values for name, values in listed.items() if values}

    def sim2real(self) -> ProcessDescription:
        parameters = {
            'robot': self._rig.robot,
            'robot_state_type': self._rig.arm.robot_state_type,
            'models_dir': self._models_dir,
            **self._joints,
            **self._opening(),
        }
        return self._describe('sim2real', parameters, (*self._state, *self._error))

    def policy(self) -> ProcessDescription:
        # The policy sees arm and hand as those that sim2real maps its actions from.
        mapped = {**self._opening(), **self._own('sim2real')}
        shared = ('base_offset_m', 'base_yaw_rad', 'gripper_width_max_m')
        seen: dict[str, Any] = {key: mapped[key] for key in shared if key in mapped}
        parameters = {'models_dir': self._models_dir, **self._joints, **seen}
        return self._describe('policy', parameters, self._state)

    def _opening(self) -> dict[str, Any]:
        """Return how far the hand opens, where the rig file says so."""
        width_m = self._rig.gripper.open_width_m
        return {'gripper_width_max_m': width_m} if width_m else {}

    def encoder(self, initial_task: str) -> ProcessDescription:
        rig = self._rig
        parameters: dict[str, Any] = {
            'models_dir': self._models_dir,
            'backbone_id': rig.backbone_id or self._only_backbone(),
            'cameras': [camera.name for camera in rig.cameras],
            'compressed': rig.compressed,
            'initial_task': initial_task,
        }
        if rig.tasks:
            parameters['tasks'] = list(rig.tasks)
        leaf = '/compressed' if rig.compressed else ''
        described = self._describe('encoder', parameters, self._images('image_raw' + leaf, leaf))
        threads = str(described.parameters.get('threads', 1))
        environment = {**described.environment, 'OMP_NUM_THREADS': threads}
        return replace(described, environment=environment)

    def camera(self, camera: CameraNames) -> ProcessDescription:
        path = config_dir() / 'cameras' / camera.driver
        try:
            settings = yaml.safe_load(path.read_text(encoding='utf-8'))
        except (OSError, ValueError, yaml.YAMLError) as error:
            raise ConfigError(
                f'cameras.{camera.name}.driver', camera.driver, f'must be a YAML file ({error})'
            ) from error
        if not isinstance(settings, dict):
            raise ConfigError(
                f'cameras.{camera.name}.driver', camera.driver, 'must hold parameters of a camera'
            )
        remaps = (('image_raw', camera.image), ('camera_info', info_topic(camera)))
        name = f'camera_{camera.name}'
        return self._describe('camera', {**settings, 'camera': camera.name}, remaps, name=name)

    def recorder(self, folder: Path) -> ProcessDescription:
        remaps = (*self._state, *self._images('image_raw'))
        remaps += (('target', self._target[1]),)
        parameters = {
            'folder': str(folder.resolve()),
            'target_type': TYPES[self._rig.arm.output.driver],
        }
        return self._describe('recorder', parameters, remaps)

    def _simulated_images(self) -> tuple[tuple[str, str], ...]:
        """Return remappings of the simulated cameras, out of the way of those with a driver."""
        driven = {f'cameras/{camera.name}/' for camera in self._rig.cameras if camera.driver}
        return tuple(
            (old, f'sim_rig/{old}' if old.startswith(tuple(driven)) else new)
            for old, new in self._images('image_raw')
        )

    def _images(self, leaf: str, suffix: str = '') -> tuple[tuple[str, str], ...]:
        remaps: list[tuple[str, str]] = []
        for camera in self._rig.cameras:
            remaps.append((f'cameras/{camera.name}/{leaf}', camera.image + suffix))
            remaps.append((f'cameras/{camera.name}/camera_info', info_topic(camera)))
        return tuple(remaps)

    def _only_backbone(self) -> str:
        # Hidden folders are being written, see `files.replace_folder`.
        found = Path(self._models_dir).glob('backbones/[!.]*/backbone.json')
        names = sorted(path.parent.name for path in found)
        if len(names) != 1:
            raise ConfigError(
                'backbone_id',
                '',
                f'must name one of: {", ".join(names) or "none"} '
                f'(in {self._models_dir}/backbones)',
            )
        return names[0]

    def _own(self, node: str) -> dict[str, Any]:
        """Return what the rig file sets of a node, as parameter files have it."""
        own: dict[str, Any] = to_mapping(self._rig.nodes.get(node, {}))
        # An empty list is no list of strings to rclpy, and the default of all that may be empty.
        return {name: value for name, value in own.items() if value != []}

    def _describe(
        self,
        node: str,
        parameters: Mapping[str, Any],
        remappings: tuple[tuple[str, str], ...],
        name: str = '',
    ) -> ProcessDescription:
        own, environment = self._own(node), self._rig.environment
        sees_images = own.get('cameras') if node == 'recorder' else node not in SEES_NO_IMAGES
        transport = {} if sees_images else without_images({**process_environment(), **environment})
        return ProcessDescription(
            name=name or node,
            executable=f'{node}_node',
            namespace=self._rig.namespace,
            parameters={**parameters, **own},
            remappings=tuple(pair for pair in remappings if pair[0] != pair[1]),
            environment={**SINGLE_THREADED, **ONE_ARENA, **environment, **transport},
            niceness=NICENESS.get(node, 0),
            realtime=REALTIME.get(node, 0),
        )


def settings(section: type, values: Any) -> dict[str, Any]:
    """Return the settings of a section that differ from its defaults, and its driver.

    Args:
        section: The dataclass that a node's parameters have.
        values: An instance of it, or of a rig file's dataclass that has more fields.
    """
    found = {}
    for setting in fields(section):
        value = getattr(values, setting.name)
        if value != setting.default or setting.name == 'driver':
            found[setting.name] = list(value) if isinstance(value, tuple) else value
    return found


def info_topic(camera: CameraNames) -> str:
    """Return the CameraInfo topic: by convention beside the image."""
    return camera.camera_info or f'{camera.image.rpartition("/")[0]}/camera_info'
