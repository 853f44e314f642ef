/* os/path.h: what a name in the file system stands for. The real machine only: links and kinds of files are about users'
 * folders, which the simulated disk does not play. Thread-safe. */
#ifndef OS_PATH_H
#define OS_PATH_H

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>

enum os_kind { OS_KIND_FILE, OS_KIND_FOLDER, OS_KIND_OTHER };

/* Links are followed. `device` and `inode` together are the same as long as it is the same file. */
struct os_path {
    enum os_kind kind;
    uint64_t device, inode;
};

/* 0, or a negative errno. */
int os_path_look(const char *path, struct os_path *ret);
/* The path without links and "..", absolute. */
int os_path_real(const char *path, char ret[PATH_MAX]);

#endif
