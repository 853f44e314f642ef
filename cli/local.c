/* A target in a folder: the library in this process. See target.h.
 *
 * Reading opens the folder without a lock, so it also works on a copy that cannot be written and beside a
 * running server; writing takes the folder's lock. Clones share the store; the last one closes it. */
#include <base/error.h>
#include <base/json.h>
#include <base/text.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "out.h"
#include "target.h"

struct shared {
    cairn_store *store;
    atomic_uint users;
    char where[];
};

struct local {
    struct target target;
    struct shared *shared;
};

static const struct target_ops local_ops;

static cairn_store *
store_of(struct target *target)
{
    return ((struct local *)target)->shared->store;
}

static cairn_err
make(struct shared *shared, struct target **ret, cairn_error *error)
{
    struct local *local = calloc(1, sizeof *local);
    if (!local)
        return error_set(error, CAIRN_E_NOMEM, "out of memory");
    local->target.ops = &local_ops;
    local->target.where = shared->where;
    local->shared = shared;
    atomic_fetch_add(&shared->users, 1);
    *ret = &local->target;
    return CAIRN_OK;
}

cairn_err
local_open(const char *folder, enum target_access access, struct target **ret, cairn_error *error)
{
    size_t size = strlen(folder) + 1;
    struct shared *shared = calloc(1, sizeof *shared + size);
    if (!shared)
        return error_set(error, CAIRN_E_NOMEM, "out of memory");
    memcpy(shared->where, folder, size);
    cairn_options options = {.read_only = access == TARGET_READ, .create = access == TARGET_CREATE};
    cairn_err err = cairn_open(folder, &options, &shared->store, error);
    if (err == CAIRN_OK) {
        err = make(shared, ret, error);
        if (err != CAIRN_OK)
            cairn_close(shared->store);
    }
    if (err != CAIRN_OK)
        free(shared);
    return err;
}

static void
local_close(struct target *target)
{
    struct local *local = (struct local *)target;
    if (atomic_fetch_sub(&local->shared->users, 1) == 1) {
        cairn_close(local->shared->store);
        free(local->shared);
    }
    free(local);
}

static cairn_err
local_clone(struct target *target, struct target **ret, cairn_error *error)
{
    return make(((struct local *)target)->shared, ret, error);
}

static cairn_err
local_append(struct target *target, const cairn_append_request *request, cairn_at *ret_at, cairn_error *error)
{
    return cairn_append_all(store_of(target), request, ret_at, error);
}

/* ---- reading ---------------------------------------------------------------------------------------- */

/* What a request comes down to: a reader, and what its events are checked against besides. */
struct plan {
    cairn_reader *reader;
    const struct read_request *request;
    int64_t low;      /* positions below are not wanted */
    bool nothing;     /* the bounds leave nothing */
};

/* The first position at or after a time, or (after_it) the first that is later than it. */
static cairn_err
position_of_time(cairn_store *store, cairn_str text, const char *what, bool after_it, uint64_t *ret,
                 cairn_error *error)
{
    int64_t time_us;
    if (!parse_time(text, &time_us))
        return error_set(error, CAIRN_E_INVALID, "%s: \"%.*s\" is no RFC 3339 time such as 2026-01-31T18:00:00Z",
                         what, (int)text.size, text.data);
    return cairn_position_at(store, after_it ? time_us : time_us - 1, ret, error);
}

bool
parse_as_of(cairn_str text, bool *ret_is_time, int64_t *ret_value)
{
    uint64_t position;
    *ret_is_time = false;
    if (parse_u64(text, &position) && position <= INT64_MAX) {
        *ret_value = (int64_t)position;
        return true;
    }
    *ret_is_time = true;
    return parse_time(text, ret_value);
}

