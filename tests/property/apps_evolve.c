/* Goal: an app whose event changes its form again and again loses nothing. Every event, whichever version wrote it, reads as
 * the newest: in read models now and of any time before, in states, through restarts, and it is valid by the newest schema.
 * Read models equal those rebuilt from nothing.
 *
 * Method: random deployments (rename, default, move, remove, a Lua step, or nothing of the sort), commands and restarts in
 * between, against a model: a list of members that every event has, and each event's values. */
#include "apps_rig.h"

#include <base/error.h>
#include <schema/json_schema.h>

#define MEMBERS_MAX 24
#define EVENTS_MAX 400
#define STREAMS 5
#define STEPS_MAX 80

struct member {
    char path[24]; /* "m3" or "box1/m3" */
    bool text;
};

struct noted {
    uint64_t position;
    unsigned stream;
    int64_t values[MEMBERS_MAX]; /* as the members; text is "t<value>" */
};

struct model {
    struct member members[MEMBERS_MAX];
    size_t member_count, event_count, step_count;
    unsigned names, version; /* of the schema */
    struct noted events[EVENTS_MAX];
    struct buf steps; /* of app.yaml's upcast list */
    char scripts[STEPS_MAX][160], script_paths[STEPS_MAX][32];
    size_t script_count;
};

static struct apps_rig rig;
static struct model model;
static uint64_t seed;

static unsigned
below(unsigned n)
{
    return (unsigned)(test_random(&seed) % n);
}

/* ---- the app's files as the model has it ------------------------------------------------------------------------ */

/* "box1" of "box1/m3"; false: at the top. */
static bool
box_of(const struct member *member, char box[24])
{
    const char *slash = strchr(member->path, '/');
    if (slash == NULL)
        return false;
    snprintf(box, 24, "%.*s", (int)(slash - member->path), member->path);
    return true;
}

/* Calls for each member at a place: "" is the top. */
static void
put_properties(struct buf *to, const char *in, bool names_only)
{
    for (size_t i = 0; i < model.member_count; i++) {
        char box[24] = "";
        (void)box_of(&model.members[i], box);
        if (strcmp(box, in) != 0)
            continue;
        const char *name = in[0] ? strchr(model.members[i].path, '/') + 1 : model.members[i].path;
        json_put_comma(to);
        buf_printf(to, names_only ? "\"%s\"" : model.members[i].text ? "\"%s\":{\"type\":\"string\"}" : "\"%s\":{\"type\":\"integer\"}", name);
    }
}

/* Members of boxes, box by box; an emptied box may still be there. */
static void
put_schema(struct buf *to)
{
    buf_printf(to, "{\"title\":\"version %u\",\"type\":\"object\",\"additionalProperties\":false,\"required\":[", model.version);
    put_properties(to, "", true);
    buf_put_str(to, CAIRN_STR("],\"properties\":{"));
    put_properties(to, "", false);
    for (unsigned i = 0; i < 3; i++) {
        char box[24];
        snprintf(box, sizeof box, "box%u", i);
        json_put_comma(to);
        buf_printf(to, "\"%s\":{\"type\":\"object\",\"additionalProperties\":false,\"required\":[", box);
        put_properties(to, box, true);
        buf_put_str(to, CAIRN_STR("],\"properties\":{"));
        put_properties(to, box, false);
        buf_put_str(to, CAIRN_STR("}}"));
    }
    buf_put_str(to, CAIRN_STR("}}"));
}

static void
put_value(struct buf *to, const struct member *member, const char *name, int64_t value)
{
    json_put_comma(to);
    buf_printf(to, member->text ? "\"%s\":\"t%lld\"" : "\"%s\":%lld", name, (long long)value);
}

static void
put_data(struct buf *to, const int64_t *values)
{
    buf_put_char(to, '{');
    for (size_t i = 0; i < model.member_count; i++)
        if (strchr(model.members[i].path, '/') == NULL)
            put_value(to, &model.members[i], model.members[i].path, values[i]);
    for (unsigned b = 0; b < 3; b++) {
        bool any = false;
        for (size_t i = 0; i < model.member_count; i++) {
            char box[24] = "", want[24];
            snprintf(want, sizeof want, "box%u", b);
            if (!box_of(&model.members[i], box) || strcmp(box, want) != 0)
                continue;
            if (!any) {
                json_put_comma(to);
                buf_printf(to, "\"%s\":{", want);
            }
            any = true;
            put_value(to, &model.members[i], strchr(model.members[i].path, '/') + 1, values[i]);
        }
        if (any)
            buf_put_char(to, '}');
    }
    buf_put_char(to, '}');
}

