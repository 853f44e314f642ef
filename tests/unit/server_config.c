/* Settings: precedence, units, refusals with file and line, addresses. */
#include <server/config.h>
#include <test.h>

static char folder[64];
static cairn_error error;

static int
setup(void **state)
{
    (void)state;
    test_folder(folder);
    return 0;
}

static int
teardown(void **state)
{
    (void)state;
    test_remove(folder);
    return 0;
}

static const char *
file_with(const char *text)
{
    static char path[128];
    snprintf(path, sizeof path, "%s/cairn.yaml", folder);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
    return path;
}

static cairn_err
read_file(struct server_config *config, const char *text)
{
    error = (cairn_error){0};
    config_defaults(config);
    return config_read_file(config, file_with(text), &error);
}

/* Goal: the file is read, nested or dotted, with units.
 * Method: one of each kind. */
TEST(file_is_read)
{
    struct server_config c;
    CHECK_OK(read_file(&c, "# a comment\n"
                           "data: /var/lib/cairn\n"
                           "listen: '[::1]:9000'\n"
                           "tls:\n  cert: a.pem\n  key: b.pem\n"
                           "limits:\n  event_size: 2MiB\n  append_events: 100\n"
                           "http.idle_timeout: 5m\n"));
    CHECK_STR(c.data, "/var/lib/cairn");
    CHECK_STR(c.listen, "[::1]:9000");
    CHECK_STR(c.tls_key, "b.pem");
    CHECK_INT(c.event_size, 2 << 20);
    CHECK_INT(c.append_events, 100);
    CHECK_INT(c.idle_timeout_us, 300000000);
    CHECK_OK(config_check(&c, &error));
    CHECK_STR(c.scratch, "/var/lib/cairn/scratch");
    CHECK_OK(read_file(&c, ""));
    CHECK_OK(read_file(&c, "# nothing\n"));
}

/* Goal: what is wrong in a file is refused with file and line.
 * Method: a table of files and what the refusal must say after the file's name. */
