/* Followers: server-sent events that catch up and then follow.
 *
 *             ┌────────────── drained ◄──────────────── SLOW (the peer does not read)
 *             ▼                                          ▲  ▲
 *   start ─► READING ── reached the end, on the loop ─► LIVE │
 *             │   └──── more than a little to read: pool ─┘  │ http_write says "enough"
 *             └──────────────────────────────────────────────┘
 *
 * A LIVE follower hangs in the hub's table under the names that its events must have. The loop reads what
 * was committed once, looks each event's names up, and hands the event, written as text once, to those
 * that match. So an idle follower costs a commit nothing. A READING one has a reader of its own; a SLOW
 * one has nothing but its place, so no buffer grows with the log.
 *
 * Neither a gap nor a double:
 * - `next` is the first revision (of a stream) or position (of all) that the follower has not been given.
 * - It goes LIVE only on the loop's thread, right after its own reader has found nothing more. Whatever the
 *   hub has handed out until then was durable, so that reader has seen it: no gap.
 * - The hub skips events before `next`: no double.
 *
 * Everything is of the loop's thread, except `read_chunk`, which has the follower to itself. http_write never
 * calls back (on_close comes at the end of a round of events), but it makes followers SLOW while the hub
 * walks its table: those are marked and unhooked afterwards. */
#include <proto/http/api_int.h>

#include <base/error.h>
#include <base/hash.h>
#include <base/json.h>
#include <proto/http/api_render.h>

#include <stdio.h>
#include <stdlib.h>

#define INLINE_EVENTS 64          /* read on the loop, at most, while catching up */
#define CHUNK_BYTES (64u << 10)   /* read at a time while catching up */
#define CHUNK_EVENTS 4096         /* the same for filters that match seldom */
#define DISPATCH_EVENTS 1024      /* handed out before other work of the loop gets its turn */

enum state { READING, LIVE, SLOW };

/* A place in the table. */
struct hook {
    struct hook *next;
    struct follower *follower;
    uint64_t key;
};

/* What the pool reads: apart, because an idle follower must be small. */
struct chunk {
    struct buf frames;
    cairn_err result;
    cairn_error failure;
};

struct follower {
    struct api_loop *loop;
    struct http_exchange *x;
    enum state state;
    bool of_stream, system, filtered;
    bool on_pool;  /* read_chunk has it */
    bool closed;   /* the exchange is over: free when nobody has it */
    bool hooked;   /* in the table and in the ring */
    bool in_changed, in_waiting;
    bool told_live;
    int64_t next;      /* first revision or position not yet given */
    int64_t told;      /* `id:` last written; -1: none */
    int64_t written_us;
    cairn_reader *reader; /* while READING */
    struct follower *older, *newer; /* ring of live ones by written_us */
    struct follower *next_changed, *next_waiting;
    struct chunk *chunk; /* while READING by the pool */
    cairn_str stream, category;
    cairn_query_item item; /* types, tags */
    size_t hook_count;
    struct hook *hooks;
    /* hooks, names and texts follow */
};

/* ---- which events concern it --------------------------------------------------------------------------- */

/* Names of one kind never meet those of another. */
enum key_kind { KEY_STREAM = 1, KEY_CATEGORY, KEY_TYPE, KEY_TAG, KEY_ALL };

static uint64_t
key_of(enum key_kind kind, cairn_str name)
{
    return hash64(name.data, name.size, kind);
}

static cairn_str
category_of(cairn_str stream)
{
    const char *dash = stream.size ? memchr(stream.data, '-', stream.size) : NULL;
    return (cairn_str){stream.data, dash ? (size_t)(dash - stream.data) : stream.size};
}

static bool
has_name(const cairn_str *names, size_t count, cairn_str name)
{
    for (size_t i = 0; i < count; i++)
        if (cairn_str_equal(names[i], name))
            return true;
    return false;
}

static bool
concerns(const struct follower *f, const cairn_recorded *event)
{
    if (f->of_stream)
        return (int64_t)event->revision >= f->next && cairn_str_equal(event->stream, f->stream);
    if ((int64_t)event->position < f->next)
        return false;
    if (!f->system && event->stream.size > 0 && event->stream.data[0] == API_STREAM_SYSTEM_SIGIL)
        return false;
    if (f->category.size > 0 && !cairn_str_equal(category_of(event->stream), f->category))
        return false;
    if (f->item.type_count > 0 && !has_name(f->item.types, f->item.type_count, event->event.type))
        return false;
    for (size_t i = 0; i < f->item.tag_count; i++)
        if (!has_name(event->event.tags, event->event.tag_count, f->item.tags[i]))
            return false;
    return true;
}

