/* cli/topic_client.h: what the commands for topics, groups and relays share: calls of a server, refusals, tables.
 *
 * These are kept by a running server; a folder (--data) has none, so the commands speak to a server only. */
#ifndef CLI_TOPIC_CLIENT_H
#define CLI_TOPIC_CLIENT_H

#include "command.h"
#include "wire_int.h"

/* The server that the command line names. 0, or an exit code after having said what is wrong. */
int topic_open(const struct args *args, struct wire **ret);
void topic_close(struct wire *wire);

/* Perform wire->path. 0 and the reply (borrowed until the next call; JSON_NONE where there is none), or an exit code after having
 * said what the server refused; `lists` is the command that lists what there is. */
int topic_perform(const struct args *args, struct wire *wire, struct call *call, const char *lists, struct json *ret);
int topic_get(const struct args *args, struct wire *wire, const char *lists, struct json *ret);

/* Every item of a list that comes in pages: `member` of each answer to `path`, from one to the next, at most `limit` (0: all). */
typedef void (*topic_item)(void *context, struct json item);
int topic_pages(const struct args *args, struct wire *wire, const char *path, const char *member, uint64_t limit, topic_item item,
                void *context);

/* `{"name":"value",…}` of NAME=VALUE words. 0, or an exit code after having said what is wrong. */
int topic_put_settings(const struct args *args, struct buf *to, const cairn_str *words, size_t count);

/* Members of an object as a line each: "title        value". Absent and empty ones are left out. */
void topic_say(struct json object, const char *const (*lines)[2], size_t count);
/* The same as cells of a table. */
void topic_cells(struct table *table, struct json object, const char *const *members, size_t count);
void topic_heading(const char *text);
/* Key of a record, or a header's value: text, or "base64:…", or "" for null. */
cairn_str topic_bytes(struct json object, const char *member, struct arena *arena);
/* A value on one line on stdout: --json. */
void topic_say_json(struct json value);

#endif
