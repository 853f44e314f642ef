/* Offsets: written by asynchronous appends, read from the newest event of their streams.
 *
 * What was read is kept in memory, bounded, the longest unused going first. An entry bears the position of its event, and
 * counts only while that is the stream's last one: which the store's memory knows. So whoever writes to these streams (a
 * transaction's commit does) needs to tell nobody.
 *
 * A group's first commit since this program began also writes its name to `$offset-<group>`. Which groups have been written is
 * remembered in a set that deletions take from: `deletions` tells a commit that was under way meanwhile not to enter its own.
 *
 * Threads: any; commits are completed on the store's commit thread. */
#include <topic/groups_int.h>
#include <topic/used.h>

#include <assert.h>
#include <base/error.h>
#include <base/json.h>
#include <stdlib.h>

#define CACHE_BYTES_MAX (32u << 20)
#define APPEND_EVENTS_MAX 1024
#define APPEND_BYTES_MAX (4u << 20)
#define STREAM_ROOM 544
#define ANNOUNCED_MAX 100000

struct entry {
    struct link by_stream;
    struct entry *newer, *older; /* by last use */
    uint64_t position;
    int64_t offset, commit_time_ms, expire_time_ms;
    int32_t leader_epoch;
    size_t stream_size, metadata_size;
    char text[]; /* the stream's name, the metadata */
};

struct announced {
    struct link by_name;
    char name[];
};

struct offsets {
    pthread_mutex_t lock;
    pthread_cond_t idle;
    size_t under_way;
    struct names cache;
    struct entry *newest, *oldest;
    size_t bytes;
    struct names announced;
    uint64_t deletions;
};

struct offsets *
offsets_new(void)
{
    struct offsets *offsets = calloc(1, sizeof *offsets);
    if (offsets == NULL)
        return NULL;
    pthread_mutex_init(&offsets->lock, NULL);
    pthread_cond_init(&offsets->idle, NULL);
    return offsets;
}

/* No answer of the disk may end a client that could go on: of all calls about offsets this one is "try again" (the Java client's
 * OffsetFetch knows no other). */
static enum kafka_err
coordinator_err(cairn_err err)
{
    return err == CAIRN_OK ? KAFKA_NONE : KAFKA_NOT_COORDINATOR;
}

/* What the log will never take is no use to try again. */
static enum kafka_err
commit_err(cairn_err err)
{
    return err == CAIRN_E_LIMIT || err == CAIRN_E_INVALID ? KAFKA_INVALID_COMMIT_OFFSET_SIZE : coordinator_err(err);
}

/* ---- the cache ------------------------------------------------------------------------------------------------------------------ */

static size_t
entry_bytes(const struct entry *entry)
{
    return sizeof *entry + entry->stream_size + entry->metadata_size + 32;
}

static void
remove_entry(struct offsets *offsets, struct entry *entry)
{
    USED_REMOVE(offsets, entry);
    names_remove(&offsets->cache, &entry->by_stream);
    offsets->bytes -= entry_bytes(entry);
    free(entry);
}

/* False: not there, or not that event's. */
static bool
cache_get(struct offsets *offsets, cairn_str stream, uint64_t position, struct arena *arena, struct offset_commit *ret)
{
    pthread_mutex_lock(&offsets->lock);
    struct link *link = names_get(&offsets->cache, stream);
    struct entry *entry = link ? OWNER_OF(link, struct entry, by_stream) : NULL;
    bool found = entry != NULL && entry->position == position;
    if (found) {
        USED_REMOVE(offsets, entry);
        USED_NOW(offsets, entry);
        ret->offset = entry->offset;
        ret->leader_epoch = entry->leader_epoch;
        ret->commit_time_ms = entry->commit_time_ms;
        ret->expire_time_ms = entry->expire_time_ms;
        ret->metadata = arena_copy(arena, (cairn_str){entry->text + entry->stream_size, entry->metadata_size});
        found = ret->metadata.data != NULL; /* without memory the read that follows will say so */
    }
    pthread_mutex_unlock(&offsets->lock);
    return found;
}

