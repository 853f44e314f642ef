/* proto/http/registry_int.h: one request to the registry, on a pool thread.
 *
 * Files: registry_door.c takes requests and finds their route, registry_args.c reads what they say, registry_read.c and
 * registry_write.c answer. */
#ifndef PROTO_HTTP_REGISTRY_INT_H
#define PROTO_HTTP_REGISTRY_INT_H

#include <proto/http/registry.h>

#include <base/error.h>
#include <base/json.h>
#include <base/text.h>
#include <schema/registry.h>

#define PARTS_MAX 12

struct door_call {
    struct schema_registry *registry;
    struct http_exchange *x;
    struct arena arena;
    cairn_str method, query, body, context; /* context: "" or ":.name:" from a path that begins with /contexts */
    cairn_str parts[PARTS_MAX];             /* decoded; those that the route leaves open are in `open` */
    size_t part_count;
    cairn_str open[3];
    struct buf out;
    int status, code; /* code 0: `out` is the answer; else an error with error.detail */
    cairn_error error;
};

typedef void (*door_answer)(struct door_call *call);

/* Refuse: status is the code's first three digits. */
__attribute__((format(printf, 3, 4))) void door_refuse(struct door_call *call, int code, const char *format, ...);
/* With what a registry's call said; refusal 0: by the error. */
void door_refuse_error(struct door_call *call, cairn_err err, enum schema_refusal refusal);

/* A parameter of the query, decoded; `index` counts those of one name. False: not there. */
bool door_query(struct door_call *call, const char *name, size_t index, cairn_str *ret);
bool door_query_true(struct door_call *call, const char *name);
uint64_t door_query_number(struct door_call *call, const char *name, uint64_t otherwise);

/* The subject in an open part, in its context; false: refused. */
bool door_subject_arg(struct door_call *call, cairn_str part, cairn_str *ret);
/* The subject in the path, or nobody (empty): the settings of all. False: refused. */
bool door_setting_arg(struct door_call *call, cairn_str *ret);
/* A version: 0 stands for "latest". False: refused. */
bool door_version_arg(struct door_call *call, cairn_str part, uint32_t *ret);
bool door_id_arg(struct door_call *call, cairn_str part, uint32_t *ret);
/* The body of a registration, a look-up, a question. */
bool door_request_arg(struct door_call *call, cairn_str subject, struct schema_request *ret);
bool door_body_arg(struct door_call *call, struct json *ret);
enum schema_view door_view_arg(struct door_call *call);

/* The version that was asked for; false: refused. */
bool door_find_version(struct door_call *call, cairn_str subject, uint32_t version, enum schema_view view,
                           struct schema_version *ret);
/* {"subject","version","id","guid","schemaType","schema",…} in the format that the query asks for. */
void door_put_version(struct door_call *call, const struct schema_version *version, bool whole);

void door_root(struct door_call *call);
void door_contexts(struct door_call *call);
void door_types(struct door_call *call);
void door_schemas(struct door_call *call);
void door_id(struct door_call *call);
void door_id_schema(struct door_call *call);
void door_id_subjects(struct door_call *call);
void door_id_versions(struct door_call *call);
void door_guid(struct door_call *call);
void door_guid_ids(struct door_call *call);
void door_subjects(struct door_call *call);
void door_subject_versions(struct door_call *call);
void door_subject_version(struct door_call *call);
void door_subject_schema(struct door_call *call);
void door_subject_referrers(struct door_call *call);
void door_subject_metadata(struct door_call *call);
void door_lookup(struct door_call *call);
void door_register(struct door_call *call);
void door_delete_subject(struct door_call *call);
void door_delete_version(struct door_call *call);
void door_compatible(struct door_call *call);
void door_config_get(struct door_call *call);
void door_config_put(struct door_call *call);
void door_config_delete(struct door_call *call);
void door_mode_get(struct door_call *call);
void door_mode_put(struct door_call *call);
void door_mode_delete(struct door_call *call);
#endif
