/* `cairn migrate --rollback`, `--status`: take a batch back, or say how far it is. See migrate.h.
 *
 * Events are never removed one by one; a batch's streams are its own, so deleting these takes it back whole. That it has
 * begun is said first and that it is done last, so that an interrupted rollback goes on when it is run again: streams
 * that are deleted are no longer found. */
#include <base/error.h>
#include <base/hash.h>
#include <base/text.h>
#include <pthread.h>
#include <stdlib.h>

#include "migrate.h"

#define LISTED_MAX 20
#define DELETERS 15

/* A stream of the batch. */
struct owned {
    cairn_str name; /* data NULL: an empty slot */
    uint64_t hash, first, last, count;
};

struct batch_streams {
    struct owned *slots;
    size_t slot_count, count;
    struct arena names;
    bool failed;
};

static struct owned *
slot_of(const struct batch_streams *streams, cairn_str name, uint64_t hash)
{
    size_t at = hash & (streams->slot_count - 1);
    while (streams->slots[at].name.data &&
           (streams->slots[at].hash != hash || !cairn_str_equal(streams->slots[at].name, name)))
        at = (at + 1) & (streams->slot_count - 1);
    return &streams->slots[at];
}

static bool
grow(struct batch_streams *streams)
{
    struct batch_streams larger = {.slot_count = streams->slot_count ? streams->slot_count * 2 : 1024};
    larger.slots = calloc(larger.slot_count, sizeof *larger.slots);
    if (!larger.slots)
        return false;
    for (size_t i = 0; i < streams->slot_count; i++)
        if (streams->slots[i].name.data)
            *slot_of(&larger, streams->slots[i].name, streams->slots[i].hash) = streams->slots[i];
    free(streams->slots);
    streams->slots = larger.slots;
    streams->slot_count = larger.slot_count;
    return true;
}

static bool
keep_stream(void *context, const cairn_recorded *event)
{
    struct batch_streams *streams = context;
    uint64_t hash = hash64(event->stream.data, event->stream.size, 0);
    streams->failed = streams->count * 2 >= streams->slot_count && !grow(streams);
    if (streams->failed)
        return false;
    struct owned *owned = slot_of(streams, event->stream, hash);
    if (!owned->name.data) {
        *owned = (struct owned){arena_copy(&streams->names, event->stream), hash, event->revision, 0, 0};
        streams->failed = owned->name.data == NULL;
        streams->count++;
    }
    owned->last = event->revision;
    owned->count++;
    return !streams->failed && !interrupted;
}

static cairn_err
find_streams(struct target *target, cairn_str batch, struct batch_streams *ret, cairn_error *error)
{
    char tag[96];
    snprintf(tag, sizeof tag, "migration:%.*s", (int)batch.size, batch.data);
    cairn_str tags[] = {cairn_cstr(tag)};
    struct read_request request = {.tags = tags, .tag_count = 1};
    cairn_err err = target->ops->read(target, &request, keep_stream, ret, error);
    if (interrupted)
        return error_set(error, CLI_E_INTERRUPTED, "interrupted");
    return ret->failed ? error_set(error, CAIRN_E_NOMEM, "out of memory for %zu streams", ret->count) : err;
}

/* How many streams somebody else has written to; the first of them are listed in `to`. */
static cairn_err
find_foreign(struct target *target, const struct batch_streams *streams, struct buf *to, size_t *ret_count,
             cairn_error *error)
{
    struct progress progress;
    uint64_t done = 0;
    cairn_err err = CAIRN_OK;
    *ret_count = 0;
    progress_begin(&progress, "looking at streams");
    for (size_t i = 0; i < streams->slot_count && err == CAIRN_OK && !interrupted; i++) {
        const struct owned *owned = &streams->slots[i];
        struct stream_head head;
        if (!owned->name.data)
            continue;
        err = target->ops->head(target, owned->name, &head, error);
        bool between = owned->last - owned->first + 1 != owned->count;
        if (err == CAIRN_OK && (between || head.last_revision != (int64_t)owned->last)) {
            if (++*ret_count <= LISTED_MAX) {
                buf_put_str(to, CAIRN_STR("  "));
                put_printable(to, owned->name, 200);
                buf_put_char(to, '\n');
            }
        }
        progress_update(&progress, ++done, streams->count, "streams");
    }
    progress_end(&progress);
    return interrupted ? error_set(error, CLI_E_INTERRUPTED, "interrupted") : err;
}

/* Streams are deleted by several threads, each with a target of its own, because each deletion waits for the disk and the
 * store makes many durable at once. `lock` guards everything but `streams`, `force` and `progress` (the main thread's). */
