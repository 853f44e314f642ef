/* JSON-Schema-Test-Suite, 2020-12 and draft 7: every required file, and the optional ones but for those named below. */
#include "test.h"

#include <dirent.h>
#include <schema/json_schema.h>

/* Optional files, and single groups in them, that are not what this validator promises; each with its reason. */
static const struct {
    const char *file, *group, *why;
} left_out[] = {
    {"optional/cross-draft.json", NULL, "draft 2019-09 is not spoken"},
    {"optional/content.json", NULL, "draft 7: content* are annotations here, as in 2020-12"},
    {"optional/format/idn-hostname.json", NULL, "needs the tables of IDNA"},
    {"optional/format/hostname.json", "validation of A-label (punycode) host names", "needs the tables of IDNA"},
    {"optional/format/ecmascript-regex.json", "ECMA 262 lookbehind is valid, including variable width",
     "PCRE2 looks back fixed distances only"},
};

static unsigned files, groups, cases, failures, skipped;
static char root[400];

static char *
read_whole(const char *path, size_t *ret_size)
{
    FILE *file = fopen(path, "rb");
    if (!file)
        return NULL;
    CHECK_INT(fseek(file, 0, SEEK_END), 0);
    long size = ftell(file);
    rewind(file);
    char *bytes = malloc(size > 0 ? (size_t)size : 1);
    CHECK_INT(fread(bytes, 1, (size_t)size, file), size);
    fclose(file);
    *ret_size = (size_t)size;
    return bytes;
}

/* Texts of remotes, kept until the program ends: the resolver lends them. */
static struct {
    char *bytes;
} kept[4096];
static size_t kept_count;

static bool
resolve_remote(void *context, cairn_str uri, cairn_str *ret_text)
{
    static const char prefix[] = "http://localhost:1234/";
    char path[1000];
    size_t size;
    (void)context;
    if (uri.size < sizeof prefix || memcmp(uri.data, prefix, sizeof prefix - 1) != 0)
        return false;
    snprintf(path, sizeof path, "%s/remotes/%.*s", root, (int)(uri.size - sizeof prefix + 1), uri.data + sizeof prefix - 1);
    char *bytes = read_whole(path, &size);
    if (!bytes)
        return false;
    assert_true(kept_count < sizeof kept / sizeof kept[0]);
    kept[kept_count++].bytes = bytes;
    *ret_text = (cairn_str){bytes, size};
    return true;
}

static const char *
text(struct json value, struct arena *arena)
{
    cairn_str string = json_string(value, arena);
    return arena_copy(arena, string).data;
}

static bool
is_left_out(const char *file, const char *group)
{
    for (size_t i = 0; i < sizeof left_out / sizeof left_out[0]; i++)
        if (strcmp(file, left_out[i].file) == 0 && (!left_out[i].group || (group && strcmp(group, left_out[i].group) == 0))) {
            print_message("  skipped: %s%s%s: %s\n", file, group ? ", " : "", group ? group : "", left_out[i].why);
            skipped++;
            return true;
        }
    return false;
}

static void
run_case(const struct json_schema *schema, const char *file, const char *group, struct json test, struct arena *arena)
{
    struct json_schema_fault faults[4];
    size_t count = 99;
    cairn_error error = {.code = CAIRN_OK};
    bool wanted = json_get(test, "valid").type == JSON_TRUE;
    struct json data = json_get(test, "data");
    cairn_err err = json_schema_validate(schema, data, arena, faults, 4, &count, &error);
    cases++;
    bool as_told = err == (wanted ? CAIRN_OK : CAIRN_E_INVALID);
    if (as_told && !wanted)
        as_told = count >= 1 && faults[0].keyword.size > 0 && faults[0].message.size > 0 && error.detail[0];
    if (as_told && wanted)
        as_told = count == 0;
    if (as_told) /* the quick way must say the same */
        as_told = json_schema_validate(schema, data, arena, NULL, 0, NULL, NULL) == err;
    if (!as_told) {
        failures++;
        print_message("  %s: %s: %s: %s (%s)\n", file, group, text(json_get(test, "description"), arena),
                      cairn_err_name(err), error.detail);
    }
}

