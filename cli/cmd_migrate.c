/* `cairn migrate`: rows of an existing database as events. See migrate.h for the parts and what must hold. */
#include <base/error.h>
#include <base/hash.h>
#include <base/text.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "event_json.h"
#include "migrate.h"
#include "run.h"

#define BATCH_EVENTS 900
#define BATCH_BYTES (4u << 20)
#define TRIES_MAX 8
#define RESOLVES_MAX 5

/* A stream that this batch has written to. */
struct seen {
    uint64_t hash;
    cairn_str name; /* data NULL: an empty slot */
};

/* The streams that this process knows to be the batch's own. */
struct seen_set {
    struct seen *slots;
    size_t slot_count, count;
    struct arena names;
};

struct migration {
    const struct args *args;
    struct mapping mapping;
    cairn_str batch;
    struct source *source;
    struct target *target;
    struct migration_state state;
    struct seen_set seen;
    struct progress progress;
    int64_t begun_us;
    uint64_t rows_total, rows_per_append;

    /* rows gathered, not yet appended */
    struct made made[BATCH_EVENTS];
    cairn_event events[BATCH_EVENTS];
    cairn_write writes[BATCH_EVENTS + 1];
    size_t made_count, bytes;
    uint64_t rows;
    struct arena arena;
    struct buf key, stream, data; /* of the last row read; of the migration's own event */
};

static cairn_err
no_memory(cairn_error *error)
{
    return error_set(error, CAIRN_E_NOMEM, "out of memory");
}

/* ---- streams of the batch ------------------------------------------------------------------------------------- */

static struct seen *
seen_slot(const struct seen_set *set, cairn_str name, uint64_t hash)
{
    size_t at = hash & (set->slot_count - 1);
    while (set->slots[at].name.data &&
           (set->slots[at].hash != hash || !cairn_str_equal(set->slots[at].name, name)))
        at = (at + 1) & (set->slot_count - 1);
    return &set->slots[at];
}

static bool
is_seen(const struct seen_set *set, cairn_str name)
{
    return set->slot_count && seen_slot(set, name, hash64(name.data, name.size, 0))->name.data;
}

static bool
grow_seen(struct seen_set *set)
{
    struct seen_set larger = {.slot_count = set->slot_count ? set->slot_count * 2 : 1024};
    larger.slots = calloc(larger.slot_count, sizeof *larger.slots);
    if (!larger.slots)
        return false;
    for (size_t i = 0; i < set->slot_count; i++)
        if (set->slots[i].name.data)
            *seen_slot(&larger, set->slots[i].name, set->slots[i].hash) = set->slots[i];
    free(set->slots);
    set->slots = larger.slots;
    set->slot_count = larger.slot_count;
    return true;
}

static bool
see(struct seen_set *set, cairn_str name)
{
    uint64_t hash = hash64(name.data, name.size, 0);
    if (set->count * 2 >= set->slot_count && !grow_seen(set))
        return false;
    struct seen *slot = seen_slot(set, name, hash);
    if (slot->name.data)
        return true;
    *slot = (struct seen){hash, arena_copy(&set->names, name)};
    set->count += slot->name.data != NULL;
    return slot->name.data != NULL;
}

/* ---- appending -------------------------------------------------------------------------------------------------- */

/* Events that follow each other in a stream are one write; the first of a stream that is not known expects that there is
 * none. The migration's own event comes last. */
static size_t
make_writes(struct migration *m, const cairn_event *progress)
{
    size_t count = 0;
    for (size_t i = 0; i < m->made_count; i++) {
        cairn_str stream = m->made[i].stream;
        bool began = is_seen(&m->seen, stream);
        m->events[i] = m->made[i].event;
        if (count && cairn_str_equal(m->writes[count - 1].stream, stream)) {
            m->writes[count - 1].event_count++;
            continue;
        }
        for (size_t w = 0; w < count && !began; w++)
            began = cairn_str_equal(m->writes[w].stream, stream);
        m->writes[count++] = (cairn_write){stream, began ? CAIRN_ANY : CAIRN_NONE, &m->events[i], 1};
    }
    m->writes[count++] = (cairn_write){buf_str(&m->stream), m->state.revision, progress, 1};
    return count;
}