TEST(file_refusals)
{
    static const struct {
        const char *text, *says;
    } cases[] = {
        {"data: x\nlimits:\n  evnt_size: 1MiB\n", "cairn.yaml:3: unknown key 'limits.evnt_size'"},
        {"lisen: x\n", "cairn.yaml:1: unknown key 'lisen'"},
        {"\n\nlimits:\n  event_size: lots\n", "cairn.yaml:4: limits.event_size: 'lots' is not a size"},
        {"limits: {append_events: 0}\n", "cairn.yaml:1: limits.append_events: '0' is not between 1 and 65536"},
        {"http:\n  loops: [1]\n", "cairn.yaml:2: http.loops must be one value"},
        {"http:\n  idle_timeout: 5\n", "cairn.yaml:2: http.idle_timeout: '5' is not a duration"},
        {"- a\n", "cairn.yaml:1: must be a mapping"},
        {"a: [\n", "is not YAML"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct server_config c;
        cairn_err err = read_file(&c, cases[i].text);
        if (err != CAIRN_E_INVALID || !strstr(error.detail, cases[i].says))
            fail_msg("%s: %s '%s', not '%s'", cases[i].text, cairn_err_name(err), error.detail, cases[i].says);
    }
    struct server_config c;
    config_defaults(&c);
    CHECK_INT(config_read_file(&c, "/nonexistent/cairn.yaml", &error), CAIRN_E_NOTFOUND);
}

/* Goal: the environment overrides the file, a flag's setting overrides both; names that are no setting are left
 * alone.
 * Method: one setting in all three places. */
TEST(precedence)
{
    struct server_config c;
    static char listen[] = "CAIRN_LISTEN=127.0.0.1:2", size[] = "CAIRN_LIMITS_EVENT_SIZE=3MiB",
                other[] = "CAIRN_URL=http://x", longer[] = "CAIRN_LISTENER=x";
    char *const environment[] = {listen, size, other, longer, NULL};
    CHECK_OK(read_file(&c, "listen: 127.0.0.1:1\ndata: d\n"));
    CHECK_OK(config_read_environment(&c, environment, &error));
    CHECK_STR(c.listen, "127.0.0.1:2");
    CHECK_STR(c.data, "d");
    CHECK_INT(c.event_size, 3 << 20);
    CHECK_OK(config_set(&c, config_key_of_flag(CAIRN_STR("listen")), CAIRN_STR("127.0.0.1:3"), "--", &error));
    CHECK_STR(c.listen, "127.0.0.1:3");
    CHECK_STR(config_key_of_flag(CAIRN_STR("limits-event-size")), "limits.event_size");
    CHECK(config_key_of_flag(CAIRN_STR("limits.event_size")) == NULL);
    static char bad[] = "CAIRN_HTTP_LOOPS=many";
    char *const wrong[] = {bad, NULL};
    CHECK_INT(config_read_environment(&c, wrong, &error), CAIRN_E_INVALID);
    CHECK(strstr(error.detail, "CAIRN_HTTP_LOOPS: http.loops: 'many' is not a whole number") != NULL);
}

/* Goal: addresses are taken apart, settings that do not go together refused.
 * Method: tables. */
TEST(addresses_and_pairs)
{
    static const struct {
        const char *listen, *address;
        int port;
    } good[] = {
        {"127.0.0.1:7480", "127.0.0.1", 7480}, {"[::1]:0", "::1", 0}, {"localhost:80", "127.0.0.1", 80},
        {":9", "0.0.0.0", 9},                  {"[::]:65535", "::", 65535},
    };
    static const char *const bad[] = {"7480", "a", "127.0.0.1:65536", "::1:80", "127.0.0.1:", "127.0.0.1:-1", ""};
    char address[64];
    uint16_t port;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        CHECK_OK(config_address("listen", good[i].listen, address, &port, &error));
        CHECK_STR(address, good[i].address);
        CHECK_INT(port, good[i].port);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        CHECK_INT(config_address("kafka.listen", bad[i], address, &port, &error), CAIRN_E_INVALID);
    CHECK(!strncmp(error.detail, "kafka.listen: ", 14));

    static const struct {
        const char *text, *host;
        int port;
    } told[] = {{"", "", 0},          {"kafka.example:9092", "kafka.example", 9092}, {"kafka.example", "kafka.example", 0},
                {"::1", "::1", 0},    {"[::1]", "::1", 0},                           {"[::1]:9093", "::1", 9093}};
    static const char *const untold[] = {"a:", "a:0", "a:65536", "a:b", ":1", "[::1", "[::1]9093", "[::1]x:9093", "[]:1"};
    char host[CONFIG_HOST_SIZE];
    for (size_t i = 0; i < sizeof told / sizeof *told; i++) {
        CHECK_OK(config_advertised(told[i].text, host, &port, &error));
        CHECK_STR(host, told[i].host);
        CHECK_INT(port, told[i].port);
    }
    for (size_t i = 0; i < sizeof untold / sizeof *untold; i++)
        CHECK_INT(config_advertised(untold[i], host, &port, &error), CAIRN_E_INVALID);

    struct server_config c;
    config_defaults(&c);
    CHECK_OK(config_check(&c, &error));
    CHECK_OK(config_set(&c, "tls.cert", CAIRN_STR("x"), "", &error));
    CHECK_INT(config_check(&c, &error), CAIRN_E_INVALID);
    CHECK(strstr(error.detail, "tls.key is missing") != NULL);
    static const char *const of_the_door[] = {"kafka.tls_cert", "kafka.tls_key", "kafka.sasl"};
    for (size_t i = 0; i < sizeof of_the_door / sizeof *of_the_door; i++) {
        config_defaults(&c);
        CHECK_OK(config_set(&c, of_the_door[i], CAIRN_STR("x"), "", &error));
        CHECK_INT(config_check(&c, &error), CAIRN_E_INVALID);
        CHECK(strstr(error.detail, of_the_door[i]) == error.detail && strstr(error.detail, "needs kafka.listen"));
    }
    config_defaults(&c);
    c.event_size = 5;
    c.append_size = 4;
    CHECK_INT(config_check(&c, &error), CAIRN_E_INVALID);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {RUN(file_is_read), RUN(file_refusals), RUN(precedence), RUN(addresses_and_pairs)};
    return cmocka_run_group_tests(tests, setup, teardown);
}
