/* cli/read_options.h: the options by which read, follow and export choose events. */
#ifndef CLI_READ_OPTIONS_H
#define CLI_READ_OPTIONS_H

#include "command.h"
#include "target.h"

#define NAMES_MAX 64

struct read_choice {
    struct read_request request;
    cairn_str types[NAMES_MAX], tags[NAMES_MAX]; /* the request borrows them */
};

/* 0, or an exit code after having said what is wrong. Options that the command lacks are left alone. */
int read_choice_of(const struct args *args, const char *stream, struct read_choice *ret);

/* "start", "end" or a number. */
int from_of(const struct args *args, bool *ret_given, int64_t *ret);

/* A file's content, standard input ("-"), or the text itself. 0, or an exit code after saying what is
 * wrong. *ret_text says that it was the text itself. */
int text_argument(const struct args *args, const char *option, const char *value, struct buf *to);

#endif
