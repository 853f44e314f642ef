/* The table of everything `cairn` can do. Parsing, help, completion and the manual are made from it;
 * each command's function is in the file that its comment in run.h names. */
#include "command.h"
#include "command_topics.h"
#include "run.h"

#define END {0}

const struct option global_options[] = {
    {"url", 'u', "URL", "server to talk to (CAIRN_URL; default http://127.0.0.1:7480)", NULL, 0},
    {"data", 'd', "DIR", "work offline on the store in this folder instead", "@dir", 0},
    {"json", 'j', NULL, "machine output: one JSON object, or one a line", NULL, 0},
    {"quiet", 'q', NULL, "no progress, no remarks", NULL, 0},
    {"verbose", 'v', NULL, "say more on stderr", NULL, 0},
    {"color", 0, "WHEN", "auto, always or never (NO_COLOR is honoured)", "auto always never", 0},
    {"cacert", 0, "FILE", "trust this certificate authority (PEM; CAIRN_CACERT)", "@file", 0},
    {"insecure", 0, NULL, "do not check the server's certificate", NULL, 0},
    {"http2", 0, NULL, "speak HTTP/2 without TLS from the first byte", NULL, 0},
    {"help", 'h', NULL, "explain the command", NULL, 0},
    END,
};

#define FILTER_OPTIONS                                                                             \
    {"category", 'c', "NAME", "only streams of this category (the name before the first '-')",    \
     NULL, 0},                                                                                     \
    {"type", 't', "TYPE", "only events of this type; several: any of them", NULL, OPTION_REPEATS}, \
    {"tag", 'g', "TAG", "only events that bear this tag; several: all of them", NULL,              \
     OPTION_REPEATS},                                                                              \
    {"since", 0, "TIME", "only events committed at or after this time (RFC 3339)", NULL, 0},       \
    {"until", 0, "TIME", "only events committed before this time", NULL, 0},                       \
    {"system", 0, NULL, "also Cairn's own streams, whose names begin with '$'", NULL, 0}

static const struct option append_options[] = {
    {"type", 't', "TYPE", "the event's type", NULL, 0},
    {"data", 0, "JSON|@FILE|-", "the event's data: JSON, a file's content, or standard input", "@file", 0},
    {"meta", 'm', "JSON", "a JSON object beside the data: correlation, causation, your own", NULL, 0},
    {"tag", 'g', "TAG", "a tag such as customer:7, for conditions across streams", NULL, OPTION_REPEATS},
    {"id", 0, "UUID", "the event's id; the same id at the same place is written once", NULL, 0},
    {"content-type", 0, "TYPE", "of the data (application/json)", NULL, 0},
    {"expected", 'e', "REVISION", "any, none, exists, or the stream's last revision", "any none exists", 0},
    {"unless-type", 0, "TYPE", "append only if no event of this type exists after --after", NULL, OPTION_REPEATS},
    {"unless-tag", 0, "TAG", "… that bears this tag", NULL, OPTION_REPEATS},
    {"after", 0, "POSITION", "look for --unless only after this position", NULL, 0},
    {"batch", 'b', "N", "NDJSON from standard input: N events an append (all in one: atomic)", NULL, 0},
    END,
};
static const struct example append_examples[] = {
    {"write one event", "cairn append order-42 --type OrderPlaced --data '{\"total\":99}' --tag customer:7"},
    {"only if the stream is where you saw it last", "cairn append order-42 --type OrderPaid --data '{}' --expected 0"},
    {"many events, all or none, from standard input",
     "printf '%s\\n' '{\"type\":\"A\",\"data\":1}' '{\"type\":\"B\",\"data\":2}' | cairn append order-43"},
    {NULL, NULL},
};

static const struct option read_options[] = {
    {"all", 'a', NULL, "all streams, in the order of the log", NULL, 0},
    {"from", 'f', "N|start|end", "first revision (stream) or position (--all) to show", "start end", 0},
    {"limit", 'n', "N", "stop after so many events", NULL, 0},
    {"backward", 'b', NULL, "newest first", NULL, 0},
    {"as-of", 0, "TIME|POSITION", "as the log was at that moment, or below that position", NULL, 0},
    FILTER_OPTIONS,
    {"data-only", 0, NULL, "print nothing but each event's data, one a line", NULL, 0},
    END,
};
static const struct example read_examples[] = {
    {"a stream from its beginning", "cairn read order-42"},
    {"the ten newest events of the whole log", "cairn read --all --backward --limit 10"},
    {"everything about one customer, as JSON lines", "cairn read --all --tag customer:7 --json"},
    {"the log as it was on a day", "cairn read --all --as-of 2026-01-31T18:00:00Z"},
    {NULL, NULL},
};

static const struct option follow_options[] = {
    {"all", 'a', NULL, "all streams: what it does without a stream", NULL, 0},
    {"from", 'f', "N|start|end", "begin there (end: only what comes from now on)", "start end", 0},
    {"limit", 'n', "N", "stop after so many events", NULL, 0},
    FILTER_OPTIONS,
    {"data-only", 0, NULL, "print nothing but each event's data, one a line", NULL, 0},
    END,
};
static const struct example follow_examples[] = {
    {"watch everything that happens", "cairn follow"},
    {"one category from the very first event", "cairn follow --category order --from start"},
    {NULL, NULL},
};

static const struct option streams_options[] = {
    {"prefix", 'p', "TEXT", "only streams whose names begin with it", NULL, 0},
    {"after", 0, "STREAM", "continue after this stream", "@stream", 0},
    {"limit", 'n', "N", "at most so many (100; 0: all)", NULL, 0},
    {"long", 'l', NULL, "also how many events each has", NULL, 0},
    END,
};
static const struct example streams_examples[] = {
    {"the first hundred streams", "cairn streams"},
    {"all orders", "cairn streams --prefix order- --limit 0"},
    {NULL, NULL},
};

