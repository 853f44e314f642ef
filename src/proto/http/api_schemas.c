/* components.schemas of /openapi.json: JSON Schema 2020-12, as text because that is what they are. */
#include <proto/http/api_int.h>

#define WHOLE "{\"type\":\"integer\",\"minimum\":0}"
#define TEXT "{\"type\":\"string\"}"
#define NAME "{\"type\":\"string\",\"minLength\":1,\"maxLength\":512}"
#define NAMES(max) "{\"type\":\"array\",\"maxItems\":" max ",\"items\":" NAME "}"
#define REF(name) "{\"$ref\":\"#/components/schemas/" name "\"}"
#define LIST(item) "{\"type\":\"array\",\"items\":" item "}"
#define OBJECT(required, properties)                                                                      \
    "{\"type\":\"object\",\"required\":[" required "],\"properties\":{" properties "}}"
/* What a client sends: a member that is not known is refused. */
#define CLOSED(required, properties)                                                                      \
    "{\"type\":\"object\",\"additionalProperties\":false,\"required\":[" required "],\"properties\":{"    \
    properties "}}"

#define NEW_EVENT_MEMBERS                                                                                 \
    "\"type\":" NAME ",\"data\":{\"description\":\"Any JSON; its exact bytes are kept.\"},"               \
    "\"data_base64\":{\"type\":\"string\",\"contentEncoding\":\"base64\"},"                               \
    "\"content_type\":{\"type\":\"string\",\"maxLength\":512,\"default\":\"application/json\"},"          \
    "\"id\":{\"type\":\"string\",\"format\":\"uuid\",\"description\":\"Makes the append safe to repeat; " \
    "a UUIDv7 is made where it is left out.\"},"                                                          \
    "\"meta\":{\"type\":\"object\"},\"tags\":" NAMES("64") ","                                            \
    "\"correlation\":{\"type\":\"string\",\"maxLength\":512,\"description\":\"By default the string at "  \
    "meta.correlation.\"},\"schema_id\":{\"type\":\"integer\",\"minimum\":0,\"maximum\":4294967295}"
#define EVENT_MEMBERS                                                                                     \
    "\"position\":" WHOLE ",\"stream\":" TEXT ",\"revision\":" WHOLE ","                                  \
    "\"time\":{\"type\":\"string\",\"format\":\"date-time\"}," NEW_EVENT_MEMBERS
#define EVENT_REQUIRED "\"position\",\"stream\",\"revision\",\"time\",\"id\",\"type\""
#define SETTING(fallback)                                                                                 \
    "{\"type\":\"integer\",\"minimum\":0,\"maximum\":4294967295,\"default\":" fallback                    \
    ",\"description\":\"0: the default.\"}"
#define GROUP_MEMBERS                                                                                     \
    "\"stream\":" TEXT ",\"category\":" TEXT ",\"query\":" REF("Query") ","                               \
    "\"from\":{\"oneOf\":[" WHOLE ",{\"type\":\"string\",\"enum\":[\"start\",\"end\"]}],\"default\":0},"  \
    "\"ack_timeout_ms\":" SETTING("30000") ",\"retry_max\":" SETTING("10") ","                            \
    "\"retry_delay_ms\":" SETTING("200") ",\"outstanding_max\":" SETTING("1000") \
    ",\"dead_letter\":{\"oneOf\":[{\"type\":\"boolean\"}," NAME "],\"default\":false,\"description\":" \
    "\"What is given up goes to a topic of dead letters: that of the event's topic, or this one.\"}"
#define POSITIONS "{\"type\":\"array\",\"minItems\":1,\"maxItems\":10000,\"items\":" WHOLE "}"
#define ONE_WHOLE(name) OBJECT("\"" name "\"", "\"" name "\":" WHOLE)

