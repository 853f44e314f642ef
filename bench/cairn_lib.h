/* cairn_lib.h: loads on a store in this process, for the contenders and for the parts on the large log. */
#ifndef BENCH_CAIRN_LIB_H
#define BENCH_CAIRN_LIB_H

#include "bench.h"

#include <cairn/cairn.h>

struct lib_load {
    cairn_store *store;
    struct shape shape;
    uint64_t streams; /* 0: each client has a stream of its own; else any of so many, at random */
    uint64_t tags;    /* 0: as many as `own_tags` says; else one tag, any of so many, at random */
    bool own_tag;     /* one tag, each client's own */
    bool condition;   /* "no event with this tag after what I have seen" */
};

/* One thread a client, blocking; or one thread, all clients' appends outstanding at once. */
bool lib_run_threads(const struct lib_load *load, struct sample *ret);
bool lib_run_async(const struct lib_load *load, struct sample *ret);

/* The asynchronous driver over a store that completes everything at once: its own ceiling. */
bool lib_run_null(const struct shape *shape, struct sample *ret);

bool lib_open(const char *folder, cairn_store **ret);

/* Names of the large log's streams and tags: stream and tag number `i`. */
void lib_stream_name(char to[32], uint64_t number);
void lib_tag_name(char to[32], uint64_t number);

#endif
