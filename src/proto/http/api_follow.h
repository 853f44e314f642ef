/* proto/http/api_follow.h: what each loop keeps for those that wait for events: followers
 * (server-sent events) and consumers polling a group. Everything here belongs to its loop's thread, but
 * for the atomics, which the commit thread touches. */
#ifndef PROTO_HTTP_API_FOLLOW_H
#define PROTO_HTTP_API_FOLLOW_H

#include <base/bytes.h>
#include <proto/http/http.h>

#include <stdatomic.h>

struct api;
struct api_call;
struct api_loop;
struct follower;
struct hook;
struct poll_group;

/* One a loop: hands each new event to the followers that it concerns. See api_follow.c. */
struct hub {
    atomic_bool listening; /* commits are of interest to this loop */
    atomic_bool posted;    /* `node` is on its way */
    struct http_post_node node;
    cairn_reader *reader;  /* of all events, shared by the live followers */
    uint64_t position;     /* every event before it has been handed out */
    size_t followers;      /* of this loop, in whatever state */
    bool dispatching;      /* no hook may be unlinked now */
    struct hook **buckets;
    size_t bucket_count, hook_count;
    struct follower *oldest, *newest; /* live ones by when they were last written to */
    struct follower *changed;         /* to be unlinked or freed when dispatching is over */
    struct follower *waiting;         /* to read from disk when the pool has room */
    struct buf line, frame;           /* one event as JSON, as an SSE frame */
};

struct polls {
    struct poll_group *groups;
    size_t waiting;
};

struct follow_options {
    bool of_stream;
    bool system;
    int64_t from; /* revision or position; CAIRN_FROM_END */
    cairn_str stream, category;
    const cairn_str *types, *tags;
    size_t type_count, tag_count;
};

/* Take the call's exchange over: answer with a stream of events, catch up, then follow. What the
 * options point to is copied. */
CAIRN_MUST_CHECK cairn_err api_follow(struct api_call *call, const struct follow_options *options,
                                      cairn_error *error);
/* New events may be there, or time has passed: called by api_loop.c. */
void api_hub_run(struct api_loop *loop);
void api_hub_tick(struct api_loop *loop, int64_t now_us);
void api_hub_free(struct api_loop *loop);

/* Answer a kept call for a group's events when there are some, or at deadline_us. Takes the call over when
 * it returns CAIRN_OK. */
CAIRN_MUST_CHECK cairn_err api_poll(struct api_call *kept, int64_t deadline_us, cairn_error *error);
void api_polls_wake(struct api_loop *loop);
void api_polls_tick(struct api_loop *loop, int64_t now_us);
void api_polls_free(struct api_loop *loop);

/* Make sure that this loop hears of commits and ticks from now on. Loop's thread. CAIRN_E_NOMEM: it does not,
 * and whoever would wait for them must be refused. */
CAIRN_MUST_CHECK cairn_err api_loop_listen(struct api_loop *loop, cairn_error *error);
/* Have api_hub_run() run soon. Any thread. */
void api_loop_wake(struct api_loop *loop);
/* A cairn_commit_notify; context is the struct api. */
void api_loops_on_commit(void *context, uint64_t end);

#endif
