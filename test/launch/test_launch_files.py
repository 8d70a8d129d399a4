"""The launch files, where ROS's launch is installed: they start the processes of the rig."""

import importlib.util
from pathlib import Path

import pytest

pytest.importorskip('launch')
pytest.importorskip('launch_ros.actions')

import fakes
from launch.actions import DeclareLaunchArgument, IncludeLaunchDescription, OpaqueFunction
from launch.utilities import perform_substitutions
from launch_ros.actions import LifecycleNode, Node
from roboadapt_ros.bringup.fake import fake_rig
from roboadapt_ros.bringup.processes import NICENESS, process_list
from roboadapt_ros.bringup.rig import load_rig
from roboadapt_ros.errors import ConfigError

from launch import LaunchContext

ROOT = Path(__file__).parents[2]
FILES = sorted((ROOT / 'launch').glob('*.launch.py'))
RIGS = {'sim.launch.py': 'sim', 'franka.launch.py': 'fr3_franka_ros2'}
GRAPH = {'rig', 'task', 'models_dir', 'record_to'}
DRIVER = {'robot_ip', 'load_gripper', 'controllers_yaml', 'fake'}
ARGUMENTS = {'sim.launch.py': GRAPH, 'franka.launch.py': GRAPH | DRIVER}


def _description(path):
    spec = importlib.util.spec_from_file_location(path.stem.replace('.', '_'), path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.generate_launch_description()


def _visit(path, **arguments):
    """Return what the functions of a launch file give for arguments."""
    context = LaunchContext()
    context.launch_configurations.update({k: str(v) for k, v in arguments.items()})
    made = []
    for entity in _description(path).entities:
        found = entity.visit(context)
        made += found if isinstance(entity, OpaqueFunction) else []
    return made


def _is_node(action):
    return isinstance(action, LifecycleNode)


@pytest.fixture(scope='module')
def models(tmp_path_factory):
    return fakes.make_circle_models(tmp_path_factory.mktemp('models'))


def test_every_launch_file_is_known_here():
    assert {path.name for path in FILES} == set(RIGS)


@pytest.mark.parametrize('path', FILES, ids=lambda p: p.name)
def test_every_argument_is_described(path):
    arguments = [e for e in _description(path).entities if isinstance(e, DeclareLaunchArgument)]
    assert {a.name for a in arguments} == ARGUMENTS[path.name]
    assert all(len(a.description.split()) > 3 for a in arguments), 'ros2 launch --show-args'


@pytest.mark.parametrize('path', FILES, ids=lambda p: p.name)
def test_a_launch_file_starts_the_process_list_of_its_rig(path, models):
    nodes = [action for action in _visit(path, models_dir=models) if _is_node(action)]
    wanted = [p.executable for p in process_list(load_rig(RIGS[path.name]), models_dir=models)]
    assert [node.node_executable for node in nodes] == wanted


@pytest.mark.parametrize('path', FILES, ids=lambda p: p.name)
def test_a_node_asks_for_the_priority_that_the_supervisor_gives_it(path, models):
    for action in filter(_is_node, _visit(path, models_dir=models)):
        environment = {
            perform_substitutions(LaunchContext(), name): perform_substitutions(
                LaunchContext(), value
            )
            for name, value in action.additional_env
        }
        wanted = NICENESS.get(action.node_executable.removesuffix('_node'), 0)
        assert int(environment.get('ROBOADAPT_NICENESS', 0)) == wanted


# ---- the driver of the arm ----

FRANKA = ROOT / 'launch' / 'franka.launch.py'


@pytest.fixture
def franka_bringup(tmp_path, monkeypatch):
    """Return the launch file of a package that looks like franka_bringup to ament."""
    index = tmp_path / 'share' / 'ament_index' / 'resource_index' / 'packages'
    index.mkdir(parents=True)
    (index / 'franka_bringup').touch()
    file = tmp_path / 'share' / 'franka_bringup' / 'launch' / 'franka.launch.py'
    file.parent.mkdir(parents=True)
    file.write_text(
        'from launch import LaunchDescription\n'
        'def generate_launch_description():\n'
        '    return LaunchDescription([])\n'
    )
    monkeypatch.setenv('AMENT_PREFIX_PATH', str(tmp_path))
    return file


def _included(**arguments):
    made = _visit(FRANKA, **arguments)
    return [action for action in made if isinstance(action, IncludeLaunchDescription)]


def test_without_an_address_no_driver_is_started(models):
    assert _included(models_dir=models) == []


def test_with_an_address_frankas_own_launch_file_is_included(models, franka_bringup):
    (found,) = _included(models_dir=models, robot_ip='172.16.0.3')
    found.visit(LaunchContext())
    assert found.launch_description_source.location == str(franka_bringup)
    assert dict(found.launch_arguments) == {
        'robot_type': 'fr3',
        'robot_ip': '172.16.0.3',
        'namespace': '',
        'load_gripper': 'true',
    }


def test_controllers_are_loaded_inactive_where_their_parameters_are_given(models, franka_bringup):
    arguments = {'models_dir': models, 'robot_ip': '172.16.0.3', 'controllers_yaml': '/x.yaml'}
    (found,) = _included(**arguments)
    assert dict(found.launch_arguments)['controllers_yaml'] == '/x.yaml'
    spawners = [
        action
        for action in _visit(FRANKA, **arguments)
        if isinstance(action, Node) and action.node_package == 'controller_manager'
    ]
    assert len(spawners) == 1, 'the controllers of the rig file'
    (spawner,) = spawners
    told = [perform_substitutions(LaunchContext(), part) for part in spawner.cmd[1:5]]
    assert told == ['joint_impedance_controller', '--inactive', '-c', 'controller_manager']


def test_a_prefix_of_the_joints_is_passed_on(models, franka_bringup, tmp_path):
    rig = (ROOT / 'config' / 'rigs' / 'fr3_franka_ros2.yaml').read_text(encoding='utf-8')
    path = tmp_path / 'left.yaml'
    path.write_text(rig.replace(' fr3_joint', ' left_fr3_joint').replace('[fr3_', '[left_fr3_'))
    (found,) = _included(models_dir=models, robot_ip='172.16.0.3', rig=str(path))
    assert dict(found.launch_arguments)['arm_prefix'] == 'left'


def test_an_address_without_frankas_package_names_it(models, tmp_path, monkeypatch):
    monkeypatch.setenv('AMENT_PREFIX_PATH', str(tmp_path))
    with pytest.raises(ConfigError, match=r'ros-\$ROS_DISTRO-franka-bringup'):
        _included(models_dir=models, robot_ip='172.16.0.3')


def test_an_address_for_another_arm_is_refused(models, franka_bringup):
    for rig, found in (('panda_jtc', 'panda'), ('sim', 'simulated')):
        with pytest.raises(ConfigError, match=f"robot_ip = '{found}'.*drives an fr3"):
            _included(models_dir=models, robot_ip='172.16.0.3', rig=rig)


# ---- no robot ----


def test_a_fake_robot_is_started_with_the_graph_of_the_real_rig_file(models):
    nodes = [a for a in _visit(FRANKA, models_dir=models, fake='true') if _is_node(a)]
    rig, _ = fake_rig(load_rig('fr3_franka_ros2'))
    wanted = [p.executable for p in process_list(rig, models_dir=models)]
    assert [node.node_executable for node in nodes] == wanted
    assert wanted[0] == 'sim_rig_node'


@pytest.mark.parametrize(
    ('arguments', 'named'),
    [({'fake': 'yes'}, 'true or false'), ({'fake': 'true', 'robot_ip': '10.0.0.2'}, 'robot_ip')],
)
def test_a_fake_that_is_unclear_is_refused(models, arguments, named):
    with pytest.raises(ConfigError, match=named):
        _visit(FRANKA, models_dir=models, **arguments)