/* The keys to hang under: the narrowest kind that the follower asks for. */
static size_t
keys_of(const struct follow_options *options, uint64_t keys[API_LIST_MAX])
{
    if (options->of_stream)
        keys[0] = key_of(KEY_STREAM, options->stream);
    else if (options->tag_count > 0)
        keys[0] = key_of(KEY_TAG, options->tags[0]);
    else if (options->type_count > 0) {
        for (size_t i = 0; i < options->type_count; i++)
            keys[i] = key_of(KEY_TYPE, options->types[i]);
        return options->type_count;
    } else if (options->category.size > 0)
        keys[0] = key_of(KEY_CATEGORY, options->category);
    else
        keys[0] = key_of(KEY_ALL, (cairn_str){0});
    return 1;
}

/* ---- table and ring --------------------------------------------------------------------------------------- */

static bool
grow_table(struct hub *hub)
{
    if (hub->hook_count < hub->bucket_count)
        return true;
    size_t count = hub->bucket_count ? hub->bucket_count * 2 : 64;
    struct hook **buckets = calloc(count, sizeof *buckets);
    if (!buckets)
        return hub->bucket_count > 0; /* longer chains will do */
    for (size_t i = 0; i < hub->bucket_count; i++)
        while (hub->buckets[i]) {
            struct hook *hook = hub->buckets[i];
            hub->buckets[i] = hook->next;
            hook->next = buckets[hook->key & (count - 1)];
            buckets[hook->key & (count - 1)] = hook;
        }
    free(hub->buckets);
    hub->buckets = buckets;
    hub->bucket_count = count;
    return true;
}

static void
ring_remove(struct hub *hub, struct follower *f)
{
    *(f->older ? &f->older->newer : &hub->oldest) = f->newer;
    *(f->newer ? &f->newer->older : &hub->newest) = f->older;
    f->older = f->newer = NULL;
}

static void
ring_add(struct hub *hub, struct follower *f)
{
    f->older = hub->newest;
    f->newer = NULL;
    *(hub->newest ? &hub->newest->newer : &hub->oldest) = f;
    hub->newest = f;
}

static bool
hook_up(struct hub *hub, struct follower *f)
{
    if (!grow_table(hub))
        return false;
    for (size_t i = 0; i < f->hook_count; i++) {
        struct hook **bucket = &hub->buckets[f->hooks[i].key & (hub->bucket_count - 1)];
        f->hooks[i].next = *bucket;
        *bucket = &f->hooks[i];
        hub->hook_count++;
    }
    ring_add(hub, f);
    f->hooked = true;
    return true;
}

static void
unhook(struct hub *hub, struct follower *f)
{
    for (size_t i = 0; i < f->hook_count; i++) {
        struct hook **link = &hub->buckets[f->hooks[i].key & (hub->bucket_count - 1)];
        while (*link != &f->hooks[i])
            link = &(*link)->next;
        *link = f->hooks[i].next;
        hub->hook_count--;
    }
    ring_remove(hub, f);
    f->hooked = false;
}

/* ---- leaving the live set, and ending --------------------------------------------------------------------- */

static void
free_chunk(struct follower *f)
{
    if (f->chunk)
        buf_free(&f->chunk->frames);
    free(f->chunk);
    f->chunk = NULL;
}

static void
free_reader(struct follower *f)
{
    cairn_reader_free(f->reader);
    f->reader = NULL;
}

static void
free_follower(struct follower *f)
{
    f->loop->hub.followers--;
    atomic_fetch_sub(&f->loop->api->followers, 1);
    free_reader(f);
    free_chunk(f);
    free(f);
}

/* Put in order what has changed state: out of the table when no longer live, freed when closed. While the
 * hub dispatches, afterwards. */
static void
settle(struct follower *f)
{
    struct hub *hub = &f->loop->hub;
    if (hub->dispatching) {
        if (!f->in_changed) {
            f->in_changed = true;
            f->next_changed = hub->changed;
            hub->changed = f;
        }
        return;
    }
    if (f->hooked && (f->state != LIVE || f->closed))
        unhook(hub, f);
    if (f->closed && !f->on_pool && !f->in_waiting)
        free_follower(f);
}

