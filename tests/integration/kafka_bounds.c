/* Bounds of the wire: of answers, requests, connections, and time. The handlers are those of kafka_wire.h. */
#include "kafka_wire.h"

/* Goal: a large answer arrives whole however slowly it is read, without holding up the loop; a reader that stands still is cut. */
TEST(large_answers_go_at_the_readers_pace)
{
    struct kafka_fetch_request in = {.max_bytes = 20 << 20};
    struct kafka_heartbeat_request beat = {0};
    start((struct kafka_config){.loops = 1, .write_timeout_ms = 500});
    struct kafka_client slow = kafka_client_open_small(rig.port, 65536), quick = kafka_client_open(rig.port);
    int32_t asked = kafka_client_send(&slow, KAFKA_API_FETCH, 12, &in);
    CLIENT_AWAIT(stats().unsent_bytes > 10 << 20);
    CLIENT_CALL(&quick, HEARTBEAT, heartbeat, 0, &beat);
    struct kafka_fetch_response *out = kafka_client_answer(&slow, KAFKA_API_FETCH, 12, asked);
    const cairn_str *records = &out->topics[0].partitions[0].records.items->bytes;
    CHECK_INT(records->size, in.max_bytes);
    for (size_t i = 0; i < records->size; i++)
        if (records->data[i] != record_byte(i))
            fail_msg("byte %zu is wrong", i);
    CLIENT_AWAIT(stats().unsent_bytes == 0);
    kafka_client_send(&slow, KAFKA_API_FETCH, 12, &in);
    check_log("has not read its answers");
    CLIENT_AWAIT(stats().connections == 1 && stats().unsent_bytes == 0);
    CLIENT_CALL(&quick, HEARTBEAT, heartbeat, 0, &beat);
    kafka_client_close(&slow);
    kafka_client_close(&quick);
    stop();
}

/* Goal: unsent answers of all are bounded; the one that reads slowest pays. */
TEST(slow_readers_cannot_take_all_memory)
{
    struct kafka_fetch_request in = {.max_bytes = 20 << 20};
    struct kafka_client clients[4];
    start((struct kafka_config){.loops = 1, .unsent_max = 50 << 20});
    for (int i = 0; i < 4; i++) {
        clients[i] = kafka_client_open_small(rig.port, 65536);
        kafka_client_send(&clients[i], KAFKA_API_FETCH, 12, &in);
    }
    check_log("reads slowest");
    CLIENT_AWAIT(stats().calls_total == 4 && stats().rejected_total > 0);
    CLIENT_AWAIT(stats().unsent_bytes <= 50 << 20);
    for (int i = 0; i < 4; i++)
        kafka_client_close(&clients[i]);
    stop();
}

static void
make_file(size_t size)
{
    char *bytes = malloc(size);
    FILE *file = tmpfile();
    CHECK(bytes && file);
    for (size_t i = 0; i < size; i++)
        bytes[i] = record_byte(i);
    CHECK_INT(fwrite(bytes, 1, size, file), size);
    CHECK_INT(fflush(file), 0);
    rig.file = dup(fileno(file));
    CHECK(rig.file >= 0);
    fclose(file);
    free(bytes);
}

/* Goal: what waits in files takes no memory, so nobody is cut for it. Method: more loops than readers; each asks for many times of
 * what unsent answers may be, takes only what the socket holds until the other has asked too, and gets all in the end. */