static void
cache_put(struct offsets *offsets, cairn_str stream, uint64_t position, const struct offset_commit *commit)
{
    struct entry *entry = malloc(sizeof *entry + stream.size + commit->metadata.size);
    if (entry == NULL)
        return;
    *entry = (struct entry){.position = position, .offset = commit->offset, .leader_epoch = commit->leader_epoch,
                            .commit_time_ms = commit->commit_time_ms, .expire_time_ms = commit->expire_time_ms,
                            .stream_size = stream.size, .metadata_size = commit->metadata.size};
    memcpy(entry->text, stream.data, stream.size);
    if (commit->metadata.size > 0)
        memcpy(entry->text + stream.size, commit->metadata.data, commit->metadata.size);
    pthread_mutex_lock(&offsets->lock);
    struct link *link = names_get(&offsets->cache, stream);
    if (link != NULL)
        remove_entry(offsets, OWNER_OF(link, struct entry, by_stream));
    names_put(&offsets->cache, &entry->by_stream, (cairn_str){entry->text, stream.size});
    USED_NOW(offsets, entry);
    offsets->bytes += entry_bytes(entry);
    while (offsets->bytes > CACHE_BYTES_MAX && offsets->oldest != entry)
        remove_entry(offsets, offsets->oldest);
    pthread_mutex_unlock(&offsets->lock);
}

/* ---- which groups are written down ------------------------------------------------------------------------------------------------ */

static bool
is_announced(struct offsets *offsets, cairn_str group, uint64_t *ret_deletions)
{
    pthread_mutex_lock(&offsets->lock);
    bool found = names_get(&offsets->announced, group) != NULL;
    *ret_deletions = offsets->deletions;
    pthread_mutex_unlock(&offsets->lock);
    return found;
}

static void
enter_announced(struct offsets *offsets, struct announced *announced, size_t size, uint64_t deletions)
{
    pthread_mutex_lock(&offsets->lock);
    bool enter = offsets->deletions == deletions && offsets->announced.count < ANNOUNCED_MAX
                 && names_get(&offsets->announced, (cairn_str){announced->name, size}) == NULL;
    if (enter)
        names_put(&offsets->announced, &announced->by_name, (cairn_str){announced->name, size});
    pthread_mutex_unlock(&offsets->lock);
    if (!enter)
        free(announced);
}

static void
take_announced(struct offsets *offsets, cairn_str group)
{
    pthread_mutex_lock(&offsets->lock);
    offsets->deletions++;
    struct link *link = names_get(&offsets->announced, group);
    if (link != NULL) {
        names_remove(&offsets->announced, link);
        free(OWNER_OF(link, struct announced, by_name));
    }
    pthread_mutex_unlock(&offsets->lock);
}

void
offsets_free(struct offsets *offsets)
{
    if (offsets == NULL)
        return;
    pthread_mutex_lock(&offsets->lock);
    while (offsets->under_way > 0)
        pthread_cond_wait(&offsets->idle, &offsets->lock);
    pthread_mutex_unlock(&offsets->lock);
    while (offsets->oldest != NULL)
        remove_entry(offsets, offsets->oldest);
    struct link **bucket = offsets->announced.buckets ? offsets->announced.buckets : offsets->announced.first;
    for (size_t i = offsets->announced.buckets ? offsets->announced.mask + 1 : 2; i-- > 0;) {
        for (struct link *link = bucket[i], *next; link != NULL; link = next) {
            next = link->next;
            free(OWNER_OF(link, struct announced, by_name));
        }
    }
    names_free(&offsets->cache);
    names_free(&offsets->announced);
    pthread_mutex_destroy(&offsets->lock);
    pthread_cond_destroy(&offsets->idle);
    free(offsets);
}

/* ---- writing ---------------------------------------------------------------------------------------------------------------------- */

enum purpose { COMMIT, ANNOUNCE, COMMIT_LAST /* a deletion, after which the group has none */ };

/* One call's commits on their way to the disk, in one append or several. */
struct committing {
    struct groups_broker *groups;
    offsets_done done;
    void *context;
    struct arena arena;
    enum kafka_err *errs;
    atomic_size_t appends; /* not over yet, and one for the caller */
    struct announced *announced;
    size_t announced_size;
    uint64_t deletions;
    const int64_t *expected; /* revisions; NULL: CAIRN_ANY. Borrowed until the last append has begun */
};

struct append {
    struct committing *committing;
    size_t first, end; /* of errs */
};

