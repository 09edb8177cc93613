from gateway.model.tally import BUCKETS, DurationTally, RouteTally


def counted(method: str, status: int) -> list[tuple[str, str, int]]:
    tally = RouteTally()
    tally.record(method, status, "allow", 0.1)
    return list(tally.requests())


def test_a_request_is_counted_by_method_and_class_of_status() -> None:
    assert counted("GET", 200) == [("GET", "2xx", 1)]
    assert counted("OPTIONS", 404) == [("OPTIONS", "4xx", 1)]
    assert counted("POST", 503) == [("POST", "5xx", 1)]
    assert counted("GET", 101) == [("GET", "1xx", 1)]


def test_a_client_that_went_away_is_not_mixed_with_client_errors() -> None:
    assert counted("GET", 499) == [("GET", "499", 1)]


def test_a_method_that_a_client_made_up_makes_no_new_time_series() -> None:
    assert counted("PROPFIND", 207) == [("other", "2xx", 1)]
    assert counted("get", 200) == [("other", "2xx", 1)]


def test_an_invalid_status_counts_as_a_server_error() -> None:
    for status in (0, 99, 600, 999, 1000):
        assert counted("GET", status) == [("GET", "5xx", 1)]


def test_requests_add_up() -> None:
    tally = RouteTally()
    tally.record("GET", 200, "allow", 0.5, 0.0002, 0.4, 10, 200)
    tally.record("GET", 200, "allow", 0.25, 0.0004, 0.2, 5, 100)
    tally.record("GET", 401, "expired_token", 0.125)
    assert sorted(tally.requests()) == [("GET", "2xx", 2), ("GET", "4xx", 1)]
    assert dict(tally.decisions()) == {"allow": 2, "expired_token": 1}
    assert (tally.request_bytes, tally.response_bytes) == (15, 300)
    assert tally.total.sum == 0.875


def test_a_refused_request_has_no_upstream_and_no_added_time() -> None:
    tally = RouteTally()
    tally.record("GET", 401, "expired_token", 0.001)
    assert sum(tally.total.counts) == 1
    assert sum(tally.added.counts) == sum(tally.upstream.counts) == 0


def test_a_duration_that_equals_a_bound_is_within_it() -> None:
    durations = DurationTally()
    durations.observe(BUCKETS[0])
    durations.observe(BUCKETS[-1])
    assert durations.counts == [1, *[0] * (len(BUCKETS) - 2), 1, 0]


def test_a_duration_beyond_every_bound_is_counted() -> None:
    durations = DurationTally()
    durations.observe(61)
    assert durations.counts[-1] == 1


def test_the_buckets_reach_from_100_microseconds_to_a_minute() -> None:
    assert list(BUCKETS) == sorted(set(BUCKETS))
    assert (BUCKETS[0], BUCKETS[-1]) == (0.0001, 60.0)