static void
settle_changed(struct hub *hub)
{
    while (hub->changed) {
        struct follower *f = hub->changed;
        hub->changed = f->next_changed;
        f->in_changed = false;
        settle(f);
    }
}

static void
on_close(void *context, struct http_exchange *x)
{
    struct follower *f = context;
    (void)x;
    f->closed = true;
    settle(f);
}

/* ---- writing ------------------------------------------------------------------------------------------------ */

static void
put_frame(struct buf *to, const cairn_recorded *event, bool of_stream)
{
    buf_put_str(to, CAIRN_STR("id: "));
    json_put_u64(to, of_stream ? event->revision : event->position);
    buf_put_str(to, CAIRN_STR("\ndata: "));
    render_event_line(to, event);
    buf_put_str(to, CAIRN_STR("\n\n"));
}

/* False: the follower is SLOW now (or its peer is gone: on_close follows). */
static bool
write_to(struct follower *f, cairn_str bytes)
{
    f->written_us = api_now_us();
    if (http_write(f->x, bytes))
        return true;
    f->state = SLOW;
    return false;
}

static void
fail(struct follower *f, cairn_err err, const cairn_error *error)
{
    struct buf text = {0};
    struct problem_kind kind = problem_of(err);
    buf_put_str(&text, CAIRN_STR("event: error\ndata: "));
    problem_put(&text, &kind, error);
    buf_put_str(&text, CAIRN_STR("\n\n"));
    if (!text.failed)
        http_write(f->x, buf_str(&text));
    buf_free(&text);
    http_end(f->x);
}

/* ---- catching up ---------------------------------------------------------------------------------------------- */

static cairn_err
open_reader(struct follower *f, cairn_error *error)
{
    if (f->reader)
        return CAIRN_OK;
    bool any = f->item.type_count > 0 || f->item.tag_count > 0;
    const cairn_read_options options = {
        .from = f->next,
        .system = f->system,
        .category = f->category,
        .query = {any ? &f->item : NULL, any ? 1 : 0},
    };
    return f->of_stream ? cairn_read_stream(f->loop->api->store, f->stream, &options, &f->reader, error)
                        : cairn_read_all(f->loop->api->store, &options, &f->reader, error);
}

/* Read up to so many events, and about so many bytes, as frames. CAIRN_E_END: there are no more. */
static cairn_err
read_frames(struct follower *f, struct buf *to, size_t events_max, size_t bytes_max, cairn_error *error)
{
    cairn_err err = open_reader(f, error);
    cairn_recorded event;
    for (size_t i = 0; err == CAIRN_OK && i < events_max && to->size < bytes_max; i++) {
        err = cairn_reader_next(f->reader, &event, error);
        if (err != CAIRN_OK)
            break;
        put_frame(to, &event, f->of_stream);
        f->next = (int64_t)(f->of_stream ? event.revision : event.position) + 1;
        f->told = f->next - 1;
        atomic_fetch_add_explicit(&f->loop->api->followed_total, 1, memory_order_relaxed);
    }
    if ((err == CAIRN_OK || err == CAIRN_E_END) && !f->of_stream && cairn_reader_from(f->reader) > f->next)
        f->next = cairn_reader_from(f->reader); /* what did not match counts as given */
    if (to->failed)
        err = error_set(error, CAIRN_E_NOMEM, "out of memory for the next events");
    return err;
}

/* On the pool. */
static void
read_chunk(void *context)
{
    struct follower *f = context;
    struct chunk *chunk = f->chunk;
    chunk->failure = (cairn_error){0};
    chunk->result = read_frames(f, &chunk->frames, CHUNK_EVENTS, CHUNK_BYTES, &chunk->failure);
}

static void read_on(struct follower *f);
static void chunk_done(void *context);

/* Read when the next tick comes. */
static void
read_later(struct follower *f)
{
    if (f->in_waiting)
        return;
    f->in_waiting = true;
    f->next_waiting = f->loop->hub.waiting;
    f->loop->hub.waiting = f;
}

/* Have the pool read; when it is full, later. */
static void
read_on_pool(struct follower *f)
{
    if (!f->chunk && !(f->chunk = calloc(1, sizeof *f->chunk))) {
        fail(f, CAIRN_E_NOMEM, NULL);
        return;
    }
    http_hold(f->x);
    f->on_pool = http_work(f->loop->loop, read_chunk, chunk_done, f);
    if (f->on_pool)
        return;
    http_release(f->x);
    read_later(f);
}

