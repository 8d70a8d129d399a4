"""The launch files, where ROS's launch is installed: they start the processes of the rig."""

import importlib.util
from pathlib import Path

import pytest

pytest.importorskip('launch')
pytest.importorskip('launch_ros.actions')

import fakes
from launch.actions import DeclareLaunchArgument, OpaqueFunction
from launch_ros.actions import LifecycleNode
from roboadapt_ros.bringup.processes import process_list
from roboadapt_ros.bringup.rig import load_rig

from launch import LaunchContext

FILES = sorted((Path(__file__).parents[2] / 'launch').glob('*.launch.py'))
RIGS = {'sim.launch.py': 'sim', 'franka.launch.py': 'fr3_franka_ros2'}


def _description(path):
    spec = importlib.util.spec_from_file_location(path.stem.replace('.', '_'), path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.generate_launch_description()


@pytest.fixture(scope='module')
def models(tmp_path_factory):
    return fakes.make_circle_models(tmp_path_factory.mktemp('models'))


def test_every_launch_file_is_known_here():
    assert {path.name for path in FILES} == set(RIGS)


@pytest.mark.parametrize('path', FILES, ids=lambda p: p.name)
def test_every_argument_is_described(path):
    arguments = [e for e in _description(path).entities if isinstance(e, DeclareLaunchArgument)]
    assert {a.name for a in arguments} == {'rig', 'task', 'models_dir', 'record_to'}
    assert all(a.description for a in arguments)


@pytest.mark.parametrize('path', FILES, ids=lambda p: p.name)
def test_a_launch_file_starts_the_process_list_of_its_rig(path, models):
    context = LaunchContext()
    context.launch_configurations['models_dir'] = str(models)
    description = _description(path)
    nodes = []
    for entity in description.entities:
        made = entity.visit(context)
        if isinstance(entity, OpaqueFunction):
            nodes = [action for action in made if isinstance(action, LifecycleNode)]
    wanted = [p.executable for p in process_list(load_rig(RIGS[path.name]), models_dir=models)]
    assert [node.node_executable for node in nodes] == wanted