static cairn_err
end_of_moment(cairn_store *store, cairn_str text, uint64_t *ret_end, cairn_error *error)
{
    bool is_time;
    int64_t value;
    if (!parse_as_of(text, &is_time, &value))
        return error_set(error, CAIRN_E_INVALID, "\"%.*s\" is neither a position nor an RFC 3339 time",
                         (int)text.size, text.data);
    if (is_time)
        return cairn_position_at(store, value, ret_end, error);
    *ret_end = (uint64_t)value;
    return CAIRN_OK;
}

static cairn_err
bounds(cairn_store *store, struct plan *plan, cairn_read_options *options, cairn_error *error)
{
    const struct read_request *request = plan->request;
    uint64_t low = 0, end = UINT64_MAX, bound;
    cairn_err err = CAIRN_OK;
    if (request->as_of.size)
        err = end_of_moment(store, request->as_of, &end, error);
    if (err == CAIRN_OK && request->until.size) {
        err = position_of_time(store, request->until, "until", false, &bound, error);
        end = err == CAIRN_OK && bound < end ? bound : end;
    }
    if (err == CAIRN_OK && request->since.size)
        err = position_of_time(store, request->since, "since", false, &low, error);
    if (err != CAIRN_OK)
        return err;
    plan->low = low > INT64_MAX ? INT64_MAX : (int64_t)low;
    plan->nothing = end == 0;
    options->end = end == UINT64_MAX ? 0 : end;
    if (request->stream.size == 0 && !request->backward && options->from < plan->low)
        options->from = plan->low;
    return CAIRN_OK;
}

static cairn_err
plan_open(cairn_store *store, const struct read_request *request, bool follow, struct plan *plan,
          cairn_error *error)
{
    cairn_query_item item = {.types = request->types, .type_count = request->type_count,
                             .tags = request->tags, .tag_count = request->tag_count};
    cairn_read_options options = {
        .from = request->from_given ? request->from : request->backward ? CAIRN_FROM_END : CAIRN_FROM_START,
        .direction = request->backward ? CAIRN_BACKWARD : CAIRN_FORWARD,
        .system = request->system,
        .follow = follow,
    };
    *plan = (struct plan){.request = request};
    cairn_err err = bounds(store, plan, &options, error);
    if (err != CAIRN_OK || plan->nothing)
        return err;
    if (request->stream.size)
        return cairn_read_stream(store, request->stream, &options, &plan->reader, error);
    options.category = request->category;
    if (request->type_count || request->tag_count)
        options.query = (cairn_query){.items = &item, .item_count = 1};
    return cairn_read_all(store, &options, &plan->reader, error);
}

static bool
has_name(const cairn_str *names, size_t count, cairn_str name)
{
    for (size_t i = 0; i < count; i++)
        if (cairn_str_equal(names[i], name))
            return true;
    return false;
}

/* A stream's events are filtered here: the store does it for the whole log only. */
bool
request_matches(const struct read_request *request, const cairn_event *event)
{
    if (request->type_count && !has_name(request->types, request->type_count, event->type))
        return false;
    for (size_t i = 0; i < request->tag_count; i++)
        if (!has_name(event->tags, event->tag_count, request->tags[i]))
            return false;
    return true;
}

static cairn_err
drain(struct plan *plan, uint64_t *left, event_visit visit, void *context, cairn_error *error)
{
    const struct read_request *request = plan->request;
    cairn_recorded event;
    cairn_err err;
    while ((err = cairn_reader_next(plan->reader, &event, error)) == CAIRN_OK) {
        if (interrupted)
            return error_set(error, CLI_E_INTERRUPTED, "interrupted");
        if ((int64_t)event.position < plan->low) {
            if (request->backward)
                return CAIRN_OK;
            continue;
        }
        if (request->stream.size && !request_matches(request, &event.event))
            continue;
        if (!visit(context, &event))
            return CAIRN_OK;
        if (*left && --*left == 0)
            return CAIRN_OK;
    }
    return err;
}

static cairn_err
local_read(struct target *target, const struct read_request *request, event_visit visit, void *context,
           cairn_error *error)
{
    struct plan plan;
    cairn_err err = plan_open(store_of(target), request, false, &plan, error);
    if (err != CAIRN_OK || plan.nothing)
        return err;
    uint64_t left = request->limit;
    err = drain(&plan, &left, visit, context, error);
    cairn_reader_free(plan.reader);
    return err == CAIRN_E_END ? CAIRN_OK : err;
}

