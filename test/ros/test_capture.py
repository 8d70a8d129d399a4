"""Sources of a camera node: folders and videos, at their end and damaged."""

import cv2
import numpy as np
import pytest
from roboadapt_ros.errors import ImageError
from roboadapt_ros.ros.capture import make_source

SIZE = (64, 48)


def picture(level: int) -> np.ndarray:
    return np.full((SIZE[1], SIZE[0], 3), level, np.uint8)


def video(path, count: int):
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*'MJPG'), 10.0, SIZE)
    for number in range(count):
        writer.write(picture(40 * number))
    writer.release()
    return path


def levels(source, count: int) -> list[int]:
    return [round(float(source.read().mean()) / 40) for _ in range(count)]


def test_a_folder_is_read_by_the_numbers_in_its_names_without_hidden_files(tmp_path):
    for level, number in enumerate((1, 2, 10)):
        cv2.imwrite(str(tmp_path / f'frame_{number}.png'), picture(40 * level))
    (tmp_path / '._frame_1.png').write_bytes(b'not an image')
    source = make_source('folder', str(tmp_path), SIZE, 10.0, loop=False)
    source.open()
    assert levels(source, 3) == [0, 1, 2]
    assert source.read() is None


def test_a_file_cut_in_half_is_refused_not_shown_half_grey(tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (SIZE[1], SIZE[0], 3), np.uint8)
    content = cv2.imencode('.jpg', noise)[1].tobytes()
    (tmp_path / '1.jpg').write_bytes(content[: len(content) // 2])
    source = make_source('folder', str(tmp_path), SIZE, 10.0, loop=True)
    source.open()
    with pytest.raises(ImageError, match='a whole image file'):
        source.read()


def test_a_video_without_loop_stays_at_its_end(tmp_path):
    source = make_source('video', str(video(tmp_path / 'v.avi', 3)), SIZE, 10.0, loop=False)
    source.open()
    assert levels(source, 3) == [0, 1, 2]
    assert source.read() is None
    source.close()
    source.open()
    assert source.read() is None


@pytest.mark.parametrize('count', [1, 3])
def test_a_video_with_loop_begins_again(tmp_path, count):
    source = make_source('video', str(video(tmp_path / 'v.avi', count)), SIZE, 10.0, loop=True)
    source.open()
    assert levels(source, 3 * count) == 3 * list(range(count))
    source.close()


def test_a_video_without_frames_is_no_camera_that_is_unplugged(tmp_path):
    path = video(tmp_path / 'v.avi', 0)
    source = make_source('video', str(path), SIZE, 10.0, loop=True)
    with pytest.raises(ImageError, match='a video OpenCV can read'):
        source.open()
        source.read()
