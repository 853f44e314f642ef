/* cli/target.h: what a command works on: a server over the wire, or a folder through the library.
 *
 * Each command is written once against this interface; wire.c and local.c implement it. The words
 * and promises are those of include/cairn/.
 *
 * Threads: a target belongs to one thread. target_clone() makes another one on the same store for
 * another thread. */
#ifndef CLI_TARGET_H
#define CLI_TARGET_H

#include <base/bytes.h>
#include <cairn/cairn.h>

#include "exit_codes.h"

/* What to read. Zero everything, then set what matters. */
struct read_request {
    cairn_str stream;      /* empty: all events */
    bool from_given;
    int64_t from;          /* revision of a stream, position of all; inclusive */
    bool backward;
    uint64_t limit;        /* 0: no limit */
    cairn_str as_of;       /* RFC 3339 time or position; empty: now */
    cairn_str category;
    const cairn_str *types, *tags;
    size_t type_count, tag_count;
    cairn_str since, until; /* RFC 3339; since inclusive, until exclusive */
    bool system;
};

/* An event is borrowed until the visit returns. False: stop reading. */
typedef bool (*event_visit)(void *context, const cairn_recorded *event);
/* `reason` is empty except for parked events; delivery is 0 for those that no group hands out. */
typedef bool (*delivery_visit)(void *context, const cairn_recorded *event, uint32_t delivery,
                               cairn_str reason);
typedef bool (*stream_visit)(void *context, cairn_str stream, uint64_t first_position);

struct stream_head {
    int64_t last_revision; /* -1: nothing there */
    cairn_uuid last_id;
    uint64_t last_position;
    int64_t last_time_us;
    bool readable;         /* last_id is known */
};

struct target;
struct target_ops {
    void (*close)(struct target *target);
    cairn_err (*clone)(struct target *target, struct target **ret, cairn_error *error);

    cairn_err (*append)(struct target *target, const cairn_append_request *request,
                        cairn_at *ret_at, cairn_error *error);
    cairn_err (*read)(struct target *target, const struct read_request *request, event_visit visit,
                      void *context, cairn_error *error);
    /* Catch up, then wait for more until the visit answers false or Ctrl-C. */
    cairn_err (*follow)(struct target *target, const struct read_request *request,
                        event_visit visit, void *context, cairn_error *error);
    cairn_err (*head)(struct target *target, cairn_str stream, struct stream_head *ret,
                      cairn_error *error);
    cairn_err (*streams)(struct target *target, cairn_str prefix, cairn_str after, uint64_t limit,
                         stream_visit visit, void *context, cairn_error *error);
    cairn_err (*stream_info)(struct target *target, cairn_str stream, cairn_stream_info *ret,
                             cairn_error *error);
    /* A JSON object with the members "version", "store" and (of a server) "server", appended to `to`. */
    cairn_err (*stats)(struct target *target, struct buf *to, cairn_error *error);

    cairn_err (*retention_set)(struct target *target, cairn_str stream,
                               const cairn_retention *retention, cairn_error *error);
    cairn_err (*delete)(struct target *target, cairn_str stream, int64_t expected, bool tombstone,
                        cairn_error *error);
    /* The state is appended to `to`. */
    cairn_err (*snapshot_get)(struct target *target, cairn_str stream, uint64_t *ret_revision,
                              struct buf *content_type, struct buf *to, cairn_error *error);
    cairn_err (*snapshot_put)(struct target *target, cairn_str stream,
                              const cairn_snapshot *snapshot, cairn_error *error);

    cairn_err (*verify)(struct target *target, cairn_fault_visit visit, cairn_progress progress,
                        void *context, cairn_verify_report *ret, cairn_error *error);
    cairn_err (*backup)(struct target *target, const char *folder, cairn_progress progress,
                        void *context, uint64_t *ret_end, cairn_error *error);
    cairn_err (*branch)(struct target *target, const char *folder, cairn_str at,
                        cairn_error *error);
    cairn_err (*scavenge)(struct target *target, cairn_progress progress, void *context,
                          cairn_scavenge_report *ret, cairn_error *error);
    cairn_err (*reindex)(struct target *target, cairn_progress progress, void *context,
                         cairn_error *error);

    cairn_err (*group_put)(struct target *target, cairn_str name, const cairn_group_config *config,
                           cairn_error *error);
    cairn_err (*group_delete)(struct target *target, cairn_str name, cairn_error *error);
    /* One JSON object, or with an empty name an array of them, appended to `to`. */
    cairn_err (*group_status)(struct target *target, cairn_str name, struct buf *to,
                              cairn_error *error);
    cairn_err (*group_take)(struct target *target, cairn_str name, size_t limit,
                            delivery_visit visit, void *context, cairn_error *error);
    cairn_err (*group_ack)(struct target *target, cairn_str name, const uint64_t *positions,
                           size_t count, size_t *ret_count, cairn_error *error);
    cairn_err (*group_nack)(struct target *target, cairn_str name, const uint64_t *positions,
                            size_t count, bool park, cairn_str reason, size_t *ret_count,
                            cairn_error *error);
    cairn_err (*group_parked)(struct target *target, cairn_str name, size_t limit,
                              delivery_visit visit, void *context, cairn_error *error);
    cairn_err (*group_replay)(struct target *target, cairn_str name, size_t *ret_count,
                              cairn_error *error);
};

struct target {
    const struct target_ops *ops;
    const char *where; /* URL or folder, for what people read */
};

enum target_access { TARGET_READ, TARGET_WRITE, TARGET_CREATE };

struct args;
/* The target that --data or --url (CAIRN_URL, http://127.0.0.1:7480) names. 0, or an exit code
 * after having said what is wrong. `access` matters for folders: reading takes no lock. */
int target_open(const struct args *args, enum target_access access, struct target **ret);
/* Does the command line name a folder (--data), not a server? */
bool target_is_folder(const struct args *args);
static inline void
target_close(struct target *target)
{
    if (target)
        target->ops->close(target);
}

CAIRN_MUST_CHECK cairn_err local_open(const char *folder, enum target_access access,
                                      struct target **ret, cairn_error *error);

struct wire_options {
    const char *url;
    const char *cacert;
    bool insecure;
    bool http2; /* from the first byte; over TLS it is agreed on anyway */
    bool verbose;
};
CAIRN_MUST_CHECK cairn_err wire_open(const struct wire_options *options, struct target **ret,
                                     cairn_error *error);

/* "any", "none", "exists" or a revision. */
bool parse_expected(cairn_str text, int64_t *ret);
/* A stream's events are filtered by type and tag on this side: the store does it for all events only. */
bool request_matches(const struct read_request *request, const cairn_event *event);
/* An RFC 3339 time (µs) or a position. False when it is neither. */
bool parse_as_of(cairn_str text, bool *ret_is_time, int64_t *ret_value);

#endif