static void
chunk_done(void *context)
{
    struct follower *f = context;
    struct http_exchange *x = f->x;
    struct chunk *chunk = f->chunk;
    cairn_err result = chunk->result;
    f->on_pool = false;
    if (f->closed)
        settle(f);
    else if (result != CAIRN_OK && result != CAIRN_E_END)
        fail(f, result, &chunk->failure);
    else {
        bool goes_on = chunk->frames.size == 0 || write_to(f, buf_str(&chunk->frames));
        free_chunk(f);
        if (!goes_on)
            free_reader(f);
        else if (result == CAIRN_E_END)
            read_on(f);
        else
            read_on_pool(f);
    }
    http_release(x);
}

/* Its reader has found nothing more, here on the loop's thread, and has seen all that lies before `seen`:
 * from here the hub serves. */
static void
go_live(struct follower *f, uint64_t seen)
{
    struct hub *hub = &f->loop->hub;
    free_reader(f);
    f->state = LIVE;
    if (!hub->oldest) {
        cairn_reader_free(hub->reader);
        hub->reader = NULL;
        hub->position = seen;
    }
    if (!hook_up(hub, f)) {
        fail(f, CAIRN_E_NOMEM, NULL);
        return;
    }
    if (!f->told_live) {
        f->told_live = true;
        if (!write_to(f, CAIRN_STR(": caught up\n\n")))
            settle(f);
    }
}

/* A little on the loop; the rest, where there is one, on the pool. */
static void
read_on(struct follower *f)
{
    struct buf *out = &f->loop->out;
    cairn_error error = {0};
    uint64_t seen = cairn_end(f->loop->api->store); /* before reading: what is there now will be found */
    buf_clear(out);
    cairn_err err = read_frames(f, out, INLINE_EVENTS, CHUNK_BYTES, &error);
    if (err != CAIRN_OK && err != CAIRN_E_END)
        fail(f, err, &error);
    else if (out->size > 0 && !write_to(f, buf_str(out)))
        free_reader(f);
    else if (err == CAIRN_E_END)
        go_live(f, seen);
    else
        read_on_pool(f);
}

static void
on_drain(void *context, struct http_exchange *x)
{
    struct follower *f = context;
    (void)x;
    if (f->state != SLOW || f->closed || f->on_pool)
        return;
    settle(f);
    f->state = READING;
    read_on(f);
}

/* ---- handing out what is committed ------------------------------------------------------------------------------ */

/* One event's text, made when the first follower wants it. */
struct frames {
    const cairn_recorded *event;
    bool have[2]; /* with the position, with the revision as id */
};

static cairn_str
frame_for(struct hub *hub, struct frames *frames, bool of_stream)
{
    struct buf *to = of_stream ? &hub->line : &hub->frame;
    if (!frames->have[of_stream]) {
        buf_clear(to);
        put_frame(to, frames->event, of_stream);
        frames->have[of_stream] = true;
    }
    return to->failed ? (cairn_str){0} : buf_str(to);
}

static void
give(struct follower *f, struct frames *frames)
{
    const cairn_recorded *event = frames->event;
    cairn_str text = frame_for(&f->loop->hub, frames, f->of_stream);
    if (text.size == 0) { /* no memory for the text: it reads the event by itself, later */
        f->state = READING;
        settle(f);
        read_later(f);
        return;
    }
    f->next = (int64_t)(f->of_stream ? event->revision : event->position) + 1;
    f->told = f->next - 1;
    atomic_fetch_add_explicit(&f->loop->api->followed_total, 1, memory_order_relaxed);
    if (!write_to(f, text))
        settle(f);
    else {
        ring_remove(&f->loop->hub, f);
        ring_add(&f->loop->hub, f);
    }
}

static void
give_to(struct hub *hub, uint64_t key, struct frames *frames)
{
    if (hub->bucket_count == 0)
        return;
    for (struct hook *hook = hub->buckets[key & (hub->bucket_count - 1)]; hook; hook = hook->next)
        if (hook->key == key && hook->follower->state == LIVE && !hook->follower->closed &&
            concerns(hook->follower, frames->event))
            give(hook->follower, frames);
}

