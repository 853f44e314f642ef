/* tests/crash/play.h: random work on a log, told to the world (world.h) as it is done.
 *
 * Each play_ function adds what it is about to append to the world as pending, makes the call, and checks the answer.
 * When the call succeeds the facts are acknowledged; when it fails, play_step() decides: a log that has
 * failed may have written them, any other has not. */
#ifndef TESTS_CRASH_PLAY_H
#define TESTS_CRASH_PLAY_H

#include "world.h"

#define GROUP_MAX 6
#define GROUP_DATA_MAX 1000
#define HOUR_US INT64_C(3600000000)

struct play {
    struct world *world;
    struct log *log;
    uint64_t random;
    bool faults;  /* calls may fail; otherwise any failure fails the test */
    bool closing; /* the step asked for the log to be closed and opened again */
    cairn_err err;
    cairn_error error;
    struct {
        unsigned appends, groups, conflicts, repeats, retentions, removals;
    } did;
};

static inline uint64_t
pick(struct play *play, uint64_t below)
{
    return test_random(&play->random) % below;
}

static inline void
play_standing(const struct play *play, struct standing *ret)
{
    world_standing(play->world, play->world->count, os_now_us(cairn_log_os(play->log)), ret);
}

/* ---- writing facts down ------------------------------------------------------------------------ */

static inline struct fact *
add_fact(struct play *play, unsigned stream, uint64_t revision)
{
    struct world *world = play->world;
    CHECK(world->count < FACTS_MAX);
    struct fact *fact = &world->facts[world->count++];
    *fact = (struct fact){
        .stream = (uint8_t)stream,
        .type = (uint8_t)pick(play, TYPES),
        .tags = (uint8_t)(pick(play, 1 << TAGS) & pick(play, 1 << TAGS)),
        .size = (uint16_t)(pick(play, 12) == 0 ? 2000 + pick(play, 5000) : pick(play, 300)),
        .append = (uint32_t)world->note_count - 1,
        .revision = revision,
    };
    for (int i = 0; i < 16; i += 8) {
        uint64_t word = test_random(&play->random);
        memcpy(fact->id.bytes + i, &word, 8);
    }
    return fact;
}

static inline struct note *
add_note(struct play *play)
{
    struct world *world = play->world;
    CHECK(world->note_count < NOTES_MAX);
    struct note *note = &world->notes[world->note_count++];
    *note = (struct note){.first = (uint32_t)world->count, .condition_tag = -1};
    return note;
}

/* What such a stream may be expected to be at. */
static inline int64_t
true_expectation(struct play *play, const struct standing *standing, unsigned stream)
{
    int64_t last = standing->last[stream];
    bool empty = last < 0 || standing->limits[stream].retention.truncate_before > (uint64_t)last;
    switch (pick(play, 4)) {
    case 0:
        return CAIRN_ANY;
    case 1:
        return empty ? CAIRN_NONE : CAIRN_EXISTS;
    default:
        return last < 0 ? CAIRN_NONE : last;
    }
}

static inline unsigned
living_stream(struct play *play, const struct standing *standing, cairn_scope scope)
{
    for (;;) {
        unsigned stream = (unsigned)pick(play, STREAMS);
        if (stream_names[stream].scope == scope && !standing->limits[stream].tombstone)
            return stream;
    }
}

/* Events of one more write of the newest note. */
static inline void
add_write(struct play *play, struct standing *standing, unsigned stream, int64_t expected,
          unsigned events)
{
    struct note *note = &play->world->notes[play->world->note_count - 1];
    note->writes[note->write_count].stream = (uint8_t)stream;
    note->writes[note->write_count].expected = expected;
    note->writes[note->write_count++].count = (uint8_t)events;
    for (unsigned i = 0; i < events; i++)
        (void)add_fact(play, stream, (uint64_t)++standing->last[stream]);
    note->count += events;
}

/* ---- from a note to a request --------------------------------------------------------------------- */

#define EVENTS_MAX (WRITES_MAX * 4)

struct request {
    struct event_memory memory[EVENTS_MAX];
    cairn_event events[EVENTS_MAX];
    cairn_write writes[WRITES_MAX];
    cairn_str tag;
    cairn_query_item item;
    cairn_condition condition;
    cairn_append_request request;
};

