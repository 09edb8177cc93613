"""Print how many exchanges there are, by family."""

from tests.trips.raw_exchanges import answers, requests

for side, families in {"requests": requests.FAMILIES, "answers": answers.FAMILIES}.items():
    for name, rows in families.items():
        print(f"{side:10}{name:14}{len(rows):5}")
    print(f"{side:10}{'all':14}{sum(map(len, families.values())):5}")