TEST(answers_from_files_are_not_held_against_their_readers)
{
    struct kafka_fetch_request in = {.max_bytes = 50 << 20, .min_bytes = 1};
    struct kafka_heartbeat_request beat = {0};
    struct kafka_client clients[2];
    int32_t asked[2];
    make_file((size_t)in.max_bytes);
    start((struct kafka_config){.loops = 8, .unsent_max = 8 << 20});
    for (int i = 0; i < 2; i++) {
        clients[i] = kafka_client_open_small(rig.port, 65536);
        asked[i] = kafka_client_send(&clients[i], KAFKA_API_FETCH, 12, &in);
    }
    CLIENT_AWAIT(stats().unsent_bytes > 0); /* a slice of a file, for a socket that is full; and one is enough */
    CHECK(stats().unsent_bytes < 3 * 16 << 10);  /* for each of the two, and the few bytes behind the records */
    for (int i = 0; i < 2; i++) {
        struct kafka_fetch_response *out = kafka_client_answer(&clients[i], KAFKA_API_FETCH, 12, asked[i]);
        const cairn_str *records = &out->topics[0].partitions[0].records.items->bytes;
        CHECK_INT(records->size, in.max_bytes);
        for (size_t at = 0; at < records->size; at++)
            if (records->data[at] != record_byte(at))
                fail_msg("byte %zu is wrong", at);
        CLIENT_CALL(&clients[i], HEARTBEAT, heartbeat, 0, &beat);
    }
    CHECK_INT(stats().rejected_total, 0);
    CLIENT_AWAIT(stats().unsent_bytes == 0);
    for (int i = 0; i < 2; i++)
        kafka_client_close(&clients[i]);
    stop();
    close(rig.file);
}

/* Goal: what goes to this very machine is not paced by timers, whatever the system's default is. Method: look at our sockets that
 * have the server's port, one of which is the client's own connection. */
TEST(local_answers_are_not_paced)
{
    unsigned count = 0;
    start((struct kafka_config){.loops = 1});
    struct kafka_client client = kafka_client_open(rig.port);
    CLIENT_AWAIT(stats().connections == 1);
    for (int fd = 3; fd < 1024; fd++) {
        struct sockaddr_in at = {.sin_family = 0};
        socklen_t size = sizeof at, name_size = 16;
        char name[16] = "";
        if (getsockname(fd, (struct sockaddr *)&at, &size) != 0 || at.sin_family != AF_INET || ntohs(at.sin_port) != rig.port)
            continue;
        CHECK_INT(getsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, name, &name_size), 0);
        CHECK_STR(name, "reno");
        count++;
    }
    CHECK_INT(count, 2); /* the one that listens, the one that came */
    kafka_client_close(&client);
    stop();
}

/* A thread that sends a number of produce requests, as far as the server lets it. */
struct sender {
    pthread_t thread;
    struct kafka_client *client;
    int count;
};

#define SENT_BYTES (1 << 20)

static void *
send_ahead(void *context)
{
    struct sender *sender = context;
    char *records = calloc(1, SENT_BYTES);
    for (int i = 0; i < sender->count; i++)
        send_produce(sender->client, -1, "t", (cairn_str){records, SENT_BYTES});
    free(records);
    return NULL;
}

static void
start_sending(struct sender *sender, struct kafka_client *client, int count)
{
    *sender = (struct sender){.client = client, .count = count};
    CHECK_INT(pthread_create(&sender->thread, NULL, send_ahead, sender), 0);
}

/* Goal: a client that sends ahead is not read without end. Method: many large requests behind one that is held; what lies in
 * memory stays bounded, and all are served in the end. */
TEST(requests_sent_ahead_wait_in_the_socket)
{
    enum { REQUESTS = 100 };
    struct sender sender;
    start((struct kafka_config){.calls_max = 8, .requests_max = 16 << 20});
    struct kafka_client client = kafka_client_open(rig.port);
    start_sending(&sender, &client, REQUESTS);
    CLIENT_AWAIT(held() >= 8);
    for (int i = 0; i < 50; i++) { /* time to take more, if it would */
        poll(NULL, 0, 1);
        CHECK(stats().request_bytes < 12 << 20);
    }
    CHECK_INT(held(), 8);
    for (unsigned i = 0; i < REQUESTS; i++) {
        CLIENT_AWAIT(held() > i);
        release(i);
        kafka_client_answer(&client, KAFKA_API_PRODUCE, 9, (int32_t)i + 1);
        CHECK(stats().request_bytes < 12 << 20);
    }
    pthread_join(sender.thread, NULL);
    CLIENT_AWAIT(stats().request_bytes == 0);
    kafka_client_close(&client);
    stop();
}

