#!/bin/bash
# Apps over the wire, on a real server.
#
# Goal: deploying is all or nothing; commands decide once; queries read what was written, now and then; a projection that
# cannot go on says so and can be helped; hostile apps harm nobody; all of it is there again after a restart.
# Method: the bank of tests/apps/, and variations of it, through HTTP.
cd "$(dirname "$0")/../.." || exit 2
exec python3 - <<'PYTHON'
import shutil, sys, threading, time
sys.path.insert(0, "tests")
from apps_rig import *

folder = temp()
server = Server(folder + "/data").start()
bank = folder_files(ROOT / "tests/apps/bank")


def problem(answer, name):
    return isinstance(answer, dict) and answer.get("type") == f"urn:cairn:problem:{name}"


# ---- deploying ------------------------------------------------------------------------------------------------

broken = {**bank, "app.yaml": bank["app.yaml"].replace("decider: account}", "decider: acount}", 1) + "colour: red\n",
          "account.lua": "return {\n  initial = {},\n  evolve = function( end\n}\n",
          "projections/accounts.sql": bank["projections/accounts.sql"].replace("SET balance", "SET blance"),
          "schemas/amount.json": '{"type": "integre"}'}
status, answer = server.deploy(broken)
check("a broken app is refused", status == 422 and problem(answer, "invalid"), answer)
faults = answer.get("faults", [])
files = {fault["file"] for fault in faults if not fault["warning"]}
check("… with every fault, by file", files >= {"app.yaml", "account.lua", "projections/accounts.sql", "schemas/amount.json"}, faults)
check("… with lines and hints", all(f["message"] for f in faults) and any(f["line"] > 0 for f in faults) and any(f["hint"] for f in faults), faults)
check("… and nothing of it is there", server.ask("GET", "/v1/apps/bank")[0] == 404)
status, answer = server.deploy(bank, dry_run=True)
check("a dry run says which version it would be", status == 201 and answer["version"] == 1, answer)
check("… and changes nothing", server.ask("GET", "/v1/apps/bank")[0] == 404)
status, answer = server.deploy(bank, note="first")
check("a good one is deployed", status == 201 and answer["app"] == "bank" and answer["version"] == 1, answer)
status, answer = server.deploy(bank)
check("the same files again change nothing", status == 201 and answer["version"] == 1, answer)
status, app = server.ask("GET", "/v1/apps/bank")
check("the app describes itself", status == 200 and {c["name"] for c in app["commands"]} == {"Open", "Deposit", "Withdraw", "ClaimName"}
      and {q["name"] for q in app["queries"]} == {"account", "accounts", "movements"} and app["projections"][0]["name"] == "accounts", app)
status, document = server.ask("GET", "/v1/apps/bank/openapi.json")
check("it has an OpenAPI document", status == 200 and document["openapi"].startswith("3.1") and any("Deposit" in path for path in document["paths"]), document)

# ---- commands -------------------------------------------------------------------------------------------------

status, answer = server.command("bank", "Deposit", {"account": "ann", "amount": 5})
check("a rule says no by name", status == 422 and problem(answer, "rejected") and answer["code"] == "not_open", answer)
status, opened = server.command("bank", "Open", {"account": "ann"})
check("a command writes", status == 200 and opened["stream"] == "account-ann" and opened["revision"] == 0 and opened["events"][0]["type"] == "Opened", opened)
status, answer = server.command("bank", "Open", {"account": "ann"})
check("a command may decide that nothing is to be done", status == 200 and answer["events"] == [], answer)
status, answer = server.command("bank", "Deposit", {"account": "ann", "amount": 100}, key="k1")
check("with a key", status == 200 and not answer["repeated"], answer)
status, again = server.command("bank", "Deposit", {"account": "ann", "amount": 100}, key="k1")
check("the same key gives the same answer", status == 200 and again["repeated"] and again["position"] == answer["position"] and again["command_id"] == answer["command_id"], again)
status, other = server.command("bank", "Deposit", {"account": "ann", "amount": 101}, key="k1")
check("the same key for something else is refused", status == 409, other)
status, answer = server.command("bank", "Withdraw", {"account": "ann", "amount": 500}, key="k2")
check("a rejection carries details", status == 422 and answer["code"] == "too_little" and answer["details"] == {"balance": 100}, answer)
server.command("bank", "Deposit", {"account": "ann", "amount": 900})
status, answer = server.command("bank", "Withdraw", {"account": "ann", "amount": 500}, key="k2")
check("… and is the same later under its key, whatever has happened since", status == 422 and answer["code"] == "too_little" and answer["repeated"], answer)
for name, data, want in [("Deposit", {"account": "ann"}, 422), ("Deposit", {"account": "ann", "amount": "5"}, 422), ("Deposit", {"account": "ann", "amount": 5, "x": 1}, 422),
                         ("Deposit", [], 422), ("Deposit", "{", 400), ("Nothing", {}, 404)]:
    status, answer = server.command("bank", name, data)
    check(f"{name} with {json.dumps(data)} is {want}", status == want, answer)