static void
hand_out(struct hub *hub, const cairn_recorded *event)
{
    struct frames frames = {.event = event};
    give_to(hub, key_of(KEY_ALL, (cairn_str){0}), &frames);
    give_to(hub, key_of(KEY_STREAM, event->stream), &frames);
    give_to(hub, key_of(KEY_CATEGORY, category_of(event->stream)), &frames);
    give_to(hub, key_of(KEY_TYPE, event->event.type), &frames);
    for (size_t i = 0; i < event->event.tag_count; i++)
        give_to(hub, key_of(KEY_TAG, event->event.tags[i]), &frames);
}

static cairn_err
open_hub_reader(struct api_loop *loop, cairn_error *error)
{
    struct hub *hub = &loop->hub;
    if (hub->reader)
        return CAIRN_OK;
    const cairn_read_options options = {.from = (int64_t)hub->position, .system = true};
    return cairn_read_all(loop->api->store, &options, &hub->reader, error);
}

/* The hub cannot read: each follower meets the fault with a reader of its own and reports it. */
static void
disband(struct api_loop *loop)
{
    struct hub *hub = &loop->hub;
    cairn_reader_free(hub->reader);
    hub->reader = NULL;
    while (hub->oldest) {
        struct follower *f = hub->oldest;
        f->state = READING;
        unhook(hub, f);
        if (!f->closed)
            read_on_pool(f);
    }
}

void
api_hub_run(struct api_loop *loop)
{
    struct hub *hub = &loop->hub;
    cairn_recorded event;
    cairn_error error = {0};
    size_t count = 0;

    if (!hub->oldest) { /* nobody is live: whoever becomes so begins after what is durable now */
        cairn_reader_free(hub->reader);
        hub->reader = NULL;
        return;
    }
    cairn_err err = open_hub_reader(loop, &error);
    hub->dispatching = true;
    while (err == CAIRN_OK && count < DISPATCH_EVENTS) {
        err = cairn_reader_next(hub->reader, &event, &error);
        if (err != CAIRN_OK)
            break;
        hub->position = event.position + 1;
        hand_out(hub, &event);
        count++;
    }
    hub->dispatching = false;
    settle_changed(hub);
    if (err == CAIRN_OK)
        api_loop_wake(loop);
    else if (err != CAIRN_E_END)
        disband(loop);
}

/* ---- time ---------------------------------------------------------------------------------------------------------- */

/* A comment line; for a filtered follower of all also how far the log has been looked through, so that one
 * who comes back does not begin at its last match. */
static void
heartbeat(struct follower *f)
{
    struct hub *hub = &f->loop->hub;
    char text[64];
    size_t size = 3;
    memcpy(text, ":\n\n", 4);
    if (!f->of_stream && (int64_t)hub->position > f->next)
        f->next = (int64_t)hub->position;
    if (f->filtered && f->next - 1 > f->told) {
        size = (size_t)snprintf(text, sizeof text, ":\nid: %lld\n\n", (long long)f->next - 1);
        f->told = f->next - 1;
    }
    ring_remove(hub, f);
    ring_add(hub, f);
    if (!write_to(f, (cairn_str){text, size}))
        settle(f);
}

void
api_hub_tick(struct api_loop *loop, int64_t now_us)
{
    struct hub *hub = &loop->hub;
    int64_t due_us = now_us - (int64_t)loop->api->config.heartbeat_ms * 1000;
    while (hub->oldest && hub->oldest->written_us <= due_us)
        heartbeat(hub->oldest);
    struct follower *waiting = hub->waiting;
    hub->waiting = NULL;
    while (waiting) {
        struct follower *f = waiting;
        waiting = f->next_waiting;
        f->in_waiting = false;
        if (f->closed)
            settle(f);
        else
            read_on_pool(f);
    }
}

void
api_hub_free(struct api_loop *loop)
{
    cairn_reader_free(loop->hub.reader);
    free(loop->hub.buckets);
    buf_free(&loop->hub.line);
    buf_free(&loop->hub.frame);
}

/* ---- beginning ------------------------------------------------------------------------------------------------------- */

/* One allocation: the follower, its hooks, its names, their texts. */
struct layout {
    size_t hooks, names, texts, size;
};

