/* The process is killed (SIGKILL) under load, again and again, in one folder: nothing acknowledged is lost, nothing is
 * half done, and a client that tries again what it had no answer to gets one.
 *
 * Twice: a process that embeds the store, with several threads that report each acknowledgement through a pipe; and
 * the real server with several HTTP clients. Four writers append to a stream each, some of their appends also
 * to a stream that all share, some under a condition. What the n-th append of a writer looks like is
 * decided by n alone, so the store can be checked from what it holds.
 *
 * CAIRN_BIN is the server; build/cairn where that is not set. */
#include <arpa/inet.h>
#include <cairn/cairn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <test.h>

#define ROUNDS 20
#define WRITERS 4
#define PARTS_MAX 4
#define APPENDS_MAX 200000 /* of a writer */

static char context[128];

static void
give_up(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    fprintf(stderr, "%s: ", context);
    vfprintf(stderr, format, arguments);
    fprintf(stderr, "\n");
    va_end(arguments);
}
#define EXPECT(condition, ...)                                                                     \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            give_up(__VA_ARGS__);                                                                  \
            fail_msg("%s", #condition);                                                            \
        }                                                                                          \
    } while (0)

/* ---- what a writer appends -------------------------------------------------------------------- */

static unsigned
own_events(uint32_t seq)
{
    return 1 + seq % 3;
}

static unsigned
all_events(uint32_t seq)
{
    return own_events(seq) + (seq % 4 == 0);
}

static bool
has_condition(uint32_t seq)
{
    return seq % 5 == 0;
}

/* The revision of its first event. */
static uint64_t
own_before(uint32_t seq)
{
    return seq / 3 * 6 + (seq % 3 > 0 ? 1 : 0) + (seq % 3 > 1 ? 2 : 0);
}

static int64_t
expected_at(uint32_t seq)
{
    return seq == 0 ? CAIRN_NONE : (int64_t)own_before(seq) - 1;
}

static cairn_uuid
event_id(uint32_t writer, uint32_t seq, unsigned part)
{
    uint64_t seed = ((uint64_t)writer << 40) + ((uint64_t)seq << 4) + part;
    cairn_uuid id;
    for (int i = 0; i < 16; i += 8) {
        uint64_t word = test_random(&seed);
        memcpy(id.bytes + i, &word, 8);
    }
    return id;
}

static int
event_data(uint32_t writer, uint32_t seq, unsigned part, char to[128])
{
    return snprintf(to, 128, "{\"writer\":%u,\"seq\":%u,\"part\":%u,\"of\":%u}", writer, seq, part,
                    all_events(seq));
}

/* ---- what has been acknowledged, and what is there ---------------------------------------------- */

struct ack {
    uint32_t writer, seq;
    uint64_t first_position;
};

/* First positions of acknowledged appends, plus one; 0: not acknowledged. */
static uint64_t (*acked)[APPENDS_MAX];

static void
note_ack(const struct ack *ack)
{
    EXPECT(ack->writer < WRITERS && ack->seq < APPENDS_MAX, "an odd acknowledgement");
    EXPECT(acked[ack->writer][ack->seq] == 0
               || acked[ack->writer][ack->seq] == ack->first_position + 1,
           "append %u of writer %u was acknowledged at two places", ack->seq, ack->writer);
    acked[ack->writer][ack->seq] = ack->first_position + 1;
}

static cairn_store *
open_store(const char *folder)
{
    cairn_options options = {.create = true, .segment_size_bytes = 256 << 10,
                             .index_memory_events = 1500};
    cairn_store *store;
    cairn_error error = {0};
    cairn_err err = cairn_open(folder, &options, &store, &error);
    EXPECT(err == CAIRN_OK, "opening: %s", error.detail);
    return store;
}

