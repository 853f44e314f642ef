/* tests/integration/rdkafka_server.h: one server for all tests of a program, asked by librdkafka and over HTTP. What the program sets in the
 * environment before cmocka runs it are the server's settings. */
#ifndef TESTS_RDKAFKA_SERVER_H
#define TESTS_RDKAFKA_SERVER_H

#include "api_client.h"
#include "rdkafka_rig.h"

static struct serve serve;
static rd_kafka_t *admin;

static inline int
server_begin(void **state)
{
    (void)state;
    curl_global_init(CURL_GLOBAL_ALL);
    serve_start(&serve);
    admin = PRODUCER(&serve);
    return 0;
}

static inline int
server_end(void **state)
{
    (void)state;
    rd_kafka_destroy(admin);
    serve_end(&serve);
    curl_global_cleanup();
    return 0;
}

#endif
