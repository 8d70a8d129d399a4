"""Every rig file, and the processes that follow from it."""

from dataclasses import fields, replace
from pathlib import Path

import pytest
from roboadapt_ros.bringup.driver import driver_arguments, spawner_arguments
from roboadapt_ros.bringup.processes import process_list
from roboadapt_ros.bringup.rig import (
    ArmNames,
    ArmOutput,
    CameraNames,
    GripperNames,
    load_rig,
    rig_names,
    RigConfig,
)
from roboadapt_ros.bringup.rig_checks import HORIZON_MIN_PERIODS
from roboadapt_ros.config import from_mapping
from roboadapt_ros.errors import (
    ConfigError,
    RoboAdaptError,
    UnknownKeyError,
    UnknownNameError,
)
from roboadapt_ros.nodes.sim2real_node import bridge_config
from roboadapt_ros.ros.hands.settings import OPTIONS as GRIPPER_OPTIONS
from roboadapt_ros.ros.node_parameters import (
    NODE_PARAMETERS,
    Sim2RealParameters,
)
from roboadapt_ros.ros.outputs.joint import PERIODS_MIN
from roboadapt_ros.ros.outputs.output import ticks_per_message
from roboadapt_ros.ros.outputs.settings import OPTIONS as OUTPUT_OPTIONS
from roboadapt_ros.ros.outputs.settings import OutputConfig, TOPICS
from roboadapt_ros.ros.robot_settings import ROBOT_STATE_TYPES
from roboadapt_ros.ros.robot_state import ROBOT_STATES
import yaml

CONFIG = Path(__file__).parents[2] / 'config'


def _processes(name, models, **options):
    return {p.name: p for p in process_list(load_rig(name), models_dir=models, **options)}


def test_the_rigs_of_the_documentation_are_there():
    wanted = {'sim', 'fr3_franka_ros2', 'fr3_crisp', 'fr3_jtc', 'fr3_moveit_servo', 'panda_jtc'}
    assert wanted <= set(rig_names())


@pytest.mark.parametrize('name', rig_names())
def test_every_parameter_of_every_process_fits_its_node(name, models, tmp_path):
    for process in process_list(load_rig(name), models_dir=models, record_to=tmp_path):
        values = dict(process.parameters)
        # The dataclass refuses unknown keys and wrong types, as the node would.
        from_mapping(
            NODE_PARAMETERS[process.executable.removesuffix('_node')],
            values,
            f'{name}: {process.name}',
        )


@pytest.mark.parametrize('path', sorted((CONFIG / 'cameras').glob('*.yaml')), ids=lambda p: p.stem)
def test_every_camera_file_fits_the_camera_node(path):
    settings = yaml.safe_load(path.read_text(encoding='utf-8'))
    from_mapping(NODE_PARAMETERS['camera'], {**settings, 'camera': 'scene'}, path.name)


def test_the_simulated_graph_is_complete_and_ends_with_the_encoder(models):
    names = list(_processes('sim', models))
    assert names == ['sim_rig', 'governor', 'sim2real', 'policy', 'encoder']


def test_a_real_rig_has_no_simulated_one_in_it(models):
    assert 'sim_rig' not in _processes('fr3_franka_ros2', models)


def test_a_camera_with_a_driver_file_is_a_process(models):
    camera = _processes('fr3_crisp', models)['camera_scene']
    assert camera.executable == 'camera_node'
    assert ('image_raw', 'cameras/scene/image_raw') in camera.remappings


def test_a_simulated_camera_makes_way_for_one_with_a_driver(models):
    rig = load_rig('sim')
    scene, wrist = rig.cameras
    rig = replace(rig, cameras=(scene, replace(wrist, driver='usb.yaml')))
    made = {process.name: process for process in process_list(rig, models_dir=models)}
    image = ('image_raw', wrist.image)
    assert image in made['camera_wrist'].remappings
    sent = dict(made['sim_rig'].remappings)
    assert sent['cameras/wrist/image_raw'] != wrist.image
    assert sent.get('cameras/scene/image_raw', 'cameras/scene/image_raw') == scene.image