static cairn_err
local_follow(struct target *target, const struct read_request *request, event_visit visit, void *context,
             cairn_error *error)
{
    struct plan plan;
    cairn_err err = plan_open(store_of(target), request, true, &plan, error);
    if (err != CAIRN_OK || plan.nothing)
        return err;
    uint64_t left = request->limit;
    while ((err = drain(&plan, &left, visit, context, error)) == CAIRN_E_END && !interrupted) {
        err = cairn_reader_wait(plan.reader, 200);
        if (err != CAIRN_OK && err != CAIRN_E_TIMEOUT) {
            err = error_set(error, err, "waiting for events failed");
            break;
        }
    }
    cairn_reader_free(plan.reader);
    return err == CAIRN_E_END || (int)err == (int)CLI_E_INTERRUPTED ? CAIRN_OK : err;
}

static cairn_err
local_head(struct target *target, cairn_str stream, struct stream_head *ret, cairn_error *error)
{
    cairn_stream_info info;
    cairn_err err = cairn_stream_info_get(store_of(target), 0, stream, &info, error);
    if (err != CAIRN_OK)
        return err;
    *ret = (struct stream_head){.last_revision = info.last_revision};
    if (!info.exists)
        return CAIRN_OK;
    cairn_read_options options = {.from = CAIRN_FROM_END, .direction = CAIRN_BACKWARD};
    cairn_reader *reader = NULL;
    cairn_recorded event;
    err = cairn_read_stream(store_of(target), stream, &options, &reader, error);
    if (err != CAIRN_OK)
        return err;
    err = cairn_reader_next(reader, &event, error);
    if (err == CAIRN_OK)
        *ret = (struct stream_head){(int64_t)event.revision, event.event.id, event.position, event.time_us, true};
    cairn_reader_free(reader);
    return err == CAIRN_E_END ? CAIRN_OK : err;
}

/* ---- streams ------------------------------------------------------------------------------------------ */

struct listing {
    stream_visit visit;
    void *context;
    uint64_t left;
};

static bool
list_one(void *context, cairn_str stream, uint64_t first_position)
{
    struct listing *listing = context;
    if (interrupted || !listing->visit(listing->context, stream, first_position))
        return false;
    return listing->left == 0 || --listing->left > 0;
}

static cairn_err
local_streams(struct target *target, cairn_str prefix, cairn_str after, uint64_t limit, stream_visit visit,
              void *context, cairn_error *error)
{
    struct listing listing = {visit, context, limit};
    return cairn_streams(store_of(target), 0, prefix, after, list_one, &listing, error);
}

static cairn_err
local_stream_info(struct target *target, cairn_str stream, cairn_stream_info *ret, cairn_error *error)
{
    return cairn_stream_info_get(store_of(target), 0, stream, ret, error);
}

static cairn_err
local_stats(struct target *target, struct buf *to, cairn_error *error __attribute__((unused)))
{
    cairn_stats stats = {0};
    cairn_stats_get(store_of(target), &stats);
    buf_printf(to, "{\"version\":\"%s\",\"store\":{", cairn_version());
    json_put_name(to, "log_id");
    json_put_uuid(to, stats.log_id);
    json_put_u64_member(to, "events", stats.events);
    json_put_u64_member(to, "streams", stats.streams);
    if (stats.events) {
        json_put_name(to, "first_time");
        json_put_time(to, stats.first_time_us);
        json_put_name(to, "last_time");
        json_put_time(to, stats.last_time_us);
    }
    json_put_u64_member(to, "log_bytes", stats.log_bytes);
    json_put_u64_member(to, "index_bytes", stats.index_bytes);
    json_put_u64_member(to, "segments", stats.segments);
    json_put_u64_member(to, "index_runs", stats.index_runs);
    json_put_u64_member(to, "index_memory_entries", stats.index_memory_entries);
    json_put_u64_member(to, "memory_bytes", stats.memory_bytes);
    json_put_u64_member(to, "recovered_events", stats.recovered_events);
    json_put_u64_member(to, "discarded_bytes", stats.discarded_bytes);
    json_put_u64_member(to, "index_faults", stats.index_faults);
    json_put_name(to, "failed");
    buf_put_str(to, cairn_cstr(stats.failed ? "true" : "false"));
    json_put_name(to, "disk_full");
    buf_put_str(to, cairn_cstr(stats.disk_full ? "true" : "false"));
    buf_put_str(to, CAIRN_STR("}}"));
    return CAIRN_OK;
}

