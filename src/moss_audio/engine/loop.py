"""What the scheduler's thread does with the requests that it is told of.

Its state belongs to that thread. A step is one pass of all rows that are being decoded, then one
pass of prefill: chunks of the prompts that have been let in, up to a budget, so that a long prompt
delays the others' next token by no more than that. Where a chunk ends depends on its prompt alone,
and a row's tokens on its own logits alone.
"""

from __future__ import annotations

import contextlib
import threading
import time
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import CancelledError
from dataclasses import replace
from functools import partial
from queue import Empty, SimpleQueue
from typing import Any

from moss_audio.engine.base import Generation
from moss_audio.engine.beam_rows import BeamRow, BeamRows
from moss_audio.engine.fair import FairQueue
from moss_audio.engine.growing import Growth
from moss_audio.engine.handle import Handle
from moss_audio.engine.prefill import Fill, Prefix, Prefixes
from moss_audio.engine.prompts import EncodedClip, Prompt
from moss_audio.engine.row import AnswerRow, members
from moss_audio.engine.runner import KVCache, Logits, Piece, Runner
from moss_audio.engine.stats import SchedulerStats
from moss_audio.errors import MossAudioError

_IDLE_CHUNKS = 4  # of prefill in one pass while nobody waits for a next token
# While most rows are busy, waiting requests are let in several at once, whose prompts then share
# their passes; but no later than after so many steps.
_PATIENCE = 8
# Whoever got what somebody waits for asks for more of it at once: the clip is encoded, then its
# prompt wanted, then the answer. What has time does not begin anew within so long.
_URGENT_S = 0.05


class QueuedPrompt:
    """A request: its prompt, and the answers wanted of it (none: only its prefix is).

    Args:
        opening: gives a sequence that holds the beginning of the prefix, where there is one.
    """

    def __init__(
        self,
        prompt: Prompt,
        answers: Sequence[AnswerRow],
        handle: Handle,
        draft: Sequence[int] = (),
        opening: Callable[[], KVCache | None] | None = None,
    ) -> None:
        self.prompt, self.answers, self.handle, self.draft = prompt, answers, handle, draft
        self.opening = opening
        self.prefix: Prefix | None = None
        self.rest: Fill | None = None  # what follows the prefix
        self.pending: list[AnswerRow] = []  # have their first token, but no row yet
        self.admitted = False
        self.cached = 0  # positions of the prompt that had been computed before

    @property
    def priority(self) -> int:
        return self.prompt.request.priority

    @property
    def urgent(self) -> bool:
        return self.priority > 0

    @property
    def key(self) -> str:
        return self.prompt.request.key

    @property
    def length(self) -> int:
        return len(self.prompt.input_ids)

    @property
    def width(self) -> int:
        """Places that it takes: those of all its beams, or of one answer after the other."""
        return self.prompt.request.options.num_beams

    @property
    def begun(self) -> bool:
        """Whether one of its answers is being decoded, or is over."""
        return len(self.pending) < len(self.answers)

    @property
    def left(self) -> int:
        """Positions of the prompt that are not computed yet."""
        begun = self.rest or self.prefix
        cache = begun.cache if begun is not None else None
        return self.length - (cache.length if cache is not None else 0)


