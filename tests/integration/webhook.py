# The webhook of tests/integration/bus_webhook.c: the account of docs/webhook-deciders.md, and ways to misbehave by path.
# Writes its port to descriptor 9. Ends when its standard input does.
import hashlib, hmac, json, os, sys, threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

never = threading.Event()
requests = []


def evolve(state, event):
    sign = {"Deposited": 1, "Withdrawn": -1}[event["type"]]
    return {"balance": state["balance"] + sign * event["data"]["amount"], "count": state["count"] + 1}


def decide(state, command):
    amount = command["data"].get("amount", 0)
    if command["name"] == "Nothing":
        return {"events": [], "reject": {"code": "count", "message": "so many", "details": {"requests": len(requests),
                                         "sent": sum(len(r["events"]) for r in requests), "count": state["count"]}}}
    if command["name"] == "Withdraw" and state["balance"] < amount:
        return {"reject": {"code": "insufficient", "message": "there is not enough money", "details": state}}
    return {"events": [{"type": "Withdrawn" if command["name"] == "Withdraw" else "Deposited",
                        "data": {"amount": amount}, "tags": ["by:" + command["actor"]]}]}


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *arguments):
        pass

    def answer(self, status, text):
        self.send_response(status)
        self.send_header("content-length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        t, v1 = (part.split("=")[1] for part in self.headers["cairn-signature"].split(","))
        expected = hmac.new(os.environb[b"BANK_SECRET"], t.encode() + b"." + body, hashlib.sha256).hexdigest()
        if not hmac.compare_digest(v1, expected):
            return self.answer(401, b"who are you?")
        if self.path == "/slow":
            never.wait()
        if self.path == "/bad":
            return self.answer(200, b"[1,")
        if self.path == "/huge":
            return self.answer(200, b'{"state":"' + b"x" * (5 << 20) + b'"}')
        if self.path == "/away":
            self.send_response(302)
            self.send_header("location", "/")
            self.send_header("content-length", "0")
            return self.end_headers()
        if self.path == "/flaky" and int(self.headers["cairn-attempt"]) < 3:
            return self.answer(503, b"later")
        request = json.loads(body)
        requests.append(request)
        state = request["state"] or {"balance": 0, "count": 0}
        for event in request["events"]:
            state = evolve(state, event)
        reply = {"state": state}
        if request["command"]:
            reply.update(decide(state, request["command"]))
        self.answer(200, json.dumps(reply).encode())


server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
server.daemon_threads = True
server.handle_error = lambda request, address: None  # a client that gave up
threading.Thread(target=server.serve_forever, daemon=True).start()
os.write(9, b"%d" % server.server_address[1])
os.close(9)
sys.stdin.read()
os._exit(0)
