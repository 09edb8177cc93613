from gateway.telemetry.health import Health


def started() -> Health:
    health = Health()
    health.mark_started()
    return health


def test_a_process_lives_before_it_is_started() -> None:
    health = Health()
    assert health.live().is_ok
    assert health.started().blocked_by == ("starting",)
    assert health.ready().blocked_by == ("starting",)


def test_a_started_process_is_ready() -> None:
    health = started()
    assert health.started().is_ok
    assert health.ready().is_ok


def test_a_draining_process_is_not_ready_but_lives() -> None:
    health = started()
    health.drain()
    assert health.ready().blocked_by == ("draining",)
    assert health.live().is_ok
    assert health.started().is_ok


def test_every_blocker_must_go_before_it_is_ready() -> None:
    health = started()
    health.block("task revocations")
    health.block("store")
    health.block("store")
    assert health.ready().blocked_by == ("task revocations", "store")
    health.unblock("store")
    assert health.ready().blocked_by == ("task revocations",)
    health.unblock("task revocations")
    assert health.ready().is_ok


def test_unblocking_what_was_not_blocked_changes_nothing() -> None:
    health = started()
    health.unblock("store")
    assert health.ready().is_ok


def test_a_blocker_does_not_ask_for_a_restart() -> None:
    health = started()
    health.block("store")
    assert health.live().is_ok


def test_a_process_that_gave_up_is_neither_live_nor_ready() -> None:
    health = started()
    health.give_up("task revocations")
    assert health.live().blocked_by == ("task revocations",)
    assert health.ready().blocked_by == ("task revocations",)