static void
leave(struct offsets *offsets)
{
    pthread_mutex_lock(&offsets->lock);
    if (--offsets->under_way == 0)
        pthread_cond_broadcast(&offsets->idle);
    pthread_mutex_unlock(&offsets->lock);
}

static void
append_over(struct committing *committing)
{
    if (atomic_fetch_sub(&committing->appends, 1) > 1)
        return;
    struct offsets *offsets = committing->groups->offsets;
    if (committing->announced != NULL)
        enter_announced(offsets, committing->announced, committing->announced_size, committing->deletions);
    committing->done(committing->context, KAFKA_NONE, committing->errs);
    arena_free(&committing->arena);
    free(committing);
    leave(offsets);
}

static void
fail_range(const struct append *append, cairn_err err)
{
    for (size_t i = append->first; i < append->end; i++)
        if (append->committing->errs[i] == KAFKA_NONE)
            append->committing->errs[i] = commit_err(err);
    if (append->first == 0) { /* the name went with the first append */
        free(append->committing->announced);
        append->committing->announced = NULL;
    }
}

static void
on_appended(void *context, cairn_err err, const cairn_at *at, const cairn_error *error)
{
    (void)at;
    (void)error;
    struct append *append = context;
    if (err != CAIRN_OK)
        fail_range(append, err);
    append_over(append->committing);
}

/* The name of the group, as a write of its own where the log may not have it. */
static bool
add_announcement(struct committing *committing, cairn_str group, enum purpose purpose, cairn_write *ret, bool *ret_added)
{
    bool deleted = purpose == COMMIT_LAST;
    *ret_added = false;
    if (!deleted && is_announced(committing->groups->offsets, group, &committing->deletions))
        return true;
    char *name = arena_alloc(&committing->arena, STREAM_ROOM);
    cairn_event *event = arena_zalloc(&committing->arena, sizeof *event);
    if (name == NULL || event == NULL)
        return false;
    struct buf text = {0};
    buf_put_char(&text, '{');
    json_put_text_member(&text, "group", group);
    if (deleted)
        json_put_bool_member(&text, "deleted", true);
    buf_put_char(&text, '}');
    *event = (cairn_event){.type = CAIRN_STR("$offset-group")};
    if (!text.failed)
        event->data = arena_copy(&committing->arena, buf_str(&text));
    buf_free(&text);
    *ret = (cairn_write){offsets_group_stream(group, name), CAIRN_ANY, event, 1};
    if (event->data.data == NULL || ret->stream.size == 0)
        return false;
    if (!deleted) {
        committing->announced = malloc(sizeof *committing->announced + group.size);
        if (committing->announced == NULL)
            return false;
        memcpy(committing->announced->name, group.data, group.size);
        committing->announced_size = group.size;
    }
    *ret_added = true;
    return true;
}

/* One write of one event; false without memory. A commit that may not be is answered in its place and writes nothing. */
static bool
add_commit(struct committing *committing, cairn_str group, const struct offset_commit *commit, int64_t expected, cairn_write *ret,
           enum kafka_err *ret_err)
{
    if (commit->metadata.size > committing->groups->options.metadata_max) {
        *ret_err = KAFKA_OFFSET_METADATA_TOO_LARGE;
        return true;
    }
    char name[STREAM_ROOM];
    cairn_str stream = groups_offset_stream(group, commit->topic, commit->partition, name);
    if (stream.size == 0) {
        *ret_err = commit->topic.size > 249 ? KAFKA_INVALID_TOPIC_EXCEPTION : KAFKA_INVALID_GROUP_ID;
        return true;
    }
    struct buf text = {0};
    cairn_event *event = arena_zalloc(&committing->arena, sizeof *event);
    bool made = event != NULL && groups_offset_event(commit, &text, event);
    if (made)
        event->data = arena_copy(&committing->arena, event->data);
    buf_free(&text);
    *ret = (cairn_write){arena_copy(&committing->arena, stream), expected, event, 1};
    return made && event->data.data != NULL && ret->stream.data != NULL;
}

