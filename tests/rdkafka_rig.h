/* tests/rdkafka_rig.h: a real server (`cairn serve` as a process of its own, CAIRN_BIN names the program) and librdkafka's clients for it.
 *
 * A server keeps its port across restarts, as clients expect. It dies with the test. Ports are taken from below the kernel's ephemeral
 * ones: otherwise a client that keeps trying a port that nobody listens on may one day connect to itself. */
#ifndef TESTS_RDKAFKA_RIG_H
#define TESTS_RDKAFKA_RIG_H

#include "test.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <librdkafka/rdkafka.h>
#include <limits.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>

#define RIG_PATIENCE_MS 60000

static inline int64_t
rig_now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* ---- the server -------------------------------------------------------------------------------------------------------------- */

struct serve {
    char folder[64]; /* of the test; the data is in its "data", what the server says in "err" */
    pid_t pid;
    int out;
    unsigned port;
    char broker[32], url[64], registry[64];
};

static inline unsigned
serve_free_port(void)
{
    static unsigned next;
    if (next == 0)
        next = 20000 + (unsigned)getpid() * 7 % 10000;
    for (unsigned tries = 0; tries < 10000; tries++) {
        next = next >= 29999 ? 20000 : next + 1;
        struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons((uint16_t)next), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
        bool is_free = bind(fd, (struct sockaddr *)&at, sizeof at) == 0;
        close(fd);
        if (is_free)
            return next;
    }
    fail_msg("there is no free port");
    return 0;
}

static inline void
serve_run(const struct serve *serve, int out)
{
    const char *program = getenv("CAIRN_BIN");
    char data[96], err[96], kafka[32];
    snprintf(data, sizeof data, "%s/data", serve->folder);
    snprintf(err, sizeof err, "%s/err", serve->folder);
    snprintf(kafka, sizeof kafka, "127.0.0.1:%u", serve->port);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    dup2(out, 1);
    dup2(open(err, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666), 2);
    program = program ? program : "build/cairn";
    execl(program, program, "serve", "--data", data, "--listen", "127.0.0.1:0", "--kafka", kafka, "--schema-registry", "127.0.0.1:0",
          "--apps-log", "0", (char *)NULL);
    _exit(127);
}

static inline void
serve_told(const char *line, const char *before, char *to, size_t size)
{
    const char *at = strstr(line, before);
    if (!at)
        fail_msg("the server says: %s", line);
    at += strlen(before);
    snprintf(to, size, "%.*s", (int)strcspn(at, " ,\n"), at);
}

/* Start, or start again on the same folder and port. Call it from a thread that stays: the server dies with that thread. */
static inline void
serve_start(struct serve *serve)
{
    char line[512];
    size_t size = 0;
    int pipes[2];
    if (!serve->folder[0]) {
        test_folder(serve->folder);
        serve->port = serve_free_port();
    }
    assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
    fflush(NULL);
    serve->pid = fork();
    assert_true(serve->pid >= 0);
    if (serve->pid == 0)
        serve_run(serve, pipes[1]);
    close(pipes[1]);
    serve->out = pipes[0];
    while (size < sizeof line - 1 && read(serve->out, line + size, 1) == 1 && line[size++] != '\n')
        continue;
    line[size] = '\0';
    if (size == 0) {
        char command[160];
        snprintf(command, sizeof command, "tail -n 20 %s/err >&2", serve->folder);
        if (system(command) != 0)
            fprintf(stderr, "it has said nothing\n");
        fail_msg("the server does not start");
    }
    serve_told(line, "listening on ", serve->url, sizeof serve->url);
    serve_told(line, "for Kafka's clients on ", serve->broker, sizeof serve->broker);
    serve_told(line, "for the schema registry's clients on ", serve->registry, sizeof serve->registry);
}

static inline void
serve_kill(struct serve *serve)
{
    kill(serve->pid, SIGKILL);
    waitpid(serve->pid, NULL, 0);
    close(serve->out);
    serve->pid = 0;
}

/* A clean stop; the folder goes. */
static inline void
serve_end(struct serve *serve)
{
    int status = 0;
    kill(serve->pid, SIGTERM);
    waitpid(serve->pid, &status, 0);
    close(serve->out);
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
        fail_msg("the server ends with %d; see %s/err", status, serve->folder);
    if (!getenv("TEST_KEEP"))
        test_remove(serve->folder);
}

/* ---- clients ------------------------------------------------------------------------------------------------------------------- */