def test_both_ends_of_a_stream_are_remapped_to_one_topic(models):
    processes = _processes('sim', models)
    for name in ('sim_rig', 'governor'):
        assert dict(processes[name].remappings)['target_joint'] == (
            'joint_impedance_controller/target_joint'
        )


def test_no_rig_goes_round_the_gate(models):
    """Every chunk passes sim2real, which starts closed: nothing moves before an explicit arm."""
    for name in rig_names():
        assert 'sim2real' in _processes(name, models)


def test_a_rigs_own_base_reaches_the_bridge():
    rig = Sim2RealParameters(
        models_dir='',
        robot='fr3',
        joint_names=tuple('abcdefg'),
        gripper_joint_names=('l', 'r'),
        base_offset_m=(0.1, 0.0, 0.0),
    )
    config = bridge_config(rig)
    assert config.base_offset_m[0] == 0.1


def test_a_rigs_own_base_reaches_the_policy_too(models, tmp_path):
    base = {'base_offset_m': [0.1, 0.0, 0.0], 'base_yaw_rad': 0.5}
    path = _changed(tmp_path, lambda m: m['nodes'].update(sim2real=base))
    for name in ('sim2real', 'policy'):
        parameters = _processes(path, models)[name].parameters
        assert {key: parameters[key] for key in base} == base


@pytest.mark.parametrize('topic', ['', 'bad topic!', '/a//b', 'a/'])
def test_what_is_no_topic_is_named(tmp_path, topic):
    path = _changed(tmp_path, lambda m: m['arm'].update(joint_states=topic))
    with pytest.raises(ConfigError, match=r"arm\.joint_states = '.*': must be names of letters"):
        load_rig(path)


@pytest.mark.parametrize(
    ('settings', 'said'),
    [
        ({'velocity_scal': 0.5}, "'velocity_scal'.*Did you mean 'velocity_scale'"),
        ({'velocity_scale': 1.5}, r'nodes\.governor\.velocity_scale = 1\.5: must be within'),
        ({'velocity_scale': float('nan')}, r'velocity_scale = nan: must be a number'),
        ({'velocity_scale': 'fast'}, r"velocity_scale = 'fast': must be float"),
        ({'robot': 'pandaa'}, r"nodes\.governor\.robot 'pandaa'. Did you mean 'panda'"),
        ({'watch': {'force_max_n': 1.0}}, r"nodes\.governor.*'watch'"),  # it is arm.watch
        ({'contact.force_max_n': 1.0}, r"nodes\.governor.*'contact\.force_max_n'"),
        ({'rate_hz': float('inf')}, r'nodes\.governor\.rate_hz = inf: must be within'),
        ({'controllers': [1]}, r'nodes\.governor\.controllers\[0\] = 1: must be str'),
        (['velocity_scale'], r'nodes\.governor.*must be a mapping'),
    ],
)
def test_what_is_wrong_with_a_node_is_named_before_it_is_started(tmp_path, settings, said):
    path = _changed(tmp_path, lambda m: m['nodes'].update(governor=settings))
    with pytest.raises(RoboAdaptError, match=said):
        load_rig(path)


def test_a_nodes_settings_are_of_the_types_that_ros_asks_for(models, tmp_path):
    given = {'velocity_scale': 1, 'workspace_low_m': [0, -1, 0], 'use_sim_time': True}
    given['controllers'] = []
    path = _changed(tmp_path, lambda m: m['nodes'].update(governor=given))
    found = _processes(path, models)['governor'].parameters
    numbers = [found['velocity_scale'], *found['workspace_low_m']]
    assert numbers == [1, 0, -1, 0]
    assert {type(number) for number in numbers} == {float}
    assert found['use_sim_time'] is True
    assert 'controllers' not in found, 'rclpy takes an empty list for one of bytes'


@pytest.mark.parametrize('corner', [[0.0, 0.1], [0.0] * 4, [], [0.0, 'a', 0.1], None])
def test_a_corner_of_the_workspace_is_three_numbers(tmp_path, corner):
    path = _changed(tmp_path, lambda m: m['nodes'].update(governor={'workspace_low_m': corner}))
    with pytest.raises(ConfigError, match='workspace_low_m'):
        load_rig(path)


def test_a_namespace_is_in_front_of_every_node(models):
    rig = load_rig('sim')
    left = type(rig)(**{**vars(rig), 'namespace': 'left'})
    assert {p.full_name for p in process_list(left, models_dir=models)} >= {'/left/governor'}


