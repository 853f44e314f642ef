"""The library eventsourcing on its SQLite recorder, for Cairn's benchmark: bench/peer_programs.c says how it is called.

Settings are its own: WAL, and SQLite's synchronous=FULL, which is looked at; and, to its advantage, its cache of aggregates. Clients
are threads that take turns, which is faster than connections that poll SQLite's lock. A stream is left after 100 commands.
"""
import os
import sys
import threading
import time
from uuid import UUID, uuid4

from eventsourcing.application import Application
from eventsourcing.domain import Aggregate, event
from eventsourcing.persistence import Tracking
from eventsourcing.sqlite import SQLiteDatastore, SQLiteTrackingRecorder

STREAM_EVENTS = 100
AGGREGATE_EVENTS = 1000
PROJECTED_EVENTS = 4000
WARM_UP_S = 0.3
TEXT = "x" * (256 - len('{"text":""}'))


class Order(Aggregate):
    @event("Opened")
    def __init__(self) -> None:
        self.placed = 0

    @event("Placed")
    def _placed(self, text: str) -> None:
        self.placed += 1

    def place(self, text: str) -> None:
        if self.placed >= 1 << 40:
            raise ValueError("too many")
        self._placed(text)


class Orders(Application[UUID]):
    def open(self) -> UUID:
        order = Order()
        self.save(order)
        return order.id

    def place(self, order_id: UUID, text: str) -> None:
        order = self.repository.get(order_id)
        order.place(text)
        self.save(order)


def settings(folder: str, name: str) -> dict:
    return {"PERSISTENCE_MODULE": "eventsourcing.sqlite", "SQLITE_DBNAME": os.path.join(folder, name)}


def is_durable(app: Orders) -> bool:
    with app.recorder.datastore.transaction(commit=False) as cursor:
        cursor.execute("PRAGMA synchronous")
        synchronous = cursor.fetchone()[0]
        cursor.execute("PRAGMA journal_mode")
        return synchronous >= 2 and cursor.fetchone()[0] == "wal"


def commands(folder: str, clients: str, seconds: str) -> None:
    app = Orders(env={**settings(folder, "commands.db"), "AGGREGATE_CACHE_MAXSIZE": "1000"})
    turn = threading.Lock()
    begin = time.perf_counter() + WARM_UP_S
    end = begin + float(seconds)
    times: list[float] = []
    failed: list[BaseException] = []

    def client() -> None:
        try:
            done = 0
            while time.perf_counter() < end:
                since = time.perf_counter()
                with turn:
                    if done % STREAM_EVENTS == 0:
                        order_id = app.open()
                    else:
                        app.place(order_id, TEXT)
                now = time.perf_counter()
                done += 1
                if since >= begin and now <= end:
                    times.append(now - since)
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=client) for _ in range(int(clients))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failed:
        raise failed[0]
    times.sort()
    print(f"appends={len(times)} seconds={seconds} p50_us={times[len(times) // 2] * 1e6:.1f} "
          f"p99_us={times[len(times) * 99 // 100] * 1e6:.1f} durable={int(is_durable(app))}")


def prepare(folder: str) -> None:
    app = Orders(env=settings(folder, "reads.db"))
    long = None
    for _ in range(PROJECTED_EVENTS // AGGREGATE_EVENTS):
        order = Order()
        for _ in range(AGGREGATE_EVENTS - 1):
            order.place(TEXT)
        app.save(order)
        long = order.id
    with open(os.path.join(folder, "long"), "w", encoding="ascii") as file:
        file.write(str(long))


def aggregate(folder: str) -> None:
    app = Orders(env=settings(folder, "reads.db"))
    with open(os.path.join(folder, "long"), encoding="ascii") as file:
        order_id = UUID(file.read())
    times = []
    for _ in range(25):
        begin = time.perf_counter()
        order = app.repository.get(order_id)
        times.append(time.perf_counter() - begin)
        assert order.version == AGGREGATE_EVENTS
    times = sorted(times[5:])
    print(f"p50_us={times[len(times) // 2] * 1e6:.1f}")


class Items(SQLiteTrackingRecorder):
    def construct_create_table_statements(self) -> list[str]:
        return [*super().construct_create_table_statements(),
                "CREATE TABLE IF NOT EXISTS item (id TEXT PRIMARY KEY, n INTEGER, text TEXT) WITHOUT ROWID"]

    def upsert(self, key: str, n: int, text: str, tracking: Tracking) -> None:
        with self.datastore.transaction(commit=True) as cursor:
            self._insert_tracking(cursor, tracking)
            cursor.execute("INSERT INTO item (id, n, text) VALUES (?, ?, ?)"
                           " ON CONFLICT (id) DO UPDATE SET n = excluded.n, text = excluded.text", (key, n, text))

    def rows(self) -> int:
        with self.datastore.transaction(commit=False) as cursor:
            cursor.execute("SELECT count(*) FROM item")
            return cursor.fetchone()[0]


# Its SQLite recorder has no subscriptions: the notification log is pulled, as its followers do.
def projection(folder: str) -> None:
    app = Orders(env=settings(folder, "reads.db"))
    items = Items(SQLiteDatastore(os.path.join(folder, f"items-{uuid4().hex}.db")))
    items.create_table()
    done = 0
    begin = time.perf_counter()
    while done < PROJECTED_EVENTS:
        for notification in app.recorder.select_notifications(start=done + 1, limit=1000):
            placed = app.mapper.to_domain_event(notification)
            done = notification.id
            items.upsert(str(done * 7919 % 1000), done, getattr(placed, "text", ""), Tracking(app.name, done))
    seconds = time.perf_counter() - begin
    assert items.rows() == 1000
    print(f"events={PROJECTED_EVENTS} seconds={seconds}")


if __name__ == "__main__":
    globals()[sys.argv[2]](sys.argv[1], *sys.argv[3:])
