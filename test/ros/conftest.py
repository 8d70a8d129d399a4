"""Shared by the tests that run real nodes."""

import os

import fakes
from node_process import governor_process
import pytest
import rclpy
from rclpy.context import Context
from rclpy.node import Node
from roboadapt_ros.bringup.connection import Connection
from roboadapt_ros.bringup.environment import find_free_domain, process_environment


@pytest.fixture(scope='session', autouse=True)
def _transports():
    """Keep this process's nodes on this host, and let them see whole camera frames."""
    os.environ.update(process_environment())
    with Connection(domain_id=find_free_domain(), images=True):
        pass


@pytest.fixture(scope='session')
def models(tmp_path_factory):
    """Return a models folder with a random backbone and two circling tasks."""
    return fakes.make_circle_models(tmp_path_factory.mktemp('models'))


@pytest.fixture(scope='session')
def domain():
    """Return a ROS domain of this test process's own."""
    return find_free_domain()


@pytest.fixture(scope='module')
def connection():
    """Return a client's side of a ROS domain of this module's own."""
    with Connection(domain_id=find_free_domain()) as made:
        yield made


@pytest.fixture
def make_node(domain):
    """Return a function that makes a node of its own context from ROS arguments."""
    made = []

    def make(name, *arguments):
        context = Context()
        rclpy.init(args=['--ros-args', *arguments], context=context, domain_id=domain)
        node = Node(name, context=context)
        made.append((node, context))
        return node

    yield make
    for node, context in made:
        node.destroy_node()
        context.try_shutdown()


@pytest.fixture(scope='module')
def governor(connection, tmp_path_factory, request):
    """Return the process of an active governor with the module's PARAMETERS."""
    folder = tmp_path_factory.mktemp('log')
    with governor_process(connection, folder, request.module.PARAMETERS) as process:
        yield process