static inline const cairn_append_request *
note_request(const struct world *world, const struct note *note, struct request *to)
{
    size_t event = 0;
    for (size_t i = 0; i < note->write_count; i++) {
        unsigned stream = note->writes[i].stream;
        to->request.scope = stream_names[stream].scope;
        to->writes[i] = (cairn_write){cairn_cstr(stream_names[stream].name), note->writes[i].expected,
                                      &to->events[event], note->writes[i].count};
        for (size_t j = 0; j < note->writes[i].count; j++, event++)
            to->events[event] = fact_event(&world->facts[note->first + event], &to->memory[event]);
    }
    to->request.writes = to->writes;
    to->request.write_count = note->write_count;
    to->request.conditions = NULL;
    to->request.condition_count = 0;
    if (note->condition_tag >= 0) {
        to->tag = cairn_cstr(tag_names[note->condition_tag]);
        to->item = (cairn_query_item){.tags = &to->tag, .tag_count = 1};
        to->condition = (cairn_condition){{&to->item, 1}, note->after};
        to->request.conditions = &to->condition;
        to->request.condition_count = 1;
    }
    return &to->request;
}

static inline struct request *
request_memory(void)
{
    static struct request memory;
    return &memory;
}

static inline void
check_at(const struct world *world, const struct note *note, const cairn_at *at, bool repeated)
{
    EXPECT(at->first_position == note->first && at->last_position == note->first + note->count - 1,
           "the append of %u to %u landed at %llu to %llu", note->first,
           note->first + note->count - 1, (unsigned long long)at->first_position,
           (unsigned long long)at->last_position);
    EXPECT(at->revision == world->facts[note->first + note->count - 1].revision
               && at->repeated == repeated,
           "the append of %u: revision %llu, repeated %d", note->first,
           (unsigned long long)at->revision, at->repeated);
}

/* Append what the newest note says. */
static inline cairn_err
append_note(struct play *play)
{
    struct world *world = play->world;
    const struct note *note = &world->notes[world->note_count - 1];
    cairn_at at;
    cairn_err err = cairn_log_append(play->log, note_request(world, note, request_memory()), &at,
                                     &play->error);
    if (err == CAIRN_OK) {
        check_at(world, note, &at, false);
        world->acked = world->count;
        play->did.appends++;
    }
    return err;
}

/* ---- things to do ----------------------------------------------------------------------------------- */

static inline cairn_scope
pick_scope(struct play *play)
{
    return scopes[pick(play, 5) == 0];
}

static inline cairn_err
play_append(struct play *play)
{
    struct standing standing;
    play_standing(play, &standing);
    unsigned stream = living_stream(play, &standing, pick_scope(play));
    int64_t expected = true_expectation(play, &standing, stream);
    (void)add_note(play);
    add_write(play, &standing, stream, expected, pick(play, 3) ? 1 : (unsigned)(1 + pick(play, 4)));
    return append_note(play);
}

/* Several streams, perhaps one of them twice, in one append. */
static inline cairn_err
play_many(struct play *play)
{
    struct standing standing;
    play_standing(play, &standing);
    cairn_scope scope = pick_scope(play);
    unsigned writes = 2 + (unsigned)pick(play, WRITES_MAX - 1);
    (void)add_note(play);
    for (unsigned i = 0; i < writes; i++) {
        unsigned stream = living_stream(play, &standing, scope);
        /* A stream's second write expects what the first one makes. */
        int64_t expected = true_expectation(play, &standing, stream);
        add_write(play, &standing, stream, expected, 1 + (unsigned)pick(play, 3));
    }
    return append_note(play);
}

/* Enough to fill a small segment in a few goes. */
static inline cairn_err
play_bulk(struct play *play)
{
    struct standing standing;
    play_standing(play, &standing);
    (void)add_note(play);
    add_write(play, &standing, 0, CAIRN_ANY, 4);
    for (size_t i = play->world->count - 4; i < play->world->count; i++)
        play->world->facts[i].size = 5000;
    return append_note(play);
}

/* "Nobody has used this tag since I looked", and the append uses it. */
static inline cairn_err
play_condition(struct play *play)
{
    struct standing standing;
    play_standing(play, &standing);
    cairn_scope scope = pick_scope(play);
    int tag = (int)pick(play, TAGS);
    int64_t after = -1;
    for (size_t i = 0; i < play->world->count; i++)
        if (!play->world->facts[i].is_retention && fact_scope(&play->world->facts[i]) == scope
            && (play->world->facts[i].tags >> tag & 1))
            after = (int64_t)i;
    struct note *note = add_note(play);
    note->condition_tag = tag;
    note->after = after;
    add_write(play, &standing, living_stream(play, &standing, scope), CAIRN_ANY, 1 + (unsigned)pick(play, 2));
    play->world->facts[note->first].tags |= (uint8_t)(1 << tag);
    return append_note(play);
}

struct group_member {
    struct play *play;
    const struct note *note;
    bool done;
    cairn_err err;
};

