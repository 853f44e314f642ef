#!/bin/bash
# Goal: exactly once through the whole server: commands with keys, their events, their read models.
# Method: eight clients send deposits with keys of their own while the server is killed (kill -9) at a random moment, 20
# times; what was not answered is sent again with its key, some of what was answered too. In the end every key has
# moved its amount once, a repeated key has the answer that it had, and the read models equal those rebuilt from nothing.
# SEED replays the moments.
cd "$(dirname "$0")/../.." || exit 2
exec python3 - <<'PYTHON'
import os, random, shutil, sys, threading, time
sys.path.insert(0, "tests")
from apps_rig import *

ROUNDS = 20 * int(os.environ.get("TEST_SCALE", "1"))
ACCOUNTS, CLIENTS = 12, 8
seed = int(os.environ.get("SEED", random.randrange(1 << 31)))
print(f"seed {seed}")
chance = random.Random(seed)
folder = temp()
server = Server(folder + "/data").start()
status, answer = server.deploy(folder_files(ROOT / "tests/apps/bank"))
check("the app is deployed", status == 201, answer)
for account in range(ACCOUNTS):
    status, answer = server.command("bank", "Open", {"account": f"a{account}"}, key=f"open-{account}")
    if status != 200:
        check("an account is opened", False, answer)

sent, answered, wrong = {}, {}, []   # key → (account, amount); key → answer
lock = threading.Lock()


def told(key, status, answer):
    with lock:
        if status != 200:
            wrong.append((key, status, answer))
        elif key in answered:
            before = answered[key]
            if (before["position"], before["command_id"]) != (answer["position"], answer["command_id"]):
                wrong.append((key, "another answer", before, answer))
            if not answer["repeated"]:
                wrong.append((key, "not marked as repeated", answer))
        else:
            answered[key] = answer


def client(number, round_number, again, stop):
    try:
        connection = server.client()
        for key in again:
            account, amount = sent[key]
            told(key, *server.command("bank", "Deposit", {"account": account, "amount": amount}, key=key, client=connection))
        count = 0
        while not stop.is_set():
            key = f"{round_number}-{number}-{count}"
            count += 1
            with lock:
                account, amount = f"a{chance.randrange(ACCOUNTS)}", chance.randrange(1, 100)
                sent[key] = (account, amount)
            told(key, *server.command("bank", "Deposit", {"account": account, "amount": amount}, key=key, client=connection))
    except (OSError, http.client.HTTPException):
        pass                          # killed under our feet: the key stays unanswered, and is sent again


for number in range(ROUNDS):
    open_keys = [key for key in sent if key not in answered]
    repeated = chance.sample(sorted(answered), min(len(answered), 40))
    again = open_keys + repeated
    stop = threading.Event()
    threads = [threading.Thread(target=client, args=(n, number, again[n::CLIENTS], stop)) for n in range(CLIENTS)]
    for thread in threads:
        thread.start()
    time.sleep(chance.uniform(0.05, 0.6))   # the moment of the kill: any is as good as another
    server.kill()
    stop.set()
    for thread in threads:
        thread.join()
    server = Server(folder + "/data").start()

for key in [key for key in sent if key not in answered]:
    account, amount = sent[key]
    told(key, *server.command("bank", "Deposit", {"account": account, "amount": amount}, key=key))
check(f"{len(sent)} commands over {ROUNDS} kills: every answer is right, and a repeated key's the one it had", not wrong, wrong[:3])

expected = {f"a{n}": 0 for n in range(ACCOUNTS)}
for account, amount in sent.values():
    expected[account] += amount
end = max([a["position"] for a in answered.values()], default=0)
rows = server.rows("bank", "accounts", after_position=end, timeout_ms=60000)
balances = {row["id"]: row["balance"] for row in rows}
check("every key moved its amount exactly once", balances == expected, (balances, expected))
check("… and is one movement", sum(row["movements"] for row in rows) == len(sent), (sum(r["movements"] for r in rows), len(sent)))


def dump():
    return rows_of("accounts") + [rows_of("movements", account=f"a{n}") for n in range(ACCOUNTS)]


def rows_of(query, **params):
    return server.rows("bank", query, **params)


before = dump()
status, report = server.ask("POST", "/v1/apps/bank/replay", {"aggregates": True})
check("the rebuild from nothing reports no failure", status == 200 and '"ok":true' in report, report[-400:])
check("read models equal those rebuilt from nothing", dump() == before)
status, report = server.ask("POST", "/v1/apps/bank/replay", {"decisions": True})
check("deciding history again gives the same events", status == 200 and '"ok":true' in report and '"differing":0' in report, report[-400:])
check("the server stops cleanly", server.stop() == 0)
shutil.rmtree(folder)
finish()
PYTHON
