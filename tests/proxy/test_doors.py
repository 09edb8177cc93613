from dataclasses import dataclass, field
from math import inf
from time import monotonic

import pytest

from gateway.model.errors import RequestLimit
from gateway.proxy.doors import Door, Hall, affordable


@dataclass(eq=False)
class Guest:
    """A connection that waits since a time, or is of use."""

    door: Door
    house: "list[Guest]"
    since: float = inf
    looks: int = field(default=0)
    stays: bool = False

    def waiting_since(self) -> float:
        self.looks += 1
        return self.since

    def crowd_out(self) -> bool:
        if not self.stays:
            self.house.remove(self)
            self.door.connections -= 1
        return not self.stays


class House:
    def __init__(self, most: int, door_most: int | None = None) -> None:
        self.guests: list[Guest] = []
        self.hall = Hall(lambda: self.guests)
        self.hall.limit(most, None, [("a", door_most, None)])

    def come(self, since: float = inf, *, door: str = "a", stays: bool = False) -> tuple[Guest, bool]:
        guest = Guest(self.hall.door(door), self.guests, since, stays=stays)
        self.guests.append(guest)
        return guest, self.hall.enter(guest)


def test_up_to_the_limit_everybody_comes_in() -> None:
    house = House(3)
    assert [house.come()[1] for _ in range(4)] == [True, True, True, False]


def test_the_longest_waiting_leaves_first() -> None:
    house = House(3)
    now = monotonic()
    guests = [house.come(now - age)[0] for age in (1, 3, 2)]
    assert house.come()[1]
    assert guests[1] not in house.guests
    assert house.hall.connections == 3


def test_one_who_was_refused_and_leaves_makes_no_place() -> None:
    house = House(2)
    for _ in range(2):
        house.come()
    refused, is_in = house.come(monotonic())
    assert not is_in
    house.hall.room._rests_until = 0
    assert not house.come()[1]
    assert refused not in house.guests


def test_as_many_leave_as_are_too_many() -> None:
    house = House(3)
    house.come()
    waiting = [house.come(monotonic() - age)[0] for age in (1, 2)]
    house.hall.limit(2, None, [])
    assert house.come()[1]
    assert not set(waiting) & set(house.guests)
    assert house.hall.connections == 2


def test_a_newcomer_does_not_make_room_for_itself() -> None:
    house = House(1)
    house.come()
    assert not house.come(monotonic() - 1)[1]


def test_who_became_of_use_meanwhile_stays() -> None:
    house = House(32)
    old = [house.come(monotonic() - 10)[0] for _ in range(32)]
    assert house.come()[1]
    for guest in old:
        guest.since = inf
    assert not house.come()[1]


def test_who_has_just_sent_something_stays() -> None:
    house = House(2)
    house.come(monotonic() - 5, stays=True)
    other, _ = house.come(monotonic() - 1)
    assert house.come()[1]
    assert other not in house.guests


def test_a_limit_of_a_listener_moves_only_its_own() -> None:
    house = House(10, door_most=1)
    elsewhere, _ = house.come(monotonic() - 10, door="b")
    mine, _ = house.come(monotonic() - 1)
    assert house.come()[1]
    assert elsewhere in house.guests
    assert mine not in house.guests


def test_a_flood_of_connections_does_not_mean_a_look_at_everybody_for_each() -> None:
    house = House(1000)
    crowd = [house.come(monotonic() - 100)[0] for _ in range(1000)]
    for _ in range(500):
        assert house.come()[1]
    assert sum(guest.looks for guest in crowd) < 10_000


def test_while_nobody_waits_a_flood_is_refused_without_a_look_at_everybody() -> None:
    house = House(1000)
    crowd = [house.come()[0] for _ in range(1000)]
    for _ in range(500):
        guest, has_place = house.come()
        assert not has_place
        house.guests.remove(guest)
        house.hall.leave(guest)
    assert sum(guest.looks for guest in crowd) < 50_000


def test_far_beyond_the_limit_is_crammed() -> None:
    house = House(10)
    guests = [house.come()[0] for _ in range(22)]
    assert house.hall.is_crammed(guests[0].door)
    house.hall.leave(guests[-1])
    assert not house.hall.is_crammed(guests[0].door)


def test_requests_are_counted_over_all_doors_and_for_each() -> None:
    hall = Hall(list)
    hall.limit(10, 3, [("a", None, 2), ("b", None, None)])
    a, b = hall.door("a"), hall.door("b")
    a.requests, b.requests = 2, 1
    a.check()
    b.check()
    a.requests = 3
    with pytest.raises(RequestLimit):
        a.check()
    a.requests, b.requests = 0, 4
    with pytest.raises(RequestLimit):
        b.check()


def test_without_limits_nothing_is_checked() -> None:
    hall = Hall(list)
    hall.limit(10, None, [("a", 5, None)])
    assert not hall.door("a").is_bounded


def test_no_more_connections_than_files() -> None:
    assert affordable(1) == 1
    assert 1 <= affordable(10**12) <= 10**12
