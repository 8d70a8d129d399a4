"""Controllers and hardware of the simulated franka_ros2, over a fault and the way back."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from roboadapt_ros.errors import SimError
from roboadapt_ros.sim.driver_state import DriverState, JOINT_BROADCASTER, ROBOT_BROADCASTER, Said
from roboadapt_ros.sim.franka import RobotMode
from roboadapt_ros.sim.rig import SimRig

NAME, COMPONENT = 'joint_impedance_controller', 'FrankaHardwareInterface'


@pytest.fixture(scope='module')
def arm() -> Iterator[SimRig]:
    rig = SimRig()
    yield rig
    rig.close()


@pytest.fixture
def rig(arm: SimRig) -> SimRig:
    arm.reset(0)
    return arm


@pytest.fixture
def driver(rig: SimRig) -> DriverState:
    return DriverState(rig, (NAME,), COMPONENT)


def nudge(rig: SimRig) -> bool:
    """Send a target where the arm is held; return whether the arm heard it."""
    rig.set_joint_target(rig.target)
    return rig.mode is RobotMode.MOVE


def test_an_activated_controller_starts_from_the_last_target_it_heard(rig, driver):
    start = rig.target
    driver.hear(start)
    driver.switch([], [NAME], is_strict=True)
    driver.switch([NAME], [], is_strict=True)
    assert rig.errors == ()
    driver.switch([], [NAME], is_strict=True)
    driver.hear(start + 0.3)  # from before the arm was moved by hand, say
    driver.switch([NAME], [], is_strict=True)
    assert rig.errors == ('joint_position_motion_generator_start_pose_invalid',)


def test_a_robot_with_an_active_controller_is_in_move(driver):
    assert driver.mode is RobotMode.MOVE
    driver.switch([], [NAME], is_strict=True)
    assert driver.mode is RobotMode.IDLE


def test_after_an_error_only_the_whole_way_back_lets_the_arm_hear(rig, driver):
    rig.inject_error('joint_reflex')
    driver.update()
    assert (driver.mode, driver.is_hardware_active) == (RobotMode.REFLEX, False)
    assert driver.controllers == {NAME: False}
    driver.recover()
    assert (driver.mode, driver.last_errors) == (RobotMode.IDLE, ('joint_reflex',))
    assert not nudge(rig), 'the component is not active'
    with pytest.raises(SimError, match=f'needs {COMPONENT}'):
        driver.switch([NAME], [], is_strict=True)
    driver.set_hardware(active=True)
    assert not nudge(rig), 'no controller is active'
    driver.switch([NAME], [], is_strict=True)
    assert driver.mode is RobotMode.MOVE
    assert nudge(rig)


def test_switching_is_all_or_nothing(driver):
    with pytest.raises(SimError, match=f"'other' is not loaded; loaded: {NAME}, joint_state_b"):
        driver.switch([], [NAME, 'other'], is_strict=False)
    assert driver.controllers == {NAME: True}


def test_strictness_minds_what_is_so_already(driver):
    driver.switch([NAME], [], is_strict=False)
    with pytest.raises(SimError, match='is active already'):
        driver.switch([NAME], [], is_strict=True)


def test_a_component_taken_down_takes_its_controllers_along(rig, driver):
    driver.set_hardware(active=False)
    assert driver.controllers == {NAME: False}
    assert not nudge(rig)


def test_the_user_stop_takes_the_component_down(rig, driver):
    rig.set_user_stop(pressed=True)
    driver.update()
    assert not driver.is_hardware_active
    with pytest.raises(SimError, match='user stop'):
        driver.recover()
    rig.set_user_stop(pressed=False)
    driver.recover()
    driver.set_hardware(active=True)
    driver.switch([NAME], [], is_strict=True)
    assert nudge(rig)


def test_an_error_in_motion_is_reported_by_nobody(rig, driver):
    """libfranka throws before the driver has the state that says so."""
    rig.inject_error('joint_reflex')
    driver.update()
    assert {driver.says(JOINT_BROADCASTER), driver.says(ROBOT_BROADCASTER)} == {Said.NOTHING}
    driver.set_hardware(active=True)
    assert driver.says(ROBOT_BROADCASTER) is Said.NOTHING, 'its broadcaster has ended too'
    driver.switch([JOINT_BROADCASTER, ROBOT_BROADCASTER], [], is_strict=False)
    assert (driver.says(ROBOT_BROADCASTER), driver.mode) == (Said.NOW, RobotMode.REFLEX)


def test_on_humble_what_was_read_last_is_repeated_and_controllers_stay_active(rig):
    driver = DriverState(rig, (NAME,), COMPONENT, is_humble=True)
    rig.inject_error('joint_reflex')
    driver.update()
    assert {driver.says(JOINT_BROADCASTER), driver.says(ROBOT_BROADCASTER)} == {Said.LAST}
    assert driver.controllers == {NAME: True}
    driver.recover()
    driver.set_hardware(active=True)
    assert driver.says(ROBOT_BROADCASTER) is Said.NOW
    assert not nudge(rig), 'no mode was switched: an active controller commands nothing'
    driver.switch([], [NAME], is_strict=False)
    driver.switch([NAME], [], is_strict=True)
    assert nudge(rig)


def test_an_error_of_an_idle_robot_is_reported_and_a_started_controller_clears_it(rig, driver):
    driver.switch([], [NAME], is_strict=True)
    rig.inject_error('joint_reflex')
    driver.update()
    assert (driver.says(ROBOT_BROADCASTER), driver.mode) == (Said.NOW, RobotMode.REFLEX)
    driver.switch([NAME], [], is_strict=True)
    assert (driver.mode, rig.errors) == (RobotMode.MOVE, ())
    assert driver.last_errors == ('joint_reflex',)