/* Goal: the budget of all requests holds however many connections there are, and passes on as calls end. */
TEST(the_budget_of_requests_is_shared)
{
    enum { CLIENTS = 8 };
    struct kafka_client clients[CLIENTS];
    struct sender senders[CLIENTS];
    start((struct kafka_config){.requests_max = 3 << 20});
    for (int i = 0; i < CLIENTS; i++) {
        clients[i] = kafka_client_open(rig.port);
        start_sending(&senders[i], &clients[i], 1);
    }
    for (unsigned i = 0; i < CLIENTS; i++) {
        CLIENT_AWAIT(held() > i);
        CHECK(stats().request_bytes <= (3 << 20) + (64 << 10)); /* and a request's lists */
        release(i);
    }
    for (int i = 0; i < CLIENTS; i++) {
        pthread_join(senders[i].thread, NULL);
        kafka_client_answer(&clients[i], KAFKA_API_PRODUCE, 9, 1);
        kafka_client_close(&clients[i]);
    }
    CLIENT_AWAIT(stats().request_bytes == 0);
    stop();
}

/* Goal: neither silence nor half a request holds a connection for ever, and there are not too many of them. */
TEST(connections_have_their_time_and_number)
{
    start((struct kafka_config){.idle_timeout_ms = 100, .request_timeout_ms = 100, .connections_max = 2});
    struct kafka_client idle = kafka_client_open(rig.port), half = kafka_client_open(rig.port);
    CLIENT_AWAIT(stats().connections == 2);
    struct kafka_client third = kafka_client_open(rig.port);
    CHECK(kafka_client_is_closed(&third));
    kafka_client_send_bytes(&half, "\0\0\x03", 3);
    CHECK(kafka_client_is_closed(&idle));
    CHECK(kafka_client_is_closed(&half));
    check_log("not arrived whole in time");
    kafka_client_close(&idle);
    kafka_client_close(&half);
    kafka_client_close(&third);
    stop();
}

/* Goal: small requests cannot make the server take much memory. Method: a request whose lists would take twenty times its size
 * is refused. */
TEST(lists_of_a_request_are_bounded)
{
    enum { NAMES = 20 << 20 };
    start((struct kafka_config){0});
    struct kafka_client client = kafka_client_open(rig.port);
    uint8_t head[] = {0, 0, 0, 0, 0, 3, 0, 9, 0, 0, 0, 1, 0xFF, 0xFF, 0, 0, 0, 0, 0}; /* Metadata 9 */
    uint32_t size = __builtin_bswap32((uint32_t)(sizeof head - 4 + 2 * NAMES + 4));
    memcpy(head, &size, 4);
    for (int i = 0; i < 4; i++) /* the count of a compact list, more by one, in seven bits a byte */
        head[15 + i] = (uint8_t)(((NAMES + 1) >> 7 * i & 0x7F) | (i < 3 ? 0x80 : 0));
    char *names = malloc(2 * NAMES + 4); /* empty names, each with its tagged fields */
    for (size_t i = 0; i < NAMES; i++)
        memcpy(names + 2 * i, "\1\0", 2);
    memcpy(names + 2 * NAMES, "\0\0\0\0", 4);
    kafka_client_send_bytes(&client, head, sizeof head);
    kafka_client_send_bytes(&client, names, 2 * NAMES + 4);
    CHECK(kafka_client_is_closed(&client));
    check_log("lists take too much memory");
    free(names);
    kafka_client_close(&client);
    stop();
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        RUN(large_answers_go_at_the_readers_pace),
        RUN(slow_readers_cannot_take_all_memory),
        RUN(answers_from_files_are_not_held_against_their_readers),
        RUN(local_answers_are_not_paced),
        RUN(requests_sent_ahead_wait_in_the_socket),
        RUN(the_budget_of_requests_is_shared),
        RUN(connections_have_their_time_and_number),
        RUN(lists_of_a_request_are_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
