"""The numbers of examples/loans, worked out straight from the XES file, and compared with what its queries answer.

Goal: the read models say what the log says. Method: another program, another language, no database: the XML is
read event by event, and every answer of every query is compared with it, row by row.
Usage: loans_numbers.py XES CAIRN      CAIRN_URL names the server. Prints "ok …" and "not ok …" lines."""
import collections, datetime, gzip, json, subprocess, sys
import xml.etree.ElementTree as xml

failed = 0


def check(name, have, want):
    global failed
    if have == want:
        print(f"ok {name}")
        return
    failed = 1
    if isinstance(have, dict) and isinstance(want, dict):
        keys = [k for k in want.keys() | have.keys() if have.get(k) != want.get(k)]
        have, want = {k: have.get(k) for k in keys[:3]}, {k: want.get(k) for k in keys[:3]}
    print(f"not ok {name}: {str(have)[:300]} is not {str(want)[:300]}")


def query(name, **params):
    command = [sys.argv[2], "query", "loans", name, "--all", "--json", "--limit", "1000"]
    for key, value in params.items():
        command += ["--param", f"{key}={value}"]
    pages = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    pages = [json.loads(page) for page in pages]
    return pages[0]["row"] if "row" in pages[0] else [row for page in pages for row in page["rows"]]


def text(moment):
    return moment.astimezone(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def ms(span):
    return span // datetime.timedelta(milliseconds=1)


# ---- the file ----------------------------------------------------------------------------------------------
Event = collections.namedtuple("Event", "type time resource lifecycle")
cases = {}  # id → (amount, [Event…])
space = "{http://www.xes-standard.org/}"
for _, element in xml.iterparse(gzip.open(sys.argv[1])):
    if element.tag != space + "trace":
        continue
    own = {e.get("key"): e.get("value") for e in element if e.get("key")}
    events = []
    for event in element.iter(space + "event"):
        at = {e.get("key"): e.get("value") for e in event}
        events.append(Event(at["concept:name"], datetime.datetime.fromisoformat(at["time:timestamp"]), at.get("org:resource"),
                            at.get("lifecycle:transition")))
    cases[own["concept:name"]] = (int(own["AMOUNT_REQ"]), events)
    element.clear()
check("the file has its 13,087 cases and 262,200 events", (len(cases), sum(len(e) for _, e in cases.values())), (13087, 262200))

# ---- the board ------------------------------------------------------------------------------------------------
states = {}   # id → [(state, since)]
decided = {}  # id → (outcome, when)
board = collections.defaultdict(lambda: [0, 0, [], []])
for case, (amount, events) in cases.items():
    states[case] = [(e.type[2:].lower(), e.time) for e in events if e.type.startswith("A_")]
    ends = [(e.type[2:].lower(), e.time) for e in events if e.type in ("A_DECLINED", "A_CANCELLED", "A_APPROVED")]
    if ends:
        decided[case] = ends[0]
    state, since = states[case][-1]
    board[state][0] += 1
    board[state][1] += amount
    board[state][2].append(text(since))
check("board", {r["state"]: (r["applications"], r["amount"], r["oldest_change"], r["newest_change"]) for r in query("board")},
      {s: (n, amount, min(times), max(times)) for s, (n, amount, times, _) in board.items()})

want = {}
for case, (amount, events) in cases.items():
    outcome, when = decided.get(case, (None, None))
    want[case] = (states[case][-1][0], amount, text(events[0].time), text(states[case][-1][1]), when and text(when), outcome,
                  sum(e.type == "O_SENT" for e in events), len(events))
have = {r["id"]: (r["state"], r["amount"], r["submitted"], r["changed"], r["decided"], r["outcome"], r["offers"], r["events"])
        for r in query("applications")}
check("every application, read page by page", have, want)
large = sorted((amount, case) for case, (amount, _) in cases.items() if states[case][-1][0] == "declined" and amount >= 60000)
rows = query("applications", **{"state": "declined", "amount.ge": 60000})
check("declined ones of at least 60,000", sorted((r["amount"], r["id"]) for r in rows), large)
some = max(cases, key=lambda case: len(cases[case][1]))
check("the application with the most events", query("application", id=some)["last_event"], text(cases[some][1][-1].time))
check("its states", [(r["state"], r["since"]) for r in query("application_states", id=some)],
      [(state, text(since)) for state, since in states[some]])

# ---- time in each state --------------------------------------------------------------------------------------
spent = collections.defaultdict(list)
for steps in states.values():
    for (state, since), (_, until) in zip(steps, steps[1:]):
        spent[state].append(ms(until - since))
check("time in each state, to the millisecond", {r["state"]: (r["times"], r["total_ms"]) for r in query("time_in_state")},
      {state: (len(times), sum(times)) for state, times in spent.items()})

# ---- open as of a day -------------------------------------------------------------------------------------------
utc = datetime.timezone.utc
for day in ("2011-10-01", "2011-12-01", "2011-12-31", "2012-02-29", "2012-03-20", "2011-09-01"):
    end = datetime.datetime.fromisoformat(day).replace(tzinfo=utc) + datetime.timedelta(days=1)
    want = {}
    for case, (amount, events) in cases.items():
        if events[0].time < end and not (case in decided and decided[case][1] < end):
            want[case] = (amount, [state for state, since in states[case] if since < end][-1])
    check(f"open at the end of {day} ({len(want)}), each with its state then",
          {r["id"]: (r["amount"], r["state"]) for r in query("open_cases", day=day)}, want)
first, last = datetime.date(2011, 9, 25), datetime.date(2012, 3, 31)
came = collections.Counter(events[0].time.astimezone(utc).date() for _, events in cases.values())
went = collections.Counter(when.astimezone(utc).date() for _, when in decided.values())
want, open_now = [], 0
for n in range((last - first).days + 1):
    day = first + datetime.timedelta(days=n)
    open_now += came[day] - went[day]
    want.append((str(day), came[day], went[day], open_now))
check("open by day, over half a year",
      [(r["day"], r["submitted"], r["decided"], r["open"]) for r in query("open_by_day", first=first, last=last)], want)

# ---- work --------------------------------------------------------------------------------------------------------
done = collections.defaultdict(lambda: [0, set(), 0])
seen = collections.defaultdict(set)
for case, (_, events) in cases.items():
    begun = collections.defaultdict(list)
    for e in events:
        if e.resource:
            seen[e.resource].add(e.time.astimezone(utc).date())
        if not e.type.startswith("W_"):
            continue
        if e.lifecycle == "START":
            begun[e.type].append(e)
        elif e.lifecycle == "COMPLETE" and begun[e.type]:
            start = begun[e.type].pop()
            who = start.resource or e.resource
            if who:
                done[who][0] += 1
                done[who][1].add(case)
                done[who][2] += ms(e.time - start.time)
check("what each employee has done", {r["resource"]: (r["work"], r["applications"], r["total_ms"], r["days"]) for r in query("workload")},
      {who: (n, len(on), total, len(seen[who])) for who, (n, on, total) in done.items()})
sys.exit(failed)