static inline void
group_done(void *context, cairn_err err, const cairn_at *at, const cairn_error *error)
{
    struct group_member *member = context;
    member->done = true;
    member->err = err;
    if (err == CAIRN_OK)
        check_at(member->play->world, member->note, at, false);
    else if (error != NULL)
        member->play->error = *error;
}

/* Several appends in one batch, as concurrent callers make them: while "somebody commits", they queue. A segment
 * must not end meanwhile, since that waits for the one who commits. */
static inline cairn_err
play_group(struct play *play)
{
    struct world *world = play->world;
    struct log *log = play->log;
    struct group_member members[GROUP_MAX];
    unsigned wanted = 2 + (unsigned)pick(play, GROUP_MAX - 1), count = 0;
    cairn_err err = CAIRN_OK;
    pthread_mutex_lock(&log->lock);
    bool room = log->tail + GROUP_MAX * (GROUP_DATA_MAX + 600) <= log->options.segment_size_bytes
                && !atomic_load(&log->failed) && !atomic_load(&log->disk_full)
                && cairn_series_has_room(log->series, GROUP_MAX * 4 * LOG_KEYS_MAX,
                                         log->next_position);
    if (room)
        log->committing = true;
    pthread_mutex_unlock(&log->lock);
    if (!room)
        return cairn_log_maintain(log, &play->error);
    while (err == CAIRN_OK && count < wanted) {
        struct standing standing;
        play_standing(play, &standing);
        unsigned stream = living_stream(play, &standing, pick_scope(play));
        const struct note *note = add_note(play);
        add_write(play, &standing, stream, true_expectation(play, &standing, stream), 1);
        world->facts[note->first].size %= GROUP_DATA_MAX;
        members[count] = (struct group_member){.play = play, .note = note};
        err = cairn_log_append_async(log, note_request(world, note, request_memory()), group_done,
                                     &members[count], &play->error);
        if (err == CAIRN_OK) {
            count++;
        } else { /* refused at once: only this one is not in the batch */
            world->count = note->first;
            world->note_count--;
        }
    }
    pthread_mutex_lock(&log->lock);
    log->committing = false;
    commit_drain(log);
    pthread_mutex_unlock(&log->lock);
    for (unsigned i = 0; i < count; i++) {
        EXPECT(members[i].done, "append %u of a group was never answered", i);
        EXPECT(members[i].err == members[0].err, "appends of one batch were answered differently");
        err = members[i].err;
    }
    if (err == CAIRN_OK)
        world->acked = world->count;
    play->did.groups++;
    return err;
}

/* An append that must be refused, and leave nothing. */
static inline cairn_err
play_refused(struct play *play)
{
    struct standing standing;
    play_standing(play, &standing);
    struct world *world = play->world;
    cairn_scope scope = pick_scope(play);
    unsigned stream = living_stream(play, &standing, scope);
    size_t end = world->acked;
    cairn_err should = CAIRN_E_CONFLICT;
    struct note *note = add_note(play);
    add_write(play, &standing, living_stream(play, &standing, scope), CAIRN_ANY, 1);
    int64_t expected = standing.last[stream] + 1 + (int64_t)pick(play, 3);
    if (pick(play, 3) == 0) {
        expected = CAIRN_ANY;
        note->after = -1;
        for (size_t i = 0; i < end && note->condition_tag < 0; i++)
            if (!world->facts[i].is_retention && fact_scope(&world->facts[i]) == scope
                && world->facts[i].tags != 0)
                note->condition_tag = __builtin_ctz(world->facts[i].tags);
        if (note->condition_tag < 0) {
            world_forget_pending(world);
            return CAIRN_OK;
        }
        should = CAIRN_E_CONDITION;
    }
    add_write(play, &standing, stream, expected, 1);
    cairn_at at;
    cairn_err err = cairn_log_append(play->log, note_request(world, note, request_memory()), &at,
                                     &play->error);
    EXPECT(err != CAIRN_OK, "an append was taken that should have met %s", cairn_err_name(should));
    EXPECT(play->error.detail[0] != '\0', "no detail for %s", cairn_err_name(err));
    if (err != should)
        return err;
    world_forget_pending(world);
    play->did.conflicts++;
    return CAIRN_OK;
}

/* May this append be recognised by the log alone, however old it is? It must expect an exact place, or a
 * condition that it has broken itself; and nothing of its streams may have been taken away. */
