/* Dead letters on their way back: a topic of them is read, and each goes to the consumer that gave it up.
 *
 *   partition by partition ──► a letter of a subscription, of a projection ──► gathered while they are the same consumer's ──► returned
 *                          └─► somebody else's record ──► appended to its own topic, with a mark, on the condition that there is none
 *
 * Letters of one stream lie in one partition, in the order in which they were given up, and are returned in it. Records that come while
 * this goes on are left to the next time: `until`. */
#include <app/apps_int.h>

#include <base/error.h>
#include <base/json.h>
#include <store/dead.h>

#include <stdlib.h>

#define RETURNS_MAX 100
#define LIMIT 1000
#define LIMIT_MAX 10000
#define FAILURES_MAX 100

struct place {
    uint32_t partition;
    uint64_t offset;
};

struct run {
    cairn_store *store;
    cairn_apps *apps;
    const cairn_dead_request *request;
    const cairn_topic *topic;
    uint64_t until; /* letters from this position on are not looked at */
    uint32_t limit, looked_at;
    /* gathered: all of one consumer */
    struct arena arena;
    struct dead_origin origin;
    struct dead_return returns[RETURNS_MAX];
    struct place places[RETURNS_MAX];
    size_t count;
    /* the report */
    uint64_t replayed, appended, before, failed, waiting, no_consumer, no_origin, gone, failures_told;
    struct buf failures;
    bool more;
    struct place next;
};

static void
tell_failure(struct run *run, struct place place, cairn_str consumer, const char *why)
{
    if (run->failures_told++ >= FAILURES_MAX)
        return;
    json_put_comma(&run->failures);
    buf_put_char(&run->failures, '{');
    json_put_u64_member(&run->failures, "partition", place.partition);
    json_put_u64_member(&run->failures, "offset", place.offset);
    if (consumer.size > 0)
        json_put_text_member(&run->failures, "consumer", consumer);
    json_put_text_member(&run->failures, "error", cairn_cstr(why));
    buf_put_char(&run->failures, '}');
}

/* ---- to consumers of Cairn's ------------------------------------------------------------------------------------ */

static cairn_err
return_to_projection(struct run *run, cairn_error *error)
{
    struct app_version *version;
    if (run->apps == NULL)
        return error_set(error, CAIRN_E_NOTFOUND, "there are no apps here");
    cairn_err err = apps_hold(run->apps, run->origin.app, &version, error);
    if (err != CAIRN_OK)
        return err;
    struct app_projection *projection = app_version_projection(version, run->origin.name);
    struct runner *runner = projection != NULL ? atomic_load(&projection->runner) : NULL;
    if (projection == NULL)
        err = error_set(error, CAIRN_E_NOTFOUND, "the app has no such projection");
    else if (runner == NULL)
        err = error_set(error, CAIRN_E_BUSY, "the projection does not run");
    else
        err = runner_return_dead(runner, run->returns, run->count, run->request->dry_run, error);
    app_version_release(version);
    return err;
}

static void
count_result(struct run *run, size_t i)
{
    switch (run->returns[i].result) {
    case DEAD_RETURNED: run->replayed++; break;
    case DEAD_BEFORE: run->before++; break;
    case DEAD_NO_ROOM: run->waiting++; break;
    case DEAD_GONE: run->gone++; break;
    case DEAD_FAILED:
        run->failed++;
        tell_failure(run, run->places[i], run->origin.name, run->returns[i].why);
        break;
    }
}

/* Return what was gathered. */
static cairn_err
flush(struct run *run, cairn_error *error)
{
    if (run->count == 0)
        return CAIRN_OK;
    cairn_err err = cairn_str_equal(run->origin.kind, CAIRN_STR(DEAD_PROJECTION))
                        ? return_to_projection(run, error)
                        : group_return_dead(run->store, run->request->scope, run->origin.name, run->topic->name, run->returns,
                                            run->count, run->request->dry_run, error);
    for (size_t i = 0; err == CAIRN_OK && i < run->count; i++)
        count_result(run, i);
    if (err == CAIRN_E_NOTFOUND) {
        run->no_consumer += run->count;
        err = CAIRN_OK;
    }
    run->count = 0;
    arena_reset(&run->arena);
    return err;
}

