/* Any bytes as an app: it is read or refused, within its bounds; every fault names a line that is there; what was read once
 * reads the same again, and goes with itself as its earlier version.
 *
 * The bytes are the text of app.yaml up to a line "=== path", which begins another file, and so on. */
#include <app/bundle.h>
#include <app/manifest.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MUST(condition)                                                                                                \
    do {                                                                                                               \
        if (!(condition))                                                                                              \
            abort();                                                                                                   \
    } while (0)

struct app {
    cairn_app_file files[BUNDLE_FILES_MAX + 4];
    size_t count, told, wrong;
};

static void
take_files(struct app *app, cairn_str text)
{
    cairn_str path = CAIRN_STR("app.yaml");
    while (app->count < BUNDLE_FILES_MAX + 4) {
        const char *mark = text.size ? memmem(text.data, text.size, "\n=== ", 5) : NULL;
        cairn_str file = {text.data, mark ? (size_t)(mark - text.data) + 1 : text.size};
        app->files[app->count++] = (cairn_app_file){path, file};
        if (!mark)
            return;
        text.data = mark + 5;
        text.size -= file.size + 4;
        const char *end = memchr(text.data, '\n', text.size);
        path = (cairn_str){text.data, end ? (size_t)(end - text.data) : text.size};
        text.data += path.size + (end != NULL);
        text.size -= path.size + (end != NULL);
    }
}

static void
look_at_fault(void *context, const cairn_app_fault *fault)
{
    struct app *app = context;
    uint32_t lines = 0;
    app->told++;
    app->wrong += !fault->warning;
    MUST(fault->message.size > 0);
    for (size_t i = 0; i < app->count; i++)
        if (cairn_str_equal(app->files[i].path, fault->file)) {
            uint32_t here = 2; /* a fault at the end may be behind the last line's end */
            for (size_t j = 0; j < app->files[i].text.size; j++) {
                char c = app->files[i].text.data[j];
                here += c == '\n' || c == '\r';
            }
            lines = here > lines ? here : lines;
        }
    /* YAML ends lines elsewhere too: NEL and the separators of Unicode */
    MUST(fault->line <= lines || cairn_str_equal(fault->file, CAIRN_STR("app.yaml")));
}

static bool
itself(void *context, cairn_str type, uint32_t version, cairn_str *ret)
{
    const struct app_manifest *manifest = context;
    for (size_t i = 0; i < manifest->event_count; i++)
        if (cairn_str_equal(manifest->events[i].type, type) && version == 1) {
            *ret = manifest->events[i].schema_text;
            return true;
        }
    return false;
}

static void
look_at_manifest(struct app *app, struct app_manifest *manifest)
{
    struct app_manifest *again = NULL;
    cairn_error error;
    struct json data;
    MUST(app_manifest_check_schemas(manifest, itself, manifest, NULL, NULL, &error) == CAIRN_OK);
    MUST(json_check(CAIRN_STR("{\"order_id\":\"o1\",\"customer\":\"ann\",\"n\":7}"), &data, NULL) == CAIRN_OK);
    for (size_t i = 0; i < manifest->command_count; i++) {
        struct buf to = {0};
        struct json schema;
        MUST(manifest->commands[i].decider < manifest->decider_count);
        MUST(manifest->commands[i].schema && json_check(manifest->commands[i].schema_text, &schema, NULL) == CAIRN_OK);
        cairn_err err = app_template_fill(manifest->commands[i].stream, data, &to, &error);
        MUST(err == CAIRN_OK || err == CAIRN_E_INVALID);
        MUST(err != CAIRN_OK || to.size > 0);
        buf_free(&to);
    }
    MUST(app_manifest_read(app->files, app->count, NULL, NULL, &again, &error) == CAIRN_OK);
    MUST(cairn_str_equal(again->digest, manifest->digest) && again->command_count == manifest->command_count);
    app_manifest_free(again);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct app *app = calloc(1, sizeof *app);
    struct app_manifest *manifest = NULL;
    cairn_error error = {0};
    MUST(app);
    take_files(app, (cairn_str){(const char *)data, size});
    cairn_err err = app_manifest_read(app->files, app->count, look_at_fault, app, &manifest, &error);
    MUST(err == CAIRN_OK || err == CAIRN_E_INVALID || err == CAIRN_E_NOMEM);
    MUST(app->told <= APP_FAULTS_MAX);
    MUST((err == CAIRN_OK) == (manifest != NULL));
    MUST(err == CAIRN_E_NOMEM || app->told == APP_FAULTS_MAX || (err == CAIRN_E_INVALID) == (app->wrong > 0));
    if (manifest)
        look_at_manifest(app, manifest);
    app_manifest_free(manifest);
    free(app);
    return 0;
}