static inline bool
is_repeatable(const struct world *world, const struct standing *standing, const struct note *note)
{
    bool exact = note->condition_tag >= 0;
    size_t at = note->first;
    for (size_t i = 0; i < note->write_count; at += note->writes[i++].count) {
        const struct limits *limits = &standing->limits[note->writes[i].stream];
        int64_t expected = note->writes[i].expected;
        if (limits->tombstone || limits->retention.truncate_before > world->facts[at].revision)
            return false;
        /* "No events" means the beginning, or where the stream was deleted last. */
        if (expected == CAIRN_NONE && world->facts[at].revision != limits->retention.truncate_before)
            return false;
        exact |= expected >= 0 || expected == CAIRN_NONE;
    }
    for (; at > note->first; at--)
        if (world->facts[at - 1].removed)
            return false;
    return exact && note->write_count > 0;
}

static inline cairn_err
repeat_note(struct play *play, const struct note *note)
{
    cairn_at at;
    uint64_t end = cairn_log_end(play->log);
    cairn_err err = cairn_log_append(play->log, note_request(play->world, note, request_memory()), &at,
                                     &play->error);
    if (err != CAIRN_OK)
        return err;
    check_at(play->world, note, &at, true);
    EXPECT(cairn_log_end(play->log) == end, "a repeated append wrote something");
    play->did.repeats++;
    return CAIRN_OK;
}

/* The newest append again, and one from long ago. */
static inline cairn_err
play_repeat(struct play *play)
{
    struct world *world = play->world;
    struct standing standing;
    play_standing(play, &standing);
    if (world->note_count == 0)
        return CAIRN_OK;
    const struct note *newest = &world->notes[world->note_count - 1];
    const struct note *old = &world->notes[pick(play, world->note_count)];
    cairn_err err = CAIRN_OK;
    if (is_repeatable(world, &standing, newest))
        err = repeat_note(play, newest);
    if (err == CAIRN_OK && is_repeatable(world, &standing, old))
        err = repeat_note(play, old);
    return err;
}

static inline cairn_err
play_retention(struct play *play)
{
    struct standing standing;
    play_standing(play, &standing);
    unsigned stream = living_stream(play, &standing, pick_scope(play));
    int64_t last = standing.last[stream];
    cairn_retention limits = {0};
    switch (pick(play, 4)) {
    case 0:
        limits.max_count = 1 + pick(play, 6);
        break;
    case 1:
        limits.truncate_before = pick(play, (uint64_t)last + 2);
        break;
    case 2:
        limits.max_age_us = (uint64_t)HOUR_US;
        break;
    default: /* none: everything that is still there comes back */
        break;
    }
    (void)add_note(play);
    struct fact *fact = add_fact(play, stream, (uint64_t)(standing.last_retention[stream] + 1));
    fact->is_retention = true;
    fact->limits.retention = limits;
    cairn_str name = cairn_cstr(stream_names[stream].name);
    cairn_err err = cairn_log_retention_set(play->log, stream_names[stream].scope, name, &limits, &play->error);
    if (err == CAIRN_OK)
        play->world->acked = play->world->count;
    play->did.retentions++;
    return err;
}

/* Age counts from the time that the log gave an event: ask for it. */
static inline cairn_err
learn_times(struct play *play)
{
    struct world *world = play->world;
    struct block *block = block_new();
    cairn_err err = block != NULL ? CAIRN_OK : error_set(&play->error, CAIRN_E_NOMEM, "no block");
    for (size_t i = 0; err == CAIRN_OK && i < world->acked; i++) {
        struct record record;
        if (world->facts[i].time_us == 0)
            err = log_read_record(play->log, block, i, BLOCK_SCAN, &record, &play->error);
        if (world->facts[i].time_us == 0 && err == CAIRN_OK)
            world->facts[i].time_us = record.time_us;
    }
    block_free(block);
    return err;
}

static inline cairn_err
play_delete(struct play *play)
{
    struct standing standing;
    cairn_err err = learn_times(play);
    if (err != CAIRN_OK)
        return err;
    play_standing(play, &standing);
    unsigned stream = living_stream(play, &standing, pick_scope(play));
    bool tombstone = pick(play, 4) == 0 && stream >= 6, exists = false;
    if (stream == 0 || stream == 9) /* one of each scope lives on */
        tombstone = false;
    for (size_t i = 0; i < play->world->acked; i++) {
        const struct fact *fact = &play->world->facts[i];
        exists |= !fact->is_retention && fact->stream == stream && fact_kept(&standing, fact);
    }
    bool there = exists || (tombstone && standing.last[stream] >= 0);
    if (there) {
        (void)add_note(play);
        struct fact *fact = add_fact(play, stream, (uint64_t)(standing.last_retention[stream] + 1));
        fact->is_retention = true;
        fact->limits = standing.limits[stream];
        fact->limits.retention.truncate_before = (uint64_t)standing.last[stream] + 1;
        fact->limits.tombstone = tombstone;
    }
    err = cairn_log_delete(play->log, stream_names[stream].scope,
                                     cairn_cstr(stream_names[stream].name), CAIRN_ANY, tombstone,
                                     &play->error);
    if (!there && err == CAIRN_E_NOTFOUND)
        return CAIRN_OK;
    EXPECT(there || err != CAIRN_OK, "a stream was deleted that is not there");
    if (err == CAIRN_OK)
        play->world->acked = play->world->count;
    play->did.retentions++;
    return err;
}

