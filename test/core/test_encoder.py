"""The engine: switching, identity of features, refusals."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
import itertools
import subprocess
import sys
import threading
import weakref

import numpy as np
import pytest
from roboadapt_ros.adapters.layout import AdapterLayout
from roboadapt_ros.dataflow import Features
from roboadapt_ros.encoder.encoding import TaskFrames
from roboadapt_ros.encoder.engine import AdapterHandle
from roboadapt_ros.encoder.last_batch import LastBatch
from roboadapt_ros.encoder.preprocess import Frames, preprocess
from roboadapt_ros.encoder.select import load_encoder
from roboadapt_ros.encoder.task_encoder import TaskEncoder
from roboadapt_ros.errors import (
    BackboneMismatchError,
    ConfigError,
    ImageError,
    RefusedError,
    UnknownNameError,
)
from tiny import camera, CAMERAS, frames, make_backbone, make_task, SOURCE
import torch

STAMPS = {'scene': 1_000, 'wrist': 990}


@pytest.fixture
def encoder(tmp_path) -> TaskEncoder:
    backbone = make_backbone(tmp_path)
    make_task(tmp_path, 'pick', backbone, seed=1)
    make_task(tmp_path, 'place', backbone, seed=2)
    encoder = load_encoder(tmp_path, 'tiny')
    encoder.stage('pick')
    encoder.stage('place')
    return encoder


def encode(encoder: TaskEncoder, seed: int = 0):
    ticks = itertools.count(2_000)
    return encoder.encode(frames(seed), STAMPS, 1_500, lambda: next(ticks))


def test_a_to_b_to_a_is_bit_equal(encoder) -> None:
    encoder.activate('pick')
    first = encode(encoder).values
    encoder.activate('place')
    other = encode(encoder).values
    encoder.activate('pick')
    np.testing.assert_array_equal(encode(encoder).values, first)
    assert not np.allclose(other, first)


def test_without_adapters_it_is_the_bare_backbone_bit_for_bit(encoder) -> None:
    encoder.activate('pick', with_adapters=False)
    features = encode(encoder)
    images = np.stack([preprocess(frames()[n], camera(n), 32) for n in CAMERAS])
    with torch.inference_mode():
        bare = encoder.engine.backbone(encoder.engine.backbone.normalise(torch.from_numpy(images)))
    np.testing.assert_array_equal(features.values, bare.flatten().numpy())
    assert features.identity.task == 'pick'


def test_features_carry_task_digest_generation_stamps_and_ledger(encoder) -> None:
    activation = encoder.activate('pick')
    features = encode(encoder)
    identity = features.identity
    assert (identity.task, identity.generation) == ('pick', activation.generation)
    assert identity.package_digest == activation.package_digest
    assert identity.frame_stamps_ns == (1_000, 990)
    assert features.stamp_ns == features.ledger.exposure == 990
    ledger = features.ledger
    assert ledger.received <= ledger.preprocessed <= ledger.encoded


def test_a_thousand_switches_leave_the_base_and_the_features_as_they_were(encoder) -> None:
    encoder.activate('pick')
    before = encode(encoder).values
    for index in range(1_000):
        encoder.activate('place' if index % 2 else 'pick')
    assert encoder.verify_base().intact
    encoder.activate('pick')
    np.testing.assert_array_equal(encode(encoder).values, before)
    assert encoder.generation == 1_002


def test_switching_while_encoding_never_mixes_tasks(encoder) -> None:
    """Features must equal those of the task they name, whatever switches meanwhile."""
    expected, served = {}, {}
    for task in ('pick', 'place'):
        served[encoder.activate(task).generation] = task
        expected[task] = encode(encoder).values
    stop = threading.Event()

    def switch() -> None:
        for task in itertools.cycle(('pick', 'place')):
            if stop.is_set():
                return
            served[encoder.activate(task).generation] = task

    thread = threading.Thread(target=switch)
    thread.start()
    try:
        seen = [encode(encoder) for _ in range(60)]
    finally:
        stop.set()
        thread.join()
    for features in seen:
        identity = features.identity
        assert served[identity.generation] == identity.task
        np.testing.assert_array_equal(features.values, expected[identity.task])


def test_an_unknown_task_leaves_the_active_one(encoder) -> None:
    encoder.activate('pick')
    with pytest.raises(UnknownNameError, match=r"'plaice'.*'place'"):
        encoder.activate('plaice')
    assert encoder.active == 'pick'


def test_no_active_task_refuses_frames(encoder) -> None:
    with pytest.raises(RefusedError, match=r'no_task.*pick, place'):
        encode(encoder)


def test_a_missing_camera_and_a_wrong_size_are_named(encoder) -> None:
    encoder.activate('pick')
    with pytest.raises(ImageError, match=r"'wrist'.*missing"):
        encoder.encode({'scene': frames()['scene']}, STAMPS, 1, lambda: 1)
    small = {**frames(), 'wrist': np.zeros((10, 10, 3), np.uint8)}
    with pytest.raises(ImageError, match=r"'wrist'.*\(10, 10, 3\).*\(48, 64, 3\)"):
        encoder.encode(small, STAMPS, 1, lambda: 1)


def test_the_active_task_cannot_be_evicted(encoder) -> None:
    encoder.activate('pick')
    with pytest.raises(RefusedError, match=r'active'):
        encoder.evict('pick')
    encoder.evict('place')
    assert encoder.resident == ('pick',)


def test_eviction_and_restaging_give_the_same_features(encoder) -> None:
    encoder.activate('place')
    before = encode(encoder).values
    encoder.activate('pick')
    encoder.evict('place')
    encoder.stage('place')
    encoder.activate('place')
    np.testing.assert_array_equal(encode(encoder).values, before)


def test_the_least_recently_used_task_gives_way(encoder, tmp_path) -> None:
    manifest = encoder.engine.manifest
    for seed, task in enumerate(('stack', 'pour'), start=3):
        make_task(tmp_path, task, manifest, seed=seed)
    bound = 3 * encoder.resident_nbytes // 2  # room for three
    encoder = load_encoder(tmp_path, 'tiny', max_bytes=bound)
    encoder.stage('pick')
    encoder.stage('place')
    encoder.activate('place')
    encoder.activate('pick')
    assert encoder.stage('stack')[1] == ()
    assert encoder.stage('pour')[1] == ('place',)
    assert encoder.resident == ('pick', 'pour', 'stack')
    assert encoder.resident_nbytes <= bound


def test_a_task_is_used_as_long_as_it_is_active_or_rides_along(encoder, tmp_path) -> None:
    for seed, task in enumerate(('stack', 'pour', 'wipe'), start=3):
        make_task(tmp_path, task, encoder.engine.manifest, seed=seed)
    encoder = load_encoder(tmp_path, 'tiny', max_bytes=2 * encoder.resident_nbytes)
    for task in ('pick', 'place', 'stack', 'pour'):
        encoder.stage(task)
    encoder.activate('pick')
    encoder.shadow(['place'])
    for task in ('stack', 'pour'):
        encoder.activate(task)
    encoder.shadow([])
    encoder.activate('pick')
    assert encoder.stage('wipe')[1] == ('stack',), 'the others were in use after it'


def test_the_version_in_use_counts_beside_the_one_that_replaces_it(encoder, tmp_path) -> None:
    one = encoder.resident_nbytes // 2
    encoder = load_encoder(tmp_path, 'tiny', max_bytes=2 * one)
    encoder.stage('pick')
    encoder.activate('pick')
    encoder.stage('place')
    assert encoder.stage('pick')[1] == ('place',)
    assert encoder.resident_nbytes == 2 * one
    encoder.activate('pick')
    assert encoder.resident_nbytes == one


def test_what_does_not_fit_beside_the_tasks_in_use_is_refused(encoder, tmp_path) -> None:
    make_task(tmp_path, 'stack', encoder.engine.manifest, seed=3)
    encoder = load_encoder(tmp_path, 'tiny', max_bytes=encoder.resident_nbytes)
    encoder.stage('pick')
    encoder.stage('place')
    encoder.activate('pick')
    encoder.shadow(['place'])
    with pytest.raises(RefusedError, match=r"memory.*'stack'.*max_resident_mb"):
        encoder.stage('stack')
    assert encoder.resident == ('pick', 'place')


def test_evicted_memory_is_given_back(encoder, tmp_path, monkeypatch) -> None:
    held, add = weakref.WeakSet(), encoder.engine.add

    def tracked(layout, tensors):
        handle = add(layout, tensors)
        held.add(handle)
        return handle

    monkeypatch.setattr(encoder.engine, 'add', tracked)
    for seed in range(3):
        make_task(tmp_path, f'task{seed}', encoder.engine.manifest, seed=seed)
        encoder.stage(f'task{seed}')
        assert len(held) == 1
        encoder.evict(f'task{seed}')
        assert not held


def test_a_batch_does_not_keep_its_tasks(encoder) -> None:
    """Nor what was put together of them, nor what a layout needs."""
    sets = [TaskFrames(task, frames(), STAMPS) for task in ('pick', 'place')]
    encoder.encode_batch(sets, 1_500, lambda: 2_000)
    encoder.shadow(['pick', 'place'])
    encoder.shadow([])
    handles = [encoder._tasks.get(task).handle for task in ('pick', 'place')]
    held = [weakref.ref(thing) for handle in handles for thing in (handle, handle.row)]
    held.append(weakref.ref(handles[0].format))
    del handles
    for task in ('pick', 'place'):
        encoder.evict(task)
    assert [thing() for thing in held] == [None] * len(held)
    encoder.stage('place')
    encoder.activate('place')
    encode(encoder)


def test_what_is_made_of_tasks_is_kept_while_they_are_there() -> None:
    class Made:
        pass

    layout = AdapterLayout(channels=(3, 3, 3), pooled_channels=1)
    one, other = AdapterHandle(layout, 0), AdapterHandle(layout, 0)
    last: LastBatch[Made] = LastBatch()
    made = last.of([one, None, other], Made)
    assert last.of([one, None, other], Made) is made
    again = last.of([other, None, one], Made)
    assert again is not made
    kept = weakref.ref(again)
    del again
    assert kept() is not None
    del one
    assert kept() is None
    assert last.of([other], Made) is not made


def test_a_task_staged_anew_serves_its_new_version_only_after_a_switch(encoder, tmp_path) -> None:
    encoder.activate('pick')
    before = encode(encoder)
    make_task(tmp_path, 'pick', encoder.engine.manifest, seed=9)
    encoder.stage('pick')
    np.testing.assert_array_equal(encode(encoder).values, before.values)
    assert encode(encoder).identity.package_digest == before.identity.package_digest
    encoder.activate('pick')
    after = encode(encoder)
    assert after.identity.package_digest != before.identity.package_digest
    assert not np.allclose(after.values, before.values)


def test_the_active_task_cannot_be_evicted_after_it_was_staged_anew(encoder, tmp_path) -> None:
    encoder.activate('pick')
    before = encoder.active_digest
    make_task(tmp_path, 'pick', encoder.engine.manifest, seed=9)
    encoder.stage('pick')
    assert encoder.active_digest == before != encoder.package('pick').digest
    with pytest.raises(RefusedError, match=r'active'):
        encoder.evict('pick')


def test_nothing_gives_way_to_a_package_that_is_refused(encoder, tmp_path) -> None:
    wide = AdapterLayout(channels=(8,) * len(encoder.engine.channels), pooled_channels=8, top=4)
    make_task(tmp_path, 'stack', encoder.engine.manifest, layout=wide)
    encoder = load_encoder(tmp_path, 'tiny', max_bytes=encoder.resident_nbytes)
    encoder.stage('pick')
    encoder.stage('place')
    with pytest.raises(ConfigError, match=r'adapters\.channels'):
        encoder.stage('stack')
    assert encoder.resident == ('pick', 'place')


def test_what_is_to_stay_does_not_give_way(encoder, tmp_path) -> None:
    make_task(tmp_path, 'stack', encoder.engine.manifest, seed=3)
    encoder = load_encoder(tmp_path, 'tiny', max_bytes=encoder.resident_nbytes)
    encoder.stage('pick')
    encoder.stage('place')
    with pytest.raises(RefusedError, match='memory'):
        encoder.stage('stack', staying=encoder.resident)
    assert encoder.stage('stack', staying=['place'])[1] == ('pick',)


def test_maps_are_not_convolved_where_there_are_none(encoder, tmp_path) -> None:
    channels, pooled = encoder.engine.channels, encoder.engine.manifest.pooled_channels
    layout = AdapterLayout(channels=channels, pooled_channels=pooled, bottom=4, kernel=3)
    make_task(tmp_path, 'stack', encoder.engine.manifest, layout=layout)
    for _ in range(2):  # a refusal leaves nothing behind that a second try could trip over
        with pytest.raises(ConfigError, match=r'adapters\.kernel.*must be 1 over backbone tiny'):
            encoder.stage('stack')


def test_over_a_changed_base_nothing_is_served_any_more(encoder) -> None:
    encoder.activate('pick')
    encoder.shadow(['place'])
    encoder.seal('its digest is another')
    assert (encoder.active, encoder.shadows) == (None, ())
    with pytest.raises(ConfigError, match='its digest is another'):
        encoder.activate('pick')


def test_versions_of_a_task_stand_beside_each_other(encoder, tmp_path) -> None:
    make_task(tmp_path, 'pick', encoder.engine.manifest, seed=9, version='2')
    assert encoder.library.names() == ('pick', 'pick@2', 'place')
    encoder.stage('pick@2')
    encoder.activate('pick')
    first = encode(encoder)
    encoder.activate('pick@2')
    second = encode(encoder)
    assert (first.identity.task, second.identity.task) == ('pick', 'pick@2')
    assert not np.allclose(first.values, second.values)


def test_staging_while_encoding_changes_nothing_in_flight(encoder, tmp_path) -> None:
    manifest = encoder.engine.manifest
    for seed in range(6):
        make_task(tmp_path, f'task{seed}', manifest, seed=seed)
    encoder.activate('pick')
    expected = encode(encoder).values
    stop = threading.Event()

    def churn() -> None:
        for seed in itertools.cycle(range(6)):
            if stop.is_set():
                return
            encoder.stage(f'task{seed}')
            encoder.evict(f'task{seed}')

    thread = threading.Thread(target=churn)
    thread.start()
    try:
        for _ in range(100):
            np.testing.assert_array_equal(encode(encoder).values, expected)
    finally:
        stop.set()
        thread.join()


def ride_along(
    encoder: TaskEncoder,
    seen: Frames,
    clock: Callable[[], int] = lambda: 2_000,
    *,
    generation: int = 1,
) -> tuple[Features, ...]:
    """Return what candidates make of frames that all of them can see."""

    def unfit(task: str, error: ImageError) -> None:
        raise AssertionError(task) from error

    return encoder.encode_shadows(seen, STAMPS, 1_500, clock, generation=generation, unfit=unfit)


def test_shadows_ride_along_without_touching_the_active_task(encoder) -> None:
    encoder.activate('place')
    place = encode(encoder)
    encoder.activate('pick')
    pick = encode(encoder)
    encoder.shadow(['place', 'pick'])
    np.testing.assert_array_equal(encode(encoder).values, pick.values)
    ticks = itertools.count(2_000)
    shadows = ride_along(encoder, frames(0), lambda: next(ticks), generation=7)
    assert [f.identity.task for f in shadows] == ['place', 'pick']
    assert {f.identity.generation for f in shadows} == {7}, "that of the active task's features"
    np.testing.assert_allclose(shadows[0].values, place.values, rtol=1e-4, atol=1e-4)
    encoder.shadow([])
    assert ride_along(encoder, frames(0)) == ()


@pytest.fixture
def views(encoder, tmp_path) -> TaskEncoder:
    """Return the encoder with two more tasks: one sees another cut, one a single camera."""
    cut = tuple(replace(camera(name), crop=(0, 0, 40, 40)) for name in CAMERAS)
    make_task(tmp_path, 'stack', encoder.engine.manifest, seed=3, cameras=cut)
    make_task(tmp_path, 'pour', encoder.engine.manifest, seed=4, cameras=(camera('wrist'),))
    for task in ('stack', 'pour'):
        encoder.stage(task)
    return encoder


def counted(encoder, monkeypatch) -> list[tuple[str, int, int]]:
    """Return a list that grows by (name, images, tasks) at each pass of several tasks."""
    calls = []
    for name in ('run_shared', 'run_mixed'):
        run = getattr(encoder.engine, name)

        def noted(images, handles, *, name=name, run=run):
            calls.append((name, len(images), len(handles)))
            return run(images, handles)

        monkeypatch.setattr(encoder.engine, name, noted)
    return calls


def test_candidates_share_what_they_see_alike_and_else_are_one_batch(views, monkeypatch) -> None:
    tasks = ('pick', 'stack', 'place', 'pour')
    expected = {}
    for task in tasks:
        views.activate(task)
        expected[task] = encode(views)
    calls = counted(views, monkeypatch)
    views.shadow(tasks)
    passes = [('run_shared', 2, 2), ('run_mixed', 3, 3)]
    assert calls == passes, 'else the first live frame would wait'
    ticks = itertools.count(2_000)
    found = ride_along(views, frames(0), lambda: next(ticks))
    assert calls == 2 * passes
    assert tuple(features.identity.task for features in found) == tasks
    for features, task in zip(found, tasks, strict=True):
        wanted = expected[task]
        assert features.identity.frame_stamps_ns == wanted.identity.frame_stamps_ns
        assert features.identity.package_digest == wanted.identity.package_digest
        assert features.ledger.received <= features.ledger.preprocessed <= features.ledger.encoded
        np.testing.assert_allclose(features.values, wanted.values, rtol=1e-4, atol=1e-4)


def test_a_candidate_that_sees_something_else_is_alone(views, monkeypatch) -> None:
    views.activate('pick')
    views.shadow(['pour'])
    calls = counted(views, monkeypatch)
    ride_along(views, frames(0))
    assert calls == [('run_shared', 1, 1)]


def test_where_a_camera_stands_changes_nothing_of_what_is_shared(
    encoder, tmp_path, monkeypatch
) -> None:
    moved = tuple(
        replace(camera(name), base_from_camera=tuple(map(float, np.eye(4).ravel())))
        for name in CAMERAS
    )
    make_task(tmp_path, 'again', encoder.engine.manifest, seed=5, cameras=moved)
    encoder.stage('again')
    encoder.activate('pick')
    encoder.shadow(['place', 'again'])
    calls = counted(encoder, monkeypatch)
    ride_along(encoder, frames(0))
    assert calls == [('run_shared', 2, 2)]


def test_a_task_rides_along_once(encoder) -> None:
    encoder.activate('pick')
    encoder.shadow(['place', 'place'])
    assert encoder.shadows == ('place',)


def test_a_frame_that_a_candidate_can_not_see_is_told_and_costs_no_other(views, tmp_path) -> None:
    tall = (replace(camera('wrist'), height=96),)
    make_task(tmp_path, 'tall', views.engine.manifest, seed=5, cameras=tall)
    views.stage('tall')
    views.activate('pick')
    views.shadow(['stack', 'tall', 'pour'])
    told: dict[str, str] = {}
    found = views.encode_shadows(
        frames(0),
        STAMPS,
        1_500,
        lambda: 2_000,
        generation=1,
        unfit=lambda task, error: told.update({task: str(error)}),
    )
    assert [features.identity.task for features in found] == ['stack', 'pour']
    assert list(told) == ['tall']
    assert "'wrist'" in told['tall'] and '(96, 64, 3)' in told['tall']


def test_nothing_rides_along_over_a_changed_base(encoder) -> None:
    encoder.seal('its digest is another')
    with pytest.raises(ConfigError, match='its digest is another'):
        encoder.shadow(['place'])
    encoder.shadow([])
    assert encoder.shadows == ()


def test_an_unknown_shadow_changes_nothing(encoder) -> None:
    encoder.activate('pick')
    encoder.shadow(['place'])
    with pytest.raises(UnknownNameError, match=r"'plaice'.*'place'"):
        encoder.shadow(['pick', 'plaice'])
    assert encoder.shadows == ('place',)
    with pytest.raises(RefusedError, match='shadow'):
        encoder.evict('place')


def test_a_batch_gives_each_set_its_own_task(encoder) -> None:
    expected = {}
    for seed, task in enumerate(('pick', 'place')):
        encoder.activate(task)
        expected[task] = encode(encoder, seed).values
    sets = [
        TaskFrames('place', frames(1), STAMPS),
        TaskFrames('pick', frames(0), STAMPS),
        TaskFrames('place', frames(1), STAMPS),
    ]
    for features, item in zip(encoder.encode_batch(sets, 1, lambda: 2), sets, strict=True):
        assert features.identity.task == item.task
        np.testing.assert_allclose(features.values, expected[item.task], rtol=1e-4, atol=1e-4)


def test_an_unknown_task_in_a_batch_encodes_nothing(encoder) -> None:
    sets = [TaskFrames('pick', frames(), STAMPS), TaskFrames('plaice', frames(), STAMPS)]
    with pytest.raises(UnknownNameError, match=r"'plaice'.*'place'"):
        encoder.encode_batch(sets, 1, lambda: 2)


def test_a_package_for_another_backbone_is_not_staged(encoder, tmp_path) -> None:
    other = make_backbone(tmp_path, 'other', seed=7)
    make_task(tmp_path, 'foreign', other)
    with pytest.raises(BackboneMismatchError, match=r'foreign'):
        encoder.stage('foreign')
    assert 'foreign' not in encoder.resident


def test_an_unknown_backbone_is_answered_with_the_nearest(tmp_path) -> None:
    make_backbone(tmp_path)
    with pytest.raises(UnknownNameError, match=r"'tiney'.*'tiny'"):
        load_encoder(tmp_path, 'tiney')


def test_preprocessing_crops_then_resizes() -> None:
    frame = np.zeros((*SOURCE, 3), np.uint8)
    frame[:, 8:56] = 200
    np.testing.assert_array_equal(preprocess(frame, camera('scene'), 32), 200)


def test_freed_memory_is_kept_for_the_next_pass() -> None:
    """Else every pass has its pages mapped and zeroed anew; in a process of its own."""
    program = """