static struct layout
layout_of(const struct follow_options *options, size_t hook_count)
{
    struct layout at = {.hooks = sizeof(struct follower)};
    at.names = at.hooks + hook_count * sizeof(struct hook);
    at.texts = at.names + (options->type_count + options->tag_count) * sizeof(cairn_str);
    at.size = at.texts + options->stream.size + options->category.size;
    for (size_t i = 0; i < options->type_count; i++)
        at.size += options->types[i].size;
    for (size_t i = 0; i < options->tag_count; i++)
        at.size += options->tags[i].size;
    return at;
}

static cairn_str
copy_to(char **to, cairn_str text)
{
    cairn_str copy = {*to, text.size};
    if (text.size > 0)
        memcpy(*to, text.data, text.size);
    *to += text.size;
    return copy;
}

static struct follower *
new_follower(struct api_call *call, const struct follow_options *options)
{
    uint64_t keys[API_LIST_MAX];
    size_t hook_count = keys_of(options, keys);
    struct layout at = layout_of(options, hook_count);
    char *memory = calloc(1, at.size);
    if (!memory)
        return NULL;
    struct follower *f = (struct follower *)(void *)memory;
    cairn_str *names = (cairn_str *)(void *)(memory + at.names);
    char *texts = memory + at.texts;
    f->loop = call->loop;
    f->x = call->x;
    f->of_stream = options->of_stream;
    f->system = options->system;
    f->filtered = options->category.size > 0 || options->type_count > 0 || options->tag_count > 0;
    f->next = options->from;
    f->told = options->from - 1;
    f->stream = copy_to(&texts, options->stream);
    f->category = copy_to(&texts, options->category);
    f->item = (cairn_query_item){names, options->type_count, names + options->type_count, options->tag_count};
    for (size_t i = 0; i < options->type_count; i++)
        *names++ = copy_to(&texts, options->types[i]);
    for (size_t i = 0; i < options->tag_count; i++)
        *names++ = copy_to(&texts, options->tags[i]);
    f->hooks = (struct hook *)(void *)(memory + at.hooks);
    f->hook_count = hook_count;
    for (size_t i = 0; i < hook_count; i++)
        f->hooks[i] = (struct hook){NULL, f, keys[i]};
    return f;
}

/* from=end: what comes from now on. */
static cairn_err
resolve_end(struct api *api, struct follow_options *options, cairn_error *error)
{
    if (options->from != CAIRN_FROM_END)
        return CAIRN_OK;
    if (!options->of_stream) {
        options->from = (int64_t)cairn_end(api->store);
        return CAIRN_OK;
    }
    cairn_stream_info info;
    cairn_err err = cairn_stream_info_get(api->store, 0, options->stream, &info, error);
    if (err == CAIRN_OK)
        options->from = info.last_revision + 1;
    return err;
}

cairn_err
api_follow(struct api_call *call, const struct follow_options *options, cairn_error *error)
{
    static const struct http_field fields[] = {
        {"content-type", {"text/event-stream", 17}},
        {"cache-control", {"no-store", 8}},
        {"x-accel-buffering", {"no", 2}}, /* what proxies of nginx's kind ask for */
    };
    struct api *api = call->api;
    struct follow_options wanted = *options;
    if (atomic_fetch_add(&api->followers, 1) >= api->config.followers_max) {
        atomic_fetch_sub(&api->followers, 1);
        return error_set(error, CAIRN_E_BUSY, "%u followers are connected; the limit is %u",
                         api->config.followers_max, api->config.followers_max);
    }
    cairn_err err = api_loop_listen(call->loop, error);
    if (err == CAIRN_OK)
        err = resolve_end(api, &wanted, error);
    struct follower *f = err == CAIRN_OK ? new_follower(call, &wanted) : NULL;
    if (!f) {
        atomic_fetch_sub(&api->followers, 1);
        return err != CAIRN_OK ? err : error_set(error, CAIRN_E_NOMEM, "out of memory");
    }
    call->loop->hub.followers++;
    f->written_us = call->start_us;
    api_count(call, 200);
    http_begin(call->x, 200, fields, sizeof fields / sizeof *fields, on_drain, on_close, f);
    if (cairn_str_equal(http_method(call->x), CAIRN_STR("HEAD")))
        return CAIRN_OK; /* the answer is over; on_close follows */
    if (f->filtered)
        read_on_pool(f); /* a filter that matches seldom may take long to catch up */
    else
        read_on(f);
    return CAIRN_OK;
}
