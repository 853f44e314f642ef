/* What the log says of a batch: the stream migration-<batch>, whose last event tells everything. See migrate.h.
 *
 *   MigrationStarted ─► MigrationProgressed … ─► MigrationCompleted
 *          ▲                      └──────┬───────────────┘
 *          │ next run                    ▼
 *   MigrationRolledBack ◄── MigrationRollbackStarted                                                       */
#include <base/error.h>
#include <base/text.h>
#include <os/os.h>

#include "migrate.h"

static const struct {
    const char *type;
    enum migration_phase phase;
} phases[] = {{"MigrationStarted", MIGRATION_RUNNING},
              {"MigrationProgressed", MIGRATION_RUNNING},
              {"MigrationCompleted", MIGRATION_COMPLETED},
              {"MigrationRollbackStarted", MIGRATION_ROLLING_BACK},
              {"MigrationRolledBack", MIGRATION_ROLLED_BACK}};

void
migration_stream(cairn_str batch, struct buf *to)
{
    buf_clear(to);
    buf_put_str(to, CAIRN_STR("migration-"));
    buf_put_str(to, batch);
}

struct loading {
    struct migration_state *state;
    bool fine;
};

static void
take_types(struct migration_state *state, struct json types)
{
    struct json_walk walk = json_walk(types);
    struct json name, value;
    while (json_next(&walk, &name, &value)) {
        uint64_t count = 0;
        json_u64(value, &count);
        audit_add_type(&state->counted, json_string(name, &state->arena), count);
        state->counted.events += count;
    }
}

static bool
take_last(void *context, const cairn_recorded *event)
{
    struct loading *loading = context;
    struct migration_state *state = loading->state;
    struct json data;
    loading->fine = false;
    for (size_t i = 0; i < sizeof phases / sizeof *phases; i++)
        if (cairn_str_equal(event->event.type, cairn_cstr(phases[i].type)))
            state->phase = phases[i].phase;
    cairn_str text = arena_copy(&state->arena, event->event.data);
    if (state->phase == MIGRATION_NONE || !text.data || json_check(text, &data, NULL) != CAIRN_OK)
        return false;
    state->revision = (int64_t)event->revision;
    state->time_us = event->time_us;
    state->run = wire_number(data, "run");
    state->rows = wire_number(data, "rows");
    state->skipped = wire_number(data, "skipped");
    state->same = json_get(data, "same").type == JSON_TRUE;
    struct json key = json_get(data, "key");
    if (key.type == JSON_STRING)
        state->key = (struct value){VALUE_TEXT, json_string(key, &state->arena)};
    else if (key.type == JSON_NUMBER)
        state->key = (struct value){VALUE_NUMBER, key.raw};
    cairn_str digest = json_string(json_get(data, "mapping"), &state->arena);
    snprintf(state->mapping, sizeof state->mapping, "%.*s", (int)digest.size, digest.size ? digest.data : "");
    take_types(state, json_get(data, "types"));
    loading->fine = true;
    return false;
}

cairn_err
migration_load(struct target *target, cairn_str batch, const struct mapping *mapping, struct migration_state *ret,
               cairn_error *error)
{
    struct buf stream = {0};
    *ret = (struct migration_state){.revision = -1};
    audit_begin(&ret->counted, mapping);
    struct loading loading = {ret, true};
    migration_stream(batch, &stream);
    struct read_request last = {.stream = buf_str(&stream), .backward = true, .limit = 1};
    cairn_err err = stream.failed ? error_set(error, CAIRN_E_NOMEM, "out of memory")
                                  : target->ops->read(target, &last, take_last, &loading, error);
    if (err == CAIRN_OK && !loading.fine)
        err = error_set(error, CAIRN_E_CONFLICT, "the last event of %.*s is none of a migration's", (int)stream.size,
                        stream.data);
    buf_free(&stream);
    if (err != CAIRN_OK)
        migration_state_free(ret);
    return err;
}

void
migration_state_free(struct migration_state *state)
{
    audit_free(&state->counted);
    arena_free(&state->arena);
}

void
migration_event(const struct migration_state *state, const char *type, cairn_str batch, cairn_str more, struct buf *data,
                cairn_event *ret)
{
    uint8_t random[10];
    buf_clear(data);
    buf_put_str(data, CAIRN_STR("{\"batch\":"));
    json_put_string(data, batch);
    buf_printf(data, ",\"run\":%llu,\"mapping\":\"%s\",\"rows\":%llu,\"events\":%llu,\"skipped\":%llu,\"key\":",
               (unsigned long long)state->run, state->mapping, (unsigned long long)state->rows,
               (unsigned long long)state->counted.events, (unsigned long long)state->skipped);
    value_put_json(data, &state->key);
    json_put_name(data, "types");
    audit_put_types(data, &state->counted);
    buf_put_str(data, more);
    buf_put_char(data, '}');
    /* an id of this process only: one that two could make would let both believe that they wrote it */
    os_random(os_real(), random, sizeof random);
    *ret = (cairn_event){.id = uuid_v7(wall_us(), random), .type = cairn_cstr(type), .data = buf_str(data)};
}

cairn_err
migration_say(struct target *target, struct migration_state *state, const char *type, cairn_str batch, cairn_str more,
              cairn_error *error)
{
    struct buf stream = {0}, data = {0};
    cairn_event event;
    cairn_at at;
    migration_stream(batch, &stream);
    migration_event(state, type, batch, more, &data, &event);
    const cairn_write write = {buf_str(&stream), state->revision >= 0 ? state->revision : CAIRN_NONE, &event, 1};
    const cairn_append_request request = {.writes = &write, .write_count = 1};
    cairn_err err = stream.failed || data.failed ? error_set(error, CAIRN_E_NOMEM, "out of memory")
                                                 : target->ops->append(target, &request, &at, error);
    if (err == CAIRN_OK)
        state->revision = (int64_t)at.revision;
    buf_free(&stream);
    buf_free(&data);
    return err;
}
