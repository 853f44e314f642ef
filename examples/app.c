/* An app inside a program: files, a decider in C that is built in (decider.c), commands, a read model, queries.
 *
 *   ./app FOLDER */
#include <cairn/app.h>
#include <inttypes.h>
#include <stdio.h>

const cairn_decider *cairn_decider_module(void); /* decider.c, linked with this program */

/* What would be a folder: `cairn deploy` reads one, a program may have it built in. */
static const char manifest[] =
    "app: rooms\n"
    "title: Seats of rooms\n"
    "deciders: {seats: {native: decider}}\n"
    "commands:\n"
    "  Reserve: {schema: change.json, stream: \"room-{room}\"}\n"
    "  Release: {schema: change.json, stream: \"room-{room}\"}\n"
    "events:\n"
    "  SeatsReserved: {schema: changed.json}\n"
    "  SeatsReleased: {schema: changed.json}\n";
static const char change[] =
    "{\"type\": \"object\", \"required\": [\"room\", \"seats\"], \"additionalProperties\": false, \"properties\": {\n"
    "  \"room\": {\"type\": \"string\", \"pattern\": \"^[a-z]+$\"}, \"seats\": {\"type\": \"integer\", \"minimum\": 1, \"maximum\": 100}}}\n";
static const char changed[] =
    "{\"type\": \"object\", \"required\": [\"seats\"], \"properties\": {\"seats\": {\"type\": \"integer\"}}}\n";
static const char projection[] =
    "-- table\n"
    "CREATE TABLE room (name TEXT PRIMARY KEY, taken INTEGER NOT NULL);\n"
    "-- on SeatsReserved\n"
    "INSERT INTO room (name, taken) VALUES (:stream_id, :data.seats) ON CONFLICT (name) DO UPDATE SET taken = taken + :data.seats;\n"
    "-- on SeatsReleased\n"
    "UPDATE room SET taken = taken - :data.seats WHERE name = :stream_id;\n";
static const char query[] = "-- sort name\n-- key name\nSELECT name, taken FROM room\n";

static int
fail(const char *what, const cairn_error *error)
{
    fprintf(stderr, "%s: %s (%s)\n", what, error->detail, cairn_err_name(error->code));
    return 1;
}

static void
say_fault(void *context, const cairn_app_fault *fault)
{
    (void)context;
    fprintf(stderr, "%.*s:%" PRIu32 ": %.*s\n", (int)fault->file.size, fault->file.data, fault->line,
            (int)fault->message.size, fault->message.data);
}

static bool
say(void *context, cairn_str bytes)
{
    (void)context;
    fwrite(bytes.data, 1, bytes.size, stdout);
    return true;
}

/* Projections are woken by commits: the store tells us, and we tell the apps. */
static void
committed(void *context, uint64_t end)
{
    cairn_apps_committed(context, end);
}

static int
deploy(cairn_apps *apps)
{
    const cairn_app_file files[] = {
        {CAIRN_STR("app.yaml"), cairn_cstr(manifest)},
        {CAIRN_STR("change.json"), cairn_cstr(change)},
        {CAIRN_STR("changed.json"), cairn_cstr(changed)},
        {CAIRN_STR("projections/rooms.sql"), cairn_cstr(projection)},
        {CAIRN_STR("queries/rooms.sql"), cairn_cstr(query)},
    };
    cairn_deployed deployed;
    cairn_error error;
    if (cairn_app_deploy(apps, files, sizeof files / sizeof *files, NULL, say_fault, NULL, &deployed, &error) != CAIRN_OK)
        return fail("deploy", &error);
    printf("%s, version %" PRIu32 "%s\n", deployed.app, deployed.version, deployed.changed ? "" : ", as before");
    return 0;
}

/* What came of a command is told before cairn_command_run() returns; texts are borrowed until then. */
static void
over(void *context, cairn_err err, const cairn_outcome *outcome, const cairn_error *error)
{
    uint64_t *position = context;
    *position = outcome->position;
    if (err == CAIRN_OK)
        printf("done\n");
    else if (err == CAIRN_E_REJECTED)
        printf("%.*s: %.*s %.*s\n", (int)outcome->code.size, outcome->code.data, (int)outcome->message.size,
               outcome->message.data, (int)outcome->details.size, outcome->details.data);
    else
        printf("%s: %s\n", cairn_err_name(err), error->detail);
}

static uint64_t
run(cairn_apps *apps, const char *name, const char *data)
{
    const cairn_command command = {.app = CAIRN_STR("rooms"), .name = cairn_cstr(name), .data = cairn_cstr(data)};
    uint64_t position = 0;
    cairn_error error;
    printf("%s %s: ", name, data);
    if (cairn_command_run(apps, &command, over, &position, &error) == CAIRN_E_NOTFOUND)
        printf("%s\n", error.detail);
    return position;
}

static int
use(cairn_apps *apps)
{
    cairn_error error;
    run(apps, "Reserve", "{\"room\": \"blue\", \"seats\": 4}");
    run(apps, "Reserve", "{\"room\": \"blue\", \"seats\": 7}");
    run(apps, "Reserve", "{\"room\": \"red\", \"seats\": 10}");
    run(apps, "Reserve", "{\"room\": \"red\"}");
    uint64_t position = run(apps, "Release", "{\"room\": \"blue\", \"seats\": 9}");
    const cairn_app_query_request request = {.app = CAIRN_STR("rooms"), .query = CAIRN_STR("rooms"),
                                             .has_after_position = true, .after_position = position}; /* read what was written */
    if (cairn_app_query(apps, &request, say, NULL, &error) != CAIRN_OK)
        return fail("query", &error);
    printf("\nstate of room-red: ");
    if (cairn_app_state(apps, CAIRN_STR("rooms"), CAIRN_STR("room-red"), -1, say, NULL, &error) != CAIRN_OK)
        return fail("state", &error);
    printf("\n");
    return 0;
}

int
main(int argc, char **argv)
{
    if (argc != 2) {
        fprintf(stderr, "usage: %s FOLDER\n", argv[0]);
        return 2;
    }
    char models[4096];
    snprintf(models, sizeof models, "%s/apps", argv[1]);
    const cairn_decider *const natives[] = {cairn_decider_module()};
    const cairn_options options = {.create = true};
    const cairn_apps_options apps_options = {.folder = models, .natives = natives, .native_count = 1};
    cairn_store *store;
    cairn_apps *apps;
    cairn_error error;
    if (cairn_open(argv[1], &options, &store, &error) != CAIRN_OK)
        return fail("open", &error);
    if (cairn_apps_open(store, &apps_options, &apps, &error) != CAIRN_OK) {
        cairn_close(store);
        return fail("open apps", &error);
    }
    cairn_on_commit(store, committed, apps);
    int code = deploy(apps);
    if (code == 0)
        code = use(apps);
    cairn_on_commit(store, NULL, NULL); /* nobody is told of an app that is gone */
    cairn_apps_close(apps);
    cairn_close(store);
    return code;
}
