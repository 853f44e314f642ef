/* cli/app_client.h: what the commands for apps share: a call of /v1/apps, what the server refuses, an app's faults,
 * an app's folder.
 *
 * Apps run in a server; a folder (--data) has none running, so these commands speak to a server only. */
#ifndef CLI_APP_CLIENT_H
#define CLI_APP_CLIENT_H

#include <app/bundle.h>
#include <cairn/app.h>

#include "command.h"
#include "diff.h"
#include "wire_int.h"

/* ---- calls ---------------------------------------------------------------------------------------- */

/* The server that the command line names. 0, or an exit code after having said what is wrong. */
int app_open(const struct args *args, struct wire **ret);
void app_close(struct wire *wire);

/* Begin wire->path: app_path(wire, app, "queries", query) is /v1/apps/<app>/queries/<query>; NULL ends it. */
void app_path(struct wire *wire, const char *app, const char *part, const char *name);
/* Perform it. 0 and the reply (borrowed until the next call; JSON_NONE where `ret` is NULL or there is none), or an exit
 * code after having said what the server refused, with its own hint and every fault that it found. */
int app_perform(const struct args *args, struct wire *wire, struct call *call, struct json *ret);
/* GET wire->path. */
int app_get(const struct args *args, struct wire *wire, struct json *ret);
/* The current version of an app, 0 where there is none (an app that was removed: its newest). 0, or an exit code. */
int app_current(const struct args *args, struct wire *wire, const char *app, uint64_t *ret_version);

/* A member as text for people: strings decoded, others as they are, null and absent "". Into the arena. */
cairn_str app_text(struct json object, const char *member, struct arena *arena);
/* A value on one line on stdout: --json. */
void app_say_json(struct json value);

/* ---- faults ----------------------------------------------------------------------------------------- */

struct app_faults {
    const char *folder; /* put before file names, or NULL */
    size_t errors, warnings;
    struct buf json;    /* under --json: gathered here as items of an array */
};
/* One fault in a compiler's style, on stderr: "file:line: message", then "hint: …". Of type cairn_app_fault_visit. */
void app_say_fault(void *faults, const cairn_app_fault *fault);
/* The same for the array "faults" of an answer; what are not faults of files is left out. */
void app_say_faults(struct app_faults *faults, struct json array);

/* ---- folders ------------------------------------------------------------------------------------------ */

/* Read an app's folder, as it would be deployed. 0, or an exit code after saying what is wrong with it. */
int app_folder_read(const struct args *args, const char *path, struct bundle *ret);
/* The same out of a server's {"path":"text",…}. */
int app_folder_take(const struct args *args, struct json files, struct bundle *ret);
/* Write the files into a folder that is not there yet, or empty. 0, or an exit code after saying what is wrong. */
int app_folder_write(const struct args *args, const char *path, const cairn_app_file *files, size_t count);
/* Write one file of a folder that is there, in the place of what it was. 0, or an exit code after saying what is wrong. */
int app_folder_replace(const struct args *args, const char *path, const cairn_app_file *file);

/* ---- replay (cmd_projection.c) ------------------------------------------------------------------------------ */

struct replay_options {
    const char *app, *projection; /* NULL: all */
    bool aggregates, decisions;
    uint64_t from, parallel;      /* 0: from the beginning; as many as the server likes */
    const char *on_error;         /* "stop", "skip", "park" */
};
/* Replay with progress, and print the report. EXIT_FAILED where the report tells of differences or failures. */
int app_replay(const struct args *args, struct wire *wire, const struct replay_options *options);

#endif
