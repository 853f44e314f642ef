/* bench.h: what the parts of the benchmark share: settings, figures, samples, contenders, processes.
 *
 * A *contender* is anything that takes appends: Cairn three ways, and its peers. All of them get the
 * same *shapes* of load in turn, round after round, so that a noisy minute hits everybody; each figure
 * of each round is kept by name (figures.c), and the table (table.c) only compares figures. */
#ifndef BENCH_H
#define BENCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

#define DATA_SIZE 256 /* bytes of an event's data, everywhere */

/* ---- settings ---------------------------------------------------------------------------- */

struct settings {
    bool quick;
    const char *parts;  /* comma-separated names, or "all" */
    const char *dir;    /* an empty folder of ours: everything measured lives under it */
    const char *server; /* the cairn program, NULL: HTTP is left out */
    const char *apps;   /* the folder of the apps that are deployed to it */
    const char *json;   /* where the figures go */
    unsigned rounds;
    double slice_s;                            /* length of one measurement */
    uint64_t log_small, log_stream, log_large; /* events: 1M, 10M, 20M in full */
    unsigned followers;                        /* idle ones, over HTTP */
    uint64_t descriptors;                      /* the limit we got */
};

/* A line with the time since the first one, on the standard error. */
void progress(const char *format, ...) __attribute__((format(printf, 1, 2)));

bool part_wanted(const struct settings *settings, const char *part);

/* ---- figures.c: every number of every round, by name ------------------------------------- */

/* Names end in their unit: _us, _ms, _per_s, _mb_per_s, _mb, _bytes, _cores, _share. */
void figure_add(double value, const char *name, ...) __attribute__((format(printf, 2, 3)));
/* A remark that the table prints under a contender or a part that was left out. */
void remark(const char *format, ...) __attribute__((format(printf, 1, 2)));
void failure(const char *format, ...) __attribute__((format(printf, 1, 2)));

#define ROUNDS_MAX 64
struct figure {
    char name[80];
    double values[ROUNDS_MAX];
    unsigned count;
};
const struct figure *figure_find(const char *name); /* NULL: never measured */
double figure_median(const struct figure *figure);
void figures_print_remarks(FILE *to);
unsigned failures_count(void);
void figures_write_json(FILE *to); /* "figures": {...}, "remarks": [...], "failures": [...] */
void json_text(FILE *to, const char *text);

/* ---- samples: one contender under one shape for one slice -------------------------------- */

struct shape {
    unsigned events;  /* in each append, all to one stream */
    unsigned clients; /* each with one append outstanding, each with a stream of its own */
    double seconds;
};

/* Log-linear histogram of nanoseconds: 128 steps to each doubling, so within 0.8 %. */
#define HISTOGRAM_STEPS 128
struct histogram {
    uint64_t counts[40 * HISTOGRAM_STEPS];
    uint64_t total;
};
void histogram_add(struct histogram *histogram, uint64_t ns);
void histogram_merge(struct histogram *into, const struct histogram *from);
double histogram_us(const struct histogram *histogram, double share);

struct sample {
    uint64_t appends;
    double seconds;
    double p50_us, p99_us;
    double client_cores, server_cores; /* processor time used, per second; server 0: same process */
    double log_bytes;                  /* written to the log per append, where it is known */
};
/* Figures append.<events>x<clients>.<contender>.…, or with another word than "append". */
void sample_add(const struct shape *shape, const char *contender, const struct sample *sample);
void sample_add_as(const char *what, const struct shape *shape, const char *contender, const struct sample *sample);

/* ---- contenders -------------------------------------------------------------------------- */

struct contender {
    const char *key;                                           /* in figures' names: "postgres" */
    const char *label;                                         /* for readers */
    bool (*open)(struct contender *, const struct settings *); /* false: a remark says why */
    bool (*run)(struct contender *, const struct shape *,
                struct sample *); /* false: a failure says why */
    void (*close)(struct contender *);
    bool ready;
    void *state;
};
extern struct contender CAIRN_THREADS, CAIRN_ASYNC, CAIRN_HTTP, POSTGRES, POSTGRES_ONE_CATEGORY,
    REDIS, SQLITE, UMADB, EMMETT, EVENTSOURCING;

/* peer_programs.c: what EMMETT and EVENTSOURCING do besides commands: figures aggregate.<key>.p50_us and
 * projection.<key>.events_per_s. */
void peer_program_reads(struct contender *self, const struct settings *settings);

/* ---- load.c: one thread, many connections, one append outstanding on each ---------------- */

