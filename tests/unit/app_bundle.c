/* Goal: an app's folder is read as it is, within its limits, and nothing from outside it; the apps that come with Cairn are
 * without fault. Method: folders made here; cairn_app_check() over what is read. */
#include "test.h"

#include <app/bundle.h>
#include <app/starter.h>
#include <fcntl.h>
#include <sys/stat.h>

static char told[4096];
static size_t told_count, wrong_count;

static void
tell(void *context, const cairn_app_fault *fault)
{
    (void)context;
    size_t used = strlen(told);
    snprintf(told + used, sizeof told - used, "%.*s:%u: %s%.*s\n", (int)fault->file.size, fault->file.data, fault->line,
             fault->warning ? "warning: " : "", (int)fault->message.size, fault->message.data);
    told_count++;
    wrong_count += !fault->warning;
}

static void
begin(void)
{
    told[0] = '\0';
    told_count = wrong_count = 0;
}

static void
put(const char *folder, const char *path, const char *text, size_t size)
{
    char full[256];
    snprintf(full, sizeof full, "%s/%s", folder, path);
    for (char *slash = strchr(full + strlen(folder) + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        mkdir(full, 0777);
        *slash = '/';
    }
    FILE *file = fopen(full, "wb");
    assert_non_null(file);
    CHECK_INT(fwrite(text, 1, size, file), size);
    CHECK_INT(fclose(file), 0);
}

#define PUT(folder, path, text) put(folder, path, text, strlen(text))

static void
link_to(const char *target, const char *folder, const char *name)
{
    char full[256];
    snprintf(full, sizeof full, "%s/%s", folder, name);
    CHECK_INT(symlink(target, full), 0);
}

TEST(a_folder_is_read_in_order_without_what_is_no_part_of_it)
{
    char folder[64], digest[65], again[65];
    struct bundle bundle = {0};
    cairn_error error = {0};
    test_folder(folder);
    PUT(folder, "app.yaml", "app: x\n");
    PUT(folder, "b/c.sql", "SELECT 1");
    PUT(folder, "b.lua", "");
    PUT(folder, ".git/config", "hidden");
    PUT(folder, "b/.hidden", "hidden");
    PUT(folder, "node_modules/x/index.js", "1");
    PUT(folder, "app.yaml~", "old");
    link_to("b/c.sql", folder, "link.sql"); /* inside: as if it were the file */
    begin();
    CHECK_OK(bundle_read(os_real(), folder, tell, NULL, &bundle, &error));
    CHECK_INT(told_count, 0);
    CHECK_INT(bundle.count, 4);
    static const char *const paths[] = {"app.yaml", "b.lua", "b/c.sql", "link.sql"};
    for (size_t i = 0; i < 4; i++)
        CHECK(cairn_str_equal(bundle.files[i].path, cairn_cstr(paths[i])));
    CHECK(cairn_str_equal(bundle.files[3].text, CAIRN_STR("SELECT 1")));
    bundle_digest(bundle.files, bundle.count, digest);
    bundle.files[2].text.size--;
    bundle_digest(bundle.files, bundle.count, again);
    CHECK(strcmp(digest, again) != 0);
    bundle_free(&bundle);
    test_remove(folder);
}

/* A byte that moves from a path to its text, or from one file to the next, is another app. */
TEST(digests_know_where_a_file_ends)
{
    const cairn_app_file a[] = {{CAIRN_STR("ab"), CAIRN_STR("c")}, {CAIRN_STR("d"), CAIRN_STR("")}};
    const cairn_app_file b[] = {{CAIRN_STR("a"), CAIRN_STR("bc")}, {CAIRN_STR("d"), CAIRN_STR("")}};
    const cairn_app_file c[] = {{CAIRN_STR("ab"), CAIRN_STR("")}, {CAIRN_STR("c"), CAIRN_STR("d")}};
    char x[65], y[65], z[65];
    bundle_digest(a, 2, x);
    bundle_digest(b, 2, y);
    bundle_digest(c, 2, z);
    CHECK(strcmp(x, y) != 0 && strcmp(y, z) != 0 && strcmp(x, z) != 0);
}

TEST(what_does_not_belong_is_refused_by_name)
{
    static const struct {
        const char *name, *link, *text;
        size_t size;
        const char *message;
    } cases[] = {
        {"passwd", "/etc/passwd", NULL, 0, "passwd:0: a link that leads nowhere, or out of"},
        {"up", "..", NULL, 0, "up:0: a link that leads nowhere, or out of"},
        {"gone", "nothing-here", NULL, 0, "gone:0: a link that leads nowhere"},
        {"picture.png", NULL, "\x89PNG\r\n\x1a\n\xff", 9, "picture.png:0: it is not UTF-8"},
        {"a:b.lua", NULL, "x", 1, "a:b.lua:0: a file of an app cannot have this name"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char folder[64];
        struct bundle bundle = {0};
        cairn_error error = {0};
        test_folder(folder);
        PUT(folder, "app.yaml", "app: x\n");
        if (cases[i].link)
            link_to(cases[i].link, folder, cases[i].name);
        else
            put(folder, cases[i].name, cases[i].text, cases[i].size);
        begin();
        CHECK_INT(bundle_read(os_real(), folder, tell, NULL, &bundle, &error), CAIRN_E_INVALID);
        if (told_count != 1 || !strstr(told, cases[i].message))
            fail_msg("%s: %s", cases[i].name, told);
        test_remove(folder);
    }
}

TEST(limits_are_told)
{
    char folder[64], name[64];
    struct bundle bundle = {0};
    cairn_error error = {0};
    char *large = malloc(BUNDLE_FILE_BYTES_MAX + 1);
    assert_non_null(large);
    memset(large, 'a', BUNDLE_FILE_BYTES_MAX + 1);

    test_folder(folder);
    put(folder, "large.lua", large, BUNDLE_FILE_BYTES_MAX + 1);
    begin();
    CHECK_INT(bundle_read(os_real(), folder, tell, NULL, &bundle, &error), CAIRN_E_LIMIT);
    CHECK(strstr(told, "large.lua:0: larger than 512 KiB"));
    test_remove(folder);

    test_folder(folder);
    for (int i = 0; i < 17; i++) {
        snprintf(name, sizeof name, "%d.lua", i);
        put(folder, name, large, BUNDLE_FILE_BYTES_MAX);
    }
    begin();
    CHECK_INT(bundle_read(os_real(), folder, tell, NULL, &bundle, &error), CAIRN_E_LIMIT);
    CHECK_INT(told_count, 1);
    CHECK(strstr(told, "more than 8 MiB"));
    test_remove(folder);

    test_folder(folder);
    for (int i = 0; i <= BUNDLE_FILES_MAX; i++) {
        snprintf(name, sizeof name, "%d.lua", i);
        PUT(folder, name, "");
    }
    begin();
    CHECK_INT(bundle_read(os_real(), folder, tell, NULL, &bundle, &error), CAIRN_E_LIMIT);
    CHECK_INT(told_count, 1);
    CHECK(strstr(told, "more than 256 files"));
    test_remove(folder);

    test_folder(folder);
    PUT(folder, "1/2/3/4/5/6/7/8/9/deep.lua", "");
    CHECK_INT(bundle_read(os_real(), folder, tell, NULL, &bundle, &error), CAIRN_E_LIMIT);
    test_remove(folder);

    CHECK_INT(bundle_read(os_real(), folder, tell, NULL, &bundle, &error), CAIRN_E_NOTFOUND);
    free(large);
}

TEST(paths_of_files)
{
    static const char *const good[] = {"app.yaml", "a/b/c.sql", "..a", "a..b/c", ".gitignore", "caf\xc3\xa9.md", "a b"};
    static const char *const bad[] = {"", "/a", "a/", "a//b", ".", "..", "a/..", "../a", "./a", "a/./b", "a\\b", "c:a", "a\nb", "\xff"};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        CHECK(bundle_path_valid(cairn_cstr(good[i])));
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        CHECK(!bundle_path_valid(cairn_cstr(bad[i])));
}

/* ---- the apps that come with Cairn */

static void
check_files(const char *what, const cairn_app_file *files, size_t count)
{
    cairn_error error = {0};
    begin();
    cairn_err err = cairn_app_check(files, count, tell, NULL, &error);
    if (err != CAIRN_OK || told_count != 0)
        fail_msg("%s: %s\n%s%s", what, cairn_err_name(err), told, error.detail);
}

TEST(the_starter_is_without_fault_and_bears_its_name)
{
    struct arena arena = {0};
    const cairn_app_file *files;
    size_t count;
    cairn_error error = {0};
    CHECK_OK(app_starter(CAIRN_STR("corner-shop"), false, &arena, &files, &count, &error));
    check_files("starter", files, count);
    bool named = false;
    for (size_t i = 0; i < count; i++) {
        CHECK(!memmem(files[i].text.data, files[i].text.size, "@APP@", 5));
        named |= memmem(files[i].text.data, files[i].text.size, "app: corner-shop\n", 17) != NULL;
    }
    CHECK(named);
    CHECK_INT(app_starter(CAIRN_STR("Shop"), false, &arena, &files, &count, &error), CAIRN_E_INVALID);
    CHECK_INT(app_starter(CAIRN_STR("../x"), false, &arena, &files, &count, &error), CAIRN_E_INVALID);
    arena_free(&arena);
}

static const cairn_app_file *
find_file(const cairn_app_file *files, size_t count, const char *path)
{
    for (size_t i = 0; i < count; i++)
        if (cairn_str_equal(files[i].path, cairn_cstr(path)))
            return &files[i];
    return NULL;
}

/* In TypeScript it lacks only what the compiler makes of it, and its types are those of its schemas. */
TEST(the_starter_in_typescript_has_types_of_its_schemas)
{
    struct arena arena = {0};
    struct buf types = {0};
    const cairn_app_file *files;
    size_t count;
    cairn_error error = {0};
    CHECK_OK(app_starter(CAIRN_STR("corner-shop"), true, &arena, &files, &count, &error));
    begin();
    CHECK_INT(cairn_app_check(files, count, tell, NULL, &error), CAIRN_E_INVALID);
    CHECK_INT(wrong_count, 1);
    CHECK(strstr(told, "order.lua, which is not in the app"));
    const cairn_app_file *made = find_file(files, count, "src/types.gen.d.ts");
    CHECK(made && find_file(files, count, "src/order.ts") && !find_file(files, count, "order.lua"));
    CHECK(memmem(made->text.data, made->text.size, "interface PlaceOrder {", 22) && memmem(made->text.data, made->text.size, "total_cents: number;", 20));
    CHECK_OK(app_typescript(files, count, &types, &error));
    CHECK(cairn_str_equal(buf_str(&types), made->text));
    buf_free(&types);

    const cairn_app_file broken[] = {{CAIRN_STR("app.yaml"), CAIRN_STR("app: x\ncommands:\n  A:\n    schema: {type: nothing}\n    stream: a\n")}};
    CHECK_INT(app_typescript(broken, 1, &types, &error), CAIRN_E_INVALID);
    CHECK(strstr(error.detail, "app.yaml:4"));
    buf_free(&types);
    arena_free(&arena);
}

TEST(research_is_without_fault)
{
    struct bundle bundle = {0};
    cairn_error error = {0};
    begin();
    CHECK_OK(bundle_read(os_real(), "apps/research", tell, NULL, &bundle, &error));
    check_files("apps/research", bundle.files, bundle.count);
    bundle_free(&bundle);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        RUN(a_folder_is_read_in_order_without_what_is_no_part_of_it),
        RUN(digests_know_where_a_file_ends),
        RUN(what_does_not_belong_is_refused_by_name),
        RUN(limits_are_told),
        RUN(paths_of_files),
        RUN(the_starter_is_without_fault_and_bears_its_name),
        RUN(the_starter_in_typescript_has_types_of_its_schemas),
        RUN(research_is_without_fault),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
