#!/bin/bash
# Goal: queries that wait for a position, or run for as long as they may, hold nobody else up, and their number is bounded.
# Method: more of them than the server has threads, on connections of their own; meanwhile events are read from the disk, an app
# describes itself, a command is decided and another version deployed, in much less time than the waiting lasts.
cd "$(dirname "$0")/../.." || exit 2
exec python3 - <<'PYTHON'
import shutil, socket, sys, time
sys.path.insert(0, "tests")
from apps_rig import *

WAITING = 80    # above the threads for any kind of work
QUEUED = 1100  # with those running, above the queue
folder = temp()
server = Server(folder + "/data").start()
bank = folder_files(ROOT / "tests/apps/bank")
check("the bank is deployed", server.deploy(bank)[0] == 201)
check("it has an account", server.command("bank", "Open", {"account": "ann"})[0] == 200)


def ask_and_hold(target):
    held = socket.create_connection(("127.0.0.1", server.port))
    held.sendall(f"GET {target} HTTP/1.1\r\nhost: a\r\n\r\n".encode())
    return held


waiting = [ask_and_hold("/v1/apps/bank/queries/accounts?after_position=999999999&timeout_ms=120000") for _ in range(WAITING)]
began = time.monotonic()
fine = all(server.ask("GET", "/v1/events?limit=1000")[0] == 200 for _ in range(50))
check("events are read", fine)
check("the app describes itself", server.ask("GET", "/v1/apps/bank")[0] == 200)
check("commands are decided", server.command("bank", "Deposit", {"account": "ann", "amount": 5})[0] == 200)
status, answer = server.deploy({**bank, "app.yaml": bank["app.yaml"].replace("title: Bank", "title: A bank")})
check("another version is deployed", status == 201 and answer["version"] == 2, answer)
check("none of it waited for the queries", time.monotonic() - began < 60, time.monotonic() - began)

waiting += [ask_and_hold("/v1/apps/bank/queries/accounts?after_position=999999999&timeout_ms=120000") for _ in range(QUEUED)]
status, headers = 0, {}
deadline = time.monotonic() + 60
while status != 429 and time.monotonic() < deadline:  # the queue fills as the loops take the requests in
    client = server.client()
    client.request("GET", "/v1/apps/bank/queries/accounts?after_position=999999998&timeout_ms=1")
    client.sock.settimeout(1)
    try:
        answer = client.getresponse()
        status, headers = answer.status, dict(answer.headers)
    except TimeoutError:
        pass
    client.close()
check("beyond the queue the answer is 429", status == 429, status)
check("… and says when to come again", any(name.lower() == "retry-after" for name in headers), headers)
for held in waiting:
    held.close()
server.kill()
shutil.rmtree(folder, ignore_errors=True)
finish()
PYTHON