static bool
is_wanted(const struct run *run, const struct dead_origin *origin)
{
    cairn_str wanted = run->request->consumer;
    if (wanted.size == 0)
        return true;
    if (origin->app.size == 0)
        return cairn_str_equal(wanted, origin->name);
    return wanted.size == origin->app.size + 1 + origin->name.size && memcmp(wanted.data, origin->app.data, origin->app.size) == 0
        && wanted.data[origin->app.size] == '/'
        && memcmp(wanted.data + origin->app.size + 1, origin->name.data, origin->name.size) == 0;
}

static cairn_err
gather(struct run *run, const cairn_recorded *event, const struct dead_origin *origin, struct place place, cairn_error *error)
{
    bool same = run->count > 0 && cairn_str_equal(run->origin.kind, origin->kind) && cairn_str_equal(run->origin.app, origin->app)
             && cairn_str_equal(run->origin.name, origin->name);
    cairn_err err = run->count == RETURNS_MAX || !same ? flush(run, error) : CAIRN_OK;
    if (err != CAIRN_OK)
        return err;
    if (run->count == 0) {
        run->origin = (struct dead_origin){arena_copy(&run->arena, origin->kind), arena_copy(&run->arena, origin->app),
                                           arena_copy(&run->arena, origin->name), 0};
        if (run->origin.kind.data == NULL || run->origin.app.data == NULL || run->origin.name.data == NULL)
            return error_set(error, CAIRN_E_NOMEM, "out of memory");
    }
    run->places[run->count] = place;
    run->returns[run->count++] = (struct dead_return){.letter = event->position, .position = origin->position};
    return CAIRN_OK;
}

/* ---- somebody else's ------------------------------------------------------------------------------------------------ */

struct search {
    cairn_str dead, found;
    char *to;
};

/* No topic's name needs an escape: nothing is copied, so nothing can run out. */
static cairn_str
topic_in(struct json value)
{
    cairn_str name = value.type == JSON_STRING ? (cairn_str){value.raw.data + 1, value.raw.size - 2} : (cairn_str){0};
    return topic_name_valid(name) ? name : (cairn_str){0};
}

static bool
look_at_topic(void *context, const cairn_topic *topic, uint64_t revision)
{
    struct search *search = context;
    (void)revision;
    struct json dead = topic->config.size > 0 ? json_get(json_trusted(topic->config), "cairn.dead.letter") : (struct json){0};
    if (!cairn_str_equal(topic_in(dead), search->dead))
        return true;
    memcpy(search->to, topic->name.data, topic->name.size);
    search->found = (cairn_str){search->to, topic->name.size};
    return false;
}

/* The topic that a record came from: what it says itself, in the headers of Cairn, Kafka Connect or Spring; then whose dead letters
 * these are; then the name without its ending. Empty: not known. `to` has TOPIC_NAME_MAX bytes. */
static cairn_err
original_topic(const struct run *run, const cairn_event *event, char *to, cairn_str *ret, cairn_error *error)
{
    static const char *const names[] = {"dlq_topic", "__connect.errors.topic", "kafka_dlt-original-topic"};
    const cairn_str suffix = CAIRN_STR(DEAD_SUFFIX);
    cairn_str topic = run->topic->name;
    struct json headers = event->meta.size > 0 ? json_get(json_get(json_trusted(event->meta), "kafka"), "headers") : (struct json){0};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        struct json header = headers.type == JSON_OBJECT ? json_get(headers, names[i]) : (struct json){0};
        *ret = topic_in(header);
        if (ret->size > 0)
            return CAIRN_OK;
    }
    struct search search = {.dead = topic, .to = to};
    cairn_err err = cairn_topics(run->store, run->request->scope, look_at_topic, &search, error);
    *ret = search.found;
    if (ret->size == 0 && topic.size > suffix.size && memcmp(topic.data + topic.size - suffix.size, suffix.data, suffix.size) == 0)
        *ret = (cairn_str){topic.data, topic.size - suffix.size};
    return err;
}

