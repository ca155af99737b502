"""Twenty pages for a minute beside a camera of 30 pictures a second, and two thousand that come."""

import threading
import time

import pytest
from live_process import Page
from live_process import clip  # noqa: F401  a fixture
from live_process import live

PAGES, SECONDS, VISITS = 20, 60, 2000


def memory_mb(process):
    with open(f"/proc/{process.pid}/status") as file:
        return int(file.read().split("VmRSS:")[1].split()[0]) / 1000


def look(url, until, frames, heads):
    page = Page(url)
    while time.monotonic() < until:
        head = page.frame()[0]
        page.send(ack=head["number"])
        frames.append(head["number"])
        heads.append(head)
    page.socket.close()


def visit(url, until, visits):
    while len(visits) < VISITS and time.monotonic() < until:
        Page(url).socket.close()
        visits.append(1)


@pytest.mark.slow
def test_twenty_pages_for_a_minute_and_two_thousand_visits(clip):  # noqa: F811
    with live(f"--input={clip}") as command:
        until = time.monotonic() + SECONDS
        frames, heads, visits = [[] for _ in range(PAGES)], [], []
        threads = [threading.Thread(target=look, args=(command.socket_url, until, own, heads))
                   for own in frames]
        threads += [threading.Thread(target=visit, args=(command.socket_url, until, visits))
                    for _ in range(4)]
        for thread in threads:
            thread.start()
        time.sleep(SECONDS / 4)
        early = memory_mb(command.process)
        for thread in threads:
            thread.join()
        late = memory_mb(command.process)
        rates = [len(own) / SECONDS for own in frames]
        print(f"frames a second: {min(rates):.1f} to {max(rates):.1f}; camera "
              f"{heads[-1]['camera_fps']:.1f}; depth {heads[-1]['fps']:.1f}; visits {len(visits)}; "
              f"memory {early:.0f} -> {late:.0f} MB")
        assert min(rates) > 1
        assert heads[-1]["camera_fps"] > 25
        assert late < early + 40
        for own in frames:
            assert own == sorted(set(own))
        assert command.stop()[0] < 5
