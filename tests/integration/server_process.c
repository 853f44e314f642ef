/* The server as a process: what it prints, how it stops, and its exit codes when it cannot start. Each server runs
 * in a child that is this program again, called with a first argument that says so. */
#include "api_client.h"

#include <server/server.h>

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

static char folder[64];

static int
setup(void **state)
{
    (void)state;
    curl_global_init(CURL_GLOBAL_ALL);
    test_folder(folder);
    return 0;
}

static int
teardown(void **state)
{
    (void)state;
    test_remove(folder);
    curl_global_cleanup();
    return 0;
}

struct child {
    pid_t pid;
    int out, err; /* pipes */
    char url[128];
};

#define AS_SERVER "--as-server"

static struct child
run_server(char *const *words, int count)
{
    static char as_server[] = AS_SERVER;
    char *arguments[16] = {words[0], as_server};
    struct child child = {0};
    for (int i = 1; i < count; i++)
        arguments[i + 1] = words[i];
    int out[2], err[2];
    assert_int_equal(pipe2(out, O_CLOEXEC), 0);
    assert_int_equal(pipe2(err, O_CLOEXEC), 0);
    fflush(NULL);
    child.pid = fork();
    assert_true(child.pid >= 0);
    if (child.pid == 0) {
        dup2(out[1], 1);
        dup2(err[1], 2);
        if (chdir(folder) != 0)
            _exit(99);
        execv("/proc/self/exe", arguments);
        _exit(98);
    }
    close(out[1]);
    close(err[1]);
    child.out = out[0];
    child.err = err[0];
    return child;
}

static char *
slurp(int fd, char *to, size_t size)
{
    size_t used = 0;
    ssize_t n;
    while (used < size - 1 && (n = read(fd, to + used, size - 1 - used)) > 0)
        used += (size_t)n;
    to[used] = '\0';
    close(fd);
    return to;
}

/* Wait for its end; the exit code, with what it has said on stderr in `said`. */
static int
end_of(struct child *child, char said[4096])
{
    int status;
    slurp(child->err, said, 4096);
    close(child->out);
    assert_int_equal(waitpid(child->pid, &status, 0), child->pid);
    if (!WIFEXITED(status))
        fail_msg("ended by signal %d: %s", WTERMSIG(status), said);
    return WEXITSTATUS(status);
}

/* Read the line with the URL. */
static void
wait_for_url(struct child *child)
{
    char line[512];
    size_t used = 0;
    while (used < sizeof line - 1 && read(child->out, line + used, 1) == 1 && line[used++] != '\n')
        continue;
    line[used] = '\0';
    const char *url = strstr(line, "http://");
    if (!url)
        fail_msg("no URL in '%s'", line);
    snprintf(child->url, sizeof child->url, "%.*s", (int)strcspn(url, " \n"), url);
}

static struct child
start_server(const char *data)
{
    static char name[] = "serve", listen[] = "--listen", address[] = "127.0.0.1:0", flag[64], grace[] = "--http-grace=5s";
    snprintf(flag, sizeof flag, "--data=%s", data);
    char *const words[] = {name, listen, address, flag, grace, NULL};
    struct child child = run_server(words, 5);
    wait_for_url(&child);
    return child;
}

static void
append_to(const char *base, const char *path, long status)
{
    const char *const headers[] = {"content-type: application/json", NULL};
    struct reply r = client_call(base, "POST", path, headers, CAIRN_STR("{\"type\":\"A\"}"));
    assert_int_equal(r.status, status);
    reply_free(&r);
}

/* Goal: SIGTERM and SIGINT stop it cleanly with 0, with followers and pollers connected; what was acknowledged is
 * there the next time.
 * Method: two runs on one folder, each ended by a signal while clients wait. */