/* Walk the whole log: appends are whole, and each writer's follow each other. Returns how many there are. */
static void
check_appends(cairn_store *store, uint32_t next[WRITERS])
{
    cairn_read_options options = {0};
    cairn_reader *reader;
    cairn_recorded event;
    cairn_error error = {0};
    cairn_err err = cairn_read_all(store, &options, &reader, &error);
    EXPECT(err == CAIRN_OK, "reading: %s", error.detail);
    unsigned part_next = 0, last_writer = 0;
    uint64_t position = 0;
    while ((err = cairn_reader_next(reader, &event, &error)) == CAIRN_OK) {
        unsigned writer, seq, part, of;
        char data[128];
        snprintf(data, sizeof data, "%.*s", (int)event.event.data.size, event.event.data.data);
        EXPECT(sscanf(data, "{\"writer\":%u,\"seq\":%u,\"part\":%u,\"of\":%u}", &writer, &seq, &part,
                      &of) == 4 && writer < WRITERS && of == all_events(seq),
               "position %llu holds '%s'", (unsigned long long)event.position, data);
        cairn_uuid id = event_id(writer, seq, part);
        EXPECT(event.position == position++ && memcmp(&id, &event.event.id, sizeof id) == 0,
               "position %llu: another position or id", (unsigned long long)event.position);
        EXPECT(part == part_next && (part == 0 || writer == last_writer) && seq == next[writer],
               "position %llu: part %u of append %u of writer %u does not belong here",
               (unsigned long long)event.position, part, seq, writer);
        EXPECT(part >= own_events(seq) || event.revision == own_before(seq) + part,
               "position %llu: revision %llu", (unsigned long long)event.position,
               (unsigned long long)event.revision);
        EXPECT(part > 0 || acked[writer][seq] == 0 || acked[writer][seq] == event.position + 1,
               "append %u of writer %u is elsewhere than was acknowledged", seq, writer);
        last_writer = writer;
        part_next = part + 1 < of ? part + 1 : 0;
        next[writer] += part_next == 0;
    }
    EXPECT(err == CAIRN_E_END, "reading: %s", error.detail);
    EXPECT(part_next == 0, "the last append is half there");
    cairn_reader_free(reader);
}

/* The same by the index: a writer's stream holds all of its events. */
static void
check_stream(cairn_store *store, uint32_t writer, uint32_t appends)
{
    char name[32];
    cairn_stream_info info;
    cairn_error error = {0};
    snprintf(name, sizeof name, "order-%u", writer);
    cairn_err err = cairn_stream_info_get(store, 0, cairn_cstr(name), &info, &error);
    EXPECT(err == CAIRN_OK, "%s: %s", name, error.detail);
    EXPECT(info.last_revision == (int64_t)own_before(appends) - 1, "%s ends at revision %lld, not %lld",
           name, (long long)info.last_revision, (long long)own_before(appends) - 1);
}

static uint64_t
check_store(const char *folder, bool verify)
{
    uint32_t next[WRITERS] = {0};
    cairn_store *store = open_store(folder);
    check_appends(store, next);
    for (uint32_t i = 0; i < WRITERS; i++) {
        EXPECT(next[i] >= APPENDS_MAX || acked[i][next[i]] == 0,
               "append %u of writer %u was acknowledged and is lost", next[i], i);
        check_stream(store, i, next[i]);
    }
    if (verify) {
        cairn_verify_report report;
        cairn_error error = {0};
        cairn_err err = cairn_verify(store, NULL, NULL, NULL, &report, &error);
        EXPECT(err == CAIRN_OK && report.faults == 0, "verify: %s", error.detail);
    }
    uint64_t end = cairn_end(store);
    cairn_close(store);
    return end;
}

/* ---- a process that embeds the store ------------------------------------------------------------- */

struct writer {
    cairn_store *store;
    uint32_t number;
    int acks; /* pipe */
    pthread_t thread;
};

/* Only in the child: its exit says that something was wrong. */
static void
child_fails(const char *what, const char *detail)
{
    fprintf(stderr, "%s: %s: %s\n", context, what, detail);
    _exit(1);
}

