/* The table: every path of the API, what it takes, who handles it, what it answers. Dispatch,
 * /openapi.json, the Allow header and the labels of /metrics all come from here. */
#include <proto/http/api_int.h>

#include <stdio.h>

#define JSON_BODY(schema) {"application/json", schema}
#define PAGE_ARGS (ARG(DIRECTION) | ARG(LIMIT) | ARG(AS_OF))

#define EVENT_PAGE_CONTENTS                                                                               \
    {                                                                                                     \
        {"application/json", "Page"}, {"application/x-ndjson", "Event"},                                  \
            {"application/cloudevents-batch+json", "CloudEventBatch"}, {"text/event-stream", NULL}        \
    }

static const struct api_route routes[] = {
    {"POST", "/v1/streams/{stream}/events", "appendToStream", "append", api_append_stream, RUN_OWN,
     ARG(EXPECTED), "Append events to a stream",
     "All of the events become durable, in order and next to each other, or none does. The answer comes when "
     "they have reached the disk. Sending events with the same ids again at the same place answers 200 with "
     "\\\"repeated\\\": true and writes nothing. A CloudEvent in binary mode has its attributes in ce-* "
     "headers and any body.",
     {JSON_BODY("NewEvents"),
      {"application/x-ndjson", "NewEvent"},
      {"application/cloudevents+json", "CloudEvent"},
      {"application/cloudevents-batch+json", "CloudEventBatch"}},
     {{201, "Written and durable", {JSON_BODY("Appended")}},
      {200, "These very events were there already", {JSON_BODY("Appended")}}},
     "400 403 409 410 413 415 422 429 500 503 507"},
    {"GET", "/v1/streams/{stream}/events", "readStream", "read", api_read_stream, RUN_OWN,
     ARG(FROM_REVISION) | PAGE_ARGS, "Read a stream, or follow it",
     "A page of events by revision. An empty or unknown stream reads as an empty page with \\\"exists\\\": "
     "false. With Accept: text/event-stream the answer catches up and then follows: `id:` is the revision, "
     "and Last-Event-ID resumes after it.",
     {{0}},
     {{200, "A page, or a stream of events", EVENT_PAGE_CONTENTS}},
     "400 406 429 500 503"},
    {"GET", "/v1/events", "readAll", "read", api_read_all, RUN_OWN,
     ARG(FROM_POSITION) | PAGE_ARGS | ARG(CATEGORY) | ARG(TYPE) | ARG(TAG) | ARG(SINCE) | ARG(UNTIL) |
         ARG(SYSTEM),
     "Read all events, or follow them",
     "A page of events by position, of any type given and with all tags given. With Accept: "
     "text/event-stream the answer catches up and then follows: `id:` is the position, and Last-Event-ID "
     "resumes after it.",
     {{0}},
     {{200, "A page, or a stream of events", EVENT_PAGE_CONTENTS}},
     "400 406 429 500 503"},
    {"POST", "/v1/append", "append", "append", api_append_many, RUN_OWN, 0,
     "Append to several streams under conditions",
     "All expected revisions and all conditions hold and all events become durable, or nothing is written.",
     {JSON_BODY("AppendRequest")},
     {{201, "Written and durable", {JSON_BODY("Appended")}},
      {200, "These very events were there already", {JSON_BODY("Appended")}}},
     "400 403 409 410 413 415 422 429 500 503 507"},

    {"GET", "/v1/streams", "listStreams", "streams", api_streams_list, RUN_WORK,
     ARG(PREFIX) | ARG(AFTER) | ARG(LIMIT), "List streams in the order in which they first appeared",
     "Streams whose names begin with '$' only where the prefix does.",
     {{0}},
     {{200, "A page of streams", {JSON_BODY("StreamPage")}}},
     "400 404 429 500 503"},
    {"GET", "/v1/streams/{stream}", "getStream", "streams", api_stream_get, RUN_INLINE, 0,
     "What is known of a stream", NULL,
     {{0}},
     {{200, "The stream; an unknown one has \\\"exists\\\": false", {JSON_BODY("Stream")}}},
     "400 500 503"},
    {"DELETE", "/v1/streams/{stream}", "deleteStream", "streams", api_stream_delete, RUN_WORK,
     ARG(EXPECTED) | ARG(TOMBSTONE), "Delete a stream", NULL,
     {{0}},
     {{204, "Deleted, durable", {{0}}}},
     "400 403 404 409 410 429 500 503 507"},
    {"GET", "/v1/streams/{stream}/retention", "getRetention", "streams", api_retention_get, RUN_INLINE, 0,
     "What is kept of a stream", NULL,
     {{0}},
     {{200, "The limits; null where there is none", {JSON_BODY("Retention")}}},
     "400 500 503"},
    {"PUT", "/v1/streams/{stream}/retention", "setRetention", "streams", api_retention_put, RUN_WORK, 0,
     "Say what is to be kept of a stream",
     "The whole of it: what is left out has no limit. Takes effect for readers at once; space returns by "
     "scavenging.",
     {JSON_BODY("Retention")},
     {{200, "The limits as they are now, durable", {JSON_BODY("Retention")}}},
     "400 403 410 415 422 429 500 503 507"},
    {"GET", "/v1/streams/{stream}/snapshot", "getSnapshot", "streams", api_snapshot_get, RUN_WORK, 0,
     "The newest snapshot of a stream's state",
     "Its bytes with the content type that they were put with. The header cairn-revision is the last "
     "revision that the state includes.",
     {{0}},
     {{200, "The snapshot", {{"*/*", NULL}}}},
     "400 404 429 500 503"},
    {"PUT", "/v1/streams/{stream}/snapshot", "putSnapshot", "streams", api_snapshot_put, RUN_WORK,
     ARG(REVISION), "Keep a snapshot of a stream's state", "Any bytes; only the newest is kept.",
     {{"*/*", NULL}},
     {{204, "Kept, durable", {{0}}}},
     "400 403 413 422 429 500 503 507"},

    {"GET", "/v1/subscriptions", "listSubscriptions", "subscriptions", api_group_list, RUN_WORK, 0,
     "List consumer groups", NULL,
     {{0}},
     {{200, "Every group with its settings and state", {JSON_BODY("SubscriptionList")}}},
     "400 429 500 503"},
    {"GET", "/v1/subscriptions/{name}", "getSubscription", "subscriptions", api_group_get, RUN_WORK, 0,
     "A consumer group's settings and state", NULL,
     {{0}},
     {{200, "The group", {JSON_BODY("Subscription")}}},
     "400 404 429 500 503"},
    {"PUT", "/v1/subscriptions/{name}", "putSubscription", "subscriptions", api_group_put, RUN_WORK, 0,
     "Make a consumer group, or change its settings",
     "What is left out stays as it is, and has its default in a new group. What the group has done stays.",
     {JSON_BODY("SubscriptionConfig")},
     {{200, "The group, durable", {JSON_BODY("Subscription")}}},
     "400 403 413 415 422 429 500 503 507"},
    {"DELETE", "/v1/subscriptions/{name}", "deleteSubscription", "subscriptions", api_group_delete, RUN_WORK,
     0, "Delete a consumer group", NULL,
     {{0}},
     {{204, "Deleted, durable", {{0}}}},
     "400 403 404 429 500 503 507"},
    {"GET", "/v1/subscriptions/{name}/events", "takeEvents", "subscriptions", api_group_take, RUN_OWN,
     ARG(LIMIT) | ARG(WAIT), "Take events that are due",
     "Each is handed to one consumer and must be acknowledged or refused before ack_timeout_ms has passed; "
     "otherwise it is handed out again. With wait= the answer may take so long when nothing is due.",
     {{0}},
     {{200, "Up to limit events, perhaps none", {JSON_BODY("Deliveries")}}},
     "400 404 429 500 503"},
    {"POST", "/v1/subscriptions/{name}/ack", "ackEvents", "subscriptions", api_group_ack, RUN_WORK, 0,
     "Acknowledge events: done with", NULL,
     {JSON_BODY("Positions")},
     {{200, "How many of them were outstanding", {JSON_BODY("Acknowledged")}}},
     "400 403 404 413 415 422 429 500 503 507"},
    {"POST", "/v1/subscriptions/{name}/nack", "nackEvents", "subscriptions", api_group_nack, RUN_WORK, 0,
     "Refuse events: try again later, or park", NULL,
     {JSON_BODY("Refusal")},
     {{200, "How many of them were outstanding", {JSON_BODY("Refused")}}},
     "400 403 404 413 415 422 429 500 503 507"},
    {"GET", "/v1/subscriptions/{name}/parked", "listParked", "subscriptions", api_group_parked, RUN_WORK,
     ARG(LIMIT), "Events that were parked, with the reasons, oldest first", NULL,
     {{0}},
     {{200, "Up to limit events", {JSON_BODY("ParkedList")}}},
     "400 404 429 500 503"},
    {"POST", "/v1/subscriptions/{name}/parked/replay", "replayParked", "subscriptions", api_group_replay,
     RUN_WORK, 0, "Hand all parked events out again", NULL,
     {{0}},
     {{200, "How many", {JSON_BODY("Replayed")}}},
     "400 403 404 429 500 503 507"},

    {"GET", "/v1/topics", "listTopics", "topics", api_topic_list, RUN_WORK,
     ARG(NAME_PREFIX) | ARG(AFTER_NAME) | ARG(LIMIT), "List topics",
     "In the order of their names, with the number of records in all of their partitions and the settings that are not the "
     "default.",
     {{0}},
     {{200, "A page of topics", {JSON_BODY("TopicPage")}}},
     "400 429 500 501 503"},
    {"GET", "/v1/topics/{topic}", "getTopic", "topics", api_topic_get, RUN_WORK, 0, "A topic: its partitions and settings", NULL,
     {{0}},
     {{200, "The topic", {JSON_BODY("Topic")}}},
     "400 404 429 500 501 503"},
    {"PUT", "/v1/topics/{topic}", "putTopic", "topics", api_topic_put, RUN_WORK, ARG(MAKE), "Make a topic, or change it",
     "partitions can only grow; without them a new topic has the server's number and another one keeps its own. config is the "
     "whole of it: a setting that is left out has its default; without config the settings stay. The category, which is the "
     "name with '~' for '-' where it is left out, is for good.",
     {JSON_BODY("TopicDefinition")},
     {{200, "Changed, durable", {JSON_BODY("Topic")}}, {201, "Made, durable", {JSON_BODY("Topic")}}},
     "400 403 404 409 413 415 422 429 500 501 503 507"},
    {"PATCH", "/v1/topics/{topic}", "patchTopic", "topics", api_topic_patch, RUN_WORK, 0, "Change a topic's partitions or settings",
     "Settings that are left out stay; null brings a setting's default back.",
     {JSON_BODY("TopicChange")},
     {{200, "Changed, durable", {JSON_BODY("Topic")}}},
     "400 403 404 413 415 422 429 500 501 503 507"},
    {"DELETE", "/v1/topics/{topic}", "deleteTopic", "topics", api_topic_delete, RUN_WORK, 0, "Delete a topic",
     "What Kafka's clients have produced to it is hidden everywhere, and scavenged; events that came by other ways stay in "
     "their streams.",
     {{0}},
     {{204, "Deleted, durable", {{0}}}},
     "400 403 404 429 500 501 503 507"},
    {"POST", "/v1/topics/{topic}/replay", "replayDeadLetters", "topics", api_topic_replay, RUN_WORK, 0,
     "Send dead letters back to who gave them up",
     "A subscription's event is handed out again, a projection's is applied again in a transaction of its own; a record that no "
     "consumer of Cairn's gave up is appended to the topic that it came from. Each once, however often this is called. Looks at "
     "limit records; next says where to go on.",
     {JSON_BODY("DeadReplay")},
     {{200, "What came of them, durable", {JSON_BODY("DeadReplayed")}}},
     "400 403 404 413 415 422 429 500 503 507"},
    {"GET", "/v1/topics/{topic}/partitions/{partition}/records", "readRecords", "topics", api_records, RUN_WORK,
     ARG(FROM_OFFSET) | ARG(AT) | ARG(LIMIT), "Read records of a partition",
     "Events with their offset, timestamp, key and headers, as a Kafka client would see them.",
     {{0}},
     {{200, "A page of records", {JSON_BODY("RecordPage")}}},
     "400 404 422 429 500 501 503"},

    {"GET", "/v1/groups", "listGroups", "groups", api_kgroup_list, RUN_WORK,
     ARG(NAME_PREFIX) | ARG(AFTER_NAME) | ARG(LIMIT), "List the consumer groups of Kafka's clients", NULL,
     {{0}},
     {{200, "A page of groups", {JSON_BODY("GroupPage")}}},
     "400 429 500 501 503"},
    {"GET", "/v1/groups/{group}", "getGroup", "groups", api_kgroup_get, RUN_WORK, 0,
     "A group: its members, what each reads, how far they are", NULL,
     {{0}},
     {{200, "The group", {JSON_BODY("Group")}}},
     "400 404 429 500 501 503"},
    {"DELETE", "/v1/groups/{group}", "deleteGroup", "groups", api_kgroup_delete, RUN_WORK, 0, "Delete a group and its offsets",
     "Refused while it has members.",
     {{0}},
     {{204, "Deleted, durable", {{0}}}},
     "400 403 404 409 429 500 501 503 507"},
    {"POST", "/v1/groups/{group}/offsets", "resetOffsets", "groups", api_kgroup_reset, RUN_WORK, 0, "Move a group's offsets",
     "In one topic, in all of its partitions or in those that are named. Refused while the group has members. What is beyond a "
     "partition's beginning or end becomes its beginning or end. With dry_run nothing is changed.",
     {JSON_BODY("OffsetReset")},
     {{200, "Where each was and is, durable", {JSON_BODY("OffsetsReset")}}},
     "400 403 404 409 413 415 422 429 500 501 503 507"},

    {"GET", "/v1/relays", "listRelays", "relays", api_relay_list, RUN_WORK, 0, "List relays to and from Kafka", NULL,
     {{0}},
     {{200, "Every relay and how it is", {JSON_BODY("RelayList")}}},
     "400 429 500 501 503"},
    {"GET", "/v1/relays/{relay}", "getRelay", "relays", api_relay_get, RUN_WORK, 0, "A relay and how it is",
     "Secrets among the client's settings are not shown.",
     {{0}},
     {{200, "The relay", {JSON_BODY("Relay")}}},
     "400 404 429 500 501 503"},
    {"PUT", "/v1/relays/{relay}", "putRelay", "relays", api_relay_put, RUN_WORK, 0, "Make a relay, or change it",
     "The whole of it, but for paused and for secrets that are sent as they are shown, which stay; what else is left out gets its "
     "default. Direction, source and target of a name stay what they are, also when the relay was deleted: others are 409. A secret "
     "may be given as {\\\"env\\\":\\\"NAME\\\"}: then only the name is in the log.",
     {JSON_BODY("RelayDefinition")},
     {{200, "Changed, durable", {JSON_BODY("Relay")}}, {201, "Made, durable", {JSON_BODY("Relay")}}},
     "400 403 409 413 415 422 429 500 501 503 507"},
    {"DELETE", "/v1/relays/{relay}", "deleteRelay", "relays", api_relay_delete, RUN_WORK, 0, "Delete a relay",
     "How far it was stays known: made again, it goes on from there.",
     {{0}},
     {{204, "Deleted, durable", {{0}}}},
     "400 403 404 429 500 501 503 507"},
    {"POST", "/v1/relays/{relay}/pause", "pauseRelay", "relays", api_relay_pause, RUN_WORK, 0, "Pause a relay", NULL,
     {{0}},
     {{200, "The relay", {JSON_BODY("Relay")}}},
     "400 403 404 429 500 501 503 507"},
    {"POST", "/v1/relays/{relay}/resume", "resumeRelay", "relays", api_relay_resume, RUN_WORK, 0, "Let a paused relay go on", NULL,
     {{0}},
     {{200, "The relay", {JSON_BODY("Relay")}}},
     "400 403 404 429 500 501 503 507"},

    {"GET", "/v1/stats", "getStats", "server", api_stats, RUN_WORK, 0, "Figures of the store and the server",
     NULL,
     {{0}},
     {{200, "The figures", {JSON_BODY("Stats")}}},
     "400 429 500 503"},
    {"GET", "/healthz", "healthz", "server", api_healthz, RUN_INLINE, 0, "The server is alive", NULL,
     {{0}},
     {{200, "It is", {JSON_BODY("Health")}}},
     "400"},
    {"GET", "/readyz", "readyz", "server", api_readyz, RUN_INLINE, 0,
     "The server takes reads and writes", "503 says why it does not take writes; reads may go on.",
     {{0}},
     {{200, "It does", {JSON_BODY("Health")}}},
     "400 503 507"},
    {"GET", "/metrics", "metrics", "server", api_metrics, RUN_WORK, 0, "Figures for Prometheus", NULL,
     {{0}},
     {{200, "Prometheus text format 0.0.4", {{"text/plain", NULL}}}},
     "400 429 500 503"},
    {"GET", "/openapi.json", "openapi", "server", api_openapi_get, RUN_INLINE, 0, "This document", NULL,
     {{0}},
     {{200, "OpenAPI 3.1", {{"application/json", NULL}}}},
     "400"},
    {"GET", "/", "index", "server", api_index, RUN_INLINE, 0, "Where to go from here", NULL,
     {{0}},
     {{200, "Links", {JSON_BODY("Index")}}},
     "400"},

    {"GET", "/v1/backup", "backup", "administration", api_backup, RUN_OWN, 0,
     "Download a backup taken while the server runs",
     "A tar archive (ustar) of a folder that is a store. The header cairn-end is the number of events in it. "
     "HEAD answers without making one.",
     {{0}},
     {{200, "The archive", {{"application/x-tar", NULL}}}},
     "400 429 500 501 503 507"},
    {"POST", "/v1/verify", "verify", "administration", api_verify, RUN_OWN, 0,
     "Read every byte and check it",
     "Lines of progress and of faults as they are found; the last line is the report, or a problem when the "
     "check itself could not be finished.",
     {{0}},
     {{200, "Lines", {{"application/x-ndjson", "JobLine"}}}},
     "400 403 429 500 503"},
    {"POST", "/v1/scavenge", "scavenge", "administration", api_scavenge, RUN_OWN, 0,
     "Give back the space of events that retention has removed",
     "Lines of progress; the last line is the report or a problem.",
     {{0}},
     {{200, "Lines", {{"application/x-ndjson", "JobLine"}}}},
     "400 403 429 500 503"},
    {"POST", "/v1/reindex", "reindex", "administration", api_reindex, RUN_OWN, 0,
     "Compute the index again from the log", "Lines of progress; the last line is the report or a problem.",
     {{0}},
     {{200, "Lines", {{"application/x-ndjson", "JobLine"}}}},
     "400 403 429 500 503"},
    {"GET", "/v1/events/{position}/proof", "proveEvent", "administration", api_proof, RUN_WORK, 0,
     "A proof that an event is in the log",
     "Hashes from its leaf to its segment's root (RFC 9162) and the chain of roots.",
     {{0}},
     {{200, "The proof", {JSON_BODY("Proof")}}},
     "400 404 429 500 503"},

    {"GET", "/v1/apps", "listApps", "apps", api_app_list, RUN_WORK, 0, "The apps that run here", NULL,
     {{0}},
     {{200, "A summary of each", {JSON_BODY("Apps")}}},
     "429 500 501 503"},
    {"POST", "/v1/apps/deployments", "deployApp", "apps", api_app_deploy, RUN_WORK, 0, "Deploy an app",
     "All of it takes effect, durable, or nothing does and every fault is listed with file, line and hint. The files "
     "that run already change nothing. With dry_run it is only checked.",
     {JSON_BODY("NewDeployment")},
     {{201, "Deployed, and its warnings", {JSON_BODY("Deployed")}}},
     "400 409 413 422 429 500 501 503 507"},
    {"GET", "/v1/apps/{app}", "getApp", "apps", api_app_get, RUN_WORK, 0,
     "An app: its commands, events, queries, projections", NULL,
     {{0}},
     {{200, "The app", {JSON_BODY("App")}}},
     "404 429 500 501 503"},
    {"DELETE", "/v1/apps/{app}", "removeApp", "apps", api_app_remove, RUN_WORK, 0, "Stop an app",
     "Its read models go; its events and its history stay, and deploying brings it back.",
     {{0}},
     {{204, "Stopped, durable", {{0}}}},
     "404 429 500 501 503 507"},
    {"GET", "/v1/apps/{app}/deployments", "listDeployments", "apps", api_app_history, RUN_WORK, 0,
     "An app's deployments, newest first", NULL,
     {{0}},
     {{200, "The deployments", {JSON_BODY("Deployments")}}},
     "404 429 500 501 503"},
    {"GET", "/v1/apps/{app}/deployments/{version}", "getDeployment", "apps", api_app_files, RUN_WORK, 0,
     "The files of a version", NULL,
     {{0}},
     {{200, "The files by path", {JSON_BODY("DeploymentFiles")}}},
     "404 429 500 501 503"},
    {"POST", "/v1/apps/{app}/rollback", "rollbackApp", "apps", api_app_rollback, RUN_WORK, 0,
     "Deploy an earlier version's files again", "As a new version, checked like any deployment.",
     {JSON_BODY("Rollback")},
     {{201, "Deployed, and its warnings", {JSON_BODY("Deployed")}}},
     "400 404 409 422 429 500 501 503 507"},
    {"GET", "/v1/apps/{app}/openapi.json", "getAppOpenapi", "apps", api_app_openapi, RUN_WORK, 0,
     "An app's own OpenAPI document", NULL,
     {{0}},
     {{200, "OpenAPI 3.1", {{"application/json", NULL}}}},
     "404 429 500 501 503"},
    {"POST", "/v1/apps/{app}/commands/{command}", "sendCommand", "apps", api_command, RUN_OWN, 0, "Send a command",
     "The body is the command's data. Headers: idempotency-key (the same key gives the same answer, for seven days, also "
     "after a restart), cairn-deadline-ms, cairn-correlation, cairn-causation, cairn-actor. The answer comes when the "
     "events are durable; its position is what a query's after_position wants.",
     {{"application/json", NULL}},
     {{200, "Decided and durable", {JSON_BODY("CommandResult")}}},
     "400 403 404 409 413 415 422 429 500 501 503 504 507"},
    {"GET", "/v1/apps/{app}/queries/{query}", "askQuery", "apps", api_query, RUN_OWN,
     ARG(ROWS) | ARG(CURSOR) | ARG(AFTER_POSITION) | ARG(AS_OF) | ARG(TIMEOUT) | ARG(FREE), "Ask a query",
     "Rows of a read model; the query's own parameters, filters and sort go beside those named here. as_of asks the "
     "read model as it was.",
     {{0}},
     {{200, "A page of rows", {JSON_BODY("Rows")}}},
     "400 403 404 413 422 429 500 501 503 504"},
    {"GET", "/v1/apps/{app}/state/{stream}", "getState", "apps", api_app_state, RUN_WORK, ARG(AT_REVISION),
     "An aggregate's state, as its decider sees it", NULL,
     {{0}},
     {{200, "The state", {JSON_BODY("State")}}},
     "400 404 429 500 501 503"},
    {"GET", "/v1/apps/{app}/projections", "listProjections", "apps", api_projection_list, RUN_WORK, 0,
     "An app's projections: state, lag, progress, failure", NULL,
     {{0}},
     {{200, "The projections", {JSON_BODY("Projections")}}},
     "404 429 500 501 503"},
    {"GET", "/v1/apps/{app}/projections/{projection}", "getProjection", "apps", api_projection_get, RUN_WORK, 0,
     "A projection, with the events that it parked and skipped", NULL,
     {{0}},
     {{200, "The projection", {JSON_BODY("Projection")}}},
     "404 429 500 501 503"},
    {"POST", "/v1/apps/{app}/projections/{projection}/{action}", "controlProjection", "apps", api_projection_do,
     RUN_WORK, 0, "Pause, resume, retry, skip, park, replay-parked, rebuild", NULL,
     {{0}},
     {{202, "It will; this is how it stands", {JSON_BODY("Projection")}}},
     "404 409 422 429 500 501 503"},
    {"POST", "/v1/apps/{app}/replay", "replayApp", "apps", api_replay, RUN_OWN, 0,
     "Rebuild projections and snapshots, or decide history again",
     "Lines of progress, then a line with the report. With decisions true nothing is rebuilt: every recorded command is "
     "decided again and compared with what it wrote.",
     {JSON_BODY("ReplayRequest")},
     {{200, "Progress and report", {{"application/x-ndjson", NULL}}}},
     "400 404 422 429 500 501 503"},
};