TEST(stops_cleanly_by_signal)
{
    static const int signals[] = {SIGTERM, SIGINT};
    for (int round = 0; round < 2; round++) {
        char said[4096];
        struct child child = start_server("clean");
        unsigned port = (unsigned)strtoul(strrchr(child.url, ':') + 1, NULL, 10);
        append_to(child.url, "/v1/streams/s/events", 201);
        struct sse follower = sse_open(port, "/v1/streams/s/events?from=end", NULL);
        struct sse_event event;
        CHECK(sse_next(&follower, &event, CLIENT_TIMEOUT_MS));
        const char *const headers[] = {"content-type: application/json", NULL};
        struct reply r = client_call(child.url, "PUT", "/v1/subscriptions/g", headers, CAIRN_STR("{\"stream\":\"none\"}"));
        assert_int_equal(r.status, 200);
        reply_free(&r);
        struct sse poller = sse_open(port, "/v1/subscriptions/g/events?wait=60000", NULL);
        r = client_call(child.url, "GET", "/v1/streams/s", NULL, (cairn_str){0});
        int64_t last = -1;
        CHECK(json_i64(json_get(r.json, "last_revision"), &last));
        CHECK_INT(last, round);
        reply_free(&r);
        kill(child.pid, signals[round]);
        while (sse_next(&follower, &event, CLIENT_TIMEOUT_MS)) /* the stream is ended */
            continue;
        CHECK(follower.ended);
        CHECK_INT(end_of(&child, said), 0);
        CHECK(strstr(said, "msg=stopped") != NULL && strstr(said, "msg=listening url=http://127.0.0.1:") != NULL);
        sse_close(&follower);
        sse_close(&poller);
    }
}

struct load {
    const char *url;
    unsigned done; /* answered with 201 */
    pthread_t thread;
};

/* Append until the server refuses or is gone; count what it has acknowledged. */
static void *
append_until_end(void *context)
{
    struct load *load = context;
    CURL *curl = curl_easy_init();
    struct curl_slist *headers = curl_slist_append(NULL, "content-type: application/json");
    struct buf body = {0};
    char url[256];
    snprintf(url, sizeof url, "%s/v1/streams/load/events", load->url);
    curl_easy_setopt(curl, CURLOPT_URL, url);
    curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(curl, CURLOPT_POSTFIELDS, "{\"type\":\"A\"}");
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, client_take);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, &body);
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    for (long status = 201; status == 201;) {
        buf_clear(&body);
        if (curl_easy_perform(curl) != CURLE_OK)
            break;
        curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
        load->done += status == 201;
    }
    buf_free(&body);
    curl_slist_free_all(headers);
    curl_easy_cleanup(curl);
    return NULL;
}

/* Goal: stopping under load ends in time, and every append that was acknowledged is there afterwards.
 * Method: four clients append; SIGTERM after a hundred appends of a fifth; count the stream with a new server. */
TEST(stop_under_load_loses_nothing)
{
    struct load loads[4];
    char said[4096];
    unsigned done = 0;
    struct child child = start_server("load");
    for (int i = 0; i < 4; i++) {
        loads[i] = (struct load){.url = child.url};
        CHECK_INT(pthread_create(&loads[i].thread, NULL, append_until_end, &loads[i]), 0);
    }
    for (int i = 0; i < 100; i++)
        append_to(child.url, "/v1/streams/own/events", 201);
    kill(child.pid, SIGTERM);
    CHECK_INT(end_of(&child, said), 0);
    done = 0;
    for (int i = 0; i < 4; i++) {
        pthread_join(loads[i].thread, NULL);
        done += loads[i].done;
    }
    child = start_server("load");
    struct reply r = client_call(child.url, "GET", "/v1/streams/load", NULL, (cairn_str){0});
    int64_t last = -1;
    CHECK(json_i64(json_get(r.json, "last_revision"), &last));
    if (last + 1 < (int64_t)done)
        fail_msg("%u appends were acknowledged, %lld are there", done, (long long)last + 1);
    reply_free(&r);
    kill(child.pid, SIGTERM);
    CHECK_INT(end_of(&child, said), 0);
}

