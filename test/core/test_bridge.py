"""The bridge: a task's chunk becomes the rig's joints, or is refused with a cause."""

from dataclasses import replace

from control_fakes import PERIOD_S, rebuilt, still_chunk, T0_NS
import numpy as np
import pytest
from roboadapt_ros.contract import (
    ActionSpace,
    CameraContract,
    Contract,
    Envelope,
    GripperConvention,
    Reference,
    Rotation,
)
from roboadapt_ros.control.kinematics import PandaKinematics, Q_HOME
from roboadapt_ros.dataflow import ActionChunk, EE_POSE_NAMES, RobotState
from roboadapt_ros.errors import ConfigError, RefusedError, UnknownNameError
from roboadapt_ros.sim2real.bridge import Bridge, BridgeConfig
from roboadapt_ros.sim2real.gripper import from_width, gripper_range, to_width, width_seen

FR3_NAMES = tuple(f'fr3_joint{i}' for i in range(1, 8))
DOWN = (1.0, 0.0, 0.0, 0.0)


def make_contract(gripper=GripperConvention.WIDTH_M, robot='panda'):
    """Return a contract of a task with one camera."""
    camera = CameraContract(
        name='scene',
        width=64,
        height=64,
        crop=(0, 0, 64, 64),
        colour='rgb',
        intrinsics=(60.0, 60.0, 32.0, 32.0),
        base_from_camera=None,
    )
    return Contract(
        robot=robot,
        cameras=(camera,),
        proprioception=(),
        action_space=ActionSpace.EE_POSE,
        reference=Reference.MEASURED,
        frame='base',
        rotation=Rotation.FIXED,
        fixed_quat_xyzw=DOWN,
        gripper=gripper,
        rate_hz=10.0,
        chunk_length=8,
        execute_length=4,
        max_observation_age_s=0.3,
    )


def make_bridge(contract=None, **config):
    """Return a bridge to an fr3 rig."""
    config = BridgeConfig(robot='fr3', joint_names=FR3_NAMES, **config)
    contract = make_contract() if contract is None else contract
    return Bridge(config, contract, PandaKinematics())


def make_state(q=Q_HOME):
    """Return a measured state at rest."""
    position, quat = PandaKinematics().forward(np.asarray(q))
    return RobotState(
        stamp_ns=T0_NS,
        q=np.array(q, dtype=np.float64),
        dq=np.zeros(7),
        ee_position=position,
        ee_quat_xyzw=quat,
        ee_commanded=position,
        gripper_width_m=0.08,
    )


def pose_chunk(positions, stamp_ns=T0_NS, quat=DOWN, width=0.04):
    """Return an end-effector chunk through positions (n, 3) [m]."""
    n = len(positions)
    actions = np.column_stack([positions, np.tile(quat, (n, 1)), np.full(n, width)])
    base = still_chunk(stamp_ns)
    return rebuilt(base, space=ActionSpace.EE_POSE, names=EE_POSE_NAMES, actions=actions)


def line(start, end, n=8):
    """Return positions (n, 3) on a straight line."""
    return np.linspace(start, end, n)


def refused(bridge, chunk, state=None):
    """Return the error with which a chunk is refused."""
    with pytest.raises(RefusedError) as caught:
        bridge.map(chunk, make_state() if state is None else state)
    return caught.value