static cairn_err
append(struct migration *m, const cairn_append_request *request, cairn_at *ret, cairn_error *error)
{
    cairn_err err = CAIRN_OK;
    for (unsigned tries = 0; tries < TRIES_MAX; tries++) {
        err = m->target->ops->append(m->target, request, ret, error);
        bool passing = err == CAIRN_E_BUSY || err == CAIRN_E_TIMEOUT || (int)err == (int)CLI_E_UNREACHABLE;
        if (!passing || interrupted)
            break;
        usleep(50000u << tries); /* what is there already shows as a conflict: repeating is safe */
    }
    return err;
}

struct first_event {
    cairn_str batch;
    bool any, own;
};

static bool
look_at_first(void *context, const cairn_recorded *event)
{
    struct first_event *first = context;
    struct json meta = {0};
    struct arena arena = {0};
    first->any = true;
    if (event->event.meta.size && json_check(event->event.meta, &meta, NULL) == CAIRN_OK)
        first->own = cairn_str_equal(json_string(json_get(meta, "migration"), &arena), first->batch);
    arena_free(&arena);
    return false;
}

/* After a conflict. Has our own append come through after all (*ret_done)? Otherwise find out which streams a run before
 * this one has begun; one that somebody else has begun ends the migration. */
static cairn_err
resolve(struct migration *m, size_t write_count, cairn_uuid progress_id, bool *ret_done, cairn_error *error)
{
    struct stream_head head;
    *ret_done = false;
    cairn_err err = m->target->ops->head(m->target, buf_str(&m->stream), &head, error);
    if (err == CAIRN_OK && head.last_revision != m->state.revision) {
        *ret_done = head.readable && memcmp(&head.last_id, &progress_id, sizeof progress_id) == 0;
        return *ret_done ? CAIRN_OK : error_set(error, CAIRN_E_CONFLICT, "somebody else is migrating %.*s",
                                                (int)m->batch.size, m->batch.data);
    }
    for (size_t i = 0; err == CAIRN_OK && i < write_count; i++) {
        cairn_str stream = m->writes[i].stream;
        if (m->writes[i].expected != CAIRN_NONE)
            continue;
        struct first_event first = {.batch = m->batch};
        struct read_request request = {.stream = stream, .limit = 1};
        err = m->target->ops->read(m->target, &request, look_at_first, &first, error);
        if (err == CAIRN_OK && first.any && !first.own)
            err = error_set(error, CAIRN_E_CONFLICT, "stream %.*s is there already, and this batch has not begun it",
                            (int)(stream.size < 120 ? stream.size : 120), stream.data);
        if (err == CAIRN_OK && first.own && !see(&m->seen, stream))
            err = no_memory(error);
    }
    return err;
}

/* One append of what has been gathered and of the progress that counts it, as often as it takes. */
static cairn_err
append_rows(struct migration *m, const cairn_event *progress, cairn_error *error)
{
    bool done = false;
    cairn_at at = {0};
    for (unsigned tries = 0;; tries++) {
        size_t count = make_writes(m, progress);
        const cairn_append_request request = {.writes = m->writes, .write_count = count};
        cairn_err err = append(m, &request, &at, error);
        if (err != CAIRN_E_CONFLICT || tries == RESOLVES_MAX)
            return err;
        err = resolve(m, count, progress->id, &done, error);
        if (err != CAIRN_OK || done)
            return err;
    }
}

