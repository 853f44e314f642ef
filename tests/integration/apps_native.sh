#!/bin/bash
# A decider in C as a shared object, in a real server.
#
# Goal: what examples/decider.c shows works: built against the installed headers alone, loaded by name from --apps-native,
# it decides; a name that leads out of that folder, or to something that is no decider, is refused in words; a server without
# the module leaves the app out and serves the others.
# Method: compile it, deploy an app that names it, over HTTP.
cd "$(dirname "$0")/../.." || exit 2
exec python3 - <<'PYTHON'
import shutil, subprocess, sys
sys.path.insert(0, "tests")
from apps_rig import *

folder = temp()
modules = folder + "/modules"
os.mkdir(modules)
cc = os.environ.get("CC", "cc")
built = subprocess.run([cc, "-O2", "-Wall", "-Wextra", "-Werror", "-Iinclude", "-fPIC", "-shared", "-o", modules + "/decider.so",
                        "examples/decider.c"], capture_output=True, text=True)
check("the example compiles by itself", built.returncode == 0, built.stderr)
pathlib.Path(modules + "/text.so").write_text("no shared object")
pathlib.Path(folder + "/old.c").write_text("""#include <cairn/app.h>
static const cairn_decider old = {.abi = 99, .name = "old"};
CAIRN_API const cairn_decider *cairn_decider_module(void);
const cairn_decider *cairn_decider_module(void) { return &old; }
""")
for source, name in ((folder + "/old.c", "old"), ("/dev/null", "empty")):
    subprocess.run([cc, "-Iinclude", "-fPIC", "-shared", "-o", f"{modules}/{name}.so", "-x", "c", source], check=True)

schema = {"type": "object", "required": ["room", "seats"], "additionalProperties": False, "properties": {
    "room": {"type": "string", "pattern": "^[a-z]+$"}, "seats": {"type": "integer", "minimum": 1, "maximum": 100}}}
files = {
    "app.yaml": """app: rooms
deciders: {seats: {native: decider, snapshot: {every: 10}}}
commands:
  Reserve: {schema: change.json, stream: "room-{room}"}
  Release: {schema: change.json, stream: "room-{room}"}
events:
  SeatsReserved: {}
  SeatsReleased: {}
""",
    "change.json": json.dumps(schema),
}
server = Server(folder + "/data", "--apps-native", modules).start()
for name, why in (("../modules/decider", "no name of a native decider"), ("none", "no decider 'none'"), ("text", "no decider 'text'"),
                  ("old", "built for interface 99"), ("empty", "does not export")):
    status, answer = server.deploy({**files, "app.yaml": files["app.yaml"].replace("native: decider", f"native: {name}")})
    check(f"{name} is refused in words", status == 422 and why in str(answer.get("faults")), answer)
status, answer = server.deploy(files)
check("the app is deployed", status == 201, answer)
for n in range(5):
    check("seats are reserved", server.command("rooms", "Reserve", {"room": "blue", "seats": 2})[0] == 200)
status, answer = server.command("rooms", "Reserve", {"room": "blue", "seats": 1})
check("the eleventh is not", status == 422 and answer["code"] == "full" and answer["details"] == {"left": 0}, answer)
status, answer = server.command("rooms", "Reserve", {"room": "blue", "seats": 0, "x": 1})
check("what its schema refuses comes with the faults", status == 422 and {f["path"] for f in answer["faults"]} == {"/seats", "/x"}, answer)
status, answer = server.command("rooms", "Reserve", {"room": "blue", "seats": 1, "x": "y" * 300000})
check("a large one too", status == 422 and [f["path"] for f in answer["faults"]] == ["/x"], str(answer)[:300])
check("… and a large one that is no JSON", server.command("rooms", "Reserve", '{"room": "' + "y" * 300000)[0] == 400)
for n in range(20):
    server.command("rooms", "Release", {"room": "blue", "seats": 1})
    server.command("rooms", "Reserve", {"room": "blue", "seats": 1})
check("the state is the decider's", server.ask("GET", "/v1/apps/rooms/state/room-blue")[1]["state"] == {"taken": 10})
status, report = server.ask("POST", "/v1/apps/rooms/replay", {"decisions": True})
check("history is decided alike again", status == 200 and '"ok":true' in report and '"differing":0' in report, report)
check("a replay's body must be an object", server.ask("POST", "/v1/apps/rooms/replay", [])[0] == 422)
check("the server stops cleanly", server.stop() == 0)

server = Server(folder + "/data").start()
apps = server.ask("GET", "/v1/apps")[1]["apps"]
check("without the module the app does not run, and the list says why", len(apps) == 1 and "decider" in apps[0]["failure"]["error"], apps)
status, answer = server.command("rooms", "Reserve", {})
check("… as do its calls", status == 501 and "decider" in answer["detail"], answer)
check("… its history stays", len(server.ask("GET", "/v1/apps/rooms/deployments")[1]["deployments"]) == 1)
check("the server stops cleanly", server.stop() == 0)
server = Server(folder + "/data", "--apps-native", modules).start()
status, answer = server.command("rooms", "Reserve", {"room": "blue", "seats": 1})
check("with it, it goes on where it was", status == 422 and answer["code"] == "full", answer)
check("the server stops cleanly", server.stop() == 0)
shutil.rmtree(folder)
finish()
PYTHON