class TestPoses:
    def test_rows_reach_the_wanted_poses_under_the_rigs_names(self):
        positions = line((0.35, 0.0, 0.4), (0.5, 0.1, 0.2))
        mapped = make_bridge().map(pose_chunk(positions), make_state())
        assert mapped.names == (*FR3_NAMES, 'gripper_width')
        assert mapped.space is ActionSpace.JOINT_POSITION
        for row, wanted in zip(mapped.actions, positions, strict=True):
            position, quat = PandaKinematics().forward(row[:7])
            np.testing.assert_allclose(position, wanted, atol=1e-3)
            assert abs(quat @ DOWN) > 1.0 - 1e-6

    def test_stamps_identity_and_ledger_come_through_unchanged(self):
        chunk = pose_chunk(line((0.35, 0.0, 0.4), (0.4, 0.0, 0.4)))
        mapped = make_bridge().map(chunk, make_state())
        for name in ('stamp_ns', 'identity', 'ledger', 'period_s', 'start_ns'):
            assert getattr(mapped, name) == getattr(chunk, name)

    def test_the_tasks_bounds_come_along_in_the_rigs_frame_whatever_the_policy_said(self):
        task = Envelope(velocity_scale=0.3, low_m=(0.2, None, 0.05))
        bridge = make_bridge(
            replace(make_contract(), envelope=task), base_offset_m=(0.0, 0.0, -0.1)
        )
        mapped = bridge.map(pose_chunk(line((0.4, 0, 0.3), (0.45, 0, 0.3))), make_state())
        assert mapped.envelope.velocity_scale == 0.3
        assert mapped.envelope.low_m == (0.2, None, pytest.approx(-0.05))

    def test_successive_chunks_agree_where_they_overlap(self):
        def wave(t):
            return np.column_stack([0.45 + 0.05 * np.cos(t), 0.1 * np.sin(t), 0.25 + 0.0 * t])

        bridge, state, previous = make_bridge(), make_state(), None
        for k in range(60):
            t = k * PERIOD_S + PERIOD_S * np.arange(1, 9)
            mapped = bridge.map(pose_chunk(wave(t), T0_NS + int(k * PERIOD_S * 1e9)), state)
            if previous is not None:
                step = np.abs(previous.actions[1:, :7] - mapped.actions[:-1, :7]).max()
                assert step < 0.02, 'the elbow would swing at every chunk'
            previous, state = mapped, make_state(mapped.actions[0, :7])

    def test_the_last_solution_is_forgotten_when_the_arm_is_elsewhere(self):
        bridge = make_bridge()
        chunk = pose_chunk(line((0.35, 0.0, 0.4), (0.4, 0.0, 0.4)))
        bridge.map(chunk, make_state())
        elsewhere = make_state(Q_HOME + np.array([1.0, 0, 0, 0, 0, 0, 0]))
        fresh = make_bridge().map(chunk, elsewhere)
        np.testing.assert_allclose(bridge.map(chunk, elsewhere).actions, fresh.actions)

    def test_a_pose_out_of_reach_is_refused_with_row_and_place(self):
        chunk = pose_chunk(line((1.2, 0.0, 0.3), (1.4, 0.0, 0.3)))
        error = refused(make_bridge(), chunk)
        assert error.cause == 'ik' and 'row 0' in error.detail and 'mm' in error.detail

    def test_rows_from_the_first_one_out_of_reach_are_cut_off(self):
        bridge = make_bridge()
        mapped = bridge.map(pose_chunk(line((0.4, 0.0, 0.3), (1.1, 0.0, 0.3))), make_state())
        assert 1 <= len(mapped.actions) < 8
        assert bridge.counts['rows_out_of_reach'] == 8 - len(mapped.actions)
        last = PandaKinematics().forward(mapped.actions[-1, :7])[0]
        np.testing.assert_allclose(last[2], 0.3, atol=1e-3)

    def test_quaternions_from_averaging_are_normalised_and_vanishing_ones_refused(self):
        positions = line((0.35, 0.0, 0.4), (0.4, 0.0, 0.4))
        state = make_state()
        full = make_bridge().map(pose_chunk(positions), state)
        short = make_bridge().map(pose_chunk(positions, quat=np.multiply(0.9, DOWN)), state)
        np.testing.assert_allclose(short.actions, full.actions, atol=1e-9)
        flat = pose_chunk(positions, quat=np.multiply(0.1, DOWN))
        assert refused(make_bridge(), flat).cause == 'rotation'

    def test_base_offset_and_turn_move_the_poses(self):
        bridge = make_bridge(base_offset_m=(0.1, 0.0, 0.05), base_yaw_rad=np.pi / 2)
        # The task's x axis is the rig's y axis.
        mapped = bridge.map(pose_chunk(np.array([[0.1, -0.35, 0.3]])), make_state())
        position, quat = PandaKinematics().forward(mapped.actions[0, :7])
        np.testing.assert_allclose(position, (0.45, 0.1, 0.35), atol=1e-3)
        # Pointing down still, turned by 90 degrees about the vertical.
        assert abs(quat @ (np.sqrt(0.5), np.sqrt(0.5), 0.0, 0.0)) > 1.0 - 1e-6

    def test_a_state_goes_to_the_contract_and_back(self):
        bridge = make_bridge(base_offset_m=(0.1, -0.2, 0.05), base_yaw_rad=0.7)
        state = make_state()
        seen = bridge.frame.seen_from_contract(state)
        position, quat = bridge.frame.to_rig(seen.ee_position, seen.ee_quat_xyzw)
        np.testing.assert_allclose(position, state.ee_position, atol=1e-12)
        np.testing.assert_allclose(quat, state.ee_quat_xyzw, atol=1e-12)
        np.testing.assert_allclose(seen.ee_commanded, seen.ee_position)

    @pytest.mark.parametrize(
        ('rig_m', 'task_m'), [(0.078, 0.08), (0.039, 0.04), (0.0, 0.0), (0.0799, 0.08)]
    )
    def test_open_is_open_to_the_task_however_far_the_rigs_hand_opens(self, rig_m, task_m):
        assert width_seen(rig_m, rig_max_m=0.078, task_max_m=0.08) == pytest.approx(task_m)

    @pytest.mark.parametrize('yaw', [0.0, 0.7])
    def test_an_arm_that_is_to_stay_stays(self, yaw):
        """A displacement of nothing, seen by the policy and mapped by the bridge, is nothing."""
        bridge = make_bridge(base_offset_m=(0.1, -0.2, 0.05), base_yaw_rad=yaw)
        state = make_state()
        seen = bridge.frame.seen_from_contract(state)
        chunk = pose_chunk(np.tile(seen.ee_commanded, (4, 1)), quat=seen.ee_quat_xyzw)
        mapped = bridge.map(chunk, state)
        position, _ = PandaKinematics().forward(mapped.actions[-1, :7])
        np.testing.assert_allclose(position, state.ee_commanded, atol=1e-3)

    @pytest.mark.parametrize('offset', [(0.1, 0.2), (0.1, 0.2, float('nan'))])
    def test_a_base_that_is_nowhere_is_refused(self, offset):
        with pytest.raises(ConfigError, match='base_offset_m'):
            make_bridge(base_offset_m=offset)