/* Make what has been gathered durable. After a failure what the state says is not in the log: the run ends. */
static cairn_err
flush_rows(struct migration *m, cairn_error *error)
{
    struct migration_state *state = &m->state;
    cairn_event progress;
    if (m->rows == 0)
        return CAIRN_OK;
    state->rows += m->rows;
    for (size_t i = 0; i < m->made_count; i++) {
        cairn_err err = audit_event(&state->counted, &m->made[i].event, error);
        if (err != CAIRN_OK)
            return err;
    }
    migration_event(state, "MigrationProgressed", m->batch, (cairn_str){0}, &m->data, &progress);
    if (m->data.failed)
        return no_memory(error);
    cairn_err err = append_rows(m, &progress, error);
    if (err != CAIRN_OK) {
        state->rows -= m->rows;
        return err;
    }
    state->revision++;
    for (size_t i = 0; i < m->made_count; i++)
        if (!see(&m->seen, m->made[i].stream))
            return no_memory(error);
    m->made_count = m->bytes = m->rows = 0;
    arena_reset(&m->arena);
    return CAIRN_OK;
}

/* ---- reading rows -------------------------------------------------------------------------------------------- */

/* Keep the key of a row, and refuse one that is null or comes again: going on after it would lose a row. */
static cairn_err
keep_key(struct migration *m, const struct value *key, cairn_error *error)
{
    struct value *last = &m->state.key;
    if (key->kind == VALUE_NULL)
        return error_set(error, CAIRN_E_INVALID, "%s:%u: a row has no %s: the key must be there in every row",
                         m->mapping.path, m->mapping.key_line, m->mapping.key);
    if (last->kind != VALUE_NULL && cairn_str_equal(last->text, key->text))
        return error_set(error, CAIRN_E_INVALID, "%s:%u: two rows have the %s %.*s: the key must be unique",
                         m->mapping.path, m->mapping.key_line, m->mapping.key,
                         (int)(key->text.size < 80 ? key->text.size : 80), key->text.data);
    buf_clear(&m->key);
    buf_put_str(&m->key, key->text);
    *last = (struct value){key->kind == VALUE_NUMBER ? VALUE_NUMBER : VALUE_TEXT, buf_str(&m->key)};
    return m->key.failed ? no_memory(error) : CAIRN_OK;
}

/* The next row's events after those gathered. CAIRN_E_END after the last row. */
static cairn_err
take_row(struct migration *m, struct made to[RULES_MAX], size_t *ret_count, cairn_error *error)
{
    const struct value *values;
    cairn_err err = m->source->ops->next(m->source, &values, error);
    if (err == CAIRN_OK)
        err = keep_key(m, &values[m->source->key_column], error);
    if (err == CAIRN_OK)
        err = map_row(&m->mapping, m->batch, m->source, values, &m->arena, to, ret_count, error);
    if (err == CAIRN_OK && *ret_count == 0)
        m->state.skipped++;
    return err;
}

static cairn_err
copy_rows(struct migration *m, cairn_error *error)
{
    static struct made made[RULES_MAX];
    bool resumes = m->state.key.kind != VALUE_NULL;
    struct buf key = {0};
    buf_put_str(&key, m->state.key.text); /* the source may not borrow what keep_key() changes */
    const struct value after = {m->state.key.kind, buf_str(&key)};
    cairn_err err = m->source->ops->begin(m->source, resumes ? &after : NULL, m->state.rows, error);
    while (err == CAIRN_OK) {
        size_t count = 0;
        err = interrupted ? error_set(error, CLI_E_INTERRUPTED, "interrupted") : take_row(m, made, &count, error);
        if (err != CAIRN_OK)
            break;
        for (size_t i = 0; i < count; i++) {
            m->bytes += made[i].event.data.size + made[i].event.meta.size + made[i].stream.size + 128;
            m->made[m->made_count++] = made[i];
        }
        m->rows++;
        if (m->rows >= m->rows_per_append || m->made_count + m->mapping.rule_count > BATCH_EVENTS || m->bytes > BATCH_BYTES)
            err = flush_rows(m, error);
        progress_update(&m->progress, m->state.rows + m->rows, m->rows_total, "rows");
    }
    if (err == CAIRN_E_END)
        err = flush_rows(m, error);
    buf_free(&key);
    return err;
}

