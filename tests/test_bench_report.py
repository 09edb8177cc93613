"""What the benchmark says of what it has measured."""

import socket
import threading
import time
from xml.etree import ElementTree

import pytest

from bench import contenders as who
from bench import report
from bench.answers import ANSWER
from bench.frames import accept_of, masked, messages
from bench.load import Latencies
from bench.measure import Sample
from bench.pages import PAGE, with_block
from bench.plan import PARTS, parse
from bench.plot import plot
from bench.processes import BenchError, MissingProgram
from bench.results import Measured, Results, RowResult, Spread, Steady
from bench.rows import CONTENDERS, ROWS, Case, contenders_row
from bench.steady import run
from bench.targets import TARGETS, Target, added_p99

OURS, NGINX = Case(who.GATEWAY), Case(who.NGINX)
FACTS: dict[str, object] = dict.fromkeys(
    ("at", "python", "aiohttp", "nginx", "haproxy", "envoy", "kernel", "cores", "cpu", "rounds"), "?"
) | {"tokens": 1000, "connections": 32, "seconds": 1}


def sample(cpu_us: float, errors: int = 0) -> Sample:
    return Sample(requests=10, cpu_us=cpu_us, rate=1e6 / cpu_us, busy=1.0, others=0.0, rss_mib=50, errors=errors)


def measured(*cpu_us: float, errors: int = 0) -> Measured:
    return Measured({number: sample(each, errors) for number, each in enumerate(cpu_us)})


def contenders(ours: Measured, nginx: Measured) -> RowResult:
    return RowResult(contenders_row((who.GATEWAY, who.NGINX)), {OURS: ours, NGINX: nginx})


def results(row: RowResult) -> Results:
    return Results(FACTS, rows={CONTENDERS: row})


class TestRatios:
    def test_they_are_formed_within_each_round(self) -> None:
        row = contenders(measured(20, 60, 30), measured(10, 20, 10))
        assert row.ratio(OURS, NGINX) == Spread(2.0, 3.0, 3.0)

    def test_a_round_that_one_of_them_lacks_does_not_count(self) -> None:
        row = contenders(measured(20, 60), Measured({1: sample(20)}))
        assert row.ratio(OURS, NGINX) == Spread(3.0, 3.0, 3.0)

    def test_a_wrong_answer_makes_all_figures_void(self) -> None:
        row = contenders(measured(20), measured(10, errors=1))
        assert row.ratio(OURS, NGINX) is None
        assert results(row).is_wrong

    def test_who_is_not_installed_is_not_wrong(self) -> None:
        row = contenders(measured(20), Measured(failure=MissingProgram("nginx is not installed")))
        assert not results(row).is_wrong
        assert "nginx is not installed" in report.contenders(row)


class TestTargets:
    def test_most_and_least(self) -> None:
        assert Target("", 2, added_p99).is_reached(Spread(1, 2, 9))
        assert not Target("", 2, added_p99).is_reached(Spread(1, 2.1, 9))
        assert Target("", 2, added_p99, is_least=True).is_reached(Spread(1, 2.1, 9))

    def test_what_was_measured_stands_beside_each(self) -> None:
        text = report.targets(results(contenders(measured(20, 60, 30), measured(10, 20, 10))))
        line = next(line for line in text.splitlines() if "nginx as a plain proxy" in line)
        assert [cell.strip() for cell in line.split("|")[2:-1]] == ["at most 2.75", "3.00", "2.00–3.00", "**no**"]
        assert text.count("not measured") == len(TARGETS) - 1

    def test_added_latency_is_against_the_upstream_itself_in_the_same_round(self) -> None:
        found = results(contenders(measured(1), measured(1)))
        found.latencies = {name: steady(name, *p99) for name, p99 in (("direct", (1, 4)), ("gateway", (1.5, 4.25)))}
        assert added_p99(found) == Spread(0.25, 0.375, 0.5)


def steady(name: str, *p99_ms: float) -> Steady:
    return Steady(name, 100, [Latencies(100, 0.1, each, 9, 0) for each in p99_ms])


class TestPages:
    def test_a_block_is_replaced_and_the_rest_stays(self) -> None:
        text = "a\n<!-- bench: rows -->\nold\n<!-- end -->\nb\n<!-- bench: x -->\nold\n<!-- end -->\n"
        new = with_block(text, "rows", "new \\1")
        assert new == "a\n<!-- bench: rows -->\nnew \\1\n<!-- end -->\nb\n<!-- bench: x -->\nold\n<!-- end -->\n"

    def test_a_page_without_the_place_is_a_mistake(self) -> None:
        with pytest.raises(BenchError, match="no place for rows"):
            with_block("", "rows", "new")

    @pytest.mark.parametrize("name", ["targets", "contenders", "latencies", "rows", "conditions"])
    def test_the_page_has_a_place_for_each_block(self, name: str) -> None:
        with_block(PAGE.read_text(), name, "")

    def test_the_plot_is_well_formed_and_has_a_bar_for_each(self) -> None:
        root = ElementTree.fromstring(plot(contenders(measured(20, 60), measured(10, 20))))
        texts = ["".join(text.itertext()) for text in root.iter("{http://www.w3.org/2000/svg}text")]
        assert "gateway" in texts
        assert "15" + "10–20" in texts


class TestCommandLine:
    def test_everything_is_measured_by_default(self) -> None:
        assert parse([]).parts == set(PARTS)
        assert {row.key for row in ROWS} < set(PARTS)

    def test_parts_are_named(self) -> None:
        plan = parse(["--only", "gateway,nginx", "--rows", "contenders,tls"])
        assert plan.only == (who.GATEWAY, who.NGINX)
        assert plan.parts == {"contenders", "tls"}

    @pytest.mark.parametrize("words", [["--only", "apache"], ["--rows", "x"], ["--rows", "tls", "--write-docs"]])
    def test_what_is_unknown_or_too_little_is_refused(self, words: list[str]) -> None:
        with pytest.raises(SystemExit):
            parse(words)


class TestMessages:
    def test_the_handshake_is_that_of_rfc_6455(self) -> None:
        assert accept_of("dGhlIHNhbXBsZSBub25jZQ==") == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="

    def test_messages_are_unmasked_when_they_are_whole(self) -> None:
        sent = masked(b"hello", b"abcd") + masked(b"world!", b"\0\xff12")
        received = bytearray(sent[:-1])
        assert list(messages(received)) == [b"hello"]
        received += sent[-1:]
        assert list(messages(received)) == [b"world!"]
        assert received == b""


def test_a_pause_of_the_server_is_seen_by_every_request_that_was_due_in_it() -> None:
    pause = 0.7  # longer than the whole measurement
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = threading.Thread(target=answer_late, args=(listener, pause))
        server.start()
        found = run(listener.getsockname()[1], [b"GET / HTTP/1.1\r\n\r\n"], rate=1000, seconds=0.2)
        server.join()
    assert found["wrong"] == 0
    assert found["p50_ms"] > 50


def answer_late(listener: socket.socket, pause: float) -> None:
    """Take connections, say nothing for a while, then answer whatever comes until all are closed."""
    connections = []
    listener.settimeout(0.2)
    try:
        while True:
            connections.append(listener.accept()[0])
    except TimeoutError:
        time.sleep(pause - 0.2)
    threads = [threading.Thread(target=answer, args=(connection,)) for connection in connections]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def answer(connection: socket.socket) -> None:
    with connection:
        while connection.recv(65536):
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 200\r\n\r\n" + ANSWER.encode())