class TestJoints:
    def test_contract_joints_are_renamed(self):
        mapped = make_bridge().map(still_chunk(T0_NS), make_state())
        assert mapped.names == (*FR3_NAMES, 'gripper_width')
        np.testing.assert_array_equal(mapped.actions[:, :7], np.tile(Q_HOME, (8, 1)))

    def test_columns_are_matched_by_name_not_by_order(self):
        chunk = still_chunk(T0_NS)
        order = np.array([6, 2, 0, 5, 1, 3, 4, 7])
        shuffled = rebuilt(
            chunk,
            names=tuple(chunk.names[i] for i in order),
            actions=chunk.actions[:, order],
        )
        mapped = make_bridge().map(shuffled, make_state())
        np.testing.assert_array_equal(mapped.actions[:, :7], np.tile(Q_HOME, (8, 1)))

    def test_scale_and_offset_make_the_rigs_joints(self):
        scale, offset = (1.0, -1.0, 1.0, 1.0, 57.0, 1.0, 1.0), (0.0, 0.1, 0, 0, 0, 0, -0.2)
        bridge = make_bridge(joint_scale=scale, joint_offset=offset)
        mapped = bridge.map(still_chunk(T0_NS), make_state())
        np.testing.assert_allclose(mapped.actions[0, :7], np.array(scale) * Q_HOME + offset)

    def test_rig_names_pass_as_they_are(self):
        bridge = make_bridge(joint_scale=(-1.0,) * 7)
        chunk = rebuilt(still_chunk(T0_NS), names=(*FR3_NAMES, 'gripper_width'))
        np.testing.assert_allclose(bridge.map(chunk, make_state()).actions, chunk.actions)

    @pytest.mark.parametrize(
        ('change', 'cause'),
        [
            ({'names': (*'abcdefg', 'gripper_width')}, 'names'),
            ({'names': ('panda_joint1',) * 7 + ('gripper_width',)}, 'names'),
            ({'names': (*still_chunk(T0_NS).names[:7], 'grip')}, 'names'),
            ({'space': ActionSpace.JOINT_VELOCITY}, 'space'),
            ({'actions': np.full((8, 8), np.nan)}, 'nan'),
            ({'actions': np.zeros((0, 8))}, 'shape'),
            ({'period_s': 0.0}, 'period'),
        ],
    )
    def test_malformed_chunks_are_refused(self, change, cause):
        assert refused(make_bridge(), rebuilt(still_chunk(T0_NS), **change)).cause == cause

    def test_a_state_that_is_not_finite_is_not_solved_from(self):
        state = make_state()
        state.q[3] = np.nan
        assert refused(make_bridge(), still_chunk(T0_NS), state).cause == 'not_ready'