/* As many as one append takes, from *at on. */
static cairn_err
send_some(struct committing *committing, cairn_str group, const struct offset_commit *commits, size_t count,
          enum purpose purpose, size_t *at)
{
    struct append *append = arena_zalloc(&committing->arena, sizeof *append);
    cairn_write *writes = arena_alloc(&committing->arena, (APPEND_EVENTS_MAX + 1) * sizeof *writes);
    size_t write_count = 0, bytes = 0;
    bool added = false;
    if (append == NULL || writes == NULL)
        return CAIRN_E_NOMEM;
    *append = (struct append){committing, *at, *at};
    if (*at == 0 && !add_announcement(committing, group, purpose, &writes[0], &added))
        return CAIRN_E_NOMEM;
    write_count = added;
    for (; append->end < count && write_count < APPEND_EVENTS_MAX && bytes < APPEND_BYTES_MAX; append->end++) {
        enum kafka_err *err = &committing->errs[append->end];
        int64_t expected = committing->expected ? committing->expected[append->end] : CAIRN_ANY;
        if (!add_commit(committing, group, &commits[append->end], expected, &writes[write_count], err))
            return CAIRN_E_NOMEM;
        if (*err != KAFKA_NONE)
            continue;
        bytes += writes[write_count].events->data.size + writes[write_count].stream.size;
        write_count++;
    }
    *at = append->end;
    if (write_count == (size_t)added && purpose == COMMIT) { /* a name alone would be a lie */
        free(committing->announced);
        committing->announced = NULL;
        return CAIRN_OK;
    }
    cairn_append_request request = {.scope = committing->groups->scope, .writes = writes, .write_count = write_count,
                                    .system = true};
    atomic_fetch_add(&committing->appends, 1);
    cairn_err err = cairn_append_async(committing->groups->store, &request, on_appended, append, NULL);
    if (err == CAIRN_OK)
        return CAIRN_OK;
    fail_range(append, err);
    append_over(committing);
    return CAIRN_OK;
}

static void
commit_all(struct groups_broker *groups, cairn_str group, const struct offset_commit *commits, const int64_t *expected, size_t count,
           enum purpose purpose, offsets_done done, void *context)
{
    struct committing *committing = calloc(1, sizeof *committing);
    if (committing != NULL)
        committing->errs = arena_zalloc(&committing->arena, (count + 1) * sizeof *committing->errs);
    if (committing == NULL || committing->errs == NULL) {
        free(committing);
        done(context, KAFKA_COORDINATOR_NOT_AVAILABLE, NULL);
        return;
    }
    committing->groups = groups;
    committing->done = done;
    committing->context = context;
    committing->expected = expected;
    atomic_init(&committing->appends, 1);
    pthread_mutex_lock(&groups->offsets->lock);
    groups->offsets->under_way++;
    pthread_mutex_unlock(&groups->offsets->lock);
    cairn_err err = CAIRN_OK;
    size_t at = 0;
    do {
        size_t before = at;
        err = send_some(committing, group, commits, count, purpose, &at);
        assert(err != CAIRN_OK || at > before || count == 0);
    } while (err == CAIRN_OK && at < count);
    if (err != CAIRN_OK)
        fail_range(&(struct append){committing, at, count}, err);
    append_over(committing);
}

void
groups_commit_async(struct groups_broker *groups, cairn_str group, const struct offset_commit *commits, size_t count,
                    offsets_done done, void *context)
{
    if (group.size > GROUP_ID_MAX) {
        done(context, KAFKA_INVALID_GROUP_ID, NULL);
        return;
    }
    if (count == 0) {
        done(context, KAFKA_NONE, NULL);
        return;
    }
    commit_all(groups, group, commits, NULL, count, COMMIT, done, context);
}

static void
ignore(void *context, enum kafka_err err, const enum kafka_err *errs)
{
    (void)context;
    (void)err;
    (void)errs;
}

void
offsets_announce(struct groups_broker *groups, cairn_str group)
{
    uint64_t deletions;
    if (group.size <= GROUP_ID_MAX && !is_announced(groups->offsets, group, &deletions))
        commit_all(groups, group, NULL, NULL, 0, ANNOUNCE, ignore, NULL);
}

/* ---- reading ---------------------------------------------------------------------------------------------------------------------- */