static cairn_at
append_seq(const struct writer *writer, uint32_t seq, int64_t after)
{
    char data[PARTS_MAX][128], stream[32], tag_text[16];
    snprintf(stream, sizeof stream, "order-%u", writer->number);
    snprintf(tag_text, sizeof tag_text, "w%u", writer->number);
    cairn_str tag = cairn_cstr(tag_text);
    cairn_event events[PARTS_MAX];
    unsigned own = own_events(seq), all = all_events(seq);
    for (unsigned i = 0; i < all; i++) {
        int size = event_data(writer->number, seq, i, data[i]);
        events[i] = (cairn_event){.id = event_id(writer->number, seq, i), .type = CAIRN_STR("Made"),
                                  .data = {data[i], (size_t)size}, .tags = &tag, .tag_count = 1};
    }
    cairn_write writes[2] = {{cairn_cstr(stream), expected_at(seq), events, own},
                             {CAIRN_STR("shared"), CAIRN_ANY, events + own, all - own}};
    cairn_query_item item = {.tags = &tag, .tag_count = 1};
    cairn_condition condition = {{&item, 1}, after};
    cairn_append_request request = {.writes = writes, .write_count = all > own ? 2 : 1,
                                    .conditions = &condition, .condition_count = has_condition(seq)};
    cairn_at at;
    cairn_error error = {0};
    if (cairn_append_all(writer->store, &request, &at, &error) != CAIRN_OK)
        child_fails("append", error.detail);
    return at;
}

/* The newest append of this writer that the store holds, from an earlier life: try it again. */
static uint32_t
resume(const struct writer *writer, int64_t *ret_after)
{
    char stream[32];
    snprintf(stream, sizeof stream, "order-%u", writer->number);
    cairn_read_options options = {.from = CAIRN_FROM_END, .direction = CAIRN_BACKWARD};
    cairn_reader *reader;
    cairn_recorded event;
    cairn_error error = {0};
    unsigned number, seq, part = 1;
    uint64_t first = 0;
    *ret_after = -1;
    if (cairn_read_stream(writer->store, cairn_cstr(stream), &options, &reader, &error) != CAIRN_OK)
        child_fails("read", error.detail);
    bool any = false;
    while (part > 0 && cairn_reader_next(reader, &event, &error) == CAIRN_OK) {
        any = sscanf(event.event.data.data, "{\"writer\":%u,\"seq\":%u,\"part\":%u", &number, &seq,
                     &part) == 3;
        first = event.position;
    }
    cairn_reader_free(reader);
    if (!any)
        return 0;
    cairn_at at = append_seq(writer, seq, (int64_t)first - 1);
    if (!at.repeated || at.first_position != first)
        child_fails("retry", "an append from before the kill was not recognised");
    *ret_after = (int64_t)at.last_position;
    return seq + 1;
}

static void *
write_forever(void *context_of_writer)
{
    const struct writer *writer = context_of_writer;
    int64_t after;
    for (uint32_t seq = resume(writer, &after); seq < APPENDS_MAX; seq++) {
        cairn_at at = append_seq(writer, seq, after);
        after = (int64_t)at.last_position;
        struct ack ack = {writer->number, seq, at.first_position};
        if (write(writer->acks, &ack, sizeof ack) != (ssize_t)sizeof ack)
            child_fails("pipe", strerror(errno));
    }
    return NULL;
}

static void
run_child(const char *folder, int acks)
{
    struct writer writers[WRITERS];
    cairn_options options = {.create = true, .segment_size_bytes = 256 << 10,
                             .index_memory_events = 1500};
    cairn_store *store;
    cairn_error error = {0};
    if (cairn_open(folder, &options, &store, &error) != CAIRN_OK)
        child_fails("open", error.detail);
    for (uint32_t i = 0; i < WRITERS; i++) {
        writers[i] = (struct writer){.store = store, .number = i, .acks = acks};
        if (pthread_create(&writers[i].thread, NULL, write_forever, &writers[i]) != 0)
            child_fails("thread", strerror(errno));
    }
    for (uint32_t i = 0; i < WRITERS; i++)
        pthread_join(writers[i].thread, NULL);
    _exit(0);
}