static const struct example stats_examples[] = {
    {"figures of the server", "cairn stats"},
    {"one figure for a script", "cairn stats --json | jq .store.events"},
    {NULL, NULL},
};

static const struct option no_options[] = {END};

/* ---- importers ------------------------------------------------------------------------------------ */

#define IMPORT_OPTIONS                                                                             \
    {"in-flight", 0, "N", "appends under way at once (4)", NULL, 0},                               \
    {"batch", 0, "N", "events an append (1000)", NULL, 0}

static const struct example import_examples[] = {
    {"this repository's history", "cairn import git"},
    {"a process log", "cairn import xes bpic2012.xes.gz"},
    {NULL, NULL},
};

static const struct option git_options[] = {
    {"prefix", 'p', "NAME", "put NAME/ before every path, to keep several repositories apart", NULL, 0},
    {"rev", 0, "REVISION", "history to import (HEAD)", NULL, 0},
    {"batch", 0, "N", "events an append (1000)", NULL, 0},
    END,
};
static const struct example git_examples[] = {
    {"the repository you stand in", "cairn import git"},
    {"what became of a file", "cairn read file-README.md"},
    {"who did what", "cairn read --all --category author --backward --limit 10"},
    {NULL, NULL},
};

static const struct option packages_options[] = {IMPORT_OPTIONS, END};
static const struct example packages_examples[] = {
    {"what this machine has installed, and when", "cairn import packages"},
    {"one package's story", "cairn read package-libc6"},
    {NULL, NULL},
};

static const struct option xes_options[] = {
    {"prefix", 'p', "NAME", "streams are NAME-<concept:name of the trace> (case)", NULL, 0},
    {"tag", 'g', "KEY", "tag events with KEY:value of this attribute, e.g. org:resource", NULL, OPTION_REPEATS},
    {"log-event", 0, NULL, "also keep the log's own attributes, in one event of NAME_log", NULL, 0},
    IMPORT_OPTIONS,
    END,
};
static const struct example xes_examples[] = {
    {"a loan application log, as it was downloaded", "cairn import xes bpic2012.xes.gz"},
    {"with a tag for each resource", "cairn import xes log.xes --prefix fine --tag org:resource"},
    {NULL, NULL},
};

static const struct option csv_options[] = {
    {"stream", 's', "COLUMN", "column that says which stream: <prefix>-<value>", NULL, 0},
    {"type", 't', "COLUMN", "column that holds the event type", NULL, 0},
    {"time", 0, "COLUMN", "column that holds the time; kept as meta.occurred_at", NULL, 0},
    {"id", 0, "COLUMN", "column that identifies the row", NULL, 0},
    {"tag", 'g', "COLUMN", "tag events with COLUMN:value", NULL, OPTION_REPEATS},
    {"prefix", 'p', "NAME", "category of the streams (the file's name)", NULL, 0},
    {"separator", 0, "CHAR", "between fields (','); \"tab\" for a tab", NULL, 0},
    {"numbers", 0, NULL, "store fields that are JSON numbers as numbers, not strings", NULL, 0},
    IMPORT_OPTIONS,
    END,
};
static const struct example csv_examples[] = {
    {"a stream per case, typed by activity",
     "cairn import csv receipt.csv --stream case:concept:name --type concept:name --time time:timestamp"},
    {NULL, NULL},
};

static const struct option ocel_options[] = {
    {"name", 0, "NAME", "the stream is ocel-NAME (the file's name)", NULL, 0},
    {"objects", 0, NULL, "also keep each object's own attributes, in a stream of its own", NULL, 0},
    IMPORT_OPTIONS,
    END,
};
static const struct example ocel_examples[] = {
    {"events about several objects each", "cairn import ocel recruiting-red.jsonocel"},
    {"what happened to one of them", "cairn read --all --tag 'applications:Application[770001]'"},
    {NULL, NULL},
};

static const struct option ndjson_options[] = {
    {"stream", 's', "STREAM", "stream of the lines that name none", "@stream", 0},
    {"batch", 0, "N", "events an append (1000)", NULL, 0},
    END,
};
static const struct example ndjson_examples[] = {
    {"copy a store: the copy's `cairn verify` shows the same digest",
     "cairn export | cairn --data copy import ndjson -"},
    {NULL, NULL},
};

static const struct option cloudevents_options[] = {
    {"stream", 's', "STREAM", "stream of the events that have no subject", "@stream", 0},
    IMPORT_OPTIONS,
    END,
};
static const struct example cloudevents_examples[] = {
    {"CloudEvents 1.0, one a line or as an array", "cairn import cloudevents events.json"},
    {NULL, NULL},
};

static const struct option export_options[] = {
    {"stream", 's', "STREAM", "only this stream", "@stream", 0},
    {"from", 'f', "N", "first position (or revision, with --stream)", NULL, 0},
    {"limit", 'n', "N", "stop after so many events", NULL, 0},
    {"as-of", 0, "TIME|POSITION", "as the log was then", NULL, 0},
    FILTER_OPTIONS,
    {"format", 0, "FORMAT", "ndjson (default) or cloudevents", "ndjson cloudevents", 0},
    {"output", 'o', "FILE", "write there, and only if all went well (standard output)", "@file", 0},
    END,
};
static const struct example export_examples[] = {
    {"everything, one JSON object a line", "cairn export --output everything.ndjson"},
    {"one category as CloudEvents", "cairn export --category order --format cloudevents"},
    {NULL, NULL},
};

/* ---- care of a store -------------------------------------------------------------------------------- */