struct deleting {
    const struct batch_streams *streams;
    bool force;
    struct progress progress;
    pthread_mutex_t lock;
    size_t next; /* slot */
    uint64_t deleted;
    cairn_err err;
    cairn_error error;
};

struct deleter {
    struct deleting *deleting;
    struct target *target;
    pthread_t thread;
};

/* The next stream to delete; NULL when there is none, or one has failed. Under lock. */
static const struct owned *
next_stream(struct deleting *deleting)
{
    const struct batch_streams *streams = deleting->streams;
    while (deleting->next < streams->slot_count && !streams->slots[deleting->next].name.data)
        deleting->next++;
    if (deleting->next >= streams->slot_count || deleting->err != CAIRN_OK || interrupted)
        return NULL;
    return &streams->slots[deleting->next++];
}

/* Without --force each only where it still ends with the batch's last event. */
static void
delete_some(struct deleting *deleting, struct target *target, struct progress *progress)
{
    const struct owned *owned;
    pthread_mutex_lock(&deleting->lock);
    while ((owned = next_stream(deleting))) {
        cairn_error error = {0};
        uint64_t deleted = deleting->deleted;
        pthread_mutex_unlock(&deleting->lock);
        cairn_err err = target->ops->delete(target, owned->name, deleting->force ? CAIRN_ANY : (int64_t)owned->last, false,
                                            &error);
        if (progress)
            progress_update(progress, deleted, deleting->streams->count, "streams");
        pthread_mutex_lock(&deleting->lock);
        deleting->deleted += err == CAIRN_OK;
        if (err != CAIRN_OK && deleting->err == CAIRN_OK) {
            deleting->err = err;
            deleting->error = error;
        }
    }
    pthread_mutex_unlock(&deleting->lock);
}

static void *
delete_thread(void *context)
{
    struct deleter *deleter = context;
    delete_some(deleter->deleting, deleter->target, NULL);
    return NULL;
}

static cairn_err
delete_streams(struct target *target, const struct batch_streams *streams, bool force, uint64_t *ret_deleted,
               cairn_error *error)
{
    struct deleting deleting = {.streams = streams, .force = force};
    struct deleter deleters[DELETERS];
    size_t count = 0;
    pthread_mutex_init(&deleting.lock, NULL);
    progress_begin(&deleting.progress, "deleting streams");
    /* fewer threads than wished for only make it slower */
    for (; count < DELETERS && count < streams->count / 16; count++) {
        deleters[count].deleting = &deleting;
        if (target->ops->clone(target, &deleters[count].target, NULL) != CAIRN_OK)
            break;
        if (pthread_create(&deleters[count].thread, NULL, delete_thread, &deleters[count]) != 0) {
            target_close(deleters[count].target);
            break;
        }
    }
    delete_some(&deleting, target, &deleting.progress);
    for (size_t i = 0; i < count; i++) {
        pthread_join(deleters[i].thread, NULL);
        target_close(deleters[i].target);
    }
    progress_end(&deleting.progress);
    pthread_mutex_destroy(&deleting.lock);
    *ret_deleted = deleting.deleted;
    if (deleting.err != CAIRN_OK && error)
        *error = deleting.error;
    return interrupted ? error_set(error, CLI_E_INTERRUPTED, "interrupted") : deleting.err;
}

static int
refuse_foreign(cairn_str batch, const struct buf *list, size_t count)
{
    char hint[200];
    snprintf(hint, sizeof hint, "--force deletes them with what others have written; `cairn read STREAM` shows it");
    int code = fail(EXIT_CONFLICT, "migrate", hint, "somebody else has written to %zu stream%s of %.*s since: nothing was deleted",
                    count, count == 1 ? "" : "s", (int)batch.size, batch.data);
    if (!out.json)
        fprintf(stderr, "%.*s%s", (int)list->size, list->data ? list->data : "", count > LISTED_MAX ? "  …\n" : "");
    return code;
}

static void
say_rolled_back(cairn_str batch, uint64_t streams, bool already)
{
    if (out.json) {
        struct buf line = {0};
        buf_put_str(&line, CAIRN_STR("{\"batch\":"));
        json_put_string(&line, batch);
        buf_printf(&line, ",\"rolled_back\":true,\"streams\":%llu}", (unsigned long long)streams);
        out_json_line(&line);
        buf_free(&line);
    } else if (already) {
        printf("%.*s has been rolled back already\n", (int)batch.size, batch.data);
    } else {
        printf("%.*s is rolled back: %llu stream%s deleted\n", (int)batch.size, batch.data, (unsigned long long)streams,
               streams == 1 ? "" : "s");
    }
}