static void
kill_and_reap(pid_t child)
{
    int status;
    CHECK_INT(kill(child, SIGKILL), 0);
    CHECK_INT(waitpid(child, &status, 0), child);
    EXPECT(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL, "it was gone before: status %x", status);
}

static void
begin_rounds(void)
{
    acked = calloc(WRITERS, sizeof *acked);
    CHECK(acked != NULL);
}

static void
end_rounds(const char *folder, uint64_t total)
{
    printf("%d kills, %llu appends acknowledged, %llu events there\n", ROUNDS,
           (unsigned long long)total, (unsigned long long)check_store(folder, true));
    free(acked);
}

/* Goal: a killed process has told nobody of an append that is lost.
 * Method: a child with four threads, killed after a random number of acknowledgements, 20 times. */
TEST(embedded_store_is_killed)
{
    uint64_t seed = test_seed(), total = 0;
    char path[64], folder[80];
    test_folder(path);
    snprintf(folder, sizeof folder, "%s/store", path);
    begin_rounds();
    for (unsigned round = 0; round < ROUNDS * test_scale(); round++) {
        int acks[2];
        snprintf(context, sizeof context, "round %u", round);
        CHECK_INT(pipe(acks), 0);
        fflush(NULL);
        pid_t child = fork();
        CHECK(child >= 0);
        if (child == 0) {
            close(acks[0]);
            run_child(folder, acks[1]);
        }
        close(acks[1]);
        uint64_t until = 1 + test_random(&seed) % 600, seen = 0;
        struct ack ack;
        while (read(acks[0], &ack, sizeof ack) == (ssize_t)sizeof ack) {
            note_ack(&ack);
            if (++seen == until)
                kill_and_reap(child);
        }
        EXPECT(seen >= until, "the child ended by itself");
        close(acks[0]);
        total += seen;
        (void)check_store(folder, round % 5 == 0);
    }
    end_rounds(folder, total);
    test_remove(path);
}

/* ---- the server ------------------------------------------------------------------------------------- */

struct server {
    pid_t pid;
    int output;
    uint16_t port;
};

static const char *
server_program(void)
{
    const char *program = getenv("CAIRN_BIN");
    return program != NULL ? program : "build/cairn";
}

static void
start_server(struct server *server, const char *folder)
{
    int output[2];
    CHECK_INT(pipe(output), 0);
    fflush(NULL);
    server->pid = fork();
    CHECK(server->pid >= 0);
    if (server->pid == 0) {
        int nothing = open("/dev/null", O_WRONLY);
        dup2(output[1], 1);
        dup2(nothing, 2);
        close(output[0]);
        execl(server_program(), "cairn", "serve", "--data", folder, "--listen", "127.0.0.1:0",
              "--log-segment-size", "256KiB", "--log-index-memory-events", "1500", (char *)NULL);
        _exit(127);
    }
    close(output[1]);
    server->output = output[0];
    char line[512];
    size_t size = 0;
    const char *url = NULL;
    while (url == NULL || strchr(url, ' ') == NULL) { /* until the address is there, and something after it */
        ssize_t n = read(server->output, line + size, sizeof line - 1 - size);
        EXPECT(n > 0, "the server said nothing of where it listens: %.*s", (int)size, line);
        size += (size_t)n;
        line[size] = '\0';
        url = strstr(line, "http://127.0.0.1:");
        if (url != NULL && strchr(url, '\n') != NULL)
            break;
    }
    unsigned port;
    EXPECT(sscanf(url, "http://127.0.0.1:%u", &port) == 1, "no address in '%s'", line);
    server->port = (uint16_t)port;
}

/* One HTTP client. It lives longer than the servers it talks to, and so remembers what it has no answer to. */
struct client {
    uint32_t number, seq;
    int64_t after;
    uint16_t port;
    uint64_t repeats; /* had been written, the answer was lost */
    pthread_t thread;
    char failure[256]; /* an answer that should not have come */
};

