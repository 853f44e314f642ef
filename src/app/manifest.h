/* app/manifest.h: app.yaml and the files it names, read into one structure that never changes.
 *
 * Reading finds every fault it can, not only the first, up to APP_FAULTS_MAX. docs/apps.md is the user's page. A manifest never
 * changes; any number of threads may read it. */
#ifndef APP_MANIFEST_H
#define APP_MANIFEST_H

#include <app/sql/query.h>
#include <schema/compat.h>
#include <schema/json_schema.h>
#include <schema/upcast.h>
#include <topic/broker.h>

#define APP_FAULTS_MAX 200

struct app_snapshots {
    uint32_t every_events; /* (100) 0 with every_bytes 0: none */
    uint32_t every_bytes;  /* (0) of events since the last one */
};

/* Of `decider.query`: what a decision over several streams reads. Texts are templates: "course:{course_id}". */
struct app_query_item {
    const cairn_str *types;
    size_t type_count;
    const cairn_str *tags;
    size_t tag_count;
};

enum app_decider_kind { APP_DECIDER_LUA, APP_DECIDER_NATIVE, APP_DECIDER_WEBHOOK };
struct app_decider {
    cairn_str name;
    enum app_decider_kind kind;
    cairn_str source;  /* path of the Lua file, name of the native module, URL */
    uint64_t instructions_max;
    size_t memory_max;
    uint32_t timeout_ms, retries; /* webhook: (2,000), (2) */
    cairn_str secret;             /* webhook: the name of the server's environment variable that holds the HMAC key, or empty */
    struct app_snapshots snapshots;
    const struct app_query_item *items; /* a decision over several streams; count 0: the command's stream */
    size_t item_count;
};

/* A schema's text is whole: what it refers to in the app's other schema files is part of it, under "$defs". */
struct app_command {
    cairn_str name, description;
    cairn_str schema_text; /* JSON Schema */
    struct json_schema *schema;
    cairn_str stream;      /* template: "order-{order_id}", JSON pointers allowed in braces: {/customer/id} */
    cairn_str permission;
    uint32_t deadline_ms;  /* 0: the default */
    size_t decider;        /* index */
    cairn_str schema_path; /* or empty: inline */
    uint32_t line;         /* in app.yaml */
};

struct app_event {
    cairn_str type, description;
    cairn_str schema_text; /* or empty: anything */
    struct json_schema *schema;
    cairn_str schema_path;
    enum compat_level compat;
    const cairn_str *tags; /* templates put on every such event: "customer:{customer_id}" */
    size_t tag_count;
    struct upcast_chain *upcasts; /* or NULL */
    uint32_t upcast_to_max;       /* highest version that has a step */
    uint64_t upcast_digest;       /* of its steps and their scripts; 0 without */
    const uint32_t *upcast_to;    /* every version that has one */
    size_t upcast_to_count;
    uint32_t line;                /* in app.yaml */
};

/* A category of streams that Kafka's clients are to see as a topic. */
struct app_topic {
    cairn_str name;
    cairn_str category;      /* empty: by the name */
    uint32_t partitions;     /* 0: as many as there are, or one */
    const struct broker_pair *config; /* settings that are named; checked */
    size_t config_count;
    uint32_t line, category_line, partitions_line; /* in app.yaml */
};

/* What becomes of an event that a projection cannot apply. */
struct app_on_error {
    cairn_on_error what;
    uint32_t retries;   /* before it is a dead letter */
    int64_t backoff_us; /* the first */
};

struct app_manifest {
    cairn_str name, title, description;
    cairn_str digest; /* SHA-256 of all files, hex */
    const cairn_app_file *files; /* by path */
    size_t file_count;
    struct app_decider *deciders;
    size_t decider_count;
    struct app_command *commands;
    size_t command_count;
    struct app_event *events;
    size_t event_count;
    struct app_topic *topics;
    size_t topic_count;
    struct projection **projections;
    struct app_on_error *projection_on_error; /* beside projections */
    size_t projection_count;
    struct query **queries;
    size_t query_count;
    struct lua_upcast **lua_upcasts; /* what the chains' Lua steps call */
    size_t lua_upcast_count;
    struct arena arena; /* everything above */
};

/* `files` are copied. CAIRN_E_INVALID: faults were visited. */
CAIRN_MUST_CHECK cairn_err app_manifest_read(const cairn_app_file *files, size_t count,
                                             cairn_app_fault_visit visit, void *context,
                                             struct app_manifest **ret, cairn_error *error);
void app_manifest_free(struct app_manifest *manifest);

/* Against the versions deployed before (subject → texts, oldest first): compatibility, and that incompatible changes have
 * an upcaster. `earlier` gives a version's text; false past the newest. */
typedef bool (*app_earlier_schema)(void *context, cairn_str event_type, uint32_t version, cairn_str *ret_text);
CAIRN_MUST_CHECK cairn_err app_manifest_check_schemas(const struct app_manifest *manifest, app_earlier_schema earlier,
                                                      void *earlier_context, cairn_app_fault_visit visit, void *context,
                                                      cairn_error *error);

/* A template's members in turn: `at` begins at 0; ret_member is what stands in braces. False: there are no more, or (*at is
 * SIZE_MAX) the template is malformed. */
bool app_template_member(cairn_str template_text, size_t *at, cairn_str *ret_member);
/* Fill in a template from a command's data: "{name}" by member or JSON pointer; a value must be a string without control
 * characters or a whole number, and not empty. CAIRN_E_INVALID names the member. */
CAIRN_MUST_CHECK cairn_err app_template_fill(cairn_str template_text, struct json data, struct buf *to,
                                             cairn_error *error);

/* The decider of a stream by its name: of the commands whose template could have been filled in to give it, the one with the
 * most text before its first brace. False: none writes there. Decisions over several streams have no stream. */
bool app_stream_decider(const struct app_manifest *manifest, cairn_str stream, size_t *ret);

/* The app's OpenAPI 3.1 document; /v1/apps/{app}/… paths. */
void app_openapi(const struct app_manifest *manifest, uint32_t version, struct buf *to);
#endif