static cairn_err
read_newest(struct groups_broker *groups, cairn_str stream, struct arena *arena, struct offset_commit *ret)
{
    cairn_read_options options = {.scope = groups->scope, .from = CAIRN_FROM_END, .direction = CAIRN_BACKWARD, .system = true};
    cairn_reader *reader;
    cairn_recorded event;
    cairn_err err = cairn_read_stream(groups->store, stream, &options, &reader, NULL);
    if (err != CAIRN_OK)
        return err;
    err = cairn_reader_next(reader, &event, NULL);
    if (err == CAIRN_OK && !offsets_parse(event.event.data, arena, ret))
        err = CAIRN_E_CORRUPT;
    if (err == CAIRN_OK)
        cache_put(groups->offsets, stream, event.position, ret);
    cairn_reader_free(reader);
    return err == CAIRN_E_END ? CAIRN_OK : err;
}

static cairn_err
get(struct groups_broker *groups, cairn_str stream, struct arena *arena, struct offset_commit *ret)
{
    cairn_stream_info info;
    ret->offset = ret->expire_time_ms = -1;
    ret->leader_epoch = -1;
    ret->commit_time_ms = 0;
    ret->metadata = (cairn_str){0};
    cairn_err err = cairn_stream_info_get(groups->store, groups->scope, stream, &info, NULL);
    if (err != CAIRN_OK || !info.exists)
        return err;
    ret->revision = (int64_t)info.last_revision;
    return cache_get(groups->offsets, stream, info.last_position, arena, ret) ? CAIRN_OK : read_newest(groups, stream, arena, ret);
}

enum kafka_err
groups_offset_fetch(struct groups_broker *groups, cairn_str group, cairn_str topic, uint32_t partition, struct arena *arena,
                    struct offset_commit *ret)
{
    char name[STREAM_ROOM];
    cairn_str stream = groups_offset_stream(group, topic, partition, name);
    *ret = (struct offset_commit){.topic = topic, .partition = partition, .offset = -1, .leader_epoch = -1, .expire_time_ms = -1};
    return stream.size > 0 ? coordinator_err(get(groups, stream, arena, ret)) : KAFKA_NONE; /* what cannot be written is not there */
}

struct found {
    cairn_str topic;
    uint32_t partition;
};
struct finding {
    struct arena *arena;
    size_t prefix_size;
    struct found *found;
    size_t count, capacity;
    bool failed;
};

static bool
take_stream(void *context, cairn_str stream, uint64_t position)
{
    (void)position;
    struct finding *finding = context;
    struct found found;
    if (!offsets_stream_parse(stream, finding->prefix_size, finding->arena, &found.topic, &found.partition))
        return true; /* none of ours */
    if (finding->count == finding->capacity) {
        size_t capacity = finding->capacity ? finding->capacity * 2 : 64;
        struct found *larger = realloc(finding->found, capacity * sizeof *larger);
        finding->failed = larger == NULL;
        if (finding->failed)
            return false;
        finding->found = larger;
        finding->capacity = capacity;
    }
    finding->found[finding->count++] = found;
    return true;
}

static int
by_topic(const void *a, const void *b)
{
    const struct found *x = a, *y = b;
    int order = cairn_str_order(x->topic, y->topic);
    return order ? order : (x->partition > y->partition) - (x->partition < y->partition);
}

enum kafka_err
groups_offsets(struct groups_broker *groups, cairn_str group, offset_visit visit, void *context)
{
    char name[STREAM_ROOM];
    struct arena names = {0}, values = {0};
    cairn_str prefix = offsets_prefix(group, name);
    struct finding finding = {.arena = &names, .prefix_size = prefix.size};
    if (prefix.size == 0)
        return KAFKA_NONE;
    cairn_err err = cairn_streams(groups->store, groups->scope, prefix, (cairn_str){0}, take_stream, &finding, NULL);
    if (finding.failed)
        err = CAIRN_E_NOMEM;
    if (finding.count > 1)
        qsort(finding.found, finding.count, sizeof *finding.found, by_topic);
    bool more = true;
    for (size_t i = 0; err == CAIRN_OK && more && i < finding.count; i++) {
        struct offset_commit commit = {.topic = finding.found[i].topic, .partition = finding.found[i].partition};
        char stream[STREAM_ROOM];
        arena_reset(&values);
        err = get(groups, groups_offset_stream(group, commit.topic, commit.partition, stream), &values, &commit);
        if (err == CAIRN_OK && commit.offset >= 0)
            more = visit(context, &commit);
    }
    free(finding.found);
    arena_free(&names);
    arena_free(&values);
    return coordinator_err(err);
}