/* A protocol's client: fd to wait on; send one append; take what has arrived. */
struct wire {
    bool (*send)(void *connection, const struct shape *shape);
    int (*receive)(
        void *connection); /* 1: the append is done, 0: not yet, -1: failed, and said so */
    int (*descriptor)(void *connection);
};
bool load_run(const struct wire *wire, void **connections, const struct shape *shape, pid_t server,
              struct sample *ret);

/* threads.c: one thread a client, each blocking in its append. */
bool threads_run(bool (*append)(void *context, unsigned client, const struct shape *shape),
                 void *context, const struct shape *shape, struct sample *ret);

/* JSON document of DATA_SIZE bytes, the same for everybody. */
const char *event_data(void);

/* ---- machine.c --------------------------------------------------------------------------- */

void machine_print(FILE *to, const struct settings *settings);
void machine_write_json(FILE *to, const struct settings *settings);
void machine_begin(void); /* starts watching stolen time */
bool disk_open(const struct settings *settings);
/* pwrite + fdatasync over a zero-filled file, `size` bytes each, for `seconds`. */
bool disk_run(size_t size, double seconds, const char *name);
/* The same into a file that grows, as a log's does. */
bool disk_run_growing(size_t size, double seconds, const char *name);
void disk_settle(void);
void disk_close(void);

/* ---- process.c --------------------------------------------------------------------------- */

uint64_t now_ns(void);
void sleep_ms(unsigned ms);
double cpu_self_s(void);                        /* of this process and its threads */
double cpu_children_s(void);                    /* of children that have been waited for */
double cpu_tree_s(pid_t pid);                   /* of a process and all its descendants */
double memory_mb(pid_t pid, const char *field); /* "VmRSS", "RssAnon", "RssFile" */
pid_t process_start(const char *const *arguments, const char *log_file); /* -1: says why */
bool process_runs(pid_t pid);
bool process_stop(pid_t pid, int signal); /* and wait; false: it had failed */
bool process_run(const char *const *arguments, char *output, size_t size); /* to its end */
unsigned free_port(void);
uint64_t descriptors_raise(void);
void text_number(char *to, uint64_t number); /* decimal and NUL: cheaper than printf in hot loops */

/* ---- parts ------------------------------------------------------------------------------- */

void part_append(const struct settings *settings);   /* points 1 to 3 */
void part_log(const struct settings *settings);      /* points 4 to 6 */
void part_http(const struct settings *settings);     /* point 7 */
void part_commands(const struct settings *settings); /* point 8: commands and aggregates, in-process */
void part_projections(const struct settings *settings); /* point 9 */
void part_apps(const struct settings *settings);        /* points 8 and 10 over HTTP, and the peers */
void part_kafka(const struct settings *settings); /* points 11 to 13: with Kafka's clients (kafka.c) */
void part_ceilings(const struct settings *settings); /* what the load generators could do at most */
int child_main(int count, char **arguments);         /* the same program as a child of part_log */

/* null_server.c: answers at once and stores nothing. Returns its pid, -1 when it cannot. */
pid_t null_server_start(unsigned *ret_port, size_t get_body_size);

/* http_client.c: the least of HTTP/1.1 that a load generator needs. */
struct http_connection;
struct http_connection *http_connect(unsigned port);
void http_disconnect(struct http_connection *connection);
bool http_prepare_append(struct http_connection *connection, unsigned events, const char *stream);
/* A command whose data is {"<member>":"<value>","text":…}, event_data()'s text; keyed: a new idempotency key each time. */
bool http_prepare_command(struct http_connection *connection, const char *target, const char *member, const char *value,
                          bool keyed);
bool http_wait(struct http_connection *connection); /* until the request that HTTP_WIRE sent is answered */
extern const struct wire HTTP_WIRE;
/* One request on a connection of its own; the status, or -1. ret_size (or NULL): of the answer's body. */
int http_get(unsigned port, const char *target, size_t *ret_size);
bool http_append_once(unsigned port, const char *stream, unsigned events);
int http_open_socket(unsigned port);

/* cairn_http.c */
struct cairn_server {
    pid_t pid;
    unsigned port;
};
bool
cairn_server_start(const struct settings *settings, const char *name, struct cairn_server *ret);
void cairn_server_stop(struct cairn_server *server);
/* 64 connections for a slice, of a second at least: figures <name>.{per_s,p50_us,client_cores,server_cores}. `script` (or
 * NULL) says which requests, and may print "p95_us=… p99_us=…", which become figures too. */
bool wrk_run(const struct settings *settings, pid_t server, unsigned port, const char *target, const char *script,
             const char *name);

void table_print(FILE *to, const struct settings *settings);
void table_write_json(FILE *to);

#endif