static void
deploy(unsigned release)
{
    static const char notes[] = "-- table\nCREATE TABLE note (position INTEGER PRIMARY KEY, stream TEXT NOT NULL, data TEXT NOT NULL);\n"
                                "-- on Noted\nINSERT INTO note (position, stream, data) VALUES (:position, :stream_id, :data);\n";
    static const char lua[] = "return {initial = {count = 0, last = {}},\n"
                              "evolve = {Noted = function(state, event) state.count = state.count + 1; state.last = event.data end},\n"
                              "decide = {Note = function(state, command) return {type = \"Noted\", data = command.data.data} end}}\n";
    struct rig_files files = {.count = 0};
    struct buf yaml = {0}, schema = {0}, readme = {0};
    buf_put_str(&yaml, CAIRN_STR("app: notes\ndeciders: {note: {lua: note.lua, snapshot: {every: 3}}}\ncommands:\n"
                                 "  Note: {schema: {type: object, required: [id, data], properties: {id: {type: string}, data: {type: object}}}, stream: \"note-{id}\"}\n"
                                 "events:\n  Noted:\n    schema: noted.json\n"));
    if (model.steps.size > 0) {
        buf_put_str(&yaml, CAIRN_STR("    upcast:\n"));
        buf_put_str(&yaml, buf_str(&model.steps));
    }
    put_schema(&schema);
    buf_printf(&readme, "release %u\n", release);
    rig_file(&files, "app.yaml", rig_text(&yaml));
    rig_file(&files, "noted.json", rig_text(&schema));
    rig_file(&files, "README.md", rig_text(&readme));
    rig_file(&files, "note.lua", lua);
    rig_file(&files, "projections/notes.sql", notes);
    rig_file(&files, "queries/notes.sql", "-- key position\n-- sort position\n-- json data\n-- limit 1000 max 1000\nSELECT position, stream, data FROM note\n");
    for (size_t i = 0; i < model.script_count; i++)
        rig_file(&files, model.script_paths[i], model.scripts[i]);
    rig_must_deploy(&rig, &files);
    buf_free(&yaml);
    buf_free(&schema);
    buf_free(&readme);
}

/* ---- what may change ---------------------------------------------------------------------------------------------- */

static void
new_name(char to[24], const char *box)
{
    snprintf(to, 24, "%.8s%sm%u", box, box[0] ? "/" : "", model.names++);
}

static void
random_box(char box[24])
{
    unsigned b = below(4);
    if (b < 3)
        snprintf(box, 24, "box%u", b);
    else
        box[0] = '\0';
}