static _Atomic uint64_t acks_seen;

static void
put_events(char *to, size_t size, uint32_t writer, uint32_t seq, unsigned from, unsigned until)
{
    size_t at = (size_t)snprintf(to, size, "[");
    for (unsigned i = from; i < until; i++) {
        char data[128];
        cairn_uuid id = event_id(writer, seq, i);
        const uint8_t *b = id.bytes;
        (void)event_data(writer, seq, i, data);
        at += (size_t)snprintf(to + at, size - at,
                               "%s{\"type\":\"Made\",\"id\":\"%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-"
                               "%02x%02x%02x%02x%02x%02x\",\"tags\":[\"w%u\"],\"data\":%s}",
                               i > from ? "," : "", b[0], b[1], b[2], b[3], b[4], b[5], b[6], b[7],
                               b[8], b[9], b[10], b[11], b[12], b[13], b[14], b[15], writer, data);
    }
    snprintf(to + at, size - at, "]");
}

static void
put_expected(char to[24], uint32_t seq)
{
    if (seq == 0)
        snprintf(to, 24, "none");
    else
        snprintf(to, 24, "%lld", (long long)expected_at(seq));
}

static int
build_request(const struct client *client, char *to, size_t size)
{
    char events[2048], body[4096], expected[24], target[128];
    uint32_t seq = client->seq;
    put_expected(expected, seq);
    put_events(events, sizeof events, client->number, seq, 0, own_events(seq));
    if (all_events(seq) == own_events(seq) && !has_condition(seq)) {
        snprintf(target, sizeof target, "/v1/streams/order-%u/events?expected=%s", client->number,
                 expected);
        snprintf(body, sizeof body, "%s", events);
    } else {
        char shared[1024] = "", conditions[128] = "", more[512];
        snprintf(target, sizeof target, "/v1/append");
        if (all_events(seq) > own_events(seq)) {
            put_events(more, sizeof more, client->number, seq, own_events(seq), all_events(seq));
            snprintf(shared, sizeof shared, ",{\"stream\":\"shared\",\"expected\":\"any\",\"events\":%s}",
                     more);
        }
        if (has_condition(seq))
            snprintf(conditions, sizeof conditions,
                     ",\"conditions\":[{\"query\":[{\"tags\":[\"w%u\"]}],\"after\":%lld}]",
                     client->number, (long long)client->after);
        const char *quote = seq == 0 ? "\"" : "";
        snprintf(body, sizeof body,
                 "{\"writes\":[{\"stream\":\"order-%u\",\"expected\":%s%s%s,\"events\":%s}%s]%s}",
                 client->number, quote, expected, quote, events, shared, conditions);
    }
    return snprintf(to, size,
                    "POST %s HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
                    "Content-Length: %zu\r\n\r\n%s",
                    target, strlen(body), body);
}

/* Status of the answer, 0 when the connection broke; its body in `body`. */
static int
read_answer(int connection, char *body, size_t size)
{
    char bytes[8192];
    size_t have = 0;
    for (;;) {
        ssize_t n = recv(connection, bytes + have, sizeof bytes - 1 - have, 0);
        if (n <= 0)
            return 0;
        have += (size_t)n;
        bytes[have] = '\0';
        char *end = strstr(bytes, "\r\n\r\n");
        if (end == NULL)
            continue;
        int status = 0;
        const char *length = strcasestr(bytes, "\ncontent-length:");
        if (sscanf(bytes, "HTTP/1.1 %d", &status) != 1 || length == NULL || length > end)
            return -1;
        size_t body_size = strtoul(length + sizeof "\ncontent-length:" - 1, NULL, 10);
        if (have < (size_t)(end + 4 - bytes) + body_size)
            continue;
        snprintf(body, size, "%.*s", (int)body_size, end + 4);
        return status;
    }
}

static int
connect_to(uint16_t port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int connection = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (connection >= 0 && connect(connection, (struct sockaddr *)&address, sizeof address) == 0)
        return connection;
    close(connection);
    return -1;
}