static bool
say_yes(void *context, const struct offset_commit *commit)
{
    (void)commit;
    *(bool *)context = true;
    return false;
}

enum kafka_err
offsets_any(struct groups_broker *groups, cairn_str group, bool *ret)
{
    *ret = false;
    return groups_offsets(groups, group, say_yes, ret);
}

/* ---- groups, deleting --------------------------------------------------------------------------------------------------------------- */

struct naming {
    struct groups_broker *groups;
    struct arena *arena;
    group_name_visit visit;
    void *context;
};

/* Does the newest event of the group's own stream say that it is gone? When in doubt, not. */
static bool
is_deleted(struct groups_broker *groups, cairn_str stream)
{
    cairn_read_options options = {.scope = groups->scope, .from = CAIRN_FROM_END, .direction = CAIRN_BACKWARD, .system = true};
    cairn_reader *reader;
    cairn_recorded event;
    struct json object;
    bool deleted = false;
    if (cairn_read_stream(groups->store, stream, &options, &reader, NULL) != CAIRN_OK)
        return false;
    if (cairn_reader_next(reader, &event, NULL) == CAIRN_OK && json_check(event.event.data, &object, NULL) == CAIRN_OK)
        deleted = json_get(object, "deleted").type == JSON_TRUE;
    cairn_reader_free(reader);
    return deleted;
}

static bool
take_group(void *context, cairn_str stream, uint64_t position)
{
    (void)position;
    struct naming *naming = context;
    cairn_str group;
    arena_reset(naming->arena);
    if (!offsets_group_parse(stream, naming->arena, &group) || is_deleted(naming->groups, stream))
        return true;
    return naming->visit(naming->context, group);
}

enum kafka_err
offsets_groups(struct groups_broker *groups, group_name_visit visit, void *context)
{
    struct arena arena = {0};
    struct naming naming = {groups, &arena, visit, context};
    cairn_err err = cairn_streams(groups->store, groups->scope, CAIRN_STR(OFFSETS_GROUP_PREFIX), (cairn_str){0}, take_group,
                                  &naming, NULL);
    arena_free(&arena);
    return coordinator_err(err);
}

struct waiting {
    pthread_mutex_t lock;
    pthread_cond_t over;
    bool done;
    enum kafka_err err;
    size_t count;
};

static void
wake(void *context, enum kafka_err err, const enum kafka_err *errs)
{
    struct waiting *waiting = context;
    pthread_mutex_lock(&waiting->lock);
    waiting->err = err;
    for (size_t i = 0; waiting->err == KAFKA_NONE && i < waiting->count; i++)
        waiting->err = errs[i];
    waiting->done = true;
    pthread_cond_signal(&waiting->over);
    pthread_mutex_unlock(&waiting->lock);
}

enum kafka_err
offsets_delete(struct groups_broker *groups, cairn_str group, const struct topic_partition *partitions, const int64_t *expected,
               size_t count, bool last)
{
    struct offset_commit *commits = calloc(count + 1, sizeof *commits);
    if (commits == NULL)
        return KAFKA_COORDINATOR_NOT_AVAILABLE;
    for (size_t i = 0; i < count; i++)
        commits[i] = (struct offset_commit){.topic = partitions[i].topic, .partition = partitions[i].partition, .offset = -1,
                                            .leader_epoch = -1, .expire_time_ms = -1};
    struct waiting waiting = {.count = count};
    pthread_mutex_init(&waiting.lock, NULL);
    pthread_cond_init(&waiting.over, NULL);
    if (last)
        take_announced(groups->offsets, group);
    assert(count > 0 || last);
    commit_all(groups, group, commits, expected, count, last ? COMMIT_LAST : COMMIT, wake, &waiting);
    pthread_mutex_lock(&waiting.lock);
    while (!waiting.done)
        pthread_cond_wait(&waiting.over, &waiting.lock);
    pthread_mutex_unlock(&waiting.lock);
    if (last)
        take_announced(groups->offsets, group); /* what a commit entered while this was under way */
    pthread_mutex_destroy(&waiting.lock);
    pthread_cond_destroy(&waiting.over);
    free(commits);
    return waiting.err;
}