/* ---- before and after ------------------------------------------------------------------------------------------ */

static int
fail_migration(const struct migration *m, const cairn_error *error)
{
    const char *hint = NULL;
    char text[200];
    if (error->code == CAIRN_E_CONFLICT) {
        hint = "a migration writes streams of its own only: choose another stream template, or run one at a time";
    } else if (m->state.rows) {
        snprintf(text, sizeof text, "%llu rows are in; run it again to go on after them, or take them back: cairn migrate "
                 "--rollback %.*s", (unsigned long long)m->state.rows, (int)m->batch.size, m->batch.data);
        hint = text;
    } else if (error->code > CLI_E_UNREACHABLE) {
        hint = cairn_err_hint(error->code);
    }
    if ((int)error->code == (int)CLI_E_INTERRUPTED) {
        if (m->state.revision >= 0)
            note("%llu rows are in; run it again to go on after them", (unsigned long long)m->state.rows);
        return EXIT_INTERRUPTED;
    }
    if ((int)error->code == (int)CLI_E_UNREACHABLE)
        return fail_error("migrate", error);
    return fail_hint("migrate", error, hint);
}

static bool
go_on(void *context, uint64_t done, uint64_t total, const char *unit)
{
    progress_update(context, done, total, unit);
    return !interrupted;
}

static cairn_err
back_up(struct migration *m, struct buf *folder, cairn_error *error)
{
    const char *named = arg_text(m->args, "backup");
    struct progress progress;
    uint64_t end;
    if (arg_flag(m->args, "no-backup"))
        return CAIRN_OK;
    if (named) {
        buf_put_str(folder, cairn_cstr(named));
    } else {
        char now[TIME_TEXT_SIZE];
        format_time(wall_us(), now);
        buf_printf(folder, "%.*s-backup-%.4s%.2s%.2sT%.2s%.2s%.2sZ", (int)m->batch.size, m->batch.data, now, now + 5, now + 8,
                   now + 11, now + 14, now + 17);
    }
    buf_put_char(folder, '\0');
    if (folder->failed)
        return no_memory(error);
    folder->size--;
    progress_begin(&progress, "backing up");
    cairn_err err = m->target->ops->backup(m->target, folder->data, go_on, &progress, &end, error);
    progress_end(&progress);
    if (err == CAIRN_OK)
        note("backed up %llu events into %s", (unsigned long long)end, folder->data);
    return err;
}

/* A first run, or one after a rollback. */
static cairn_err
start_run(struct migration *m, cairn_error *error)
{
    static const char *const kinds[] = {"sqlite", "postgresql", "csv"};
    struct buf folder = {0}, more = {0};
    struct migration_state *state = &m->state;
    cairn_err err = back_up(m, &folder, error);
    int64_t revision = state->revision;
    uint64_t run = state->run + 1;
    if (err == CAIRN_OK) {
        migration_state_free(state);
        *state = (struct migration_state){.phase = MIGRATION_RUNNING, .revision = revision, .run = run};
        audit_begin(&state->counted, &m->mapping);
        memcpy(state->mapping, m->mapping.digest, sizeof state->mapping);
        buf_printf(&more, ",\"source\":{\"kind\":\"%s\"", kinds[m->mapping.kind]);
        cairn_str what = m->mapping.table.size ? m->mapping.table : m->mapping.query;
        if (what.size) {
            json_put_name(&more, m->mapping.table.size ? "table" : "query");
            json_put_string(&more, what);
        }
        buf_printf(&more, ",\"rows\":%llu}", (unsigned long long)m->rows_total);
        if (folder.size) {
            json_put_text_member(&more, "backup", buf_str(&folder));
        }
        err = more.failed ? no_memory(error)
                          : migration_say(m->target, state, "MigrationStarted", m->batch, buf_str(&more), error);
    }
    buf_free(&folder);
    buf_free(&more);
    return err;
}