status, answer = server.command("bank", "Deposit", {"account": "", "amount": 0})
check("what is wrong with data is said place by place", {f["path"] for f in answer.get("faults", [])} == {"/account", "/amount"}, answer)
check("what was refused wrote nothing", server.ask("GET", "/v1/streams/account-ann")[1]["last_revision"] == 2)
status, event = server.ask("GET", "/v1/streams/account-ann/events?from=1")
meta = event["events"][0]["meta"]
check("an event knows its command", meta["command"]["name"] == "Deposit" and meta["correlation"] and meta["causation"], meta)
status, answer = server.command("bank", "Deposit", {"account": "ann", "amount": 1}, **{"cairn-correlation": "order-7", "cairn-causation": "mail-1", "cairn-actor": "bob"})
status, event = server.ask("GET", "/v1/streams/account-ann/events?direction=backward&limit=1")
meta = event["events"][0]["meta"]
check("correlation, causation and actor go with it", (meta["correlation"], meta["causation"], meta["actor"]) == ("order-7", "mail-1", "bob"), meta)
check("the state can be looked at", server.ask("GET", "/v1/apps/bank/state/account-ann")[1]["state"] == {"open": True, "balance": 1001}, server.ask("GET", "/v1/apps/bank/state/account-ann"))
check("… as it was", server.ask("GET", "/v1/apps/bank/state/account-ann?revision=1")[1]["state"]["balance"] == 100)

# ---- many at once ---------------------------------------------------------------------------------------------

answers = []


def many(number):
    connection = server.client()
    for n in range(50):
        answers.append(server.command("bank", "Deposit", {"account": "ann", "amount": 1}, client=connection)[0])


threads = [threading.Thread(target=many, args=(n,)) for n in range(8)]
[t.start() for t in threads]
outside = 0
for n in range(20):                       # somebody appends to the same stream beside the commands
    status, _ = server.ask("POST", "/v1/streams/account-ann/events?expected=any", {"type": "Noted", "data": {}})
    outside += status == 201
[t.join() for t in threads]
state = server.ask("GET", "/v1/apps/bank/state/account-ann")[1]["state"]
check("four hundred deposits by eight clients, beside another writer: each counts once", answers == [200] * 400 and outside == 20 and state["balance"] == 1401, (state, outside))
claims = []
threads = [threading.Thread(target=lambda n=n: claims.append(server.command("bank", "ClaimName", {"account": f"c{n}", "name": "zoe"})[0])) for n in range(12)]
[t.start() for t in threads]
[t.join() for t in threads]
check("a rule across streams lets one of twelve through", sorted(claims) == [200] + [422] * 11, claims)

# ---- queries --------------------------------------------------------------------------------------------------

status, done = server.command("bank", "Withdraw", {"account": "ann", "amount": 401})
status, row = server.query("bank", "account", id="ann", after_position=done["position"])
check("read your own writes", status == 200 and row["row"]["balance"] == 1000, row)
status, row = server.query("bank", "account", id="ann", as_of=opened["position"] + 1)
check("as it was: just opened", status == 200 and row["row"]["balance"] == 0, row)
check("… before: not there", server.query("bank", "account", id="ann", as_of=opened["position"])[0] == 404)
for n in range(30):
    server.command("bank", "Open", {"account": f"p{n:02}"})
    last = server.command("bank", "Deposit", {"account": f"p{n:02}", "amount": 1 + n % 4})[1]
rows, cursor = [], None
while True:
    status, page = server.query("bank", "accounts", sort="-balance,id", limit=7, after_position=last["position"], **({"cursor": cursor} if cursor else {}))
    rows += page.get("rows", [])
    cursor = page.get("next")
    if not cursor:
        break
