"""A real server with apps, for tests: start, kill, ask. Prints `ok NAME` and `not ok NAME: why` like the other scripts."""
import http.client
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import time
import urllib.parse

ROOT = pathlib.Path(__file__).resolve().parent.parent
CAIRN = os.environ.get("CAIRN_BIN", str(ROOT / "build/cairn"))
failed = 0


def check(name, holds, why=""):
    global failed
    if holds:
        print(f"ok {name}", flush=True)
    else:
        failed += 1
        print(f"not ok {name}: {str(why)[:600]}", flush=True)
    return holds


def finish():
    sys.exit(1 if failed else 0)


class Server:
    """`cairn serve` on a folder and a free port. Nothing sleeps: it is ready when it says where it listens."""

    def __init__(self, folder, *flags):
        self.folder, self.flags, self.process, self.port = str(folder), flags, None, None

    def start(self):
        log = open(self.folder + ".err", "ab")
        self.process = subprocess.Popen(
            [CAIRN, "serve", "--data", self.folder, "--listen", "127.0.0.1:0", "--apps-log", "0", *self.flags],
            stdout=subprocess.PIPE, stderr=log, text=True)
        line = self.process.stdout.readline()
        found = re.search(r"http://127\.0\.0\.1:(\d+)", line)
        if not found:
            raise RuntimeError("the server did not start: " + pathlib.Path(self.folder + ".err").read_text()[-800:])
        self.port = int(found.group(1))
        return self

    def kill(self):
        self.process.kill()
        self.process.wait()

    def stop(self):
        self.process.terminate()
        return self.process.wait(60)

    def client(self):
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)

    def ask(self, method, path, body=None, headers=None, client=None):
        """(status, JSON or text). A client may be kept for many."""
        own = client or self.client()
        data = body if body is None or isinstance(body, (bytes, str)) else json.dumps(body)
        own.request(method, path, data, {"content-type": "application/json", **(headers or {})} if data is not None else headers or {})
        answer = own.getresponse()
        text = answer.read().decode()
        if client is None:
            own.close()
        kind = answer.headers.get("content-type", "")
        return answer.status, json.loads(text) if "json" in kind and "x-ndjson" not in kind and text else text

    def deploy(self, files, **more):
        return self.ask("POST", "/v1/apps/deployments", {"files": files, **more})

    def command(self, app, name, data, key=None, client=None, **headers):
        return self.ask("POST", f"/v1/apps/{app}/commands/{name}", data,
                        {**({"idempotency-key": key} if key else {}), **headers}, client)

    def query(self, app, name, client=None, **params):
        text = urllib.parse.urlencode(params)
        return self.ask("GET", f"/v1/apps/{app}/queries/{name}" + ("?" + text if text else ""), client=client)

    def rows(self, app, name, **params):
        """Every row, page by page."""
        rows, cursor = [], None
        while True:
            status, page = self.query(app, name, limit=1000, **params, **({"cursor": cursor} if cursor else {}))
            if status != 200:
                raise RuntimeError(f"{status} {page}")
            rows += page["rows"]
            cursor = page["next"]
            if cursor is None:
                return rows

    def until(self, what, timeout_s=60):
        """Ask again until it holds. Between two questions wait for the server's end, which would make waiting vain."""
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            found = what()
            if found:
                return found
            try:
                raise RuntimeError(f"the server ended with {self.process.wait(0.02)}")
            except subprocess.TimeoutExpired:
                pass
        return None


def folder_files(folder):
    folder = pathlib.Path(folder)
    return {str(path.relative_to(folder)): path.read_text() for path in sorted(folder.rglob("*"))
            if path.is_file() and not path.name.startswith(".")}


def temp():
    return tempfile.mkdtemp(prefix="cairn-apps-")
