/* base/error.h: fill in a cairn_error. */
#ifndef BASE_ERROR_H
#define BASE_ERROR_H

#include <cairn/types.h>

/* Write code and detail (printf) where error is not NULL; returns the code, so that a caller writes
 * `return error_set(error, CAIRN_E_LIMIT, "type is %zu bytes; the limit is %d", …)`. A
 * detail that is too long is cut and ends with "…". revision and position stay as the caller set them.
 * An argument may be error->detail itself: `error_set(error, err, "in %s: %s", name, error->detail)`. */
__attribute__((format(printf, 3, 4))) cairn_err error_set(cairn_error *error, cairn_err code,
                                                          const char *format, ...);

/* The same for a failed system call: adds "(No space left on device)". ENOSPC and EDQUOT give
 * CAIRN_E_NOSPACE, ENOMEM gives CAIRN_E_NOMEM, EROFS, EACCES and EPERM give CAIRN_E_READONLY, ENOENT gives
 * CAIRN_E_NOTFOUND, everything else CAIRN_E_IO. errno_value is positive. */
__attribute__((format(printf, 3, 4))) cairn_err error_set_errno(cairn_error *error, int errno_value,
                                                                const char *format, ...);

/* For the rare call whose failure changes nothing: it will show itself in the next one. */
static inline void
error_ignore(cairn_err err)
{
    (void)err;
}

#endif
