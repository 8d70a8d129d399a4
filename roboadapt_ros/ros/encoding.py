"""The encoder's worker: one thread that encodes complete sets of frames in their order.

Nothing waits for it but a switch. Frames that come in a bunch after a pause of the host are not
lost: sets wait for their turn while they are young. An encoder that is slower than its cameras
does not serve old frames for that: where it stays behind, few may wait, and one more takes the
place of the oldest, which is counted.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
import threading
import traceback

from roboadapt_ros.dataflow import Features
from roboadapt_ros.ros.frames import FrameSet

REMEMBERED = 256
BURST_NS = 100_000_000
"""Age up to which more sets than usual may wait [ns]."""
PATIENCE_NS = 500_000_000
"""Time behind the cameras after which it is no bunch but too much work [ns]."""


@dataclass(frozen=True)
class Boundary:
    """What happened to frames around a switch."""

    last_before_ns: int
    """Newest exposure encoded before [ns]; 0 when there was none."""
    first_after_ns: int
    """Oldest exposure encoded under the new generation [ns]."""
    first_after_at_ns: int
    """When its features were published [ns]."""
    dropped: int
    """Complete sets received between the two exposures and not encoded."""


class EncodeWorker:
    """Runs `encode` on sets of frames and remembers what became of them.

    Example, one set may wait: sets at 1.0, 1.2 and 1.4 s, the second and third coming while the
    first is being encoded: 1.0 and 1.4 are encoded, 1.2 is dropped. With two waiting, or at 1.0,
    1.02 and 1.04 s, none is.
    """

    def __init__(
        self,
        encode: Callable[[FrameSet], Features | None],
        failed: Callable[[str], None],
        *,
        waiting: int = 2,
    ):
        """Start the thread.

        Args:
            encode: Encodes and publishes; None when the set was refused (already counted).
            failed: Told the traceback when it raised; nothing is encoded from then on.
            waiting: Sets that may always wait, >= 1; more lose fewer and can be older when
                encoded.
        """
        self._encode, self._failed = encode, failed
        self._condition = threading.Condition()
        self._pending: deque[FrameSet] = deque()
        self._waiting, self._behind_since_ns = waiting, 0
        self._is_stopping, self._is_idle, self._has_failed = False, True, False
        self._received: deque[int] = deque(maxlen=REMEMBERED)
        self._encoded: deque[tuple[int, int, int]] = deque(maxlen=REMEMBERED)
        self.frames_encoded = 0
        self.frames_overrun = 0
        """Sets that were replaced by a newer one before their turn."""
        self._thread = threading.Thread(target=self._work, name='encode', daemon=True)
        self._thread.start()

    @property
    def has_failed(self) -> bool:
        """Whether `encode` raised: nothing is encoded any more."""
        return self._has_failed

    def offer(self, frames: FrameSet) -> None:
        """Hand over a complete set."""
        with self._condition:
            self._received.append(frames.stamp_ns)
            if self._is_idle:
                self._behind_since_ns = frames.received_ns
            self._pending.append(frames)
            while len(self._pending) > self._waiting and self._is_too_late(frames.received_ns):
                self._pending.popleft()
                self.frames_overrun += 1
            self._condition.notify_all()

    def stop(self) -> None:
        """End the thread after the set at hand."""
        with self._condition:
            self._is_stopping = True
            self._condition.notify_all()
        self._thread.join()

    def await_generation(self, generation: int, timeout_s: float) -> Boundary | None:
        """Wait for the first features of a generation, or of a newer one.

        Args:
            generation: The switch's generation.
            timeout_s: Longest wait [s].

        Returns:
            The boundary, or None when the time is over or encoding has failed.
        """
        with self._condition:
            self._condition.wait_for(
                lambda: self._has_failed or self._first(generation) is not None, timeout_s
            )
            return self._boundary(generation)

    def _is_too_late(self, now_ns: int) -> bool:
        """Return whether the oldest set that waits must give way to a newer one."""
        is_old = now_ns - self._pending[0].received_ns > BURST_NS
        return is_old or now_ns - self._behind_since_ns > PATIENCE_NS

    def _first(self, generation: int) -> tuple[int, int, int] | None:
        return next((done for done in self._encoded if done[0] >= generation), None)

    def _boundary(self, generation: int) -> Boundary | None:
        first = self._first(generation)
        if first is None:
            return None
        before = [stamp for number, stamp, _ in self._encoded if number < generation]
        last_ns = before[-1] if before else 0
        dropped = sum(last_ns < stamp < first[1] for stamp in self._received) if last_ns else 0
        return Boundary(last_ns, first[1], first[2], dropped)

    def _work(self) -> None:
        try:
            self._encode_until_stopped()
        except Exception:  # noqa: BLE001 - the edge of this thread; reported with its traceback
            self._failed(traceback.format_exc())
            with self._condition:
                self._has_failed = True
                self._condition.notify_all()

    def _encode_until_stopped(self) -> None:
        while True:
            with self._condition:
                self._is_idle = not self._pending
                self._condition.wait_for(lambda: bool(self._pending) or self._is_stopping)
                if self._is_stopping:
                    return
                self._is_idle = False
                frames = self._pending.popleft()
            self._run(frames)

    def _run(self, frames: FrameSet) -> None:
        features = self._encode(frames)
        if features is None:
            return
        with self._condition:
            self.frames_encoded += 1
            done = (features.identity.generation, features.stamp_ns, features.ledger.encoded)
            self._encoded.append(done)
            self._condition.notify_all()