static const struct example verify_examples[] = {
    {"check every byte of the server's store", "cairn verify"},
    {"check a backup", "cairn verify --data /backups/today"},
    {NULL, NULL},
};
static const struct example backup_examples[] = {
    {"copy a running server's store", "cairn backup /backups/today"},
    {"copy what is new since the last time", "cairn backup --data ./store /backups/today"},
    {NULL, NULL},
};
static const struct option restore_options[] = {
    {"to", 0, "TIME|POSITION", "stop before that position, or after that moment", NULL, 0},
    END,
};
static const struct example restore_examples[] = {
    {"bring a backup to life", "cairn restore /backups/today ./store"},
    {"as it was before the mistake", "cairn restore /backups/today ./store --to 2026-11-20T16:59:00Z"},
    {NULL, NULL},
};
static const struct option branch_options[] = {
    {"at", 0, "TIME|POSITION", "end the branch's history there (now)", NULL, 0},
    END,
};
static const struct example branch_examples[] = {
    {"a second store with the same history, sharing its sealed segments", "cairn branch --data ./store ./trial"},
    {NULL, NULL},
};
static const struct example scavenge_examples[] = {
    {"give back the space of what is hidden, and say how much", "cairn scavenge"},
    {NULL, NULL},
};
static const struct example reindex_examples[] = {
    {"after verify has found damage in the index", "cairn reindex"},
    {NULL, NULL},
};
static const struct option retention_options[] = {
    {"max-count", 0, "N", "keep the newest N events (0: no limit)", NULL, 0},
    {"max-age", 0, "DURATION", "keep what is younger: 30s, 12h, 90d (0: no limit)", NULL, 0},
    {"truncate-before", 0, "REVISION", "hide everything below this revision", NULL, 0},
    END,
};
static const struct example retention_examples[] = {
    {"what applies now", "cairn retention sensor-7"},
    {"keep the newest thousand events", "cairn retention sensor-7 --max-count 1000"},
    {NULL, NULL},
};
static const struct option delete_options[] = {
    {"expected", 'e', "REVISION", "any, exists, or the stream's last revision", "any exists", 0},
    {"tombstone", 0, NULL, "close the name for good", NULL, 0},
    END,
};
static const struct example delete_examples[] = {
    {"the stream reads as empty; its name may be used again", "cairn delete order-42"},
    {NULL, NULL},
};
static const struct example snapshot_examples[] = {
    {"keep a state beside its stream", "cairn snapshot put order-42 --revision 1 --state '{\"paid\":true}'"},
    {"and fetch it", "cairn snapshot get order-42"},
    {NULL, NULL},
};
static const struct option snapshot_put_options[] = {
    {"revision", 'r', "REVISION", "the last event that the state includes (the newest)", NULL, 0},
    {"state", 's', "JSON|@FILE|-", "the state: JSON, a file's content, or standard input", "@file", 0},
    {"content-type", 0, "TYPE", "of the state (application/json)", NULL, 0},
    END,
};

/* ---- consumer groups --------------------------------------------------------------------------------- */

static const struct option subscription_create_options[] = {
    {"stream", 's', "STREAM", "share the work on one stream", "@stream", 0},
    {"category", 'c', "NAME", "or on a category", NULL, 0},
    {"type", 't', "TYPE", "or on types; several: any of them", NULL, OPTION_REPEATS},
    {"tag", 'g', "TAG", "or on tags; several: all of them", NULL, OPTION_REPEATS},
    {"from", 'f', "N|start|end", "where a new group begins (start)", "start end", 0},
    {"ack-timeout", 0, "DURATION", "hand out again when not acknowledged in time (30s)", NULL, 0},
    {"retries", 0, "N", "deliveries before an event is given up: parked, or a dead letter (10)", NULL, 0},
    {"dead-letter", 0, NULL, "what is given up goes to TOPIC.dlq instead of being parked", NULL, 0},
    {"dead-letter-topic", 0, "TOPIC", "the same, to this topic", NULL, 0},
    {"retry-delay", 0, "DURATION", "before the second delivery, then doubled (200ms)", NULL, 0},
    {"outstanding", 0, "N", "most events handed out at once (1000)", NULL, 0},
    END,
};
static const struct option take_options[] = {
    {"limit", 'n', "N", "at most so many (10)", NULL, 0},
    {"ack", 0, NULL, "acknowledge them once printed", NULL, 0},
    END,
};
static const struct option parked_options[] = {
    {"limit", 'n', "N", "at most so many (100)", NULL, 0},
    END,
};
static const struct option nack_options[] = {
    {"park", 0, NULL, "set them aside at once instead of trying again", NULL, 0},
    {"reason", 0, "TEXT", "kept with a parked event", NULL, 0},
    END,
};
static const struct example subscription_examples[] = {
    {"make a group that works through all orders", "cairn subscription create billing --category order"},
    {"take some work", "cairn subscription take billing --limit 5"},
    {"say that position 12 is done", "cairn subscription ack billing 12"},
    {NULL, NULL},
};

static const struct option bench_options[] = {
    {"clients", 'c', "N", "clients at once (1)", NULL, 0},
    {"events", 'n', "N", "events (append, read) or reads (stream) in all (10000)", NULL, 0},
    {"seconds", 0, "N", "stop after so long, whatever --events says", NULL, 0},
    {"size", 0, "SIZE", "bytes of data an event (256)", NULL, 0},
    {"batch", 'b', "N", "events an append (1)", NULL, 0},
    END,
};
static const struct example bench_examples[] = {
    {"durable appends, one at a time", "cairn bench append --events 5000"},
    {"64 writers for ten seconds", "cairn bench append --clients 64 --seconds 10"},
    {"from commit to follower", "cairn bench follow --events 2000"},
    {NULL, NULL},
};