static int
roll_back(const struct args *args, struct target *target, cairn_str batch, struct migration_state *state)
{
    struct batch_streams streams = {0};
    struct buf list = {0}, more = {0};
    cairn_error error = {0};
    size_t foreign = 0;
    uint64_t deleted = 0;
    bool force = arg_flag(args, "force");
    cairn_err err = find_streams(target, batch, &streams, &error);
    if (err == CAIRN_OK && !force)
        err = find_foreign(target, &streams, &list, &foreign, &error);
    if (err == CAIRN_OK && !foreign && state->phase != MIGRATION_ROLLING_BACK)
        err = migration_say(target, state, "MigrationRollbackStarted", batch, (cairn_str){0}, &error);
    if (err == CAIRN_OK && !foreign)
        err = delete_streams(target, &streams, force, &deleted, &error);
    if (err == CAIRN_OK && !foreign) {
        buf_printf(&more, ",\"streams\":%llu", (unsigned long long)deleted);
        err = migration_say(target, state, "MigrationRolledBack", batch, buf_str(&more), &error);
    }
    int code = 0;
    if (err == CAIRN_E_CONFLICT)
        code = fail_hint("migrate", &error, "somebody else writes at this moment: run it again, then it says which streams");
    else if (err != CAIRN_OK)
        code = fail_error("migrate", &error);
    else if (foreign)
        code = refuse_foreign(batch, &list, foreign);
    else
        say_rolled_back(batch, deleted, false);
    free(streams.slots);
    arena_free(&streams.names);
    buf_free(&list);
    buf_free(&more);
    return code;
}

/* The state of a batch that is there. */
static int
open_batch(const struct args *args, enum target_access access, cairn_str batch, struct target **ret_target,
           struct migration_state *ret)
{
    cairn_error error = {0};
    int code = target_open(args, access, ret_target);
    if (code)
        return code;
    cairn_err err = migration_load(*ret_target, batch, NULL, ret, &error);
    if (err == CAIRN_OK && ret->phase != MIGRATION_NONE)
        return 0;
    if (err == CAIRN_OK) {
        migration_state_free(ret);
        code = fail(EXIT_NOT_FOUND, "migrate", "`cairn streams --prefix migration-` lists them", "there is no batch %.*s",
                    (int)batch.size, batch.data);
    } else {
        code = fail_error("migrate", &error);
    }
    target_close(*ret_target);
    return code;
}

int
migrate_rollback(const struct args *args, cairn_str batch)
{
    static struct migration_state state;
    struct target *target;
    int code = open_batch(args, TARGET_WRITE, batch, &target, &state);
    if (code)
        return code;
    if (state.phase == MIGRATION_ROLLED_BACK)
        say_rolled_back(batch, 0, true);
    else
        code = roll_back(args, target, batch, &state);
    migration_state_free(&state);
    target_close(target);
    return code;
}

int
migrate_status(const struct args *args, cairn_str batch)
{
    static const char *const phases[] = {"none", "running or interrupted", "completed", "being rolled back", "rolled back"};
    static const char *const names[] = {"none", "running", "completed", "rolling_back", "rolled_back"};
    static struct migration_state state;
    char time[TIME_TEXT_SIZE];
    struct target *target;
    int code = open_batch(args, TARGET_READ, batch, &target, &state);
    if (code)
        return code;
    format_time(state.time_us, time);
    if (out.json) {
        struct buf line = {0};
        buf_put_str(&line, CAIRN_STR("{\"batch\":"));
        json_put_string(&line, batch);
        buf_printf(&line, ",\"phase\":\"%s\",\"run\":%llu,\"rows\":%llu,\"events\":%llu,\"skipped\":%llu,\"same\":%s,\"time\":\"%s\","
                   "\"key\":", names[state.phase], (unsigned long long)state.run, (unsigned long long)state.rows,
                   (unsigned long long)state.counted.events, (unsigned long long)state.skipped,
                   state.same ? "true" : "false", time);
        value_put_json(&line, &state.key);
        json_put_name(&line, "types");
        audit_put_types(&line, &state.counted);
        buf_put_char(&line, '}');
        out_json_line(&line);
        buf_free(&line);
    } else {
        printf("%.*s, run %llu: %s\n", (int)batch.size, batch.data, (unsigned long long)state.run, phases[state.phase]);
        printf("%llu rows, %llu events, last written at %s\n", (unsigned long long)state.rows,
               (unsigned long long)state.counted.events, time);
        if (state.phase == MIGRATION_COMPLETED)
            printf("source and events were %s\n", state.same ? "the same" : "different");
    }
    migration_state_free(&state);
    target_close(target);
    return 0;
}