/* Is there anything to do, and may it be done? 0 to go on; *ret_complete: it has been done. */
static int
enter(struct migration *m, bool *ret_complete)
{
    struct migration_state *state = &m->state;
    cairn_error error = {0};
    char hint[200];
    bool begun = state->phase == MIGRATION_RUNNING || state->phase == MIGRATION_COMPLETED;
    *ret_complete = state->phase == MIGRATION_COMPLETED;
    snprintf(hint, sizeof hint, "cairn migrate --rollback %.*s", (int)m->batch.size, m->batch.data);
    if (state->phase == MIGRATION_ROLLING_BACK)
        return fail(EXIT_CONFLICT, "migrate", hint, "batch %.*s is being rolled back: let that come to its end first",
                    (int)m->batch.size, m->batch.data);
    if (begun && strcmp(state->mapping, m->mapping.digest) != 0)
        return fail(EXIT_CONFLICT, "migrate", hint,
                    "%s has changed since batch %.*s began: give another batch name, or take it back first",
                    m->mapping.path, (int)m->batch.size, m->batch.data);
    if (state->phase == MIGRATION_RUNNING)
        note("going on after %llu rows", (unsigned long long)state->rows);
    if (begun)
        return 0;
    return start_run(m, &error) == CAIRN_OK ? 0 : fail_migration(m, &error);
}

struct reading_back {
    struct audit *audit;
    struct progress *progress;
    uint64_t total;
    cairn_err err;
    cairn_error *error;
};

static bool
read_one_back(void *context, const cairn_recorded *event)
{
    struct reading_back *reading = context;
    reading->err = audit_event(reading->audit, &event->event, reading->error);
    progress_update(reading->progress, reading->audit->events, reading->total, "events");
    return reading->err == CAIRN_OK && !interrupted;
}

/* Everything that the batch has in the log, read back. */
static cairn_err
read_back(struct migration *m, struct audit *found, cairn_error *error)
{
    char tag[96];
    snprintf(tag, sizeof tag, "migration:%.*s", (int)m->batch.size, m->batch.data);
    cairn_str tags[] = {cairn_cstr(tag)};
    struct read_request request = {.tags = tags, .tag_count = 1};
    struct progress progress;
    struct reading_back reading = {found, &progress, m->state.counted.events, CAIRN_OK, error};
    audit_begin(found, &m->mapping);
    progress_begin(&progress, "checking");
    cairn_err err = m->target->ops->read(m->target, &request, read_one_back, &reading, error);
    progress_end(&progress);
    return interrupted ? error_set(error, CLI_E_INTERRUPTED, "interrupted") : reading.err != CAIRN_OK ? reading.err : err;
}

static void
say_report(const struct migration *m, const struct findings *findings, bool dry)
{
    char took[32];
    const struct migration_state *state = &m->state;
    if (out.json) {
        struct buf line = {0};
        buf_put_str(&line, CAIRN_STR("{\"batch\":"));
        json_put_string(&line, m->batch);
        buf_printf(&line, ",\"run\":%llu,\"rows\":%llu,\"events\":%llu,\"skipped\":%llu,\"types\":",
                   (unsigned long long)state->run, (unsigned long long)state->rows,
                   (unsigned long long)state->counted.events, (unsigned long long)state->skipped);
        audit_put_types(&line, &state->counted);
        json_put_name(&line, "checks");
        findings_put_json(&line, findings);
        buf_printf(&line, ",\"same\":%s,\"dry_run\":%s}", findings->same ? "true" : "false", dry ? "true" : "false");
        out_json_line(&line);
        buf_free(&line);
        return;
    }
    findings_show(findings);
    printf("%s%.*s%s: %llu rows, %llu events%s", style_on(STYLE_BOLD), (int)m->batch.size, m->batch.data, style_off(),
           (unsigned long long)state->rows, (unsigned long long)state->counted.events, dry ? " would be written" : "");
    if (state->skipped)
        printf(", %llu rows give none", (unsigned long long)state->skipped);
    printf(", %s\n", human_duration((uint64_t)(clock_us() - m->begun_us), took));
}