class TestGripper:
    @pytest.mark.parametrize('convention', list(GripperConvention))
    def test_a_number_of_another_unit_is_refused_and_noise_is_clamped(self, convention):
        closed, opened = gripper_range(convention, 0.08)
        bridge = make_bridge(make_contract(convention))
        chunk = pose_chunk([[0.5, 0.0, 0.3]])
        names = (*chunk.names[:-1], 'gripper')

        def mapped(number):
            actions = chunk.actions.copy()
            actions[:, -1] = number
            row = bridge.map(rebuilt(chunk, names=names, actions=actions), make_state()).actions[0]
            return row[-1]

        for beyond in (closed - 0.1 * (opened - closed), closed):
            assert mapped(beyond) == 0.0
        for other in (opened + (opened - closed), closed - 300.0, 1e9):
            with pytest.raises(RefusedError, match=rf'gripper_width.*{convention.value}'):
                mapped(other)

    @pytest.mark.parametrize('convention', list(GripperConvention))
    def test_conventions_go_to_width_and_back(self, convention):
        for width in (0.0, 0.02, 0.08):
            number = from_width(width, convention, 0.08)
            assert to_width(number, convention, 0.08) == pytest.approx(width)

    @pytest.mark.parametrize(
        ('convention', 'closed', 'opened'),
        [
            (GripperConvention.WIDTH_M, 0.0, 0.08),
            (GripperConvention.FINGER_M, 0.0, 0.04),
            (GripperConvention.ZERO_OPEN, 1.0, 0.0),
            (GripperConvention.ONE_OPEN, 0.0, 1.0),
            (GripperConvention.MINUS_OPEN, 1.0, -1.0),
            (GripperConvention.BYTE_OPEN, 0.0, 255.0),
        ],
    )
    def test_ends_are_as_documented_and_are_not_passed(self, convention, closed, opened):
        assert to_width(closed, convention, 0.08) == 0.0
        assert to_width(opened, convention, 0.08) == pytest.approx(0.08)
        beyond = closed - 10.0 * (opened - closed)
        assert to_width(beyond, convention, 0.08) == 0.0

    def test_a_column_in_the_contracts_convention_becomes_metres_of_the_rigs_hand(self):
        contract = make_contract(GripperConvention.MINUS_OPEN)
        bridge = make_bridge(contract, gripper_width_max_m=0.1)
        names = (*still_chunk(T0_NS).names[:7], 'gripper')
        chunk = still_chunk(T0_NS)
        actions = chunk.actions.copy()
        actions[:, 7] = -1.0
        mapped = bridge.map(rebuilt(chunk, names=names, actions=actions), make_state())
        np.testing.assert_allclose(mapped.actions[:, 7], 0.1)


class TestConfig:
    def test_wrong_configurations_are_refused(self):
        with pytest.raises(ConfigError, match='joint_names'):
            BridgeConfig(robot='fr3', joint_names=FR3_NAMES[:6])
        with pytest.raises(ConfigError, match='must differ'):
            BridgeConfig(robot='fr3', joint_names=('a',) * 7)
        with pytest.raises(ConfigError, match='not be zero'):
            BridgeConfig(robot='fr3', joint_names=FR3_NAMES, joint_scale=(0.0,) * 7)
        with pytest.raises(UnknownNameError, match="Did you mean 'fr3'"):
            BridgeConfig(robot='fr33', joint_names=FR3_NAMES)

    def test_a_contract_for_an_unknown_arm_is_refused(self):
        with pytest.raises(UnknownNameError, match='robot'):
            make_bridge(make_contract(robot='ur5e'))

    def test_mapped_chunks_are_action_chunks(self):
        assert isinstance(make_bridge().map(still_chunk(T0_NS), make_state()), ActionChunk)
