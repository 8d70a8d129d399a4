"""What a rig file says is held against itself when it is read, not when the arm moves."""

from pathlib import Path

import pytest
from roboadapt_ros.bringup.names import full_name
from roboadapt_ros.bringup.rig import load_rig, rig_names
from roboadapt_ros.errors import ConfigError, RoboAdaptError
import yaml

RIGS = Path(__file__).parents[2] / 'config' / 'rigs'


def _load(tmp_path, name, **changes):
    """Return a rig of config/rigs with keys changed; 'arm__output__topic' stands for a path."""
    mapping = yaml.safe_load((RIGS / f'{name}.yaml').read_text(encoding='utf-8'))
    for path, value in changes.items():
        *sections, key = path.split('__')
        section = mapping
        for step in sections:
            section = section.setdefault(step, {})
        section[key] = value
    file = tmp_path / 'rig.yaml'
    file.write_text(yaml.safe_dump(mapping), encoding='utf-8')
    return load_rig(str(file))


def _refused(tmp_path, name, said, **changes):
    with pytest.raises(RoboAdaptError, match=said):
        _load(tmp_path, name, **changes)


@pytest.mark.parametrize('name', rig_names())
def test_every_rig_file_passes(name):
    assert load_rig(name).robot in ('panda', 'fr3')


# ---- names that nodes call ----

NOT_NAMES = ['sim rig/deactivate', 'bad name!', 'a//b', 'a/', '1a', 'a/{b}', '~/a']


@pytest.mark.parametrize(
    ('name', 'path'),
    [
        ('sim', 'arm__recovery__stop_service'),
        ('sim', 'arm__recovery__recover_service'),
        ('fr3_crisp', 'arm__recovery__error_recovery'),
        ('fr3_crisp', 'arm__collision__service'),
        ('fr3_crisp', 'arm__load__service'),
        ('fr3_crisp', 'controller_manager'),
        ('fr3_jtc', 'gripper__node'),
        ('panda_jtc', 'gripper__action'),
        ('panda_jtc', 'gripper__stop_service'),
        ('fr3_moveit_servo', 'arm__output__servo_node'),
        ('fr3_jtc', 'nodes__governor__controller_manager'),
    ],
)
@pytest.mark.parametrize('value', NOT_NAMES)
def test_what_is_no_name_of_a_service_an_action_or_a_node_is_named(tmp_path, name, path, value):
    with pytest.raises(ConfigError, match='must be names of letters') as caught:
        _load(tmp_path, name, **{path: value})
    assert (caught.value.field, caught.value.value) == (path.replace('__', '.'), value)


@pytest.mark.parametrize(
    ('name', 'path'),
    [
        ('fr3_jtc', 'gripper__node'),
        ('panda_jtc', 'gripper__action'),
        ('fr3_moveit_servo', 'arm__output__servo_node'),
        ('fr3_crisp', 'arm__collision__service'),
    ],
)
def test_what_a_driver_calls_has_a_name(tmp_path, name, path):
    _refused(tmp_path, name, 'must be names of letters', **{path: ''})


@pytest.mark.parametrize('value', ['action_server/error_recovery', '/left/recover', 'a_1/B2'])
def test_what_is_a_name_passes(tmp_path, value):
    rig = _load(tmp_path, 'fr3_crisp', arm__recovery__error_recovery=value)
    assert rig.arm.recovery.error_recovery == value


def test_a_relative_name_is_in_the_namespace(tmp_path):
    rig = _load(tmp_path, 'sim', namespace='/left')
    assert full_name(rig, 'a/b') == '/left/a/b'
    assert full_name(rig, '/a/b') == '/a/b'
    assert full_name(load_rig('sim'), 'a') == '/a'


def test_a_camera_has_one_name(tmp_path):
    cameras = [{'name': 'left wrist', 'image': 'a'}]
    _refused(tmp_path, 'sim', r"cameras\[0\]\.name = 'left wrist'", cameras=cameras)


# ---- lists ----