/* Append until the server is gone. The first append of a new life is the one that had no answer in the last. */
static void *
run_client(void *context_of_client)
{
    struct client *client = context_of_client;
    char request[8192], body[4096];
    int connection = connect_to(client->port);
    while (connection >= 0 && client->seq < APPENDS_MAX) {
        int size = build_request(client, request, sizeof request);
        if (send(connection, request, (size_t)size, MSG_NOSIGNAL) != size)
            break;
        int status = read_answer(connection, body, sizeof body);
        if (status == 0)
            break;
        unsigned long long first, last;
        const char *position = strstr(body, "\"first_position\":");
        const char *last_position = strstr(body, "\"last_position\":");
        bool repeated = status == 200 && strstr(body, "\"repeated\":true") != NULL;
        client->repeats += repeated;
        if ((status != 201 && !repeated) || position == NULL || last_position == NULL
            || sscanf(position, "\"first_position\":%llu", &first) != 1
            || sscanf(last_position, "\"last_position\":%llu", &last) != 1) {
            snprintf(client->failure, sizeof client->failure, "append %u: %d %.200s", client->seq, status,
                     body);
            break;
        }
        acked[client->number][client->seq++] = first + 1;
        client->after = (int64_t)last;
        atomic_fetch_add(&acks_seen, 1);
    }
    close(connection);
    return NULL;
}

/* Until that many acknowledgements have come, or a client has had a wrong answer. */
static void
wait_for_acks(struct client clients[WRITERS], uint64_t until)
{
    for (unsigned spins = 0; atomic_load(&acks_seen) < until; spins++) {
        for (uint32_t i = 0; i < WRITERS; i++)
            EXPECT(__atomic_load_n(&clients[i].failure[0], __ATOMIC_RELAXED) == '\0', "client %u: %s", i,
                   clients[i].failure);
        EXPECT(spins < 600000, "the server answers no more");
        nanosleep(&(struct timespec){.tv_nsec = 100000}, NULL);
    }
}

/* Goal: the same of the real server, over HTTP.
 * Method: four clients; it is killed after a random number of answers, 20 times, and the clients go on where they
 * were: with what they had no answer to. */
TEST(server_is_killed)
{
    uint64_t seed = test_seed();
    char path[64], folder[80];
    if (access(server_program(), X_OK) != 0) {
        printf("skipped: there is no server at %s\n", server_program());
        skip();
    }
    test_folder(path);
    snprintf(folder, sizeof folder, "%s/store", path);
    begin_rounds();
    atomic_store(&acks_seen, 0);
    struct client clients[WRITERS] = {0};
    for (uint32_t i = 0; i < WRITERS; i++)
        clients[i] = (struct client){.number = i, .after = -1};
    for (unsigned round = 0; round < ROUNDS * test_scale(); round++) {
        struct server server;
        snprintf(context, sizeof context, "server, round %u", round);
        start_server(&server, folder);
        uint64_t until = atomic_load(&acks_seen) + 1 + test_random(&seed) % 600;
        for (uint32_t i = 0; i < WRITERS; i++) {
            clients[i].port = server.port;
            CHECK_INT(pthread_create(&clients[i].thread, NULL, run_client, &clients[i]), 0);
        }
        wait_for_acks(clients, until);
        kill_and_reap(server.pid);
        for (uint32_t i = 0; i < WRITERS; i++) {
            CHECK_INT(pthread_join(clients[i].thread, NULL), 0);
            EXPECT(clients[i].failure[0] == '\0', "client %u: %s", i, clients[i].failure);
        }
        close(server.output);
        (void)check_store(folder, round % 5 == 0);
    }
    uint64_t repeats = 0;
    for (uint32_t i = 0; i < WRITERS; i++)
        repeats += clients[i].repeats;
    printf("%llu retries were recognised\n", (unsigned long long)repeats);
    end_rounds(folder, atomic_load(&acks_seen));
    test_remove(path);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {RUN(embedded_store_is_killed), RUN(server_is_killed)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
