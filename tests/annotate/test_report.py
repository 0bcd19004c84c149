"""The final report: what it counts and shows, and that nothing in the data gets out of hand."""

import base64
import hashlib
import itertools
import json
import math
import re
import shutil
import subprocess
import wave
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from moss_audio.annotate.records import AudioSegment, Recording, SegmentCaption, Span, ToolResult
from moss_audio.annotate.report import write_report
from moss_audio.annotate.reporting.counting import Histogram, Tally, fair_limit, general
from moss_audio.annotate.reporting.drawing import spectrogram_uri
from moss_audio.annotate.reporting.reading import SegmentSampler
from moss_audio.annotate.reporting.statistics import Statistics, group_of
from moss_audio.annotate.reporting.timeline import lanes, ticks
from moss_audio.errors import MossAudioError
from moss_audio.plot import mel_height
from moss_audio.recordings import load_audio

RATE = 16_000
EVIL = '</script><script>document.title="broken"</script>"\'><img src=x onerror=alert(1)>&amp;'
PROFILES = {
    "speech": {"speech": 0.9},
    "music": {"singing": 0.6, "music": 0.8},
    "general": {"animal": 0.7, "speech": 0.1},
    "silence": {"environment": 0.1},
}


def segment(number, group="speech", seconds=1.0, results=(), **fields):
    recording = Recording(f"r{number // 2}", f"in/{number // 2}.wav", 60.0, 44_100, 1)
    return AudioSegment(
        id=f"r{number // 2}-{number:04d}",
        recording=recording,
        start_s=3.0,
        end_s=3.0 + seconds,
        audio=f"audio/{number}.wav",
        profile=PROFILES[group],
        results=tuple(results),
        **fields,
    )


def agreement(decision, score, reason=""):
    values = {"decision": decision, "chosen": "a", "pairs": {"a|b": score}, "reason": reason}
    return ToolResult("agreement", "1", "speech", "agreement", "so", score, values=values)


def words(*starts):
    spans = tuple(Span(f"w{k}", start, start + 0.2) for k, start in enumerate(starts))
    return ToolResult("aligner", "2", "speech", "words", spans=spans)


def tone(seconds, hertz=440.0):
    return 0.4 * np.sin(2 * np.pi * hertz * np.arange(round(seconds * RATE)) / RATE)


def write_folder(out, segments, shards=1, silent=()):
    (out / "audio").mkdir(parents=True)
    (out / "segments").mkdir()
    for one in segments:
        if one.id not in silent:
            with wave.open(str(out / one.audio), "wb") as file:
                file.setparams((1, 2, RATE, 0, "NONE", ""))
                pcm = np.round(tone(one.duration_s) * 32767).astype("<i2")
                file.writeframes(pcm.tobytes())
    for shard in range(shards):
        lines = [json.dumps(one.to_dict()) + "\n" for one in segments[shard::shards]]
        (out / "segments" / f"{shard:05d}.jsonl").write_text("".join(lines), encoding="utf-8")
    return out