/* What is hidden now may be gone from now on. By itself, or because somebody asks for it. */
static inline cairn_err
play_scavenge(struct play *play)
{
    struct standing standing;
    cairn_err err = learn_times(play);
    if (err != CAIRN_OK)
        return err;
    play_standing(play, &standing);
    for (size_t i = 0; i < play->world->acked; i++)
        if (!fact_kept(&standing, &play->world->facts[i]))
            play->world->facts[i].may_go = true;
    cairn_scavenge_report report;
    err = pick(play, 2) ? log_sweep(play->log, &report, &play->error)
                        : cairn_log_scavenge(play->log, NULL, NULL, &report, &play->error);
    if (err != CAIRN_OK)
        return err;
    play->did.removals += (unsigned)report.events_removed;
    struct block *block = block_new();
    if (block == NULL)
        return error_set(&play->error, CAIRN_E_NOMEM, "no block");
    for (size_t i = 0; err == CAIRN_OK && i < play->world->acked; i++) {
        struct record record;
        err = log_read_record(play->log, block, i, BLOCK_SCAN, &record, &play->error);
        if (err == CAIRN_OK && record.kind == RECORD_REMOVED && play->world->facts[i].may_go)
            play->world->facts[i].removed = true;
    }
    block_free(block);
    return err;
}

static inline cairn_err
play_maintain(struct play *play)
{
    return cairn_log_maintain(play->log, &play->error);
}

static inline cairn_err
play_closing_frame(struct play *play)
{
    return log_write_closing_frame(play->log, &play->error);
}

static inline cairn_err
play_reindex(struct play *play)
{
    cairn_err err = cairn_log_reindex(play->log, NULL, NULL, &play->error);
    return err == CAIRN_E_BUSY ? CAIRN_OK : err; /* once between opening and closing */
}

/* ---- one step ------------------------------------------------------------------------------------------- */

static inline cairn_err
play_any(struct play *play)
{
    unsigned dice = (unsigned)pick(play, 100);
    return dice < 40   ? play_append(play)
           : dice < 54 ? play_many(play)
           : dice < 63 ? play_condition(play)
           : dice < 71 ? play_group(play)
           : dice < 76 ? play_refused(play)
           : dice < 80 ? play_repeat(play)
           : dice < 85 ? play_retention(play)
           : dice < 88 ? play_delete(play)
           : dice < 94 ? play_maintain(play)
           : dice < 96 ? play_closing_frame(play)
           : dice < 98 ? play_scavenge(play)
           : dice < 99 ? play_reindex(play)
                       : CAIRN_OK;
}

static inline bool
has_failed(const struct play *play)
{
    return atomic_load(&play->log->failed);
}

/* Do this. Afterwards the world says what is acknowledged, and what may be there besides. */
static inline void
play_do(struct play *play, cairn_err (*act)(struct play *play))
{
    bool had_failed = has_failed(play);
    size_t acked = play->world->acked;
    memset(&play->error, 0, sizeof play->error);
    play->err = act(play);
    if (play->err == CAIRN_OK) {
        EXPECT(play->world->acked == play->world->count, "something was left pending");
        EXPECT(!has_failed(play), "a call succeeded, and the log failed: %s",
               play->log->failure.detail);
        return;
    }
    EXPECT(play->faults, "%s: %s", cairn_err_name(play->err), play->error.detail);
    EXPECT(play->error.detail[0] != '\0' && play->error.code == play->err,
           "%s: the error's code is %d, its detail '%s'", cairn_err_name(play->err),
           play->error.code, play->error.detail);
    EXPECT(play->world->acked == acked, "a failed call was acknowledged");
    EXPECT(cairn_log_end(play->log) == acked, "a failed call moved the end to %llu",
           (unsigned long long)cairn_log_end(play->log));
    EXPECT(!had_failed, "work on a log that has failed");
    if (!has_failed(play))
        world_forget_pending(play->world);
}

static inline void
play_step(struct play *play)
{
    play->closing = pick(play, 40) == 0;
    play_do(play, play_any);
}

#endif