check("pages by key, sorted", [r["id"] for r in rows] == [r["id"] for r in sorted(rows, key=lambda r: (-r["balance"], r["id"]))] and len(rows) == 31, page)
status, page = server.query("bank", "accounts", **{"balance.ge": 4})
check("a filter", status == 200 and {r["id"] for r in page["rows"]} == {"ann"} | {f"p{n:02}" for n in range(30) if n % 4 == 3}, page)
for params, want in [({"id": "ann", "x": "1"}, 422), ({}, 422), ({"id": "nobody"}, 404)]:
    status, answer = server.query("bank", "account", **params)
    check(f"account with {params} is {want}", status == want, answer)
check("a cursor of another query is refused", server.query("bank", "accounts", cursor="AAAA")[0] in (400, 422))
check("an unknown query is refused", server.query("bank", "nothing")[0] == 404)
status, answer = server.query("bank", "account", id="ann", after_position=10**9, timeout_ms=200)
check("waiting for what never comes ends in time", status == 504, answer)
waiting = [threading.Thread(target=lambda: server.query("bank", "account", id="ann", after_position=10**9, timeout_ms=5000)) for n in range(24)]
[t.start() for t in waiting]
began = time.monotonic()
check("… and those who wait are in nobody's way", all(server.ask("GET", "/v1/apps/bank")[0] == 200 for n in range(20)) and time.monotonic() - began < 4)
[t.join() for t in waiting]
connection = server.client()
connection.request("GET", "/v1/apps/bank/queries/account?id=" + "x" * 1000000)
check("a parameter of a megabyte is refused", connection.getresponse().status in (413, 414, 431))
check("… and the next request is served", server.query("bank", "account", id="ann")[0] == 200)

# ---- a new version --------------------------------------------------------------------------------------------

second = {**bank,
          "schemas/moved.json": bank["schemas/moved.json"].replace('"amount", "balance"', '"amount", "balance", "currency"').replace(
              '"balance": {"type": "integer"}}', '"balance": {"type": "integer"}, "currency": {"type": "string"}}'),
          "account.lua": bank["account.lua"].replace("balance = balance}", 'balance = balance, currency = "EUR"}'),
          "projections/accounts.sql": bank["projections/accounts.sql"].replace("amount INTEGER NOT NULL)", "amount INTEGER NOT NULL, currency TEXT NOT NULL)").replace(
              "INSERT INTO movement (position, account, type, amount) VALUES (:position, :stream_id, :type, :data.amount)",
              "INSERT INTO movement (position, account, type, amount, currency) VALUES (:position, :stream_id, :type, :data.amount, :data.currency)"),
          "queries/movements.sql": bank["queries/movements.sql"].replace("position, type, amount", "position, type, amount, currency")}
status, answer = server.deploy(second)
check("an incompatible schema without an upcaster is refused", status == 422 and any("currency" in f["message"] or "required" in f["message"] for f in answer["faults"]), answer)
upcast = "{schema: schemas/moved.json, upcast: [{to: 2, default: {currency: CHF}}]}"
second["app.yaml"] = bank["app.yaml"].replace("{schema: schemas/moved.json}", upcast)
status, answer = server.deploy(second, note="currencies", expected_version=1)
check("with one it is deployed", status == 201 and answer["version"] == 2, answer)
status, answer = server.deploy(bank, expected_version=1)
check("expecting another version is a conflict", status == 409, answer)
done = server.command("bank", "Deposit", {"account": "ann", "amount": 7})[1]


def currencies():
    status, page = server.query("bank", "movements", account="ann", limit=1000, after_position=done["position"])
    return page["rows"] if status == 200 else None


rows = server.until(currencies) or []
check("earlier events read as the newest in the rebuilt read model", rows and rows[0]["currency"] == "CHF" and rows[-1]["currency"] == "EUR", rows[:2])
status, history = server.ask("GET", "/v1/apps/bank/deployments")
check("deployments are history", [d["version"] for d in history["deployments"]] == [2, 1] and history["deployments"][0]["current"] and history["deployments"][0]["note"] == "currencies", history)
status, files = server.ask("GET", "/v1/apps/bank/deployments/1")
check("… with their files", files["files"] == bank, files.get("files", {}).keys())
status, answer = server.ask("POST", "/v1/apps/bank/rollback", {"version": 1, "note": "back"})
check("going back is a deployment of its own", status == 201 and answer["version"] == 3, answer)
server.command("bank", "Deposit", {"account": "ann", "amount": 8})
check("… with the schema version that it had", server.ask("GET", "/v1/apps/bank")[1]["events"][1]["version"] == 1)
status, answer = server.deploy(second)
check("and forward again", status == 201 and answer["version"] == 4, answer)
done = server.command("bank", "Deposit", {"account": "ann", "amount": 9})[1]
rows = server.until(currencies) or []
check("… what was written meanwhile reads as the newest", [r["currency"] for r in rows[-3:]] == ["EUR", "CHF", "EUR"], rows[-3:])