static bool
make_meta(const struct run *run, const cairn_recorded *event, struct place place, struct arena *arena, cairn_str *ret)
{
    struct buf to = {0};
    struct json name, value;
    buf_put_str(&to, CAIRN_STR("{\"replayed_from\":{\"topic\":"));
    json_put_string(&to, run->topic->name);
    json_put_u64_member(&to, "partition", place.partition);
    json_put_u64_member(&to, "offset", place.offset);
    json_put_u64_member(&to, "position", event->position);
    buf_put_char(&to, '}');
    struct json meta = event->event.meta.size > 0 ? json_trusted(event->event.meta) : (struct json){0};
    for (struct json_walk walk = json_walk(meta); meta.type == JSON_OBJECT && json_next(&walk, &name, &value);) {
        if (json_string_is(name, "kafka") || json_string_is(name, "kafka_headers") || json_string_is(name, "replayed_from"))
            continue;
        json_put_comma(&to);
        buf_put_str(&to, name.raw);
        buf_put_char(&to, ':');
        buf_put_str(&to, value.raw);
    }
    if (meta.type == JSON_OBJECT) {
        buf_put_str(&to, CAIRN_STR(",\"kafka_headers\":{"));
        dead_put_headers(&to, event->event.meta);
        buf_put_char(&to, '}');
    }
    buf_put_char(&to, '}');
    *ret = to.failed ? (cairn_str){0} : arena_copy(arena, buf_str(&to));
    buf_free(&to);
    return ret->data != NULL;
}

/* The category of a topic. One that is not there is not made up for: nobody who reads topics would see what is appended. */
static cairn_err
category_of(const struct run *run, cairn_str topic, char *to, cairn_str *ret, cairn_error *error)
{
    cairn_topic_ref *ref;
    cairn_err err = cairn_topic_get(run->store, run->request->scope, topic, &ref, error);
    if (err == CAIRN_E_NOTFOUND)
        return error_set(error, err, "no topic %.*s", (int)topic.size, topic.data);
    if (err != CAIRN_OK)
        return err;
    cairn_str category = cairn_topic_of(ref)->category;
    memcpy(to, category.data, category.size);
    cairn_topic_release(ref);
    *ret = (cairn_str){to, category.size};
    return CAIRN_OK;
}

static cairn_err
append_back(struct run *run, const cairn_recorded *from, cairn_str topic, cairn_str category, struct place place, struct arena *arena,
            cairn_error *error)
{
    struct dead_mark mark;
    cairn_str stream;
    cairn_event event = from->event;
    cairn_at at;
    event.id = (cairn_uuid){{0}};
    if (cairn_str_equal(event.type, run->topic->name)) /* it brought none, so it was its topic's */
        event.type = topic;
    if (!make_meta(run, from, place, arena, &event.meta))
        return error_set(error, CAIRN_E_NOMEM, "out of memory");
    cairn_err err = dead_move_stream(category, from->stream, arena, &stream, error);
    if (err != CAIRN_OK)
        return err;
    dead_mark_make(&mark, run->topic->name, from->position);
    const cairn_write writes[] = {{stream, CAIRN_ANY, &event, 1}, mark.write};
    const cairn_append_request request = {.scope = run->request->scope, .writes = writes, .write_count = 2,
                                          .conditions = &mark.condition, .condition_count = 1, .system = true};
    return cairn_append_all(run->store, &request, &at, error);
}