@pytest.mark.parametrize(
    ('path', 'names', 'said'),
    [
        ('arm__controllers', [''], r'arm\.controllers.*none of them empty'),
        ('arm__controllers', ['a', 'b', 'a'], r'arm\.controllers.*must be different'),
        ('arm__controllers', ['a b'], r"arm\.controllers = 'a b': must be of letters"),
        ('nodes__governor__controllers', ['a', 'a'], r'nodes\.governor\.controllers'),
        ('gripper__joint_names', [], r'gripper\.joint_names = \(\): must be one or more'),
        ('gripper__joint_names', ['a', 'a'], r'gripper\.joint_names.*must be different'),
        ('gripper__joint_names', ['a', ''], r'gripper\.joint_names.*none of them empty'),
    ],
)
def test_a_list_of_names_has_each_once(tmp_path, path, names, said):
    _refused(tmp_path, 'fr3_crisp', said, **{path: names})


# ---- one robot ----


@pytest.mark.parametrize(
    ('robot', 'prefix', 'is_good'),
    [
        ('fr3', 'fr3_joint', True),
        ('fr3', 'left_fr3_joint', True),
        ('fr3', 'fr3v2_joint', True),
        ('fr3', 'joint', True),
        ('fr3', 'panda_cell_fr3_joint', True),
        ('fr3', 'offer_joint', True),
        ('fr3', 'panda_joint', False),
        ('fr3', 'left_fer_joint', False),
        ('panda', 'panda_joint', True),
        ('panda', 'fer_joint', True),
        ('panda', 'arm_a_joint', True),
        ('panda', 'right_FR3_joint', False),
        ('panda', 'fr3v2_joint', False),
    ],
)
def test_limits_of_one_arm_for_joints_that_are_called_after_another_are_refused(
    tmp_path, robot, prefix, is_good
):
    changes = {'robot': robot, 'arm__joint_prefix': prefix, 'arm__output__joint_order': []}
    if is_good:
        assert _load(tmp_path, 'fr3_crisp', **changes).robot == robot
    else:
        other = 'fr3' if robot == 'panda' else 'panda'
        _refused(tmp_path, 'fr3_crisp', f"robot = '{robot}'.*say 'robot: {other}'", **changes)


@pytest.mark.parametrize('node', ['governor', 'sim2real', 'sim_rig'])
def test_a_node_has_the_rigs_robot(tmp_path, node):
    path = f'nodes__{node}__robot'
    said = rf"nodes\.{node}\.robot = 'fr3': must be the rig's `robot`: panda"
    _refused(tmp_path, 'sim', said, **{path: 'fr3'})
    assert _load(tmp_path, 'sim', **{path: 'panda'}).nodes[node]['robot'] == 'panda'


@pytest.mark.parametrize('path', ['arm__robot_state_type', 'nodes__governor__robot_state_type'])
def test_a_type_of_robot_state_that_nobody_reads_is_answered_with_the_nearest(tmp_path, path):
    said = "Did you mean 'franka_msgs/FrankaRobotState'"
    _refused(tmp_path, 'fr3_crisp', said, **{path: 'franka_msgs/FrankaRobotStat'})


# ---- numbers ----


@pytest.mark.parametrize('rate_hz', [-5.0, -1, float('inf')])
def test_a_rate_is_positive_or_not_known(tmp_path, rate_hz):
    said = 'must be positive, or 0 where it is not known'
    for section in ('arm', 'gripper'):
        path = f'{section}__joint_states_hz'
        _refused(tmp_path, 'sim', rf'{section}\.joint_states_hz.*{said}', **{path: rate_hz})
    cameras = [{'name': 'scene', 'image': 'a', 'rate_hz': rate_hz}]
    _refused(tmp_path, 'sim', rf'cameras\.scene\.rate_hz.*{said}', cameras=cameras)


@pytest.mark.parametrize(
    ('path', 'value', 'bounds'),
    [
        ('arm__pose_tolerance_m', 0.2, '0.0005..0.1'),
        ('arm__pose_tolerance_m', float('inf'), '0.0005..0.1'),
        ('arm__pose_tolerance_m', -1.0, '0.0005..0.1'),
        ('arm__pose_tolerance_rad', 0.6, '0.001..0.5'),
        ('arm__pose_tolerance_rad', float('inf'), '0.001..0.5'),
        ('nodes__governor__pose_tolerance_rad', 0.6, '0.001..0.5'),
        ('arm__load__mass_kg', 3.1, '0.0..3.0'),
    ],
)
def test_a_number_that_makes_no_sense_is_refused_with_its_bounds(tmp_path, path, value, bounds):
    said = rf'{path.replace("__", ".")} = {value}: must be within {bounds}'
    _refused(tmp_path, 'fr3_crisp', said, **{path: value})