/* Another version of the schema, with a step that leads there. */
static void
change_form(void)
{
    unsigned what = below(5);
    size_t at = model.member_count > 0 ? below((unsigned)model.member_count) : 0;
    char name[24], box[24] = "";
    struct member *member = &model.members[at];
    if (model.member_count == 0 || (what == 1 && model.member_count == MEMBERS_MAX))
        what = model.member_count == 0 ? 1 : 0;
    if (what == 4 && member->text)
        what = 0;
    unsigned to = ++model.version;
    switch (what) {
    case 0: /* rename, where it is */
        (void)box_of(member, box);
        new_name(name, box);
        buf_printf(&model.steps, "      - {to: %u, rename: {\"/%s\": \"/%s\"}}\n", to, member->path, name);
        memcpy(member->path, name, sizeof name);
        break;
    case 1: { /* another member, which earlier events have by default */
        member = &model.members[model.member_count];
        random_box(box);
        new_name(member->path, box);
        member->text = below(2);
        int64_t value = below(1000);
        buf_printf(&model.steps, member->text ? "      - {to: %u, default: {\"/%s\": t%lld}}\n" : "      - {to: %u, default: {\"/%s\": %lld}}\n",
                   to, member->path, (long long)value);
        for (size_t i = 0; i < model.event_count; i++)
            model.events[i].values[model.member_count] = value;
        model.member_count++;
        break;
    }
    case 2: /* move */
        random_box(box);
        new_name(name, box);
        buf_printf(&model.steps, "      - {to: %u, move: {\"/%s\": \"/%s\"}}\n", to, member->path, name);
        memcpy(member->path, name, sizeof name);
        break;
    case 3: /* remove */
        buf_printf(&model.steps, "      - {to: %u, remove: [\"/%s\"]}\n", to, member->path);
        model.member_count--;
        memmove(member, member + 1, (model.member_count - at) * sizeof *member);
        for (size_t i = 0; i < model.event_count; i++)
            memmove(&model.events[i].values[at], &model.events[i].values[at + 1], (model.member_count - at) * sizeof(int64_t));
        break;
    default: { /* a script that counts */
        int64_t more = 1 + below(9);
        size_t n = model.script_count++;
        char dotted[24];
        snprintf(dotted, sizeof dotted, "%s", member->path);
        if (strchr(dotted, '/') != NULL)
            *strchr(dotted, '/') = '.';
        snprintf(model.script_paths[n], sizeof model.script_paths[n], "upcasts/%u.lua", to);
        snprintf(model.scripts[n], sizeof model.scripts[n], "return function(data, version, type)\n  data.%s = data.%s + %lld\n  return data\nend\n",
                 dotted, dotted, (long long)more);
        buf_printf(&model.steps, "      - {to: %u, lua: %s}\n", to, model.script_paths[n]);
        for (size_t i = 0; i < model.event_count; i++)
            model.events[i].values[at] += more;
        break;
    }
    }
    model.step_count++;
}

/* ---- comparing ------------------------------------------------------------------------------------------------------ */

static size_t
leaves(struct json value)
{
    if (value.type != JSON_OBJECT)
        return 1;
    struct json_walk walk = json_walk(value);
    struct json name, item;
    size_t count = 0;
    while (json_next(&walk, &name, &item))
        count += leaves(item);
    return count;
}

static bool
data_is(struct json data, const struct noted *noted)
{
    bool same = leaves(data) == model.member_count;
    for (size_t i = 0; same && i < model.member_count; i++) {
        char box[24], text[24];
        const struct member *member = &model.members[i];
        struct json value = box_of(member, box) ? json_get(json_get(data, box), strchr(member->path, '/') + 1) : json_get(data, member->path);
        int64_t number = 0;
        snprintf(text, sizeof text, "t%lld", (long long)noted->values[i]);
        same = member->text ? json_string_is(value, text) : json_i64(value, &number) && number == noted->values[i];
    }
    if (!same) {
        struct buf want = {0};
        put_data(&want, noted->values);
        printf("at %llu: %.*s\nwanted %s\n", (unsigned long long)noted->position, (int)data.raw.size, data.raw.data, rig_text(&want));
        buf_free(&want);
    }
    return same;
}

/* The rows are those of the events before `end`, in the newest form and valid by the newest schema. */
static void
check_rows(struct json rows, uint64_t end)
{
    struct buf text = {0};
    struct json_schema *schema;
    put_schema(&text);
    CHECK_OK(json_schema_compile(buf_str(&text), &(struct json_schema_options){0}, &schema, NULL));
    struct json_walk walk = json_walk(rows);
    struct json unused, row;
    size_t at = 0;
    while (json_next(&walk, &unused, &row)) {
        struct arena arena = {0};
        uint64_t position;
        char stream[8];
        CHECK(at < model.event_count && json_u64(json_get(row, "position"), &position));
        CHECK_INT(position, model.events[at].position);
        snprintf(stream, sizeof stream, "%u", model.events[at].stream);
        CHECK(json_string_is(json_get(row, "stream"), stream));
        CHECK(data_is(json_get(row, "data"), &model.events[at]));
        CHECK_OK(json_schema_validate(schema, json_get(row, "data"), &arena, NULL, 0, &(size_t){0}, NULL));
        arena_free(&arena);
        at++;
    }
    CHECK(at == model.event_count || model.events[at].position >= end);
    CHECK(at == 0 || model.events[at - 1].position < end);
    json_schema_free(schema);
    buf_free(&text);
}

