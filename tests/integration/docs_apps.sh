#!/bin/bash
# Goal: the tutorial of docs/apps.md works as a reader types it in.
# Method: run every command of its console blocks against a real server, and compare what they print. In the page "…" stands for
# what differs from run to run, a line of "…" for any lines; times, durations and hashes are alike; runs of blanks are one.
# Before a query the read models are waited for. A page that needs bpic2012.xes.gz is left out by name where that is not here.
# Usage: docs_apps.sh [PAGE]    CAIRN_BIN names the program (build/cairn).
cd "$(dirname "$0")/../.." || exit 2
export LC_ALL=C.UTF-8 NO_COLOR=1
cairn=$(readlink -f "${CAIRN_BIN:-build/cairn}")
page=$(readlink -f "${1:-docs/apps.md}")
[ -x "$cairn" ] || { echo "not ok docs/apps.md: no program at $cairn"; exit 1; }
work=$(mktemp -d "${TMPDIR:-/tmp}/cairn-docs-XXXXXX")
trap 'rm -rf "$work"' EXIT
mkdir "$work/bin" && ln -s "$cairn" "$work/bin/cairn" && ln -s bin "$work/build"
if grep -q 'bpic2012.xes.gz$' "$page"; then
    data=$(readlink -f ../shared/data/bpic2012.xes.gz)
    [ -f "$data" ] || { echo "skip docs ${page##*/}: no ../shared/data/bpic2012.xes.gz"; rm -rf "$work"; exit 0; }
    ln -s "$data" "$work"
fi
cd "$work" || exit 2
unset CAIRN_URL CAIRN_CACERT
PATH=$work/bin:$PATH exec python3 - "$page" <<'PYTHON'
import json, os, re, shutil, signal, socket, subprocess, sys, time, urllib.request

page, work = sys.argv[1], os.getcwd()
with socket.socket() as s, socket.socket() as other:
    s.bind(("127.0.0.1", 0))
    other.bind(("127.0.0.1", 0))
    port, kafka = str(s.getsockname()[1]), str(other.getsockname()[1])
os.environ["CAIRN_URL"] = "http://127.0.0.1:" + port
server, failed = None, 0


def blocks():
    """The commands of the page with what they must print."""
    for block in re.findall(r"^```console\n(.*?)^```", open(page, encoding="utf-8").read(), re.S | re.M):
        lines, at = block.splitlines(), 0
        while at < len(lines):
            if not lines[at].startswith("$ "):
                sys.exit("not ok docs: a console block begins with output: " + lines[at])
            command = lines[at][2:]
            at += 1
            # A quote, a backslash or a here-document goes on in the next line: the shell knows.
            while at < len(lines):
                said = subprocess.run(["bash", "-n"], input=command + "\n", capture_output=True, text=True).stderr
                if not said and not command.endswith("\\"):
                    break
                command += "\n" + lines[at]
                at += 1
            expected = []
            while at < len(lines) and not lines[at].startswith("$ "):
                expected.append(lines[at])
                at += 1
            yield command, expected


def pattern(expected):
    text = ""
    for line in expected:
        if line.strip() == "…":
            text += r"(?:.*\n)*"
        else:
            parts = re.split("…", " ".join(alike(line).split()))
            text += r"[^\n]*".join(re.escape(part) for part in parts) + r"\n"
    return re.compile(text)


def alike(text):
    """What differs from run to run by its nature."""
    text = re.sub(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", "TIME", text)
    text = re.sub(r"\b[0-9a-f]{64}\b", "HASH", text)
    return re.sub(r"\d+(\.\d+)? m?s \(\d+(\.\d+)?[kM]?/s\)", "DURATION", text)


def normal(text):
    text = alike(text).replace(":" + port, ":7480").replace(":" + kafka, ":9092").replace("\r\n", "\n")
    return "".join(" ".join(line.split()) + "\n" for line in text.rstrip("\n").splitlines())


def wait_for_read_models():
    deadline, status = time.monotonic() + 20, None
    while time.monotonic() < deadline:
        with urllib.request.urlopen(os.environ["CAIRN_URL"] + "/v1/apps/orders/projections", timeout=5) as reply:
            status = json.load(reply)["projections"]
        if all(p["state"] == "running" and not p.get("rebuild") and p["lag"] == 0 for p in status):
            return
    print("not ok docs: read models do not catch up:", json.dumps(status))


def start_server(command, expected):
    global server
    server = subprocess.Popen(["bash", "-c", "exec " + command], stdout=subprocess.PIPE, stderr=open("server.log", "w"), text=True)
    return server.stdout.readline()


def run(command):
    if "query " in command or "/queries/" in command:
        wait_for_read_models()
    follows = "curl -sN" in command # for ever: what comes in the first seconds counts
    done = subprocess.run([*(["timeout", "5"] if follows else []), "bash", "-c", command], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          text=True, timeout=60)
    return done.stdout


ran = 0
try:
    for command, expected in blocks():
        real = command.replace("localhost:7480", "127.0.0.1:" + port).replace("127.0.0.1:7480", "127.0.0.1:" + port).replace(":9092", ":" + kafka)
        said = start_server(real, expected) if re.match(r"(build/)?cairn serve ", command) else run(real)
        ran += 1
        if pattern("\n".join(expected).rstrip("\n").splitlines()).fullmatch(normal(said)):
            print("ok docs: " + command.splitlines()[0])
        else:
            failed = 1
            print("not ok docs: " + command + "\n--- the page says\n" + "\n".join(expected) + "\n--- it printed\n" + said)
    if ran == 0:
        failed = 1
        print("not ok docs: the page has no commands")
finally:
    if server:
        server.send_signal(signal.SIGTERM)
        if server.wait(timeout=30) != 0:
            failed = 1
            print("not ok docs: the server ended with", server.returncode)
    shutil.rmtree(work, ignore_errors=True) # the shell that made it is gone
sys.exit(failed)
PYTHON
