"""The simulated rig: repeatable, holding still, refusing what a real arm refuses."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from roboadapt_ros.errors import ConfigError, SimError, UnknownNameError
from roboadapt_ros.sim.arm_check import CollisionConfig
from roboadapt_ros.sim.impedance import ImpedanceConfig
from roboadapt_ros.sim.rig import RigConfig, RobotMode, SimRig
from roboadapt_ros.sim.scene import distance_to_segment, sample_scene, SceneConfig

OBJECTS = ('red', 'green', 'blue', 'mark')
PREFIX = 'joint_motion_generator_'
STIFF = (6000.0, 6000.0, 6000.0, 6000.0, 1500.0, 1500.0, 1500.0)


def move(rig: SimRig, change: np.ndarray | float, seconds: float = 1.0) -> np.ndarray:
    """Move by `change` [rad] along a smooth curve at 100 Hz, and return where to."""
    start, steps = rig.target, round(seconds / 0.01)
    for t in np.arange(1, steps + 1) / steps:
        rig.set_joint_target(start + change * t**3 * (10.0 - 15.0 * t + 6.0 * t**2))
        rig.advance(0.01)
    return rig.target


@pytest.fixture(scope='module')
def shared_rig() -> Iterator[SimRig]:
    rig = SimRig()
    yield rig
    rig.close()


@pytest.fixture
def rig(shared_rig: SimRig) -> SimRig:
    shared_rig.reset(0)
    return shared_rig


def snapshot(rig: SimRig) -> list[np.ndarray]:
    """Everything a reset decides, but the time."""
    state = rig.state()
    poses = [part for name in OBJECTS for part in rig.object_pose(name)]
    images = [rig.render(name) for name in rig.camera_names]
    return [state.q, state.dq, state.tau, state.ee_position, *poses, *images]


def test_a_reset_with_the_same_seed_is_bit_equal(rig):
    first = snapshot(rig)
    rig.set_gripper_target(0.02)
    move(rig, 0.02, 0.3)
    rig.reset(0)
    assert all(np.array_equal(a, b) for a, b in zip(first, snapshot(rig), strict=True))


def test_another_seed_gives_another_scene(rig):
    before = rig.object_pose('red')[0]
    rig.reset(1)
    assert np.linalg.norm(rig.object_pose('red')[0] - before) > 0.001


def test_time_does_not_run_backward_over_a_reset(rig):
    rig.advance(0.1)
    before = rig.time_s
    rig.reset(0)
    assert rig.time_s >= before


def test_fractions_of_a_step_are_not_lost(rig):
    start = rig.time_s
    for _ in range(40):
        rig.advance(0.00025)
    assert rig.time_s - start == pytest.approx(0.010, abs=1e-9)


def test_the_arm_holds_when_no_target_comes(rig):
    before = rig.state()
    rig.advance(1.0)
    moved = np.abs(rig.state().q - before.q).max()
    assert moved < 1e-3, f'the arm sagged by {moved:.4f} rad'


def test_the_arm_reaches_and_holds_its_last_target(rig):
    goal = move(rig, 0.02, 0.3)
    rig.advance(1.2)
    # Joint friction over stiffness leaves up to 0.024 rad at the last joint, as on the arm.
    np.testing.assert_allclose(rig.state().q[:6], goal[:6], atol=3e-3)
    assert rig.mode == RobotMode.MOVE


def test_torque_changes_no_faster_than_an_arm_allows(rig):
    """What franka_hardware does by default: a stiff controller asks for more."""
    config = ImpedanceConfig(stiffness=STIFF)
    stiff = SimRig(RigConfig(impedance=config))
    stiff.set_joint_target(stiff.state().q + 0.004)
    last = stiff.state().tau
    for _ in range(60):
        stiff.advance(0.001)
        assert np.abs(stiff.state().tau - last).max() < 1.2, 'more than 1 Nm in a millisecond'
        last = stiff.state().tau
    assert stiff.errors == ()


def test_torques_that_are_not_kept_to_the_rate_end_in_reflex():
    config = ImpedanceConfig(stiffness=STIFF, limits_torque_rate=False)
    stiff = SimRig(RigConfig(impedance=config))
    stiff.set_joint_target(stiff.state().q + 0.004)
    stiff.advance(0.01)
    assert stiff.errors == ('controller_torque_discontinuity',)


def test_objects_rest_where_they_were_put(rig):
    before = {name: rig.object_pose(name)[0] for name in OBJECTS}
    rig.advance(1.0)
    for name, position in before.items():
        moved = np.linalg.norm(rig.object_pose(name)[0] - position)
        assert moved < 1e-3, f'{name} moved by {moved:.4f} m'


def test_a_jump_ends_in_reflex_until_recovered(rig):
    q = rig.state().q
    rig.set_joint_target(q + 0.3)
    assert rig.mode == RobotMode.REFLEX
    assert rig.errors == ('joint_position_motion_generator_start_pose_invalid',)
    rig.set_joint_target(q + 0.01)
    rig.advance(0.3)
    assert np.abs(rig.state().q - q).max() < 1e-3, 'a target moved an arm in reflex'
    rig.recover()
    assert (rig.mode, rig.errors) == (RobotMode.IDLE, ())
    rig.set_joint_target(rig.state().q + 0.01)
    assert rig.mode == RobotMode.MOVE


def test_a_jump_in_motion_has_the_names_of_a_franka(rig):
    move(rig, 0.1, 1.0)
    rig.set_joint_target(rig.target + 0.3)
    names = ('velocity_limits_violation', 'velocity_discontinuity', 'acceleration_discontinuity')
    assert rig.errors == tuple(PREFIX + name for name in names)


def test_targets_that_break_off_in_motion_break_the_communication(rig):
    start = rig.target
    for step in range(1, 51):
        rig.set_joint_target(start + 0.2 * (1.0 - np.cos(0.02 * step)))
        rig.advance(0.01)
    rig.advance(0.18)
    assert rig.errors == ()
    rig.advance(0.04)
    assert (rig.mode, rig.errors) == (RobotMode.REFLEX, ('communication_constraints_violation',))


def test_a_caller_that_was_held_up_has_not_lost_its_sender(rig):
    start = rig.target
    for step in range(1, 51):
        rig.set_joint_target(start + 0.2 * (1.0 - np.cos(0.02 * step)))
        rig.advance(0.01)
    rig.advance(0.5, quiet_s=0.1)
    assert rig.errors == ()


def test_targets_that_end_at_rest_break_nothing(rig):
    move(rig, 0.1)
    rig.advance(2.0)
    assert (rig.mode, rig.errors) == (RobotMode.MOVE, ())


def test_the_arm_feels_what_it_runs_into(rig):
    """The hand is driven into the table, as no governor would let it."""
    start = rig.state()
    depth_m = start.ee_position[2] + 0.08
    for t in np.arange(1, 301) / 300:
        down = np.array([0.0, 0.0, -depth_m * t**3 * (10.0 - 15.0 * t + 6.0 * t**2)])
        q = rig.solve_pose(start.ee_position + down, start.ee_quat_xyzw)
        rig.set_joint_target(q)
        rig.advance(0.01)
        if rig.errors:
            break
    assert set(rig.errors) & {'joint_reflex', 'cartesian_reflex'}, rig.errors
    assert rig.mode == RobotMode.REFLEX


def test_a_robot_with_higher_thresholds_feels_less(rig):
    rig.set_collision((1000.0,) * 7, (1000.0,) * 6)
    try:
        with pytest.raises(AssertionError):
            test_the_arm_feels_what_it_runs_into(rig)
    finally:
        rig.reset(0)
        rig.set_collision(CollisionConfig().torque_nm, CollisionConfig().force_n)


def test_the_limits_are_those_of_the_robot():
    fr3 = SimRig(RigConfig(robot='fr3'))
    fr3.advance(0.1)
    assert fr3.errors == (), 'an arm at rest is well'
    q = fr3.state().q
    q[5] = 0.3  # a Panda may, an FR3 may not
    fr3.set_joint_target(q)
    assert fr3.errors == (f'{PREFIX}position_limits_violation',)


def test_a_target_outside_the_joint_limits_ends_in_reflex(rig):
    q = rig.state().q
    q[3] = 0.5
    rig.set_joint_target(q)
    assert rig.errors == ('joint_motion_generator_position_limits_violation',)


@pytest.mark.parametrize('target', [np.zeros(6), np.full(7, np.nan), 'home'])
def test_a_malformed_target_raises(rig, target):
    with pytest.raises(SimError, match='7 finite'):
        rig.set_joint_target(target)
    assert rig.mode == RobotMode.IDLE


def test_an_infinite_width_raises(rig):
    with pytest.raises(SimError, match='finite'):
        rig.set_gripper_target(np.inf)


def test_an_unknown_error_name_gets_the_nearest_one(rig):
    with pytest.raises(UnknownNameError, match="Did you mean 'joint_reflex'"):
        rig.inject_error('joint_reflexx')


def test_an_injected_error_stops_the_arm(rig):
    rig.inject_error('cartesian_reflex')
    assert (rig.mode, rig.errors) == (RobotMode.REFLEX, ('cartesian_reflex',))


def test_a_fault_that_lasts_must_go_before_recovering(rig):
    rig.set_faults(('joint_reflex',))
    assert (rig.mode, rig.errors) == (RobotMode.REFLEX, ('joint_reflex',))
    with pytest.raises(SimError, match='joint_reflex lasts'):
        rig.recover()
    rig.set_faults(())
    assert rig.mode == RobotMode.REFLEX, 'only recovering clears an error'
    rig.recover()
    assert (rig.mode, rig.errors) == (RobotMode.IDLE, ())


def test_a_fault_that_lasts_outlives_a_new_scene(rig):
    rig.set_faults(('joint_reflex',))
    rig.reset(0)
    assert rig.errors == ('joint_reflex',)
    rig.set_faults(())
    rig.recover()


def test_a_stuck_gripper_stays_where_it_is(rig):
    rig.set_faults(('gripper_stuck',))
    rig.set_gripper_target(0.0)
    rig.advance(0.5)
    assert rig.state().gripper_width_m == pytest.approx(0.08, abs=0.002)
    rig.set_faults(())
    rig.advance(1.0)
    assert rig.state().gripper_width_m < 0.01


def test_an_unknown_fault_gets_the_nearest_name(rig):
    with pytest.raises(UnknownNameError, match="Did you mean 'cartesian_reflex'"):
        rig.set_faults(('cartesian_refex',))


def test_the_user_stop_must_be_released_before_recovering(rig):
    rig.set_user_stop(pressed=True)
    assert rig.mode == RobotMode.USER_STOPPED
    with pytest.raises(SimError, match='release'):
        rig.recover()
    rig.set_user_stop(pressed=False)
    rig.recover()
    assert rig.mode == RobotMode.IDLE


def test_the_gripper_closes_at_its_own_speed(rig):
    rig.set_gripper_target(0.0)
    rig.advance(0.4)
    assert rig.state().gripper_width_m == pytest.approx(0.04, abs=0.006)
    rig.advance(0.8)
    assert rig.state().gripper_width_m == pytest.approx(0.0, abs=0.002)


def test_cameras_and_objects_are_known_by_name_only(rig):
    with pytest.raises(UnknownNameError, match='wrist'):
        rig.render('wrists')
    with pytest.raises(UnknownNameError, match='green'):
        rig.object_pose('grene')


def test_images_have_the_configured_size(rig):
    for name in rig.camera_names:
        frame_rgb = rig.render(name)
        assert frame_rgb.shape == (120, 160, 3)
        assert frame_rgb.dtype == np.uint8
        assert frame_rgb.std() > 10, f"camera '{name}' sees nothing"


@pytest.mark.parametrize(('name', 'channel'), [('red', 0), ('green', 1), ('blue', 2)])
def test_an_object_projects_onto_its_pixels(rig, name, channel):
    for seed in range(3):
        rig.reset(seed)
        u, v = rig.camera_model('scene').project(rig.object_pose(name)[0])
        pixel = rig.render('scene')[int(v), int(u)].astype(int)
        others = np.delete(pixel, channel)
        assert pixel[channel] > 1.6 * others.max(), f'{name}: pixel ({u:.0f}, {v:.0f}) is {pixel}'


def test_the_wrist_camera_moves_with_the_hand(rig):
    before = rig.camera_model('wrist').base_from_camera
    move(rig, np.array([0.03, 0, 0, 0, 0, 0, 0]), 0.3)
    rig.advance(0.2)
    after = rig.camera_model('wrist').base_from_camera
    assert np.linalg.norm(after[:3, 3] - before[:3, 3]) > 0.005


def test_scenes_do_not_overlap_and_leave_the_push_free():
    config = SceneConfig()
    rng = np.random.default_rng(0)
    for _ in range(200):
        place = sample_scene(rng, config).position_xy
        away = (place['mark'] - place['blue']) / np.linalg.norm(place['mark'] - place['blue'])
        behind = place['blue'] - config.approach_m * away
        assert np.linalg.norm(place['red'] - place['green']) >= config.separation_m
        for name in ('red', 'green'):
            clear = distance_to_segment(place[name], behind, place['mark'])
            assert clear >= config.separation_m


def test_without_randomisation_only_the_poses_change():
    look = sample_scene(np.random.default_rng(0), SceneConfig(randomisation=0.0)).look
    assert not look.table_rgb.any()
    assert not look.camera_position.any()


def test_an_image_beyond_the_buffer_is_refused():
    with pytest.raises(ConfigError, match='640x480'):
        RigConfig(width=1280, height=720)


def test_a_pose_target_is_reached_through_its_joints(rig: SimRig) -> None:
    rig.reset(4)
    start = rig.state()
    for t in np.arange(1, 51) / 50:
        way = t**3 * (10.0 - 15.0 * t + 6.0 * t**2)
        goal = start.ee_position + np.array([0.0, 0.05, -0.05]) * way
        rig.set_joint_target(rig.solve_pose(goal, start.ee_quat_xyzw))
        rig.advance(0.01)
    rig.advance(0.5)
    assert rig.errors == ()
    assert np.linalg.norm(rig.state().ee_position - goal) < 0.005


def test_a_pose_out_of_reach_is_refused(rig: SimRig) -> None:
    with pytest.raises(SimError, match='out of reach'):
        rig.solve_pose(np.array([2.0, 0.0, 0.5]), np.array([1.0, 0.0, 0.0, 0.0]))