# ---- a projection in trouble ----------------------------------------------------------------------------------

server.ask("POST", "/v1/streams/account-ann/events?expected=any", {"type": "Opened", "data": {}})
bad = server.ask("GET", "/v1/streams/account-ann/events?direction=backward&limit=1")[1]["events"][0]["position"]
server.command("bank", "Open", {"account": "late"})


def state_is(state):
    return lambda: (lambda p: p if p["state"] == state else None)(server.ask("GET", "/v1/apps/bank/projections/accounts")[1])


stuck = server.until(state_is("stopped"))
check("an event that cannot be applied stops its projection, visibly", stuck and stuck["failure"]["position"] == bad and "UNIQUE" in stuck["failure"]["error"], stuck)
status, answer = server.query("bank", "account", id="late", after_position=bad + 1, timeout_ms=3000)
check("waiting for it says why it does not come", status in (500, 504) and "UNIQUE" in str(answer), answer)
status, answer = server.query("bank", "account", id="ann")
check("… what it has is still served, and says that it has stopped", status == 200 and answer["stopped"] == ["accounts"], answer)
check("commands go on", server.command("bank", "Deposit", {"account": "late", "amount": 3})[0] == 200)
text = server.ask("GET", "/metrics")[1]
check("metrics say so", 'cairn_projection_state{app="bank",projection="accounts"} 3' in text, [l for l in text.splitlines() if "projection_state" in l])
check("retry: still stuck", server.ask("POST", "/v1/apps/bank/projections/accounts/retry")[0] == 202 and server.until(state_is("stopped")))
server.ask("POST", "/v1/apps/bank/projections/accounts/park")
running = server.until(state_is("running"))
check("park: it goes on", running is not None, server.ask("GET", "/v1/apps/bank/projections/accounts")[1])
check("… and what was set aside is listed with its error", running and running["parked_events"] and running["parked_events"][0]["position"] == bad and "UNIQUE" in running["parked_events"][0]["error"], running)
row = server.until(lambda: (lambda r: r[1]["row"] if r[0] == 200 else None)(server.query("bank", "account", id="late")))
check("… later events are there", row is not None)
check("pause", server.ask("POST", "/v1/apps/bank/projections/accounts/pause")[0] == 202 and server.until(state_is("paused")))
check("resume", server.ask("POST", "/v1/apps/bank/projections/accounts/resume")[0] == 202 and server.until(state_is("running")))

# ---- hostile apps ---------------------------------------------------------------------------------------------

hostile = {
    "app.yaml": "app: hostile\ndeciders: {h: {lua: h.lua}}\ncommands:\n" + "".join(
        f"  {name}: {{schema: {{type: object, required: [id], properties: {{id: {{type: string}}}}}}, stream: \"hostile-{{id}}\"}}\n" for name in ("Loop", "Leak", "Escape", "Deep", "Big", "Pattern", "Catch")) + "events:\n  Happened: {}\n",
    "h.lua": """
local function deep(n) return n == 0 and {} or {deep(n - 1)} end
return {
  initial = {},
  evolve = {Happened = function() end},
  decide = {
    Loop = function() while true do end end,
    Leak = function() local t = {} while true do t[#t + 1] = string.rep("x", 1000) end end,
    Escape = function() return {type = "Happened", data = {io = type(io), os = type(os), load = type(load), debug = type(debug and (debug.sethook or debug.getregistry or debug.getmetatable or debug.getupvalue or debug.getlocal)), package = type(package)}} end,
    Deep = function() local t = {} for i = 1, 500 do t = {t} end return {type = "Happened", data = t} end,
    Big = function() return {type = "Happened", data = {text = string.rep("x", 3000000)}} end,
    Pattern = function() return {type = "Happened", data = {n = string.find(string.rep("a", 60000), string.rep("a*", 40) .. "b")}} end,
    Catch = function() while true do pcall(function() while true do end end) end end,
  },
}"""}
status, answer = server.deploy(hostile)
if check("a hostile app can be deployed as far as one can see", status == 201, answer):
    ids = iter(range(1000))
    for name in ("Loop", "Leak", "Deep", "Big", "Pattern", "Catch"):
        began = time.monotonic()
        status, answer = server.command("hostile", name, {"id": f"h{next(ids)}"})
        check(f"{name} is stopped with a clear error", status in (500, 413) and (problem(answer, "script") or problem(answer, "limit")) and time.monotonic() - began < 20, answer)
        check(f"… and others are unharmed by {name}", server.command("bank", "Deposit", {"account": "late", "amount": 1})[0] == 200)
    status, answer = server.command("hostile", "Escape", {"id": "e"})
    event = server.ask("GET", "/v1/streams/hostile-e/events")[1]["events"]
    check("there is no way out to call", not event or all(event[0]["data"][k] == "nil" for k in ("io", "os", "debug")), (answer, event))