static int
code_of(char *const *words, int count, char said[4096])
{
    struct child child = run_server(words, count);
    return end_of(&child, said);
}

/* Goal: what keeps it from starting is said in a sentence, each kind with its exit code.
 * Method: a folder in use, a bad flag, a bad file, a bad address, a folder that is a file, a port in use. */
TEST(says_why_it_cannot_start)
{
    static char name[] = "serve", listen[] = "--listen", any[] = "127.0.0.1:0", data[] = "--data", in_use[] = "locked",
                bogus[] = "--bogus", config[] = "--config", file[] = "bad.yaml", missing[] = "none.yaml", word[] = "word",
                nowhere[] = "nowhere", bad_data[] = "bad.yaml/x", fresh[] = "fresh", help[] = "--help";
    char said[4096], yaml[128], taken[64];
    snprintf(yaml, sizeof yaml, "%s/bad.yaml", folder);
    FILE *f = fopen(yaml, "w");
    assert_non_null(f);
    fputs("limits:\n  evnt_size: 1\n", f);
    fclose(f);
    struct child child = start_server(in_use);
    snprintf(taken, sizeof taken, "%s", strstr(child.url, "127"));

    const struct {
        char *words[8];
        int count, code;
        const char *says;
    } cases[] = {
        {{name, listen, any, data, in_use}, 5, 8, "in use by another process"},
        {{name, bogus, any}, 3, 2, "unknown flag '--bogus'"},
        {{name, word}, 2, 2, "'word' is not understood"},
        {{name, listen}, 2, 2, "--listen needs a value"},
        {{name, listen, nowhere}, 3, 2, "is not ADDRESS:PORT"},
        {{name, config, file}, 3, 2, "bad.yaml:2: unknown key 'limits.evnt_size'"},
        {{name, config, missing}, 3, 3, "none.yaml: cannot read"},
        {{name, listen, taken, data, fresh}, 5, 1, "Address already in use"},
        {{name, listen, any, data, bad_data}, 5, -1, "bad.yaml"},
        {{name, help}, 2, 0, ""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int code = code_of(cases[i].words, cases[i].count, said);
        if ((cases[i].code >= 0 ? code != cases[i].code : code == 0) || !strstr(said, cases[i].says))
            fail_msg("case %zu: code %d, '%s'", i, code, said);
    }
    kill(child.pid, SIGTERM);
    CHECK_INT(end_of(&child, said), 0);
}

/* Goal: a damaged log is refused with code 7, and file and offset are named.
 * Method: write, stop, flip a byte in the middle of the segment, start. */
TEST(damaged_data_is_refused)
{
    static char name[] = "serve", listen[] = "--listen", any[] = "127.0.0.1:0", data[] = "--data", damaged[] = "damaged";
    char said[4096], path[160];
    struct child child = start_server(damaged);
    for (int i = 0; i < 20; i++)
        append_to(child.url, "/v1/streams/s/events", 201);
    kill(child.pid, SIGTERM);
    CHECK_INT(end_of(&child, said), 0);
    snprintf(path, sizeof path, "%s/damaged/cairn.log", folder);
    int file = open(path, O_RDWR | O_CLOEXEC);
    char byte;
    CHECK(file >= 0 && pread(file, &byte, 1, 20) == 1);
    byte ^= 0x10;
    CHECK(pwrite(file, &byte, 1, 20) == 1 && close(file) == 0);
    char *const words[] = {name, listen, any, data, damaged, NULL};
    CHECK_INT(code_of(words, 5, said), 7);
    CHECK(strstr(said, "cairn.log at byte") != NULL);
}

/* ---- many followers --------------------------------------------------------------------------------- */

#if defined __SANITIZE_ADDRESS__ || defined __SANITIZE_THREAD__
#define FOLLOWERS 1000
#define FOLLOWER_BYTES_MAX SIZE_MAX /* the sanitizers' own memory is not bounded here */
#else
#define FOLLOWERS 10000
#define FOLLOWER_BYTES_MAX ((size_t)16 << 10)
#endif

static size_t
resident_bytes(pid_t pid)
{
    char path[64];
    long all, pages;
    snprintf(path, sizeof path, "/proc/%d/statm", (int)pid);
    FILE *file = fopen(path, "re");
    CHECK(file != NULL && fscanf(file, "%ld %ld", &all, &pages) == 2);
    fclose(file);
    return (size_t)pages * (size_t)sysconf(_SC_PAGESIZE);
}

/* Receive until the bytes that have come hold `text`. */
static void
receive_until(int fd, const char *text, unsigned number)
{
    char bytes[4096];
    size_t used = 0;
    do {
        ssize_t n = used < sizeof bytes - 1 ? recv(fd, bytes + used, sizeof bytes - 1 - used, 0) : 0;
        if (n <= 0)
            fail_msg("follower %u: no '%s' within the time, but: %.*s", number, text, (int)used, bytes);
        used += (size_t)n;
        bytes[used] = '\0';
    } while (!strstr(bytes, text));
}

/* Goal: ten thousand followers who wait for events cost little memory, hold nobody up, and get an event when it comes.
 * Method: that many connections, as far as the descriptor limit goes; appends and reads beside them; then one event
 * that all of them follow. */
TEST(ten_thousand_followers)
{
    static int fds[FOLLOWERS];
    struct rlimit limit;
    CHECK_INT(getrlimit(RLIMIT_NOFILE, &limit), 0);
    limit.rlim_cur = limit.rlim_max;
    CHECK_INT(setrlimit(RLIMIT_NOFILE, &limit), 0); /* the server inherits it */
    unsigned count = limit.rlim_max > FOLLOWERS + 500 ? FOLLOWERS : (unsigned)limit.rlim_max - 500;
    if (count < FOLLOWERS)
        printf("only %u followers: the descriptor limit is %llu\n", count, (unsigned long long)limit.rlim_max);
    struct child child = start_server("followed");
    unsigned port = (unsigned)strtoul(strrchr(child.url, ':') + 1, NULL, 10);
    append_to(child.url, "/v1/streams/others/events", 201);
    size_t before = resident_bytes(child.pid);
    const struct timeval patience = {.tv_sec = CLIENT_TIMEOUT_MS / 1000};
    for (unsigned i = 0; i < count; i++) {
        fds[i] = sse_open(port, "/v1/streams/followed/events", NULL).fd;
        CHECK_INT(setsockopt(fds[i], SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience), 0);
    }
    for (unsigned i = 0; i < count; i++)
        receive_until(fds[i], "\r\n\r\n", i);
    size_t each = (resident_bytes(child.pid) - before) / count;
    printf("%u followers, %zu bytes each\n", count, each);
    CHECK(each <= FOLLOWER_BYTES_MAX);
    for (unsigned i = 0; i < 100; i++)
        append_to(child.url, "/v1/streams/others/events", 201);
    append_to(child.url, "/v1/streams/followed/events", 201);
    for (unsigned i = 0; i < count; i++)
        receive_until(fds[i], "data: ", i);
    for (unsigned i = 0; i < count; i++)
        close(fds[i]);
    append_to(child.url, "/v1/streams/others/events", 201);
    char said[4096];
    CHECK_INT(kill(child.pid, SIGTERM), 0);
    CHECK_INT(end_of(&child, said), 0);
}

int
main(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], AS_SERVER) == 0) {
        argv[1] = argv[0];
        return cairn_serve_main(argc - 1, argv + 1);
    }
    const struct CMUnitTest tests[] = {
        RUN(stops_cleanly_by_signal),
        RUN(stop_under_load_loses_nothing),
        RUN(says_why_it_cannot_start),
        RUN(damaged_data_is_refused),
        RUN(ten_thousand_followers),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
