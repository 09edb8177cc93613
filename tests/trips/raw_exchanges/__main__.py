"""Print how many exchanges there are, by family."""

from tests.trips.raw_exchanges import answers, requests

SIDES = {
    "requests": {name: len(rows) for name, rows in requests.FAMILIES.items()},
    "answers": {name: len(rows) for name, rows in answers.FAMILIES.items()},
}

for side, families in SIDES.items():
    for name, count in (*families.items(), ("all", sum(families.values()))):
        print(f"{side:10}{name:14}{count:5}")