for name, change in {
        "SQL that writes elsewhere": {"projections/accounts.sql": bank["projections/accounts.sql"] + "-- on Noted\nATTACH '/tmp/x.db' AS x;\n"},
        "SQL that changes settings": {"projections/accounts.sql": bank["projections/accounts.sql"] + "-- on Noted\nPRAGMA journal_mode = DELETE;\n"},
        "SQL that touches the checkpoint": {"projections/accounts.sql": bank["projections/accounts.sql"] + "-- on Noted\nDELETE FROM _cairn_checkpoint;\n"},
        "chance in a projection": {"projections/accounts.sql": bank["projections/accounts.sql"] + "-- on Noted\nUPDATE account SET balance = random();\n"},
        "a query that writes": {"queries/account.sql": "DELETE FROM account\n"},
        "a schema that refers to itself for ever": {"schemas/amount.json": '{"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/a"}}}'},
        "a schema without end": {"schemas/amount.json": '{"allOf": [' * 5000 + "{}" + "]}" * 5000},
        "a pattern of a megabyte": {"schemas/amount.json": json.dumps({"properties": {"account": {"pattern": "(a+)+" * 100000}}})},
        "a path out of the folder": {"../x.lua": "return {}"}}.items():
    began = time.monotonic()
    status, answer = server.deploy({**bank, **change, "app.yaml": bank["app.yaml"].replace("app: bank", "app: bank2")})
    check(f"{name} is refused", status in (413, 422) and time.monotonic() - began < 20, (status, str(answer)[:200]))

# ---- again after a restart -------------------------------------------------------------------------------------

before = server.rows("bank", "accounts")
check("the server stops cleanly", server.stop() == 0)
server.start()
check("apps are there again", {a["name"] for a in server.ask("GET", "/v1/apps")[1]["apps"]} == {"bank", "hostile"})
check("… and what they knew", server.rows("bank", "accounts") == before)
status, again = server.command("bank", "Deposit", {"account": "ann", "amount": 100}, key="k1")
check("… and what they have answered", status == 200 and again["repeated"], again)
check("… what was parked too", len(server.ask("GET", "/v1/apps/bank/projections/accounts")[1]["parked_events"]) == 1)
status, report = server.ask("POST", "/v1/apps/bank/replay", {"projection": "accounts", "on_error": "park"})
check("a replay reports", status == 200 and '"outcome":"rebuilt"' in report, report)
check("… and gives the same rows", server.rows("bank", "accounts") == before)
check("projections are listed", server.ask("GET", "/v1/apps/bank/projections")[1]["projections"][0]["name"] == "accounts")
check("an app can be removed", server.ask("DELETE", "/v1/apps/hostile")[0] == 204 and server.ask("GET", "/v1/apps/hostile")[0] == 404)
check("… and be brought back by deploying", server.deploy(hostile)[1].get("version") == 2)
check("files and history after the restart", server.ask("GET", "/v1/apps/bank/deployments/1")[0] == 200 and server.ask("GET", "/v1/apps/bank/deployments")[0] == 200)
server.ask("POST", "/v1/apps/bank/rollback", {"version": 1})
server.command("bank", "Deposit", {"account": "late", "amount": 1})
for path in ("", "/openapi.json", "/state/account-ann"):
    server.ask("GET", "/v1/apps/bank" + path)
server.ask("POST", "/v1/apps/bank/projections/accounts/pause")
text = server.ask("GET", "/metrics")[1]
operations = [o["operationId"] for p in server.ask("GET", "/openapi.json")[1]["paths"].values() for o in p.values() if isinstance(o, dict) and "apps" in o.get("tags", [])]
uncalled = [o for o in operations if f'cairn_http_requests_total{{operation="{o}",status="2xx"}}' not in text]
check(f"all {len(operations)} operations on apps have been called with success", len(operations) > 10 and not uncalled, uncalled)
check("the server stops cleanly again", server.stop() == 0)
shutil.rmtree(folder)
finish()
PYTHON
