/* proto/http/api_kafka.h: what the calls about topics, groups and relays share. */
#ifndef PROTO_HTTP_API_KAFKA_H
#define PROTO_HTTP_API_KAFKA_H

#include <proto/http/api_int.h>
#include <proto/http/api_parse.h>
#include <topic/groups.h>

/* CAIRN_E_UNSUPPORTED where this server has none. */
CAIRN_MUST_CHECK cairn_err api_broker(struct api_call *call, struct broker **ret, cairn_error *error);
CAIRN_MUST_CHECK cairn_err api_kgroups(struct api_call *call, struct groups_broker **ret, cairn_error *error);

/* Kafka's error as a problem: its name as the member kafka_error, `why` (or the error's own sentence) as the detail. The code to
 * return; CAIRN_OK for KAFKA_NONE. */
CAIRN_MUST_CHECK cairn_err api_kafka_problem(struct api_call *call, enum kafka_err err, const char *why, cairn_error *error);

/* The topic of that name, to be released. */
CAIRN_MUST_CHECK cairn_err api_topic_find(struct api_call *call, cairn_str name, cairn_topic_ref **ret, cairn_error *error);
/* The partition that a text names. */
CAIRN_MUST_CHECK cairn_err api_partition_find(struct api_call *call, const cairn_topic *topic, cairn_str text, uint32_t *ret,
                                              cairn_error *error);

/* `,"name":"text"`, or `,"name_base64":"…"` of what is no UTF-8, or null where it is absent. */
void api_put_bytes(struct buf *to, const char *name, const cairn_str *bytes);
/* A time in ms as RFC 3339, or null for one that there is not (below 0, or beyond what has a date). */
void api_put_ms(struct buf *to, const char *name, int64_t ms);

/* The lag of a group in each topic that it has offsets in: records behind its offsets. */
typedef void (*kgroup_lag_visit)(void *context, cairn_str topic, uint64_t lag);
CAIRN_MUST_CHECK cairn_err api_kgroup_lags(struct api_call *call, cairn_str group, kgroup_lag_visit visit, void *context,
                                           cairn_error *error);

/* ---- names in pages ---------------------------------------------------------------------------------------------------------- */

/* Gathers names, gives them in order, a page at a time: after, prefix and limit are the call's. */
struct name_page {
    struct arena *arena;
    cairn_str after, prefix;
    struct named {
        cairn_str name;
        void *about;
    } *items;
    size_t count, capacity, limit;
    bool more, failed;
};
struct name_page name_page_of(struct api_call *call);
/* Does the name belong to this page, as far as is known? */
bool name_page_wants(const struct name_page *page, cairn_str name);
/* Copies the name. False: no memory. */
bool name_page_add(struct name_page *page, cairn_str name, void *about);
/* No more will be added: sort, cut. */
void name_page_close(struct name_page *page);
/* `],"next":…,"end":…}` */
void name_page_end(const struct name_page *page, struct buf *to);
void name_page_free(struct name_page *page);

/* ---- bodies (api_parse_topics.c) ------------------------------------------------------------------------------------------------ */

struct topic_body {
    bool has_partitions, has_config;
    uint32_t partitions;
    cairn_str category;
    const struct broker_pair *config;
    size_t config_count;
};
/* patch: no category; a setting that is null goes back to its default. */
CAIRN_MUST_CHECK cairn_err parse_topic(struct parse *parse, cairn_str body, bool patch, struct topic_body *ret);

/* POST …/replay; the body may be empty. */
CAIRN_MUST_CHECK cairn_err parse_replay(struct parse *parse, cairn_str body, cairn_dead_request *ret);

struct reset_body {
    cairn_str topic;
    const uint32_t *partitions; /* count 0: all */
    size_t partition_count;
    enum { TO_EARLIEST, TO_LATEST, TO_TIME, TO_OFFSET, TO_BY, TO_POSITION } to;
    int64_t number;             /* ms, offset, how far, or position */
    bool dry_run;
};
CAIRN_MUST_CHECK cairn_err parse_reset(struct parse *parse, cairn_str body, struct reset_body *ret);

struct relay_body {
    bool has_direction, out;
    cairn_str source, target;
    struct json client;
    bool transactions, paused, has_paused;
};
CAIRN_MUST_CHECK cairn_err parse_relay(struct parse *parse, cairn_str body, struct relay_body *ret);

/* ---- what consumers tell each other (api_assignment.c) -------------------------------------------------------------------------- */

struct assigned {
    cairn_str topic;
    const int32_t *partitions;
    size_t count;
};
/* Protocol "consumer" of the classic groups: an assignment, or the topics of a subscription. In the arena; false: it is none, or there is no
 * memory. */
bool assignment_read(cairn_str bytes, struct arena *arena, struct assigned **ret, size_t *ret_count);
bool subscription_read(cairn_str bytes, struct arena *arena, cairn_str **ret_topics, size_t *ret_count);

#endif