def test_an_unknown_rig_is_answered_with_the_nearest():
    with pytest.raises(UnknownNameError, match=r"rig 'simm'. Did you mean 'sim'"):
        load_rig('simm')


def _arm_with(mapping, **names):
    arm = {**mapping['arm'], **names}
    arm.pop('joint_prefix')
    return arm


def _changed(tmp_path, change):
    mapping = yaml.safe_load((CONFIG / 'rigs' / 'sim.yaml').read_text(encoding='utf-8'))
    change(mapping)
    path = tmp_path / 'changed.yaml'
    path.write_text(yaml.safe_dump(mapping), encoding='utf-8')
    return str(path)


def test_an_unknown_key_is_answered_with_the_nearest(tmp_path):
    path = _changed(tmp_path, lambda m: m['arm'].update(joint_state='x'))
    with pytest.raises(UnknownKeyError, match=r"'joint_state'. Did you mean 'joint_states'"):
        load_rig(path)


def test_a_section_of_an_unknown_node_is_answered_with_the_nearest(tmp_path):
    path = _changed(tmp_path, lambda m: m['nodes'].update(gouvernor={}))
    with pytest.raises(UnknownNameError, match=r"Did you mean 'governor'"):
        load_rig(path)


def test_a_wrong_number_of_joints_is_named(tmp_path):
    path = _changed(tmp_path, lambda m: m.update(arm=_arm_with(m, joint_names=['a', 'b'])))
    with pytest.raises(ConfigError, match=r'must be 7 names'):
        load_rig(path)


def test_a_models_folder_without_a_backbone_is_named(tmp_path):
    with pytest.raises(ConfigError, match=f'backbone_id.*none.*{tmp_path}'):
        process_list(load_rig('sim'), models_dir=tmp_path)


# ---- what a rig file is asked for, and what the nodes ask for ----


@pytest.mark.parametrize('rate_hz', [0.0, 20.0, 33.0, 33.1, 49.0, 50.0, 70.0, 99.5, 100.0, 120.0])
def test_a_rate_is_refused_with_the_file_where_the_driver_would_refuse_it(tmp_path, rate_hz):
    def would_be_taken(take):
        try:
            take()
        except ConfigError:
            return False
        return True

    path = _changed(tmp_path, lambda m: m['arm']['output'].update(rate_hz=rate_hz))
    config = OutputConfig(rate_hz=rate_hz)
    by_driver = would_be_taken(lambda: ticks_per_message(config, 100.0))
    assert would_be_taken(lambda: load_rig(path)) == by_driver


def test_the_rules_of_rig_files_are_those_of_what_they_are_about():
    assert set(ROBOT_STATE_TYPES) == set(ROBOT_STATES)
    assert HORIZON_MIN_PERIODS == PERIODS_MIN


# ---- sections ----


def test_every_key_is_in_the_manual():
    text = (CONFIG.parent / 'docs' / 'rig_files.md').read_text(encoding='utf-8')
    for section in (RigConfig, CameraNames, ArmNames, ArmOutput, GripperNames):
        for key in fields(section):
            assert f'`{key.name}`' in text, f'{key.name} of {section.__name__}'
    for driver in (*OUTPUT_OPTIONS, *GRIPPER_OPTIONS):
        assert f'`{driver}`' in text, driver
    for name in rig_names():
        assert f'| `{name}` |' in text, name


def test_the_example_of_the_manual_is_a_rig(tmp_path):
    text = (CONFIG.parent / 'docs' / 'rig_files.md').read_text(encoding='utf-8')
    path = tmp_path / 'example.yaml'
    path.write_text(text.split('```yaml')[1].split('```')[0], encoding='utf-8')
    rig = load_rig(str(path))
    assert rig.arm.joint_names[0] == 'left_fr3_joint1'


def test_every_driver_is_in_a_rig_file_or_its_options_are_tried_elsewhere():
    rigs = [load_rig(name) for name in rig_names()]
    assert {'joint_impedance', 'joint_trajectory', 'servo_twist'} <= {
        rig.arm.output.driver for rig in rigs
    }
    assert {rig.gripper.driver for rig in rigs} == set(GRIPPER_OPTIONS)