import resource, torch
from roboadapt_ros.encoder.allocator import keep_freed_memory
keep_freed_memory()
def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    torch.ones(10_000_000).add(1.0)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
print(min(faults() for _ in range(10)))
"""
    words = [sys.executable, '-c', program]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=True)
    assert int(done.stdout) < 1000, 'each time, 20,000 pages are in use'


def test_a_batch_of_a_changed_backbone_is_refused(encoder) -> None:
    encoder.seal('its digest is another')
    with pytest.raises(ConfigError, match='its digest is another'):
        encoder.encode_batch([TaskFrames('pick', frames(), STAMPS)], 1_500, lambda: 2_000)


def test_a_task_of_a_batch_counts_as_used(encoder, tmp_path) -> None:
    make_task(tmp_path, 'stack', encoder.engine.manifest, seed=3)
    encoder = load_encoder(tmp_path, 'tiny', max_bytes=encoder.resident_nbytes)
    encoder.stage('pick')
    encoder.stage('place')
    encoder.encode_batch([TaskFrames('pick', frames(), STAMPS)], 1_500, lambda: 2_000)
    assert encoder.stage('stack')[1] == ('place',)


def test_the_memory_bound_counts_what_the_engine_holds(encoder, monkeypatch) -> None:
    """Which may be more than a package's tensors, for instance padded ones."""
    add = encoder.engine.add
    monkeypatch.setattr(encoder.engine, 'add', lambda *task: replace(add(*task), nbytes=1 << 30))
    encoder.activate('pick')
    with pytest.raises(RefusedError, match='needs 1,073,741,824 bytes'):
        encoder.stage('place', staying=['place'])


def test_what_a_switch_will_run_is_run_while_the_first_task_like_it_is_staged(tmp_path) -> None:
    backbone = make_backbone(tmp_path)
    for seed, task in enumerate(('pick', 'place')):
        make_task(tmp_path, task, backbone, seed=seed)
    make_task(tmp_path, 'pour', backbone, seed=3, cameras=(camera(CAMERAS[1]),))
    encoder = load_encoder(tmp_path, 'tiny')
    run, asked = encoder.engine.run, []

    def watched(images, handle):
        asked.append((len(images), handle is None))
        return run(images, handle)

    encoder.engine.run = watched
    encoder.stage('pick')
    assert {(2, False), (2, True)} <= set(asked)
    asked.clear()
    encoder.stage('place')
    assert asked == []
    encoder.stage('pour')
    assert set(asked) == {(1, False), (1, True)}


def test_a_tall_crop_is_averaged_when_it_shrinks() -> None:
    stripes = np.zeros((128, 32, 3), np.uint8)
    stripes[::4] = 200
    tall = replace(camera('scene'), width=32, height=128, crop=(0, 0, 32, 128))
    np.testing.assert_array_equal(preprocess(stripes, tall, 32), 50)
