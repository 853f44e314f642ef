#!/bin/bash
# Some research, carried out: agents and workflows of apps/research, by HTTP alone.
#   scripts/research_workload.sh [URL]      http://127.0.0.1:7480
#
# Each command has an idempotency key of its own, so a second run finds every answer there and does nothing twice. Commands
# of a workflow go in their order over one connection; workflows run side by side.
set -eu
url=${1:-${CAIRN_URL:-http://127.0.0.1:7480}}
work=$(mktemp -d "${TMPDIR:-/tmp}/cairn-research-XXXXXX")
trap 'rm -rf "$work"' EXIT

json() { # a JSON string of the argument
    local text=${1//\\/\\\\}
    printf '"%s"' "${text//\"/\\\"}"
}

# send EXPECTED COMMAND KEY JSON: put a command into the batch in $batch. EXPECTED is the status that is right for it.
send() {
    local data=${4//\\/\\\\}
    cat >>"$batch" <<CONFIG
next
url = "$url/v1/apps/research/commands/$2"
header = "content-type: application/json"
header = "idempotency-key: research-$3"
header = "cairn-actor: scripts/research_workload.sh"
data-binary = "${data//\"/\\\"}"
output = "$work/answers"
write-out = "$1 %{http_code} $2 $3\n"
max-time = 20
silent
CONFIG
}
run_batch() { # FILE: its commands one after the other
    sed -i 1d "$1" # no "next" before the first
    curl --config "$1" >>"$1.done" || true
}

# ---- agents

agent() { # ID NAME MODEL CAPACITY SKILL…
    local id=$1 name=$2 model=$3 capacity=$4 skills=
    shift 4
    for skill in "$@"; do skills+=${skills:+,}$(json "$skill"); done
    send 200 CreateAgent "$id-create" "{\"agent_id\":\"$id\",\"name\":$(json "$name"),\"skills\":[$skills]}"
    send 200 ConfigureAgent "$id-configure" "{\"agent_id\":\"$id\",\"model\":$(json "$model"),\"capacity\":$capacity}"
    send 200 StartAgent "$id-start" "{\"agent_id\":\"$id\"}"
}
batch=$work/agents
agent reader "Paper reader" "long-context" 12 papers surveys
agent standards "Standards clerk" "precise" 12 RFCs specifications
agent engineer "Engineer" "code" 12 "source code" experiments
agent editor "Editor" "writing" 4 summaries
agent trainee "Trainee" "small" 1 notes
send 422 StartAgent reader-start-twice '{"agent_id":"reader"}'
send 200 StopAgent trainee-stop '{"agent_id":"trainee"}'
run_batch "$batch"

# ---- workflows

# One step, from its line and the findings under it. FATE: done; retry AGENT (fails once, another does it); given; open.
step() { # WORKFLOW STEP TITLE AGENT FATE FINDINGS
    local w=$1 s=$2 title=$3 a=$4 fate=$5 findings=$6 try=1
    [ "$fate" = open ] && return
    assign_step "$w" "$s" "$title" "$a" $try
    [ "$fate" = given ] && return
    if [ "${fate%% *}" = retry ]; then
        send 200 FailTask "$w-$s-fail-task" "{\"agent_id\":\"$a\",\"task_id\":\"$w.$s.1\",\"reason\":\"the sources could not be reached\"}"
        send 200 FailStep "$w-$s-fail" "{\"workflow_id\":\"$w\",\"step_id\":\"$s\",\"agent_id\":\"$a\",\"reason\":\"the sources could not be reached\"}"
        a=${fate#retry } try=2
        assign_step "$w" "$s" "$title" "$a" $try
    fi
    send 200 CompleteTask "$w-$s-done-$try" "{\"agent_id\":\"$a\",\"task_id\":\"$w.$s.$try\",\"summary\":$(json "Done: $title.")}"
    send 200 CompleteStep "$w-$s-complete" "{\"workflow_id\":\"$w\",\"step_id\":\"$s\",\"agent_id\":\"$a\",\"findings\":[$findings]}"
}
assign_step() { # WORKFLOW STEP TITLE AGENT TRY
    send 200 AssignStep "$1-$2-assign-$5" "{\"workflow_id\":\"$1\",\"step_id\":\"$2\",\"agent_id\":\"$4\"}"
    send 200 AssignTask "$1-$2-task-$5" "{\"agent_id\":\"$4\",\"task_id\":\"$1.$2.$5\",\"workflow_id\":\"$1\",\"step_id\":\"$2\",\"title\":$(json "$3")}"
}

declare -a steps=() titles=() agents=() fates=() found=()
workflow='' head='' end=''
flush() { # the workflow that has been read, as a batch
    [ -n "$workflow" ] || return 0
    local w=$workflow plan='' i
    batch=$work/workflow-$w
    send 200 CreateWorkflow "$w-create" "$head"
    for i in "${!steps[@]}"; do plan+=${plan:+,}"{\"step_id\":\"${steps[$i]}\",\"title\":$(json "${titles[$i]}")}"; done
    [ "${end%%:*}" = created ] || send 200 PlanWorkflow "$w-plan" "{\"workflow_id\":\"$w\",\"steps\":[$plan]}"
    if [ "${end%%:*}" != created ] && [ "${end%%:*}" != planned ]; then
        send 200 StartWorkflow "$w-start" "{\"workflow_id\":\"$w\"}"
        for i in "${!steps[@]}"; do step "$w" "${steps[$i]}" "${titles[$i]}" "${agents[$i]}" "${fates[$i]}" "${found[$i]}"; done
    fi
    case $end in
    complete:*) send 200 CompleteWorkflow "$w-end" "{\"workflow_id\":\"$w\",\"conclusion\":$(json "${end#*:}")}" ;;
    pause:*) send 200 PauseWorkflow "$w-end" "{\"workflow_id\":\"$w\",\"reason\":$(json "${end#*:}")}" ;;
    cancel:*) send 200 CancelWorkflow "$w-end" "{\"workflow_id\":\"$w\",\"reason\":$(json "${end#*:}")}" ;;
    running:) send 422 CompleteWorkflow "$w-too-early" "{\"workflow_id\":\"$w\",\"conclusion\":\"too early\"}" ;;
    esac
    run_batch "$batch" &
    workflow='' steps=() titles=() agents=() fates=() found=()
}

# W workflow|owner|title|question    S step|title|agent|fate    F finding|confidence|title|source|text    E how it ends
while IFS='|' read -r a b c d e; do
    kind=${a%% *} a=${a#* }
    case $kind in
    W) flush
        workflow=$a head="{\"workflow_id\":\"$a\",\"owner\":$(json "$b"),\"title\":$(json "$c"),\"question\":$(json "$d")}" ;;
    S) steps+=("$a") titles+=("$b") agents+=("$c") fates+=("$d") found+=("") ;;
    F) found[-1]+=${found[-1]:+,}"{\"finding_id\":\"$a\",\"title\":$(json "$c"),\"text\":$(json "$e"),\"source\":$(json "$d"),\"confidence\":$b}" ;;
    E) end=$a${b:+|$b} ;;
    esac
done <<'RESEARCH'
W durable-writes|ann|What reaches the disk|How do programs lose data that they believed to be on the disk, and what do careful ones do?
S papers|Read what was measured|reader|done
F fsync-fails|0.95|After a failed fsync the data may be gone|Rebello et al., Can Applications Recover from fsync Failures?, USENIX ATC 2020|When fsync fails, Linux file systems may mark the dirty pages clean. A second fsync then succeeds although nothing was written, so trying again proves nothing. A database has to stop and recover from its log.
F orders|0.9|Programs rely on orders that file systems never promised|Pillai et al., All File Systems Are Not Created Equal, OSDI 2014|Eleven widely used systems were studied and 60 crash vulnerabilities found. Most come from assuming that writes, renames and truncations reach the disk in the order in which they were made.
S practice|Collect the rules that hold|engineer|done
F rename|0.9|Replacing a file takes two syncs|Ensuring data reaches disk, LWN, 2011|Write a new file, fsync it, rename it over the old one, fsync the folder. Without the last step the rename itself can be lost in a power cut.
F torn|0.8|A page may be torn|NVM Express Base Specification, AWUPF|A drive names the size of a write that survives a power cut whole. Where that is less than a page, a checksum over every frame tells a torn write from a good one.
S summary|Write it down|editor|done
F rule|0.85|Acknowledge only after the sync|what the steps before found|A log that answers before its sync has returned, or that goes on after a failed one, will sooner or later lose what it promised. One write, one sync, then the answer.
E complete:Write once, sync once, check what the sync said, and believe nothing after a failure until the disk has been read again.
W once-only|ben|Once and only once|How is a request carried out once though it is sent twice?
S theory|What cannot be had|reader|done
F generals|0.9|No number of acknowledgements is enough|Akkoyunlu, Ekanadham and Huber, Some Constraints and Tradeoffs in the Design of Network Communications, SOSP 1975|Over a link that may lose messages two parties can never both be sure. So a sender has to repeat itself, and a receiver has to notice.
S standards|What the standards say|standards|retry engineer
F methods|0.95|GET, PUT and DELETE may be sent again, POST may not|RFC 9110, section 9.2.2|A method is idempotent when several identical requests have the effect of one. Clients may repeat those by themselves after a lost connection. POST needs a key.
F key|0.8|A key in a header|draft-ietf-httpapi-idempotency-key-header|The client makes up a key for each operation. The server keeps the answer by that key and gives it again. The same key with another body is an error.
S systems|How systems do it|engineer|done
F kafka|0.9|Producers number their batches|KIP-98, Exactly Once Delivery and Transactional Messaging|Each producer has an id and counts its batches for every partition. The broker drops a batch that it has seen and refuses one that leaves a gap.
F answers|0.85|Keep the answer with the effect|what the steps before found|The answer must be stored in the same transaction as the effect. Stored before, it may promise what never happened; stored after, a crash in between repeats the effect.
E complete:Give every command a key, store its answer in the same append as its events, and hand the same answer out again.
W ranking|ann|The best first|How are the best documents found first, with few words and little machinery?
S classics|Read the classics|reader|done
F bm25|0.95|BM25: frequency that saturates, length that is fair|Robertson and Zaragoza, The Probabilistic Relevance Framework: BM25 and Beyond, 2009|The tenth occurrence of a word says less than the second. BM25 lets term frequency saturate and normalises by the length of the document. Rare words weigh more.
F stemming|0.8|Suffixes can be stripped by rule|Porter, An algorithm for suffix stripping, 1980|Sixty rules in five steps bring connect, connected, connecting and connection together. It errs at times, and still finds more than it loses.
F inverted|0.9|An inverted index answers from the words|Zobel and Moffat, Inverted files for text search engines, ACM Computing Surveys 2006|For each word the index holds the documents with its places. A query reads only the lists of its own words, and compressed lists are quicker than plain ones.
S sqlite|Try it in SQLite|engineer|done
F fts5|0.95|FTS5 ranks by BM25|sqlite.org/fts5.html|The bm25 function of FTS5 has k1 fixed at 1.2 and b at 0.75, and takes a weight for each column. Better matches have smaller numbers, so that ascending order puts the best first.
S summary|Write it down|editor|given
E running:
W clocks|cy|What clocks can order|Can timestamps say which of two events came first?
S papers|Read the papers|reader|done
F before|0.95|Before means that one could have caused the other|Lamport, Time, Clocks, and the Ordering of Events in a Distributed System, 1978|Happened-before is a partial order. A counter that is passed along with every message extends it to a total one without any physical clock.
F truetime|0.9|An interval instead of a point|Corbett et al., Spanner: Google's Globally-Distributed Database, OSDI 2012|TrueTime answers with an interval that contains the true time. A commit waits until its timestamp is surely past, so that later transactions bear later timestamps.
S formats|Look at identifiers with time in them|standards|done
F uuid7|0.9|Version 7 sorts by time|RFC 9562, section 5.7|A UUID of version 7 begins with 48 bits of milliseconds since 1970, then random bits. They sort roughly by creation; within a millisecond only with a counter.
S leaps|Leap seconds and smears|engineer|retry standards
F smear|0.75|A smeared second is no second|Google Public NTP, Leap Smear|Some servers spread a leap second over a day. For that day their seconds are longer, and clocks that do not smear differ by up to half a second.
E pause:Waiting for the clocks of the new machines to be measured.
W evolution|ben|Schemas that change|How can readers and writers of stored events change independently over years?
S formats|Compare the formats|standards|done
F avro|0.9|Avro resolves the writer's schema with the reader's|Apache Avro Specification, Schema Resolution|Fields are matched by name or alias. A field that only the reader knows needs a default; a field that only the writer knew is skipped.
F protobuf|0.9|A field number is for ever|Protocol Buffers Language Guide, Updating A Message Type|Numbers identify fields on the wire. A number that was used must never mean anything else, so deleted ones are reserved.
F open|0.85|JSON Schema is open unless closed|JSON Schema 2020-12, additionalProperties|What a schema does not mention is allowed. Closed schemas catch typing errors and make every new member a change that old readers refuse.
S opinions|Read the other opinion|reader|done
F robust|0.8|Being liberal has a price|RFC 9413, Maintaining Robust Protocols|Tolerating faulty input lets faults become habits that others depend on. Active maintenance of a protocol serves better than silent tolerance.
S upcasting|Upcasting in practice|engineer|given
E running:
W boundaries|cy|Where consistency ends|Which facts must be decided together, and which may follow?
S design|Read about aggregates|reader|done
F small|0.85|Small aggregates, one to a transaction|Vernon, Effective Aggregate Design, 2011|Only what must be true at the same moment belongs together. Everything else is brought up to date afterwards, by events.
F beyond|0.85|Scale takes the transaction away|Helland, Life beyond Distributed Transactions, CIDR 2007|When data moves between machines, an entity with a key is the largest thing that one transaction can cover. What spans entities becomes messages and their bookkeeping.
S anomalies|Look at what goes wrong|engineer|done
F skew|0.9|Write skew passes snapshot isolation|Berenson et al., A Critique of ANSI SQL Isolation Levels, SIGMOD 1995|Two transactions read the same rows and write different ones. Each is right alone, together they break the rule. Conditions on what was read prevent it.
F dcb|0.8|A boundary drawn by a query|dcb.events|Instead of a fixed stream, a decision names the events that it rests on by types and tags. The append succeeds only if no further such event has come since.
S summary|Write it down|editor|done
F choose|0.8|Draw the boundary for each decision|what the steps before found|Most decisions need one stream. The few rules across streams can be kept by a condition on a query, without locking anything else.
E complete:Decide on one stream where it suffices, under a condition over a query where a rule spans several.
W consensus|ann|Agreement by vote|When is a quorum worth its round trips?
S papers|Read Paxos and Raft|reader|open
S practice|Ask who runs it|engineer|open
E planned:
W carrier-pigeons|ben|Avian carriers|What is the throughput of IP over avian carriers?
S standards|Read the standard|standards|done
F rfc1149|0.6|A datagram is rolled around a leg|RFC 1149, A Standard for the Transmission of IP Datagrams on Avian Carriers|The datagram is printed on a small scroll of paper in hexadecimal. The MTU is variable and increases with the age of the carrier. Delay is high and throughput low.
S experiment|Measure it|trainee|open
E cancel:The carriers have flown off.
W next-question|cy|To be planned|What should be looked into next?
E created:
RESEARCH
flush
wait

# ---- what came of it

cat "$work"/*.done | awk '
    { total++; if ($1 != $2) { wrong++; if (wrong <= 5) printf "%s (%s): status %s instead of %s\n", $3, $4, $2, $1 > "/dev/stderr" } else if ($2 == 422) refused++ }
    END { printf "%d commands by 5 agents in 9 workflows: %d done, %d refused as they should be%s\n", total, total - refused - wrong, refused, wrong ? sprintf(", %d otherwise", wrong) : ""; exit wrong > 0 }'
