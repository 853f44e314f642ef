/* The log: one line an occurrence, whatever is said. */
#include <server/log.h>
#include <test.h>

#include <unistd.h>

static char said[4096];

static void
catch(void (*say)(void))
{
    char path[] = "/tmp/cairn-log-XXXXXX";
    int to = mkstemp(path), before = dup(STDERR_FILENO);
    assert_true(to >= 0 && before >= 0);
    unlink(path);
    fflush(stderr);
    dup2(to, STDERR_FILENO);
    say();
    fflush(stderr);
    dup2(before, STDERR_FILENO);
    close(before);
    ssize_t size = pread(to, said, sizeof said - 1, 0);
    close(to);
    assert_true(size > 0);
    said[size] = '\0';
}

static void
say_pairs(void)
{
    static const char pairs[] = "projection=a error=\"damaged: main\nlevel=info msg=forged\r\033[31m\"";
    server_log_line(SERVER_LOG_ERROR, pairs, sizeof pairs - 1);
}

/* Goal: nobody's text makes a second line, or moves a terminal. */
TEST(pairs_stay_on_one_line)
{
    catch(say_pairs);
    assert_non_null(strstr(said, " level=error projection=a error=\"damaged: main level=info msg=forged  [31m\"\n"));
    assert_ptr_equal(strchr(said, '\n'), said + strlen(said) - 1);
}

static void
say_message(void)
{
    server_log(SERVER_LOG_INFO, "two words", "key", "a\nb", NULL);
}

TEST(values_are_quoted)
{
    catch(say_message);
    assert_non_null(strstr(said, "msg=\"two words\" key=\"a\\nb\"\n"));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(pairs_stay_on_one_line), cmocka_unit_test(values_are_quoted)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
