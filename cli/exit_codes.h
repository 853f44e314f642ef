/* cli/exit_codes.h: how `cairn` ends. Scripts rely on these numbers; help and the manual page are made
 * from this list. */
#ifndef CLI_EXIT_CODES_H
#define CLI_EXIT_CODES_H

#include <cairn/types.h>

/* X(name, number, meaning) */
#define EXIT_CODES(X)                                                                              \
    X(EXIT_DONE, 0, "done")                                                                        \
    X(EXIT_FAILED, 1, "failed for a reason that has no code of its own")                           \
    X(EXIT_USAGE, 2, "the command line or the input is malformed")                                 \
    X(EXIT_NOT_FOUND, 3, "no such stream, store, file, topic, group or app")                                   \
    X(EXIT_CONFLICT, 4, "an expected revision does not hold, or the thing is there already or in use") \
    X(EXIT_CONDITION, 5, "an append condition does not hold")                                      \
    X(EXIT_UNREACHABLE, 6, "the server cannot be reached, or not be trusted")                      \
    X(EXIT_CORRUPT, 7, "stored bytes are damaged")                                                 \
    X(EXIT_LOCKED, 8, "another process owns the folder")                                           \
    X(EXIT_DISK_FULL, 9, "the disk is full")                                                       \
    X(EXIT_REJECTED, 10, "an app's rules refuse the command")                                      \
    X(EXIT_INTERRUPTED, 130, "interrupted by Ctrl-C or SIGTERM")

enum exit_code {
#define X(name, number, meaning) name = number,
    EXIT_CODES(X)
#undef X
};

/* An error of this program's own, beside those of the library: no answer from the server. */
#define CLI_E_UNREACHABLE ((cairn_err)-100)
/* The server's certificate was not believed. */
#define CLI_E_UNTRUSTED ((cairn_err)-102)
/* Ctrl-C came while the call was under way. */
#define CLI_E_INTERRUPTED ((cairn_err)-101)

static inline int
exit_code_of(cairn_err err)
{
    switch ((int)err) {
    case CAIRN_OK:
    case CAIRN_E_END:
        return EXIT_DONE;
    case CAIRN_E_INVALID:
        return EXIT_USAGE;
    case CAIRN_E_NOTFOUND:
    case CAIRN_E_GONE:
        return EXIT_NOT_FOUND;
    case CAIRN_E_CONFLICT:
    case CAIRN_E_EXISTS:
        return EXIT_CONFLICT;
    case CAIRN_E_CONDITION:
        return EXIT_CONDITION;
    case CLI_E_UNREACHABLE:
    case CLI_E_UNTRUSTED:
        return EXIT_UNREACHABLE;
    case CAIRN_E_CORRUPT:
        return EXIT_CORRUPT;
    case CAIRN_E_LOCKED:
        return EXIT_LOCKED;
    case CAIRN_E_NOSPACE:
        return EXIT_DISK_FULL;
    case CAIRN_E_REJECTED:
        return EXIT_REJECTED;
    case CLI_E_INTERRUPTED:
        return EXIT_INTERRUPTED;
    default:
        return EXIT_FAILED;
    }
}

#endif