/* Compare, say so in the log (unless it was complete before), and to whoever asked. */
static int
conclude(struct migration *m, bool was_complete)
{
    static struct audit found;
    static struct findings findings;
    cairn_error error = {0};
    struct buf more = {0};
    cairn_err err = read_back(m, &found, &error);
    if (err == CAIRN_OK)
        err = findings_make(&findings, m->source, &m->mapping, m->state.rows, &m->state.counted, &found, &error);
    if (err == CAIRN_OK && !was_complete) {
        buf_put_str(&more, CAIRN_STR(",\"checks\":"));
        findings_put_json(&more, &findings);
        buf_printf(&more, ",\"same\":%s", findings.same ? "true" : "false");
        err = more.failed ? no_memory(&error)
                          : migration_say(m->target, &m->state, "MigrationCompleted", m->batch, buf_str(&more), &error);
    }
    int code = err == CAIRN_OK ? 0 : fail_migration(m, &error);
    if (!code) {
        say_report(m, &findings, false);
        if (was_complete)
            note("it was complete; nothing was written");
        if (!findings.same)
            code = fail(EXIT_FAILED, "migrate", "take it back with cairn migrate --rollback, mend the mapping, run it again",
                        "source and events differ");
    }
    buf_free(&more);
    audit_free(&found);
    findings_free(&findings);
    return code;
}

/* ---- dry run ------------------------------------------------------------------------------------------------------ */

static void
say_sample(const struct made *made)
{
    struct buf line = {0};
    buf_put_str(&line, CAIRN_STR("{\"stream\":"));
    json_put_string(&line, made->stream);
    buf_put_str(&line, CAIRN_STR(",\"event\":"));
    event_put_input(&line, &made->event);
    buf_put_char(&line, '}');
    out_json_line(&line);
    buf_free(&line);
}

static int
dry_run(struct migration *m)
{
    static struct made made[RULES_MAX];
    static struct audit found; /* over what would be written: so the checks are tried too */
    static struct findings findings;
    cairn_error error = {0};
    uint64_t sample, shown = 0;
    int code = arg_u64(m->args, "sample", 10, &sample);
    if (code)
        return code;
    audit_begin(&m->state.counted, &m->mapping);
    audit_begin(&found, &m->mapping);
    cairn_err err = m->source->ops->begin(m->source, NULL, 0, &error);
    while (err == CAIRN_OK) {
        size_t count = 0;
        err = interrupted ? error_set(&error, CLI_E_INTERRUPTED, "interrupted") : take_row(m, made, &count, &error);
        m->state.rows += err == CAIRN_OK;
        for (size_t i = 0; err == CAIRN_OK && i < count; i++) {
            if (shown++ < sample)
                say_sample(&made[i]);
            err = audit_event(&m->state.counted, &made[i].event, &error);
            if (err == CAIRN_OK)
                err = audit_event(&found, &made[i].event, &error);
        }
        arena_reset(&m->arena);
        progress_update(&m->progress, m->state.rows, m->rows_total, "rows");
    }
    progress_end(&m->progress);
    if (err == CAIRN_E_END)
        err = findings_make(&findings, m->source, &m->mapping, m->state.rows, &m->state.counted, &found, &error);
    m->state.rows = err == CAIRN_OK ? m->state.rows : 0; /* a hint must not say that they are in */
    code = err == CAIRN_OK ? 0 : fail_migration(m, &error);
    if (!code) {
        say_report(m, &findings, true);
        code = findings.same ? 0 : fail(EXIT_FAILED, "migrate", NULL, "source and events would differ");
    }
    audit_free(&found);
    findings_free(&findings);
    return code;
}

/* ---- all of it --------------------------------------------------------------------------------------------------- */