@pytest.mark.parametrize('name', rig_names())
def test_what_moves_the_arm_is_the_rig_files_topic_and_driver(name, models):
    rig, governor = load_rig(name), _processes(name, models)['governor']
    output = rig.arm.output
    own = TOPICS[output.driver]
    assert dict(governor.remappings).get(own, own) == output.topic
    assert governor.parameters['output']['driver'] == output.driver
    assert governor.parameters['gripper']['driver'] == rig.gripper.driver


def test_options_of_the_rig_file_reach_the_governor(models):
    governor = _processes('fr3_jtc', models)['governor'].parameters
    assert governor['output'] == {
        'driver': 'joint_trajectory', 'rate_hz': 50.0, 'horizon_s': 0.06, 'stamped': True
    }  # fmt: skip
    assert governor['lookahead_s'] == governor['output']['horizon_s'], 'the lag is made up for'
    assert governor['check_pose']


def test_the_hand_of_the_panda_opens_no_wider_than_franka_gripper_takes(models):
    gripper = load_rig('panda_jtc').gripper
    assert (gripper.meaning.value, gripper.open_width_m) == ('finger_m', 0.078)
    sent = _processes('panda_jtc', models)['governor'].parameters['gripper']
    assert sent['open_width_m'] == 0.078


def test_the_client_of_gello_is_told_the_width_at_the_end(models):
    sent = _processes('fr3_franka_ros2', models)['governor'].parameters['gripper']
    assert sent['goal_at_once'] is True


def test_both_ends_of_the_hands_topic_agree_on_what_a_number_means(models):
    processes = _processes('sim', models)
    assert processes['sim_rig'].parameters['gripper_convention'] == 'width_m'


def test_the_recorder_records_what_is_sent_to_the_arm(models, tmp_path):
    recorder = _processes('fr3_moveit_servo', models, record_to=tmp_path)['recorder']
    assert recorder.parameters['target_type'] == 'geometry_msgs/TwistStamped'
    assert ('target', 'servo_node/delta_twist_cmds') in recorder.remappings


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        ({'output': {'driver': 'joint_impedance'}}, r'output\.topic'),
        ({'output': {'driver': 'joint_pose', 'topic': 'x'}}, r'Unknown arm\.output\.driver'),
        ({'output': {'topic': 'x', 'rate': 50.0}}, r"'rate'. Did you mean 'rate_hz'"),
        ({'output': {'topic': 'x', 'rate_hz': 5000.0}}, r'rate_hz = 5000\.0: must be within'),
        ({'output': {'topic': 'x', 'horizon_s': 0.1}}, r'is an option of joint_trajectory'),
        (
            {'output': {'driver': 'joint_trajectory', 'topic': 'x', 'velocities': False}},
            r'velocities = False: is an option of joint_impedance; joint_trajectory takes',
        ),
        ({'output': {'topic': 'x', 'joint_order': ['a']}}, r'joint_order.*must hold panda_joint1'),
        ({'joint_names': ['a'] * 7}, r'either joint_prefix or joint_names'),
        ({'pose_tolerance_m': 0.0}, r'pose_tolerance_m'),
        ({'watch': {'force_max_n': 20.0}}, r'robot_state_type.*must be franka_msgs/FrankaRobot'),
        ({'contact': {'force_max_n': 20.0}}, r'contact\.stiffness_nm_rad.*is required'),
        ({'load': {'center_m': [0.0, 0.0, 0.1]}}, r'load\.mass_kg.*must be given with center_m'),
        ({'load': {'mass_kg': float('inf')}}, r'load\.mass_kg = inf: must be within'),
        ({'controllers': ['a']}, r'arm\.controllers.*needs a controller_manager'),
    ],
)
def test_what_is_wrong_with_the_arm_is_named(tmp_path, change, message):
    path = _changed(tmp_path, lambda m: m['arm'].update(change))
    with pytest.raises(RoboAdaptError, match=message):
        load_rig(path)


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        ({'driver': 'franka_actions'}, r'convention.*is an option of topic, gripper_comm'),
        ({'driver': 'franka_actions', 'convention': ''}, r'gripper\.command'),
        ({'command': ''}, r'gripper\.command'),
        ({'convention': 'open'}, r"convention 'open'.*one_open"),
        ({'command_type': 'std_msgs/Float'}, r"Did you mean 'std_msgs/Float"),
        ({'dwell_s': 1.0}, r'is an option of franka_actions, gripper_command'),
        (
            {'driver': 'franka_actions', 'command': '', 'convention': '', 'open_width_m': 0.05},
            r'open_width_m.*must be above open_above_m \(0\.05\)',
        ),
    ],
)
def test_what_is_wrong_with_the_hand_is_named(tmp_path, change, message):
    path = _changed(tmp_path, lambda m: m['gripper'].update(change))
    with pytest.raises(RoboAdaptError, match=message):
        load_rig(path)