#define ROUTE_COUNT (sizeof routes / sizeof *routes)

const struct api_route *
api_route_at(size_t index)
{
    return index < ROUTE_COUNT ? &routes[index] : NULL;
}

size_t
api_route_count(void)
{
    return ROUTE_COUNT;
}

/* ---- finding one -------------------------------------------------------------------------------- */

/* The next segment of "/a/b/c": "a". False at the end. A trailing slash gives an empty last one. */
static bool
next_part(cairn_str *rest, cairn_str *ret)
{
    if (rest->size == 0 || rest->data[0] != '/')
        return false;
    const char *begin = rest->data + 1, *end = rest->data + rest->size;
    const char *stop = begin < end ? memchr(begin, '/', (size_t)(end - begin)) : NULL;
    stop = stop ? stop : end;
    *ret = (cairn_str){begin, (size_t)(stop - begin)};
    *rest = (cairn_str){stop, (size_t)(end - stop)};
    return true;
}

/* Does the path have the pattern's shape? The encoded parts go where {…} stands. */
static bool
path_matches(const char *pattern, cairn_str path, cairn_str parts[API_PARTS_MAX], size_t *ret_count)
{
    cairn_str wanted = cairn_cstr(pattern), want, have;
    size_t count = 0;
    while (next_part(&wanted, &want)) {
        if (!next_part(&path, &have))
            return false;
        if (want.size > 0 && want.data[0] == '{') {
            if (have.size == 0)
                return false;
            parts[count++] = have;
        } else if (!cairn_str_equal(want, have))
            return false;
    }
    *ret_count = count;
    return path.size == 0;
}

static bool
method_matches(const char *route_method, cairn_str method)
{
    return cairn_str_equal(cairn_cstr(route_method), method) ||
           (!strcmp(route_method, "GET") && cairn_str_equal(method, CAIRN_STR("HEAD")));
}

static void
add_allowed(char allow[64], const char *method)
{
    size_t used = strlen(allow);
    snprintf(allow + used, 64 - used, "%s%s%s", used ? ", " : "", method,
             strcmp(method, "GET") ? "" : ", HEAD");
}

void
api_route_find(cairn_str method, cairn_str path, struct arena *arena, struct api_match *ret)
{
    memset(ret, 0, sizeof *ret);
    for (size_t i = 0; i < ROUTE_COUNT; i++) {
        cairn_str parts[API_PARTS_MAX];
        size_t count;
        if (!path_matches(routes[i].pattern, path, parts, &count))
            continue;
        if (!method_matches(routes[i].method, method)) {
            add_allowed(ret->allow, routes[i].method);
            continue;
        }
        ret->route = &routes[i];
        ret->part_count = count;
        for (size_t n = 0; n < count; n++)
            if (!api_decode(parts[n], false, arena, &ret->parts[n]))
                ret->bad_escape = true;
        return;
    }
}