static const struct option serve_options[] = {
    {"listen", 0, "ADDRESS:PORT", "where to listen (127.0.0.1:7480)", NULL, 0},
    {"config", 0, "FILE", "settings; flags and CAIRN_* win over it (cairn.yaml)", "@file", 0},
    END,
};
static const struct example serve_examples[] = {
    {"a server on a folder, made where there is none", "cairn serve --data ./store"},
    {"on another port", "cairn serve --data ./store --listen 127.0.0.1:7490"},
    {"also for Kafka's clients, and those of a schema registry",
     "cairn serve --data ./store --kafka 127.0.0.1:9092 --schema-registry 127.0.0.1:8081"},
    {NULL, NULL},
};
static const struct example completion_examples[] = {
    {"bash, for this session", "source <(cairn completion bash)"},
    {"fish, for good", "cairn completion fish > ~/.config/fish/completions/cairn.fish"},
    {NULL, NULL},
};
static const struct option help_options[] = {
    {"man", 0, NULL, "print the whole manual page as troff", NULL, 0},
    END,
};
static const struct example help_examples[] = {
    {"explain a command", "cairn help append"},
    {"all of it as a manual page", "cairn help --man | man -l -"},
    {NULL, NULL},
};

/* ---- apps ------------------------------------------------------------------------------------------- */

static const struct option new_options[] = {
    {"typescript", 0, NULL, "a decider in TypeScript instead of Lua", NULL, 0},
    {"in", 0, "DIR", "make the folder there (here)", "@dir", 0},
    END,
};
static const struct example new_examples[] = {
    {"a small working app in ./orders", "cairn new orders"},
    {"look for mistakes, then deploy it", "cairn check orders && cairn deploy orders"},
    {NULL, NULL},
};
static const struct option check_options[] = {
    {"types", 0, NULL, "write src/types.gen.d.ts, the types of its TypeScript, from the schemas as they are now", NULL, 0},
    END,
};
static const struct example check_examples[] = {
    {"every mistake, with file and line", "cairn check orders"},
    {"the schemas have changed: their types for TypeScript, then what is wrong", "cairn check orders --types"},
    {NULL, NULL},
};
static const struct option deploy_options[] = {
    {"note", 'm', "TEXT", "kept with the version, shown in its history", NULL, 0},
    {"dry-run", 'n', NULL, "check it against what runs, change nothing", NULL, 0},
    {"expected-version", 'e', "N", "refuse when another version is current", NULL, 0},
    END,
};
static const struct example deploy_examples[] = {
    {"deploy to the running server", "cairn deploy orders --note 'prices per line'"},
    {"what would change?", "cairn deploy orders --dry-run"},
    {NULL, NULL},
};
static const struct option app_options[] = {
    {"note", 'm', "TEXT", "rollback: kept with the version", NULL, 0},
    {"version", 0, "N", "files: of this version (the current one)", NULL, 0},
    {"out", 'o', "DIR", "files: write them there", "@dir", 0},
    END,
};
static const struct example app_examples[] = {
    {"what an app has: commands, queries, projections", "cairn app orders"},
    {"its versions", "cairn app orders history"},
    {"what the newest one changed", "cairn app orders diff"},
    {"what deploying a folder would change", "cairn app orders diff 3 ./orders"},
    {"back to version 2, as a new version", "cairn app orders rollback 2"},
    {"decide again everything that was decided, and compare", "cairn app orders check-history"},
    {NULL, NULL},
};
static const struct option command_options[] = {
    {"data", 0, "JSON|@FILE|-", "the command's data, instead of an argument", "@file", 0},
    {"set", 's', "NAME=VALUE", "one member of the data; a VALUE that is JSON is taken as such", NULL, OPTION_REPEATS},
    {"key", 'k', "KEY", "idempotency key: the same key gives the same answer, and is carried out once", NULL, 0},
    {"deadline", 0, "MS", "not decided by then: refused (10000; also 2s, 1m)", NULL, 0},
    {"actor", 0, "NAME", "who asks", NULL, 0},
    {"correlation", 0, "ID", "what this belongs to; kept with the events", NULL, 0},
    {"causation", 0, "ID", "what led to this; kept with the events", NULL, 0},
    END,
};
static const struct example command_examples[] = {
    {"send a command", "cairn command orders PlaceOrder '{\"order_id\":\"42\",\"total\":99}'"},
    {"the same, member by member", "cairn command orders PlaceOrder --set order_id='\"42\"' --set total=99"},
    {"safe to repeat", "cairn command orders PayOrder --set order_id='\"42\"' --key payment-7"},
    {NULL, NULL},
};
static const struct option query_options[] = {
    {"param", 'p', "NAME=VALUE", "a parameter or filter of the query", NULL, OPTION_REPEATS},
    {"sort", 0, "COLUMNS", "for example due,-id: by due, then by id, largest first", NULL, 0},
    {"limit", 'n', "N", "rows of a page", NULL, 0},
    {"cursor", 0, "TEXT", "go on after the page that ended with it", NULL, 0},
    {"all", 'a', NULL, "all pages", NULL, 0},
    {"as-of", 0, "TIME|POSITION", "on the read models as they were then", NULL, 0},
    {"after-position", 0, "N", "wait until the read models have reached it: read your own writes", NULL, 0},
    {"timeout", 0, "DURATION", "for waiting and running together (5s)", NULL, 0},
    {"csv", 0, NULL, "print CSV (RFC 4180)", NULL, 0},
    END,
};
static const struct example query_examples[] = {
    {"open orders of a customer", "cairn query orders open --param customer=7"},
    {"everything, as CSV", "cairn query orders open --all --csv > open.csv"},
    {"as it was last night", "cairn query orders open --as-of 2026-01-31T23:59:59Z"},
    {NULL, NULL},
};
static const struct example projections_examples[] = {
    {"every projection of every app", "cairn projections"},
    {NULL, NULL},
};
static const struct example projection_examples[] = {
    {"why has it stopped?", "cairn projection orders board"},
    {"set the event aside, go on", "cairn projection orders board park"},
    {"build it anew beside, then swap", "cairn projection orders board rebuild"},
    {NULL, NULL},
};
static const struct option replay_options[] = {
    {"projection", 'p', "NAME", "only this one (all)", NULL, 0},
    {"aggregates", 0, NULL, "also every aggregate's snapshot", NULL, 0},
    {"decisions", 0, NULL, "also decide again what was decided, and compare", NULL, 0},
    {"from", 'f', "POSITION", "go on from the newest checkpoint kept at or before it (from the beginning)", NULL, 0},
    {"parallel", 0, "N", "at once (the server's processors)", NULL, 0},
    {"on-error", 0, "WHAT", "an event that cannot be applied: stop, skip, park or dead_letter (stop)", "stop skip park dead_letter", 0},
    END,
};
static const struct example replay_examples[] = {
    {"every read model anew", "cairn replay orders"},
    {"one, from a checkpoint", "cairn replay orders --projection board --from 1000000"},
    {NULL, NULL},
};
static const struct option state_options[] = {
    {"revision", 'r', "N", "as of this revision (the newest)", NULL, 0},
    END,
};
static const struct example state_examples[] = {
    {"what the decider knows of an order", "cairn state orders order-42"},
    {"what it knew after its first event", "cairn state orders order-42 --revision 0"},
    {NULL, NULL},
};
static const struct option migrate_options[] = {
    {"dry-run", 'n', NULL, "write nothing: read everything, show a sample of events and the counts", NULL, 0},
    {"sample", 0, "N", "events to show (10)", NULL, 0},
    {"batch", 'b', "NAME", "another name than the mapping's", NULL, 0},
    {"backup", 0, "DIR", "copy the store there first (a new folder here, named after the batch)", "@dir", 0},
    {"no-backup", 0, NULL, "do without", NULL, 0},
    {"rows", 0, "N", "rows an append (200)", NULL, 0},
    {"rollback", 0, "BATCH", "delete what a batch has written", NULL, 0},
    {"status", 0, "BATCH", "show how far a batch is", NULL, 0},
    {"force", 0, NULL, "rollback: also streams that others have written to since", NULL, 0},
    END,
};
static const struct example migrate_examples[] = {
    {"what would it write?", "cairn migrate orders.yaml --dry-run"},
    {"write it; interrupted, run it again to go on", "cairn migrate orders.yaml"},
    {"take it back", "cairn migrate --rollback orders-2026"},
    {NULL, NULL},
};