#define TIME_OR_NULL "{\"type\":[\"string\",\"null\"],\"format\":\"date-time\"}"
#define WHOLE_OR_NULL "{\"type\":[\"integer\",\"null\"],\"minimum\":0}"
#define NAME_NEXT                                                                                         \
    "\"next\":{\"type\":[\"string\",\"null\"],\"description\":\"`after` of the next page.\"},"            \
    "\"end\":{\"type\":\"boolean\"}"
#define PARTITIONS "{\"type\":\"integer\",\"minimum\":1,\"maximum\":10000}"
#define TOPIC_MEMBERS                                                                                     \
    "\"topic\":" TEXT ",\"id\":{\"type\":\"string\",\"format\":\"uuid\"},\"category\":" TEXT              \
    ",\"partitions\":" PARTITIONS
#define KGROUP_MEMBERS                                                                                    \
    "\"group\":" TEXT ",\"state\":" TEXT ",\"type\":{\"type\":\"string\",\"enum\":[\"classic\","          \
    "\"consumer\"]},\"protocol_type\":" TEXT ",\"protocol\":" TEXT ",\"member_count\":" WHOLE             \
    ",\"lag\":" WHOLE
#define RELAY_MEMBERS                                                                                     \
    "\"direction\":{\"type\":\"string\",\"enum\":[\"out\",\"in\"]},\"source\":" TEXT ",\"target\":" TEXT  \
    ",\"client\":{\"type\":\"object\",\"required\":[\"bootstrap.servers\"],\"description\":\"librdkafka's" \
    " settings.\"},\"transactions\":{\"type\":\"boolean\",\"default\":false,\"description\":\"out: "      \
    "exactly once.\"},\"paused\":{\"type\":\"boolean\"}"

