/* peer_postgres.c: PostgreSQL with a message-db-style function; libpq, prepared, over a Unix socket.
 *
 * Each client has a category of its own, so that no writer waits for another one's lock and PostgreSQL can
 * commit them together: its best case, and the one that the table's lines compare with. With all clients in
 * one category (a second contender, for information) they commit one after the other.
 * run.sh starts the server, loads peer_postgres.sql and says where: BENCH_POSTGRES, BENCH_POSTGRES_PID. */
#include "bench.h"

#include <libpq-fe.h>
#include <stdlib.h>
#include <string.h>

#define CLIENTS_MAX 64

struct connection {
    PGconn *pg;
    char stream[24];
    char *documents; /* JSON array of as many events as the last shape wanted */
    unsigned documents_events;
};

struct clients {
    struct connection connections[CLIENTS_MAX];
    void *pointers[CLIENTS_MAX];
    pid_t server;
    bool one_category;
};
static struct clients own_categories, one_category = {.one_category = true};

static bool
make_documents(struct connection *connection, unsigned events)
{
    free(connection->documents);
    char *at = connection->documents = malloc((size_t)events * (DATA_SIZE + 1) + 2);
    if (at == NULL)
        return false;
    for (unsigned i = 0; i < events; i++) {
        *at++ = i ? ',' : '[';
        at = mempcpy(at, event_data(), DATA_SIZE);
    }
    *at++ = ']';
    *at = '\0';
    connection->documents_events = events;
    return true;
}

static bool
send_append(void *pointer, const struct shape *shape)
{
    struct connection *connection = pointer;
    if (connection->documents_events != shape->events && !make_documents(connection, shape->events))
        return false;
    bool one = shape->events == 1;
    const char *values[]
        = {connection->stream, "OrderPlaced", one ? event_data() : connection->documents, NULL};
    if (!PQsendQueryPrepared(connection->pg, one ? "one" : "many", 4, values, NULL, NULL, 1)) {
        failure("PostgreSQL: %s", PQerrorMessage(connection->pg));
        return false;
    }
    return true;
}

static int
receive(void *pointer)
{
    struct connection *connection = pointer;
    if (!PQconsumeInput(connection->pg)) {
        failure("PostgreSQL: %s", PQerrorMessage(connection->pg));
        return -1;
    }
    while (!PQisBusy(connection->pg)) {
        PGresult *result = PQgetResult(connection->pg);
        if (result == NULL)
            return 1;
        bool ok = PQresultStatus(result) == PGRES_TUPLES_OK;
        if (!ok)
            failure("PostgreSQL: %s", PQresultErrorMessage(result));
        PQclear(result);
        if (!ok)
            return -1;
    }
    return 0;
}

static int
descriptor(void *pointer)
{
    return PQsocket(((struct connection *)pointer)->pg);
}

static const struct wire wire = {send_append, receive, descriptor};

static bool
prepare(PGconn *pg, const char *name, const char *text)
{
    PGresult *result = PQprepare(pg, name, text, 0, NULL);
    bool ok = PQresultStatus(result) == PGRES_COMMAND_OK;
    PQclear(result);
    return ok;
}

/* A peer that does not sync would be no peer. */
static bool
is_durable(PGconn *pg)
{
    PGresult *result
        = PQexec(pg, "SELECT current_setting('fsync') || current_setting('synchronous_commit')"
                     " || current_setting('full_page_writes')");
    bool durable = PQresultStatus(result) == PGRES_TUPLES_OK
                   && strcmp(PQgetvalue(result, 0, 0), "ononon") == 0;
    PQclear(result);
    return durable;
}

static bool
postgres_open(struct contender *self, const struct settings *settings)
{
    (void)settings;
    struct clients *clients = self->state;
    const char *where = getenv("BENCH_POSTGRES"), *pid = getenv("BENCH_POSTGRES_PID");
    if (where == NULL || pid == NULL) {
        remark("%s: LEFT OUT, no server was started (see above)", self->label);
        return false;
    }
    clients->server = (pid_t)atoi(pid);
    for (unsigned i = 0; i < CLIENTS_MAX; i++) {
        struct connection *connection = &clients->connections[i];
        connection->pg = PQconnectdb(where);
        if (PQstatus(connection->pg) != CONNECTION_OK
            || !prepare(connection->pg, "one",
                        "SELECT write_message($1, $2, $3::jsonb, $4::bigint)")
            || !prepare(connection->pg, "many",
                        "SELECT write_messages($1, $2, $3::jsonb, $4::bigint)")) {
            failure("%s: %s", self->label, PQerrorMessage(connection->pg));
            return false;
        }
        if (clients->one_category)
            snprintf(connection->stream, sizeof connection->stream, "all-%u", i);
        else
            snprintf(connection->stream, sizeof connection->stream, "c%u-1", i);
        clients->pointers[i] = connection;
    }
    if (!is_durable(clients->connections[0].pg)) {
        failure(
            "%s: the server does not run with fsync, synchronous_commit and full_page_writes on",
            self->label);
        return false;
    }
    return true;
}

static bool
postgres_run(struct contender *self, const struct shape *shape, struct sample *ret)
{
    struct clients *clients = self->state;
    return shape->clients <= CLIENTS_MAX
           && load_run(&wire, clients->pointers, shape, clients->server, ret);
}

static void
postgres_close(struct contender *self)
{
    struct clients *clients = self->state;
    for (unsigned i = 0; i < CLIENTS_MAX; i++) {
        PQfinish(clients->connections[i].pg);
        free(clients->connections[i].documents);
        clients->connections[i] = (struct connection){0}; /* it may be opened again */
    }
}

struct contender POSTGRES = {.key = "postgres",
                             .label = "PostgreSQL, message-db style",
                             .open = postgres_open,
                             .run = postgres_run,
                             .close = postgres_close,
                             .state = &own_categories};
struct contender POSTGRES_ONE_CATEGORY = {.key = "postgres_one_category",
                                          .label = "  the same, all in one category",
                                          .open = postgres_open,
                                          .run = postgres_run,
                                          .close = postgres_close,
                                          .state = &one_category};