#define CHECK_RK(call)                                                                                                          \
    do {                                                                                                                        \
        rd_kafka_resp_err_t err_rk_ = (call);                                                                                   \
        if (err_rk_ != RD_KAFKA_RESP_ERR_NO_ERROR)                                                                              \
            fail_msg("%s: %s", #call, rd_kafka_err2name(err_rk_));                                                              \
    } while (0)
/* For calls that return a rd_kafka_error_t. */
#define CHECK_RKE(call)                                                                                                         \
    do {                                                                                                                        \
        rd_kafka_error_t *error_rk_ = (call);                                                                                   \
        if (error_rk_)                                                                                                          \
            fail_msg("%s: %s: %s", #call, rd_kafka_error_name(error_rk_), rd_kafka_error_string(error_rk_));                    \
    } while (0)
/* Do `step` until the condition holds. */
#define UNTIL(condition, step)                                                                                                  \
    do {                                                                                                                        \
        int64_t until_ = rig_now_ms() + RIG_PATIENCE_MS;                                                                        \
        while (!(condition)) {                                                                                                  \
            if (rig_now_ms() > until_)                                                                                          \
                fail_msg("never became true: %s", #condition);                                                                  \
            step;                                                                                                               \
        }                                                                                                                       \
    } while (0)

/* For what nobody announces: look again every millisecond. */
#define AWAIT(condition) UNTIL(condition, poll(NULL, 0, 1))

/* What librdkafka has to say goes to stderr with TEST_LOG only: half of it is about servers that tests kill. */
static inline void
rig_say(const rd_kafka_t *rk, int level, const char *facility, const char *text)
{
    if (getenv("TEST_LOG"))
        fprintf(stderr, "%s %d %s %s\n", rd_kafka_name(rk), level, facility, text);
}

/* A client's settings: names and values in turn, then NULL. */
static inline rd_kafka_conf_t *
rig_conf(const struct serve *serve, const char *const *settings)
{
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    char why[256];
    rd_kafka_conf_set_log_cb(conf, rig_say);
    if (rd_kafka_conf_set(conf, "bootstrap.servers", serve->broker, why, sizeof why) != RD_KAFKA_CONF_OK)
        fail_msg("%s", why);
    for (size_t i = 0; settings && settings[i]; i += 2)
        if (rd_kafka_conf_set(conf, settings[i], settings[i + 1], why, sizeof why) != RD_KAFKA_CONF_OK)
            fail_msg("%s", why);
    return conf;
}

/* Takes the settings. */
static inline rd_kafka_t *
rig_new(rd_kafka_type_t type, rd_kafka_conf_t *conf)
{
    char why[256];
    rd_kafka_t *rk = rd_kafka_new(type, conf, why, sizeof why);
    if (!rk)
        fail_msg("%s", why);
    if (type == RD_KAFKA_CONSUMER)
        CHECK_RK(rd_kafka_poll_set_consumer(rk));
    return rk;
}
#define SETTINGS(...) ((const char *const[]){__VA_ARGS__ __VA_OPT__(, ) NULL, NULL})
#define PRODUCER(serve, ...) rig_new(RD_KAFKA_PRODUCER, rig_conf(serve, SETTINGS(__VA_ARGS__)))
#define CONSUMER(serve, ...) rig_new(RD_KAFKA_CONSUMER, rig_conf(serve, SETTINGS(__VA_ARGS__)))

/* `config`: SETTINGS(…), or NULL. */
static inline void
rig_make_topic_with(rd_kafka_t *rk, const char *name, int partitions, const char *const *config)
{
    char why[256];
    rd_kafka_NewTopic_t *topic = rd_kafka_NewTopic_new(name, partitions, 1, why, sizeof why);
    rd_kafka_queue_t *queue = rd_kafka_queue_new(rk);
    size_t count;
    for (; config != NULL && *config != NULL; config += 2)
        CHECK_RK(rd_kafka_NewTopic_set_config(topic, config[0], config[1]));
    rd_kafka_CreateTopics(rk, &topic, 1, NULL, queue);
    rd_kafka_event_t *event = rd_kafka_queue_poll(queue, RIG_PATIENCE_MS);
    assert_non_null(event);
    CHECK_RK(rd_kafka_event_error(event));
    const rd_kafka_topic_result_t **results = rd_kafka_CreateTopics_result_topics(rd_kafka_event_CreateTopics_result(event), &count);
    CHECK_RK(rd_kafka_topic_result_error(results[0]));
    rd_kafka_event_destroy(event);
    rd_kafka_queue_destroy(queue);
    rd_kafka_NewTopic_destroy(topic);
}

static inline void
rig_make_topic(rd_kafka_t *rk, const char *name, int partitions)
{
    rig_make_topic_with(rk, name, partitions, NULL);
}

static inline int64_t
rig_end_offset(rd_kafka_t *rk, const char *topic, int32_t partition)
{
    int64_t low, high;
    CHECK_RK(rd_kafka_query_watermark_offsets(rk, topic, partition, &low, &high, RIG_PATIENCE_MS));
    return high;
}

#endif
