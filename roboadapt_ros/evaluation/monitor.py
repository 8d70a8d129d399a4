"""A judge of a running graph: does any message mix two tasks.

It looks at what was sent, not at what a node says about itself. Pure: the caller hands
over identities; nothing here knows where they came from.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from roboadapt_ros.dataflow import Identity


@dataclass(frozen=True, kw_only=True)
class Mixed:
    """A message whose task, package and generation do not belong together."""

    stage: str
    """Topic or node that sent it."""
    identity: Identity
    expected: tuple[str, str]
    """Task and package digest that the message's generation was switched to."""


class IdentityMonitor:
    """Count messages whose (task, digest, generation) contradict the switch answers.

    A generation is one task and one package for ever. The switch service says which; until
    it has (a message may overtake the answer), the first message of a generation says it,
    and the answer is held against every message seen. Generations never go back within a
    stage.

    Example: `switched(4, 'lift', 'ab')`, then `observe('policy', lift/ab/4)` is fine,
    `observe('policy', push/cd/4)` is mixed, and so is a later `lift/ab/3` from 'policy'.
    """

    def __init__(self) -> None:
        """Start with no generation known."""
        self._known: dict[int, tuple[str, str]] = {}
        self._seen: dict[int, Counter[tuple[str, str]]] = {}
        self._newest: dict[str, int] = {}
        self.mixed: list[Mixed] = []
        """Every contradiction, in the order it was found."""
        self.counts: Counter[str] = Counter()
        """Messages observed per stage."""

    def switched(self, generation: int, task: str, package_digest: str) -> None:
        """Take a switch answer as the truth about its generation.

        Args:
            generation: Generation the service answered with.
            task: Task that was asked for.
            package_digest: Digest the service answered with.
        """
        expected = (task, package_digest)
        self._known[generation] = expected
        for pair, count in self._seen.pop(generation, Counter()).items():
            if pair != expected:
                identity = Identity(
                    task=pair[0], package_digest=pair[1], generation=generation, frame_stamps_ns=()
                )
                wrong = Mixed(stage='before the answer', identity=identity, expected=expected)
                self.mixed.extend([wrong] * count)

    def observe(self, stage: str, identity: Identity) -> bool:
        """Judge one message.

        Args:
            stage: Who sent it; generations must not go back within a stage.
            identity: What the message says of itself.

        Returns:
            Whether it is consistent with everything known so far.
        """
        self.counts[stage] += 1
        pair = (identity.task, identity.package_digest)
        newest = self._newest.get(stage, identity.generation)
        expected = self._known.get(identity.generation)
        if expected is None:
            self._seen.setdefault(identity.generation, Counter())[pair] += 1
            expected = pair
        self._newest[stage] = max(newest, identity.generation)
        if pair != expected or identity.generation < newest:
            self.mixed.append(Mixed(stage=stage, identity=identity, expected=expected))
            return False
        return True

    def finish(self) -> int:
        """Return the number of mixed messages, those of unanswered generations included.

        A generation no answer was seen for (a switch by someone else) must still be one
        task and one package: every message beyond the commonest pair counts.
        """
        for generation, pairs in self._seen.items():
            common = pairs.most_common(1)[0][0]
            for pair, count in pairs.items():
                if pair != common:
                    identity = Identity(
                        task=pair[0],
                        package_digest=pair[1],
                        generation=generation,
                        frame_stamps_ns=(),
                    )
                    wrong = Mixed(stage='unanswered switch', identity=identity, expected=common)
                    self.mixed.extend([wrong] * count)
        self._seen.clear()
        return len(self.mixed)