static int
migrate(struct migration *m)
{
    cairn_error error = {0};
    bool complete = false;
    int code = target_open(m->args, TARGET_CREATE, &m->target);
    if (code)
        return code;
    migration_stream(m->batch, &m->stream);
    cairn_err err = migration_load(m->target, m->batch, &m->mapping, &m->state, &error);
    if (err == CAIRN_OK) { /* the key is changed row by row: it lives in m->key */
        buf_put_str(&m->key, m->state.key.text);
        m->state.key.text = buf_str(&m->key);
    }
    code = err == CAIRN_OK ? enter(m, &complete) : fail_error("migrate", &error);
    if (!code && !complete) {
        progress_begin(&m->progress, "migrating");
        err = copy_rows(m, &error);
        progress_end(&m->progress);
        if (err != CAIRN_OK)
            code = fail_migration(m, &error);
    }
    if (!code)
        code = conclude(m, complete);
    return code;
}

static int
prepare(struct migration *m, const char *path)
{
    cairn_error error = {0};
    struct buf total = {0};
    const char *batch = arg_text(m->args, "batch");
    int code = mapping_read(m->args, path, &m->mapping);
    if (code)
        return code;
    m->batch = batch ? cairn_cstr(batch) : m->mapping.batch;
    if (!is_batch_name(m->batch))
        return fail(EXIT_USAGE, "migrate", "letters, digits, '.', '_' and '-', at most 64", "--batch: \"%s\" is no name",
                    batch);
    code = arg_u64(m->args, "rows", 200, &m->rows_per_append);
    if (!code && m->rows_per_append == 0)
        code = fail(EXIT_USAGE, "migrate", NULL, "--rows 0");
    if (code)
        return code;
    cairn_err err = source_open(&m->mapping, &m->source, &error);
    if (err != CAIRN_OK)
        return fail_hint("migrate", &error, err == CAIRN_E_NOTFOUND ? "paths are relative to the mapping's folder" : NULL);
    code = mapping_bind(m->args, &m->mapping, m->source);
    if (!code && (err = m->source->ops->aggregate(m->source, CAIRN_STR("count(*)"), &total, &error)) != CAIRN_OK)
        code = fail_hint("migrate", &error, NULL);
    parse_u64(buf_str(&total), &m->rows_total);
    buf_free(&total);
    return code;
}

int
run_migrate(const struct args *args)
{
    const char *rollback = arg_text(args, "rollback"), *status = arg_text(args, "status");
    if (rollback || status) {
        const char *batch = rollback ? rollback : status;
        if (args->operand_count || (rollback && status))
            return fail(EXIT_USAGE, "migrate", NULL, "--%s stands alone", rollback ? "rollback" : "status");
        if (!is_batch_name(cairn_cstr(batch)))
            return fail(EXIT_USAGE, "migrate", NULL, "\"%s\" is no name of a batch", batch);
        return rollback ? migrate_rollback(args, cairn_cstr(batch)) : migrate_status(args, cairn_cstr(batch));
    }
    if (args->operand_count == 0)
        return fail(EXIT_USAGE, "migrate", "usage: cairn migrate MAPPING; docs/migrate.md shows one",
                    "a mapping file is missing");
    if (arg_flag(args, "backup") && arg_flag(args, "no-backup"))
        return fail(EXIT_USAGE, "migrate", NULL, "--backup and --no-backup exclude each other");
    struct migration *m = calloc(1, sizeof *m);
    if (!m)
        return fail(EXIT_FAILED, "migrate", NULL, "out of memory");
    m->args = args;
    m->begun_us = clock_us();
    m->state.revision = -1;
    int code = prepare(m, args->operands[0]);
    if (!code)
        code = arg_flag(args, "dry-run") ? dry_run(m) : migrate(m);
    migration_state_free(&m->state);
    source_close(m->source);
    target_close(m->target);
    mapping_free(&m->mapping);
    arena_free(&m->arena);
    arena_free(&m->seen.names);
    free(m->seen.slots);
    buf_free(&m->key);
    buf_free(&m->stream);
    buf_free(&m->data);
    free(m);
    return code;
}