const char api_schemas[] =
    "{"
    "\"Apps\":" OBJECT("\"apps\"", "\"apps\":" LIST("{\"type\":\"object\"}") ",\"statistics\":{\"type\":\"object\"}") ","
    "\"App\":" OBJECT("\"name\",\"version\"", "\"name\":" TEXT ",\"title\":" TEXT ",\"description\":" TEXT
        ",\"version\":" WHOLE ",\"deployed_at\":{\"type\":\"string\",\"format\":\"date-time\"},\"digest\":" TEXT
        ",\"commands\":" LIST("{\"type\":\"object\"}") ",\"events\":" LIST("{\"type\":\"object\"}")
        ",\"queries\":" LIST("{\"type\":\"object\"}") ",\"projections\":" LIST(REF("Projection"))
        ",\"deciders\":" LIST("{\"type\":\"object\"}") ",\"topics\":" LIST("{\"type\":\"object\"}") ",\"statistics\":{\"type\":\"object\"}") ","
    "\"NewDeployment\":" CLOSED("\"files\"", "\"files\":{\"type\":\"object\",\"maxProperties\":256,"
        "\"additionalProperties\":{\"type\":\"string\",\"maxLength\":524288}},\"note\":{\"type\":\"string\","
        "\"maxLength\":4096},\"expected_version\":{\"type\":\"integer\",\"minimum\":1},\"dry_run\":{\"type\":"
        "\"boolean\",\"default\":false}") ","
    "\"AppFault\":" OBJECT("\"file\",\"line\",\"message\"", "\"file\":" TEXT ",\"line\":" WHOLE ",\"message\":" TEXT
        ",\"hint\":" TEXT ",\"warning\":{\"type\":\"boolean\"}") ","
    "\"Deployed\":" OBJECT("\"app\",\"version\",\"faults\"", "\"app\":" TEXT ",\"version\":" WHOLE
        ",\"changed\":{\"type\":\"boolean\"},\"faults\":" LIST(REF("AppFault"))) ","
    "\"Deployments\":" OBJECT("\"deployments\"", "\"deployments\":" LIST(OBJECT("\"version\",\"time\",\"current\"",
        "\"version\":" WHOLE ",\"time\":{\"type\":\"string\",\"format\":\"date-time\"},\"position\":" WHOLE
        ",\"by\":" TEXT ",\"note\":" TEXT ",\"digest\":" TEXT ",\"files\":" WHOLE ",\"rollback_of\":" WHOLE
        ",\"current\":{\"type\":\"boolean\"}"))) ","
    "\"DeploymentFiles\":" OBJECT("\"version\",\"files\"", "\"version\":" WHOLE
        ",\"files\":{\"type\":\"object\",\"additionalProperties\":{\"type\":\"string\"}}") ","
    "\"Rollback\":" CLOSED("\"version\"", "\"version\":{\"type\":\"integer\",\"minimum\":1},\"note\":{\"type\":"
        "\"string\",\"maxLength\":4096},\"expected_version\":{\"type\":\"integer\",\"minimum\":1},\"dry_run\":{\"type\":"
        "\"boolean\",\"default\":false}") ","
    "\"CommandResult\":" OBJECT("\"command_id\",\"stream\",\"events\",\"repeated\"", "\"command_id\":{\"type\":"
        "\"string\",\"format\":\"uuid\"},\"app\":" TEXT ",\"command\":" TEXT ",\"stream\":" TEXT ",\"revision\":" WHOLE
        ",\"position\":" WHOLE ",\"events\":" LIST(OBJECT("\"type\",\"position\"", "\"type\":" TEXT
        ",\"position\":" WHOLE)) ",\"repeated\":{\"type\":\"boolean\"}") ","
    "\"Rows\":" OBJECT("\"position\"", "\"rows\":" LIST("{\"type\":\"object\"}") ",\"row\":{\"type\":\"object\"},"
        "\"next\":{\"type\":[\"string\",\"null\"]},\"position\":{\"type\":[\"integer\",\"null\"]},\"stopped\":" LIST(TEXT)) ","
    "\"State\":" OBJECT("\"stream\",\"state\"", "\"stream\":" TEXT ",\"revision\":" WHOLE ",\"state\":{}") ","
    "\"Projection\":" OBJECT("\"name\",\"state\"", "\"name\":" TEXT ",\"state\":" TEXT) ","
    "\"Projections\":" OBJECT("\"projections\"", "\"projections\":" LIST(REF("Projection"))) ","
    "\"ReplayRequest\":" CLOSED("", "\"projection\":" TEXT ",\"aggregates\":{\"type\":\"boolean\"},\"decisions\":{\"type\":"
        "\"boolean\"},\"from\":" WHOLE ",\"parallel\":{\"type\":\"integer\",\"minimum\":1,\"maximum\":64},"
        "\"on_error\":{\"type\":\"string\",\"enum\":[\"stop\",\"skip\",\"park\",\"dead_letter\"]}") ","
    "\"Expected\":{\"oneOf\":[{\"type\":\"string\",\"enum\":[\"any\",\"none\",\"exists\"]}," WHOLE "],"
    "\"default\":\"any\"},"
    "\"NewEvent\":" CLOSED("\"type\"", NEW_EVENT_MEMBERS) ","
    "\"NewEvents\":{\"oneOf\":[" REF("NewEvent") ",{\"type\":\"array\",\"minItems\":1,\"items\":" REF("NewEvent") "}]},"
    "\"Event\":" OBJECT(EVENT_REQUIRED, EVENT_MEMBERS) ","
    "\"Page\":" OBJECT("\"events\",\"next\",\"end\"",
        "\"events\":" LIST(REF("Event")) ","
        "\"next\":{\"type\":[\"integer\",\"null\"],\"description\":\"`from` of the next page; null when "
        "reading backward has reached the beginning.\"},"
        "\"end\":{\"type\":\"boolean\",\"description\":\"Nothing more now in this direction.\"},"
        "\"exists\":{\"type\":\"boolean\",\"description\":\"Of a stream: it has a readable event.\"}") ","
    "\"Appended\":" OBJECT("\"first_position\",\"last_position\",\"revision\"",
        "\"first_position\":" WHOLE ",\"last_position\":" WHOLE ","
        "\"revision\":{\"type\":\"integer\",\"minimum\":0,\"description\":\"The last revision of the (last) stream "
        "written.\"},\"repeated\":{\"type\":\"boolean\",\"const\":true}") ","
    "\"Query\":{\"type\":\"array\",\"maxItems\":64,\"description\":\"An event matches when it matches any item: its type is "
        "one of the types (or there are none) and it bears all of the tags.\",\"items\":"
        CLOSED("", "\"types\":" NAMES("64") ",\"tags\":" NAMES("64")) "},"
    "\"AppendRequest\":" CLOSED("\"writes\"",
        "\"writes\":{\"type\":\"array\",\"minItems\":1,\"items\":" CLOSED("\"stream\",\"events\"",
            "\"stream\":" NAME ",\"expected\":" REF("Expected") ",\"events\":" REF("NewEvents")) "},"
        "\"conditions\":{\"type\":\"array\",\"maxItems\":256,\"items\":" CLOSED("\"query\"",
            "\"query\":" REF("Query") ",\"after\":{\"type\":\"integer\",\"minimum\":-1,\"default\":-1,\"description\":"
            "\"Holds when no matching event has a position greater than this.\"}") "}") ","
    "\"CloudEvent\":" OBJECT("\"specversion\",\"id\",\"source\",\"type\"",
        "\"specversion\":{\"type\":\"string\",\"const\":\"1.0\"},\"id\":" TEXT ",\"source\":" TEXT ",\"type\":" NAME ","
        "\"time\":{\"type\":\"string\",\"format\":\"date-time\"},\"datacontenttype\":" TEXT ",\"data\":{},"
        "\"data_base64\":{\"type\":\"string\",\"contentEncoding\":\"base64\"}") ","
    "\"CloudEventBatch\":" LIST(REF("CloudEvent")) ","
    "\"StreamPage\":" OBJECT("\"streams\",\"next\",\"end\"",
        "\"streams\":" LIST(OBJECT("\"stream\",\"first_position\"", "\"stream\":" TEXT ",\"first_position\":" WHOLE)) ","
        "\"next\":{\"type\":[\"string\",\"null\"],\"description\":\"`after` of the next page.\"},\"end\":{\"type\":\"boolean\"}") ","
    "\"Stream\":" OBJECT("\"stream\",\"exists\",\"tombstoned\",\"last_revision\"",
        "\"stream\":" TEXT ",\"exists\":{\"type\":\"boolean\"},\"tombstoned\":{\"type\":\"boolean\"},"
        "\"first_revision\":" WHOLE ",\"last_revision\":{\"type\":\"integer\",\"minimum\":-1},"
        "\"last_position\":" WHOLE ",\"retention\":" REF("Retention")) ","
    "\"Retention\":" CLOSED("",
        "\"max_count\":{\"type\":[\"integer\",\"null\"],\"minimum\":0,\"description\":\"Keep the newest so many.\"},"
        "\"max_age\":{\"type\":[\"string\",\"null\"],\"description\":\"Keep what is younger: 500ms, 30s, 15m, 2h, 7d.\"},"
        "\"truncate_before\":{\"type\":[\"integer\",\"null\"],\"minimum\":0,\"description\":\"Revisions below are gone.\"}") ","
    "\"SubscriptionConfig\":" CLOSED("", GROUP_MEMBERS) ","
    "\"Subscription\":" OBJECT("\"name\"", "\"name\":" TEXT "," GROUP_MEMBERS ","
        "\"checkpoint\":" WHOLE ",\"end\":" WHOLE ",\"lag\":" WHOLE ",\"outstanding\":" WHOLE ",\"retrying\":" WHOLE ","
        "\"parked\":" WHOLE ",\"dead_letters\":" WHOLE ",\"dead_letter_topic\":" TEXT ",\"acked_total\":" WHOLE ",\"last_activity\":{\"type\":[\"string\",\"null\"]}") ","
    "\"SubscriptionList\":" OBJECT("\"subscriptions\"", "\"subscriptions\":" LIST(REF("Subscription"))) ","
    "\"Deliveries\":" OBJECT("\"events\"", "\"events\":" LIST(OBJECT(EVENT_REQUIRED ",\"delivery\"",
        EVENT_MEMBERS ",\"delivery\":{\"type\":\"integer\",\"minimum\":1}"))) ","
    "\"ParkedList\":" OBJECT("\"events\"", "\"events\":" LIST(OBJECT(EVENT_REQUIRED ",\"deliveries\",\"reason\"",
        EVENT_MEMBERS ",\"deliveries\":" WHOLE ",\"reason\":" TEXT))) ","
    "\"Positions\":" CLOSED("\"positions\"", "\"positions\":" POSITIONS) ","
    "\"Refusal\":" CLOSED("\"positions\"", "\"positions\":" POSITIONS
        ",\"park\":{\"type\":\"boolean\",\"default\":false},\"reason\":" TEXT) ","
    "\"Acknowledged\":" ONE_WHOLE("acknowledged") ","
    "\"Refused\":" ONE_WHOLE("refused") ","
    "\"Replayed\":" ONE_WHOLE("replayed") ","
    "\"TopicPage\":" OBJECT("\"topics\",\"next\",\"end\"", "\"topics\":" LIST(OBJECT("\"topic\",\"partitions\",\"records\"",
        TOPIC_MEMBERS ",\"records\":" WHOLE ",\"config\":{\"type\":\"object\",\"additionalProperties\":{\"type\":\"string\"}}")) ","
        NAME_NEXT) ","
    "\"Topic\":" OBJECT("\"topic\",\"partitions\",\"config\",\"offsets\"", TOPIC_MEMBERS ",\"revision\":" WHOLE
        ",\"config\":{\"type\":\"object\",\"additionalProperties\":" OBJECT("\"value\",\"default\"", "\"value\":" TEXT
        ",\"default\":{\"type\":\"boolean\"},\"type\":" TEXT ",\"doc\":" TEXT) "},\"offsets\":"
        LIST(OBJECT("\"partition\",\"start\",\"end\",\"last_time\"", "\"partition\":" WHOLE ",\"start\":" WHOLE ",\"end\":" WHOLE
        ",\"last_time\":" TIME_OR_NULL))) ","
    "\"TopicConfig\":{\"type\":\"object\",\"maxProperties\":64,\"additionalProperties\":{\"type\":[\"string\",\"number\",\"boolean\"]}},"
    "\"TopicDefinition\":" CLOSED("", "\"partitions\":" PARTITIONS ",\"category\":{\"type\":\"string\",\"maxLength\":512},\"config\":"
        REF("TopicConfig")) ","
    "\"TopicChange\":" CLOSED("", "\"partitions\":" PARTITIONS ",\"config\":{\"type\":\"object\",\"maxProperties\":64,"
        "\"additionalProperties\":{\"type\":[\"string\",\"number\",\"boolean\",\"null\"]}}") ","
    "\"DeadReplay\":" CLOSED("", "\"partition\":" WHOLE ",\"from\":" WHOLE ",\"to\":" WHOLE ",\"consumer\":" TEXT
        ",\"dry_run\":{\"type\":\"boolean\",\"default\":false},\"limit\":{\"type\":\"integer\",\"minimum\":1,\"maximum\":10000,"
        "\"default\":1000},\"next\":{\"description\":\"What the answer before said.\",\"oneOf\":[{\"type\":\"null\"}," REF("DeadNext") "]}") ","
    "\"DeadNext\":" CLOSED("\"partition\",\"offset\",\"until\"", "\"partition\":" WHOLE ",\"offset\":" WHOLE ",\"until\":" WHOLE) ","
    "\"DeadReplayed\":" OBJECT("\"topic\",\"dry_run\",\"replayed\",\"next\"", "\"topic\":" TEXT ",\"dry_run\":{\"type\":\"boolean\"},"
        "\"looked_at\":" WHOLE ",\"replayed\":" WHOLE ",\"appended\":" WHOLE ",\"before\":" WHOLE ",\"failed\":" WHOLE
        ",\"waiting\":" WHOLE ",\"no_consumer\":" WHOLE ",\"no_origin\":" WHOLE ",\"gone\":" WHOLE ",\"failures\":" LIST(OBJECT(
        "\"partition\",\"offset\",\"error\"", "\"partition\":" WHOLE ",\"offset\":" WHOLE ",\"consumer\":" TEXT ",\"error\":" TEXT))
        ",\"next\":{\"oneOf\":[{\"type\":\"null\"}," REF("DeadNext") "]}") ","
    "\"RecordPage\":" OBJECT("\"records\",\"next\",\"end\",\"start_offset\",\"end_offset\"", "\"records\":"
        LIST(OBJECT(EVENT_REQUIRED ",\"partition\",\"offset\",\"timestamp\",\"headers\",\"tombstone\"", EVENT_MEMBERS
        ",\"partition\":" WHOLE ",\"offset\":" WHOLE ",\"timestamp\":" TIME_OR_NULL ",\"key\":{\"type\":[\"string\",\"null\"]},"
        "\"key_base64\":{\"type\":\"string\",\"contentEncoding\":\"base64\",\"description\":\"Instead of key, of one that is no "
        "UTF-8.\"},\"tombstone\":{\"type\":\"boolean\",\"description\":\"The value is null.\"},\"headers\":"
        LIST(OBJECT("\"name\"", "\"name\":" TEXT ",\"value\":{\"type\":[\"string\",\"null\"]},\"value_base64\":{\"type\":"
        "\"string\",\"contentEncoding\":\"base64\"}")))) ",\"next\":{\"type\":\"integer\",\"description\":\"`from` of the next "
        "page.\"},\"end\":{\"type\":\"boolean\"},\"start_offset\":" WHOLE ",\"end_offset\":" WHOLE) ","
    "\"GroupPage\":" OBJECT("\"groups\",\"next\",\"end\"", "\"groups\":" LIST(OBJECT("\"group\",\"state\"", KGROUP_MEMBERS)) ","
        NAME_NEXT) ","
    "\"Group\":" OBJECT("\"group\",\"state\",\"members\",\"offsets\"", KGROUP_MEMBERS ",\"generation\":{\"type\":\"integer\"},"
        "\"epoch\":{\"type\":\"integer\"},\"members\":" LIST(OBJECT("\"member_id\",\"client_id\",\"client_host\"", "\"member_id\":"
        TEXT ",\"instance_id\":" TEXT ",\"client_id\":" TEXT ",\"client_host\":" TEXT ",\"epoch\":{\"type\":\"integer\"},"
        "\"topics\":" LIST(TEXT) ",\"assignment\":" LIST(OBJECT("\"topic\",\"partitions\"", "\"topic\":" TEXT ",\"partitions\":"
        LIST(WHOLE))) ",\"assignment_bytes\":" WHOLE)) ",\"offsets\":" LIST(OBJECT("\"topic\",\"partition\",\"offset\",\"lag\"",
        "\"topic\":" TEXT ",\"partition\":" WHOLE ",\"offset\":" WHOLE_OR_NULL ",\"start\":" WHOLE_OR_NULL ",\"end\":" WHOLE_OR_NULL
        ",\"lag\":" WHOLE_OR_NULL ",\"commit_time\":" TIME_OR_NULL ",\"member_id\":{\"type\":[\"string\",\"null\"]},\"metadata\":"
        TEXT))) ","
    "\"OffsetReset\":" CLOSED("\"topic\",\"to\"", "\"topic\":" NAME ",\"partitions\":{\"type\":\"array\",\"minItems\":1,"
        "\"maxItems\":10000,\"items\":" WHOLE "},\"to\":{\"oneOf\":[{\"type\":\"string\",\"enum\":[\"earliest\",\"latest\"]},"
        CLOSED("\"time\"", "\"time\":{\"type\":\"string\",\"format\":\"date-time\"}") "," CLOSED("\"offset\"", "\"offset\":" WHOLE)
        "," CLOSED("\"by\"", "\"by\":{\"type\":\"integer\"}") "," CLOSED("\"position\"", "\"position\":" WHOLE) "]},\"dry_run\":{\"type\":\"boolean\",\"default\":false}") ","
    "\"OffsetsReset\":" OBJECT("\"group\",\"topic\",\"dry_run\",\"offsets\"", "\"group\":" TEXT ",\"topic\":" TEXT
        ",\"dry_run\":{\"type\":\"boolean\"},\"offsets\":" LIST(OBJECT("\"partition\",\"from\",\"to\"", "\"partition\":" WHOLE
        ",\"from\":" WHOLE_OR_NULL ",\"to\":" WHOLE ",\"start\":" WHOLE ",\"end\":" WHOLE ",\"lag\":" WHOLE))) ","
    "\"RelayDefinition\":" CLOSED("\"direction\",\"source\",\"client\"", RELAY_MEMBERS) ","
    "\"Relay\":" OBJECT("\"relay\",\"direction\",\"source\",\"target\",\"state\"", "\"relay\":" TEXT "," RELAY_MEMBERS
        ",\"state\":{\"type\":\"string\",\"enum\":[\"running\",\"waiting\",\"paused\",\"stopped\"]},\"detail\":" TEXT
        ",\"records_total\":" WHOLE ",\"lag\":" WHOLE ",\"last_time\":" TIME_OR_NULL) ","
    "\"RelayList\":" OBJECT("\"relays\"", "\"relays\":" LIST(REF("Relay"))) ","
    "\"Stats\":" OBJECT("\"version\",\"store\",\"server\"",
        "\"version\":" TEXT ",\"store\":{\"type\":\"object\"},\"server\":{\"type\":\"object\"}") ","
    "\"Health\":" OBJECT("\"status\"", "\"status\":" TEXT) ","
    "\"Index\":" OBJECT("\"name\",\"version\",\"links\"",
        "\"name\":" TEXT ",\"version\":" TEXT ",\"links\":{\"type\":\"object\"}") ","
    "\"JobLine\":{\"type\":\"object\",\"description\":\"One of its members.\",\"properties\":{"
        "\"progress\":" OBJECT("\"done\",\"total\",\"unit\"", "\"done\":" WHOLE ",\"total\":" WHOLE ",\"unit\":" TEXT) ","
        "\"fault\":" OBJECT("\"file\",\"offset\",\"what\"", "\"file\":" TEXT ",\"offset\":" WHOLE ",\"what\":" TEXT) ","
        "\"report\":{\"type\":\"object\"},\"problem\":" REF("Problem") "}},"
    "\"Proof\":{\"type\":\"object\"},"
    "\"Problem\":" OBJECT("\"type\",\"title\",\"status\"",
        "\"type\":{\"type\":\"string\",\"format\":\"uri\",\"description\":\"urn:cairn:problem:NAME, stable\"},"
        "\"title\":" TEXT ",\"status\":{\"type\":\"integer\"},\"detail\":" TEXT ",\"hint\":" TEXT ","
        "\"revision\":{\"type\":\"integer\",\"minimum\":-1,\"description\":\"conflict: where the stream is, -1 when it has no "
        "events\"},\"position\":{\"type\":\"integer\",\"minimum\":0,\"description\":\"condition: the first event that "
        "matched\"},\"kafka_error\":{\"type\":\"string\",\"description\":\"topics and groups: Kafka's name of the error\"}")
    "}";
