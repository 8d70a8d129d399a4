"""What the encoder's services answer where something is wrong with what they serve."""

from dataclasses import replace
from types import SimpleNamespace

import pytest
from roboadapt_interfaces.srv import ShadowAdapters, StageAdapter, SwitchAdapter
from roboadapt_ros.encoder.select import load_encoder
from roboadapt_ros.nodes.adapter_services import AdapterServices
from roboadapt_ros.nodes.encoder_node import EncoderNode
from roboadapt_ros.ros.encoding import Boundary
from roboadapt_ros.ros.frames import Frame, FrameSet
from roboadapt_ros.ros.node_parameters import EncoderParameters
from tiny import camera, CAMERAS, frames, make_backbone, make_task
import torch


@pytest.fixture
def encoder(tmp_path):
    """Return an encoder with two tasks, one of which is active."""
    backbone = make_backbone(tmp_path)
    made = []
    for seed, task in enumerate(('pick', 'place'), start=1):
        make_task(tmp_path, task, backbone, seed=seed)
        made.append(task)
    encoder = load_encoder(tmp_path, 'tiny')
    for task in made:
        encoder.stage(task)
    encoder.activate('pick')
    return encoder


@pytest.fixture
def broken():
    """Return the problems that the node was told of."""
    return []


@pytest.fixture
def services(encoder, broken):
    """Return the services of a node that checks its backbone at every second switch."""
    parameters = EncoderParameters(
        models_dir='', backbone_id='tiny', cameras=CAMERAS, verify_every_switches=2
    )
    made = AdapterServices(
        encoder, parameters, now_ns=lambda: 0, changed=lambda: None, broken=broken.append
    )
    boundary = Boundary(1, 2, 3, 0)
    made.worker = SimpleNamespace(await_generation=lambda *_: boundary, has_failed=False)
    return made


def _switch(services, task):
    return services.switch(SwitchAdapter.Request(task=task), SwitchAdapter.Response())


def test_a_switch_over_a_changed_backbone_activates_nothing(services, encoder, broken):
    with torch.no_grad():
        next(encoder.engine.backbone.model.parameters()).add_(1.0)
    assert _switch(services, 'place').success, 'looked at every second time'
    assert (encoder.active, broken) == ('place', [])
    answer = _switch(services, 'pick')
    assert not answer.success
    assert encoder.active is None
    assert 'tiny' in answer.message
    assert len(broken) == 1


def test_an_intact_backbone_is_checked_and_served(services, encoder):
    for task in ('place', 'pick', 'place', 'pick'):
        assert _switch(services, task).success
        assert encoder.active == task


def test_what_a_runtime_raises_while_staging_is_answered(services, encoder, monkeypatch):
    def no_memory(*_):
        raise RuntimeError('out of memory')

    monkeypatch.setattr(encoder.engine, 'add', no_memory)
    answer = services.stage(StageAdapter.Request(task='place'), StageAdapter.Response())
    assert not answer.success
    assert 'out of memory' in answer.message
    assert encoder.active == 'pick'


def test_what_to_know_of_a_staged_task_is_answered(services, encoder, monkeypatch):
    add = encoder.engine.add
    monkeypatch.setattr(
        encoder.engine, 'add', lambda *task: replace(add(*task), note='8 bits were not measured')
    )
    answer = services.stage(StageAdapter.Request(task='place'), StageAdapter.Response())
    assert answer.success
    assert answer.message == "task 'place' is resident; 8 bits were not measured"


def test_what_to_know_of_a_task_is_logged_at_the_start(services, encoder, monkeypatch):
    add = encoder.engine.add
    monkeypatch.setattr(
        encoder.engine, 'add', lambda *task: replace(add(*task), note='8 bits were not measured')
    )
    warned = []
    node = SimpleNamespace(
        _config=EncoderParameters(models_dir='', backbone_id='tiny', cameras=CAMERAS),
        _engine=encoder,
        get_logger=lambda: SimpleNamespace(warning=warned.append),
    )
    EncoderNode._stage_all(node)
    assert warned == [f"Task '{task}': 8 bits were not measured" for task in ('pick', 'place')]


def test_what_a_runtime_raises_for_a_candidate_is_answered(services, encoder, monkeypatch):
    def no_memory(*_):
        raise RuntimeError('out of memory')

    monkeypatch.setattr(encoder.engine, 'run_shared', no_memory)
    answer = services.shadow(ShadowAdapters.Request(tasks=['place']), ShadowAdapters.Response())
    assert not answer.success
    assert 'out of memory' in answer.message
    assert (encoder.shadows, encoder.active) == ((), 'pick')


def _encode_shadows(encoder):
    """Return what a node publishes of the candidates, and its refusals, for a set of frames."""
    refused, published = [], []
    node = SimpleNamespace(
        _engine=encoder,
        _shadow_out=SimpleNamespace(publish=published.append),
        now_ns=lambda: 2_000,
        refuse=lambda cause, detail: refused.append((cause, detail)),
    )
    pixels = frames()
    seen = FrameSet({name: Frame(1_000, 1_500, pixels[name]) for name in CAMERAS})
    EncoderNode._encode_shadows(node, (seen, encoder.generation))
    return published, refused


@pytest.fixture
def other_view(encoder, tmp_path):
    """Return a task of the encoder that sees one camera only."""
    make_task(tmp_path, 'pour', encoder.engine.manifest, seed=3, cameras=(camera(CAMERAS[1]),))
    encoder.stage('pour')
    return 'pour'


def test_candidates_with_other_views_are_encoded_and_published(encoder, other_view):
    encoder.shadow(['place', other_view])
    published, refused = _encode_shadows(encoder)
    assert refused == []
    assert [message.identity.task for message in published] == ['place', other_view]
    sizes = [len(message.features) for message in published]
    assert sizes[0] == len(CAMERAS) * sizes[1] > 0


@pytest.mark.parametrize(('call', 'is_other'), [('run_shared', False), ('run_mixed', True)])
def test_candidates_that_fail_no_longer_ride_along(
    encoder, other_view, monkeypatch, call, is_other
):
    def fails(*_):
        raise RuntimeError('out of memory')

    encoder.shadow(['place', other_view] if is_other else ['place'])
    monkeypatch.setattr(encoder.engine, call, fails)
    published, refused = _encode_shadows(encoder)
    assert published == []
    assert [cause for cause, _ in refused] == ['shadow_failed']
    assert 'out of memory' in refused[0][1]
    assert (encoder.shadows, encoder.active) == ((), 'pick')
