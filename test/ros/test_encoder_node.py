"""The encoder as a node, from its first configuring to the next."""

import gc
import threading
import time
import weakref

from graph_watch import wait_for
import pytest
import rclpy
from rclpy.executors import MultiThreadedExecutor
from roboadapt_interfaces.srv import ListAdapters, StageAdapter, VerifyBase
from roboadapt_ros.errors import RefusedError
from roboadapt_ros.nodes.encoder_node import EncoderNode
from roboadapt_ros.ros.frames import Frame, FrameSet
from tiny import CAMERAS, frames, make_backbone, make_task

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
    return [thread for thread in threading.enumerate() if thread.name in ('encode', 'shadows')]


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


def _answer(node, service, name, request=None):
    """Return the future of a call to the node, by a client of its own."""
    client = node.create_client(service, name)
    assert client.wait_for_service(5.0)
    return client.call_async(request or service.Request())


def _settled(future, within_s=5.0):
    end_s = time.monotonic() + within_s
    while not future.done() and time.monotonic() < end_s:
        time.sleep(0.01)
    return future.done()


@pytest.fixture
def slow_staging(node):
    """Return a client's node, beside an active encoder that stages 'pick' until it may go on.

    Also the event for that, and the thread that spins both.
    """
    assert node.trigger_configure().name == DONE
    assert node.trigger_activate().name == DONE
    began, may_go_on, add = threading.Event(), threading.Event(), node._engine.engine.add

    def add_slowly(*words):
        began.set()
        assert may_go_on.wait(30.0)
        return add(*words)

    node._engine.engine.add = add_slowly
    asker = rclpy.create_node('asker')
    executor = MultiThreadedExecutor(5)
    executor.add_node(node)
    executor.add_node(asker)
    thread = threading.Thread(target=executor.spin, daemon=True)
    thread.start()
    try:
        request = StageAdapter.Request(task='pick')
        staging = _answer(asker, StageAdapter, 'encoder/stage_adapter', request)
        assert began.wait(5.0)
        yield asker, staging, may_go_on, thread
    finally:
        may_go_on.set()
        executor.shutdown(5.0)
        thread.join(5.0)
        asker.destroy_node()


def test_questions_are_answered_while_a_task_is_staged(slow_staging):
    asker, staging, may_go_on, _ = slow_staging
    questions = [
        _answer(asker, ListAdapters, 'encoder/list_adapters'),
        _answer(asker, VerifyBase, 'encoder/verify_base'),
    ]
    assert all(_settled(question) for question in questions)
    assert not staging.done()
    may_go_on.set()
    assert _settled(staging) and staging.result().success


def test_cleaned_up_while_a_task_is_staged_it_goes_on(node, slow_staging):
    asker, _, may_go_on, thread = slow_staging
    assert node.trigger_deactivate().name == DONE
    assert node.trigger_cleanup().name == DONE
    may_go_on.set()
    time.sleep(0.5)
    assert thread.is_alive(), 'the answer that could not be sent has ended the executor'
    assert node.trigger_configure().name == DONE
    assert node.trigger_activate().name == DONE
    assert _settled(_answer(asker, ListAdapters, 'encoder/list_adapters'))


def test_cleaned_up_it_holds_no_backbone(node):
    assert node.trigger_configure().name == DONE
    assert node.trigger_activate().name == DONE
    backbone = weakref.ref(node._engine.engine.backbone)
    assert node.trigger_deactivate().name == DONE
    assert node.trigger_cleanup().name == DONE
    gc.collect()
    assert backbone() is None


def _frame_set(stamp_ns):
    frame = frames()
    return FrameSet({name: Frame(stamp_ns, stamp_ns, frame[name]) for name in CAMERAS})


def test_frames_of_the_active_task_do_not_wait_for_candidates(node, monkeypatch):
    assert node.trigger_configure().name == DONE
    assert node.trigger_activate().name == DONE
    node._engine.shadow(['pick'])
    began, may_go_on = threading.Event(), threading.Event()

    def slow(*_, **__):
        began.set()
        assert may_go_on.wait(10.0)
        return ()

    monkeypatch.setattr(node._engine, 'encode_shadows', slow)
    start_ns = node.now_ns()
    for number in range(5):
        node._worker.offer(_frame_set(start_ns + number))
        wait_for(lambda n=number: node._worker.frames_encoded == n + 1, 'the next frame')
    assert began.wait(5.0)
    assert node._worker.frames_overrun == 0
    assert node.refused['shadow_behind'] >= 3, 'what they leave out is counted'
    may_go_on.set()
    assert node.trigger_deactivate().name == DONE


def test_an_exception_while_encoding_ends_the_process(node, monkeypatch):
    """So that whatever started it starts it again."""
    assert node.trigger_configure().name == DONE
    assert node.trigger_activate().name == DONE

    def broken(*_):
        raise RuntimeError('CUDA error: an illegal memory access')

    monkeypatch.setattr(node._engine, 'encode', broken)
    node._worker.offer(_frame_set(node.now_ns()))
    wait_for(lambda: node._worker.has_failed, 'the exception')
    executor = MultiThreadedExecutor()
    executor.add_node(node)
    with pytest.raises(RuntimeError, match='encoding ended with an exception'):
        for _ in range(50):
            executor.spin_once(timeout_sec=0.1)
    executor.shutdown()


def test_an_activation_that_fails_leaves_no_thread(node, monkeypatch):
    def refuse(*_):
        raise RefusedError('name', 'the name is taken')

    assert node.trigger_configure().name == DONE
    monkeypatch.setattr(node, 'serve', refuse)
    assert node.trigger_activate().name == FAILED
    assert _encoding_threads() == []
    monkeypatch.undo()
    assert node.trigger_activate().name == DONE
    assert len(_encoding_threads()) == 2
    assert node.trigger_deactivate().name == DONE
    assert _encoding_threads() == []
