/* app/bundle.h: the files of an app: from a folder, within their limits, and their digest.
 *
 * Threads: each call on its own. */
#ifndef APP_BUNDLE_H
#define APP_BUNDLE_H

#include <base/arena.h>
#include <cairn/app.h>
#include <os/os.h>

#define BUNDLE_FILES_MAX 256
#define BUNDLE_FILE_BYTES_MAX (512 * 1024)
#define BUNDLE_BYTES_MAX (8 * 1024 * 1024)
#define BUNDLE_PATH_MAX 200

struct bundle {
    cairn_app_file *files; /* by path */
    size_t count;
    struct arena arena; /* paths and texts */
};

/* Every file below the folder; names that begin with '.' or end with '~', and node_modules, are passed over. Refused:
 * links that lead out of the folder, what is no plain file, what is not UTF-8, what is too large or too many.
 * CAIRN_E_INVALID, CAIRN_E_LIMIT: faults were visited. CAIRN_E_NOTFOUND: no such folder.
 * ret  untouched on failure; freed with bundle_free() */
CAIRN_MUST_CHECK cairn_err bundle_read(struct os *os, const char *folder, cairn_app_fault_visit visit,
                                       void *context, struct bundle *ret, cairn_error *error);
void bundle_free(struct bundle *bundle);

/* Is it a path that a file of an app may have: relative, '/' between names, no empty name, "." or "..", no control
 * characters, backslash or colon. */
bool bundle_path_valid(cairn_str path);
void bundle_sort(cairn_app_file *files, size_t count);
/* SHA-256 over each path and text with their sizes, in the order of the paths (sort first); lower-case hex and a NUL. */
void bundle_digest(const cairn_app_file *files, size_t count, char ret_hex[65]);

#endif