@pytest.fixture
def folder(tmp_path):
    talk = {
        "task": "time_qa",
        "messages": [
            {"role": "user", "content": [{"type": "audio"}, {"type": "text", "text": "When?"}]},
            {"role": "assistant", "content": "At 0.3 s."},
        ],
    }
    segments = [
        segment(
            0,
            results=[agreement("keep", 0.05), words(0.1, 0.3, 0.6)],
            caption=SegmentCaption("Someone says so.", "grounded", ("speech leads",)),
            conversations=(talk,),
        ),
        segment(1, results=[agreement("drop", 0.8, "0.80 is above 0.5")], flags=("short",)),
        segment(2, results=[agreement("drop", 0.6, "0.60 is above 0.5")]),
        segment(3, "music", caption=SegmentCaption("Music plays.", "some-model", rejected=2)),
        segment(4, "general"),
        segment(5, "silence"),
    ]
    out = write_folder(tmp_path / "out", segments, shards=2)
    rows = [
        {"path": "in/a.mp3", "reason": "in/a.mp3: not media"},
        {"path": "in/b.mp3", "reason": "in/b.mp3: not media"},
        {"path": "in/c.wav", "reason": "duplicate of in/7.wav"},
    ]
    (out / "aside.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    stats = out / "work" / "stats" / "speech"
    stats.mkdir(parents=True)
    for shard, wall_s in enumerate((500, 400)):
        (stats / f"{shard:05d}-k.json").write_text(
            json.dumps({"audio_s": 3600, "wall_s": wall_s}) + "\n"
        )
    return out


class Page(HTMLParser):
    """Tags with their attributes, and the text outside of script and style."""

    def __init__(self, path):
        super().__init__()
        self.tags, self.texts, self._inside = [], [], ""
        self.source = path.read_text(encoding="utf-8")
        self.feed(self.source)
        self.text = " ".join(" ".join(self.texts).split())

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        self._inside = tag

    def handle_endtag(self, tag):
        self._inside = ""

    def handle_data(self, data):
        if self._inside not in ("script", "style"):
            self.texts.append(data)

    def all(self, tag, **wanted):
        found = [attributes for name, attributes in self.tags if name == tag]
        return [one for one in found if all(one.get(key) == v for key, v in wanted.items())]


def decoded(uri):
    return base64.b64decode(uri.split(",", 1)[1])


# ---------------------------------------------------------------------------------- the page


def test_the_page_says_what_was_counted(folder):
    page = Page(write_report(folder))
    assert "6 s of audio in 6 segments" in page.text
    for said in (
        "not media 2 in/a.mp3",
        "duplicate of in/N.wav 1 in/c.wav",
        "drop N is above N 2 2 s r1-0002",
        "keep (1)", "flag (0)", "drop (2)",
        "33 % of 3",
        "speech 2 h 15 min 8",  # eight hours of audio an hour of work
        "2 texts rejected",
        "time qa 1",
    ):  # fmt: skip
        assert said in page.text, said


def test_samples_show_sound_results_caption_and_conversations(folder):
    page = Page(write_report(folder))
    cards = page.all("details")
    groups = [card["data-group"] for card in cards if card.get("class") == "card"]
    assert groups == ["speech"] * 3 + ["music", "general", "silence"]
    sounds = page.all("audio")
    assert len(sounds) == 6
    heard = load_audio(decoded(sounds[0]["src"]))
    assert heard.duration_s == pytest.approx(1.0, abs=0.02)
    spectrum = np.abs(np.fft.rfft(heard.samples))
    loudest = np.argmax(spectrum) * RATE / len(heard.samples)
    assert loudest == pytest.approx(440, abs=3)
    items = [one for one in page.all("button") if one.get("class", "").startswith("item")]
    assert [one["data-start"] for one in items] == ["0.1", "0.3", "0.6"]
    assert "left:30.0%;width:20.0%" in items[1]["style"]
    assert "Someone says so." in page.text
    assert "When?" in page.text
    assert "a|b: 0.05" in page.text


def test_equal_folders_give_equal_bytes(folder, tmp_path):
    first = write_report(folder).read_bytes()
    assert write_report(folder).read_bytes() == first
    shutil.copytree(folder, tmp_path / "elsewhere")
    assert write_report(tmp_path / "elsewhere").read_bytes() == first


def test_data_cannot_become_markup(tmp_path):
    result = ToolResult(
        EVIL, EVIL, "speech", "words", EVIL, 0.5,
        (Span(EVIL, 0.0, 0.5, 0.5, {EVIL: EVIL}),), {EVIL: EVIL}, (EVIL,),
    )  # fmt: skip
    evil = segment(
        0,
        results=[result, agreement(EVIL, 0.1), agreement("drop", 0.9, EVIL)],
        caption=SegmentCaption(EVIL, EVIL, (EVIL,), (EVIL,)),
        conversations=({"task": EVIL, "messages": [{"role": EVIL, "content": EVIL}]},),
        flags=(EVIL,),
    )
    evil = replace(evil, id=EVIL, recording=replace(evil.recording, path=EVIL, member=EVIL))
    out = write_folder(tmp_path / "out", [evil])
    (out / "aside.jsonl").write_text(json.dumps({"path": EVIL, "reason": f"bad {EVIL}"}))
    page = Page(write_report(out))
    assert len(page.all("script")) == 1
    assert page.all("img") == page.all("img", alt="Mel spectrogram")
    assert not [key for _, attributes in page.tags for key in attributes if key.startswith("on")]
    assert page.text.count(EVIL) >= 15  # and it is there to be read


def test_the_page_needs_and_allows_nothing_from_outside(folder):
    page = Page(write_report(folder))
    links = [a[key] for _, a in page.tags for key in ("src", "href", "srcset") if key in a]
    assert links
    assert all(link.startswith(("data:", "#")) for link in links)
    style = re.search(r"<style>(.*?)</style>", page.source, re.S)[1]
    assert "url(" not in style
    assert "@import" not in style
    script = re.search(r"<script>(.*?)</script>", page.source, re.S)[1]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = next(meta for meta in page.all("meta") if "http-equiv" in meta)["content"]
    assert f"script-src 'sha256-{digest}'" in policy
    assert "default-src 'none'" in policy


def test_a_missing_sound_is_said_and_the_rest_shown(tmp_path):
    out = write_folder(tmp_path / "out", [segment(0), segment(1)], silent=["r0-0001"])
    page = Page(write_report(out))
    assert len(page.all("audio")) == 1
    assert "The sound could not be read: audio/1.wav" in page.text
    assert str(tmp_path) not in page.source


def test_long_segments_are_cut_and_the_page_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr("moss_audio.annotate.report._SOUND_BYTES", 12_000)  # four seconds
    monkeypatch.setattr("moss_audio.annotate.report._TIMELINE_ITEMS", 40)
    many = [words(*np.arange(50) * 0.05), words(0.1, 9.0)]
    out = write_folder(tmp_path / "out", [segment(0), segment(1, seconds=10.0, results=many)])
    page = Page(write_report(out))
    lengths = [load_audio(decoded(one["src"])).duration_s for one in page.all("audio")]
    assert lengths == pytest.approx([1.0, 3.0], abs=0.02)
    assert "The first 0:03.0 of 0:10.0 are shown." in page.text
    # Twenty items a card: the second lane has one inside the three seconds, the first the rest.
    items = [one for one in page.all("button") if one.get("class", "").startswith("item")]
    assert len(items) == 20
    assert "aligner, 31 not shown" in page.text


def test_a_folder_without_segments_says_so_and_an_empty_run_has_a_report(tmp_path):
    with pytest.raises(MossAudioError, match="nowhere: no such folder"):
        write_report(tmp_path / "nowhere")
    with pytest.raises(MossAudioError, match=r"neither segments.jsonl nor"):
        write_report(tmp_path)
    (tmp_path / "segments.jsonl").write_text("")
    page = Page(write_report(tmp_path))
    assert "There are no segments to show." in page.text


@pytest.mark.parametrize("line", ["{", "[]", '{"id": "x"}', '{"id": 1, "recording": 2}'])
def test_a_broken_line_is_named_and_the_old_report_stays(folder, line):
    before = write_report(folder).read_bytes()
    shard = folder / "segments" / "00001.jsonl"
    shard.write_text(shard.read_text() + line + "\n")
    with pytest.raises(MossAudioError, match=r"00001.jsonl:4: not .*run annotate again"):
        write_report(folder)
    assert (folder / "report.html").read_bytes() == before
    assert not list(folder.glob(".*"))


# -------------------------------------------------------------------------- samples and counts


def test_the_draw_is_spread_over_groups_and_does_not_depend_on_order():
    segments = [segment(k, "speech") for k in range(300)]
    segments += [segment(k, "music") for k in range(300, 340)] + [segment(340, "silence")]

    def drawn(order, seed=0):
        sampler = SegmentSampler(20, seed)
        for one in order:
            sampler.add(one)
        return [(group_of(one), one.id) for one in sampler.draw()]

    found = drawn(segments)
    groups = [group for group, _ in found]
    assert (groups.count("speech"), groups.count("music"), groups.count("silence")) == (10, 9, 1)
    assert drawn(segments[::-1]) == found
    assert drawn(segments, seed=1) != found


def test_every_segment_has_the_same_chance():
    segments = [segment(k) for k in range(12)]
    seen = dict.fromkeys((one.id for one in segments), 0)
    for seed in range(600):
        sampler = SegmentSampler(3, seed)
        for one in segments:
            sampler.add(one)
        for one in sampler.draw():
            seen[one.id] += 1
    # 150 each are expected; five standard deviations are 53.
    assert all(abs(count - 150) < 54 for count in seen.values())


def test_word_rate_counts_the_time_between_first_and_last_word():
    statistics = Statistics()
    statistics.add(segment(0, seconds=30.0, results=[words(1.0, 1.5, 2.0, 2.8)]))
    assert statistics.word_rates.quantile(0.5) == 120  # four words in two seconds
    statistics.add(segment(1, results=[words(0.1, 0.2)]))  # too few for a rate
    assert statistics.word_rates.counts.sum() == 1


def test_tallies_are_bounded():
    tally = Tally()
    for number in range(5000):
        tally.add(f"name {number}")
    assert tally.total == 5000
    assert len(tally.most_common()) == 1001


def test_reasons_lose_their_numbers_and_names():
    assert general("in/a 7.wav: 3 of 1,200.5 blocks", "in/a 7.wav") == "N of N blocks"
    assert general(" ") == "(no reason given)"


@given(st.lists(st.floats(0, 2000) | st.just(math.nan), max_size=60), st.integers(1, 30))
def test_bins_are_round_adjacent_and_lose_nothing(values, most):
    found = Histogram(0.5, 600.0)
    for value in values:
        found.add(value)
    bins = found.bins(most)
    assert sum(one.total for one in bins) == sum(not math.isnan(value) for value in values)
    assert len(bins) <= most
    for left, right in itertools.pairwise(bins):
        assert left.high == pytest.approx(right.low)
    for one in bins:
        inside = sum(one.low - 1e-5 <= value < one.high for value in values)
        assert abs(inside - one.total) <= sum(
            abs(v - edge) < 1e-4 for v in values for edge in (one.low, one.high)
        )


@given(st.lists(st.floats(0.1, 100), min_size=1, max_size=20), st.floats(1, 500))
def test_a_fair_limit_fills_the_room(needs, room):
    limit = fair_limit(needs, room)
    used = sum(min(need, limit) for need in needs)
    assert used <= room * (1 + 1e-9)
    if limit < max(needs):
        assert used == pytest.approx(room)


# --------------------------------------------------------------------------- lanes and drawings


def test_items_of_a_lane_never_lie_on_each_other():
    generator = np.random.default_rng(5)
    spans = [
        Span("x", float(t), float(t + d)) for t, d in generator.uniform(0, 8, (40, 2)) / (1, 8)
    ]
    spans += [Span("later", 12.0, 13.0), Span("nowhere", math.nan, 1.0)]
    result = ToolResult("events", "1", "general", "events", spans=tuple(spans))
    (lane,) = lanes(segment(0, seconds=10.0, results=[result]), 10.0, 1000)
    assert len(lane.items) == 40
    for row in range(lane.rows):
        ordered = [item for item in lane.items if item["row"] == row]
        for left, right in itertools.pairwise(ordered):
            assert right["start_s"] >= left["end_s"] - 2e-3
    assert all(item["left"] >= 0 and item["left"] + item["width"] <= 100.001 for item in lane.items)


@pytest.mark.parametrize("seconds", [0.3, 1.0, 7.9, 30.0, 61.0, 3000.0])
def test_a_time_axis_has_a_few_round_marks(seconds):
    major = [tick for tick in ticks(seconds) if not tick.minor]
    assert 1 <= len(major) <= 9
    assert len({tick.text for tick in ticks(seconds)}) == len(ticks(seconds))


def test_a_tone_lies_at_its_frequency_in_the_spectrogram():
    import av

    for hertz in (300.0, 1000.0, 4000.0):
        picture = decoded(spectrogram_uri(tone(1.0, hertz).astype(np.float32)))
        packet = av.Packet(picture)
        (frame,) = av.CodecContext.create("png", "r").decode(packet)
        grey = frame.to_ndarray(format="gray").astype(float).mean(1)
        height = 1 - (np.argmax(grey) + 0.5) / len(grey)
        assert height == pytest.approx(mel_height(hertz), abs=0.03)


# ------------------------------------------------------------------------------------- browser

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
CLICK = """<script>
addEventListener("load", () => {
  document.querySelectorAll(".item")[1].click();
  // Asked for at once; the sound itself may be decoded later.
  document.body.dataset.heard = document.querySelector("audio").currentTime.toFixed(2);
  document.body.dataset.at = document.querySelector(".viewer").style.getPropertyValue("--at");
  const query = document.querySelector("#query");
  query.value = "MUSIC plays";
  query.dispatchEvent(new Event("input", { bubbles: true }));
});
</script></body>"""


@pytest.mark.skipif(CHROMIUM is None, reason="needs the program chromium")
def test_a_click_seeks_and_a_search_filters_in_a_browser(folder, tmp_path):
    source = write_report(folder).read_text(encoding="utf-8")
    # The page's own policy would, rightly, refuse the script that clicks.
    open_source = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", source)
    page = tmp_path / "page.html"
    page.write_text(open_source.replace("</body>", CLICK), encoding="utf-8")
    command = [
        CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
        "--disable-background-networking", "--disable-component-update", "--disable-sync",
        f"--user-data-dir={tmp_path / 'profile'}", "--dump-dom", page.as_uri(),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    body = re.search(r"<body[^>]*>", done.stdout)[0]
    heard = re.search(r'data-heard="([\d.]+)"', body)
    assert heard, done.stderr
    assert float(heard[1]) == pytest.approx(0.3, abs=0.1)
    assert float(re.search(r'data-at="([\d.]+)"', body)[1]) == pytest.approx(0.3, abs=0.1)
    assert "1 of 6</output>" in done.stdout
    assert done.stdout.count('hidden=""') >= 5  # the other five cards