static void
run_group(struct json group, const char *file, const struct json_schema_options *options)
{
    struct arena arena = {0};
    struct json_schema *schema = NULL;
    cairn_error error = {.code = CAIRN_OK};
    const char *name = text(json_get(group, "description"), &arena);
    groups++;
    if (!is_left_out(file, name)) {
        struct json test, key;
        cairn_err err = json_schema_compile(json_get(group, "schema").raw, options, &schema, &error);
        if (err != CAIRN_OK) {
            failures++;
            print_message("  %s: %s: does not compile: %s\n", file, name, error.detail);
        } else {
            for (struct json_walk walk = json_walk(json_get(group, "tests")); json_next(&walk, &key, &test);)
                run_case(schema, file, name, test, &arena);
        }
    }
    json_schema_free(schema);
    arena_free(&arena);
}

static void
run_file(const char *folder, const char *file, const struct json_schema_options *options)
{
    char path[1300];
    size_t size;
    struct json groups_json, group, key;
    if (is_left_out(file, NULL))
        return;
    snprintf(path, sizeof path, "%s/%s", folder, file);
    char *bytes = read_whole(path, &size);
    assert_non_null(bytes);
    CHECK_OK(json_check((cairn_str){bytes, size}, &groups_json, NULL));
    files++;
    for (struct json_walk walk = json_walk(groups_json); json_next(&walk, &key, &group);)
        run_group(group, file, options);
    free(bytes);
}

static void
run_folder(const char *draft, const char *sub, const struct json_schema_options *options)
{
    char folder[600], path[1000], file[600];
    snprintf(folder, sizeof folder, "%s/tests/%s", root, draft);
    snprintf(path, sizeof path, "%s/%s", folder, sub);
    DIR *dir = opendir(path);
    assert_non_null(dir);
    for (struct dirent *entry; (entry = readdir(dir));) {
        size_t size = strlen(entry->d_name);
        if (size < 5 || strcmp(entry->d_name + size - 5, ".json") != 0)
            continue;
        snprintf(file, sizeof file, "%s%s", sub, entry->d_name);
        run_file(folder, file, options);
    }
    closedir(dir);
}

static void
run_draft(const char *name, enum json_schema_draft draft)
{
    const char *data = getenv("CAIRN_TEST_DATA");
    snprintf(root, sizeof root, "%s/jsonschema", data ? data : "../shared/data");
    if (access(root, R_OK) != 0) {
        print_message("skipped: there is no %s (set CAIRN_TEST_DATA)\n", root);
        skip();
    }
    struct json_schema_options options = {.draft = draft, .resolve = resolve_remote};
    files = groups = cases = failures = skipped = 0;
    run_folder(name, "", &options);
    print_message("%s required: %u files, %u groups, %u cases, %u failures\n", name, files, groups, cases, failures);
    CHECK(files >= 35 && cases >= 800 && skipped == 0); /* all of the suite was there */
    run_folder(name, "optional/", &options);
    options.assert_formats = true;
    run_folder(name, "optional/format/", &options);
    print_message("%s with optional: %u files, %u groups, %u cases, %u failures, %u skipped\n", name, files, groups, cases,
                  failures, skipped);
    CHECK_INT(failures, 0);
    while (kept_count)
        free(kept[--kept_count].bytes);
}

/* Goal: draft 2020-12 and draft 7 as the suite has them. Method: every case, with and without room for faults. */
TEST(draft_2020_12)
{
    run_draft("draft2020-12", JSON_SCHEMA_2020_12);
}

TEST(draft_7)
{
    run_draft("draft7", JSON_SCHEMA_7);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {RUN(draft_2020_12), RUN(draft_7)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