static void
check_now(void)
{
    (void)rig_rows(&rig, "notes", "notes");
    check_rows(json_trusted(buf_str(&rig.out)), UINT64_MAX);
}

static void
check_as_of(uint64_t end)
{
    const cairn_app_query_request request = {.app = CAIRN_STR("notes"), .query = CAIRN_STR("notes"), .has_as_of = true, .as_of = end,
                                             .timeout_ms = 60000};
    rig_clear(&rig);
    if (cairn_app_query(rig.apps, &request, buf_sink, &rig.out, &rig.error) != CAIRN_OK)
        fail_msg("as of %llu: %s", (unsigned long long)end, rig.error.detail);
    check_rows(json_get(json_trusted(buf_str(&rig.out)), "rows"), end);
}

static void
check_state(unsigned stream)
{
    char name[16];
    int64_t count = 0, number;
    const struct noted *last = NULL;
    for (size_t i = 0; i < model.event_count; i++)
        if (model.events[i].stream == stream) {
            count++;
            last = &model.events[i];
        }
    snprintf(name, sizeof name, "note-%u", stream);
    rig_clear(&rig);
    CHECK_OK(cairn_app_state(rig.apps, CAIRN_STR("notes"), cairn_cstr(name), -1, buf_sink, &rig.out, &rig.error));
    struct json state = json_trusted(buf_str(&rig.out));
    CHECK(json_i64(json_get(state, "count"), &number) && number == count);
    if (last != NULL)
        CHECK(data_is(json_get(state, "last"), last));
}

static void
replay(void)
{
    const cairn_replay_request request = {.app = CAIRN_STR("notes"), .aggregates = true};
    rig_clear(&rig);
    if (cairn_app_replay(rig.apps, &request, NULL, NULL, buf_sink, &rig.out, &rig.error) != CAIRN_OK)
        fail_msg("%s: %s", rig.error.detail, rig_text(&rig.out));
}

/* ---- the play ----------------------------------------------------------------------------------------------------------- */

static void
note(void)
{
    struct buf data = {0};
    struct noted *noted = &model.events[model.event_count];
    noted->stream = below(STREAMS);
    for (size_t i = 0; i < model.member_count; i++)
        noted->values[i] = below(1000);
    buf_printf(&data, "{\"id\":\"%u\",\"data\":", noted->stream);
    put_data(&data, noted->values);
    buf_put_char(&data, '}');
    if (rig_command(&rig, "notes", "Note", rig_text(&data)) != CAIRN_OK)
        fail_msg("%s: %s", rig.error.detail, data.data);
    noted->position = rig.position;
    model.event_count++;
    buf_free(&data);
}

TEST(evolving)
{
    seed = test_seed();
    for (unsigned round = 0; round < 4 * test_scale(); round++) {
        uint64_t round_seed = seed;
        buf_free(&model.steps);
        memset(&model, 0, sizeof model);
        rig = (struct apps_rig){0};
        model.version = 1;
        for (; model.member_count < 3; model.member_count++) {
            new_name(model.members[model.member_count].path, "");
            model.members[model.member_count].text = below(2);
        }
        rig_begin(&rig);
        deploy(0);
        for (unsigned step = 1; step <= 40; step++) {
            if (below(4) > 0)
                change_form();
            deploy(step);
            if (below(8) == 0)
                rig_restart(&rig);
            for (unsigned i = 1 + below(8); i > 0 && model.event_count < EVENTS_MAX; i--)
                note();
            check_now();
            check_as_of(model.events[below((unsigned)model.event_count)].position + below(2));
            check_state(below(STREAMS));
            if (below(10) == 0) {
                replay();
                check_now();
            }
        }
        for (unsigned i = 0; i < STREAMS; i++)
            check_state(i);
        replay();
        check_now();
        printf("round %u (seed %llu): %zu events, %zu forms\n", round, (unsigned long long)round_seed, model.event_count, model.step_count + 1);
        rig_end(&rig);
    }
    buf_free(&model.steps);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {RUN(evolving)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