static cairn_err
local_retention_set(struct target *target, cairn_str stream, const cairn_retention *retention,
                    cairn_error *error)
{
    return cairn_retention_set(store_of(target), 0, stream, retention, error);
}

static cairn_err
local_delete(struct target *target, cairn_str stream, int64_t expected, bool tombstone, cairn_error *error)
{
    return cairn_delete(store_of(target), 0, stream, expected, tombstone, error);
}

static cairn_err
local_snapshot_get(struct target *target, cairn_str stream, uint64_t *ret_revision, struct buf *content_type,
                   struct buf *to, cairn_error *error)
{
    cairn_snapshot snapshot;
    void *memory = NULL;
    cairn_err err = cairn_snapshot_get(store_of(target), 0, stream, &snapshot, &memory, error);
    if (err != CAIRN_OK)
        return err;
    *ret_revision = snapshot.revision;
    buf_put_str(content_type, snapshot.content_type);
    buf_put_str(to, snapshot.data);
    cairn_free(memory);
    return to->failed ? error_set(error, CAIRN_E_NOMEM, "out of memory") : CAIRN_OK;
}

static cairn_err
local_snapshot_put(struct target *target, cairn_str stream, const cairn_snapshot *snapshot, cairn_error *error)
{
    return cairn_snapshot_put(store_of(target), 0, stream, snapshot, error);
}

/* ---- care ----------------------------------------------------------------------------------------------- */

static cairn_err
local_verify(struct target *target, cairn_fault_visit visit, cairn_progress progress, void *context,
             cairn_verify_report *ret, cairn_error *error)
{
    return cairn_verify(store_of(target), visit, progress, context, ret, error);
}

static cairn_err
local_backup(struct target *target, const char *folder, cairn_progress progress, void *context,
             uint64_t *ret_end, cairn_error *error)
{
    return cairn_backup(store_of(target), folder, progress, context, ret_end, error);
}

static cairn_err
local_branch(struct target *target, const char *folder, cairn_str at, cairn_error *error)
{
    uint64_t end = UINT64_MAX;
    cairn_err err = at.size ? end_of_moment(store_of(target), at, &end, error) : CAIRN_OK;
    return err == CAIRN_OK ? cairn_branch(store_of(target), folder, end, error) : err;
}

static cairn_err
local_scavenge(struct target *target, cairn_progress progress, void *context, cairn_scavenge_report *ret,
               cairn_error *error)
{
    return cairn_scavenge(store_of(target), progress, context, ret, error);
}

static cairn_err
local_reindex(struct target *target, cairn_progress progress, void *context, cairn_error *error)
{
    return cairn_reindex(store_of(target), progress, context, error);
}

/* ---- consumer groups --------------------------------------------------------------------------------------- */

static cairn_err
local_group_put(struct target *target, cairn_str name, const cairn_group_config *config, cairn_error *error)
{
    return cairn_group_put(store_of(target), 0, name, config, error);
}

static cairn_err
local_group_delete(struct target *target, cairn_str name, cairn_error *error)
{
    return cairn_group_delete(store_of(target), 0, name, error);
}