static cairn_err
send_on(struct run *run, const cairn_recorded *event, struct place place, struct arena *arena, cairn_error *error)
{
    char text[TOPIC_NAME_MAX], category_text[TOPIC_NAME_MAX];
    cairn_str topic, category;
    bool marked = false;
    cairn_err err = original_topic(run, &event->event, text, &topic, error);
    if (err != CAIRN_OK)
        return err;
    if (topic.size == 0 || cairn_str_equal(topic, run->topic->name)) {
        run->no_origin++;
        return CAIRN_OK;
    }
    err = dead_mark_find(run->store, run->request->scope, event->position, &marked, error);
    if (err == CAIRN_OK && !marked)
        err = category_of(run, topic, category_text, &category, error);
    if (err == CAIRN_OK && !marked && !run->request->dry_run)
        err = append_back(run, event, topic, category, place, arena, error);
    marked |= err == CAIRN_E_CONDITION;
    if (err == CAIRN_OK || err == CAIRN_E_CONDITION) {
        *(marked ? &run->before : &run->appended) += 1;
        return CAIRN_OK;
    }
    if (dead_error_passes(err))
        return err;
    run->failed++;
    tell_failure(run, place, (cairn_str){0}, error != NULL ? error->detail : cairn_err_name(err));
    return CAIRN_OK;
}

/* ---- the topic ------------------------------------------------------------------------------------------------------- */

static cairn_err
handle(struct run *run, const cairn_recorded *event, struct place place, cairn_error *error)
{
    struct arena arena = {0};
    struct dead_origin origin;
    cairn_err err = dead_letter_read(&event->event, &arena, &origin);
    run->looked_at++;
    if (err == CAIRN_E_NOTFOUND) {
        err = run->request->consumer.size == 0 ? send_on(run, event, place, &arena, error) : CAIRN_OK;
    } else if (err == CAIRN_E_INVALID) {
        run->no_consumer++;
        err = CAIRN_OK;
    } else if (err != CAIRN_OK) {
        err = error_set(error, err, "out of memory");
    } else if (is_wanted(run, &origin)) {
        err = gather(run, event, &origin, place, error);
    }
    arena_free(&arena);
    return err;
}

/* The records of a batch, which are events like any other. */
static cairn_err
handle_batch(struct run *run, const cairn_partition_item *item, uint32_t partition, uint64_t from, uint64_t to, cairn_error *error)
{
    const cairn_read_options options = {.scope = run->request->scope, .from = (int64_t)item->position,
                                        .end = item->position + (item->last_offset - item->first_offset) + 1};
    cairn_reader *reader = NULL;
    cairn_recorded event;
    cairn_err err = cairn_read_all(run->store, &options, &reader, error);
    while (err == CAIRN_OK && (err = cairn_reader_next(reader, &event, error)) == CAIRN_OK) {
        struct place place = {partition, item->first_offset + (event.position - item->position)};
        if (place.offset < from || place.offset >= to)
            continue;
        if (run->looked_at >= run->limit) {
            run->more = true;
            run->next = place;
            break;
        }
        err = handle(run, &event, place, error);
    }
    cairn_reader_free(reader);
    return err == CAIRN_E_END ? CAIRN_OK : err;
}

static cairn_err
handle_partition(struct run *run, uint32_t partition, uint64_t from, cairn_error *error)
{
    const cairn_dead_request *request = run->request;
    cairn_partition_reader *reader = NULL;
    cairn_partition_item item;
    uint64_t to = request->to > 0 ? request->to : UINT64_MAX;
    cairn_err err = cairn_read_partition(run->store, request->scope, &run->topic->id, partition, from, &reader, error);
    while (err == CAIRN_OK && !run->more && (err = cairn_partition_next(reader, &item, error)) == CAIRN_OK) {
        if (item.first_offset >= to || item.position >= run->until)
            break;
        if (run->looked_at >= run->limit) {
            run->more = true;
            run->next = (struct place){partition, item.first_offset > from ? item.first_offset : from};
        } else if (item.batch.size > 0) {
            err = handle_batch(run, &item, partition, from, to, error);
        } else {
            err = handle(run, &item.event, (struct place){partition, item.first_offset}, error);
        }
    }
    cairn_partition_reader_free(reader);
    return err == CAIRN_E_END ? CAIRN_OK : err;
}

