"""A real rig file without its robot: what the fake takes from it, and what it serves."""

from __future__ import annotations

from dataclasses import replace

import pytest
from roboadapt_ros.bringup.fake import fake_rig
from roboadapt_ros.bringup.processes import process_list
from roboadapt_ros.bringup.rig import load_rig
from roboadapt_ros.errors import ConfigError

ALL = ('franka_msgs', 'control_msgs', 'controller_manager_msgs')


def fake(name, *installed):
    return fake_rig(load_rig(name), lambda package: package in installed)


@pytest.mark.parametrize('name', ['fr3_franka_ros2', 'fr3_crisp'])
def test_the_names_are_those_of_the_rig_file(name):
    rig, lacks = fake(name, *ALL)
    real = load_rig(name)
    assert lacks == ()
    assert rig.simulated
    assert rig.arm.joint_names == real.arm.joint_names
    assert rig.arm.controllers == real.arm.controllers
    for part in ('joint_states', 'output', 'current_pose', 'robot_state', 'robot_state_type'):
        assert getattr(rig.arm, part) == getattr(real.arm, part)
    assert rig.arm.recovery == real.arm.recovery
    assert rig.gripper == real.gripper
    assert [camera.image for camera in rig.cameras] == [camera.image for camera in real.cameras]


def test_the_simulated_rig_stands_behind_the_names(models):
    rig, _ = fake('fr3_franka_ros2', *ALL)
    described = process_list(rig, models_dir=models)[0]
    assert described.name == 'sim_rig'
    remaps = dict(described.remappings)
    assert remaps['target_joint'] == 'gello/joint_states'
    assert remaps['joint_states'] == 'franka/joint_states'
    assert remaps['merged_joint_states'] == 'joint_states'
    assert remaps['robot_state'] == 'franka_robot_state_broadcaster/robot_state'
    parameters = described.parameters
    assert (parameters['robot'], parameters['fake_driver']) == ('fr3', True)
    assert parameters['robot_state_type'] == 'franka_msgs/FrankaRobotState'
    assert parameters['controllers'] == ['joint_impedance_controller']


def test_what_is_not_installed_is_left_out_and_named():
    rig, lacks = fake('fr3_franka_ros2')
    assert [lack.split(':')[0] for lack in lacks] == ['controller_manager_msgs', 'franka_msgs']
    assert rig.arm.robot_state_type == 'diagnostic_msgs/DiagnosticStatus'
    assert (rig.arm.controllers, rig.controller_manager) == ((), '')
    assert rig.arm.recovery.recover_service == 'sim_rig/recover'
    assert rig.arm.recovery.stop_service == 'sim_rig/deactivate'
    assert not rig.arm.collision.is_given


def test_an_output_the_simulated_arm_does_not_take_is_refused():
    with pytest.raises(ConfigError, match='joint_impedance and cartesian_pose only'):
        fake('fr3_jtc', *ALL)


def test_a_camera_the_simulated_rig_lacks_is_refused():
    rig = load_rig('fr3_franka_ros2')
    other = replace(rig, cameras=(replace(rig.cameras[0], name='shoulder'),))
    with pytest.raises(ConfigError, match=r"'shoulder'.*scene, wrist"):
        fake_rig(other, lambda package: True)
