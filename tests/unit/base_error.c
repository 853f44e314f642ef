/* base/error.h and the names of errors (cairn/types.h). */
#include "test.h"

#include <base/error.h>
#include <base/text.h>
#include <cairn/cairn.h>
#include <errno.h>

/* Goal: code and sentence are set, the code comes back, and what the caller set before stays.
 * Method: one call with an error, one without. */
TEST(sets_code_and_detail)
{
    cairn_error error = {.revision = 7, .position = 9};
    CHECK_INT(error_set(&error, CAIRN_E_LIMIT, "type is %d bytes; the limit is %d", 600, 512),
              CAIRN_E_LIMIT);
    CHECK_INT(error.code, CAIRN_E_LIMIT);
    CHECK_STR(error.detail, "type is 600 bytes; the limit is 512");
    CHECK(error.revision == 7 && error.position == 9);
    CHECK_INT(error_set(NULL, CAIRN_E_BUSY, "%s", "nobody listens"), CAIRN_E_BUSY);
    CHECK_INT(error_set_errno(NULL, ENOSPC, "%s", "nobody listens"), CAIRN_E_NOSPACE);
}

/* Goal: an error may be wrapped in a sentence that quotes it.
 * Method: pass error.detail as an argument of its own replacement. */
TEST(may_quote_itself)
{
    cairn_error error;
    error_set(&error, CAIRN_E_IO, "read failed");
    error_set(&error, CAIRN_E_CORRUPT, "segment %d: %s", 3, error.detail);
    CHECK_STR(error.detail, "segment 3: read failed");
}

/* Goal: a long sentence is cut between characters, ends with "…", and keeps the system's words.
 * Method: texts of two-byte characters of every length around the limit. */
TEST(long_details_are_cut_cleanly)
{
    char text[1001];
    for (int i = 0; i < 1000; i += 2)
        memcpy(text + i, "ä", 2);
    for (int size = 280; size <= 1000; size++) {
        text[size & ~1] = '\0';
        cairn_error error;
        error_set(&error, CAIRN_E_INVALID, "%s%s", size & 1 ? "x" : "", text);
        cairn_str detail = cairn_cstr(error.detail);
        CHECK(detail.size < sizeof error.detail);
        CHECK(utf8_valid(detail));
        if ((size & ~1) + (size & 1) >= (int)sizeof error.detail)
            assert_memory_equal(detail.data + detail.size - 3, "…", 3);
        error_set_errno(&error, ENOSPC, "%s%s", size & 1 ? "x" : "", text);
        detail = cairn_cstr(error.detail);
        CHECK(utf8_valid(detail));
        assert_non_null(strstr(error.detail, " (No space left on device)"));
        text[size & ~1] = "ä"[0];
    }
}

/* Goal: each errno gives the code that the header promises.
 * Method: all that it names, and some others. */
TEST(errno_gives_code)
{
    const struct {
        int errno_value;
        cairn_err code;
    } cases[] = {
        {ENOSPC, CAIRN_E_NOSPACE}, {EDQUOT, CAIRN_E_NOSPACE},  {ENOMEM, CAIRN_E_NOMEM},
        {EROFS, CAIRN_E_READONLY}, {EACCES, CAIRN_E_READONLY}, {EPERM, CAIRN_E_READONLY},
        {ENOENT, CAIRN_E_NOTFOUND}, {EIO, CAIRN_E_IO},         {EMFILE, CAIRN_E_IO},
        {99999, CAIRN_E_IO},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        cairn_error error;
        CHECK_INT(error_set_errno(&error, cases[i].errno_value, "cannot write %s", "a"),
                  cases[i].code);
        CHECK_INT(error.code, cases[i].code);
        CHECK(strncmp(error.detail, "cannot write a (", 16) == 0);
        CHECK(error.detail[strlen(error.detail) - 1] == ')');
    }
}

/* Goal: every error has a name of its own in lower case and a hint that is a sentence; what is no
 * error has a name too.
 * Method: all values, and some outside. */
TEST(every_error_has_name_and_hint)
{
    for (int err = CAIRN_E_UNSUPPORTED; err <= CAIRN_OK; err++) {
        const char *name = cairn_err_name((cairn_err)err), *hint = cairn_err_hint((cairn_err)err);
        assert_non_null(name);
        assert_non_null(hint);
        CHECK_INT(strspn(name, "abcdefghijklmnopqrstuvwxyz"), strlen(name));
        CHECK(strlen(hint) > 10 && hint[strlen(hint) - 1] == '.');
        for (int other = err + 1; other <= CAIRN_OK; other++)
            CHECK(strcmp(name, cairn_err_name((cairn_err)other)) != 0);
    }
    CHECK_STR(cairn_err_name(CAIRN_E_CONFLICT), "conflict");
    CHECK_STR(cairn_err_name((cairn_err)1), "unknown");
    CHECK_STR(cairn_err_name((cairn_err)-1000), "unknown");
    assert_non_null(cairn_err_hint((cairn_err)INT32_MIN));
}

/* Goal: the version is the build's. Method: three numbers with dots. */
TEST(version_has_three_numbers)
{
    int a, b, c, size = 0;
    CHECK_INT(sscanf(cairn_version(), "%d.%d.%d%n", &a, &b, &c, &size), 3);
    CHECK_INT(strlen(cairn_version()), size);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        RUN(sets_code_and_detail), RUN(may_quote_itself),
        RUN(long_details_are_cut_cleanly), RUN(errno_gives_code),
        RUN(every_error_has_name_and_hint), RUN(version_has_three_numbers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
