/* os/path.c: see path.h. */
#include <os/path.h>

#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>

int
os_path_look(const char *path, struct os_path *ret)
{
    struct stat found;
    if (stat(path, &found) != 0)
        return -errno;
    *ret = (struct os_path){
        .kind = S_ISREG(found.st_mode) ? OS_KIND_FILE : S_ISDIR(found.st_mode) ? OS_KIND_FOLDER : OS_KIND_OTHER,
        .device = (uint64_t)found.st_dev,
        .inode = (uint64_t)found.st_ino,
    };
    return 0;
}

int
os_path_real(const char *path, char ret[PATH_MAX])
{
    return realpath(path, ret) != NULL ? 0 : -errno;
}