const struct command commands[] = {
    {"append", "write events to a stream", "STREAM --type TYPE [--data JSON|@FILE|-] | STREAM < NDJSON",
     "Writes one event, or with NDJSON on standard input and no --type many: lines of "
     "{\"type\",\"data\",\"id\"?,\"meta\"?,\"tags\"?}. What one append carries becomes durable whole or not at "
     "all, and when the command returns it has reached the disk.\n\n"
     "--expected guards against lost races: it names the stream's last revision as you know it, and "
     "the append fails with exit code 4 where the stream has moved on. --unless-type and --unless-tag "
     "do the same across streams, with exit code 5.\n\n"
     "After the command's name --data is the event's data; to work on a folder write "
     "`cairn --data DIR append …`.",
     append_options, append_examples, run_append, 1, 1, 0},
    {"read", "show the events of a stream, or of all", "STREAM | --all",
     "Prints events in order, oldest first. A revision counts within a stream, a position within the "
     "whole log; both begin at 0. The last line of the log is never cut: what you see is durable.",
     read_options, read_examples, run_read, 0, 1, 0},
    {"follow", "show events as they are committed", "[STREAM]",
     "Catches up from --from, then waits for more, until Ctrl-C. Without a stream it follows the whole "
     "log. After a lost connection it resumes where it was, without a gap or a double.",
     follow_options, follow_examples, run_follow, 0, 1, 0},
    {"streams", "list streams", "", "Lists streams in the order in which they first appeared.",
     streams_options, streams_examples, run_streams, 0, 0, 0},
    {"stats", "figures of the store", "", "Events, streams, bytes, commits, waiting appends, failures.",
     no_options, stats_examples, run_stats, 0, 0, 0},

    {"import", "bring events in from elsewhere", "git|packages|xes|csv|ocel|ndjson|cloudevents …",
     "Every importer gives each event a fixed place (stream and revision) and a fixed id, so importing "
     "the same source again writes nothing, an interrupted import goes on where it stopped, and a "
     "source that has grown adds only what is new. Sources are streamed, not loaded.",
     no_options, import_examples, NULL, 0, 0, COMMAND_GROUP},
    {"import git", "a repository's history", "[DIR]",
     "A stream per file (file-<path>) with FileAdded, FileModified, FileDeleted and FileRenamed, and a "
     "stream per author (author-<e-mail>) with CommitAuthored. Each is tagged commit:<sha> and "
     "author:<e-mail>; the commit's time is meta.occurred_at. A rename is told in both files' streams. "
     "Merges bring no file events of their own.\n\n"
     "A commit's own event is written after those of its files: where it is, the commit is whole. "
     "Later runs import only commits that are not there yet, after what is there.",
     git_options, git_examples, run_import_git, 0, 1, 0},
    {"import packages", "this machine's package history", "[FILE…]",
     "Reads /var/log/dpkg.log and its rotated predecessors: a stream per package (package-<name>) with "
     "PackageInstalled, PackageUpgraded, PackageConfigured, PackageTriggered, PackageRemoved and PackagePurged.",
     packages_options, packages_examples, run_import_packages, 0, ARGS_MAX, 0},
    {"import xes", "a process log (XES, IEEE 1849)", "FILE",
     "FILE may be gzipped; - is standard input. A stream per trace, an event per event, its type the "
     "concept:name. All attributes are kept in data under their keys: int and float as numbers, boolean as "
     "true or false, list as an array, container as an object, others as strings; an attribute with "
     "attributes of its own is {\"value\":…,\"attributes\":{…}}. meta.xes_types names the type "
     "where JSON does not show it; time:timestamp is meta.occurred_at too. A trace's own attributes are in "
     "meta.trace of its first event.",
     xes_options, xes_examples, run_import_xes, 1, 1, 0},
    {"import csv", "a table with a header line", "FILE --stream COLUMN --type COLUMN",
     "RFC 4180: quotes, line breaks in quotes, CRLF or LF, a byte-order mark. Each row is an event; data "
     "holds every column under its name. - is standard input.",
     csv_options, csv_examples, run_import_csv, 1, 1, 0},
    {"import ocel", "an object-centric log (OCEL 1.0 or 2.0, JSON)", "FILE",
     "All events go to one stream, ocel-<name>, in the file's order: an event belongs to several objects, so "
     "no stream of one object could hold it. Each object is a tag <object type>:<id>, so that an "
     "object's story is `cairn read --all --tag TYPE:ID`. With --objects each object's attributes "
     "and relations are kept too, as ObjectRecorded in object-<type>:<id>.",
     ocel_options, ocel_examples, run_import_ocel, 1, 1, 0},
    {"import ndjson", "what `cairn export` has written", "FILE",
     "Lines of {\"stream\",\"type\",\"data\",\"id\"?,\"meta\"?,\"tags\"?,\"revision\"?}; others are ignored. "
     "The order of the lines becomes the order of positions. - is standard input.",
     ndjson_options, ndjson_examples, run_import_ndjson, 1, 1, 0},
    {"import cloudevents", "CloudEvents 1.0 (JSON)", "FILE",
     "One a line, or an array. The stream is the event's subject, else --stream. source and id "
     "make the event's id, so that a repeated event is written once. Extension attributes go to meta.",
     cloudevents_options, cloudevents_examples, run_import_cloudevents, 1, 1, 0},
    {"export", "write events out", "",
     "NDJSON in the wire's form, or CloudEvents, streamed to standard output or a file. Importing an NDJSON export "
     "into an empty store gives an identical log: `cairn verify` shows the same digest.\n\n"
     "What retention or deletion has hidden is not exported, nor are Cairn's own streams: retention, snapshots, "
     "subscriptions, topics. --system shows those too, but no importer takes them. A copy with everything, to the "
     "last position, is made by `cairn backup`.",
     export_options, export_examples, run_export, 0, 0, 0},

    {"verify", "check every byte of the store", "",
     "Headers, checksums, dense positions and revisions, Merkle roots and the index against one computed from "
     "the log. The digest covers what the events say: it is equal for a log and its re-import. Exit code 7 where "
     "anything is damaged, with file and offset of each fault.",
     no_options, verify_examples, run_verify, 0, 0, 0},
    {"backup", "copy a running store into a folder", "FOLDER",
     "The copy is a store: verify it, restore it, serve it. With --data, a folder that holds an earlier backup "
     "of the same store receives only what is new; over the wire the folder must be new.",
     no_options, backup_examples, run_backup, 1, 1, 0},
    {"restore", "make a store out of a backup", "BACKUP FOLDER",
     "FOLDER must not hold a store. Works on folders only; stop nothing, overwrite nothing.",
     restore_options, restore_examples, run_restore, 2, 2, COMMAND_NO_TARGET},
    {"branch", "a second store that begins with the same history", "--data DIR NEWDIR",
     "For trying a new projection or a fix on real history. Sealed segments are shared by hard links where both "
     "folders are on the same file system.\n\n"
     "It works on the folder of a store that no server has open, with --data: NEWDIR is a place on the machine that "
     "holds the store, and a server takes no paths from its clients. Of a running server, "
     "`cairn backup FOLDER` and then `cairn restore FOLDER NEWDIR --to …` make the same, without sharing.",
     branch_options, branch_examples, run_branch, 1, 1, 0},
    {"scavenge", "give back the space of removed events", "",
     "Rewrites sealed segments without what retention, compaction and the deletion of streams and topics have removed. "
     "Positions, revisions, offsets and Merkle roots stay.\n\n"
     "A server does so by itself every hour where a quarter of a segment is to win (log.scavenge_interval); this reads "
     "all segments and takes those where a fiftieth is.",
     no_options, scavenge_examples, run_scavenge, 0, 0, 0},
    {"reindex", "compute the index again from the log", "",
     "The index says where the events of a stream, a type, a tag lie. All of it is computed from the log, so damage "
     "in it loses nothing: this puts a new one in its place, while a server goes on.",
     no_options, reindex_examples, run_reindex, 0, 0, 0},
    {"retention", "show or set how long a stream keeps events", "STREAM",
     "Without options it shows the limits; with options it sets those, and leaves the others as they are.",
     retention_options, retention_examples, run_retention, 1, 1, 0},
    {"delete", "delete a stream", "STREAM",
     "The stream reads as empty. A later append goes on with the next revision, unless --tombstone closed the "
     "name for good.",
     delete_options, delete_examples, run_delete, 1, 1, 0},
    {"snapshot", "keep and fetch a stream's computed state", "get|put STREAM …",
     "A snapshot is the state of a stream as of a revision, so that readers need only the events "
     "after it. The newest one is kept.",
     no_options, snapshot_examples, NULL, 0, 0, COMMAND_GROUP},
    {"snapshot get", "fetch the newest snapshot of a stream", "STREAM", "Prints the state.",
     no_options, snapshot_examples, run_snapshot_get, 1, 1, 0},
    {"snapshot put", "keep a snapshot of a stream", "STREAM --state JSON|@FILE|-", "",
     snapshot_put_options, snapshot_examples, run_snapshot_put, 1, 1, 0},

    {"subscription", "share work on events among consumers", "create|list|take|ack|nack|parked|replay|delete …",
     "A subscription remembers what its group of consumers has done. Each event is handed to one of them at a time, again when "
     "it is not acknowledged in time, and set aside (parked) after too many tries, until somebody replays it.",
     no_options, subscription_examples, NULL, 0, 0, COMMAND_GROUP},
    {"subscription create", "make a group, or change its settings", "GROUP",
     "Without a stream or filter the group works through all events.",
     subscription_create_options, subscription_examples, run_subscription_create, 1, 1, 0},
    {"subscription list", "show groups and how far they are", "[GROUP]", "",
     no_options, subscription_examples, run_subscription_list, 0, 1, 0},
    {"subscription take", "take events that are due", "GROUP",
     "Prints them with their positions. Does not wait.",
     take_options, subscription_examples, run_subscription_take, 1, 1, 0},
    {"subscription ack", "say that positions are done", "GROUP POSITION…", "",
     no_options, subscription_examples, run_subscription_ack, 2, ARGS_MAX, 0},
    {"subscription nack", "refuse positions: try again, or park", "GROUP POSITION…", "",
     nack_options, subscription_examples, run_subscription_nack, 2, ARGS_MAX, 0},
    {"subscription parked", "show a group's parked events", "GROUP", "",
     parked_options, subscription_examples, run_subscription_parked, 1, 1, 0},
    {"subscription replay", "hand parked events out again", "GROUP", "",
     no_options, subscription_examples, run_subscription_replay, 1, 1, 0},
    {"subscription delete", "forget a group", "GROUP", "",
     no_options, subscription_examples, run_subscription_delete, 1, 1, 0},

    {"topics", "categories as Kafka's topics", "[list|show|create|grow|set|delete|read|replay …]",
     "A topic is a category of streams, read by partition and offset: what is appended to a stream of the category is in the topic, "
     "and what Kafka's clients produce to the topic are events like any other.\n\n"
     "RECORDS is END less START: what compaction, or the deletion of a stream, has taken in between is counted too. A running server "
     "looks after topics: these commands do not work with --data.",
     names_options, topics_examples, run_topics_list, 0, 0, COMMAND_GROUP},
    {"topics list", "list topics", "", "",
     names_options, topics_examples, run_topics_list, 0, 0, 0},
    {"topics show", "show a topic's settings and partitions", "TOPIC", "",
     topics_show_options, topics_examples, run_topics_show, 1, 1, 0},
    {"topics create", "make a topic", "TOPIC", "Events that the category has already are in it from the beginning.",
     topics_create_options, topics_examples, run_topics_create, 1, 1, 0},
    {"topics grow", "give a topic more partitions", "TOPIC N",
     "Records stay where they are; those that come go by the new number.",
     no_options, topics_examples, run_topics_grow, 2, 2, 0},
    {"topics set", "change a topic's settings", "TOPIC NAME=VALUE…", "`cairn topics show TOPIC --all` lists them.",
     topics_set_options, topics_examples, run_topics_set, 1, ARGS_MAX, 0},
    {"topics delete", "delete a topic", "TOPIC",
     "What Kafka's clients have produced to it goes; events that came by other ways stay in their streams.",
     no_options, topics_examples, run_topics_delete, 1, 1, 0},
    {"topics read", "show records of a topic", "TOPIC", "Partition after partition, in the order of their offsets.",
     topics_read_options, topics_examples, run_topics_read, 1, 1, 0},
    {"topics replay", "send dead letters back", "TOPIC",
     "A subscription's event is handed out again, a projection's is applied again; a record that no consumer of Cairn's gave up is "
     "appended to the topic that it came from. Each once, however often this is run. Exit code 1 when one failed.",
     topics_replay_options, topics_examples, run_topics_replay, 1, 1, 0},
    {"groups", "consumer groups of Kafka's clients", "[list|show|reset|delete …]",
     "Who is in a group, what each of its members reads, and how far they are. (`cairn subscription` is for those who speak Cairn's own "
     "API.)\n\n"
     "LAG counts the partitions of which the group has committed an offset. A running server looks after groups: these commands do "
     "not work with --data.",
     names_options, groups_examples, run_groups_list, 0, 0, COMMAND_GROUP},
    {"groups list", "list groups with their lag", "", "",
     names_options, groups_examples, run_groups_list, 0, 0, 0},
    {"groups show", "show a group's members and offsets", "GROUP", "",
     no_options, groups_examples, run_groups_show, 1, 1, 0},
    {"groups reset", "move a group's offsets", "GROUP --topic TOPIC --to WHERE",
     "Only while the group has no members (exit code 4); a group that is not there yet may be given offsets. -N and +N are counted "
     "from what the group has committed. What is beyond a partition's beginning or end becomes that.",
     groups_reset_options, groups_examples, run_groups_reset, 1, 1, 0},
    {"groups delete", "forget a group and its offsets", "GROUP", "Only while it has no members.",
     no_options, groups_examples, run_groups_delete, 1, 1, 0},
    {"relays", "topics to and from another Kafka", "[list|show|put|pause|resume|delete …]",
     "A relay copies a topic to a Kafka or from one, record by record, and waits while that is away. A running server does it: these "
     "commands do not work with --data.",
     no_options, relays_examples, run_relays_list, 0, 0, COMMAND_GROUP},
    {"relays list", "list relays and how they are", "", "",
     no_options, relays_examples, run_relays_list, 0, 0, 0},
    {"relays show", "show a relay", "NAME", "",
     no_options, relays_examples, run_relays_show, 1, 1, 0},
    {"relays put", "make a relay, or change it", "NAME --out|--in --from TOPIC --bootstrap HOST:PORT",
     "Out: both topics have to be there. In: the topic here is made, with as many partitions as there.\n\n"
     "Of a relay that is there, an option that is left out gets its default (but --paused, which stays). Its direction, --from and --to "
     "cannot be changed (exit code 4), since how far it came is a place in these topics: make one of another name. --bootstrap is to "
     "name the same Kafka. With --transactions the place is in that Kafka, otherwise here: switched over, the relay goes on from "
     "where it last was in that way, or begins at the beginning.",
     relays_put_options, relays_examples, run_relays_put, 1, 1, 0},
    {"relays pause", "pause a relay", "NAME", "",
     no_options, relays_examples, run_relays_pause, 1, 1, 0},
    {"relays resume", "let a paused relay go on", "NAME", "",
     no_options, relays_examples, run_relays_resume, 1, 1, 0},
    {"relays delete", "delete a relay", "NAME", "How far it was stays known: made again, from and to the same topics, it goes on from there. Its group at the other Kafka stays.",
     no_options, relays_examples, run_relays_delete, 1, 1, 0},

    {"new", "make a small working app", "NAME",
     "Makes a folder with an app that works: a command, a decider, an event, a read model, a query, and a "
     "README that explains them.",
     new_options, new_examples, run_new, 1, 1, COMMAND_NO_TARGET},
    {"check", "find mistakes in an app", "[DIR]",
     "Finds everything that a deployment would refuse: names, schemas, SQL against a scratch database, Lua by "
     "loading. Each fault goes to stderr as file:line: message, with a hint; exit code 1 when there is one. Needs no "
     "server.",
     check_options, check_examples, run_check, 0, 1, COMMAND_NO_TARGET},
    {"deploy", "deploy an app to the server", "DIR",
     "All of it takes effect, durable, or nothing does and every fault is listed (exit code 1). Nothing is "
     "interrupted: commands under way finish on the version that they began with, read models that change "
     "are built beside and swapped.",
     deploy_options, deploy_examples, run_deploy, 1, 1, 0},
    {"apps", "list the apps that run", "", "", no_options, app_examples, run_apps, 0, 0, 0},
    {"app", "show an app; its versions",
     "NAME [history | rollback VERSION | diff [FROM [TO]] | files | check-history | remove]",
     "Alone it shows the app's commands, events, queries and projections. FROM and TO are versions, or folders. "
     "rollback deploys an earlier version's files again, as a new version. check-history decides again every recorded "
     "command and compares the events (exit code 1 where they differ). remove stops the app and takes its read models "
     "away; events and history stay.",
     app_options, app_examples, run_app, 1, 4, 0},
    {"command", "send a command to an app", "APP COMMAND [DATA | - | @FILE]",
     "DATA is a JSON object. The command is validated, decided and appended; when this returns its events have "
     "reached the disk. Exit code 10 when the app's rules refuse it. The position that it prints is what `cairn query "
     "--after-position` takes.",
     command_options, command_examples, run_command, 2, 3, 0},
    {"query", "ask an app's read models", "APP QUERY",
     "Prints the rows as a table, as CSV, or with --json the server's answer, one page a line.",
     query_options, query_examples, run_query, 2, 2, 0},
    {"state", "an aggregate's state as its decider sees it", "APP STREAM", "Prints it as JSON.",
     state_options, state_examples, run_state, 2, 2, 0},
    {"projections", "show read models at work", "[APP]",
     "State, position, how many events it lags behind, its failure.",
     no_options, projections_examples, run_projections, 0, 1, 0},
    {"projection", "show or steer a read model",
     "APP NAME [pause | resume | retry | skip | park | replay-parked | rebuild | status]",
     "A projection that cannot apply an event stops, and shows event and error. retry tries it again, skip leaves it "
     "out, park sets it aside until replay-parked. rebuild builds it anew beside the one that serves, and swaps them "
     "when it has caught up.",
     no_options, projection_examples, run_projection, 2, 3, 0},
    {"replay", "build read models and snapshots anew", "APP",
     "Waits until all is done, with progress, and prints a report; exit code 1 when it tells of failures.",
     replay_options, replay_examples, run_replay, 1, 1, 0},
    {"migrate", "bring an existing database in as events", "MAPPING | --rollback BATCH | --status BATCH",
     "Reads a table or query of SQLite or PostgreSQL, or a CSV file, through a mapping (YAML) and appends the events "
     "that it makes of each row. Rows and progress become durable together, so an interrupted migration goes on where it "
     "stopped, and nothing is written twice. Before the first event the store is backed up. At the end counts, and the "
     "checks that the mapping declares, are compared between source and events (exit code 1 where they differ).\n\n"
     "A batch writes streams of its own only. --rollback deletes them, unless somebody has written to one since. "
     "docs/migrate.md has the mapping.",
     migrate_options, migrate_examples, run_migrate, 0, 1, 0},

    {"bench", "measure rates and latencies", "[append|read|stream|follow]",
     "Drives the target with --clients threads, each with a connection of its own, and prints the rate and the "
     "latency of one call: append (durable), read (pages of the whole log), stream (one small stream), "
     "follow (from append to follower). It writes to streams bench-…; use a store you can throw away.",
     bench_options, bench_examples, run_bench, 0, 1, 0},
    {"serve", "run the server", "[--data DIR] [--listen ADDRESS:PORT]",
     "Serves the store in a folder over HTTP/1.1 and HTTP/2 until Ctrl-C; where --kafka and --schema-registry say so, also to "
     "Kafka's clients.",
     serve_options, serve_examples, NULL, 0, 0, COMMAND_OWN_ARGS},
    {"completion", "print a completion script", "bash|zsh|fish", "",
     no_options, completion_examples, run_completion, 1, 1, COMMAND_NO_TARGET},
    {"version", "print the version", "", "", no_options, NULL, run_version, 0, 0, COMMAND_NO_TARGET},
    {"help", "explain a command", "[COMMAND]", "", help_options, help_examples, run_help, 0, 2,
     COMMAND_NO_TARGET},
    {0},
};
