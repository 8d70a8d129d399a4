"""Every rig file, and the processes that follow from it."""

from pathlib import Path

import pytest
from roboadapt_ros.bringup.processes import process_list
from roboadapt_ros.bringup.rig import load_rig, rig_names
from roboadapt_ros.config import from_mapping
from roboadapt_ros.errors import ConfigError, UnknownKeyError, UnknownNameError
from roboadapt_ros.nodes import parameters
import yaml

PARAMETERS = {
    'sim_rig_node': parameters.SimRigParameters,
    'camera_node': parameters.CameraParameters,
    'encoder_node': parameters.EncoderParameters,
    'policy_node': parameters.PolicyParameters,
    'sim2real_node': parameters.Sim2RealParameters,
    'governor_node': parameters.GovernorParameters,
    'recorder_node': parameters.RecorderParameters,
}
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
        from_mapping(PARAMETERS[process.executable], values, f'{name}: {process.name}')


@pytest.mark.parametrize('path', sorted((CONFIG / 'cameras').glob('*.yaml')), ids=lambda p: p.stem)
def test_every_camera_file_fits_the_camera_node(path):
    settings = yaml.safe_load(path.read_text(encoding='utf-8'))
    from_mapping(parameters.CameraParameters, {**settings, 'camera': 'scene'}, path.name)


def test_the_simulated_graph_is_complete_and_ends_with_the_encoder(models):
    names = list(_processes('sim', models))
    assert names == ['sim_rig', 'governor', 'sim2real', 'policy', 'encoder']


def test_a_real_rig_has_no_simulated_one_in_it(models):
    assert 'sim_rig' not in _processes('fr3_franka_ros2', models)


def test_a_camera_with_a_driver_file_is_a_process(models):
    camera = _processes('fr3_crisp', models)['camera_scene']
    assert camera.executable == 'camera_node'
    assert ('image_raw', 'cameras/scene/image_raw') in camera.remappings


def test_both_ends_of_a_stream_are_remapped_to_one_topic(models):
    processes = _processes('sim', models)
    for name in ('sim_rig', 'governor'):
        assert dict(processes[name].remappings)['target_joint'] == (
            'joint_impedance_controller/target_joint'
        )


def test_without_the_bridge_the_governor_listens_to_the_policy(models):
    rig = load_rig('sim')
    direct = type(rig)(**{**vars(rig), 'bridge': False})
    processes = {p.name: p for p in process_list(direct, models_dir=models)}
    assert 'sim2real' not in processes
    remaps = dict(processes['governor'].remappings)
    assert remaps['sim2real/action_chunk'] == 'policy/action_chunk'


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