@pytest.mark.parametrize(
    ('name', 'value'),
    [
        ('collision_torque_nm', [101.0] * 7),
        ('collision_force_n', [float('inf')] * 6),
        ('contact_force_n', [1e9] * 6),
    ],
)
def test_a_threshold_that_no_touch_reaches_is_refused(tmp_path, name, value):
    path = f'arm__collision__{name}'
    _refused(tmp_path, 'fr3_crisp', rf'arm\.collision\.{name}.*none above 100', **{path: value})


def test_a_box_without_room_is_refused_also_where_one_corner_is_the_default(tmp_path):
    said = r'nodes\.governor\.workspace_low_m.*below workspace_high_m, which is 0.7 m along x'
    corner = {'nodes__governor__workspace_low_m': [0.7, -0.4, 0.0]}
    _refused(tmp_path, 'fr3_crisp', said, **corner)
    corner = {'nodes__governor__workspace_low_m': [0.1, 0.6, 0.0]}
    _refused(tmp_path, 'sim', 'which is 0.5 m along y', **corner)


# ---- commands ----


@pytest.mark.parametrize(
    ('changes', 'said'),
    [
        ({'gripper__command': 'target_joint'}, r'gripper\.command.*not arm\.output\.topic too'),
        ({'gripper__command': '/target_joint'}, r'gripper\.command.*not arm\.output\.topic too'),
        ({'gripper__command': 'franka/joint_states'}, r'not arm\.joint_states too'),
        ({'arm__output__topic': 'current_pose'}, r'arm\.output\.topic.*not arm\.current_pose'),
    ],
)
def test_a_topic_that_moves_something_has_nothing_else_on_it(tmp_path, changes, said):
    _refused(tmp_path, 'fr3_crisp', said, **changes)


def test_arm_and_hand_may_come_on_one_topic_of_states(tmp_path):
    path = {'gripper__joint_states': 'franka/joint_states'}
    assert _load(tmp_path, 'fr3_crisp', **path).gripper.joint_states == 'franka/joint_states'


@pytest.mark.parametrize('rate_hz', [5.0, 10.0])
def test_moveit_servo_gets_messages_before_it_halts(tmp_path, rate_hz):
    said = rf'arm\.output\.rate_hz = {rate_hz}: must be 20 Hz or more'
    _refused(tmp_path, 'fr3_moveit_servo', said, arm__output__rate_hz=rate_hz)
    for slow_hz in (0.0, 20.0):
        _load(tmp_path, 'fr3_moveit_servo', arm__output__rate_hz=slow_hz)
    _load(tmp_path, 'fr3_crisp', arm__output__rate_hz=10.0)


@pytest.mark.parametrize('rate_hz', [33.0, 70.0, 200.0, 1e-9, 5e-324])
def test_messages_come_at_a_whole_part_of_the_governors_rate(tmp_path, rate_hz):
    said = r'arm\.output\.rate_hz.*whole part of the governor rate \(100 Hz\)'
    _refused(tmp_path, 'fr3_crisp', said, arm__output__rate_hz=rate_hz)


@pytest.mark.parametrize(('rate_hz', 'least_s'), [(50.0, 0.04), (0.0, 0.02)])
def test_a_trajectory_reaches_over_two_messages(tmp_path, rate_hz, least_s):
    for horizon_s, is_good in ((0.0, True), (least_s, True), (least_s - 0.001, False)):
        changes = {'arm__output__rate_hz': rate_hz, 'arm__output__horizon_s': horizon_s}
        if is_good:
            _load(tmp_path, 'fr3_jtc', **changes)
        else:
            said = rf'arm\.output\.horizon_s.*at least 2 periods of messages: {least_s:g} s'
            _refused(tmp_path, 'fr3_jtc', said, **changes)