class DecodedRow:
    """An answer that is being decoded: its sequence lacks the last token, and what may follow."""

    def __init__(self, task: QueuedPrompt, answer: AnswerRow, cache: KVCache) -> None:
        self.task, self.answer, self.cache = task, answer, cache
        self.said_at = time.perf_counter()  # when its last token was known
        self._guess = list(task.draft[1:]) if task.draft[:1] == answer.tokens[:1] else []
        self._tried: list[int] = []  # as much of it as is in the pass

    @property
    def n_tried(self) -> int:
        """Tokens of the guess that are in the pass."""
        return len(self._tried)

    def piece(self, longest: int, *, alone: bool) -> Piece:
        """The last token, and the guess of what follows as far as the answer may go; of small ones
        only where the row is alone: in company a pass of its own costs more than they save."""
        if alone and not self._guess:
            self._guess = self.answer.guess()
        self._tried = self._guess[: min(longest, self.answer.tokens_left) - 1]
        return Piece((self.answer.tokens[-1], *self._tried), all_logits=bool(self._tried))

    def take(self, logits: Logits) -> int:
        """Choose tokens as long as the guess is right; how many."""
        tried, count = self._tried, 0
        for place in range(len(tried) + 1):
            token = self.answer.take(logits, place)
            count += 1
            right = place < len(tried) and token == tried[place]
            if self.answer.finish_reason is not None or not right:
                break
        if tried:
            self.cache.crop(self.cache.length - len(tried) - 1 + count)
            # (the token after the last that was tried has to be right as well)
            guess = self._guess[count - 1 :]
            goes_on = count > len(tried) and guess[:1] == [token]
            self._guess = guess[1:] if goes_on else []
        return count