static cairn_err
handle_topic(struct run *run, cairn_error *error)
{
    const cairn_dead_request *request = run->request;
    cairn_err err = CAIRN_OK;
    if (request->has_partition && request->partition >= run->topic->partitions)
        return error_set(error, CAIRN_E_NOTFOUND, "the topic has %u partition%s", run->topic->partitions,
                         run->topic->partitions == 1 ? "" : "s");
    uint32_t first = request->has_partition ? request->partition : request->next_partition;
    uint32_t end = request->has_partition ? first + 1 : run->topic->partitions;
    for (uint32_t i = first; i < end && err == CAIRN_OK && !run->more; i++) {
        bool goes_on = request->until > 0 && i == request->next_partition && request->next_offset > request->from;
        err = handle_partition(run, i, goes_on ? request->next_offset : request->from, error);
    }
    return err == CAIRN_OK ? flush(run, error) : err;
}

static void
put_report(const struct run *run, struct buf *to)
{
    const struct {
        const char *name;
        uint64_t n;
    } counts[] = {{"looked_at", run->looked_at}, {"replayed", run->replayed}, {"appended", run->appended}, {"before", run->before},
                  {"failed", run->failed},       {"waiting", run->waiting},   {"no_consumer", run->no_consumer},
                  {"no_origin", run->no_origin}, {"gone", run->gone}};
    buf_put_char(to, '{');
    json_put_text_member(to, "topic", run->topic->name);
    json_put_bool_member(to, "dry_run", run->request->dry_run);
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++)
        json_put_u64_member(to, counts[i].name, counts[i].n);
    json_put_name(to, "failures");
    buf_put_char(to, '[');
    buf_put_str(to, buf_str(&run->failures));
    buf_put_char(to, ']');
    json_put_name(to, "next");
    if (run->more) {
        buf_printf(to, "{\"partition\":%u", run->next.partition);
        json_put_u64_member(to, "offset", run->next.offset);
        json_put_u64_member(to, "until", run->until);
        buf_put_char(to, '}');
    } else {
        buf_put_str(to, CAIRN_STR("null"));
    }
    buf_put_char(to, '}');
}

cairn_err
cairn_dead_letters_replay(cairn_store *store, cairn_apps *apps, const cairn_dead_request *request, cairn_sink sink, void *context,
                          cairn_error *error)
{
    if (store == NULL || request == NULL || sink == NULL)
        return error_set(error, CAIRN_E_INVALID, "store, request or sink is NULL");
    cairn_topic_ref *ref;
    cairn_err err = cairn_topic_get(store, request->scope, request->topic, &ref, error);
    if (err != CAIRN_OK)
        return err;
    struct run *run = calloc(1, sizeof *run);
    struct buf report = {0};
    if (run == NULL) {
        cairn_topic_release(ref);
        return error_set(error, CAIRN_E_NOMEM, "out of memory");
    }
    run->store = store;
    run->apps = apps;
    run->request = request;
    run->topic = cairn_topic_of(ref);
    run->until = request->until > 0 ? request->until : cairn_end(store);
    run->limit = request->limit == 0 ? LIMIT : request->limit < LIMIT_MAX ? request->limit : LIMIT_MAX;
    err = handle_topic(run, error);
    if (err == CAIRN_OK) {
        put_report(run, &report);
        if (report.failed || run->failures.failed)
            err = error_set(error, CAIRN_E_NOMEM, "out of memory");
        else if (!sink(context, buf_str(&report)))
            err = error_set(error, CAIRN_E_CLOSED, "the reader has gone");
    }
    buf_free(&report);
    buf_free(&run->failures);
    arena_free(&run->arena);
    free(run);
    cairn_topic_release(ref);
    return err;
}
