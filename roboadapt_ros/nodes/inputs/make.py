"""The controller that a rig file's driver speaks to."""

from __future__ import annotations

from roboadapt_ros.nodes.inputs.arm_input import ArmInput
from roboadapt_ros.nodes.inputs.servo import ServoInput
from roboadapt_ros.nodes.inputs.speeds import SpeedArrayInput
from roboadapt_ros.nodes.inputs.targets import ImpedanceInput, PositionArrayInput
from roboadapt_ros.nodes.inputs.trajectory import TrajectoryInput
from roboadapt_ros.nodes.sim_host import SimHost
from roboadapt_ros.ros.outputs.settings import (
    CARTESIAN_POSE,
    FLOAT64_ARRAY,
    JOINT_IMPEDANCE,
    JOINT_TRAJECTORY,
    OutputConfig,
    SERVO_JOG,
    SERVO_POSE,
    SERVO_TWIST,
)

INPUTS: dict[str, type[ArmInput]] = {
    JOINT_IMPEDANCE: ImpedanceInput,
    CARTESIAN_POSE: ImpedanceInput,
    JOINT_TRAJECTORY: TrajectoryInput,
    SERVO_TWIST: ServoInput,
    SERVO_JOG: ServoInput,
    SERVO_POSE: ServoInput,
    FLOAT64_ARRAY: PositionArrayInput,
}
"""Driver -> what takes its messages."""


def input_class(output: OutputConfig) -> type[ArmInput]:
    """Return what takes the messages of a driver."""
    if output.driver == FLOAT64_ARRAY and output.quantity == 'velocity':
        return SpeedArrayInput
    return INPUTS[output.driver]


def make_input(host: SimHost) -> ArmInput:
    """Return it, made; for `configure`. Errors as `ArmInput`."""
    return input_class(host.config.output)(host)