static void
put_group(void *context, const cairn_group_status *status)
{
    struct buf *to = context;
    json_put_comma(to);
    buf_put_char(to, '{');
    json_put_text_member(to, "name", status->name);
    if (status->config.stream.size) {
        json_put_text_member(to, "stream", status->config.stream);
    }
    if (status->config.category.size) {
        json_put_text_member(to, "category", status->config.category);
    }
    json_put_u64_member(to, "checkpoint", status->checkpoint);
    json_put_u64_member(to, "end", status->end);
    json_put_u64_member(to, "outstanding", status->outstanding);
    json_put_u64_member(to, "retrying", status->retrying);
    json_put_u64_member(to, "parked", status->parked);
    json_put_u64_member(to, "dead_letters", status->dead_letters);
    json_put_u64_member(to, "acked_total", status->acked_total);
    buf_put_char(to, '}');
}

static cairn_err
local_group_status(struct target *target, cairn_str name, struct buf *to, cairn_error *error)
{
    if (name.size == 0)
        buf_put_char(to, '[');
    cairn_err err = cairn_group_status_get(store_of(target), 0, name, put_group, to, error);
    if (name.size == 0)
        buf_put_char(to, ']');
    return err;
}

struct deliver {
    delivery_visit visit;
    void *context;
};

static void
deliver_taken(void *context, const cairn_recorded *event, uint32_t delivery)
{
    const struct deliver *deliver = context;
    deliver->visit(deliver->context, event, delivery, (cairn_str){0});
}

static void
deliver_parked(void *context, const cairn_recorded *event, uint32_t deliveries, cairn_str reason)
{
    const struct deliver *deliver = context;
    deliver->visit(deliver->context, event, deliveries, reason);
}

static cairn_err
local_group_take(struct target *target, cairn_str name, size_t limit, delivery_visit visit, void *context,
                 cairn_error *error)
{
    struct deliver deliver = {visit, context};
    cairn_err err = cairn_group_take(store_of(target), 0, name, limit, deliver_taken, &deliver, error);
    return err == CAIRN_E_END ? CAIRN_OK : err;
}

static cairn_err
local_group_ack(struct target *target, cairn_str name, const uint64_t *positions, size_t count,
                size_t *ret_count, cairn_error *error)
{
    return cairn_group_ack(store_of(target), 0, name, positions, count, ret_count, error);
}

static cairn_err
local_group_nack(struct target *target, cairn_str name, const uint64_t *positions, size_t count, bool park,
                 cairn_str reason, size_t *ret_count, cairn_error *error)
{
    return cairn_group_nack(store_of(target), 0, name, positions, count, park, reason, ret_count, error);
}

static cairn_err
local_group_parked(struct target *target, cairn_str name, size_t limit, delivery_visit visit, void *context,
                   cairn_error *error)
{
    struct deliver deliver = {visit, context};
    cairn_err err = cairn_group_parked(store_of(target), 0, name, limit, deliver_parked, &deliver, error);
    return err == CAIRN_E_END ? CAIRN_OK : err;
}

static cairn_err
local_group_replay(struct target *target, cairn_str name, size_t *ret_count, cairn_error *error)
{
    return cairn_group_replay_parked(store_of(target), 0, name, ret_count, error);
}

static const struct target_ops local_ops = {
    .close = local_close,
    .clone = local_clone,
    .append = local_append,
    .read = local_read,
    .follow = local_follow,
    .head = local_head,
    .streams = local_streams,
    .stats = local_stats,
    .stream_info = local_stream_info,
    .retention_set = local_retention_set,
    .delete = local_delete,
    .snapshot_get = local_snapshot_get,
    .snapshot_put = local_snapshot_put,
    .verify = local_verify,
    .backup = local_backup,
    .branch = local_branch,
    .scavenge = local_scavenge,
    .reindex = local_reindex,
    .group_put = local_group_put,
    .group_delete = local_group_delete,
    .group_status = local_group_status,
    .group_take = local_group_take,
    .group_ack = local_group_ack,
    .group_nack = local_group_nack,
    .group_parked = local_group_parked,
    .group_replay = local_group_replay,
};
