"""The encoder as a node, from its first configuring to the next."""

import gc
import threading
import weakref

import pytest
import rclpy
from roboadapt_ros.errors import RefusedError
from roboadapt_ros.nodes.encoder_node import EncoderNode
from tiny import CAMERAS, make_backbone, make_task

DONE, FAILED = 'SUCCESS', 'FAILURE'


@pytest.fixture
def node(tmp_path, domain):
    """Return an encoder node, unconfigured, over a backbone with one task."""
    make_task(tmp_path, 'pick', make_backbone(tmp_path), seed=1)
    values = {
        'models_dir': tmp_path,
        'backbone_id': 'tiny',
        'cameras': f'[{", ".join(CAMERAS)}]',
        'engine': 'torch',
        'initial_task': 'pick',
    }
    words = [word for name, value in values.items() for word in ('-p', f'{name}:={value}')]
    rclpy.init(args=['--ros-args', *words], domain_id=domain)
    node = EncoderNode()
    try:
        yield node
    finally:
        node.close()
        node.destroy_node()
        rclpy.try_shutdown()


def _encoding_threads():
    return [thread for thread in threading.enumerate() if thread.name == 'encode']


def test_a_backbone_found_changed_is_served_again_by_configuring_alone(node):
    assert node.trigger_configure().name == DONE
    assert node.trigger_activate().name == DONE
    node._engine.seal('its digest is another')
    assert node.trigger_deactivate().name == DONE
    assert node.trigger_activate().name == FAILED
    assert 'its digest is another' in node.health().message
    assert node.trigger_cleanup().name == DONE
    assert node.trigger_configure().name == DONE
    assert node.trigger_activate().name == DONE
    assert node._engine.active == 'pick'


def test_cleaned_up_it_holds_no_backbone(node):
    assert node.trigger_configure().name == DONE
    assert node.trigger_activate().name == DONE
    backbone = weakref.ref(node._engine.engine.backbone)
    assert node.trigger_deactivate().name == DONE
    assert node.trigger_cleanup().name == DONE
    gc.collect()
    assert backbone() is None


def test_an_activation_that_fails_leaves_no_thread(node, monkeypatch):
    def refuse(*_):
        raise RefusedError('name', 'the name is taken')

    assert node.trigger_configure().name == DONE
    monkeypatch.setattr(node, 'serve', refuse)
    assert node.trigger_activate().name == FAILED
    assert _encoding_threads() == []
    monkeypatch.undo()
    assert node.trigger_activate().name == DONE
    assert len(_encoding_threads()) == 1
    assert node.trigger_deactivate().name == DONE
    assert _encoding_threads() == []