# ---- Franka's launch file ----


def _real(tmp_path, arm=(), **changes):
    """Return fr3_jtc with other keys of the arm and of the rig."""
    mapping = yaml.safe_load((CONFIG / 'rigs' / 'fr3_jtc.yaml').read_text(encoding='utf-8'))
    mapping['arm'].update(arm)
    path = tmp_path / 'real.yaml'
    path.write_text(yaml.safe_dump({**mapping, **changes}), encoding='utf-8')
    return load_rig(str(path))


@pytest.mark.parametrize(
    ('robot', 'arm', 'told'),
    [
        ('fr3', {'joint_prefix': 'fr3_joint'}, ('fr3', '')),
        ('fr3', {'joint_prefix': 'fr3v2_joint'}, ('fr3v2', '')),
        ('fr3', {'joint_prefix': 'left_fr3v2_1_joint'}, ('fr3v2_1', 'left')),
        ('fr3', {'joint_prefix': 'my_left_fr3_joint'}, ('fr3', 'my_left')),
        ('fr3', {'joint_prefix': 'fp3_joint', 'robot_type': 'fp3'}, ('fp3', '')),
        ('panda', {'joint_prefix': 'left_panda_joint', 'robot_type': 'panda'}, ('panda', 'left')),
    ],
)
def test_type_and_prefix_of_the_arm_follow_from_its_joints(tmp_path, robot, arm, told):
    rig = _real(tmp_path, arm, robot=robot, namespace='left')
    wanted = {'robot_type': told[0], 'namespace': 'left'}
    assert driver_arguments(rig) == wanted | ({'arm_prefix': told[1]} if told[1] else {})


def test_the_example_of_the_manual_has_a_prefix(tmp_path):
    text = (CONFIG.parent / 'docs' / 'rig_files.md').read_text(encoding='utf-8')
    path = tmp_path / 'example.yaml'
    path.write_text(text.split('```yaml')[1].split('```')[0], encoding='utf-8')
    found = driver_arguments(load_rig(str(path)))
    assert found == {'robot_type': 'fr3', 'arm_prefix': 'left', 'namespace': 'left'}


@pytest.mark.parametrize(
    ('robot', 'arm', 'said'),
    [
        ('panda', {'joint_prefix': 'panda_joint'}, r"robot_ip = 'panda'.*name in arm\.robot_type"),
        ('fr3', {'joint_prefix': 'joint'}, r'arm\.joint_names.*with TYPE fr3 or fr3v2 or fr3v2_1'),
        ('fr3', {'joint_prefix': 'fr3_joint', 'robot_type': 'fr3v2'}, r'with TYPE fr3v2: so'),
        (
            'fr3',
            {'joint_prefix': '', 'joint_names': [f'fr3_joint{n}' for n in (1, 3, 2, 4, 5, 6, 7)]},
            r'arm\.joint_names.*TYPE_joint1 to 7',
        ),
    ],
)
def test_an_arm_whose_joints_the_driver_calls_otherwise_is_refused(tmp_path, robot, arm, said):
    with pytest.raises(ConfigError, match=said):
        driver_arguments(_real(tmp_path, arm, robot=robot))


@pytest.mark.parametrize('manager', ['controller_manager', '/left/manager'])
def test_the_spawner_asks_the_manager_of_the_rig(tmp_path, manager):
    rig = _real(tmp_path, controller_manager=manager)
    assert spawner_arguments(rig) == ['fr3_arm_controller', '--inactive', '-c', manager]
