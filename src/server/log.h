/* server/log.h: what the server says on stderr: one line an occurrence, logfmt (key=value, quoted where it needs
 * to be), whole lines in one write. Any thread. */
#ifndef SERVER_LOG_H
#define SERVER_LOG_H

#include <stddef.h>

enum server_log_level { SERVER_LOG_INFO, SERVER_LOG_WARN, SERVER_LOG_ERROR };

/* Leave lines below this level out. */
void server_log_from(enum server_log_level level);
/* Pairs of key and value after `message`, ended by NULL. */
void server_log(enum server_log_level level, const char *message, ...);
/* A line that has its pairs already. */
void server_log_line(enum server_log_level level, const char *pairs, size_t size);

#endif
