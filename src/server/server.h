/* server/server.h: the server: configuration, wiring, and nothing else. The only room that knows all others.
 *
 * Threads: the caller's own; http's loops and pool and the store's threads are started and joined
 * within. */
#ifndef SERVER_SERVER_H
#define SERVER_SERVER_H

#include <cairn/cairn.h>
#include <server/config.h>

struct server;

/* Open the store, start serving. CAIRN_E_LOCKED, CAIRN_E_CORRUPT, CAIRN_E_VERSION, CAIRN_E_READONLY as
 * cairn_open(); CAIRN_E_IO when the address cannot be listened on. */
CAIRN_MUST_CHECK cairn_err server_start(const struct server_config *config, struct server **ret,
                                        cairn_error *error);
/* Stop cleanly: refuse what is new, answer what is under way (at most config.http.grace), close the store. NULL
 * is fine. */
void server_stop(struct server *server);
/* "http://127.0.0.1:7480", borrowed until server_stop(). */
const char *server_url(const struct server *server);
cairn_store *server_store(struct server *server);

/* Start, print one line with the URL to stdout, serve until SIGINT, SIGTERM or SIGHUP, stop. A second signal
 * while stopping ends the process at once (what was acknowledged is safe). Returns an exit code. */
int cairn_server_run(const struct server_config *config);

/* `cairn serve`: argv[0] is the command's name. Reads flags, CAIRN_* and cairn.yaml; runs; returns an exit code as
 * `cairn help` documents them: 0 stopped by a signal, 1 failed, 2 malformed configuration, 3 no such folder or
 * file, 7 damaged data, 8 folder in use by another process, 9 disk full. */
int cairn_serve_main(int argc, char **argv);

#endif