class Loop:
    """What the thread does. All methods but `tell`, `end`, `join` and `state` are its own.

    Attributes:
        closed: no more commands are taken.
        growth: clips that are still being heard.
    """

    def __init__(self, runner: Runner, max_rows: int, batch_tokens: int, reuse_bytes: int) -> None:
        self.inbox: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._runner = runner
        self._max_rows, self._batch_tokens = max_rows, batch_tokens
        self._tasks: dict[Handle, QueuedPrompt] = {}
        self._waiting: FairQueue[QueuedPrompt] = FairQueue()
        self._filling: list[QueuedPrompt] = []
        self._forking: list[QueuedPrompt] = []
        self._rows: list[DecodedRow | BeamRow] = []
        self._prefixes = Prefixes(reuse_bytes)
        self.growth = Growth(runner)
        self._held_back = 0  # steps for which requests could have been let in
        self._urgent_until = 0.0  # by the clock
        self._urgent = False  # what has time rests; the same for all within a pass
        self._stats = SchedulerStats()
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()
        self.closed = False
        self._exiting = False

    def tell(self, command: Callable[[], None]) -> None:
        """Put a command into the inbox. Raises MossAudioError where it would come after the one to
        end: whoever waits for what it does would wait for ever."""
        with self._lock:
            if self.closed:
                raise self._over("the engine is closed")
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name=THREAD, daemon=True)
                RUNNING.add(self)
                try:
                    self._thread.start()
                except RuntimeError:  # the system has no more
                    self._thread = None
                    raise
            self.inbox.put(command)

    def end(self, *, exiting: bool = False) -> None:
        """Let the thread end; what is on its way raises.

        Args:
            exiting: the interpreter ends: who still waits is a thread that nobody waits for, and
                SystemExit is what ends a thread without a word.
        """
        with self._lock:
            self.closed = True
            self._exiting = self._exiting or exiting
            self.inbox.put(None)

    def _over(self, text: str) -> BaseException:
        return SystemExit() if self._exiting else MossAudioError(text)

    def join(self, timeout_s: float | None = None) -> None:
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(timeout_s)

    def _run(self) -> None:
        idle_s: float | None = None
        while self._obey(idle_s):
            idle_s = 0.0 if self._tasks or self.growth.busy else None
            if idle_s is None:
                continue
            began = time.perf_counter()
            try:
                n_tokens = self._step()
            except Exception as error:  # whatever it is, nobody may wait for ever
                self._end_all(error)
            else:
                if not n_tokens and self._all_rest():
                    idle_s = max(0.0, self._urgent_until - time.perf_counter())
            self._stats.busy_s += time.perf_counter() - began
        closed = self._over("the engine was closed before the answer was complete")
        self._end_all(closed)
        self.growth.end_all(closed)
        self.forget()

    def state(self) -> SchedulerStats:
        busy = bool(self._rows or self._filling)
        return self._stats.snapshot(
            waiting=len(self._waiting),
            filling=len(self._filling),
            rows=len(self._rows),
            prefixes=len(self._prefixes),
            prefix_bytes=self._prefixes.n_bytes,
            prefix_bytes_most=self._prefixes.max_bytes,
            encoding_bytes=self._runner.kept_bytes,
            positions=self._stats.positions if busy else 0,
            room=self._batch_tokens,
            live=len(self.growth),
            live_chunks=self.growth.chunks,
            repaired_chunks=self.growth.repaired,
        )

    def add(self, task: QueuedPrompt) -> None:
        self._tasks[task.handle] = task
        self._waiting.add(task, task.priority, task.key)
        self._prefixes.want(task.prompt, 1)

    def cancel(self, handle: Handle) -> None:
        if (task := self._tasks.get(handle)) is not None:
            self._end(task, CancelledError())

    def let_go(self, task: QueuedPrompt) -> None:
        """The prefix of a session is no longer needed."""
        if task.prefix is not None:
            self._prefixes.release(task.prefix)
            task.prefix = None

    def forget(self) -> None:
        self._prefixes.clear()
        self._runner.forget()

    def _obey(self, wait_s: float | None = 0.0) -> bool:
        """Follow the commands that have come; False for the one to end.

        Args:
            wait_s: for the first of them; None: until one comes.
        """
        while True:
            try:
                command = self.inbox.get(block=wait_s != 0.0, timeout=wait_s)
            except Empty:
                return True
            if command is None:
                return False
            command()
            wait_s = 0.0

    def _step(self) -> int:
        """The number of positions in its passes."""
        self._stats.steps += 1
        self._watch()
        self._admit()
        self._watch()
        n_tokens = self._decode()
        if not self._obey():  # it does not wait for prefill as well
            self.inbox.put(None)
        self._watch()
        n_tokens += self.growth.step(self._highest_priority)
        n_tokens += self._fill()
        if n_tokens:
            self._stats.step_tokens.add(n_tokens)
        lengths = self._lengths()
        self._stats.positions = max(lengths, default=0) * len(lengths)
        return n_tokens

    def _watch(self) -> None:
        """Note whether somebody waits at this moment, or did a moment ago."""
        now = time.perf_counter()
        if self.growth.urgent or any(one.urgent for one in self._busy()):
            self._urgent_until = now + _URGENT_S
        self._urgent = now < self._urgent_until

    def _lengths(self) -> list[int]:
        """Of the sequences that are being computed."""
        lengths = [row.cache.length for row in self._rows]
        for beams in self._searches():  # it may yet use all its places
            lengths += [beams.live[0].cache.length] * (beams.task.width - len(beams.live))
        return lengths + [task.length for task in self._filling for _ in range(task.width)]

    def _searches(self) -> list[BeamRows]:
        return list(dict.fromkeys(row.rows for row in self._rows if isinstance(row, BeamRow)))

    def _highest_priority(self) -> int | None:
        """Of what is being answered."""
        return max((task.priority for task in self._busy()), default=None)

    def _busy(self) -> list[QueuedPrompt]:
        """Those that are decoded, once for each of their places, and whose prompts are being
        computed."""
        found = [row.task for row in self._rows if isinstance(row, DecodedRow)]
        found += [beams.task for beams in self._searches() for _ in range(beams.task.width)]
        return found + [task for task in self._filling for _ in range(task.width)]

    def _resting(self, task: QueuedPrompt) -> bool:
        """Whether a request that has time (a priority below 0) lets one go on that somebody waits
        for at this moment (above 0), or did a moment ago."""
        return task.priority < 0 and self._urgent

    def _all_rest(self) -> bool:
        return not self.growth.busy and all(map(self._resting, self._tasks.values()))

    def _n_working(self) -> int:
        """Places that are taken; those of resting rows are free."""
        return sum(not self._resting(task) for task in self._busy())

    def _room(self, task: QueuedPrompt) -> bool:
        """Whether one more prompt may join. Those of a priority above 0 may be as many again: they
        need not wait until others' answers end."""
        others = self._lengths()
        lengths = [task.length] * task.width + others
        few = self._n_working() + task.width <= self._max_rows * (2 if task.urgent else 1)
        return not others or (few and max(lengths) * len(lengths) <= self._batch_tokens)

    def _may_begin(self, task: QueuedPrompt) -> bool:
        """Whether the request whose turn it is is let in."""
        if task.priority < 0:
            most = max(1, self._max_rows - self._max_rows // 4)  # the others find a place at once
            if self._resting(task) or sum(one.priority < 0 for one in self._busy()) >= most:
                return False
        return self._room(task)

    def _admit(self) -> None:
        """Let waiting requests in, those first whose prompts are computed already."""
        self._start_rows()
        busy = self._n_working()
        free = self._max_rows - busy
        first = self._waiting.first()
        blocked = self._forking and not self._resting(self._forking[0]) and not self._overtaken()
        if first is None or blocked:
            return
        if free < 1 and not first.urgent:
            return
        if not first.urgent and busy and 4 * free < self._max_rows and self._held_back < _PATIENCE:
            self._held_back += 1
            return
        self._held_back = 0
        while (task := self._waiting.first()) is not None and self._may_begin(task):
            self._waiting.pop()
            self._waiting.charge(task.key, task.length)
            task.admitted = True
            if task.prompt.prefix_length:
                task.prefix = self._prefixes.acquire(task.prompt)
                task.cached = task.prefix.n_ready
            if task.answers:
                self._stats.asked_tokens += task.length
                self._stats.cached_tokens += task.cached
            self._prefixes.want(task.prompt, -1)
            self._filling.append(task)

    def _decode(self) -> int:
        """One pass of all rows: a token each, or more where a guess was right. The number of
        positions in it."""
        rows = [row for row in self._rows if not self._resting(row.task)]
        longest = self._runner.prefill_tokens
        alone = len(rows) == 1
        batch = [(row.cache, row.piece(longest, alone=alone)) for row in rows]
        for place, logits in _passes(self._runner.forward, batch):
            row = rows[place]
            if row.task.handle in self._tasks:
                with self._concerning(row.task):
                    self._take(row, logits)
        return sum(len(piece.ids) for _, piece in batch)

    def _take(self, row: DecodedRow | BeamRow, logits: Logits | Exception) -> None:
        if isinstance(logits, Exception):
            raise logits
        if isinstance(row, BeamRow):
            if row.rows.take(row, logits):
                self._searched(row.task, row.rows)
            return
        tried, now = row.n_tried, time.perf_counter()
        n_tokens = row.take(logits)
        self._stats.draft_tokens += tried
        self._stats.accepted_tokens += min(tried, n_tokens - 1)
        self._stats.token_gaps.add((now - row.said_at) / n_tokens, n_tokens)
        row.said_at = now
        if row.answer.finish_reason is not None:
            self._rows.remove(row)
            row.cache.close()
        self._said(row.task, row.answer, n_tokens)

    def _searched(self, task: QueuedPrompt, beams: BeamRows) -> None:
        """A search has gone on by one token."""
        now = time.perf_counter()
        self._stats.token_gaps.add(now - beams.said_at, 1)
        beams.said_at = now
        self._waiting.charge(task.key, len(beams.live))
        self._rows = [*(row for row in self._rows if row.task is not task), *beams.live]
        if beams.search.done:
            found = beams.search.best()
            task.answers = task.answers[: len(found)]
            for answer, (score, beam) in zip(task.answers, found, strict=False):
                answer.retell(score, beam)
            for answer in task.answers:
                self._said(task, answer, len(answer.tokens))

    @contextlib.contextmanager
    def _concerning(self, task: QueuedPrompt) -> Iterator[None]:
        """What is raised ends this request alone."""
        try:
            yield
        except Exception as error:
            self._end(task, error)

    def _fill(self) -> int:
        """One pass of prefill: a chunk each of as many prompts as the budget allows. The number of
        positions in it."""
        chosen = self._chosen()
        self._encode(chosen)
        fills = [
            fill for fill, task in chosen.items() if task.handle in self._tasks and not fill.clips
        ]
        batch = [(fill.cache, fill.piece(self._pass_size(chosen[fill]))) for fill in fills]
        for place, logits in _passes(self._runner.forward, batch):
            fill = fills[place]
            task = chosen[fill]
            if isinstance(logits, Exception):
                self._fail(fill, logits)
                continue
            self._stats.prompt_tokens += len(batch[place][1].ids)
            if fill.ready:
                fill.encoded = ()
                if fill is task.rest:
                    with self._concerning(task):
                        self._begin(task, logits)
        self._start_rows()
        return sum(len(piece.ids) for _, piece in batch)

    def _pass_size(self, task: QueuedPrompt) -> int:
        """Positions of a prompt that go into one pass: few where it has time, so that what comes
        meanwhile need not wait for long."""
        return self._runner.part_tokens if task.priority < 0 else self._runner.prefill_tokens

    def _chosen(self) -> dict[Fill, QueuedPrompt]:
        """What of which prompts comes next; of those that have time one alone."""
        budget = self._runner.prefill_tokens * (1 if self._rows else _IDLE_CHUNKS)
        chosen: dict[Fill, QueuedPrompt] = {}
        for task in self._in_turn():
            if self._resting(task) or (chosen and task.priority < 0):
                break  # they are the last
            fill = None
            with self._concerning(task):
                fill = self._next_fill(task)
            if fill is None or fill in chosen:
                continue
            first, end = fill.chunk(self._pass_size(task))
            if chosen and end - first > budget:
                break
            budget -= end - first
            chosen[fill] = task
        return chosen

    def _in_turn(self) -> list[QueuedPrompt]:
        """The prompts that are being computed: in one step as they came, in the next those first
        that are nearest to their end, and those that have time after the others. A long one neither
        keeps short ones waiting, nor does it wait for ever while such come."""
        found = list(self._filling)
        if self._stats.steps % 2:
            found.sort(key=lambda task: task.left)
        return sorted(found, key=lambda task: task.priority < 0)

    def _next_fill(self, task: QueuedPrompt) -> Fill | None:
        """What has to be computed next of a request's prompt; nothing if only its prefix was."""
        prefix, prompt = task.prefix, task.prompt
        if task.rest is None:
            if prefix is not None and not prefix.ready:
                if prefix.cache is None and task.opening is not None:
                    prefix.cache = task.opening()
                prefix.cache = prefix.cache or self._runner.cache()
                return prefix
            if not task.answers:
                self._filling.remove(task)
                del self._tasks[task.handle]
                task.handle.end(Generation("", (), "stop", prompt.prefix_length))
                return None
            cache = self._prefixes.fork(prefix) if prefix is not None else self._runner.cache()
            task.rest = Fill(prompt, prompt.prefix_length, task.length, cache)
            self.let_go(task)
        return task.rest

    def _encode(self, chosen: Mapping[Fill, QueuedPrompt]) -> None:
        """Encode the clips of those that have not been; of prompts that have time a part."""
        for keep in (False, True):
            fills = []
            for fill, task in chosen.items():
                if not (isinstance(fill, Prefix) and fill.clips and fill.reuse == keep):
                    continue
                if task.priority < 0 and self._runner.part_tokens < self._runner.prefill_tokens:
                    try:
                        fill.encode_part(self._runner)
                    except Exception as error:
                        self._fail(fill, error)
                else:
                    fills.append(fill)
            for place, encoded in _passes(partial(self._encode_clips, keep), fills):
                if isinstance(encoded, Exception):
                    self._fail(fills[place], encoded)
                else:
                    fills[place].encoded = encoded

    def _encode_clips(self, keep: bool, fills: Sequence[Fill]) -> list[list[EncodedClip]]:
        clips = [clip for fill in fills for clip in fill.clips]
        found = iter(self._runner.encode(clips, keep=keep))
        return [[next(found) for _ in fill.clips] for fill in fills]

    def _begin(self, task: QueuedPrompt, logits: Logits) -> None:
        """The prompt is computed: the first token of each answer."""
        assert task.rest is not None
        self._filling.remove(task)
        if task.width > 1:
            assert task.rest.cache is not None
            cache, task.rest.cache = task.rest.cache, None
            beams = BeamRows(task, task.answers[0].search(), cache)
            beams.begin(logits)
            self._searched(task, beams)
            return
        for answer in task.answers:
            answer.take(logits, 0)
        task.pending = [one for one in task.answers if one.finish_reason is None]
        if task.pending:
            first = sum(not one.begun for one in self._forking)
            self._forking.insert(first, task)  # before further answers to others
        for answer in task.answers:
            self._said(task, answer, 1)

    def _start_rows(self) -> None:
        while self._forking and not self._overtaken():
            task = next((one for one in self._forking if not self._resting(one)), None)
            if task is None or not self._room(task):
                return
            with self._concerning(task):
                self._start_row(task)

    def _overtaken(self) -> bool:
        """Whether somebody who waits goes before further answers to a prompt that has some already:
        one who asks for a hundred does not keep the others waiting for all of them."""
        task = self._forking[0]
        few = len(self._forking) < self._max_rows  # each holds the memory of its prompt
        return few and task.begun and self._waiting.goes_before(task.priority, task.key)

    def _start_row(self, task: QueuedPrompt) -> None:
        assert task.rest is not None
        assert task.rest.cache is not None
        cache = task.rest.cache.fork() if len(task.pending) > 1 else task.rest.cache
        self._rows.append(DecodedRow(task, task.pending.pop(0), cache))
        self._forking.remove(task)
        if task.pending:
            self._forking.append(task)  # behind those that have no row yet
        else:
            task.rest.cache = None

    def _said(self, task: QueuedPrompt, answer: AnswerRow, n_tokens: int) -> None:
        """An answer has new tokens, which may be its last."""
        self._stats.generated_tokens += n_tokens
        self._waiting.charge(task.key, n_tokens)
        task.handle.put(answer)
        if all(one.finish_reason is not None for one in task.answers):
            whole = members([one.generation() for one in task.answers])
            self._end(task, replace(whole, cached_tokens=task.cached))

    def _fail(self, fill: Fill, error: Exception) -> None:
        """End the requests that need a prompt, or a beginning, which cannot be computed."""
        for task in list(self._filling):
            if fill in (task.rest, task.prefix):
                self._end(task, error)

    def _end_all(self, error: BaseException) -> None:
        for task in list(self._tasks.values()):
            self._end(task, error)

    def _end(self, task: QueuedPrompt, outcome: Generation | BaseException) -> None:
        """A request is over: nothing of it stays."""
        if self._tasks.pop(task.handle, None) is None:
            return
        if not task.admitted:
            self._waiting.remove(task, task.priority, task.key)
            self._prefixes.want(task.prompt, -1)
        for place in (self._filling, self._forking):
            if task in place:
                place.remove(task)
        own = [row.cache for row in self._rows if row.task is task]
        self._rows = [row for row in self._rows if row.task is not task]
        if task.rest is not None and task.rest.cache is not None:
            own.append(task.rest.cache)
        for cache in own:
            cache.close()
        self.let_go(task)
        if isinstance(outcome, Generation):
            self._stats.finished += 1
        elif isinstance(outcome, CancelledError):
            self._stats.cancelled += 1
        else:
            self._stats.failed += 1
        task.handle.end(outcome)


def _passes(
    call: Callable[[Sequence[Any]], Sequence[Any]], batch: Sequence[Any]
) -> Iterator[tuple[int, Any]]:
    """(place, what `call` gives for it) of all of a batch together. Where that raises, each by
    itself, with the exception in the place of those that cannot be had."""
    if not batch:
        return
    try:
        found = call(batch)
    except Exception as error:
        if len(batch) == 1:
            yield 0, error
            return
    else:
        yield from enumerate(found)
        return
    for place, one in enumerate(batch):
        for _, result in _passes(call, [one]):
            yield place, result


THREAD = "moss_audio scheduler"  # the name of each loop's thread
RUNNING: weakref.WeakSet[Loop] = weakref.WeakSet()
